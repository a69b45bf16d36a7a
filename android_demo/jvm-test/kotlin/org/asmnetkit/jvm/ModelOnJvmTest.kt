package org.asmnetkit.jvm

import java.io.ByteArrayOutputStream
import java.io.File
import java.nio.ByteBuffer
import java.util.Base64
import kotlin.math.abs
import org.asmnetkit.core.Accelerator
import org.asmnetkit.core.AcceleratorChoice
import org.asmnetkit.core.AcceleratorRuntime
import org.asmnetkit.core.Backend
import org.asmnetkit.core.Benchmark
import org.asmnetkit.core.BenchmarkRequest
import org.asmnetkit.core.Box
import org.asmnetkit.core.Device
import org.asmnetkit.core.FaceModel
import org.asmnetkit.core.Feed
import org.asmnetkit.core.InputEncoder
import org.asmnetkit.core.Json
import org.asmnetkit.core.ModelException
import org.asmnetkit.core.ModelFile
import org.asmnetkit.core.RgbPicture
import org.asmnetkit.core.TensorFile
import org.asmnetkit.core.operatorsTaken
import org.asmnetkit.cpu.CpuEngine
import org.asmnetkit.cpu.CpuNetwork
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** The app's own arithmetic and a real int8 model on this machine, against Python's runtime. */
class ModelOnJvmTest {
    private val path = File(System.getProperty("asmnetkit.model"))
    private val model = read(path)
    private val engines = AcceleratorChoice(CpuEngine.Runtime, NoAccelerators)

    private fun read(path: File): ModelFile = path.readBytes().let { bytes ->
        ModelFile.read(path.name, ByteBuffer.allocateDirect(bytes.size).apply { put(bytes); rewind() })
    }

    @Suppress("UNCHECKED_CAST")
    private val cases = (Json.parse(File(path.path.removeSuffix(".tflite") + ".expected.json").readText()) as Map<String, Any?>)
        .getValue("cases") as List<Map<String, Any?>>

    private fun crop(case: Map<String, Any?>) = Base64.getDecoder().decode(case["crop"] as String)

    private fun expected(case: Map<String, Any?>, kernels: String, output: String): List<Int> =
        ((case[kernels] as Map<*, *>)[output] as List<*>).map { (it as Number).toInt() }

    @Test
    fun `an int8 model gives Python's raw outputs`() {
        engines.open(model, Backend(Accelerator.CPU, 1)).use { engine ->
            val input = engine.input.allocate()
            val outputs = engine.outputs.mapValues { it.value.allocate() }
            var largest = 0
            for (case in cases) {
                InputEncoder(engine.input).encode(crop(case), input)
                engine.run(input, outputs)
                for ((name, buffer) in outputs) {
                    val python = expected(case, "xnnpack", name)
                    val builtin = expected(case, "builtin", name)
                    for (i in python.indices) {
                        val raw = buffer.get(i).toInt()
                        largest = maxOf(largest, minOf(abs(raw - python[i]), abs(raw - builtin[i])))
                    }
                }
            }
            println("largest difference of a raw output to Python's: $largest")
            // Kernels of two versions may round a requantization differently, which later layers carry on.
            assertTrue(largest <= 2) { "raw outputs differ by $largest" }
        }
    }

    /**
     * The rule that the app judges a GPU or NNAPI by, with XNNPACK in the part of the delegate: it takes
     * all of a float model and of an int8 one, and without it no operator is taken.
     */
    @Test
    fun `the execution plan tells whether a delegate took operators`() {
        val float = read(File(System.getProperty("asmnetkit.float-model")))
        fun taken(model: ModelFile, xnnpack: Boolean) =
            CpuNetwork(model.name, model.content, threads = 1, xnnpack).use { operatorsTaken(model.totalOps, it.planLength) }
        assertEquals(0, taken(float, xnnpack = false))
        assertEquals(0, taken(model, xnnpack = false))
        assertEquals(float.totalOps, taken(float, xnnpack = true))
        assertEquals(model.totalOps, taken(model, xnnpack = true))
    }

    @Test
    fun `what is no model is refused in a sentence`() {
        val bytes = ByteBuffer.allocateDirect(64)
        val error = assertThrows(ModelException::class.java) { CpuNetwork("x.tflite", bytes, threads = 1) }
        assertEquals("x.tflite: not a .tflite file", error.message)
    }

    @Test
    fun `a whole frame goes through the model`() {
        engines.open(model, Backend(Accelerator.CPU, 2)).use { engine ->
            val size = model.metadata.inputSize
            // The crop as a picture of its own: a window of exactly its size is a copy of it.
            val box = Box(0.0, 0.0, size / model.metadata.cropScale, size / model.metadata.cropScale)
            val middle = (size - 1) / 2.0 - box.centreX
            val centred = Box(box.x0 + middle, box.y0 + middle, box.x1 + middle, box.y1 + middle)
            val face = FaceModel(model, engine).look(RgbPicture(size, size, crop(cases[0])), centred)
            val info = engine.outputs.getValue("landmarks")
            val python = expected(cases[0], "xnnpack", "landmarks")
            for (i in python.indices) {
                val point = (size - 1) / 2.0 + info.scale!! * (python[i] - info.zeroPoint) * size
                assertEquals(point, face.landmarks[i].toDouble(), 2.0 * info.scale!! * size + 1e-3)
            }
        }
    }

    @Test
    fun `the benchmark measures it`() {
        val request = BenchmarkRequest("jvm-1", model.name, Backend(Accelerator.GPU, 1), runs = 50, minSeconds = 0.0)
        var progress = -1.0
        val report = Benchmark(engines, Pc, "0.1.0").measure(request, model, "2026-01-01T00:00:00+00:00") { progress = it }
        assertEquals("android:cpu", report.target.actual)
        assertEquals("a PC has none", report.target.refusal)
        assertTrue("a PC has none" in report.warnings)
        assertEquals(50, report.timings.invoke.size)
        assertTrue(progress <= 1.0)
        val folder = System.getProperty("asmnetkit.reports") ?: return
        File(folder).mkdirs()
        File(folder, "benchmark.json").writeText(report.toJson())
    }

    @Test
    fun `the benchmark runs the inputs that Python cut`() {
        val given = File(path.path.removeSuffix(".tflite") + ".inputs.tensors")
        val inputs = TensorFile.read(given.name, ByteBuffer.wrap(given.readBytes()))
        val request = BenchmarkRequest("jvm-2", model.name, Backend(Accelerator.CPU, 1), warmupRuns = 0, runs = 1, minSeconds = 0.0)
        val written = ByteArrayOutputStream()
        Benchmark(engines, Pc, "0.1.0").measure(request, model, "2026-01-01T00:00:00+00:00", Feed(inputs, written)) {}
        val outputs = TensorFile.read("outputs", ByteBuffer.wrap(written.toByteArray()))
        assertEquals(cases.size, outputs.records)
        for ((number, case) in cases.withIndex()) {
            val record = outputs.record(number)
            for (tensor in outputs.tensors) {
                val python = expected(case, "xnnpack", tensor.name)
                val builtin = expected(case, "builtin", tensor.name)
                for (i in python.indices) {
                    val raw = record.get().toInt()
                    assertTrue(minOf(abs(raw - python[i]), abs(raw - builtin[i])) <= 2) { "${tensor.name} of crop $number: $raw" }
                }
            }
            assertEquals(0, record.remaining())
        }
        // Python reads this copy, too (tests/android/test_reports.py).
        val folder = System.getProperty("asmnetkit.reports") ?: return
        File(folder).mkdirs()
        File(folder, "outputs.tensors").writeBytes(written.toByteArray())
    }

    private object NoAccelerators : AcceleratorRuntime {
        override fun unavailable(accelerator: Accelerator) = "a PC has none"
        override fun doubts(accelerator: Accelerator) = emptyList<String>()
        override fun open(model: ModelFile, requested: Backend, warnings: List<String>) = throw ModelException("a PC has none")
    }

    private object Pc : Device {
        override fun facts() = mapOf<String, Any?>("cpu" to "PC", "architecture" to System.getProperty("os.arch"), "cores" to Runtime.getRuntime().availableProcessors())
        override fun processCpuMs() = java.lang.management.ManagementFactory.getThreadMXBean().currentThreadCpuTime / 1_000_000
        override fun peakRssBytes(): Long? = null
        override fun disturbances() = emptyList<String>()
    }
}
