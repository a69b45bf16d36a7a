package org.asmnetkit.demo

import android.app.Activity
import android.content.Context
import android.content.Intent
import android.os.Build
import android.os.Bundle
import android.os.Handler
import android.os.Looper
import android.util.Log
import android.view.View
import android.view.WindowManager
import android.widget.ProgressBar
import android.widget.TextView
import java.io.File
import java.io.IOException
import java.io.OutputStream
import java.text.SimpleDateFormat
import java.util.Date
import java.util.Locale
import java.util.TimeZone
import org.asmnetkit.core.Accelerator
import org.asmnetkit.core.Backend
import org.asmnetkit.core.Benchmark
import org.asmnetkit.core.BenchmarkReport
import org.asmnetkit.core.BenchmarkRequest
import org.asmnetkit.core.Device
import org.asmnetkit.core.EngineFactory
import org.asmnetkit.core.Feed
import org.asmnetkit.core.GpuPrecision
import org.asmnetkit.core.Json
import org.asmnetkit.core.LogFrames
import org.asmnetkit.core.ModelException
import org.asmnetkit.core.TensorFile
import org.asmnetkit.core.summarise

/**
 * Measures a model without the screen being touched:
 *
 *     adb shell am start -S -W -n org.asmnetkit.demo/.BenchmarkActivity --es run_id a1 --es delegate gpu
 *
 * Writes `benchmarks/<run_id>.json` below the app's external files folder, or
 * `benchmarks/<run_id>.error.json` with the key `error`; either appears whole. Given inputs, the raw
 * outputs are in `benchmarks/<run_id>.tensors` before that. Only adb and this app may start it (the
 * manifest asks for DUMP, which adb's shell has). The extras and files are a contract: docs/android.md.
 */
class BenchmarkActivity : Activity() {
    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.benchmark)
        findViewById<View>(R.id.overlay).addSystemBarsToPadding()
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.O_MR1) {
            setShowWhenLocked(true)
            setTurnScreenOn(true)
        }
        if (savedInstanceState == null) start(intent) else goOn()
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        start(intent)
    }

    /** In the background a phone gives an app its slow cores, or none: what is measured there is not the model. */
    override fun onStop() {
        if (!isChangingConfigurations) current?.left = true
        super.onStop()
    }

    override fun onDestroy() {
        if (shownBy === this) shownBy = null
        super.onDestroy()
    }

    private fun start(intent: Intent) {
        val runId = intent.getStringExtra(RUN_ID) ?: "app-${System.currentTimeMillis()}".also { intent.putExtra(RUN_ID, it) }
        val running = current
        if (running != null) {
            val reason = "busy: ${running.runId} is being measured; wait for its result and ask again"
            Log.e(TAG, "$runId: $reason")
            if (runId != running.runId) running.answer(runId, reason) // else the first one answers
            return
        }
        setIntent(intent)
        shownBy = this
        val run = Run(applicationContext, runId, intent)
        run.forget()
        if (CompareActivity.isMeasuring) {
            run.fail(IOException("busy: the app compares models; wait for its end and ask again"))
            return render(run)
        }
        current = run
        render(run)
        Thread(run, "benchmark").start()
    }

    /** This activity was made anew, for example by dark mode: the run, which is the process's, goes on. */
    private fun goOn() {
        shownBy = this
        val runId = intent.getStringExtra(RUN_ID).orEmpty()
        val run = listOfNotNull(current, last).find { it.runId == runId }
        if (run != null) return render(run)
        // The process is a new one, too: whoever waits for the run must be told.
        val lost = Run(applicationContext, runId, intent)
        if (!lost.isAnswered) lost.fail(IOException("the phone stopped the app during the run; measure again"))
        render(lost)
    }

    private fun render(run: Run) {
        val flag = WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON
        // A screen that goes dark lowers the clock; a locked one would stop the activity.
        if (run.isOver) window.clearFlags(flag) else window.addFlags(flag)
        findViewById<ProgressBar>(R.id.progress).progress = run.percent
        findViewById<TextView>(R.id.outcome).text = run.text
    }

    /** One measurement. It belongs to the process, which has one at a time, and not to an activity. */
    private class Run(private val context: Context, val runId: String, private val intent: Intent) : Runnable {
        private val folder = File(filesOf(context), FOLDER)
        private val main = Handler(Looper.getMainLooper())

        /** The app left the foreground. */
        @Volatile
        var left = false

        // For the screen; written on the main thread alone.
        var text = ""
            private set
        var percent = 0
            private set
        var isOver = false
            private set

        val isAnswered get() = BenchmarkRequest.isRunId(runId) && (File(folder, "$runId.json").exists() || errorFile(runId).exists())

        /** Answers to an earlier run of this name, which somebody would take for this one's. */
        fun forget() {
            if (!BenchmarkRequest.isRunId(runId)) return
            for (file in listOf(File(folder, "$runId.json"), errorFile(runId), File(folder, "$runId$TENSORS"))) file.delete()
        }

        override fun run() {
            try {
                measure()
            } catch (error: Throwable) { // whatever it is, who asked waits for an answer
                fail(error)
            }
        }

        private fun measure() {
            val models = Models(context)
            val request = requestOf(runId, intent, models)
            tell(0.0, request)
            val model = models.open(request.modelName)
            val benchmark = Benchmark(engines, devices(context), versionOf(context))
            fun measured(feed: Feed?) = benchmark.measure(request, model, utcNow(), feed) { tell(it, request) }
            val inputs = intent.getStringExtra(INPUTS)?.let { inputsOf(context, it) }
            val report = if (inputs == null) measured(null) else writeWhole(File(folder, "$runId$TENSORS")) { measured(Feed(inputs, it)) }
            stayed()
            val file = File(folder, "$runId.json")
            val json = report.toJson()
            writeWhole(file) { it.write(json.toByteArray()) }
            Log.i(TAG, "$runId: wrote $file")
            for (line in LogFrames.of(runId, json)) Log.i(TAG, line) // some phones keep the file from adb
            over { done(report, file) }
        }

        fun fail(error: Throwable) {
            val reason = reasonOf(error)
            Log.e(TAG, "$runId: $reason", error)
            File(folder, "$runId$TENSORS").takeIf { BenchmarkRequest.isRunId(runId) }?.delete() // of no result
            answer(runId, reason)
            over { context.getString(R.string.benchmark_failed, reason) }
        }

        /** Write why there is no result of [asked], which may be another run than this. */
        fun answer(asked: String, reason: String) {
            if (!BenchmarkRequest.isRunId(asked)) return // it must not become a file name
            try {
                val text = Json.write(mapOf("run_id" to asked, "error" to reason))
                writeWhole(errorFile(asked)) { it.write(text.toByteArray()) }
            } catch (second: IOException) {
                Log.e(TAG, "$asked: the error cannot be stored: ${second.message}")
            }
        }

        private fun errorFile(asked: String) = File(folder, "$asked.error.json")

        /** @throws IOException the app left the foreground. */
        private fun stayed() {
            if (left) throw IOException("the app left the foreground during the run, so its times would not be the model's: keep the screen on and the app open, and measure again")
        }

        private fun tell(share: Double, request: BenchmarkRequest) {
            stayed()
            main.post {
                percent = (100 * share).toInt()
                text = context.getString(R.string.benchmark_running, request.modelName, request.backend.label(context), percent)
                shownBy?.render(this)
            }
        }

        /** Nothing is measured any more; [say] what came of it. */
        private fun over(say: () -> String) {
            main.post {
                text = say()
                percent = 100
                isOver = true
                if (current === this) current = null
                last = this
                shownBy?.render(this)
            }
        }

        private fun done(report: BenchmarkReport, file: File): String {
            val summary = summarise(report.timings.invoke)
            return context.getString(
                R.string.benchmark_done,
                report.model.name,
                listOfNotNull(report.target.actual, report.target.refusal).joinToString(": "),
                summary.getValue("p50"),
                summary.getValue("p90"),
                summary.getValue("runs_per_second"),
                file.path,
            )
        }
    }

    companion object {
        const val RUN_ID = "run_id"
        const val MODEL = "model"
        const val DELEGATE = "delegate"
        const val GPU_PRECISION = "gpu_precision"
        const val THREADS = "threads"
        const val WARMUP = "warmup"
        const val RUNS = "runs"
        const val SECONDS = "seconds"
        const val MAX_SECONDS = "max_seconds"
        const val INPUTS = "inputs" // the extra, and the folder of the files it names
        const val FOLDER = "benchmarks"
        const val TENSORS = ".tensors"
        private const val TAG = "asmnet-kit"

        /** Tests put their own here; no Android library runs on their machine. */
        var engines: EngineFactory = phoneEngines
        var devices: (Context) -> Device = ::PhoneFacts

        /** The run_id of the measurement that goes on; null where none does. */
        val measuring: String? get() = current?.runId

        // Of the process; touched on the main thread alone.
        private var current: Run? = null
        private var last: Run? = null // the latest that is over
        private var shownBy: BenchmarkActivity? = null

        private fun requestOf(runId: String, intent: Intent, models: Models): BenchmarkRequest {
            val delegate = intent.getStringExtra(DELEGATE) ?: Accelerator.CPU.id
            val accelerator = requireNotNull(Accelerator.of(delegate)) {
                "expected a delegate of ${Accelerator.entries.map { it.id }}, got '$delegate'"
            }
            val precision = intent.getStringExtra(GPU_PRECISION)
            require(precision == null || accelerator == Accelerator.GPU) { "gpu_precision is for the delegate 'gpu', got '$delegate'" }
            val gpuPrecision = requireNotNull(GpuPrecision.of(precision ?: GpuPrecision.FP32.id)) {
                "expected a gpu_precision of ${GpuPrecision.entries.map { it.id }}, got '$precision'"
            }
            return BenchmarkRequest(
                runId = runId,
                modelName = intent.getStringExtra(MODEL) ?: models.first(),
                backend = Backend(accelerator, intent.getIntExtra(THREADS, 1), gpuPrecision),
                warmupRuns = intent.getIntExtra(WARMUP, 20),
                runs = intent.getIntExtra(RUNS, 200),
                minSeconds = intent.getFloatExtra(SECONDS, 2f).toDouble(),
                maxSeconds = intent.getFloatExtra(MAX_SECONDS, 300f).toDouble(),
            )
        }

        /** The app's own folder that adb may read, too. */
        private fun filesOf(context: Context): File = context.getExternalFilesDir(null) ?: context.filesDir

        /** @throws IOException there is no such file of inputs. */
        private fun inputsOf(context: Context, name: String): TensorFile {
            val folders = listOf(Models.pushFolder, File(filesOf(context), INPUTS))
            val file = folders.map { File(it, name) }.takeIf { File(name).name == name }?.find { it.isFile }
                ?: throw IOException("expected the name of a file in ${folders.joinToString(" or ")}, got '$name'")
            return TensorFile.read(name, mapped(file))
        }

        /** Write a file under another name and rename it: who polls for it never sees half of it. */
        private fun <T> writeWhole(file: File, write: (OutputStream) -> T): T {
            val folder = requireNotNull(file.parentFile)
            if (!folder.isDirectory && !folder.mkdirs()) throw IOException("$folder cannot be made")
            val partial = File(folder, ".${file.name}.part")
            try {
                val result = partial.outputStream().buffered().use(write)
                if (!partial.renameTo(file)) throw IOException("$file cannot be written")
                return result
            } finally {
                partial.delete() // still there where writing failed
            }
        }

        /** What the app itself says is for people; of anything else the type tells more than the message. */
        private fun reasonOf(error: Throwable): String = when (error) {
            is ModelException, is IllegalArgumentException, is IOException -> error.message ?: error.javaClass.simpleName
            else -> error.toString()
        }

        fun versionOf(context: Context): String = context.packageManager.getPackageInfo(context.packageName, 0).versionName.orEmpty()

        fun utcNow(): String =
            SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss'+00:00'", Locale.ROOT)
                .apply { timeZone = TimeZone.getTimeZone("UTC") }
                .format(Date())
    }
}
