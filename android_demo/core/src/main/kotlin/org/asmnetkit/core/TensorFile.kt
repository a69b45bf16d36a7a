package org.asmnetkit.core

import java.io.IOException
import java.io.OutputStream
import java.nio.ByteBuffer
import java.util.Locale

/** Name, type and shape of a tensor in a file. */
data class TensorKind(val name: String, val type: ElementType, val shape: List<Int>) {
    /** @throws ArithmeticException more than a Long holds. */
    val bytes: Long get() = shape.fold(type.bytes.toLong()) { product, size -> Math.multiplyExact(product, size.toLong()) }

    companion object {
        fun of(info: TensorInfo) = TensorKind(info.name, info.type, info.shape)
    }
}

/**
 * Raw inputs or outputs of many runs of a model; Python's `toolkit/tflite/tensorfile.py` says what is in the
 * file. Its numbers are little-endian, as those of every Android device.
 */
class TensorFile private constructor(val tensors: List<TensorKind>, val records: Int, private val body: ByteBuffer) {
    private val recordBytes = tensors.sumOf { it.bytes }.toInt()

    /** Raw values of one run: of each of [tensors], in their order. */
    fun record(number: Int): ByteBuffer = body.duplicate().apply {
        limit((number + 1) * recordBytes)
        position(number * recordBytes)
    }

    companion object {
        private const val FORMAT = "asmnet-kit tensors"
        private const val VERSION = 1
        private const val MAX_HEADER_BYTES = 65_536
        private const val NEWLINE = '\n'.code.toByte()

        /**
         * @param name of the file, for messages.
         * @throws IOException no such file, or one that was cut off.
         */
        fun read(name: String, content: ByteBuffer): TensorFile {
            val (tensors, records) = try {
                header(content)
            } catch (error: JsonException) {
                throw IOException("$name: expected a file of tensors (a first line with the format '$FORMAT'): ${error.message}", error)
            }
            val body = content.slice().apply { position(headerBytes(content)) }.slice()
            val wanted = try {
                Math.multiplyExact(records.toLong(), tensors.sumOf { it.bytes })
            } catch (error: ArithmeticException) {
                throw IOException("$name: expected a file of tensors, got $tensors $records times: larger than any file", error)
            }
            if (body.capacity().toLong() != wanted) {
                throw IOException("$name: expected $wanted bytes of $records records after the first line, got ${body.capacity()}: copy it again")
            }
            return TensorFile(tensors, records, body)
        }

        /** Write the first line of a file; [records] runs of [tensors] are to follow. */
        fun writeHeader(out: OutputStream, tensors: List<TensorKind>, records: Int) = out.write(
            Json.writeLine(
                linkedMapOf(
                    "format" to FORMAT,
                    "version" to VERSION,
                    "records" to records,
                    "tensors" to tensors.map {
                        linkedMapOf("name" to it.name, "type" to it.type.name.lowercase(Locale.ROOT), "shape" to it.shape)
                    },
                ),
            ).toByteArray(),
        )

        /** Kinds of tensors and how many records of them. */
        private fun header(content: ByteBuffer): Pair<List<TensorKind>, Int> {
            val line = ByteArray(headerBytes(content)).also { content.slice().get(it) }
            val header = Json.parse(line.toString(Charsets.UTF_8)).asObject()
            if (header["format"] != FORMAT || header["version"] != VERSION.toLong()) {
                throw JsonException("expected version $VERSION, got ${header["format"]} of version ${header["version"]}")
            }
            val tensors = header["tensors"].asList().map { tensor ->
                val about = tensor.asObject()
                val type = ElementType.entries.find { it.name.lowercase(Locale.ROOT) == about["type"] }
                TensorKind(
                    about["name"] as? String ?: throw JsonException("expected a name, got ${about["name"]}"),
                    type ?: throw JsonException("expected a type of ${ElementType.entries}, got ${about["type"]}"),
                    about["shape"].asList().map { it.asSize() },
                )
            }
            return tensors to header["records"].asSize()
        }

        /** Bytes of the first line, its newline included. */
        private fun headerBytes(content: ByteBuffer): Int {
            val whole = content.slice()
            val end = (0 until minOf(whole.capacity(), MAX_HEADER_BYTES)).firstOrNull { whole[it] == NEWLINE }
            return 1 + (end ?: throw JsonException("it has no first line"))
        }

        private fun Any?.asObject() = this as? Map<*, *> ?: throw JsonException("expected an object, got $this")

        private fun Any?.asList() = this as? List<*> ?: throw JsonException("expected a list, got $this")

        private fun Any?.asSize(): Int =
            (this as? Long)?.takeIf { it in 0..Int.MAX_VALUE }?.toInt() ?: throw JsonException("expected a size, got $this")
    }
}

/** Inputs for the measured model, each to be run once, and where its raw outputs go. */
class Feed(val inputs: TensorFile, val outputs: OutputStream)
