package org.asmnetkit.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.DynamicTest.dynamicTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.TestFactory

class TensorsTest {
    private val everyByte = ByteArray(256) { it.toByte() }

    private fun infoOf(case: Golden, elements: Int) = TensorInfo(
        "image",
        listOf(1, elements),
        ElementType.valueOf(case["type"].text),
        if (case["scale"].isNull) null else case["scale"].double.toFloat(),
        case["zero_point"].int,
    )

    private fun rawValues(buffer: ByteBuffer, info: TensorInfo) = DoubleArray(info.elements) {
        when (info.type) {
            ElementType.INT8 -> buffer.get().toDouble()
            ElementType.UINT8 -> (buffer.get().toInt() and 255).toDouble()
            ElementType.INT16 -> buffer.getShort().toDouble()
            ElementType.FLOAT32 -> buffer.getFloat().toDouble()
        }
    }

    @TestFactory
    fun `every byte becomes Python's raw input`() = Golden.read("tensors")["cases"].list.map { case ->
        dynamicTest("${case["type"].text} of scale ${case["scale"].json}") {
            val info = infoOf(case, 256)
            val buffer = info.allocate()
            InputEncoder(info).encode(everyByte, buffer)
            assertArrayEquals(case["inputs"].doubles, rawValues(buffer, info), 0.0)
        }
    }

    @TestFactory
    fun `raw outputs become Python's real values`() = Golden.read("tensors")["cases"].list.map { case ->
        dynamicTest("${case["type"].text} of scale ${case["scale"].json}") {
            val raw = case["raw_outputs"].doubles
            val info = infoOf(case, raw.size)
            val buffer = info.allocate()
            for (value in raw) {
                when (info.type) {
                    ElementType.FLOAT32 -> buffer.putFloat(value.toFloat())
                    ElementType.INT16 -> buffer.putShort(value.toInt().toShort())
                    else -> buffer.put(value.toInt().toByte())
                }
            }
            assertArrayEquals(case["outputs"].floats, dequantize(buffer, info), 0f)
        }
    }

    @Test
    fun `int8 of scale one in 128 is the byte minus 128`() {
        val info = TensorInfo("image", listOf(1, 256), ElementType.INT8, 1 / 128f, 0)
        val buffer = info.allocate()
        InputEncoder(info).encode(everyByte, buffer)
        assertEquals(List(256) { it - 128 }, List(256) { buffer.get(it).toInt() })
    }

    @Test
    fun `raw outputs become Python's points and angles`() {
        val golden = Golden.read("decode")
        fun output(name: String, raw: String): FloatArray {
            val values = golden[raw].ints
            val info = TensorInfo(
                name,
                listOf(1, values.size),
                ElementType.INT8,
                golden[name]["scale"].double.toFloat(),
                golden[name]["zero_point"].int,
            )
            val bytes = ByteBuffer.allocate(values.size).order(ByteOrder.nativeOrder())
            values.forEach { bytes.put(it.toByte()) }
            return dequantize(bytes, info)
        }
        val shape = golden["crop"]
        val crop = Crop(shape["centre"].doubles[0], shape["centre"].doubles[1], shape["side"].double, shape["size"].int)
        // float32 near 400 pixels: one unit in the last place is 3e-5.
        assertArrayEquals(golden["points"].floats, crop.toPicture(output("landmarks", "raw_landmarks")), 1e-4f)
        val pose = Pose.ofOutput(output("pose", "raw_pose"))
        assertArrayEquals(golden["degrees"].floats, floatArrayOf(pose.yaw, pose.pitch, pose.roll), 1e-4f)
    }

    @Test
    fun `a whole number without a scale is refused`() {
        assertThrows(IllegalArgumentException::class.java) { TensorInfo("x", listOf(1), ElementType.INT8, null, 0) }
    }

    @Test
    fun `a crop of another size is refused`() {
        val info = TensorInfo("image", listOf(1, 2, 2, 3), ElementType.FLOAT32, null, 0)
        assertThrows(IllegalArgumentException::class.java) { InputEncoder(info).encode(ByteArray(27), info.allocate()) }
    }
}
