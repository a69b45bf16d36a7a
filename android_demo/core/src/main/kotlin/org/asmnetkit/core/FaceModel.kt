package org.asmnetkit.core

import java.nio.ByteBuffer

/** What one look at a face cost. [preMs]: crop and convert; [invokeMs]: run and read back; [postMs]: decode. */
data class StageTimes(val preMs: Double, val invokeMs: Double, val postMs: Double) {
    val totalMs get() = preMs + invokeMs + postMs

    companion object {
        fun mean(all: List<StageTimes>) =
            StageTimes(all.map { it.preMs }.average(), all.map { it.invokeMs }.average(), all.map { it.postMs }.average())
    }
}

/**
 * What a model sees in a face box.
 *
 * @property landmarks x, y interleaved, pixels of the picture.
 * @property pose null for a model without that output.
 * @property times of one look: the mean, where there were several.
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
) {
    companion object {
        /** Value by value, of several looks of one model at the same face. */
        internal fun mean(looks: List<Face>, times: StageTimes): Face = Face(
            landmarks = mean(looks) { it.landmarks }!!,
            // Angles of a head that is seen nearly alike go no way round.
            pose = mean(looks) { look -> look.pose?.let { floatArrayOf(it.yaw, it.pitch, it.roll) } }?.let { Pose(it[0], it[1], it[2]) },
            times = times,
            sigma = mean(looks) { it.sigma },
            visible = mean(looks) { it.visible },
            confidence = looks.map { it.confidence ?: Double.NaN }.average().takeIf { !it.isNaN() },
            notFinite = looks.sumOf { it.notFinite },
        )

        private inline fun mean(looks: List<Face>, values: (Face) -> FloatArray?): FloatArray? {
            val all = looks.map { values(it) ?: return null }
            return FloatArray(all.first().size) { i -> all.sumOf { it[i].toDouble() }.toFloat() / all.size }
        }
    }
}

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
    fun look(picture: Picture, box: Box): Face = look(picture, box, mirrored = false)

    /**
     * As [look], for a [box] of a detector, which is off by more than the box around landmarks: looks again at the crop
     * around what it saw and at its mirror image; the mean of these two counts, as in `asmnet_kit.face.looks`.
     *
     * There is one look where the first has lost the box, and where the landmarks outline no face; no mirror image
     * where they have none.
     */
    fun lookAgain(picture: Picture, box: Box): Face {
        val first = look(picture, box)
        if (first.notFinite > 0 || !metadata.scheme.outlinesFace) return first
        val closer = Box.around(first.landmarks)
        if (closer.overlap(box) < Box.MIN_OVERLAP) return first
        val looks = listOf(false, true).filter { !it || metadata.scheme.hasMirrorImage }.map { look(picture, closer, mirrored = it) }
        return Face.mean(looks, StageTimes.mean((looks + first).map { it.times }))
    }

    private fun look(picture: Picture, box: Box, mirrored: Boolean): Face {
        val started = System.nanoTime()
        val crop = Crop.of(box, metadata.inputSize, metadata.cropScale)
        crop.cut(picture, cropped)
        if (mirrored) mirror(cropped, metadata.inputSize)
        encoder.encode(cropped, input)
        val ready = System.nanoTime()
        engine.run(input, outputs)
        val invoked = System.nanoTime()
        val said = engine.outputs.mapValues { (name, info) -> dequantize(outputs.getValue(name), info) }
        val real = if (mirrored) said.mapValues { (name, values) -> turnedBack(name, values) } else said
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

    /** Of the face itself, what an output says of its mirror image. */
    private fun turnedBack(name: String, values: FloatArray): FloatArray {
        val counterpart = metadata.scheme.mirror
        return when (name) {
            // Fractions lie about the crop's centre, which stays where it is.
            "landmarks" -> FloatArray(values.size) { i -> values[2 * counterpart[i / 2] + i % 2].let { if (i % 2 == 0) -it else it } }
            "pose" -> floatArrayOf(-values[0], values[1], -values[2])
            "uncertainty", "visibility" -> FloatArray(values.size) { values[counterpart[it]] }
            else -> values // an output that the app does not read
        }
    }

    private inline fun expect(fine: Boolean, message: () -> String) {
        if (!fine) throw ModelException("${file.name}: ${message()}")
    }
}

/** Turn R, G, B bytes, [size] x [size] x 3, left for right in place. */
private fun mirror(crop: ByteArray, size: Int) {
    for (row in 0 until size) {
        for (column in 0 until size / 2) {
            val left = 3 * (row * size + column)
            val right = 3 * (row * size + size - 1 - column)
            for (channel in 0 until 3) {
                val value = crop[left + channel]
                crop[left + channel] = crop[right + channel]
                crop[right + channel] = value
            }
        }
    }
}

internal fun ms(nanoseconds: Long): Double = nanoseconds / 1e6
