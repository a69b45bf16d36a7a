package org.asmnetkit.core

import kotlin.math.PI
import kotlin.math.abs
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class OneEuroFilterTest {
    @Test
    fun `it filters as Python does`() {
        val golden = Golden.read("one_euro")
        val seconds = golden["seconds"].doubles
        for (case in golden["cases"].list) {
            val filter = OneEuroFilter()
            val trust = case["trust"].takeIf { !it.isNull }?.doubles
            for ((i, row) in golden["values"].list.withIndex()) {
                val filtered = filter.update(row.floats, golden["scale"].double, seconds[i], trust)
                assertArrayEquals(case["filtered"].list[i].floats, filtered, 1e-5f, "row $i, trust ${trust?.toList()}")
            }
        }
    }

    @Test
    fun `the first values pass unchanged`() {
        assertArrayEquals(floatArrayOf(3f, -4f), OneEuroFilter().update(floatArrayOf(3f, -4f), 1.0, 10.0))
    }

    @Test
    fun `without speed it is a first-order low-pass`() {
        // beta 0: share = 1 / (1 + 1 / (2 pi f T)) with f = 1 Hz, T = 0.1 s.
        val filter = OneEuroFilter(minCutoff = 1.0, beta = 0.0)
        filter.update(floatArrayOf(0f), 1.0, 0.0)
        val share = 1 / (1 + 1 / (2 * PI * 0.1))
        assertEquals(share, filter.update(floatArrayOf(1f), 1.0, 0.1)[0].toDouble(), 1e-6)
    }

    @Test
    fun `a point that is trusted half is followed with half the cut-off`() {
        val filter = OneEuroFilter(minCutoff = 4.0, beta = 0.0)
        val slower = OneEuroFilter(minCutoff = 2.0, beta = 0.0)
        for ((i, value) in listOf(0f, 1f, 0.5f).withIndex()) {
            val found = filter.update(floatArrayOf(value, value, value, value), 1.0, i / 30.0, doubleArrayOf(0.5, 1.0))
            val expected = slower.update(floatArrayOf(value), 1.0, i / 30.0)[0]
            assertEquals(expected, found[0], 1e-6f)
            assertEquals(expected, found[1], 1e-6f) // y of the same point
            assertTrue(i == 0 || found[2] != expected)
        }
    }

    @Test
    fun `a trembling point trembles less`() {
        val filter = OneEuroFilter()
        val noise = List(300) { 50f + if (it % 2 == 0) 0.5f else -0.5f }
        val filtered = noise.mapIndexed { i, v -> filter.update(floatArrayOf(v), 150.0, i / 30.0)[0] }
        assertTrue(filtered.drop(30).maxOf { abs(it - 50f) } < 0.25f)
    }

    @Test
    fun `a moving face hardly lags`() {
        // One face size per second at 30 frames per second.
        val filter = OneEuroFilter()
        val lags = List(60) { i -> i * 150f / 30 - filter.update(floatArrayOf(i * 150f / 30), 150.0, i / 30.0)[0] }
        assertTrue(lags.drop(30).max() < 0.04f * 150) { "lags ${lags.max() / 150} face sizes behind" }
    }

    @Test
    fun `near and far faces are treated alike`() {
        fun run(scale: Float): List<Float> {
            val filter = OneEuroFilter()
            return List(20) { filter.update(floatArrayOf(scale * it * it), scale.toDouble(), it / 30.0)[0] / scale }
        }
        assertArrayEquals(run(1f).toFloatArray(), run(64f).toFloatArray(), 1e-3f)
    }

    @Test
    fun `a gap or another number of points starts anew`() {
        val filter = OneEuroFilter()
        filter.update(floatArrayOf(0f), 1.0, 0.0)
        assertEquals(9f, filter.update(floatArrayOf(9f), 1.0, 2.0)[0])
        assertArrayEquals(floatArrayOf(1f, 2f), filter.update(floatArrayOf(1f, 2f), 1.0, 2.03))
        assertArrayEquals(floatArrayOf(7f, 7f), filter.update(floatArrayOf(7f, 7f), 1.0, 1.0))
    }
}
