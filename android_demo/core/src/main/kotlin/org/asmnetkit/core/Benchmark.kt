package org.asmnetkit.core

import java.nio.ByteBuffer
import java.util.Locale
import java.util.Random
import kotlin.math.max

/**
 * What to measure. A run ends after [runs] and [minSeconds], or after [maxSeconds] whatever its runs. Where
 * [sustainedSeconds] is above 0 the model then runs so long without a pause, as a film needs it, unless it does
 * not run as asked.
 */
data class BenchmarkRequest(
    val runId: String,
    val modelName: String,
    val backend: Backend,
    val warmupRuns: Int = 20,
    val runs: Int = 200,
    val minSeconds: Double = 2.0,
    val maxSeconds: Double = 300.0,
    val sustainedSeconds: Double = 0.0,
) {
    init {
        require(isRunId(runId)) { "expected a run_id of letters, digits, '.', '_' and '-', got '$runId'" }
        require(backend.threads in 1..MAX_THREADS) { "expected 1 to $MAX_THREADS threads, got ${backend.threads}" }
        require(warmupRuns in 0..MAX_RUNS && runs in 1..MAX_RUNS) {
            "expected 0 to $MAX_RUNS warm-up runs and 1 to $MAX_RUNS runs, got $warmupRuns and $runs"
        }
        require(maxSeconds <= LONGEST_SECONDS) { "expected at most $LONGEST_SECONDS seconds, got $maxSeconds" }
        require(sustainedSeconds in 0.0..LONGEST_SECONDS) { "expected 0 to $LONGEST_SECONDS seconds sustained, got $sustainedSeconds" }
        require(minSeconds >= 0 && minSeconds <= maxSeconds) {
            "expected 0 to $maxSeconds seconds, got $minSeconds"
        }
    }

    companion object {
        /** Who asks for longer forgot a unit; a phone's battery and heat end such a run before its result. */
        const val LONGEST_SECONDS = 3600.0

        /** Whether [text] may name a run: it becomes a file name. */
        fun isRunId(text: String): Boolean = RUN_ID.matches(text)

        private val RUN_ID = Regex("[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
        private const val MAX_THREADS = 16
        private const val MAX_RUNS = 1_000_000
    }
}

/** What only the device can tell. */
interface Device {
    /** Facts of the machine for the result file. */
    fun facts(): Map<String, Any?>

    /** CPU time this process has used, milliseconds. */
    fun processCpuMs(): Long

    fun peakRssBytes(): Long?

    /** Reasons not to trust what was measured between now and [facts], for example heat. */
    fun disturbances(): List<String>

    /** Whether it is too hot to begin; false where it does not tell. */
    fun isHot(): Boolean = false
}

/**
 * Measures a model; the result file's numbers.
 *
 * @param nanoTime the clock, nanoseconds.
 */
class Benchmark(
    private val factory: EngineFactory,
    private val device: Device,
    private val appVersion: String,
    private val nanoTime: () -> Long = { System.nanoTime() },
) {
    /**
     * Load the model, warm up, time runs, then time whole frames and compare an accelerator's outputs
     * with the CPU's; at the end run what [feed] holds.
     *
     * @param onProgress share done, 0..1; what it throws ends the measurement. Called ten times a second.
     * @throws ModelException the model cannot be loaded or run, or the feed's inputs are not its.
     * @throws java.io.IOException the feed's outputs cannot be written.
     */
    fun measure(
        request: BenchmarkRequest,
        model: ModelFile,
        measuredAt: String,
        feed: Feed? = null,
        onProgress: (Double) -> Unit,
    ): BenchmarkReport {
        val before = device.facts()
        val started = nanoTime()
        return factory.open(model, request.backend).use { engine ->
            val loadMs = ms(nanoTime() - started)
            if (feed != null) expectInputs(engine, model, feed.inputs)
            val input = noise(engine.input)
            val outputs = engine.outputs.mapValues { it.value.allocate() }
            val firstMs = time { engine.run(input, outputs) }
            val warmedUp = warmUp(request, onProgress) { engine.run(input, outputs) }

            val cpuBefore = device.processCpuMs()
            val wallBefore = nanoTime()
            // What does not run as asked is not compared: minutes of it would only warm the phone.
            val sustainedSeconds = if (engine.refusal == null) request.sustainedSeconds else 0.0
            val timed = if (sustainedSeconds > 0) request.minSeconds / (request.minSeconds + sustainedSeconds) else 1.0
            val samples = timedRuns(request, { onProgress(timed * it) }) { engine.run(input, outputs) }
            val busy = (device.processCpuMs() - cpuBefore) / max(ms(nanoTime() - wallBefore), 1e-9)
            val sustained = sustained(sustainedSeconds, { onProgress(timed + (1 - timed) * it) }) { engine.run(input, outputs) }
            val peak = device.peakRssBytes()

            val faceModel = FaceModel(model, engine)
            val frames = List(WARMUP_FRAMES + FRAMES) { faceModel.look(FRAME, FACE).times }.drop(WARMUP_FRAMES)
            val parity = parity(engine, model)
            if (feed != null) runAll(engine, feed, input, outputs, onProgress)
            val stopped = "stopped after %.0f s with %d of %d runs".format(
                Locale.ROOT, request.maxSeconds, samples.size, request.runs,
            ).takeIf { samples.size < request.runs }
            BenchmarkReport(
                runId = request.runId,
                appVersion = appVersion,
                measuredAt = measuredAt,
                model = model,
                target = targetFacts(engine, model, busy),
                machine = device.facts() + ("before" to before.filterKeys { it in CHANGING_FACTS }),
                runtimeName = engine.runtimeName,
                runtimeVersion = engine.runtimeVersion,
                kernels = engine.kernels,
                protocol = Protocol(
                    warmupRuns = warmedUp,
                    runs = samples.size,
                    minSeconds = request.minSeconds,
                    requestedRuns = request.runs,
                    input = "random values over the input's range, seed 0",
                ),
                timings = Timings(
                    load = loadMs,
                    first = firstMs,
                    invoke = samples,
                    pre = median(frames) { it.preMs },
                    post = median(frames) { it.postMs },
                    endToEnd = median(frames) { it.totalMs },
                ),
                sustained = sustained,
                peakRssBytes = peak,
                parity = parity,
                warnings = listOfNotNull(engine.refusal, stopped, SAME_BITS.takeIf { parity?.identical == true }, parity?.failure) +
                    engine.warnings + device.disturbances(),
                notes = listOf(
                    "pre, post and end_to_end: medians of $FRAMES made-up frames of $FRAME_WIDTH x $FRAME_HEIGHT",
                ),
            )
        }
    }

    private fun targetFacts(engine: Engine, model: ModelFile, busyCores: Double) = TargetFacts(
        requested = "$TARGET:${engine.requested.accelerator.id}",
        actual = "$TARGET:${engine.actual.id}",
        threads = engine.requested.threads,
        delegate = when (engine.actual) {
            Accelerator.CPU -> "XNNPACK"
            Accelerator.GPU -> "GPU ${engine.requested.gpuPrecision.id}"
            Accelerator.NNAPI -> "NNAPI"
        },
        delegatedOps = engine.delegatedOps,
        totalOps = model.totalOps,
        proof = listOf(
            engine.proof,
            "this process kept %.2f CPU cores busy during the timed runs".format(Locale.ROOT, busyCores),
        ),
        refusal = engine.refusal,
    )

    /** An accelerator's landmarks against the CPU's; null where the CPU itself was measured. */
    private fun parity(engine: Engine, model: ModelFile): Parity? {
        if (engine.actual == Accelerator.CPU) return null
        val inputs = List(PARITY_INPUTS) { noise(engine.input, seed = it.toLong()) }
        return factory.open(model, Backend(Accelerator.CPU, engine.requested.threads)).use { cpu ->
            Parity.of(engine, cpu, inputs, model.metadata.inputSize)
        }
    }

    /** Run until the asked runs and a minimum time are over and the times are steady; how often it ran. */
    private fun warmUp(request: BenchmarkRequest, onProgress: (Double) -> Unit, run: () -> Unit): Int {
        if (request.warmupRuns == 0) return 0
        val times = ArrayList<Double>()
        val started = nanoTime()
        var told = started
        while (true) {
            times += time(run)
            val now = nanoTime()
            if (now - told > TELL_EVERY_NS) {
                onProgress(0.0)
                told = now
            }
            val elapsedMs = ms(now - started)
            val enough = times.size >= request.warmupRuns && elapsedMs >= MIN_WARMUP_MS
            val settled = enough && (steady(times) || times.size >= MAX_WARMUP_FACTOR * request.warmupRuns)
            if (settled || elapsedMs > 1000 * request.maxSeconds) return times.size
        }
    }

    private fun timedRuns(request: BenchmarkRequest, onProgress: (Double) -> Unit, run: () -> Unit): DoubleArray {
        val samples = ArrayList<Double>(request.runs)
        val started = nanoTime()
        var told = started
        while (true) {
            samples += time(run)
            val now = nanoTime()
            val seconds = (now - started) / 1e9
            val enough = samples.size >= request.runs && seconds >= request.minSeconds
            if (enough || seconds >= request.maxSeconds) return samples.toDoubleArray()
            if (now - told > TELL_EVERY_NS) {
                val share = samples.size.toDouble() / request.runs
                onProgress(minOf(1.0, share, if (request.minSeconds > 0) seconds / request.minSeconds else 1.0))
                told = now
            }
        }
    }

    /** Medians of windows of some seconds, without a pause between; null where none was asked for. */
    private fun sustained(total: Double, onProgress: (Double) -> Unit, run: () -> Unit): Sustained? {
        if (total <= 0) return null
        val width = minOf(WINDOW_SECONDS, total / 2)
        val windows = ArrayList<Window>()
        val started = nanoTime()
        var told = started
        var seconds = 0.0
        while (seconds < total) {
            val samples = ArrayList<Double>()
            val end = seconds + width
            while (seconds < end) {
                samples += time(run)
                val now = nanoTime()
                seconds = (now - started) / 1e9
                if (now - told > TELL_EVERY_NS) {
                    onProgress(minOf(1.0, seconds / total))
                    told = now
                }
            }
            val times = samples.toDoubleArray()
            windows += Window(seconds, times.size, percentile(times, 50.0), percentile(times, 90.0))
        }
        return Sustained(total / 60, windows)
    }

    private fun expectInputs(engine: Engine, model: ModelFile, inputs: TensorFile) {
        val wanted = listOf(TensorKind.of(engine.input))
        if (inputs.tensors != wanted) {
            throw ModelException("${model.name}: expected inputs of $wanted, got ${inputs.tensors}")
        }
    }

    private fun runAll(
        engine: Engine,
        feed: Feed,
        input: ByteBuffer,
        outputs: Map<String, ByteBuffer>,
        onProgress: (Double) -> Unit,
    ) {
        val records = feed.inputs.records
        TensorFile.writeHeader(feed.outputs, engine.outputs.values.map(TensorKind::of), records)
        var told = nanoTime()
        for (number in 0 until records) {
            input.rewind()
            input.put(feed.inputs.record(number))
            engine.run(input, outputs)
            for (name in engine.outputs.keys) {
                val raw = outputs.getValue(name)
                raw.rewind()
                feed.outputs.write(ByteArray(raw.remaining()).also { raw.get(it) })
            }
            if (nanoTime() - told > TELL_EVERY_NS) {
                onProgress(number.toDouble() / records)
                told = nanoTime()
            }
        }
    }

    private inline fun time(run: () -> Unit): Double {
        val started = nanoTime()
        run()
        return ms(nanoTime() - started)
    }

    private fun median(frames: List<StageTimes>, stage: (StageTimes) -> Double): Double =
        percentile(frames.map(stage).toDoubleArray(), 50.0)

    /** Every raw value of a whole-number type is allowed; floats are -1..1. */
    private fun noise(info: TensorInfo, seed: Long = 0): ByteBuffer {
        val random = Random(seed)
        val buffer = info.allocate()
        if (info.type == ElementType.FLOAT32) {
            repeat(info.elements) { buffer.putFloat(2 * random.nextFloat() - 1) }
        } else {
            val bytes = ByteArray(buffer.capacity())
            random.nextBytes(bytes)
            buffer.put(bytes)
        }
        buffer.rewind()
        return buffer
    }

    private companion object {
        const val TARGET = "android"
        const val MIN_WARMUP_MS = 200.0 // caches, page tables and the clock settle at least this long
        const val MAX_WARMUP_FACTOR = 5 // times that are not steady after this many times the asked runs never are
        const val TELL_EVERY_NS = 100_000_000L
        const val WINDOW_SECONDS = 5.0 // as benchmarks/timing/session_timing.py has it
        const val FRAMES = 100
        const val WARMUP_FRAMES = 5
        const val PARITY_INPUTS = 8
        const val SAME_BITS = "the outputs are the CPU's to the last bit: suspicious for an accelerator"

        // The frame and face box of the desktop benchmark (benchmarks/timing/frame_stages.py).
        const val FRAME_WIDTH = 640
        const val FRAME_HEIGHT = 480
        val FACE = Box(210.0, 100.0, 430.0, 340.0)
        val FRAME: Picture by lazy {
            val random = Random(0)
            fun plane(width: Int, height: Int): Plane {
                val bytes = ByteBuffer.allocateDirect(width * height)
                repeat(width * height) { bytes.put(it, random.nextInt().toByte()) }
                return Plane(bytes, width, 1)
            }
            val chromaWidth = FRAME_WIDTH / 2
            val chromaHeight = FRAME_HEIGHT / 2
            YuvPicture(
                FRAME_WIDTH,
                FRAME_HEIGHT,
                plane(FRAME_WIDTH, FRAME_HEIGHT),
                plane(chromaWidth, chromaHeight),
                plane(chromaWidth, chromaHeight),
            )
        }
        val CHANGING_FACTS = setOf("thermal_status", "battery_percent", "battery_celsius", "memory_available_bytes")
    }
}
