package org.asmnetkit.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Test
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.params.provider.ValueSource

class JsonTest {
    @Test
    fun `what is written is read back`() {
        val value = mapOf(
            "text" to "quote \" backslash \\ line\nbreak \u0001 Größe ✓",
            "numbers" to listOf(0L, -7L, 1.5, 1.0E-9, Long.MAX_VALUE),
            "nothing" to null,
            "yes" to true,
            "empty" to mapOf("list" to emptyList<Any>(), "object" to emptyMap<String, Any>()),
        )
        assertEquals(value, Json.parse(Json.write(value)))
    }

    @Test
    fun `standard escapes are read`() {
        assertEquals("a/\b\u000C\n\r\t\"\\é", Json.parse("\"a\\/\\b\\f\\n\\r\\t\\\"\\\\\\u00e9\""))
    }

    @ParameterizedTest
    @ValueSource(
        strings = [
            "", "{", "[1,]", "{\"a\" 1}", "{\"a\":1,}", "01", "+1", ".5", "1.", "NaN", "Infinity", "1e999", "nul",
            "\"open", "\"\\x\"", "\"\\u12\"", "1 2", "\"tab\there\"", "'a'", "{a:1}",
        ],
    )
    fun `what is no JSON is refused`(text: String) {
        assertThrows(JsonException::class.java) { Json.parse(text) }
    }

    @Test
    fun `endless nesting is refused`() {
        assertThrows(JsonException::class.java) { Json.parse("[".repeat(100_000)) }
    }

    @Test
    fun `NaN and foreign objects are not written`() {
        assertThrows(IllegalArgumentException::class.java) { Json.write(Double.NaN) }
        assertThrows(IllegalArgumentException::class.java) { Json.write(Any()) }
    }
}
