package org.asmnetkit.demo

import android.content.Intent
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Canvas
import android.graphics.Color
import android.net.Uri
import android.os.Looper
import android.view.View
import android.widget.CheckBox
import android.widget.LinearLayout
import android.widget.RadioButton
import android.widget.TextView
import java.io.File
import java.io.FileNotFoundException
import java.nio.ByteBuffer
import java.util.zip.ZipInputStream
import org.asmnetkit.core.Accelerator
import org.asmnetkit.core.Engine
import org.asmnetkit.core.EngineFactory
import org.asmnetkit.core.Json
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
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

/** Comparing and sharing, with an engine that takes as long as it is told. */
@RunWith(RobolectricTestRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
@Config(sdk = [35], qualifiers = "w360dp-h740dp-xhdpi")
class CompareActivityTest {
    private lateinit var activity: ActivityController<CompareActivity>
    private var pauses = 0
    private var oneThreadMs = 0L
    private val lengths = CompareActivity.lengths

    /** Runs as the accelerator that it was asked for, at its own speed, and one value off the CPU's on the GPU. */
    private inner class Timed(private val inner: Engine) : Engine by inner {
        override val actual = requested.accelerator
        override val refusal: String? = null

        override fun run(input: ByteBuffer, outputs: Map<String, ByteBuffer>) {
            if (actual == Accelerator.CPU) Thread.sleep(oneThreadMs / requested.threads)
            inner.run(input, outputs)
            if (actual == Accelerator.GPU) outputs.getValue("landmarks").run { putFloat(0, getFloat(0) + 0.005f) }
        }
    }

    @Before
    fun `use engines without native code`() {
        val fake = FakeEngine.Factory()
        BenchmarkActivity.engines = EngineFactory { model, backend ->
            val opened = fake.open(model, backend)
            if (backend.accelerator == Accelerator.NNAPI) opened else Timed(opened)
        }
        CompareActivity.sleep = { pauses++ }
        CompareActivity.lengths = listOf(CompareActivity.Length(R.string.length_short, 0.2, 0.0), CompareActivity.Length(R.string.length_long, 0.0, 0.3))
    }

    @After
    fun restore() {
        if (::activity.isInitialized) activity.pause().stop()
        waitFor("the end") { !CompareActivity.isMeasuring }
        BenchmarkActivity.engines = phoneEngines
        CompareActivity.sleep = Thread::sleep
        CompareActivity.lengths = lengths
    }

    private fun waitFor(what: String, done: () -> Boolean) {
        val end = System.currentTimeMillis() + 120_000
        while (!done()) {
            check(System.currentTimeMillis() < end) { "waited in vain for $what" }
            Thread.sleep(10)
            shadowOf(Looper.getMainLooper()).idle()
        }
    }

    private fun start(): CompareActivity {
        activity = Robolectric.buildActivity(CompareActivity::class.java).setup()
        val compare = activity.get()
        waitFor("the models") { boxes(compare, R.id.models).isNotEmpty() }
        return compare
    }

    private fun boxes(compare: CompareActivity, group: Int) =
        compare.findViewById<LinearLayout>(group).run { (0 until childCount).map { getChildAt(it) as CheckBox } }

    private fun textOf(compare: CompareActivity) = compare.findViewById<TextView>(R.id.outcome).text.toString()

    private fun measured(compare: CompareActivity) {
        compare.findViewById<View>(R.id.measure).performClick()
        waitFor("the end") { !CompareActivity.isMeasuring }
    }

    private fun drawn(compare: CompareActivity): Bitmap {
        val root = compare.findViewById<View>(R.id.overlay)
        val content = (root as android.view.ViewGroup).getChildAt(0)
        root.measure(
            View.MeasureSpec.makeMeasureSpec(root.width, View.MeasureSpec.EXACTLY),
            View.MeasureSpec.makeMeasureSpec(root.height, View.MeasureSpec.EXACTLY),
        )
        root.layout(0, 0, root.width, root.height)
        val margin = root.paddingLeft
        val bitmap = Bitmap.createBitmap(root.width, content.height + 2 * margin, Bitmap.Config.ARGB_8888)
        Canvas(bitmap).apply {
            drawColor(compare.getColor(R.color.ground))
            translate(margin.toFloat(), margin.toFloat())
            content.draw(this)
        }
        return bitmap
    }

    @Test
    fun `models are measured in turn with pauses, ranked, and told where they did not run as asked`() {
        oneThreadMs = 12 // 6 and 3 by more threads, and the GPU at once
        val compare = start()
        TestFace.save(drawn(compare), "compare-choice.png")
        assertTrue(textOf(compare), "5 measurements" in textOf(compare))
        measured(compare)
        assertEquals(4 * 5, pauses) // seconds, between five
        val chart = compare.findViewById<ChartView>(R.id.chart)
        TestFace.save(drawn(compare), "compare.png")
        val lines = chart.contentDescription.toString().lines().drop(1)
        assertEquals(
            listOf("1. asmnet_nano_people · GPU", "2. asmnet_nano_people · CPU, 4 threads", "3. asmnet_nano_people · CPU, 2 threads"),
            lines.take(3).map { it.substringBefore(":") },
        )
        assertTrue(lines[0], "px of the crop off the CPU's" in lines[0])
        assertEquals("asmnet_nano_people · NNAPI: gpu refused this model: a test has none", lines.last())
        assertTrue(compare.findViewById<View>(R.id.share).isShown)
    }

    @Test
    fun `results and chart are shared as a zip and a picture`() {
        val compare = start()
        measured(compare)
        drawn(compare)
        compare.findViewById<View>(R.id.share).performClick()
        var started: Intent? = null
        waitFor("the chooser") { shadowOf(compare).nextStartedActivity.also { started = it } != null }
        val send = requireNotNull(started?.getParcelableExtra(Intent.EXTRA_INTENT, Intent::class.java))
        assertEquals(Intent.ACTION_SEND_MULTIPLE, send.action)
        val (zip, picture) = requireNotNull(send.getParcelableArrayListExtra(Intent.EXTRA_STREAM, Uri::class.java))
        val provider = Robolectric.setupContentProvider(SharedFiles::class.java, "org.asmnetkit.demo.shared")
        assertEquals("application/zip", provider.getType(zip))
        fun content(uri: Uri) = provider.openFile(uri, "r").use { java.io.FileInputStream(it.fileDescriptor).readBytes() }
        val archive = content(zip)
        val names = ArrayList<String>()
        ZipInputStream(archive.inputStream()).use { opened ->
            while (true) {
                names += opened.nextEntry?.name ?: break
                val result = Json.parse(opened.readBytes().toString(Charsets.UTF_8)) as Map<*, *>
                assertEquals("${result["run_id"]}.json", names.last())
            }
        }
        assertEquals(5, names.size)
        // Python reads this copy, too (tests/android/test_reports.py).
        File(System.getProperty("asmnetkit.reports")).apply { mkdirs() }.resolve("shared.zip").writeBytes(archive)
        val chart = content(picture).let { BitmapFactory.decodeByteArray(it, 0, it.size) }
        TestFace.save(chart, "chart.png")
        val accent = compare.getColor(R.color.accent)
        val pixels = IntArray(chart.width * chart.height).also { chart.getPixels(it, 0, chart.width, 0, 0, chart.width, chart.height) }
        assertTrue(pixels.count { it == accent } > 0.01 * pixels.size) // bars
        assertEquals(255, Color.alpha(pixels.last()))
        val below = pixels.drop(chart.width * compare.findViewById<View>(R.id.chart).height)
        assertTrue(below.any { it != below.last() }) // the phone's name, in words
        assertThrows(FileNotFoundException::class.java) { provider.openFile(zip.buildUpon().path("/../secret").build(), "r") }
        assertThrows(FileNotFoundException::class.java) { provider.openFile(zip, "w") }
    }

    @Test
    fun `a sustained comparison ranks by the last third of its windows`() {
        val compare = start()
        (compare.findViewById<LinearLayout>(R.id.lengths).getChildAt(1) as RadioButton).performClick()
        for (box in boxes(compare, R.id.backends).drop(1)) box.performClick()
        assertTrue(textOf(compare), "1 measurement" in textOf(compare))
        measured(compare)
        assertEquals(2, compare.findViewById<ChartView>(R.id.chart).contentDescription.lines().size)
    }

    @Test
    fun `nothing chosen is nothing to measure`() {
        val compare = start()
        for (box in boxes(compare, R.id.models)) box.performClick()
        assertFalse(compare.findViewById<View>(R.id.measure).isEnabled)
        assertEquals(compare.getString(R.string.compare_nothing), textOf(compare))
    }

    @Test
    fun `leaving the foreground ends it, and so does a touch`() {
        CompareActivity.lengths = listOf(CompareActivity.Length(R.string.length_short, 30.0, 0.0))
        val compare = start()
        compare.findViewById<View>(R.id.measure).performClick()
        waitFor("the first") { "1 of 5" in textOf(compare) }
        compare.findViewById<View>(R.id.measure).performClick()
        waitFor("the end") { !CompareActivity.isMeasuring }
        assertEquals("Stopped: by you", textOf(compare))
        compare.findViewById<View>(R.id.measure).performClick()
        waitFor("the first again") { "1 of 5" in textOf(compare) }
        activity.pause().stop()
        waitFor("the end") { !CompareActivity.isMeasuring }
        assertTrue(textOf(compare), "left the foreground" in textOf(compare))
    }

    @Test
    fun `an activity that is made anew shows the comparison that goes on`() {
        CompareActivity.lengths = listOf(CompareActivity.Length(R.string.length_short, 30.0, 0.0))
        val compare = start()
        compare.findViewById<View>(R.id.measure).performClick()
        waitFor("the first") { "1 of 5" in textOf(compare) }
        activity.recreate()
        waitFor("it on the new screen") { "1 of 5" in textOf(activity.get()) }
    }

    @Test
    fun `the shared chart bears the day of the measurement, not of the sharing`() {
        val compare = start()
        measured(compare)
        drawn(compare)
        fun shared(): ByteArray {
            while (shadowOf(compare).nextStartedActivity != null) continue
            compare.findViewById<View>(R.id.share).performClick()
            waitFor("the chooser") { shadowOf(compare).nextStartedActivity != null }
            return File(File(compare.cacheDir, "shared"), SharedFiles.CHART.name).readBytes()
        }
        val today = shared()
        val run = CompareActivity::class.java.getDeclaredField("last").apply { isAccessible = true }.get(null)
        val began = run.javaClass.getDeclaredField("id").apply { isAccessible = true }
        began.setLong(run, began.getLong(run) - 40L * 24 * 3600 * 1000)
        assertFalse(today.contentEquals(shared()))
    }

    @Test
    fun `who measures nothing keeps what was measured`() {
        val compare = start()
        measured(compare)
        for (box in boxes(compare, R.id.models)) box.performClick()
        compare.findViewById<View>(R.id.measure).performClick() // a test clicks on what is greyed out, too
        waitFor("the end") { !CompareActivity.isMeasuring }
        assertTrue(compare.findViewById<View>(R.id.chart).isShown)
        for (box in boxes(compare, R.id.models)) box.performClick()
        val said = textOf(compare)
        activity.recreate() // dark mode at sunset
        val again = activity.get()
        assertEquals(boxes(again, R.id.models).any { it.isChecked }, again.findViewById<View>(R.id.measure).isEnabled)
        assertTrue(again.findViewById<View>(R.id.chart).isShown)
        waitFor("the models") { boxes(again, R.id.models).isNotEmpty() }
        assertEquals(said, textOf(again))
    }

    @Test
    fun `an activity that is made anew keeps what was chosen`() {
        val compare = start()
        for (box in boxes(compare, R.id.backends).drop(2)) box.performClick()
        (compare.findViewById<LinearLayout>(R.id.lengths).getChildAt(1) as RadioButton).performClick()
        val said = textOf(compare)
        assertTrue(said, "2 measurements" in said)
        activity.recreate()
        val again = activity.get()
        waitFor("the models") { boxes(again, R.id.models).isNotEmpty() }
        assertEquals(listOf(true, true, false, false, false), boxes(again, R.id.backends).map { it.isChecked })
        assertTrue((again.findViewById<LinearLayout>(R.id.lengths).getChildAt(1) as RadioButton).isChecked)
        assertEquals(said, textOf(again))
    }

    @Test
    fun `a chart that says the same is not laid out again beside the measurement`() {
        val compare = start()
        measured(compare)
        drawn(compare)
        val chart = compare.findViewById<ChartView>(R.id.chart)
        assertFalse(chart.isLayoutRequested)
        CompareActivity::class.java.declaredMethods.single { it.name == "render" }.apply { isAccessible = true }
            .invoke(compare, CompareActivity::class.java.getDeclaredField("last").apply { isAccessible = true }.get(null))
        assertFalse(chart.isLayoutRequested)
    }

    @Test
    fun `the chart fits the smallest screen with the largest words`() {
        RuntimeEnvironment.setQualifiers("w320dp-h568dp-port-night-mdpi")
        RuntimeEnvironment.setFontScale(2f)
        oneThreadMs = 12
        val compare = start()
        measured(compare)
        TestFace.save(drawn(compare), "compare-320x568-font2-dark.png")
        val chart = compare.findViewById<ChartView>(R.id.chart)
        val bitmap = Bitmap.createBitmap(chart.width, chart.height, Bitmap.Config.ARGB_8888).also { chart.draw(Canvas(it)) }
        val edge = chart.width - chart.paddingRight / 2
        val ink = (0 until chart.height step 2).map { bitmap.getPixel(edge, it) }.drop(40).dropLast(40).distinct()
        assertEquals(1, ink.size) // nothing reaches the border
    }
}
