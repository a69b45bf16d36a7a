package org.asmnetkit.demo

import android.app.Activity
import android.content.Intent
import android.os.Build
import android.os.Bundle
import android.util.Log
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
 * outputs are in `benchmarks/<run_id>.tensors` before that. The extras and files are a contract:
 * docs/android.md.
 */
class BenchmarkActivity : Activity() {
    private var worker: Thread? = null

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.benchmark)
        // A screen that goes dark lowers the clock; a locked one would stop the activity.
        window.addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON)
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.O_MR1) {
            setShowWhenLocked(true)
            setTurnScreenOn(true)
        }
        start(intent)
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        setIntent(intent)
        start(intent)
    }

    private fun start(intent: Intent) {
        if (worker?.isAlive == true) return // one at a time; the first goes on
        val runId = intent.getStringExtra(RUN_ID) ?: "app-${System.currentTimeMillis()}"
        worker = Thread({ measure(runId, intent) }, "benchmark").apply { start() }
    }

    private fun measure(runId: String, intent: Intent) {
        val folder = File(files(), FOLDER)
        try {
            val models = Models(this)
            val request = requestOf(runId, intent, models)
            tell(0.0, request)
            val model = models.open(request.modelName)
            val version = packageManager.getPackageInfo(packageName, 0).versionName.orEmpty()
            val benchmark = Benchmark(engines, devices(this), version)
            fun measured(feed: Feed?) = benchmark.measure(request, model, utcNow(), feed) { tell(it, request) }
            val inputs = intent.getStringExtra(INPUTS)?.let(::inputsOf)
            val report = if (inputs == null) measured(null) else writeWhole(File(folder, "$runId$TENSORS")) { measured(Feed(inputs, it)) }
            val file = File(folder, "$runId.json")
            writeWhole(file) { it.write(report.toJson().toByteArray()) }
            Log.i(TAG, "$runId: wrote $file")
            runOnUiThread { show(report, file) }
        } catch (error: Throwable) { // whatever it is, who asked waits for an answer
            fail(folder, runId, error)
        }
    }

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

    /** The app's own folder that adb may write to, too. */
    private fun files(): File = getExternalFilesDir(null) ?: filesDir

    /** @throws IOException there is no such file of inputs. */
    private fun inputsOf(name: String): TensorFile {
        val file = File(File(files(), INPUTS), name)
        if (file.name != name || !file.isFile) throw IOException("expected the name of a file in ${file.parent}, got '$name'")
        return TensorFile.read(name, mapped(file))
    }

    private fun fail(folder: File, runId: String, error: Throwable) {
        val reason = reasonOf(error)
        Log.e(TAG, "$runId: $reason", error)
        if (BenchmarkRequest.isRunId(runId)) { // else it must not become a file name
            try {
                val text = Json.write(mapOf("run_id" to runId, "error" to reason))
                writeWhole(File(folder, "$runId.error.json")) { it.write(text.toByteArray()) }
            } catch (second: IOException) {
                Log.e(TAG, "$runId: the error cannot be stored: ${second.message}")
            }
        }
        runOnUiThread { outcome().text = getString(R.string.benchmark_failed, reason) }
    }

    private fun tell(share: Double, request: BenchmarkRequest) = runOnUiThread {
        val percent = (100 * share).toInt()
        findViewById<ProgressBar>(R.id.progress).progress = percent
        outcome().text = getString(R.string.benchmark_running, request.modelName, request.backend.label(this), percent)
    }

    private fun show(report: BenchmarkReport, file: File) {
        val summary = summarise(report.timings.invoke)
        findViewById<ProgressBar>(R.id.progress).progress = 100
        val ran = listOfNotNull(report.target.actual, report.target.refusal).joinToString(": ")
        outcome().text = getString(
            R.string.benchmark_done,
            report.model.name,
            ran,
            summary.getValue("p50"),
            summary.getValue("p90"),
            summary.getValue("runs_per_second"),
            file.path,
        )
    }

    private fun outcome() = findViewById<TextView>(R.id.outcome)

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
        var engines: EngineFactory = LiteRtEngine.Factory
        var devices: (Activity) -> Device = ::PhoneFacts

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

        private fun utcNow(): String =
            SimpleDateFormat("yyyy-MM-dd'T'HH:mm:ss'+00:00'", Locale.ROOT)
                .apply { timeZone = TimeZone.getTimeZone("UTC") }
                .format(Date())
    }
}
