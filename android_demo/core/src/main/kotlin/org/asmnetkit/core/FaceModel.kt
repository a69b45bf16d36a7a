package org.asmnetkit.core

import java.nio.ByteBuffer

/** What one frame cost. [preMs]: crop and convert; [invokeMs]: run and read back; [postMs]: decode. */
data class StageTimes(val preMs: Double, val invokeMs: Double, val postMs: Double) {
    val totalMs get() = preMs + invokeMs + postMs
}

/**
 * What a model sees in a face box.
 *
 * @property landmarks x, y interleaved, pixels of the picture.
 * @property pose null for a model without that output.
 * @property sigma standard deviation of each landmark per coordinate, pixels of the picture; null likewise.
 * @property visible probability that each landmark can be seen; null likewise.
 * @property confidence probability that the face's error (NME) is at most 8 %; null for a file that is not
 * calibrated for it.
 * @property notFinite how many of the model's output values are NaN or infinite: 0 unless what ran it is
 * wrong, for example a GPU in half precision. Such a face must not be shown or followed.
 */
class Face(
    val landmarks: FloatArray,
    val pose: Pose?,
    val times: StageTimes,
    val sigma: FloatArray? = null,
    val visible: FloatArray? = null,
    val confidence: Double? = null,
    val notFinite: Int = 0,
)

/** The whole way of a frame: crop, convert, invoke, landmarks back in the picture. */
class FaceModel(val file: ModelFile, private val engine: Engine) {
    private val metadata = file.metadata
    private val encoder = InputEncoder(engine.input)
    private val cropped = ByteArray(metadata.inputSize * metadata.inputSize * 3)
    private val input: ByteBuffer = engine.input.allocate()
    private val outputs: Map<String, ByteBuffer> = engine.outputs.mapValues { it.value.allocate() }

    init {
        val wanted = listOf(1, metadata.inputSize, metadata.inputSize, 3)
        expect(engine.input.shape == wanted) {
            "its metadata says an input of $wanted, its graph has ${engine.input.shape}"
        }
        expect(engine.outputs["landmarks"]?.elements == 2 * metadata.landmarks) {
            "expected ${2 * metadata.landmarks} values in the output 'landmarks', got ${engine.outputs["landmarks"]?.shape}"
        }
        val pose = engine.outputs["pose"]
        expect(pose == null || pose.elements == 3) { "expected 3 values in the output 'pose', got ${pose?.shape}" }
        for (name in listOf("uncertainty", "visibility")) {
            val output = engine.outputs[name]
            expect(output == null || output.elements == metadata.landmarks) {
                "expected ${metadata.landmarks} values in the output '$name', got ${output?.shape}"
            }
        }
    }

    /** Landmarks and pose of the face in [box]. @throws ModelException the runtime failed. */
    fun look(picture: Picture, box: Box): Face {
        val started = System.nanoTime()
        val crop = Crop.of(box, metadata.inputSize, metadata.cropScale)
        encoder.encode(crop.cut(picture, cropped), input)
        val ready = System.nanoTime()
        engine.run(input, outputs)
        val invoked = System.nanoTime()
        val real = engine.outputs.mapValues { (name, info) -> dequantize(outputs.getValue(name), info) }
        val landmarks = crop.toPicture(real.getValue("landmarks"))
        val pose = real["pose"]?.let(Pose::ofOutput)
        val sigma = real["uncertainty"]?.let { Uncertainty.sigma(it, crop.side, metadata.calibration.factor) }
        val visible = real["visibility"]?.let(Uncertainty::visible)
        val confidence = sigma?.let { known ->
            metadata.calibration.confidence?.probability(Uncertainty.expectedNme(known, landmarks, metadata.scheme))
        }
        val ended = System.nanoTime()
        val times = StageTimes(ms(ready - started), ms(invoked - ready), ms(ended - invoked))
        return Face(landmarks, pose, times, sigma, visible, confidence, real.values.sumOf(::notFinite))
    }

    private inline fun expect(fine: Boolean, message: () -> String) {
        if (!fine) throw ModelException("${file.name}: ${message()}")
    }
}

internal fun ms(nanoseconds: Long): Double = nanoseconds / 1e6
