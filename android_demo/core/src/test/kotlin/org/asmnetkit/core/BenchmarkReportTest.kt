package org.asmnetkit.core

import java.io.File
import java.nio.ByteBuffer
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class BenchmarkReportTest {
    private val model = ModelFile.read("nano_98_112_qat_w8a8.tflite", ByteBuffer.wrap(Golden.read("model_file")["model"].bytes))

    private fun report(refusal: String? = null) = BenchmarkReport(
        runId = "run-1",
        appVersion = "0.1.0",
        measuredAt = "2026-01-01T00:00:00Z",
        model = model,
        target = TargetFacts(
            requested = "android:gpu",
            actual = if (refusal == null) "android:gpu" else "android:cpu",
            threads = 2,
            delegate = if (refusal == null) "GPU" else "XNNPACK",
            delegatedOps = null,
            totalOps = model.totalOps,
            proof = listOf("the process kept 0.10 CPU cores busy during the timed runs"),
            refusal = refusal,
        ),
        machine = mapOf("cpu" to null, "architecture" to "arm64-v8a", "cores" to 8, "memory_bytes" to 8_000_000_000L),
        runtimeName = "TensorFlow Lite",
        runtimeVersion = "2.16.1",
        kernels = "GPU delegate",
        protocol = Protocol(warmupRuns = 20, runs = 40, minSeconds = 0.0, requestedRuns = 40, input = "noise"),
        timings = Timings(12.5, 4.0, DoubleArray(40) { 2.0 + it % 3 }, 0.5, null, 3.0),
        peakRssBytes = 90_000_000L,
        parity = null,
        warnings = emptyList(),
        notes = listOf("not measured: post"),
    )

    /** Required keys of an object in the schema, and of the objects below it. */
    private fun missing(schema: Golden, value: Any?, path: String): List<String> {
        val about = schema.entries
        if (value !is Map<*, *>) return emptyList()
        val absent = about["required"]?.list.orEmpty().map { it.text }.filter { it !in value.keys }.map { "$path.$it" }
        val below = about["properties"]?.entries.orEmpty()
        return absent + below.flatMap { (key, child) -> missing(child, value[key], "$path.$key") }
    }

    @Test
    fun `a report has every key the kit's schema asks for`() {
        val written = Json.parse(report().toJson())
        assertEquals(emptyList<String>(), missing(Golden.read("result_schema"), written, "result"))
    }

    @Test
    fun `a report tells what was asked for, what ran and why`() {
        val text = report(refusal = "GPU delegate: no OpenCL").toJson()
        @Suppress("UNCHECKED_CAST")
        val target = (Json.parse(text) as Map<String, Any?>)["target"] as Map<String, Any?>
        assertEquals("android:gpu", target["requested"])
        assertEquals("android:cpu", target["actual"])
        assertEquals("GPU delegate: no OpenCL", target["refusal"])
    }

    @Test
    fun `unstable samples are warned of`() {
        val samples = DoubleArray(40) { if (it % 5 == 0) 9.0 else 1.0 }
        val shaky = report().copy(timings = Timings(1.0, 1.0, samples, null, null, null))
        assertTrue("unstable" in shaky.toJson())
    }

    /** Python checks this file against its schema (tests/android/test_reports.py). */
    @Test
    fun `a report is written for Python to check`() {
        val folder = System.getProperty("asmnetkit.reports") ?: return
        File(folder).mkdirs()
        File(folder, "core.json").writeText(report().toJson())
    }
}
