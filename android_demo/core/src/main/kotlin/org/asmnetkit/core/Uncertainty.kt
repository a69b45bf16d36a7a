package org.asmnetkit.core

import kotlin.math.PI
import kotlin.math.exp
import kotlin.math.ln
import kotlin.math.max
import kotlin.math.sqrt

/**
 * From a face's expected error to the probability that its error (NME) is within a limit:
 * 1 / (1 + exp(slope ln(signal) - intercept)).
 */
data class LogisticFit(val intercept: Double, val slope: Double) {
    fun probability(signal: Double): Double = 1 / (1 + exp(slope * ln(max(signal, MIN_SIGNAL)) - intercept))

    private companion object {
        const val MIN_SIGNAL = 5e-4
    }
}

/**
 * What `asmnet-kit evaluate --calibrate` found out about a model's uncertainty.
 *
 * @property factor of sigma; 1 for a file that was not calibrated.
 * @property confidence null where nothing was fitted.
 */
data class UncertaintyCalibration(val factor: Double = 1.0, val confidence: LogisticFit? = null)

/** How sure a model is of each landmark, as `asmnet_kit.face.uncertainty` of the Python kit has it. */
object Uncertainty {
    private const val HUNDREDTH = 0.01 // of the crop's side, what exp(u) counts
    private const val LARGEST_LOGARITHM = 20.0
    private val MEAN_DISTANCE = sqrt(PI / 2) // of a two-dimensional normal distribution, in its sigma
    private val UNSURE_SHARE = 0.08 * 0.48 * 1.2 / MEAN_DISTANCE // of the box's longer side
    private const val HIDDEN_BELOW = 0.5f
    private const val LEAST_TRUST = 0.25

    /** Standard deviations, pixels of the picture, of the output `uncertainty` for a crop of [side] pixels. */
    fun sigma(output: FloatArray, side: Double, factor: Double): FloatArray = FloatArray(output.size) {
        (side * factor * HUNDREDTH * exp(clipped(output[it]))).toFloat()
    }

    /** Probabilities that a point can be seen, of the output `visibility`. */
    fun visible(output: FloatArray): FloatArray = FloatArray(output.size) { (1 / (1 + exp(-clipped(output[it])))).toFloat() }

    /** The error (NME) to be expected, as a share of what the [scheme] normalises by. */
    fun expectedNme(sigma: FloatArray, landmarks: FloatArray, scheme: Scheme): Double {
        val size = scheme.sizeOf(landmarks)
        return if (size > 0) MEAN_DISTANCE * sigma.average() / size else Double.POSITIVE_INFINITY
    }

    /** Whether point [index] may well be far off, or can rather not be seen, in a box of [boxSide] pixels. */
    fun isUnsure(index: Int, sigma: FloatArray?, visible: FloatArray?, boxSide: Double): Boolean =
        (sigma != null && sigma[index] > UNSURE_SHARE * boxSide) || (visible != null && visible[index] < HIDDEN_BELOW)

    /** How far the 1 euro filter follows each landmark: 1 for the surer half of them. */
    fun trust(sigma: FloatArray): DoubleArray {
        val usual = median(sigma.map(Float::toDouble))
        return DoubleArray(sigma.size) { (usual / max(sigma[it].toDouble(), 1e-9)).coerceIn(LEAST_TRUST, 1.0) }
    }

    private fun clipped(value: Float): Double = value.toDouble().coerceIn(-LARGEST_LOGARITHM, LARGEST_LOGARITHM)
}
