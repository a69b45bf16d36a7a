package org.asmnetkit.core

/** JSON is not valid, or not what was expected of it. */
class JsonException(message: String) : Exception(message)

/**
 * JSON as plain values: Map<String, Any?>, List<Any?>, String, Boolean, null, Long and Double.
 *
 * Android brings a JSON library that the JVM of the tests does not have; these hundred lines are the
 * same on both.
 */
object Json {
    /** Parse one JSON value. @throws JsonException where the text is not JSON, with the position. */
    fun parse(text: String): Any? = Parser(text).whole()

    /** Write a value, indented by two spaces. NaN and infinity are refused: JSON has none. */
    fun write(value: Any?): String = StringBuilder().also { append(it, value, "\n") }.append('\n').toString()

    /** The same on one line, which a newline ends. */
    fun writeLine(value: Any?): String = StringBuilder().also { append(it, value, "") }.append('\n').toString()

    private fun append(out: StringBuilder, value: Any?, newline: String) {
        when (value) {
            null, is Boolean, is Int, is Long -> out.append(value)
            is Float -> append(out, value.toDouble(), newline)
            is Double -> {
                require(value.isFinite()) { "JSON has no number $value" }
                out.append(value)
            }
            is String -> quote(out, value)
            is Map<*, *> -> block(out, '{', '}', value.entries, newline) { (key, content), inner ->
                quote(out, key as String)
                out.append(": ")
                append(out, content, inner)
            }
            is Collection<*> -> block(out, '[', ']', value, newline) { content, inner -> append(out, content, inner) }
            else -> throw IllegalArgumentException("JSON cannot hold a ${value.javaClass.simpleName}")
        }
    }

    private fun <T> block(
        out: StringBuilder,
        open: Char,
        close: Char,
        contents: Collection<T>,
        newline: String,
        each: (T, String) -> Unit,
    ) {
        out.append(open)
        val inner = "$newline  "
        contents.forEachIndexed { index, content ->
            out.append(if (index == 0) "" else ",").append(inner)
            each(content, inner)
        }
        if (contents.isNotEmpty()) out.append(newline)
        out.append(close)
    }

    private fun quote(out: StringBuilder, text: String) {
        out.append('"')
        for (c in text) {
            when {
                c == '"' || c == '\\' -> out.append('\\').append(c)
                c < ' ' -> out.append("\\u").append(c.code.toString(16).padStart(4, '0'))
                else -> out.append(c)
            }
        }
        out.append('"')
    }

    private class Parser(private val text: String) {
        private var at = 0
        private var depth = 0

        fun whole(): Any? {
            val value = value()
            skipSpace()
            if (at != text.length) fail("the end")
            return value
        }

        private fun value(): Any? {
            skipSpace()
            return when (peek()) {
                '{' -> nested { members() }
                '[' -> nested { elements() }
                '"' -> string()
                't' -> word("true", true)
                'f' -> word("false", false)
                'n' -> word("null", null)
                else -> number()
            }
        }

        private fun <T> nested(read: () -> T): T {
            if (++depth > MAX_DEPTH) throw JsonException("JSON is nested more than $MAX_DEPTH deep")
            at++
            return read().also { depth-- }
        }

        private fun members(): Map<String, Any?> {
            val members = LinkedHashMap<String, Any?>()
            if (ends('}')) return members
            do {
                skipSpace()
                val key = string()
                skipSpace()
                expect(':')
                members[key] = value()
            } while (continues('}'))
            return members
        }

        private fun elements(): List<Any?> {
            val elements = ArrayList<Any?>()
            if (ends(']')) return elements
            do elements.add(value()) while (continues(']'))
            return elements
        }

        private fun ends(close: Char): Boolean {
            skipSpace()
            if (peek() != close) return false
            at++
            return true
        }

        private fun continues(close: Char): Boolean {
            if (ends(close)) return false
            expect(',')
            return true
        }

        private fun string(): String {
            expect('"')
            val out = StringBuilder()
            while (true) {
                when (val c = next()) {
                    '"' -> return out.toString()
                    '\\' -> out.append(escaped(next()))
                    else -> if (c < ' ') fail("no control character in a string") else out.append(c)
                }
            }
        }

        private fun escaped(c: Char): Char = when (c) {
            '"', '\\', '/' -> c
            'b' -> '\b'
            'f' -> '\u000C'
            'n' -> '\n'
            'r' -> '\r'
            't' -> '\t'
            'u' -> {
                if (at + 4 > text.length) fail("four hexadecimal digits")
                val code = text.substring(at, at + 4).toIntOrNull(16) ?: fail("four hexadecimal digits")
                at += 4
                code.toChar()
            }
            else -> fail("an escape")
        }

        private fun number(): Any {
            val match = NUMBER.find(text, at)?.takeIf { it.range.first == at } ?: fail("a value")
            at = match.range.last + 1
            val digits = match.value
            val whole = if (digits.any { it in ".eE" }) null else digits.toLongOrNull()
            return whole ?: digits.toDouble().also { if (it.isInfinite()) fail("a number a Double can hold") }
        }

        private fun <T> word(word: String, value: T): T {
            if (!text.startsWith(word, at)) fail("'$word'")
            at += word.length
            return value
        }

        private fun skipSpace() {
            while (at < text.length && text[at] in " \t\r\n") at++
        }

        private fun peek(): Char = if (at < text.length) text[at] else fail("more")

        private fun next(): Char = peek().also { at++ }

        private fun expect(c: Char) {
            if (next() != c) {
                at--
                fail("'$c'")
            }
        }

        private fun fail(expected: String): Nothing =
            throw JsonException("expected $expected at character $at of the JSON")
    }

    private const val MAX_DEPTH = 100
    private val NUMBER = Regex("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")
}
