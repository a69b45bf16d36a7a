package org.asmnetkit.core

/** Where a model was asked to run and where it ran. */
data class TargetFacts(
    val requested: String,
    val actual: String,
    val threads: Int?,
    val delegate: String?,
    /** Null where nothing tells how many operators the delegate took. */
    val delegatedOps: Int?,
    val totalOps: Int?,
    val proof: List<String>,
    /** Why [actual] is not what was requested; null when it is. */
    val refusal: String?,
)

/** What was asked for and done. */
data class Protocol(val warmupRuns: Int, val runs: Int, val minSeconds: Double, val requestedRuns: Int, val input: String)

/** Milliseconds; [pre], [post] and [endToEnd] are medians over frames, null when not measured. */
class Timings(
    val load: Double,
    val first: Double,
    val invoke: DoubleArray,
    val pre: Double?,
    val post: Double?,
    val endToEnd: Double?,
)

/** The median of [runs] runs, which ended [seconds] after the sustained run began; milliseconds. */
class Window(val seconds: Double, val runs: Int, val p50: Double, val p90: Double)

/** Runs without a pause, for [minutes]: the result file's `sustained`. */
class Sustained(val minutes: Double, val windows: List<Window>) {
    /** Medians of the windows' medians: of the first and the last fifth of them. */
    private val ends: Pair<Double, Double> = windows.map { it.p50 }.let { medians ->
        val fifth = maxOf(1, medians.size / 5)
        percentile(medians.take(fifth).toDoubleArray(), 50.0) to percentile(medians.takeLast(fifth).toDoubleArray(), 50.0)
    }

    fun toMap(): Map<String, Any?> = linkedMapOf(
        "minutes" to minutes,
        "windows" to windows.map { linkedMapOf("seconds" to it.seconds, "runs" to it.runs, "p50" to it.p50, "p90" to it.p90) },
        "first_p50" to ends.first,
        "last_p50" to ends.second,
        "slowdown" to if (ends.first > 0) ends.second / ends.first else null,
    )
}

/** A benchmark result of the kit: the JSON of `toolkit/results/results.schema.json`, made on a phone. */
data class BenchmarkReport(
    val runId: String,
    val appVersion: String,
    val measuredAt: String,
    val model: ModelFile,
    val target: TargetFacts,
    val machine: Map<String, Any?>,
    val runtimeName: String,
    val runtimeVersion: String,
    val kernels: String,
    val protocol: Protocol,
    val timings: Timings,
    val peakRssBytes: Long?,
    /** Null where the CPU ran the model. */
    val parity: Parity?,
    val warnings: List<String>,
    val notes: List<String>,
    /** Null where it was not asked for. */
    val sustained: Sustained? = null,
) {
    /**
     * Medians of the first and of the last third: of the sustained run where there is one, else of the timed runs.
     * The kit's report ranks by the second.
     */
    fun thirds(): Pair<Double, Double> = thirds(sustained?.run { windows.map { it.p50 }.toDoubleArray() } ?: timings.invoke)

    fun toJson(): String = Json.write(
        linkedMapOf(
            "schema_version" to 1,
            "kind" to "benchmark",
            "run_id" to runId,
            "kit_version" to appVersion,
            "measured_at" to measuredAt,
            "model" to linkedMapOf(
                "name" to model.name.removeSuffix(".tflite"),
                "file" to model.name,
                "sha256" to model.sha256,
                "size_bytes" to model.sizeBytes,
                "recipe" to model.metadata.recipe,
                "architecture" to model.metadata.architecture,
                "metadata" to model.metadata.json,
            ),
            "target" to linkedMapOf(
                "requested" to target.requested,
                "actual" to target.actual,
                "threads" to target.threads,
                "delegate" to target.delegate,
                "delegated_ops" to target.delegatedOps,
                "total_ops" to target.totalOps,
                "proof" to target.proof,
                "refusal" to target.refusal,
            ),
            "machine" to machine,
            "runtime" to linkedMapOf("name" to runtimeName, "version" to runtimeVersion, "kernels" to kernels),
            "protocol" to linkedMapOf(
                "warmup_runs" to protocol.warmupRuns,
                "runs" to protocol.runs,
                "min_seconds" to protocol.minSeconds,
                "requested_runs" to protocol.requestedRuns,
                "input" to protocol.input,
                "timed" to "put the input in, invoke, read every output",
                "load" to "interpreter and delegate made, tensors allocated; the file is in memory",
            ),
            "timings_ms" to linkedMapOf(
                "load" to timings.load,
                "first" to timings.first,
                "invoke" to timings.invoke.toList(),
                "pre" to timings.pre,
                "post" to timings.post,
                "end_to_end" to timings.endToEnd,
            ),
            "summary" to summarise(timings.invoke),
            "intervals_ms" to intervals(timings.invoke),
            "memory" to linkedMapOf("peak_rss_bytes" to peakRssBytes, "model_arena_bytes" to null),
            "accuracy" to null,
            "parity" to parity?.toMap(),
            "output_check" to parity?.outputCheck(),
            "profile" to null,
            "sustained" to sustained?.toMap(),
            "warnings" to warnings + instability(timings.invoke),
            "notes" to notes,
        ),
    )
}
