package org.asmnetkit.core

import java.util.Base64

/** A golden file that Python wrote (`make golden`), or a part of one. */
@Suppress("UNCHECKED_CAST")
class Golden(private val content: Any?) {
    operator fun get(key: String): Golden =
        Golden((content as Map<String, Any?>).also { require(key in it) { "no key $key in the golden file" } }[key])

    val isNull get() = content == null
    val list get() = (content as List<Any?>).map(::Golden)
    val entries get() = (content as Map<String, Any?>).mapValues { Golden(it.value) }
    val json get() = content
    val text get() = content as String
    val boolean get() = content as Boolean
    val double get() = (content as Number).toDouble()
    val int get() = (content as Number).toInt()
    val doubles get() = list.map { it.double }.toDoubleArray()
    val floats get() = list.map { it.double.toFloat() }.toFloatArray()
    val ints get() = list.map { it.int }
    val bytes: ByteArray get() = Base64.getDecoder().decode(text)
    val box get() = doubles.let { Box(it[0], it[1], it[2], it[3]) }

    companion object {
        fun read(name: String): Golden {
            val stream = checkNotNull(Golden::class.java.getResourceAsStream("/golden/$name.json")) { "run: make golden" }
            return Golden(Json.parse(stream.use { it.readBytes() }.toString(Charsets.UTF_8)))
        }
    }
}
