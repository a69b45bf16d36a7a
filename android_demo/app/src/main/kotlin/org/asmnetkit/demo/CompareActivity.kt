package org.asmnetkit.demo

import android.app.Activity
import android.content.ClipData
import android.content.Context
import android.content.Intent
import android.net.Uri
import android.os.Build
import android.os.Bundle
import android.os.Handler
import android.os.Looper
import android.text.format.DateFormat
import android.view.View
import android.view.WindowManager
import android.widget.Button
import android.widget.CheckBox
import android.widget.CompoundButton
import android.widget.LinearLayout
import android.widget.ProgressBar
import android.widget.RadioButton
import android.widget.RadioGroup
import android.widget.TextView
import android.widget.Toast
import java.io.IOException
import java.util.Date
import java.util.Locale
import java.util.concurrent.Executors
import org.asmnetkit.core.Backend
import org.asmnetkit.core.Benchmark
import org.asmnetkit.core.BenchmarkRequest
import org.asmnetkit.core.Comparison
import org.asmnetkit.core.Cooling
import org.asmnetkit.core.Entry
import org.asmnetkit.core.Outcome
import org.asmnetkit.core.Standing

/**
 * Measures chosen models on chosen processors, one after the other, ranks them and shares the result files of the
 * kit with a picture of the chart. Nothing of it needs a network.
 */
class CompareActivity : Activity() {
    private val models by lazy { Models(this) }
    private val main = Handler(Looper.getMainLooper())
    private val files = Executors.newSingleThreadExecutor()
    private lateinit var chart: ChartView
    private var leftOut = emptyList<String>() // by whoever chose, before this screen was made anew
    private var said: String? = null // likewise

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.compare)
        findViewById<View>(R.id.overlay).addSystemBarsToPadding()
        chart = findViewById(R.id.chart)
        leftOut = savedInstanceState?.getStringArrayList(LEFT_OUT).orEmpty()
        said = savedInstanceState?.getString(SAID)
        for (backend in BACKENDS) add(R.id.backends, CheckBox(this), backend.label(this), backend)
        for (length in lengths) add(R.id.lengths, RadioButton(this), getString(length.label), length)
        val chosen = (0 until lengths.size).map { findViewById<RadioGroup>(R.id.lengths).getChildAt(it) as RadioButton }
        (chosen.find { leftOut.isNotEmpty() && it.text.toString() !in leftOut } ?: chosen.first()).isChecked = true
        findViewById<RadioGroup>(R.id.lengths).setOnCheckedChangeListener { _, _ -> plan() }
        findViewById<View>(R.id.measure).setOnClickListener { measureOrStop() }
        findViewById<View>(R.id.share).setOnClickListener { share() }
        files.execute {
            val choices = models.choices().filter { it.file != null }
            main.post { if (!isDestroyed) offer(choices) }
        }
        shownBy = this
        (current ?: last)?.let(::render)
    }

    /** In the background a phone gives an app its slow cores: what is measured there is not the model. */
    override fun onStop() {
        if (!isChangingConfigurations) current?.stop(R.string.compare_left)
        super.onStop()
    }

    override fun onDestroy() {
        if (shownBy === this) shownBy = null
        files.shutdown()
        super.onDestroy()
    }

    /** Dark mode at sunset makes this screen anew, with what was chosen and said. */
    override fun onSaveInstanceState(outState: Bundle) {
        super.onSaveInstanceState(outState)
        val groups = listOf(R.id.models, R.id.backends, R.id.lengths).map { findViewById<LinearLayout>(it) }
        val shown = groups.flatMap { group -> (0 until group.childCount).map { group.getChildAt(it) as CompoundButton } }
        val left = shown.filter { !it.isChecked }.map { it.text.toString() }
        outState.putStringArrayList(LEFT_OUT, ArrayList(left + leftOut.filter { it !in shown.map { button -> button.text.toString() } }))
        if (current == null) outState.putString(SAID, findViewById<TextView>(R.id.outcome).text.toString())
    }

    private fun offer(choices: List<ModelChoice>) {
        for (choice in choices) add(R.id.models, CheckBox(this), choice.title, choice.name)
        plan()
        said?.takeIf { current == null }?.let { findViewById<TextView>(R.id.outcome).text = it }
    }

    private fun <T : CompoundButton> add(group: Int, button: T, label: String, value: Any): T = button.apply {
        text = label
        tag = value
        textSize = LABEL_SP
        setTextColor(getColor(R.color.ink))
        id = View.generateViewId()
        isSaveEnabled = false // by onSaveInstanceState: its id is another each time
        minHeight = (TOUCH_DP * resources.displayMetrics.density).toInt()
        if (this !is RadioButton) isChecked = label !in leftOut
        if (this !is RadioButton) setOnCheckedChangeListener { _, _ -> plan() }
        val match = LinearLayout.LayoutParams.MATCH_PARENT
        this@CompareActivity.findViewById<LinearLayout>(group).addView(this, RadioGroup.LayoutParams(match, LinearLayout.LayoutParams.WRAP_CONTENT))
    }

    private inline fun <reified T> chosen(group: Int): List<T> = findViewById<LinearLayout>(group).run {
        (0 until childCount).map { getChildAt(it) as CompoundButton }.filter { it.isChecked }.mapNotNull { it.tag as? T }
    }

    private fun entries(): List<Entry> {
        val backends = chosen<Backend>(R.id.backends)
        return chosen<String>(R.id.models).flatMap { model -> backends.map { Entry(model, it) } }
    }

    private fun length(): Length = chosen<Length>(R.id.lengths).firstOrNull() ?: lengths.first()

    /** What *Measure* would do, and how long that takes. */
    private fun plan() {
        if (current != null) return
        val entries = entries()
        findViewById<View>(R.id.measure).isEnabled = entries.isNotEmpty()
        findViewById<TextView>(R.id.outcome).text = if (entries.isEmpty()) getString(R.string.compare_nothing) else planned(entries.size)
    }

    private fun planned(count: Int): String {
        val seconds = count * (length().seconds + length().sustained + OTHER_SECONDS) + (count - 1) * Cooling.LEAST_SECONDS
        return resources.getQuantityString(R.plurals.compare_plan, count, count, Math.ceil(seconds / 60).toInt())
    }

    private fun measureOrStop() {
        current?.let { return it.stop(R.string.compare_by_user) }
        val entries = entries()
        if (entries.isEmpty()) return plan()
        if (BenchmarkActivity.measuring != null) return Toast.makeText(this, R.string.compare_busy, Toast.LENGTH_LONG).show()
        val run = Run(applicationContext, entries, length())
        current = run
        render(run)
        Thread(run, "comparison").start()
    }

    private fun render(run: Run) {
        val goesOn = !run.isOver
        val flag = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON
        if (goesOn) window.addFlags(flag) else window.clearFlags(flag)
        findViewById<View>(R.id.choice).visibility = if (goesOn) View.GONE else View.VISIBLE
        findViewById<Button>(R.id.measure).apply {
            setText(if (goesOn) R.string.stop else R.string.measure)
            setBackgroundResource(if (goesOn) R.drawable.button else R.drawable.button_main)
            setTextColor(getColor(if (goesOn) R.color.ink else R.color.on_accent))
            isEnabled = goesOn || entries().isNotEmpty()
        }
        findViewById<ProgressBar>(R.id.progress).apply {
            visibility = if (goesOn) View.VISIBLE else View.GONE
            progress = run.permille
        }
        findViewById<TextView>(R.id.outcome).text = run.text
        val standings = Comparison.ranked(run.outcomes)
        chart.visibility = if (standings.isEmpty()) View.GONE else View.VISIBLE
        chart.show(getString(R.string.chart_title), getString(R.string.chart_legend), standings.map(::lineOf))
        val isShareable = run.isOver && run.outcomes.any { it.report != null }
        findViewById<View>(R.id.share).visibility = if (isShareable) View.VISIBLE else View.GONE
    }

    private fun lineOf(standing: Standing): ChartLine {
        val (model, backend) = standing.entry
        val pair = getString(R.string.chart_pair, models.titleOf(model), backend.label(this))
        val competes = standing.place != null
        return ChartLine(
            title = standing.place?.let { getString(R.string.chart_row, it, pair) } ?: pair,
            value = standing.sustainedMs.takeIf { competes },
            before = standing.freshMs.takeIf { competes },
            figure = standing.sustainedMs.takeIf { competes }?.let { getString(R.string.chart_value, digits(it)) }.orEmpty(),
            note = standing.note ?: standing.parityPixels?.let { getString(R.string.chart_parity, it) },
            isBad = standing.note != null,
        )
    }

    private fun share() {
        val run = current ?: last ?: return
        val device = "${Build.MANUFACTURER} ${Build.MODEL}"
        val day = DateFormat.getMediumDateFormat(this).format(Date(run.id))
        val picture = chart.picture(getString(R.string.chart_footer, device, "Android ${Build.VERSION.RELEASE}", day))
        val reports = run.outcomes.mapNotNull { it.report }
        files.execute {
            try {
                val results = SharedFiles.store(this, SharedFiles.RESULTS) { Comparison.zip(reports, it) }
                val chart = SharedFiles.store(this, SharedFiles.CHART, picture)
                main.post { if (!isDestroyed) send(results, chart) }
            } catch (error: IOException) {
                main.post { if (!isDestroyed) Toast.makeText(this, getString(R.string.share_error, error.message), Toast.LENGTH_LONG).show() }
            }
        }
    }

    private fun send(vararg uris: Uri) {
        val send = Intent(Intent.ACTION_SEND_MULTIPLE)
            .setType("*/*")
            .putParcelableArrayListExtra(Intent.EXTRA_STREAM, ArrayList(uris.toList()))
            .addFlags(Intent.FLAG_GRANT_READ_URI_PERMISSION)
        // The chooser shows what is in the clip, and hands the permission on.
        send.clipData = ClipData.newRawUri(null, uris.first()).apply { uris.drop(1).forEach { addItem(ClipData.Item(it)) } }
        startActivity(Intent.createChooser(send, getString(R.string.share_results)))
    }

    /** How long each measurement takes, seconds: [seconds] timed run by run, then [sustained] without a pause. */
    class Length(val label: Int, val seconds: Double, val sustained: Double)

    /** One comparison. It belongs to the process, and not to an activity, which may be made anew. */
    private class Run(private val context: Context, private val entries: List<Entry>, private val length: Length) : Runnable {
        private val main = Handler(Looper.getMainLooper())

        /** When it began, and what its runs are called. */
        val id = System.currentTimeMillis()

        /** A string's number; 0 while it goes on. */
        @Volatile
        private var stopped = 0

        // For the screen; written on the main thread alone.
        val outcomes = ArrayList<Outcome>()
        var text = ""
            private set
        var permille = 0
            private set
        var isOver = false
            private set

        private class Stopped : Exception()

        fun stop(why: Int) {
            if (stopped == 0) stopped = why
        }

        override fun run() {
            val said = try {
                measure()
                context.getString(R.string.compare_done)
            } catch (error: Stopped) {
                context.getString(R.string.compare_stopped, context.getString(stopped))
            } catch (error: Throwable) { // whatever it is, the screen must not say that it goes on
                context.getString(R.string.compare_stopped, error.toString())
            }
            main.post {
                text = said
                isOver = true
                current = null
                last = this
                shownBy?.render(this)
            }
        }

        private fun measure() {
            val models = Models(context)
            val device = BenchmarkActivity.devices(context)
            val benchmark = Benchmark(BenchmarkActivity.engines, device, BenchmarkActivity.versionOf(context))
            Comparison(benchmark, Cooling(device::isHot, sleep)).measure(
                entries,
                requestOf = ::requestOf,
                open = models::open,
                now = { BenchmarkActivity.utcNow() },
                onProgress = { over, share, cooling -> tell(models, over, share, cooling) },
                onOutcome = { outcome ->
                    keepGoing()
                    main.post {
                        outcomes += outcome
                        shownBy?.render(this)
                    }
                },
            )
        }

        private fun requestOf(entry: Entry) = BenchmarkRequest(
            runId = "compare-$id-${entries.indexOf(entry) + 1}",
            modelName = entry.modelName,
            backend = entry.backend,
            runs = LEAST_RUNS,
            minSeconds = length.seconds,
            maxSeconds = length.seconds + MORE_SECONDS,
            sustainedSeconds = length.sustained,
        )

        private fun keepGoing() {
            if (stopped != 0) throw Stopped()
        }

        private fun tell(models: Models, over: Int, share: Double, cooling: Boolean) {
            keepGoing()
            main.post {
                val entry = entries[over]
                permille = (1000 * (over + share) / entries.size).toInt()
                val words = if (cooling) R.string.compare_cooling else R.string.compare_running
                text = context.getString(words, over + 1, entries.size, models.titleOf(entry.modelName), entry.backend.label(context))
                shownBy?.render(this)
            }
        }
    }

    companion object {
        private const val LEFT_OUT = "left out"
        private const val SAID = "said"
        private const val LABEL_SP = 15f
        private const val TOUCH_DP = 48
        private const val LEAST_RUNS = 50
        private const val MORE_SECONDS = 60.0 // of a model so slow that the asked runs take longer
        private const val OTHER_SECONDS = 2.0 // to load, warm up and compare with the CPU

        /** Tests do not wait. */
        var lengths = listOf(
            Length(R.string.length_short, 5.0, 0.0),
            Length(R.string.length_long, 5.0, 60.0),
            Length(R.string.length_hot, 5.0, 300.0),
        )
        var sleep: (Long) -> Unit = Thread::sleep

        /** Whether a comparison goes on; on the main thread. */
        val isMeasuring: Boolean get() = current != null

        // Of the process; touched on the main thread alone.
        private var current: Run? = null
        private var last: Run? = null // the latest that is over
        private var shownBy: CompareActivity? = null
    }
}

/** A whole number of significant digits, as the kit prints times. */
fun digits(milliseconds: Double): String = String.format(Locale.getDefault(), if (milliseconds < 10) "%.2f" else "%.1f", milliseconds)
