package org.asmnetkit.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.security.MessageDigest

/** A model file cannot be used; the message says what was expected, what came, what to do. */
class ModelException(message: String, cause: Throwable? = null) : Exception(message, cause)

/** What a model says about itself in its `ASMNET_KIT` metadata. */
class ModelMetadata private constructor(
    val architecture: String,
    val scheme: Scheme,
    val inputSize: Int,
    val cropScale: Double,
    val recipe: String,
    val hasPose: Boolean,
    val licence: String?,
    /** Of its uncertainty; a factor of 1 and no confidence where it has none. */
    val calibration: UncertaintyCalibration,
    /** The whole JSON object, for a benchmark's result. */
    val json: Map<String, Any?>,
) {
    val landmarks: Int get() = scheme.points

    companion object {
        private val SCHEMA_VERSIONS = 1L..3L // 2: the outputs uncertainty and visibility; 3: a scheme
        private const val LANDMARKS_UNIT = "fraction of crop side from centre"
        private const val POSE_UNIT = "degrees / 90"
        private const val UNCERTAINTY_UNIT = "ln of the standard deviation in hundredths of the crop side"
        private const val VISIBILITY_UNIT = "logit of the probability that the point can be seen"

        /** @throws ModelException a key is missing or of another type, version or convention. */
        fun of(json: Any?): ModelMetadata {
            val top = json.asObject("metadata")
            val version = top["schema_version"]
            check(version is Long && version in SCHEMA_VERSIONS) {
                "expected metadata of schema version $SCHEMA_VERSIONS, got $version: use a newer app"
            }
            val input = top["input"].asObject("metadata input")
            for ((key, expected) in mapOf("colour" to "RGB", "mean" to 128.0, "scale" to 128.0)) {
                val value = input[key].let { if (it is Number) it.toDouble() else it }
                check(value == expected) { "expected metadata input.$key $expected, got $value" }
            }
            val points = top.number("landmarks").toInt()
            check(points in 1..MAX_POINTS) { "expected 1 to $MAX_POINTS landmarks, got $points" }
            val scheme = top["scheme"]?.let { Scheme.of(it.asObject("metadata scheme"), points) } ?: Scheme.of(points)
                ?: throw ModelException("expected 68 or 98 landmarks, or a scheme of others, got $points")
            val size = input.number("size").toInt()
            check(size in 1..MAX_INPUT_SIZE) { "expected an input size of 1 to $MAX_INPUT_SIZE pixels, got $size" }
            val scale = top["crop"].asObject("metadata crop").number("scale").toDouble()
            check(scale > 0 && scale.isFinite()) { "expected a crop scale above 0, got $scale" }
            val outputs = top["outputs"].asObject("metadata outputs")
            check(outputs["landmarks"] == LANDMARKS_UNIT) {
                "expected the output 'landmarks' as $LANDMARKS_UNIT, got ${outputs["landmarks"]}"
            }
            val units = mapOf("pose" to POSE_UNIT, "uncertainty" to UNCERTAINTY_UNIT, "visibility" to VISIBILITY_UNIT)
            for ((name, unit) in units) {
                check(outputs[name] == null || outputs[name] == unit) {
                    "expected the output '$name' as $unit, got ${outputs[name]}"
                }
            }
            return ModelMetadata(
                architecture = top.text("architecture"),
                scheme = scheme,
                inputSize = size,
                cropScale = scale,
                recipe = top.text("recipe"),
                hasPose = outputs["pose"] != null,
                licence = top["licence"] as? String,
                calibration = top["calibration"]?.let(::calibrationOf) ?: UncertaintyCalibration(),
                json = top,
            )
        }

        private fun calibrationOf(json: Any): UncertaintyCalibration {
            val found = json.asObject("metadata calibration")
            val factor = found["uncertainty"].asObject("metadata calibration.uncertainty").number("factor").toDouble()
            check(factor > 0 && factor.isFinite()) { "expected a calibration factor above 0, got $factor" }
            val confidence = found["confidence"]?.asObject("metadata calibration.confidence")?.let {
                LogisticFit(it.number("intercept").toDouble(), it.number("slope").toDouble())
            }
            check(confidence == null || confidence.slope >= 0) { "expected a slope of at least 0, got ${confidence?.slope}" }
            return UncertaintyCalibration(factor, confidence)
        }

        private const val MAX_INPUT_SIZE = 4096
        private const val MAX_POINTS = 1000

        private inline fun check(fine: Boolean, message: () -> String) {
            if (!fine) throw ModelException(message())
        }

        @Suppress("UNCHECKED_CAST") // Json.parse makes objects with text keys only
        private fun Any?.asObject(what: String): Map<String, Any?> =
            this as? Map<String, Any?> ?: throw ModelException("expected $what to be a JSON object, got $this")

        private fun Map<String, Any?>.number(key: String): Number =
            this[key] as? Number ?: throw ModelException("expected metadata $key to be a number, got ${this[key]}")

        private fun Map<String, Any?>.text(key: String): String =
            this[key] as? String ?: throw ModelException("expected metadata $key to be text, got ${this[key]}")
    }
}

/** A .tflite file's content, read far enough to use it. */
class ModelFile(val name: String, val content: ByteBuffer, val metadata: ModelMetadata, val totalOps: Int) {
    val sizeBytes: Int get() = content.capacity()

    /** Hexadecimal SHA-256 of the file. */
    val sha256: String by lazy {
        val digest = MessageDigest.getInstance("SHA-256")
        digest.update(content.duplicate().apply { rewind() })
        digest.digest().joinToString("") { "%02x".format(it) }
    }

    companion object {
        private const val METADATA_NAME = "ASMNET_KIT"
        private const val IDENTIFIER = "TFL3"

        // Field numbers of TFLite's schema.fbs.
        private const val MODEL_SUBGRAPHS = 2
        private const val MODEL_BUFFERS = 4
        private const val MODEL_METADATA = 6
        private const val SUBGRAPH_OPERATORS = 3
        private const val METADATA_FIELD_NAME = 0
        private const val METADATA_FIELD_BUFFER = 1
        private const val BUFFER_DATA = 0

        /**
         * Read a model.
         *
         * @param name of the file, without folders.
         * @param content the whole file; direct, so that the runtime can use it in place.
         * @throws ModelException not a TFLite model, cut off, or without the kit's metadata.
         */
        fun read(name: String, content: ByteBuffer): ModelFile {
            content.order(ByteOrder.LITTLE_ENDIAN)
            if (content.capacity() < 8 || text(content, 4, 4) != IDENTIFIER) {
                throw ModelException(
                    "$name: expected a TFLite model ('$IDENTIFIER' at byte 4), got ${content.capacity()} bytes of something else",
                )
            }
            try {
                val model = Table(content, content.getInt(0))
                val found = model.tables(MODEL_METADATA).find { it.string(METADATA_FIELD_NAME) == METADATA_NAME }
                    ?: throw ModelException(
                        "$name: the model has no $METADATA_NAME metadata; convert it with asmnet-kit quantize",
                    )
                val buffer = model.tables(MODEL_BUFFERS)[found.int(METADATA_FIELD_BUFFER)]
                val metadata = ModelMetadata.of(Json.parse(buffer.bytes(BUFFER_DATA).toString(Charsets.UTF_8)))
                val operators = model.tables(MODEL_SUBGRAPHS).first().tables(SUBGRAPH_OPERATORS).size
                return ModelFile(name, content, metadata, operators)
            } catch (error: ModelException) {
                throw if (error.message.orEmpty().startsWith(name)) error else ModelException("$name: ${error.message}", error)
            } catch (error: JsonException) {
                throw ModelException("$name: metadata $METADATA_NAME is not JSON: ${error.message}", error)
            } catch (error: RuntimeException) { // an offset that leads out of the file
                throw ModelException("$name: the model is cut off or damaged; copy it again", error)
            }
        }

        private fun text(content: ByteBuffer, at: Int, length: Int): String =
            ByteArray(length) { content.get(at + it) }.toString(Charsets.US_ASCII)
    }

    /** A flatbuffer table at byte [at]: a signed offset back to its vtable, then its fields. */
    private class Table(private val content: ByteBuffer, private val at: Int) {
        private val vtable = at - content.getInt(at)
        private val vtableBytes = content.getShort(vtable).toInt() and 0xFFFF

        /** Where field [number] is, or 0 where the table does not have it. */
        private fun field(number: Int): Int {
            val entry = 4 + 2 * number
            if (entry >= vtableBytes) return 0
            val offset = content.getShort(vtable + entry).toInt() and 0xFFFF
            return if (offset == 0) 0 else at + offset
        }

        fun int(number: Int): Int = field(number).let { if (it == 0) 0 else content.getInt(it) }

        fun string(number: Int): String = bytes(number).toString(Charsets.UTF_8)

        fun bytes(number: Int): ByteArray {
            val (start, length) = vector(number)
            return ByteArray(length).also { content.duplicate().apply { position(start) }.get(it) }
        }

        fun tables(number: Int): List<Table> {
            val (start, length) = vector(number)
            return List(length) { i -> (start + 4 * i).let { Table(content, it + content.getInt(it)) } }
        }

        /** First element and length of a vector; a length beyond the file is a damaged file. */
        private fun vector(number: Int): Pair<Int, Int> {
            val field = field(number)
            if (field == 0) return Pair(0, 0)
            val start = field + content.getInt(field)
            val length = content.getInt(start)
            require(length in 0..content.capacity() - start) { "a vector of $length elements" }
            return Pair(start + 4, length)
        }
    }
}
