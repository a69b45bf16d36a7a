package org.asmnetkit.core

import java.nio.ByteBuffer
import kotlin.math.abs
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class PictureTest {
    /** Pixels 0xAABBCC... of a 3 x 2 picture, numbered row by row: 0 1 2 / 3 4 5. */
    private val numbered = ArgbPicture(3, 2, IntArray(6) { it })

    private fun rows(picture: Picture) =
        List(picture.height) { y -> List(picture.width) { x -> picture.rgb(x, y) } }

    @Test
    fun `YUV becomes Python's colours`() {
        for (colour in Golden.read("yuv")["colours"].list) {
            val (y, u, v, red, green) = colour.ints
            val got = YuvColours.OF_CAMERAS.toRgb(y, u, v)
            val parts = listOf(got shr 16, (got shr 8) and 255, got and 255)
            // 2^-17 per coefficient times 128 is far below half a level: only ties differ.
            for ((a, b) in parts.zip(listOf(red, green, colour.ints[5]))) {
                assertTrue(abs(a - b) <= 1) { "$y $u $v: expected ${colour.ints.drop(3)}, got $parts" }
            }
        }
    }

    @Test
    fun `grey needs no chroma`() {
        for (y in 0..255) assertEquals(y * 0x010101, YuvColours.OF_CAMERAS.toRgb(y, 128, 128))
    }

    @Test
    fun `planes with padding and interleaved chroma are read`() {
        // 4 x 2 pixels; rows of Y are 6 bytes apart; U and V share one buffer, two bytes a pixel.
        val luma = ByteBuffer.wrap(byteArrayOf(10, 20, 30, 40, 99, 99, 50, 60, 70, 80))
        val chroma = byteArrayOf(-128, -128, -128, -128) // 128: grey
        val picture = YuvPicture(
            4,
            2,
            Plane(luma, 6, 1),
            Plane(ByteBuffer.wrap(chroma), 4, 2),
            Plane(ByteBuffer.wrap(chroma, 1, 3).slice(), 4, 2),
        )
        assertEquals(listOf(10, 20, 30, 40), List(4) { picture.rgb(it, 0) and 255 })
        assertEquals(listOf(50, 60, 70, 80), List(4) { picture.rgb(it, 1) and 255 })
    }

    @Test
    fun `a quarter turn clockwise puts the left column on top`() {
        assertEquals(listOf(listOf(3, 0), listOf(4, 1), listOf(5, 2)), rows(TurnedPicture(numbered, 90)))
        assertEquals(listOf(listOf(5, 4, 3), listOf(2, 1, 0)), rows(TurnedPicture(numbered, 180)))
        assertEquals(listOf(listOf(2, 5), listOf(1, 4), listOf(0, 3)), rows(TurnedPicture(numbered, 270)))
        assertEquals(rows(numbered), rows(TurnedPicture(numbered, 0)))
        assertThrows(IllegalArgumentException::class.java) { TurnedPicture(numbered, 45) }
    }

    @Test
    fun `a turned point shows the pixel it showed before`() {
        for (turn in listOf(0, 90, 180, 270)) {
            val turned = TurnedPicture(numbered, turn)
            for (y in 0..1) for (x in 0..2) {
                val (u, v) = turnedPoint(x, y, 3, 2, turn)
                assertEquals(numbered.rgb(x, y), turned.rgb(u.toInt(), v.toInt()), "turned by $turn")
            }
        }
    }

    @Test
    fun `copied pixels are opaque`() {
        val pixels = IntArray(6)
        numbered.copyArgb(pixels)
        assertEquals(List(6) { 0xFF000000.toInt() or it }, pixels.toList())
    }

    /** A pixel of a width x height picture after that picture was turned clockwise. */
    private fun turnedPoint(x: Int, y: Int, width: Int, height: Int, clockwiseDegrees: Int) = when (clockwiseDegrees) {
        90 -> Pair(height - 1 - y, x)
        180 -> Pair(width - 1 - x, height - 1 - y)
        270 -> Pair(y, width - 1 - x)
        else -> Pair(x, y)
    }

    @Test
    fun `a thinned picture has every nth pixel`() {
        val source = ArgbPicture(5, 3, IntArray(15) { it })
        val thin = ThinnedPicture(source, 2)
        assertEquals(3 to 2, thin.width to thin.height)
        assertEquals(listOf(0, 2, 4, 10, 12, 14), (0..1).flatMap { y -> (0..2).map { x -> thin.rgb(x, y) } })
    }

    /** The colours of a film's 8 bits by the definition in ITU-R BT.601 and BT.709: Y = kr R + kg G + kb B, 16..235. */
    @Test
    fun `a film's colours are those that it was made of`() {
        for (standard in YuvColours.Standard.entries) {
            val colours = YuvColours(standard, isFull = false)
            val kg = 1 - standard.kr - standard.kb
            for (rgb in listOf(0x000000, 0xFFFFFF, 0x808080, 0xFF0000, 0x00FF00, 0x0000FF, 0xE0AC90, 0x3C2820)) {
                val (red, green, blue) = listOf(16, 8, 0).map { ((rgb shr it) and 255) / 255.0 }
                val light = standard.kr * red + kg * green + standard.kb * blue
                val y = Math.round(16 + 219 * light).toInt()
                val u = Math.round(128 + 224 * (blue - light) / (2 * (1 - standard.kb))).toInt()
                val v = Math.round(128 + 224 * (red - light) / (2 * (1 - standard.kr))).toInt()
                val got = colours.toRgb(y, u, v)
                for (shift in listOf(16, 8, 0)) {
                    val apart = abs(((got shr shift) and 255) - ((rgb shr shift) and 255))
                    assertTrue(apart <= 3) { "$standard %06x: got %06x".format(rgb, got) } // Y, U and V are rounded
                }
            }
        }
        assertEquals(0x101010, YuvColours.OF_CAMERAS.toRgb(16, 128, 128)) // what a film's black was shown as
        assertEquals(0x000000, YuvColours(YuvColours.Standard.BT709, isFull = false).toRgb(16, 128, 128))
    }
}
