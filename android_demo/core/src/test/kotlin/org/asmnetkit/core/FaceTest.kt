package org.asmnetkit.core

import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

class FaceTest {
    @Test
    fun `rotations and drawn axes are Python's`() {
        val golden = Golden.read("poses")
        val (x, y) = golden["origin"].doubles.toList()
        for (case in golden["cases"].list) {
            val (yaw, pitch, roll) = case["angles"].floats.toList()
            val pose = Pose(yaw, pitch, roll)
            for ((expected, row) in case["rotation"].list.zip(pose.rotation())) {
                assertArrayEquals(expected.doubles, row, 1e-12)
            }
            // Python's axes are float32 near 150 pixels: half a unit in the last place is 8e-6.
            for ((expected, end) in case["axes"].list.zip(pose.axes(x, y, golden["length"].double))) {
                assertArrayEquals(expected.doubles, end, 1e-4)
            }
        }
    }

    @Test
    fun `a face from the front points at the viewer`() {
        val (right, chin, nose) = Pose(0f, 0f, 0f).axes(10.0, 20.0, 5.0)
        assertArrayEquals(doubleArrayOf(15.0, 20.0), right, 1e-12)
        assertArrayEquals(doubleArrayOf(10.0, 25.0), chin, 1e-12)
        assertArrayEquals(doubleArrayOf(10.0, 20.0), nose, 1e-12)
    }

    @Test
    fun `both schemes have Python's parts and mirror images`() {
        for ((points, expected) in Golden.read("schemes").entries) {
            val scheme = Scheme.of(points.toInt())!!
            assertEquals(expected["outer_eye_corners"].ints, scheme.normaliser!!.toList())
            assertEquals(
                expected["parts"].list.map { Triple(it["name"].text, it["points"].ints, it["closed"].boolean) },
                scheme.parts.map { Triple(it.name, it.points, it.closed) },
            )
            assertEquals(expected["mirror"].ints, scheme.mirror)
            assertEquals(expected["outlines_face"].boolean, scheme.outlinesFace)
            assertEquals(expected["has_mirror_image"].boolean, scheme.hasMirrorImage)
        }
    }

    @Test
    fun `points chosen from a scheme outline a face as Python has it`() {
        val cases = Golden.read("chosen_schemes")["cases"].list
        for (case in cases) {
            val scheme = Scheme.of(case["scheme"].json as Map<*, *>, case["scheme"]["points"].int)
            assertEquals(case["outlines_face"].boolean, scheme.outlinesFace)
            assertEquals(case["has_mirror_image"].boolean, scheme.hasMirrorImage)
        }
        assertEquals(setOf(true, false), cases.map { it["outlines_face"].boolean }.toSet())
        assertEquals(setOf(true, false), cases.map { it["has_mirror_image"].boolean }.toSet())
    }
}
