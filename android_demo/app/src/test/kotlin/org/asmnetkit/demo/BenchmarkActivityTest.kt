package org.asmnetkit.demo

import android.content.ComponentName
import android.content.Intent
import android.os.Looper
import android.view.View
import android.view.WindowInsets
import android.view.WindowManager
import android.widget.TextView
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.asmnetkit.core.ElementType
import org.asmnetkit.core.EngineFactory
import org.asmnetkit.core.Json
import org.asmnetkit.core.ModelException
import org.asmnetkit.core.Pose
import org.asmnetkit.core.TensorFile
import org.asmnetkit.core.TensorKind
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertThrows
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
    private val engines = FakeEngine.Factory()
    private val pushFolder = Models.pushFolder
    private val folder get() = File(RuntimeEnvironment.getApplication().getExternalFilesDir(null), BenchmarkActivity.FOLDER)

    @Before
    fun `use an engine without native code`() {
        BenchmarkActivity.engines = engines
    }

    @After
    fun restore() {
        engines.onRun = {}
        // A run belongs to the process, and so to the next test.
        waitFor("the end of the run") { BenchmarkActivity.measuring == null }
        BenchmarkActivity.engines = phoneEngines
        Models.pushFolder = pushFolder
    }

    private fun waitFor(what: String, done: () -> Boolean) {
        val end = System.currentTimeMillis() + 60_000
        while (!done()) {
            check(System.currentTimeMillis() < end) { "waited in vain for $what; ${folder.list()?.toList()}" }
            Thread.sleep(10)
            shadowOf(Looper.getMainLooper()).idle()
        }
    }

    /** A run that goes on until the test ends it. */
    private fun endless(runId: String) = Intent()
        .putExtra(BenchmarkActivity.RUN_ID, runId)
        .putExtra(BenchmarkActivity.WARMUP, 0)
        .putExtra(BenchmarkActivity.RUNS, 1_000_000)
        .putExtra(BenchmarkActivity.SECONDS, 0f)
        .putExtra(BenchmarkActivity.MAX_SECONDS, 3600f)

    private fun errorOf(runId: String): String {
        val file = File(folder, "$runId.error.json")
        waitFor("$file") { file.exists() }
        return (Json.parse(file.readText()) as Map<*, *>)["error"] as String
    }

    @Test
    fun `a measurement that leaves the foreground is invalid and says so`() {
        engines.onRun = { Thread.sleep(1) }
        val activity = Robolectric.buildActivity(BenchmarkActivity::class.java, endless("left-1")).setup()
        assertTrue(keepsScreenOn(activity.get()))
        activity.pause().stop() // power key, home, a call
        assertTrue("left the foreground" in errorOf("left-1"))
        assertEquals(listOf("left-1.error.json"), folder.list().orEmpty().toList())
        waitFor("the end") { BenchmarkActivity.measuring == null }
        assertFalse(keepsScreenOn(activity.get())) // of no use any more
    }

    @Test
    fun `an activity that is made anew shows the run that goes on, and starts no second one`() {
        var opened = 0
        BenchmarkActivity.engines = EngineFactory { model, backend -> opened++; engines.open(model, backend) }
        engines.onRun = { Thread.sleep(1) }
        val activity = Robolectric.buildActivity(BenchmarkActivity::class.java, endless("anew-1")).setup()
        waitFor("the run") { opened == 1 }
        activity.recreate() // dark mode at sunset
        waitFor("the run on the new screen") { "Measuring" in activity.get().findViewById<TextView>(R.id.outcome).text }
        assertEquals(1, opened)
        assertEquals("anew-1", BenchmarkActivity.measuring)
        assertTrue(folder.list().isNullOrEmpty())
        activity.pause().stop()
        assertTrue("left the foreground" in errorOf("anew-1"))
    }

    @Test
    fun `a second request during a run is answered as busy, and the first goes on`() {
        engines.onRun = { Thread.sleep(1) }
        val activity = Robolectric.buildActivity(BenchmarkActivity::class.java, endless("first-1")).setup()
        activity.newIntent(endless("second-1"))
        assertEquals("busy: first-1 is being measured; wait for its result and ask again", errorOf("second-1"))
        assertEquals("first-1", BenchmarkActivity.measuring)
        activity.newIntent(endless("../first-1")) // no name of a file: nothing to answer with
        assertEquals(listOf("second-1.error.json"), folder.list().orEmpty().toList())
        activity.pause().stop()
        errorOf("first-1")
    }

    @Test
    fun `a run that the phone stopped with the app is answered when the screen comes back`() {
        val saved = android.os.Bundle()
        Robolectric.buildActivity(BenchmarkActivity::class.java, endless("killed-1")).create(saved)
        assertTrue("the phone stopped the app" in errorOf("killed-1"))
    }

    @Test
    fun `a model and inputs where adb may push them are found`() {
        val context = RuntimeEnvironment.getApplication()
        Models.pushFolder = File(context.cacheDir, "tmp/asmnet-kit").apply { mkdirs() }
        val bundled = Models(context).first()
        val content = Models(context).open(bundled).content
        File(Models.pushFolder, "mine.tflite").writeBytes(ByteArray(content.capacity()).also { content.duplicate().get(it) })
        val size = Models(context).open("mine.tflite").metadata.inputSize
        File(Models.pushFolder, "mine.tensors").outputStream().use { out ->
            val kinds = listOf(TensorKind("image", ElementType.INT8, listOf(1, size, size, 3)))
            TensorFile.writeHeader(out, kinds, 2)
            out.write(ByteArray(2 * size * size * 3))
        }
        val intent = Intent()
            .putExtra(BenchmarkActivity.RUN_ID, "pushed-1")
            .putExtra(BenchmarkActivity.MODEL, "mine.tflite")
            .putExtra(BenchmarkActivity.WARMUP, 0)
            .putExtra(BenchmarkActivity.RUNS, 1)
            .putExtra(BenchmarkActivity.SECONDS, 0f)
            .putExtra(BenchmarkActivity.INPUTS, "mine.tensors")
        val result = Json.parse(run(intent, "pushed-1.json").readText()) as Map<*, *>
        assertEquals("mine.tflite", (result["model"] as Map<*, *>)["file"])
        assertEquals(2, TensorFile.read("outputs", ByteBuffer.wrap(File(folder, "pushed-1.tensors").readBytes())).records)
    }

    @Test
    fun `no name leads out of the folders of models`() {
        Models.pushFolder = File(RuntimeEnvironment.getApplication().cacheDir, "a/models").apply { mkdirs() }
        File(Models.pushFolder.parentFile, "models2").mkdirs()
        File(Models.pushFolder, "x.tflite").writeText("a model")
        for (name in listOf("../models/x.tflite", "./x.tflite", "/etc/passwd")) {
            val error = assertThrows(ModelException::class.java) { Models(RuntimeEnvironment.getApplication()).open(name) }
            assertTrue(error.message, "expected one of the models" in error.message.orEmpty())
        }
    }

    @Test
    fun `the layout's own padding stays beside the system's bars`() {
        val activity = Robolectric.buildActivity(BenchmarkActivity::class.java, endless("bars-1")).setup()
        val view = activity.get().findViewById<View>(R.id.overlay)
        val own = view.paddingLeft
        assertTrue("$own", own >= 24)
        val bars = android.graphics.Insets.of(7, 50, 0, 30)
        view.dispatchApplyWindowInsets(WindowInsets.Builder().setInsets(WindowInsets.Type.systemBars(), bars).build())
        assertEquals(listOf(own + 7, own + 50, own, own + 30), listOf(view.paddingLeft, view.paddingTop, view.paddingRight, view.paddingBottom))
        activity.pause().stop()
        errorOf("bars-1")
    }

    @Test
    fun `only who may dump the system may start a measurement`() {
        val context = RuntimeEnvironment.getApplication()
        val about = context.packageManager.getActivityInfo(ComponentName(context, BenchmarkActivity::class.java), 0)
        assertTrue(about.exported)
        assertEquals("android.permission.DUMP", about.permission)
    }

    private fun keepsScreenOn(activity: BenchmarkActivity) =
        activity.window.attributes.flags and WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON != 0

    /** As `adb shell am start` does it; returns the file that appears. */
    private fun run(intent: Intent, expected: String): File {
        val activity = Robolectric.buildActivity(BenchmarkActivity::class.java, intent).setup()
        val file = File(folder, expected)
        waitFor("$file") { file.exists() && BenchmarkActivity.measuring == null }
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
        assertEquals(listOf("landmarks", "pose", "uncertainty", "visibility"), outputs.tensors.map { it.name })
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
        val end = System.currentTimeMillis() + 60_000
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
            Intent().putExtra(BenchmarkActivity.MAX_SECONDS, 1e6f) to "expected at most 3600.0 seconds, got 1000000.0",
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

    @Test
    fun `a run asked for again leaves no answer of the first one to be taken for its own`() {
        folder.mkdirs()
        val old = listOf("again-1.json", "again-1.error.json", "again-1.tensors").map { File(folder, it).apply { writeText("{}") } }
        engines.onRun = { Thread.sleep(1) }
        val activity = Robolectric.buildActivity(BenchmarkActivity::class.java, endless("again-1")).setup()
        assertEquals(emptyList<File>(), old.filter { it.exists() }) // before `am start -W` returns
        activity.pause().stop()
        assertTrue("left the foreground" in errorOf("again-1"))
    }
}
