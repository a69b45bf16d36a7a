package org.asmnetkit.core

import java.nio.ByteBuffer
import kotlin.math.exp

/**
 * The two face detection networks of MediaPipe that the kit ships (asmnet_kit.predict.blazeface).
 *
 * @property file name of its weights.
 * @property size side of its input, pixels.
 * @property grids stride in pixels and anchors at each cell, in the order of its answers.
 */
enum class BlazeFaceWeights(val file: String, val size: Int, private val grids: List<Pair<Int, Int>>) {
    SHORT_RANGE("face_detection_short_range.tflite", 128, listOf(Pair(8, 2), Pair(16, 6))),
    FULL_RANGE("face_detection_full_range.tflite", 192, listOf(Pair(4, 1)));

    /** The middle of the grid cell of each answer, x and y interleaved, pixels of the input. */
    fun anchors(): FloatArray {
        val middles = ArrayList<Float>()
        for ((stride, repeats) in grids) {
            for (y in 0 until size / stride) for (x in 0 until size / stride) repeat(repeats) {
                middles += (x + 0.5f) * stride
                middles += (y + 0.5f) * stride
            }
        }
        return middles.toFloatArray()
    }
}

/**
 * A face as a network found it; pixels of the picture.
 *
 * @property box the network's own convention: square, from the forehead to below the lower lip.
 * @property score 0..1.
 * @property keyPoints x, y interleaved: the eye, and the ear below, on the image's left are points 0 and 4, on
 * its right 1 and 5; 2 is the nose, 3 the mouth.
 */
class Candidate(val box: Box, val score: Float, val keyPoints: DoubleArray)

/** A loaded BlazeFace, on one thread. Anchors and decoding are MediaPipe's. */
class BlazeFace(private val network: Network, weights: BlazeFaceWeights) : AutoCloseable {
    private val size = weights.size
    private val anchors = weights.anchors()
    private val cropped = ByteArray(size * size * 3)
    private val input: ByteBuffer = network.input.allocate()
    private val outputs: Map<String, ByteBuffer> = network.outputs.mapValues { it.value.allocate() }
    private val scores = output(1)
    private val values = output(VALUES)

    init {
        val wanted = listOf(1, size, size, 3)
        if (network.input.shape != wanted || network.input.type != ElementType.FLOAT32) {
            throw ModelException("${weights.file}: expected an input of $wanted floats, got ${network.input.shape}")
        }
    }

    private fun output(values: Int): TensorInfo =
        network.outputs.values.singleOrNull { it.elements == anchors.size / 2 * values }
            ?: throw ModelException("not the BlazeFace weights that the kit ships: outputs ${network.outputs.values.map { it.shape }}")

    /**
     * Look for faces in a square window, which may reach beyond the picture.
     *
     * @param side of the window, pixels of the picture.
     * @param minScore leave out what scores less.
     */
    fun find(picture: Picture, centreX: Double, centreY: Double, side: Double, minScore: Float): List<Candidate> {
        val window = Crop(centreX, centreY, side, size)
        window.cut(picture, cropped)
        input.rewind()
        for (value in cropped) input.putFloat(((value.toInt() and 255) - 127.5f) / 127.5f)
        network.run(input, outputs)
        val logits = dequantize(outputs.getValue(scores.name), scores)
        val answers = dequantize(outputs.getValue(values.name), values)
        val found = ArrayList<Candidate>()
        for (i in logits.indices) {
            val score = (1 / (1 + exp(-logits[i].coerceIn(-MAX_LOGIT, MAX_LOGIT).toDouble()))).toFloat()
            if (score >= minScore) found += candidate(window, score, answers, i)
        }
        return found
    }

    private fun candidate(window: Crop, score: Float, answers: FloatArray, index: Int): Candidate {
        fun answer(pair: Int, axis: Int) = answers[index * VALUES + 2 * pair + axis]
        fun point(pair: Int, axis: Int, shift: Float = 0f): Double {
            // Anchors count from the input's corner: its middle is at size / 2.
            val fraction = (answer(pair, axis) + anchors[2 * index + axis] + shift) / size - 0.5f
            return (if (axis == 0) window.centreX else window.centreY) + window.side * fraction
        }
        val halfWidth = answer(1, 0) / 2
        val halfHeight = answer(1, 1) / 2
        val box = Box(point(0, 0, -halfWidth), point(0, 1, -halfHeight), point(0, 0, halfWidth), point(0, 1, halfHeight))
        return Candidate(box, score, DoubleArray(2 * KEY_POINTS) { point(2 + it / 2, it % 2) })
    }

    override fun close() = network.close()

    private companion object {
        const val KEY_POINTS = 6
        const val VALUES = 2 * (2 + KEY_POINTS) // box centre, box width and height, key points
        const val MAX_LOGIT = 80f
    }
}
