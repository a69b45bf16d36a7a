package org.asmnetkit.core

import kotlin.math.PI
import kotlin.math.abs

/**
 * The 1 euro filter (Casiez, Roussel, Vogel, CHI 2012): a low-pass whose cut-off rises with speed, so
 * that a still face does not tremble and a moving one does not lag.
 *
 * Values are filtered in units of [update]'s scale (the face's size), so the same settings serve near
 * and far faces.
 *
 * @param minCutoff Hz, at rest: lower trembles less.
 * @param beta how fast the cut-off rises with speed (face sizes per second): higher lags less.
 * @param speedCutoff Hz, of the speed's own low-pass.
 */
class OneEuroFilter(
    private val minCutoff: Double = 1.0,
    private val beta: Double = 30.0,
    private val speedCutoff: Double = 1.0,
) {
    private var values: DoubleArray? = null
    private var speeds = DoubleArray(0)
    private var lastSeconds = 0.0

    /**
     * Filter one frame's values; a frame from the past, after a gap or of another length starts anew.
     *
     * @param trust of each point, whose x and y follow each other in [measured]: what the cut-off is multiplied by.
     */
    fun update(measured: FloatArray, scale: Double, seconds: Double, trust: DoubleArray? = null): FloatArray {
        val previous = values
        val elapsed = seconds - lastSeconds
        lastSeconds = seconds
        if (previous == null || previous.size != measured.size || elapsed <= 0 || elapsed > MAX_GAP_SECONDS) {
            values = DoubleArray(measured.size) { measured[it].toDouble() }
            speeds = DoubleArray(measured.size)
            return measured.copyOf()
        }
        val speedShare = share(speedCutoff, elapsed)
        for (i in measured.indices) {
            val speed = (measured[i] - previous[i]) / (scale * elapsed)
            speeds[i] += speedShare * (speed - speeds[i])
            val valueShare = share((trust?.get(i / 2) ?: 1.0) * (minCutoff + beta * abs(speeds[i])), elapsed)
            previous[i] += valueShare * (measured[i] - previous[i])
        }
        return FloatArray(measured.size) { previous[it].toFloat() }
    }

    fun reset() {
        values = null
    }

    /** The share of a new value in a first-order low-pass: 1 / (1 + tau / T), tau = 1 / (2 pi f). */
    private fun share(cutoff: Double, elapsed: Double): Double = 1 / (1 + 1 / (2 * PI * cutoff * elapsed))

    private companion object {
        const val MAX_GAP_SECONDS = 0.5
    }
}
