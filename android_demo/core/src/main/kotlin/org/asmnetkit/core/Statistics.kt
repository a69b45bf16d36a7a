package org.asmnetkit.core

import java.util.Locale
import kotlin.math.abs
import kotlin.math.exp
import kotlin.math.floor
import kotlin.math.ln
import kotlin.math.sqrt

private val PERCENTILES = mapOf("p50" to 50.0, "p90" to 90.0, "p99" to 99.0)
private const val TAIL = 0.025 // what may lie beyond either end of a 95 % interval
private const val MAX_SPREAD = 1.25 // p90 / p50
private const val MAX_DRIFT = 0.10 // of the median, between the first and the last third
private const val MIN_DRIFT_RUNS = 30
private const val STEADY_RUNS = 10 // times are steady when two medians of this many runs agree ...
private const val STEADY_SHARE = 0.02 // ... within this share

/** The [percent] percentile, interpolated linearly between the two nearest samples. */
fun percentile(samples: DoubleArray, percent: Double): Double {
    require(samples.isNotEmpty()) { "expected at least one sample" }
    val sorted = samples.sortedArray()
    val position = (sorted.size - 1) * percent / 100
    val below = floor(position).toInt()
    val above = minOf(below + 1, sorted.size - 1)
    return sorted[below] + (sorted[above] - sorted[below]) * (position - below)
}

/** The result file's `summary`: milliseconds, and runs per second. No sample is dropped. */
fun summarise(samplesMs: DoubleArray): Map<String, Double> {
    val mean = samplesMs.average()
    val summary = linkedMapOf("min" to samplesMs.min())
    for ((name, percent) in PERCENTILES) summary[name] = percentile(samplesMs, percent)
    summary["mean"] = mean
    summary["std"] = sqrt(samplesMs.sumOf { (it - mean) * (it - mean) } / samplesMs.size)
    val total = samplesMs.sum()
    summary["runs_per_second"] = if (total > 0) 1000 * samplesMs.size / total else 0.0
    return summary
}

/** 95 % intervals of the percentiles: samples of the binomial's ranks; null of too few runs. */
fun intervals(samplesMs: DoubleArray): Map<String, List<Double>?> {
    val sorted = samplesMs.sortedArray()
    return PERCENTILES.mapValues { (_, percent) ->
        ranks(sorted.size, percent / 100)?.let { (low, high) -> listOf(sorted[low], sorted[high]) }
    }
}

/** The ranks, from 0, between whose samples the percentile lies in 95 % of cases. */
private fun ranks(runs: Int, q: Double): Pair<Int, Int>? {
    // Logarithms of the binomial's probabilities, each from the one before; small ones vanish.
    val logs = DoubleArray(runs + 1)
    for (below in 1..runs) logs[below] = logs[below - 1] + ln((runs + 1.0 - below) / below * (q / (1 - q)))
    val most = logs.max()
    val shares = DoubleArray(runs + 1) { exp(logs[it] - most) }
    val tail = TAIL * shares.sum()
    var low = -1
    var beyond = shares[0]
    while (beyond <= tail) beyond += shares[++low + 1]
    var high = runs
    beyond = shares[runs]
    while (beyond <= tail) beyond += shares[--high]
    return if (low >= 0 && high < runs) low to high else null
}

/**
 * The medians of the first and of the last third of the runs: fresh, and after a while, which is what a film
 * gets. The kit's report ranks by the second.
 */
fun thirds(samplesMs: DoubleArray): Pair<Double, Double> {
    val third = maxOf(1, samplesMs.size / 3)
    val first = percentile(samplesMs.copyOfRange(0, third), 50.0)
    return first to percentile(samplesMs.copyOfRange(samplesMs.size - third, samplesMs.size), 50.0)
}

/** Do the last runs take as long as those before them? Of too few runs nobody can say. */
fun steady(times: List<Double>): Boolean {
    if (times.size < 2 * STEADY_RUNS) return true
    fun median(runs: List<Double>) = percentile(runs.toDoubleArray(), 50.0)
    val last = median(times.takeLast(STEADY_RUNS))
    val earlier = median(times.takeLast(2 * STEADY_RUNS).take(STEADY_RUNS))
    return abs(last - earlier) <= STEADY_SHARE * earlier
}

/** Reasons, in sentences, why these samples may not repeat; empty when there are none. */
fun instability(samplesMs: DoubleArray): List<String> {
    val reasons = ArrayList<String>()
    val p50 = percentile(samplesMs, 50.0)
    val p90 = percentile(samplesMs, 90.0)
    if (p50 > 0 && p90 / p50 > MAX_SPREAD) {
        reasons += "unstable: p90 is %.0f %% above p50; close other programs and measure again"
            .format(Locale.ROOT, 100 * (p90 / p50 - 1))
    }
    if (samplesMs.size >= MIN_DRIFT_RUNS) {
        val (first, last) = thirds(samplesMs)
        if (first > 0 && abs(last / first - 1) > MAX_DRIFT) {
            val cause = if (last > first) " (throttled by heat or power?)" else ""
            reasons += (
                "drifting: the median of the last third of the runs is %+.0f %% off the first third's; " +
                    "the clock frequency or the load changed%s"
                ).format(Locale.ROOT, 100 * (last / first - 1), cause)
        }
    }
    return reasons
}

/** Means over the last [size] values: what a display shows without flicker. */
class RunningMean(private val size: Int) {
    private val values = ArrayDeque<Double>()

    fun add(value: Double) {
        values.addLast(value)
        if (values.size > size) values.removeFirst()
    }

    fun clear() = values.clear()

    /** null before the first value. */
    val mean: Double? get() = if (values.isEmpty()) null else values.average()
}
