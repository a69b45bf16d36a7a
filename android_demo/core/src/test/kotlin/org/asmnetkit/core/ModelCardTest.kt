package org.asmnetkit.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Test

class ModelCardTest {
    private val card = mapOf(
        "name" to "n", "file" to "n.tflite", "summary" to "s", "licence" to "Apache-2.0", "trained_on" to "people", "terms" to "t",
        "use" to "u", "failures" to listOf("a", "b"), "default" to true, "model" to mapOf("sha256" to "ab"),
        "nme_percent" to mapOf("photographs" to 5.1, "not measured" to null),
    )

    @Test
    fun `a card is read, and what was not measured is left out`() {
        val read = ModelCard.of(card)
        assertEquals(mapOf("photographs" to 5.1), read.errors)
        assertEquals(listOf("a", "b"), read.failures)
        assertEquals("ab", read.sha256)
        assertEquals(true, read.isDefault)
    }

    @Test
    fun `what a card lacks is named`() {
        val error = assertThrows(ModelException::class.java) { ModelCard.of(card - "terms") }
        assertEquals("expected the text 'terms' in a model card, got null", error.message)
        assertThrows(ModelException::class.java) { ModelCard.of(listOf(1)) }
    }
}
