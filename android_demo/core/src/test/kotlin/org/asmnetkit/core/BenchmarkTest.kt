package org.asmnetkit.core

import java.nio.ByteBuffer
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class BenchmarkTest {
    private val model = ModelFile.read("nano_98_112_qat_w8a8.tflite", ByteBuffer.wrap(Golden.read("model_file")["model"].bytes))

    /** A model whose landmarks are [fraction] wherever it looks. */
    internal class Still(
        override val requested: Backend,
        private val fraction: Float,
        private val onRun: () -> Unit = {},
    ) : Engine {
        override val actual = requested.accelerator
        override val refusal: String? = null
        override val runtimeName = "fake"
        override val runtimeVersion = "0"
        override val kernels = "a fake for tests"
        override val proof = "a fake for tests"
        override val delegatedOps: Int? = null
        override val input = TensorInfo("image", listOf(1, 112, 112, 3), ElementType.INT8, 1 / 128f, 0)
        override val outputs = mapOf(
            "landmarks" to TensorInfo("landmarks", listOf(1, 196), ElementType.FLOAT32, null, 0),
            "pose" to TensorInfo("pose", listOf(1, 3), ElementType.FLOAT32, null, 0),
        )

        override fun run(input: ByteBuffer, outputs: Map<String, ByteBuffer>) {
            onRun()
            outputs.getValue("landmarks").apply { rewind() }.let { out -> repeat(196) { out.putFloat(fraction + it / 1000f) } }
        }

        override fun close() = Unit
    }

    internal object NoPhone : Device {
        override fun facts() = mapOf<String, Any?>("cpu" to null, "architecture" to "none", "cores" to 1)
        override fun processCpuMs() = 0L
        override fun peakRssBytes(): Long? = null
        override fun disturbances() = emptyList<String>()
    }

    private fun request(accelerator: Accelerator) =
        BenchmarkRequest("run-1", model.name, Backend(accelerator, 1), warmupRuns = 1, runs = 3, minSeconds = 0.0)

    private fun measured(request: BenchmarkRequest, factory: EngineFactory) =
        Benchmark(factory, NoPhone, "0.1.0").measure(request, model, "2026-01-01T00:00:00Z") {}

    /** What is measured of an engine whose n-th run takes [runMs] of n, by a clock that nothing else moves. */
    private fun timed(request: BenchmarkRequest, runMs: (Int) -> Long): BenchmarkReport {
        var runs = 0
        var now = 0L
        val factory = EngineFactory { _, backend -> Still(backend, 0.5f) { now += 1_000_000 * runMs(runs++) } }
        return Benchmark(factory, NoPhone, "0.1.0", nanoTime = { now }).measure(request, model, "2026-01-01T00:00:00Z") {}
    }

    @Test
    fun `an accelerator's landmarks are compared with the CPU's`() {
        val apart = EngineFactory { _, backend -> Still(backend, if (backend.accelerator == Accelerator.GPU) 0.51f else 0.5f) }
        val report = measured(request(Accelerator.GPU), apart)
        val parity = requireNotNull(report.parity)
        assertEquals(1.12, parity.max, 1e-4) // 0.01 of 112 pixels, in float32
        assertEquals(1.12, parity.mean, 1e-4)
        assertFalse(parity.identical)
        assertTrue(report.warnings.none { "last bit" in it })
        val written = (Json.parse(report.toJson()) as Map<*, *>)["parity"] as Map<*, *>
        assertEquals("pixels of the 112 px crop", written["unit"])
        assertEquals(8L, written["inputs"])
    }

    @Test
    fun `an accelerator whose outputs are not numbers has a result that says so`() {
        val broken = EngineFactory { _, backend -> Still(backend, if (backend.accelerator == Accelerator.GPU) Float.NaN else 0.5f) }
        val report = measured(request(Accelerator.GPU), broken)
        val written = Json.parse(report.toJson()) as Map<*, *> // NaN is no JSON
        assertNull(written["parity"])
        val check = written["output_check"] as Map<*, *>
        assertEquals(false, check["passed"])
        // 8 inputs of 196 landmark values and 3 of the pose, which this engine leaves at 0.
        val reason = "1568 of 1592 output values are not finite: what ran the model computes it wrongly"
        assertEquals(reason, check["cause"])
        assertTrue(reason in report.warnings)
        System.getProperty("asmnetkit.reports")?.let { folder ->
            java.io.File(folder).mkdirs()
            java.io.File(folder, "not-finite.json").writeText(report.toJson()) // for Python's schema
        }
    }

    @Test
    fun `an engine's warnings are the result's`() {
        val report = measured(request(Accelerator.GPU)) { _, backend ->
            object : Engine by Still(backend, 0.5f) {
                override val warnings = listOf("nobody tested this")
            }
        }
        assertTrue("nobody tested this" in report.warnings)
    }

    @Test
    fun `who wants to stop a measurement throws where progress is told, in the warm-up, too`() {
        var runs = 0
        var now = 0L
        val slow = EngineFactory { _, backend -> Still(backend, 0.5f) { runs++; now += 150_000_000 } }
        val asked = BenchmarkRequest("run-1", model.name, Backend(Accelerator.CPU, 1), warmupRuns = 50, runs = 100, minSeconds = 0.0)
        val benchmark = Benchmark(slow, NoPhone, "0.1.0", nanoTime = { now })
        assertThrows(InterruptedException::class.java) {
            benchmark.measure(asked, model, "2026-01-01T00:00:00Z") { throw InterruptedException() }
        }
        assertEquals(2, runs) // the first one, and the first of the warm-up
    }

    @Test
    fun `a measurement of more than an hour is refused`() {
        val error = assertThrows(IllegalArgumentException::class.java) {
            BenchmarkRequest("run-1", model.name, Backend(Accelerator.CPU, 1), maxSeconds = 3601.0)
        }
        assertEquals("expected at most 3600.0 seconds, got 3601.0", error.message)
    }

    @Test
    fun `an accelerator that gives the CPU's very bits is warned of`() {
        val report = measured(request(Accelerator.NNAPI)) { _, backend -> Still(backend, 0.5f) }
        assertEquals(true, report.parity?.identical)
        assertEquals(0.0, report.parity?.max)
        assertTrue(report.warnings.any { "last bit" in it })
    }

    /** How often an engine runs to warm up, at least ten times, when its n-th run takes [runMs] of n. */
    private fun warmupRuns(runMs: (Int) -> Long): Int {
        val asked = BenchmarkRequest("run-1", model.name, Backend(Accelerator.CPU, 1), warmupRuns = 10, runs = 1, minSeconds = 0.0)
        return timed(asked, runMs).protocol.warmupRuns
    }

    @Test
    fun `the warm-up goes on until the times are steady, and not for ever`() {
        // The first run is timed by itself.
        assertEquals(10, warmupRuns { 30 })
        assertEquals(50, warmupRuns { 4L shl ((it - 1) / 10) }) // ten runs take twice the last ten
    }

    @Test
    fun `runs stop when their time is over, and the result says so`() {
        val asked = BenchmarkRequest(
            "run-1", model.name, Backend(Accelerator.CPU, 1), warmupRuns = 0, runs = 1000, minSeconds = 0.0, maxSeconds = 0.1,
        )
        val report = timed(asked) { 20 }
        assertEquals(List(5) { 20.0 }, report.timings.invoke.toList()) // the sixth would start after 0.1 s
        assertTrue("stopped after 0 s with 5 of 1000 runs" in report.warnings) { "${report.warnings}" }
    }

    @Test
    fun `a GPU's result says what it calculated in`() {
        val asked = BenchmarkRequest("run-1", model.name, Backend(Accelerator.GPU, 1, GpuPrecision.FP16), runs = 1, minSeconds = 0.0)
        assertEquals("GPU fp16", measured(asked) { _, backend -> Still(backend, 0.5f) }.target.delegate)
        assertEquals("GPU fp32", measured(request(Accelerator.GPU)) { _, backend -> Still(backend, 0.5f) }.target.delegate)
    }

    @Test
    fun `the CPU is not compared with itself`() {
        assertNull(measured(request(Accelerator.CPU)) { _, backend -> Still(backend, 0.5f) }.parity)
    }

    @Test
    fun `an execution plan as long as the model shows nothing that a delegate took`() {
        assertEquals(0, operatorsTaken(totalOps = 31, planLength = 31))
        assertEquals(0, operatorsTaken(totalOps = 1, planLength = 1))
        assertEquals(31, operatorsTaken(totalOps = 31, planLength = 1))
        assertNull(operatorsTaken(totalOps = 31, planLength = 30)) // 2 as one node, 4 as three, ...
    }

    @Test
    fun `a sustained run is windows of medians, by whose last third it is ranked`() {
        val asked = BenchmarkRequest(
            "run-1", model.name, Backend(Accelerator.CPU, 1), warmupRuns = 0, runs = 1, minSeconds = 0.0, sustainedSeconds = 30.0,
        )
        // The first and the timed run, then 100 ms each, from the 152nd on 200: a phone that has become warm.
        val report = timed(asked) { if (it < 152) 100 else 200 }
        val windows = requireNotNull(report.sustained).windows
        assertEquals(listOf(100.0, 100.0, 100.0, 200.0, 200.0, 200.0), windows.map { it.p50 })
        assertEquals(listOf(50, 50, 50, 25, 25, 25), windows.map { it.runs })
        assertEquals(100.0 to 200.0, report.thirds())
        val written = (Json.parse(report.toJson()) as Map<*, *>)["sustained"] as Map<*, *>
        assertEquals(listOf(0.5, 2.0), listOf(written["minutes"], written["slowdown"]))
    }

    @Test
    fun `without a sustained run the timed runs' thirds count`() {
        val asked = BenchmarkRequest("run-1", model.name, Backend(Accelerator.CPU, 1), warmupRuns = 0, runs = 9, minSeconds = 0.0)
        val report = timed(asked) { 10L * it }
        assertNull(report.sustained)
        assertEquals(20.0 to 80.0, report.thirds())
    }

    /** Half a second of timed runs and 10 s without a pause, 20 ms each; what progress was told. */
    private fun sustained(engine: (Backend, onRun: () -> Unit) -> Engine): Pair<BenchmarkReport, List<Double>> {
        var now = 0L
        val told = ArrayList<Double>()
        val asked = BenchmarkRequest(
            "run-1", model.name, Backend(Accelerator.GPU, 1), warmupRuns = 0, runs = 1, minSeconds = 0.5, sustainedSeconds = 10.0,
        )
        val factory = EngineFactory { _, backend -> engine(backend) { now += 20_000_000 } }
        val report = Benchmark(factory, NoPhone, "0.1.0", nanoTime = { now }).measure(asked, model, "2026-01-01T00:00:00Z") { told += it }
        return report to told
    }

    @Test
    fun `progress never goes back, and is a share of the whole time`() {
        val (_, told) = sustained { backend, onRun -> Still(backend, 0.5f, onRun) }
        assertEquals(told.sorted(), told)
        assertTrue(told.last() in 0.9..1.0) { "$told" }
        assertTrue(told.first() < 0.05) { "$told" } // 0.1 of 10.5 s are over
    }

    @Test
    fun `what does not run as asked has no place, and no minutes without a pause`() {
        val (report, _) = sustained { backend, onRun ->
            object : Engine by Still(backend, 0.5f, onRun) {
                override val actual = Accelerator.CPU
                override val refusal: String? = "nnapi: there is none".takeIf { backend.accelerator != Accelerator.CPU }
            }
        }
        assertNull(report.sustained)
    }
}
