package org.asmnetkit.core

import java.io.OutputStream
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream

/** A model on an accelerator, to be measured. */
data class Entry(val modelName: String, val backend: Backend)

/** What came of an [entry]: a [report], or the [failure] that there is none. */
class Outcome(val entry: Entry, val report: BenchmarkReport?, val failure: String?)

/**
 * Where an [entry] stands in a comparison.
 *
 * @property place from 1; null where it does not compete: it failed, ran elsewhere than asked or computes wrongly.
 * @property freshMs median of the first third of its runs, [sustainedMs] of the last, by which it is ranked;
 *   of the sustained run where there is one.
 * @property parityPixels how far its landmarks are from the CPU's, at most; null where the CPU ran it.
 * @property note why it does not compete.
 */
data class Standing(
    val entry: Entry,
    val place: Int?,
    val freshMs: Double?,
    val sustainedMs: Double?,
    val parityPixels: Double?,
    val note: String?,
)

/**
 * Lets a phone cool down between two measurements: a while in any case, and longer while it is hot.
 *
 * @param sleep milliseconds.
 */
class Cooling(private val isHot: () -> Boolean, private val sleep: (Long) -> Unit) {
    /** @param onTick told once a second. @return seconds that it took. */
    fun pause(onTick: (seconds: Int) -> Unit): Int {
        var seconds = 0
        while (seconds < LEAST_SECONDS || (seconds < MOST_SECONDS && isHot())) {
            onTick(seconds)
            sleep(1000)
            seconds++
        }
        return seconds
    }

    companion object {
        const val LEAST_SECONDS = 5
        const val MOST_SECONDS = 180 // a phone in the sun does not cool: what it says then is in the result
    }
}

/** Measures models on accelerators, one after the other. */
class Comparison(private val benchmark: Benchmark, private val cooling: Cooling) {
    /**
     * Measure every entry; what fails is an outcome, too, and the next one follows.
     *
     * @param requestOf what to measure of an entry.
     * @param open the model of that name. @throws ModelException there is none.
     * @param onProgress told often: how many entries are over, the share of this one that is done, and whether the
     *   phone is cooling instead. What it throws ends the comparison.
     */
    fun measure(
        entries: List<Entry>,
        requestOf: (Entry) -> BenchmarkRequest,
        open: (String) -> ModelFile,
        now: () -> String,
        onProgress: (over: Int, share: Double, cooling: Boolean) -> Unit,
        onOutcome: (Outcome) -> Unit,
    ) {
        entries.forEachIndexed { number, entry ->
            val paused = if (number == 0) 0 else cooling.pause { onProgress(number, 0.0, true) }
            val outcome = try {
                val report = benchmark.measure(requestOf(entry), open(entry.modelName), now()) { onProgress(number, it, false) }
                Outcome(entry, report.copy(notes = report.notes + "measured ${number + 1} of ${entries.size}, after a pause of $paused s"), null)
            } catch (error: ModelException) {
                Outcome(entry, null, error.message)
            }
            onOutcome(outcome)
        }
    }

    companion object {
        /** Outcomes with those first that compete, the fastest in the last third of its runs before all. */
        fun ranked(outcomes: List<Outcome>): List<Standing> {
            val standings = outcomes.map(::standingOf)
            val (competing, others) = standings.partition { it.note == null }
            return competing.sortedBy { it.sustainedMs }.mapIndexed { index, it -> it.copy(place = index + 1) } + others
        }

        private fun standingOf(outcome: Outcome): Standing {
            val report = outcome.report ?: return Standing(outcome.entry, null, null, null, null, outcome.failure.orEmpty())
            val (fresh, sustained) = report.thirds()
            val note = report.target.refusal ?: report.parity?.failure
            return Standing(outcome.entry, null, fresh, sustained, report.parity?.takeIf { it.failure == null }?.max, note)
        }

        /** The result files, as `asmnet-kit report` reads them. */
        fun zip(reports: List<BenchmarkReport>, out: OutputStream) {
            val archive = ZipOutputStream(out)
            for (report in reports) {
                archive.putNextEntry(ZipEntry("${report.runId}.json"))
                archive.write(report.toJson().toByteArray())
                archive.closeEntry()
            }
            archive.finish()
        }
    }
}
