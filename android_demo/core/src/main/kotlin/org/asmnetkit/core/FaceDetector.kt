package org.asmnetkit.core

import kotlin.math.abs
import kotlin.math.ceil
import kotlin.math.max

/**
 * One face.
 *
 * @property box about the smallest box around the 68 landmarks, pixels of the picture.
 * @property score 0..1; null for a face that somebody pointed at.
 */
data class Detection(val box: Box, val score: Float?)

/** Finds faces in a picture, largest first. Slow, so it is asked seldom. Works and is closed on one thread. */
fun interface FaceFinder : AutoCloseable {
    fun find(picture: Picture): List<Detection>

    override fun close() = Unit
}

/**
 * The kit's detector, as asmnet_kit.predict.detector has it: the short-range network searches the whole
 * picture and windows of it, the full-range one looks at each candidate twice and must agree.
 */
class FaceDetector(private val search: BlazeFace, private val confirm: BlazeFace, private val minScore: Float = MIN_SCORE) : FaceFinder {
    override fun find(picture: Picture): List<Detection> {
        // Apart: merged with what the other windows saw of a face that fills the picture, cut off by
        // their border, the better box of the wide one would be spoilt.
        val wide = foundIn(picture, listOf(wideWindow(picture.width, picture.height)))
        val candidates = wide + foundIn(picture, windows(picture.width, picture.height))
        val faces = merged(candidates.mapNotNull { confirmed(picture, it.box) })
        return faces.map { Detection(landmarkBox(it), it.score) }.sortedByDescending { it.box.width * it.box.height }
    }

    override fun close() {
        search.close()
        confirm.close()
    }

    private fun foundIn(picture: Picture, windows: List<Window>): List<Candidate> =
        merged(windows.flatMap { search.find(picture, it.centreX, it.centreY, it.side, minOf(SEARCH_SCORE, minScore)) })

    /** The face that the full-range network sees where the search saw one, in the mean of two looks. */
    private fun confirmed(picture: Picture, box: Box): Candidate? {
        val first = look(picture, box) ?: return null
        val second = look(picture, first.box) ?: return null
        return mean(listOf(first, second), listOf(0.5, 0.5), (first.score + second.score) / 2).takeIf { it.score >= minScore }
    }

    /** The face that the full-range network sees around a box. */
    private fun look(picture: Picture, box: Box): Candidate? {
        // A box without extent would make an empty window; no face is smaller than a pixel.
        val side = CONFIRM_WINDOW * max(box.longerSide, 1.0)
        val seen = confirm.find(picture, box.centreX, box.centreY, side, minOf(LOOK_SCORE, minScore))
        return merged(seen).firstOrNull { it.box.overlap(box) > MERGE_OVERLAP }
    }

    /** A square window to search, pixels of the picture. */
    internal data class Window(val centreX: Double, val centreY: Double, val side: Double)

    companion object {
        const val MIN_SCORE = 0.5f
        private const val SEARCH_SCORE = 0.4f // lower: the second network decides
        private const val LOOK_SCORE = 0.3f // of each of its two looks; their mean decides
        private const val MIN_WINDOW = 160.0 // pixels: smaller windows would find faces of fewer than 20 pixels
        private const val MAX_LEVELS = 4
        private const val WINDOW_OVERLAP = 1.0 / 3
        private const val WIDE_WINDOW = 2.0 // x the picture's longer side
        private const val CONFIRM_WINDOW = 4.0 // x the candidate's longer side
        private const val MERGE_OVERLAP = 0.3

        // From key points to the landmark box, shares of the network's box: asmnet_kit.predict.detector.
        private val SHIFT_X = doubleArrayOf(0.08, 0.64) // nose x, middle of the ears x
        private val SHIFT_Y = doubleArrayOf(-0.64, 1.01, 0.17, -0.12, -0.23)
        private val WIDTH = doubleArrayOf(3.25, -2.74, -4.28, 3.10, 1.25)
        private val HEIGHT = doubleArrayOf(0.85, -1.54, -1.47, 0.92, 1.22)
        private const val LEAST_EXTENT = 0.6
        private const val LARGEST_EXTENT = 1.7

        /** The window for a face that fills the picture: the picture in its middle. */
        internal fun wideWindow(width: Int, height: Int): Window =
            Window((width - 1) / 2.0, (height - 1) / 2.0, WIDE_WINDOW * max(width, height))

        /** The whole picture, then ever smaller windows that together cover it. */
        internal fun windows(width: Int, height: Int): List<Window> {
            val longer = max(width, height)
            return (0 until MAX_LEVELS).map { longer / (1 shl it).toDouble() }
                .filterIndexed { level, side -> level == 0 || side >= MIN_WINDOW }
                .flatMap { side -> centres(height, side).flatMap { y -> centres(width, side).map { x -> Window(x, y, side) } } }
        }

        /** Middles of the windows along one axis, pixel centres at whole numbers. */
        private fun centres(length: Int, side: Double): List<Double> {
            if (length <= side) return listOf((length - 1) / 2.0)
            val count = ceil((length - side) / (side * (1 - WINDOW_OVERLAP))).toInt() + 1
            val first = side / 2 - 0.5
            return List(count) { first + it * (length - side) / (count - 1) }
        }

        /**
         * One answer per face, best score first: the mean of those whose boxes overlap the best one, weighted by
         * their scores (MediaPipe's weighted non-maximum suppression).
         */
        internal fun merged(faces: List<Candidate>): List<Candidate> {
            var left = faces.sortedByDescending { it.score }
            val merged = ArrayList<Candidate>()
            while (left.isNotEmpty()) {
                val best = left.first() // an empty box overlaps nothing, not even itself
                val (same, others) = left.partition { it === best || it.box.overlap(best.box) > MERGE_OVERLAP }
                val total = same.sumOf { it.score.toDouble() }
                merged += mean(same, same.map { it.score / total }, best.score)
                left = others
            }
            return merged
        }

        /** One face: the mean of several by weights whose sum is 1, with a score. */
        private fun mean(faces: List<Candidate>, weights: List<Double>, score: Float): Candidate {
            fun of(value: (Candidate) -> Double) = faces.indices.sumOf { weights[it] * value(faces[it]) }
            val box = Box(of { it.box.x0 }, of { it.box.y0 }, of { it.box.x1 }, of { it.box.y1 })
            return Candidate(box, score, DoubleArray(faces[0].keyPoints.size) { i -> of { it.keyPoints[i] } })
        }

        /** The box that the 68 landmarks would have, from what the confirming network says. */
        internal fun landmarkBox(face: Candidate): Box {
            val box = face.box
            val side = (box.width + box.height) / 2
            val unit = max(side, java.lang.Float.MIN_NORMAL.toDouble())
            fun x(point: Int) = (face.keyPoints[2 * point] - box.centreX) / unit
            fun y(point: Int) = (face.keyPoints[2 * point + 1] - box.centreY) / unit
            val turn = doubleArrayOf(x(2), (x(4) + x(5)) / 2)
            val spread = doubleArrayOf((y(0) + y(1)) / 2, y(3), abs(x(1) - x(0)), abs(x(5) - x(4)), 1.0)
            val centreX = box.centreX + side * (turn dot SHIFT_X)
            val centreY = box.centreY + side * (spread dot SHIFT_Y)
            val halfWidth = side * (spread dot WIDTH).coerceIn(LEAST_EXTENT, LARGEST_EXTENT) / 2
            val halfHeight = side * (spread dot HEIGHT).coerceIn(LEAST_EXTENT, LARGEST_EXTENT) / 2
            return Box(centreX - halfWidth, centreY - halfHeight, centreX + halfWidth, centreY + halfHeight)
        }
    }
}

private infix fun DoubleArray.dot(other: DoubleArray): Double = indices.sumOf { this[it] * other[it] }
