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
) {
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
            "warnings" to warnings + instability(timings.invoke),
            "notes" to notes,
        ),
    )
}
