package org.asmnetkit.demo

import android.content.Intent
import android.os.Looper
import android.widget.TextView
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.asmnetkit.core.ElementType
import org.asmnetkit.core.EngineFactory
import org.asmnetkit.core.Json
import org.asmnetkit.core.Pose
import org.asmnetkit.core.TensorFile
import org.asmnetkit.core.TensorKind
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
class BenchmarkActivityTest {
    private val folder get() = File(RuntimeEnvironment.getApplication().getExternalFilesDir(null), BenchmarkActivity.FOLDER)

    @Before
    fun `use an engine without native code`() {
        BenchmarkActivity.engines = FakeEngine.Factory()
    }

    @After
    fun restore() {
        BenchmarkActivity.engines = LiteRtEngine.Factory
    }

    /** As `adb shell am start` does it; returns the file that appears. */
    private fun run(intent: Intent, expected: String): File {
        val activity = Robolectric.buildActivity(BenchmarkActivity::class.java, intent).setup()
        val file = File(folder, expected)
        val end = System.currentTimeMillis() + 60_000
        while (!file.exists()) {
            check(System.currentTimeMillis() < end) { "no $file; ${folder.list()?.toList()}" }
            Thread.sleep(10)
            shadowOf(Looper.getMainLooper()).idle()
        }
        shadowOf(Looper.getMainLooper()).idle()
        assertTrue(activity.get().findViewById<TextView>(R.id.outcome).text.isNotEmpty())
        activity.pause().stop().destroy()
        return file
    }

    @Test
    fun `a run writes the kit's result`() {
        val intent = Intent()
            .putExtra(BenchmarkActivity.RUN_ID, "robolectric-1")
            .putExtra(BenchmarkActivity.DELEGATE, "gpu")
            .putExtra(BenchmarkActivity.THREADS, 2)
            .putExtra(BenchmarkActivity.WARMUP, 1)
            .putExtra(BenchmarkActivity.RUNS, 20)
            .putExtra(BenchmarkActivity.SECONDS, 0f)
        val file = run(intent, "robolectric-1.json")
        @Suppress("UNCHECKED_CAST")
        val result = Json.parse(file.readText()) as Map<String, Any?>
        val target = result["target"] as Map<*, *>
        assertEquals("android:gpu", target["requested"])
        assertEquals("android:cpu", target["actual"])
        assertEquals("gpu refused this model: a test has none", target["refusal"])
        assertEquals(2L, target["threads"])
        assertEquals(listOf("robolectric-1.json"), folder.list().orEmpty().sorted())
        // Python checks this copy against its schema (tests/android/test_reports.py).
        val reports = File(System.getProperty("asmnetkit.reports")).apply { mkdirs() }
        file.copyTo(File(reports, "activity.json"), overwrite = true)
    }

    /** A file of inputs where `adb push` puts it. */
    private fun push(name: String, tensors: List<TensorKind>, records: Int) {
        val file = File(RuntimeEnvironment.getApplication().getExternalFilesDir(BenchmarkActivity.INPUTS), name)
        file.outputStream().use { out ->
            TensorFile.writeHeader(out, tensors, records)
            out.write(ByteArray(records * tensors.sumOf { it.bytes }.toInt()))
        }
    }

    @Test
    fun `given inputs have their outputs beside the result`() {
        val size = Models(RuntimeEnvironment.getApplication()).run { open(first()).metadata.inputSize }
        push("crops.tensors", listOf(TensorKind("image", ElementType.INT8, listOf(1, size, size, 3))), records = 3)
        val intent = Intent()
            .putExtra(BenchmarkActivity.RUN_ID, "given-1")
            .putExtra(BenchmarkActivity.WARMUP, 0)
            .putExtra(BenchmarkActivity.RUNS, 1)
            .putExtra(BenchmarkActivity.SECONDS, 0f)
            .putExtra(BenchmarkActivity.INPUTS, "crops.tensors")
        run(intent, "given-1.json")
        val outputs = TensorFile.read("outputs", ByteBuffer.wrap(File(folder, "given-1.tensors").readBytes()))
        assertEquals(listOf("landmarks", "pose"), outputs.tensors.map { it.name })
        assertEquals(3, outputs.records)
        val last = outputs.record(2).order(ByteOrder.LITTLE_ENDIAN)
        last.position(last.position() + 136 * 4)
        assertEquals(TestFace.pose.yaw / Pose.UNIT_DEGREES, last.getFloat(), 1e-6f)
        assertEquals(listOf("given-1.json", "given-1.tensors"), folder.list().orEmpty().sorted())
    }

    @Test
    fun `inputs that are missing or of another model are refused`() {
        push("other.tensors", listOf(TensorKind("image", ElementType.INT8, listOf(1, 8, 8, 3))), records = 1)
        val refused = mapOf("none.tensors" to "expected the name of a file", "other.tensors" to "expected inputs of", "../models" to "expected the name")
        for ((name, message) in refused) {
            val runId = "refused-${message.length}-${name.length}"
            val intent = Intent().putExtra(BenchmarkActivity.RUN_ID, runId).putExtra(BenchmarkActivity.INPUTS, name)
            assertTrue(message in run(intent, "$runId.error.json").readText())
        }
        assertTrue(folder.list().orEmpty().all { it.endsWith(".error.json") }) // no half of a file stays
    }

    @Test
    fun `a failure is written too`() {
        val file = run(Intent().putExtra(BenchmarkActivity.RUN_ID, "bad-1").putExtra(BenchmarkActivity.MODEL, "none.tflite"), "bad-1.error.json")
        val result = Json.parse(file.readText()) as Map<*, *>
        assertEquals("bad-1", result["run_id"])
        assertTrue("none.tflite" in result["error"] as String)
    }

    @Test
    fun `a failure that nobody foresaw is written, too`() {
        val failures = listOf(OutOfMemoryError("no 9 MB left"), NullPointerException(), UnsatisfiedLinkError("no libgpu.so"))
        for ((number, failure) in failures.withIndex()) {
            BenchmarkActivity.engines = EngineFactory { _, _ -> throw failure }
            val file = run(Intent().putExtra(BenchmarkActivity.RUN_ID, "unforeseen-$number"), "unforeseen-$number.error.json")
            assertEquals(failure.toString(), (Json.parse(file.readText()) as Map<*, *>)["error"])
        }
    }

    @Test
    fun `a run id that is no file name is refused without a file`() {
        val intent = Intent().putExtra(BenchmarkActivity.RUN_ID, "../escape")
        val activity = Robolectric.buildActivity(BenchmarkActivity::class.java, intent).setup().get()
        val outcome = activity.findViewById<TextView>(R.id.outcome)
        val end = System.currentTimeMillis() + 20_000
        while ("failed" !in outcome.text) {
            check(System.currentTimeMillis() < end) { "it says ${outcome.text}" }
            Thread.sleep(10)
            shadowOf(Looper.getMainLooper()).idle()
        }
        assertTrue(folder.list().isNullOrEmpty())
        assertTrue(folder.parentFile?.list().orEmpty().none { "escape" in it })
    }

    @Test
    fun `extras out of range are refused`() {
        val gpu = Intent().putExtra(BenchmarkActivity.DELEGATE, "gpu")
        val refused = listOf(
            Intent().putExtra(BenchmarkActivity.DELEGATE, "tpu") to "got 'tpu'",
            Intent().putExtra(BenchmarkActivity.MAX_SECONDS, 1f) to "expected 0 to 1.0 seconds, got 2.0",
            Intent(gpu).putExtra(BenchmarkActivity.GPU_PRECISION, "int8") to "expected a gpu_precision of [fp32, fp16], got 'int8'",
            Intent().putExtra(BenchmarkActivity.GPU_PRECISION, "fp16") to "gpu_precision is for the delegate 'gpu', got 'cpu'",
        )
        for ((number, case) in refused.withIndex()) {
            val (intent, message) = case
            val file = run(intent.putExtra(BenchmarkActivity.RUN_ID, "bad-2$number"), "bad-2$number.error.json")
            val error = (Json.parse(file.readText()) as Map<*, *>)["error"] as String
            assertTrue(error, message in error)
        }
    }
}
