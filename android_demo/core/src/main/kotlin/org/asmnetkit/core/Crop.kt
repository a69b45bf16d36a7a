package org.asmnetkit.core

import kotlin.math.ceil
import kotlin.math.floor
import kotlin.math.max
import kotlin.math.min

/** A rectangle in pixels of a picture; corners are pixel centres. */
data class Box(val x0: Double, val y0: Double, val x1: Double, val y1: Double) {
    val width get() = x1 - x0
    val height get() = y1 - y0
    val centreX get() = (x0 + x1) / 2
    val centreY get() = (y0 + y1) / 2
    val longerSide get() = max(width, height)

    /** Shared area divided by the area of both together, 0..1. */
    fun overlap(other: Box): Double {
        val shared = max(0.0, min(x1, other.x1) - max(x0, other.x0)) * max(0.0, min(y1, other.y1) - max(y0, other.y0))
        val together = width * height + other.width * other.height - shared
        return if (together > 0) shared / together else 0.0
    }

    companion object {
        /** Boxes that [overlap] at least so much are of one face. */
        const val MIN_OVERLAP = 0.3

        /** The smallest box around points (x, y) interleaved. */
        fun around(points: FloatArray): Box {
            require(points.size >= 4) { "expected at least 2 points, got ${points.size / 2}" }
            val xs = points.filterIndexed { i, _ -> i % 2 == 0 }
            val ys = points.filterIndexed { i, _ -> i % 2 == 1 }
            return Box(xs.min().toDouble(), ys.min().toDouble(), xs.max().toDouble(), ys.max().toDouble())
        }
    }
}

/**
 * A square window of a picture, resampled to [size] x [size] pixels: the kit's one crop.
 *
 * A point p of the picture is at q = k (p - centre) + (size - 1) / 2 of the crop, k = size / side.
 * Models predict fractions f of the side from the centre: p = centre + f side.
 */
data class Crop(val centreX: Double, val centreY: Double, val side: Double, val size: Int) {
    init {
        require(side > 0 && side.isFinite() && centreX.isFinite() && centreY.isFinite() && size > 0) {
            "expected a window with a side above 0, got $this"
        }
    }

    /** Crop pixels per picture pixel. */
    val k get() = size / side

    /** Pixels of the picture (x, y interleaved) of what a model predicts. */
    fun toPicture(fractions: FloatArray): FloatArray = FloatArray(fractions.size) { i ->
        ((if (i % 2 == 0) centreX else centreY) + fractions[i] * side).toFloat()
    }

    /** Fractions of the side from the centre (x, y interleaved) of pixels of the picture. */
    fun toFractions(points: FloatArray): FloatArray = FloatArray(points.size) { i ->
        ((points[i] - (if (i % 2 == 0) centreX else centreY)) / side).toFloat()
    }

    /**
     * The crop's pixels: R, G, B bytes, size x size x 3, sampled bilinearly, black outside the picture.
     *
     * A map that shrinks by more than two would skip pixels, so the picture is first halved until it
     * does not: means of 2 x 2 pixels, from its top-left corner, rounded each time.
     */
    fun cut(picture: Picture, into: ByteArray = ByteArray(size * size * 3)): ByteArray {
        require(into.size == size * size * 3) { "expected room for ${size * size * 3} bytes, got ${into.size}" }
        if (k >= 0.5) {
            sample(picture, sampledAt(centreX, picture.width), sampledAt(centreY, picture.height), into)
            return into
        }
        var n = 1
        while (n * k < 0.5 && n < MAX_BLOCK) n *= 2
        val blocks = Blocks.of(picture, n, windowOf(centreX, n), windowOf(centreY, n))
        // Block s covers picture pixels n s ... n s + n - 1: its centre is at n s + (n - 1) / 2.
        val small = copy(
            centreX = (centreX - (n - 1) / 2.0) / n - blocks.left,
            centreY = (centreY - (n - 1) / 2.0) / n - blocks.top,
            side = side / n,
        )
        return small.cutUnshrunk(blocks, into)
    }

    private fun cutUnshrunk(picture: Picture, into: ByteArray): ByteArray {
        sample(picture, sampledAt(centreX, picture.width), sampledAt(centreY, picture.height), into)
        return into
    }

    /** The blocks, first and one behind the last, that the crop touches along one axis. */
    private fun windowOf(centre: Double, n: Int): IntRange {
        val reach = (size + 1) / 2.0 / k
        return (floor((centre - reach) / n).toInt() - 1)..(ceil((centre + reach) / n).toInt() + 1)
    }

    /** Where the crop's columns (or rows) lie between the picture's. */
    private fun sampledAt(centre: Double, length: Int): Taps {
        val taps = Taps(size)
        for (i in 0 until size) {
            val position = (i - (size - 1) / 2.0) / k + centre
            // Far outside it is black anyway; staying near keeps the index inside an Int.
            val near = position.coerceIn(-2.0, length + 1.0)
            val first = floor(near)
            taps.first[i] = first.toInt()
            taps.share[i] = (near - first).toFloat()
        }
        return taps
    }

    private fun sample(picture: Picture, columns: Taps, rows: Taps, into: ByteArray) {
        var at = 0
        for (v in 0 until size) {
            val y = rows.first[v]
            val down = rows.share[v]
            for (u in 0 until size) {
                val x = columns.first[u]
                val right = columns.share[u]
                val topLeft = picture.orBlack(x, y)
                val topRight = picture.orBlack(x + 1, y)
                val bottomLeft = picture.orBlack(x, y + 1)
                val bottomRight = picture.orBlack(x + 1, y + 1)
                var shift = 16
                while (shift >= 0) {
                    val top = mix((topLeft shr shift) and 255, (topRight shr shift) and 255, right)
                    val bottom = mix((bottomLeft shr shift) and 255, (bottomRight shr shift) and 255, right)
                    into[at++] = (top + (bottom - top) * down + 0.5f).toInt().toByte()
                    shift -= 8
                }
            }
        }
    }

    private class Taps(size: Int) {
        val first = IntArray(size)
        val share = FloatArray(size)
    }

    companion object {
        /** The crop of a face box: the box's centre, side = [scale] x its longer side. */
        fun of(box: Box, size: Int, scale: Double): Crop = Crop(box.centreX, box.centreY, scale * box.longerSide, size)
    }
}

/** A picture halved until n pixels are one, n a power of two; block (left, top) of the whole picture is pixel (0, 0) of this one. */
private class Blocks(
    override val width: Int,
    override val height: Int,
    val left: Int,
    val top: Int,
    private val pixels: IntArray,
) : Picture {
    override fun rgb(x: Int, y: Int): Int = pixels[y * width + x]

    companion object {
        fun of(picture: Picture, n: Int, columns: IntRange, rows: IntRange): Blocks {
            val left = max(0, columns.first)
            val top = max(0, rows.first)
            val width = max(1, min(columns.last, (picture.width + n - 1) / n) - left)
            val height = max(1, min(rows.last, (picture.height + n - 1) / n) - top)
            val pixels = IntArray(width * height) { mean(picture, n, n * (left + it % width), n * (top + it / width)) }
            return Blocks(width, height, left, top, pixels)
        }

        /** The n x n pixels from (x, y) on; what of them is over the border counts as black. */
        private fun mean(picture: Picture, n: Int, x: Int, y: Int): Int {
            if (x >= picture.width || y >= picture.height) return 0
            if (n == 1) return picture.rgb(x, y)
            val half = n / 2
            val a = mean(picture, half, x, y)
            val b = mean(picture, half, x + half, y)
            val c = mean(picture, half, x, y + half)
            val d = mean(picture, half, x + half, y + half)
            fun channel(shift: Int) =
                (((a shr shift) and 255) + ((b shr shift) and 255) + ((c shr shift) and 255) + ((d shr shift) and 255) + 2) shr 2
            return rgb(channel(16), channel(8), channel(0))
        }
    }
}

private const val MAX_BLOCK = 1 shl 20 // then no picture is more than a pixel

private fun Picture.orBlack(x: Int, y: Int): Int = if (x < 0 || y < 0 || x >= width || y >= height) 0 else rgb(x, y)

private fun mix(first: Int, second: Int, share: Float): Float = first + (second - first) * share
