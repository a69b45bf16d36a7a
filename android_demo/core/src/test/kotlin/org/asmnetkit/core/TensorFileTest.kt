package org.asmnetkit.core

import java.io.ByteArrayOutputStream
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory

class TensorFileTest {
    private val golden = Golden.read("tensor_file")
    private val bytes = golden["file"].bytes
    private val kinds = golden["tensors"].list.map {
        TensorKind(it["name"].text, ElementType.valueOf(it["type"].text), it["shape"].ints)
    }

    private fun read(content: ByteArray) = TensorFile.read("a.tensors", ByteBuffer.wrap(content))

    @Test
    fun `Python's file is read`() {
        val file = read(bytes)
        assertEquals(kinds, file.tensors)
        assertEquals(golden["records"].int, file.records)
        for (number in 0 until file.records) {
            val record = file.record(number).order(ByteOrder.LITTLE_ENDIAN)
            for ((kind, tensor) in kinds.zip(golden["tensors"].list)) {
                val values = tensor["values"].list[number].doubles
                val read = DoubleArray(values.size) {
                    when (kind.type) {
                        ElementType.INT8 -> record.get().toDouble()
                        ElementType.UINT8 -> (record.get().toInt() and 255).toDouble()
                        ElementType.INT16 -> record.getShort().toDouble()
                        ElementType.FLOAT32 -> record.getFloat().toDouble()
                    }
                }
                assertArrayEquals(values, read, 0.0, kind.name)
            }
            assertEquals(0, record.remaining())
        }
    }

    @Test
    fun `what is written has one line before the values, and is read back`() {
        val python = read(bytes)
        val out = ByteArrayOutputStream()
        TensorFile.writeHeader(out, kinds, python.records)
        val header = out.size()
        for (number in 0 until python.records) {
            out.write(ByteArray(python.record(number).remaining()).also { python.record(number).get(it) })
        }
        val written = out.toByteArray()
        assertEquals(header - 1, written.indexOf('\n'.code.toByte()))
        assertEquals(python.tensors, read(written).tensors)
        assertArrayEquals(bytes.copyOfRange(bytes.indexOf('\n'.code.toByte()) + 1, bytes.size), written.copyOfRange(header, written.size))
    }

    @TestFactory
    fun `another file is refused with a reason`(): List<org.junit.jupiter.api.DynamicTest> {
        val text = bytes.toString(Charsets.ISO_8859_1)
        val others = mapOf(
            "" to "no first line",
            "{}\n" to "expected version",
            "[]\n" to "expected an object",
            text.dropLast(1) to "bytes",
            text + "x" to "bytes",
            text.replace("\"version\": 1", "\"version\": 2") to "expected version",
            text.replace("\"int8\"", "\"complex\"") to "expected a type",
            text.replace("\"records\": 2", "\"records\": -2") to "expected a size",
            text.replace("[1, 3]", "[2147483647, 2147483647, 2147483647]") to "larger than any file",
        )
        return others.map { (content, reason) ->
            dynamicTest(content.take(20).trim().ifEmpty { "empty" } + ": " + reason) {
                val error = assertThrows(IOException::class.java) { read(content.toByteArray(Charsets.ISO_8859_1)) }
                assertTrue("a.tensors" in error.message!! && reason in error.message!!) { error.message }
            }
        }
    }
}
