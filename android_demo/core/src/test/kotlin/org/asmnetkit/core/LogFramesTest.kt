package org.asmnetkit.core

import java.util.Base64
import java.util.Random
import java.util.zip.GZIPInputStream
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class LogFramesTest {
    private fun noise(length: Int) = Random(0).let { random -> String(CharArray(length) { 'a' + random.nextInt(26) }) }

    @Test
    fun `the pieces together are the result`() {
        val json = noise(20_000)
        val lines = LogFrames.of("a1", json)
        assertTrue(lines.size > 1 && lines.all { it.length < 4000 })
        val pieces = lines.mapIndexed { index, line ->
            val (run, word, number, piece) = line.split(" ")
            assertEquals(listOf("a1", "result", "${index + 1}/${lines.size}"), listOf(run, word, number))
            piece
        }
        val packed = Base64.getDecoder().decode(pieces.joinToString(""))
        assertEquals(json, GZIPInputStream(packed.inputStream()).reader().readText())
    }

    @Test
    fun `a result too large for a phone's log is not put there`() = assertEquals(emptyList<String>(), LogFrames.of("a1", noise(400_000)))
}
