package org.asmnetkit.core

import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

class UncertaintyTest {
    private val golden = Golden.read("uncertainty")

    @Test
    fun `outputs become pixels and probabilities as in Python`() {
        val sigma = Uncertainty.sigma(golden["uncertainty"].floats, golden["side"].double, golden["factor"].double)
        assertArrayEquals(golden["sigma"].floats, sigma, 1e-4f)
        assertArrayEquals(golden["visible"].floats, Uncertainty.visible(golden["visibility"].floats), 1e-6f)
    }

    @Test
    fun `a face's confidence is the one of Python`() {
        val (sigma, landmarks) = listOf("sigma", "landmarks").map { golden[it].floats }
        val expected = Uncertainty.expectedNme(sigma, landmarks, Scheme.OF_68)
        assertEquals(golden["expected_nme"].double, expected, 1e-6)
        val fit = LogisticFit(golden["intercept"].double, golden["slope"].double)
        assertEquals(golden["confidence"].double, fit.probability(expected), 1e-5)
        assertEquals(Double.POSITIVE_INFINITY, Uncertainty.expectedNme(sigma, FloatArray(136), Scheme.OF_68))
        assertEquals(0.0, fit.probability(Double.POSITIVE_INFINITY))
    }

    @Test
    fun `the same points are unsure, and trusted as far, as in Python`() {
        val (sigma, visible) = listOf("sigma", "visible").map { golden[it].floats }
        val unsure = (0 until 68).filter { Uncertainty.isUnsure(it, sigma, visible, golden["box_side"].double) }
        assertEquals(golden["unsure"].ints, unsure)
        assertArrayEquals(golden["trust"].doubles, Uncertainty.trust(sigma), 1e-5)
    }
}
