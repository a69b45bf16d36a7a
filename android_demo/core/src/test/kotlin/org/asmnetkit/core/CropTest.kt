package org.asmnetkit.core

import kotlin.math.abs
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory
import org.junit.jupiter.api.DynamicTest.dynamicTest

class CropTest {
    private val golden = Golden.read("crops")
    private val picture = RgbPicture(golden["width"].int, golden["height"].int, golden["rgb"].bytes)

    private fun cropOf(case: Golden) = Crop.of(case["box"].box, case["size"].int, case["scale"].double)

    @TestFactory
    fun `a crop has Python's pixels`() = golden["cases"].list.map { case ->
        dynamicTest(case["name"].text) {
            val cut = cropOf(case).cut(picture)
            val expected = case["crop"].bytes
            val differences = expected.indices.map { abs((cut[it].toInt() and 255) - (expected[it].toInt() and 255)) }
            // Both round the same bilinear means, but a tie up here and to even there. Slopes sampled
            // at sixteenths of a pixel, as with blocks of 2 here, have a tie in every 16th value.
            assertTrue(differences.max() <= 1) { "a pixel differs by ${differences.max()} levels" }
            assertTrue(differences.average() <= 2.0 / 16) { "pixels differ by ${differences.average()} levels on average" }
        }
    }

    @TestFactory
    fun `a crop has Python's geometry`() = golden["cases"].list.map { case ->
        dynamicTest(case["name"].text) {
            val crop = cropOf(case)
            // Python's box is float32; its sums are exact to 1e-5 of a pixel.
            assertArrayEquals(case["centre"].doubles, doubleArrayOf(crop.centreX, crop.centreY), 1e-5)
            assertEquals(case["side"].double, crop.side, 1e-5)
            assertArrayEquals(case["fractions"].floats, crop.toFractions(case["points"].floats), 1e-6f)
            assertArrayEquals(case["back"].floats, crop.toPicture(case["fractions"].floats), 1e-4f)
        }
    }

    @Test
    fun `an upright crop of whole pixels is a copy`() {
        // side = size = 4 around (2.5, 1.5): k = 1 and crop pixel (0, 0) is picture pixel (1, 0).
        val bytes = ByteArray(6 * 4 * 3) { it.toByte() }
        val cut = Crop(2.5, 1.5, 4.0, 4).cut(RgbPicture(6, 4, bytes))
        assertArrayEquals(ByteArray(12) { (3 + it).toByte() }, cut.copyOfRange(0, 12))
        assertArrayEquals(ByteArray(12) { (18 + 3 + it).toByte() }, cut.copyOfRange(12, 24))
    }

    @Test
    fun `a window far outside the picture is black`() {
        assertTrue(Crop(1e9, -1e9, 50.0, 8).cut(picture).all { it.toInt() == 0 })
        assertTrue(Crop(1e6, -1e6, 500.0, 8).cut(picture).all { it.toInt() == 0 })
    }

    @Test
    fun `a window without extent is refused`() {
        assertThrows(IllegalArgumentException::class.java) { Crop(0.0, 0.0, 0.0, 8) }
        assertThrows(IllegalArgumentException::class.java) { Crop(Double.NaN, 0.0, 1.0, 8) }
    }

    @Test
    fun `overlap is the shared area over the area of both`() {
        val box = Box(0.0, 0.0, 2.0, 2.0)
        assertEquals(1.0, box.overlap(box))
        assertEquals(1.0 / 7, box.overlap(Box(1.0, 1.0, 3.0, 3.0)), 1e-12)
        assertEquals(0.0, box.overlap(Box(5.0, 5.0, 6.0, 6.0)))
    }
}
