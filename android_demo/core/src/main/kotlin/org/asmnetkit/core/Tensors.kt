package org.asmnetkit.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.round

/** Types that inputs and outputs of the kit's models have. */
enum class ElementType(val bytes: Int, val lowest: Int, val highest: Int) {
    INT8(1, -128, 127),
    UINT8(1, 0, 255),
    INT16(2, -32768, 32767),
    FLOAT32(4, 0, 0),
}

/**
 * One input or output: real value = [scale] x (raw - [zeroPoint]); [scale] is null where the raw
 * values are the real ones.
 */
class TensorInfo(
    val name: String,
    val shape: List<Int>,
    val type: ElementType,
    val scale: Float?,
    val zeroPoint: Int,
) {
    val elements: Int get() = shape.fold(1, Int::times)

    init {
        require(type == ElementType.FLOAT32 || scale != null) {
            "expected tensor '$name' of type $type to be quantized, but it has no scale"
        }
    }

    /** A buffer for this tensor's raw values, in this machine's byte order. */
    fun allocate(): ByteBuffer = ByteBuffer.allocateDirect(elements * type.bytes).order(ByteOrder.nativeOrder())
}

/** A real value as a tensor's raw one: rounded to nearest (ties to even), clipped to the type's range. */
fun quantize(real: Float, info: TensorInfo): Int {
    val scale = requireNotNull(info.scale) { "tensor '${info.name}' is not quantized" }
    val raw = round((real / scale).toDouble()) + info.zeroPoint
    return raw.coerceIn(info.type.lowest.toDouble(), info.type.highest.toDouble()).toInt()
}

/**
 * Puts a crop into a model's input: a byte v in 0..255 is the real value (v - 128) / 128.
 *
 * For int8 with scale 1/128 and zero point 0 that is v - 128. The 256 possible values are worked out
 * once, so that one pixel costs one look-up whatever the type.
 */
class InputEncoder(private val info: TensorInfo) {
    private val reals = FloatArray(256) { v -> (v - 128) / 128f }
    private val raws = IntArray(256) { v -> if (info.scale == null) 0 else quantize(reals[v], info) }

    /** Fill [into] from its start with R, G, B bytes, size x size x 3. */
    fun encode(crop: ByteArray, into: ByteBuffer) {
        require(crop.size == info.elements) {
            "expected ${info.elements} values for input '${info.name}', got ${crop.size}"
        }
        into.rewind()
        when (info.type) {
            ElementType.FLOAT32 -> for (v in crop) into.putFloat(reals[v.toInt() and 255])
            ElementType.INT16 -> for (v in crop) into.putShort(raws[v.toInt() and 255].toShort())
            ElementType.INT8, ElementType.UINT8 -> for (v in crop) into.put(raws[v.toInt() and 255].toByte())
        }
        into.rewind()
    }
}

/** How many of the values are NaN or infinite. */
fun notFinite(values: FloatArray): Int = values.count { !it.isFinite() }

/** The real values of a tensor's raw ones, read from the start of [raw]. */
fun dequantize(raw: ByteBuffer, info: TensorInfo): FloatArray {
    raw.rewind()
    val scale = info.scale ?: 1f
    return FloatArray(info.elements) {
        when (info.type) {
            ElementType.FLOAT32 -> raw.getFloat()
            ElementType.INT16 -> scale * (raw.getShort() - info.zeroPoint)
            ElementType.INT8 -> scale * (raw.get() - info.zeroPoint)
            ElementType.UINT8 -> scale * ((raw.get().toInt() and 255) - info.zeroPoint)
        }
    }
}
