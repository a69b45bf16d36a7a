package org.asmnetkit.core

import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import java.nio.ByteBuffer
import java.util.zip.ZipInputStream
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class ComparisonTest {
    private val model = ModelFile.read("nano_98_112_qat_w8a8.tflite", ByteBuffer.wrap(Golden.read("model_file")["model"].bytes))
    private val backends = listOf(Backend(Accelerator.CPU, 1), Backend(Accelerator.CPU, 4), Backend(Accelerator.GPU, 1), Backend(Accelerator.NNAPI, 1))
    private val entries = backends.map { Entry(model.name, it) }
    private var now = 0L
    private var slept = 0L

    /** The CPU takes 8 ms by its threads, the GPU 1 and gives no numbers, and NNAPI refuses. */
    private val factory = EngineFactory { _, backend ->
        val runMs = if (backend.accelerator == Accelerator.GPU) 1L else 8L / backend.threads
        val still = BenchmarkTest.Still(backend, if (backend.accelerator == Accelerator.GPU) Float.NaN else 0.5f) { now += runMs * 1_000_000 }
        if (backend.accelerator != Accelerator.NNAPI) return@EngineFactory still
        object : Engine by still {
            override val actual = Accelerator.CPU
            override val refusal = "nnapi: there is none"
        }
    }

    private fun comparison(hotSeconds: Int = 0) = Comparison(
        Benchmark(factory, BenchmarkTest.NoPhone, "0.1.0", nanoTime = { now }),
        Cooling(isHot = { slept < hotSeconds * 1000L }, sleep = { slept += it }),
    )

    private fun measured(open: (String) -> ModelFile = { model }, onProgress: (Int, Double, Boolean) -> Unit = { _, _, _ -> }): List<Outcome> {
        val outcomes = ArrayList<Outcome>()
        comparison().measure(
            entries,
            requestOf = { BenchmarkRequest("run-${entries.indexOf(it)}", it.modelName, it.backend, warmupRuns = 1, runs = 6, minSeconds = 0.0) },
            open = open,
            now = { "2026-01-01T00:00:00Z" },
            onProgress = onProgress,
            onOutcome = { outcomes += it },
        )
        return outcomes
    }

    @Test
    fun `the fastest in the end comes first, and what did not run as asked has no place`() {
        val cooled = ArrayList<Int>()
        val standings = Comparison.ranked(measured { over, _, cooling -> if (cooling) cooled += over })
        assertEquals(listOf(entries[1], entries[0], entries[2], entries[3]), standings.map { it.entry })
        assertEquals(listOf(1, 2, null, null), standings.map { it.place })
        assertEquals(listOf(2.0, 8.0), standings.take(2).map { it.sustainedMs })
        assertTrue("not finite" in standings[2].note.orEmpty())
        assertNull(standings[2].parityPixels)
        assertEquals("nnapi: there is none", standings[3].note)
        assertEquals(List(5) { 1 } + List(5) { 2 } + List(5) { 3 }, cooled) // seconds before all but the first
    }

    @Test
    fun `a model that cannot be read fails alone`() {
        val outcomes = measured(open = { throw ModelException("no such model") })
        assertEquals(List(4) { "no such model" }, outcomes.map { it.failure })
        assertEquals(List(4) { null }, Comparison.ranked(outcomes).map { it.place })
    }

    @Test
    fun `who wants to stop it throws where progress is told`() {
        assertThrows(InterruptedException::class.java) { measured { over, _, _ -> if (over == 1) throw InterruptedException() } }
    }

    @Test
    fun `a hot phone is given time, but not for ever`() {
        assertEquals(5, Cooling({ false }, {}).pause {})
        var slept = 0
        assertEquals(40, Cooling({ slept < 40 }, { slept++ }).pause {})
        assertEquals(Cooling.MOST_SECONDS, Cooling({ true }, {}).pause {})
    }

    @Test
    fun `the archive holds a result file of each`() {
        val reports = measured().mapNotNull { it.report }
        val archive = ByteArrayOutputStream().also { Comparison.zip(reports, it) }.toByteArray()
        val found = LinkedHashMap<String, String>()
        ZipInputStream(ByteArrayInputStream(archive)).use { opened ->
            while (true) found[opened.nextEntry?.name ?: break] = opened.readBytes().toString(Charsets.UTF_8)
        }
        assertEquals(reports.associate { "${it.runId}.json" to it.toJson() }, found)
        assertTrue(reports.last().notes.any { "measured 4 of 4, after a pause of 5 s" in it })
        System.getProperty("asmnetkit.reports")?.let { folder -> // for Python's report
            java.io.File(folder).mkdirs()
            java.io.File(folder, "comparison.zip").writeBytes(archive)
        }
    }
}
