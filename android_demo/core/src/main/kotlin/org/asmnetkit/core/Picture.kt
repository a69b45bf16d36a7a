package org.asmnetkit.core

import java.nio.ByteBuffer

/**
 * A picture to sample from. (0, 0) is the *centre* of the top-left pixel, x right, y down, as in
 * every file and formula of the kit.
 */
interface Picture {
    val width: Int
    val height: Int

    /** The colour of a pixel inside the picture as 0xRRGGBB. */
    fun rgb(x: Int, y: Int): Int
}

/** Packed bytes R, G, B, row by row, without padding. */
class RgbPicture(override val width: Int, override val height: Int, private val bytes: ByteArray) : Picture {
    init {
        require(bytes.size == width * height * 3) {
            "expected ${width * height * 3} bytes for $width x $height pixels, got ${bytes.size}"
        }
    }

    override fun rgb(x: Int, y: Int): Int {
        val at = (y * width + x) * 3
        return rgb(bytes[at].toInt() and 255, bytes[at + 1].toInt() and 255, bytes[at + 2].toInt() and 255)
    }
}

/** 0xAARRGGBB integers row by row, as Android's Bitmap gives them; alpha is ignored. */
class ArgbPicture(override val width: Int, override val height: Int, private val pixels: IntArray) : Picture {
    init {
        require(pixels.size >= width * height) {
            "expected ${width * height} pixels for $width x $height, got ${pixels.size}"
        }
    }

    override fun rgb(x: Int, y: Int): Int = pixels[y * width + x] and 0xFFFFFF
}

/** One plane of a YUV 4:2:0 frame; a row or a pixel may be followed by bytes that are not its own. */
class Plane(val bytes: ByteBuffer, val rowStride: Int, val pixelStride: Int) {
    /** The value 0..255 at column [x] of row [y] of this plane. */
    operator fun get(x: Int, y: Int): Int = bytes.get(y * rowStride + x * pixelStride).toInt() and 255
}

/** A YUV_420_888 frame; the chroma planes [u] and [v] have half the width and height. */
class YuvPicture(
    override val width: Int,
    override val height: Int,
    private val y: Plane,
    private val u: Plane,
    private val v: Plane,
    private val colours: YuvColours = YuvColours.OF_CAMERAS,
) : Picture {
    override fun rgb(x: Int, y: Int): Int {
        val chromaX = x shr 1
        val chromaY = y shr 1
        return colours.toRgb(this.y[x, y], u[chromaX, chromaY], v[chromaX, chromaY])
    }
}

/** [source] turned clockwise by 0, 90, 180 or 270 degrees; no pixel is copied. */
class TurnedPicture(private val source: Picture, private val clockwiseDegrees: Int) : Picture {
    init {
        requireQuarterTurn(clockwiseDegrees)
    }

    private val swapped = clockwiseDegrees % 180 != 0
    override val width = if (swapped) source.height else source.width
    override val height = if (swapped) source.width else source.height

    override fun rgb(x: Int, y: Int): Int = when (clockwiseDegrees) {
        90 -> source.rgb(y, source.height - 1 - x)
        180 -> source.rgb(source.width - 1 - x, source.height - 1 - y)
        270 -> source.rgb(source.width - 1 - y, x)
        else -> source.rgb(x, y)
    }
}

/** Every [step]th pixel of every [step]th row of [source]: a large film as large as a screen shows it. */
class ThinnedPicture(private val source: Picture, private val step: Int) : Picture {
    init {
        require(step >= 1) { "expected a step of at least 1, got $step" }
    }

    override val width = (source.width + step - 1) / step
    override val height = (source.height + step - 1) / step

    override fun rgb(x: Int, y: Int): Int = source.rgb(step * x, step * y)
}

/** All pixels of the picture as 0xFFRRGGBB, row by row, into [pixels]. */
fun Picture.copyArgb(pixels: IntArray) {
    require(pixels.size >= width * height) { "expected room for ${width * height} pixels, got ${pixels.size}" }
    var at = 0
    for (y in 0 until height) for (x in 0 until width) pixels[at++] = rgb(x, y) or OPAQUE
}

/**
 * How Y, U and V become colours: R = Y + 2 (1 - kr) V, B = Y + 2 (1 - kb) U, G so that Y = kr R + kg G + kb B,
 * rounded and clipped to 0..255. Coefficients are multiplied by 2^16.
 *
 * @property isFull whether Y, U and V have all of 0..255; else Y is 16..235, U and V are 16..240, as most films have it.
 */
data class YuvColours(val standard: Standard, val isFull: Boolean) {
    /** Shares of red and blue in Y. */
    enum class Standard(val kr: Double, val kb: Double) {
        BT601(0.299, 0.114),
        BT709(0.2126, 0.0722),
        BT2020(0.2627, 0.0593),
    }

    private val black = if (isFull) 0 else 16
    private val luma = fixed(if (isFull) 1.0 else 255.0 / 219)
    private val chroma = if (isFull) 1.0 else 255.0 / 224
    private val redOfV = 2 * (1 - standard.kr) * chroma
    private val blueOfU = 2 * (1 - standard.kb) * chroma
    private val red = fixed(redOfV)
    private val blue = fixed(blueOfU)
    private val greenOfV = fixed(redOfV * standard.kr / (1 - standard.kr - standard.kb))
    private val greenOfU = fixed(blueOfU * standard.kb / (1 - standard.kr - standard.kb))

    /** 0xRRGGBB of values of 0..255. */
    fun toRgb(y: Int, u: Int, v: Int): Int {
        val light = luma * (y - black) + HALF
        return rgb(
            clip((light + red * (v - 128)) shr 16),
            clip((light - greenOfU * (u - 128) - greenOfV * (v - 128)) shr 16),
            clip((light + blue * (u - 128)) shr 16),
        )
    }

    companion object {
        /** Full-range BT.601 (JFIF), which is what cameras deliver as YUV_420_888. */
        val OF_CAMERAS = YuvColours(Standard.BT601, isFull = true)

        private fun fixed(coefficient: Double) = Math.round(65536 * coefficient).toInt()
    }
}

internal fun rgb(red: Int, green: Int, blue: Int): Int = (red shl 16) or (green shl 8) or blue

internal fun requireQuarterTurn(degrees: Int) =
    require(degrees in QUARTER_TURNS) { "expected a turn of 0, 90, 180 or 270 degrees, got $degrees" }

private fun clip(value: Int): Int = if (value < 0) 0 else if (value > 255) 255 else value

private const val HALF = 1 shl 15
private const val OPAQUE = 0xFF shl 24
private val QUARTER_TURNS = setOf(0, 90, 180, 270)
