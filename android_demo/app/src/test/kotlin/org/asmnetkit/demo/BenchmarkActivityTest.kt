package org.asmnetkit.demo

import android.content.Intent
import android.os.Looper
import android.widget.TextView
import java.io.File
import org.asmnetkit.core.Json
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

    @Test
    fun `a failure is written too`() {
        val file = run(Intent().putExtra(BenchmarkActivity.RUN_ID, "bad-1").putExtra(BenchmarkActivity.MODEL, "none.tflite"), "bad-1.error.json")
        val result = Json.parse(file.readText()) as Map<*, *>
        assertEquals("bad-1", result["run_id"])
        assertTrue("none.tflite" in result["error"] as String)
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
        val file = run(Intent().putExtra(BenchmarkActivity.RUN_ID, "bad-2").putExtra(BenchmarkActivity.DELEGATE, "tpu"), "bad-2.error.json")
        assertTrue("tpu" in file.readText())
    }
}
