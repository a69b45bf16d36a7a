package org.asmnetkit.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.CsvSource

class OrientationTest {
    @ParameterizedTest(name = "sensor {0}, display {1}, front {2}: turn {3}")
    @CsvSource(
        // A usual phone: back sensor at 90, front at 270. Held upright both need their own angle;
        // turned to its left (ROTATION_90) the sensors' rows are level with the horizon.
        "90, 0, false, 90", "90, 90, false, 0", "90, 180, false, 270", "90, 270, false, 180",
        "270, 0, true, 270", "270, 90, true, 0", "270, 180, true, 90", "270, 270, true, 180",
        // A tablet whose sensor is mounted along its natural landscape.
        "0, 0, false, 0", "0, 90, false, 270",
    )
    fun `frames are turned upright`(sensor: Int, display: Int, front: Boolean, turn: Int) {
        assertEquals(turn, uprightTurn(sensor, display, front))
    }

    @Test
    fun `a picture fits in the middle of a view`() {
        val placement = Placement(640, 480, 1080, 1920, mirrored = false)
        assertEquals(1080.0 / 640, placement.scale)
        assertEquals(0.0, placement.left)
        assertEquals((1920 - 810) / 2.0, placement.top)
        // The middle between the two middle pixels is the middle of the view.
        assertEquals(540.0, placement.viewX(319.5), 1e-9)
        assertEquals(960.0, placement.viewY(239.5), 1e-9)
    }

    @Test
    fun `a mirrored picture swaps left and right only`() {
        val plain = Placement(640, 480, 640, 480, mirrored = false)
        val mirrored = plain.copy(mirrored = true)
        assertEquals(plain.viewX(0.0), mirrored.viewX(639.0), 1e-9)
        assertEquals(plain.viewY(7.0), mirrored.viewY(7.0), 1e-9)
    }

    @Test
    fun `a touch finds the pixel below it`() {
        for (mirrored in listOf(false, true)) {
            val placement = Placement(480, 640, 1080, 1794, mirrored)
            assertEquals(123.0, placement.pictureX(placement.viewX(123.0)), 1e-9)
            assertEquals(45.0, placement.pictureY(placement.viewY(45.0)), 1e-9)
        }
    }

    @Test
    fun `a picture that fills the view covers all of it`() {
        for (mirrored in listOf(false, true)) {
            val placement = Placement(480, 640, 411, 891, mirrored, fills = true)
            assertEquals(891.0 / 640, placement.scale, 1e-12)
            assertEquals(0.0, placement.top, 1e-9)
            assertEquals(411 - 480 * placement.scale, 2 * placement.left, 1e-9) // cut off on both sides alike
            assertEquals(100.0, placement.pictureX(placement.viewX(100.0)), 1e-9)
        }
    }

    @Test
    fun `a picture of which less than half would be seen does not fill the view`() {
        val wide = Placement(1280, 720, 360, 800, mirrored = false, fills = true) // a film beside which a phone stands upright
        assertEquals(360.0 / 1280, wide.scale, 1e-12)
        assertEquals(0.0, wide.left, 1e-9)
        assertEquals(800.0 / 640, Placement(480, 640, 360, 800, mirrored = false, fills = true).scale, 1e-12)
    }
}
