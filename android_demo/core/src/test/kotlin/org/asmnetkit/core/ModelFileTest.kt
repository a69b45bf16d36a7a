package org.asmnetkit.core

import java.nio.ByteBuffer
import java.security.MessageDigest
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class ModelFileTest {
    private val golden = Golden.read("model_file")
    private val bytes = golden["model"].bytes

    private fun read(content: ByteArray) = ModelFile.read("model.tflite", ByteBuffer.wrap(content))

    @Suppress("UNCHECKED_CAST")
    private fun changed(vararg changes: Pair<String, Any?>) =
        ModelMetadata.of((golden["metadata"].json as Map<String, Any?>) + changes)

    @Test
    fun `a model file says what Python wrote`() {
        val file = read(bytes)
        assertEquals(golden["metadata"].json, file.metadata.json)
        assertEquals("asmnet_nano", file.metadata.architecture)
        assertEquals(98, file.metadata.scheme.points)
        assertEquals(112, file.metadata.inputSize)
        assertEquals(1.25, file.metadata.cropScale)
        assertEquals("Größe: example ✓", file.metadata.licence)
        assertTrue(file.metadata.hasPose)
        assertEquals(UncertaintyCalibration(1.25, LogisticFit(-4.0, 2.0)), file.metadata.calibration)
        assertEquals(golden["operators"].int, file.totalOps)
    }

    @Test
    fun `the hash is the whole file's`() {
        val expected = MessageDigest.getInstance("SHA-256").digest(bytes).joinToString("") { "%02x".format(it) }
        assertEquals(expected, read(bytes).sha256)
    }

    @Test
    fun `a model without metadata says how to get some`() {
        val error = assertThrows(ModelException::class.java) { read(golden["without_metadata"].bytes) }
        assertTrue("asmnet-kit quantize" in error.message!!)
    }

    @Test
    fun `a file cut off anywhere is refused with a message`() {
        for (length in bytes.indices) {
            val error = runCatching { read(bytes.copyOf(length)) }.exceptionOrNull()
            assertTrue(error == null || error is ModelException) { "cut at $length: $error" }
        }
    }

    @Test
    fun `flipped bits never do worse than a message`() {
        for (at in bytes.indices) for (bit in 0..7) {
            val broken = bytes.copyOf().also { it[at] = (it[at].toInt() xor (1 shl bit)).toByte() }
            val error = runCatching { read(broken) }.exceptionOrNull()
            assertTrue(error == null || error is ModelException) { "byte $at bit $bit: $error" }
        }
    }

    @Test
    fun `metadata outside the contract is refused`() {
        changed() // as it is, it is fine
        val input = mapOf("size" to 112L, "colour" to "RGB", "mean" to 128L, "scale" to 128L)
        for (change in listOf(
            "schema_version" to 4L,
            "schema_version" to "2",
            "landmarks" to 5L,
            "landmarks" to "68",
            "input" to null,
            "input" to input + ("colour" to "BGR"),
            "input" to input + ("mean" to 127.5),
            "input" to input + ("size" to 0L),
            "crop" to mapOf("scale" to 0.0),
            "outputs" to mapOf("pose" to "degrees / 90"),
            "outputs" to mapOf("landmarks" to "pixels"),
            "outputs" to mapOf("landmarks" to "fraction of crop side from centre", "uncertainty" to "pixels"),
            "calibration" to 1L,
            "calibration" to mapOf("uncertainty" to mapOf("factor" to 0.0)),
            "calibration" to mapOf("uncertainty" to mapOf("factor" to 1.0), "confidence" to mapOf("slope" to 1.0)),
            "architecture" to null,
        )) {
            assertThrows(ModelException::class.java, { changed(change) }) { "accepted $change" }
        }
    }

    @Test
    fun `a model of nine points says what they are`() {
        val own = Golden.read("own_scheme")
        val metadata = read(own["model"].bytes).metadata
        assertEquals(9, metadata.landmarks)
        assertEquals("fox", metadata.scheme.name)
        assertEquals(2 to 3, metadata.scheme.normaliser)
        assertEquals(own["mirror"].ints, metadata.scheme.mirror)
        assertEquals(false, metadata.scheme.outlinesFace) // no jaw
        assertEquals(false, metadata.hasPose)
        assertEquals(
            own["parts"].list.map { listOf(it["name"].text, it["points"].ints, it["draw"].text) },
            metadata.scheme.parts.map {
                listOf(it.name, it.points, if (it.closed) "ring" else if (it.joined) "line" else "dots")
            },
        )
        assertEquals(own["size"].double, metadata.scheme.sizeOf(own["landmarks"].floats), 1e-6)
        val boxed = ModelMetadata.of(own["boxed"].json)
        assertEquals(null, boxed.scheme.normaliser)
        assertEquals(own["boxed_size"].double, boxed.scheme.sizeOf(own["landmarks"].floats), 1e-6)
    }

    @Test
    @Suppress("UNCHECKED_CAST")
    fun `a scheme that is none of the model's points is refused`() {
        val fine = Golden.read("own_scheme")["boxed"].json as Map<String, Any?>
        val scheme = fine["scheme"] as Map<String, Any?>
        for (change in listOf(
            "points" to 8L,
            "normaliser" to listOf(0L, 9L),
            "normaliser" to listOf(0L),
            "normaliser" to null,
            "parts" to mapOf("a" to mapOf("points" to listOf(9L))),
            "parts" to mapOf("a" to null),
            "name" to 9L,
            "mirror" to listOf(listOf(0L, 9L)),
            "mirror" to listOf(0L, 1L),
        )) {
            assertThrows(ModelException::class.java, { ModelMetadata.of(fine + ("scheme" to scheme + change)) }) { "accepted $change" }
        }
        assertThrows(ModelException::class.java) { ModelMetadata.of(fine - "scheme") }
    }

    @Test
    fun `a model of the first version, without uncertainty, is fine`() {
        val plain = mapOf("landmarks" to "fraction of crop side from centre", "pose" to "degrees / 90")
        val metadata = changed("schema_version" to 1L, "outputs" to plain, "calibration" to null)
        assertEquals(UncertaintyCalibration(1.0, null), metadata.calibration)
    }

    @Test
    fun `a model without pose is fine`() {
        assertEquals(false, changed("outputs" to mapOf("landmarks" to "fraction of crop side from centre")).hasPose)
    }
}
