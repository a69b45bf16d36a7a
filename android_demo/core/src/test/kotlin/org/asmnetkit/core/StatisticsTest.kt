package org.asmnetkit.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Test

class StatisticsTest {
    @Test
    fun `summaries, intervals and warnings are Python's`() {
        for ((name, case) in Golden.read("statistics").entries) {
            val samples = case["samples"].doubles
            val summary = summarise(samples)
            assertEquals(case["summary"].entries.keys, summary.keys)
            // Sums of at most 60 doubles in another order.
            for ((key, expected) in case["summary"].entries) assertEquals(expected.double, summary[key]!!, 1e-9, "$name $key")
            assertEquals(case["intervals"].entries.mapValues { if (it.value.isNull) null else it.value.doubles.toList() }, intervals(samples), name)
            assertEquals(case["steady"].boolean, steady(samples.toList()), name)
            assertEquals(case["instability"].list.map { it.text }, instability(samples), name)
        }
    }

    @Test
    fun `a running mean forgets`() {
        val mean = RunningMean(2)
        assertNull(mean.mean)
        listOf(1.0, 2.0, 4.0).forEach(mean::add)
        assertEquals(3.0, mean.mean)
        mean.clear()
        assertNull(mean.mean)
    }
}
