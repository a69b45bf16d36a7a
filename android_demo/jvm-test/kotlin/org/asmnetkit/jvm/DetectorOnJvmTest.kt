package org.asmnetkit.jvm

import java.io.File
import java.nio.ByteBuffer
import org.asmnetkit.core.BlazeFace
import org.asmnetkit.core.BlazeFaceWeights
import org.asmnetkit.core.Box
import org.asmnetkit.core.Detection
import org.asmnetkit.core.FaceDetector
import org.asmnetkit.core.Golden
import org.asmnetkit.core.Json
import org.asmnetkit.core.Picture
import org.asmnetkit.core.copyArgb
import org.asmnetkit.cpu.CpuNetwork
import org.asmnetkit.integrate.FaceLandmarks
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** The kit's own face detector, its real networks on this machine, against Python's. */
class DetectorOnJvmTest {
    private val golden = Golden.read("detector")
    private val size = golden["face"]["size"].int
    private val face = golden["face"]["rgb"].bytes

    /** golden.py's picture_of_faces: a small face at (30, 20), and twice as large at (200, 100), on grey. */
    private val picture = object : Picture {
        override val width = 420
        override val height = 300

        override fun rgb(x: Int, y: Int): Int = when {
            x in 30 until 30 + size && y in 20 until 20 + size -> pixel(x - 30, y - 20)
            x in 200 until 200 + 2 * size && y in 100 until 100 + 2 * size -> pixel((x - 200) / 2, (y - 100) / 2)
            else -> 0x5A5A5A
        }
    }

    private fun pixel(x: Int, y: Int) = (0..2).fold(0) { all, channel -> (all shl 8) or (face[(y * size + x) * 3 + channel].toInt() and 255) }

    /** The small face alone. */
    private val filled = object : Picture {
        override val width = size
        override val height = size
        override fun rgb(x: Int, y: Int) = pixel(x, y)
    }

    private fun content(file: File): ByteBuffer =
        file.readBytes().let { ByteBuffer.allocateDirect(it.size).apply { put(it); rewind() } }

    private fun content(weights: BlazeFaceWeights) = content(File(System.getProperty("asmnetkit.detector"), weights.file))

    private fun network(weights: BlazeFaceWeights) =
        BlazeFace(CpuNetwork(weights.file, content(weights), threads = 1), weights)

    private fun detector() = FaceDetector(network(BlazeFaceWeights.SHORT_RANGE), network(BlazeFaceWeights.FULL_RANGE))

    @Test
    fun `it finds Python's faces`() {
        assertEquals(2, golden["detections"].list.size)
        assertFound(golden["detections"].list, detector().use { it.find(picture) })
    }

    @Test
    fun `it finds Python's face that fills the picture`() {
        assertEquals(1, golden["detections_of_face"].list.size)
        assertFound(golden["detections_of_face"].list, detector().use { it.find(filled) })
    }

    private fun assertFound(expected: List<Golden>, found: List<Detection>) {
        assertEquals(expected.size, found.size)
        for ((wanted, one) in expected.zip(found)) {
            val corners = one.box.let { doubleArrayOf(it.x0, it.y0, it.x1, it.y1) }
            println("largest difference of the detector to Python's: ${wanted["box"].doubles.zip(corners).maxOf { Math.abs(it.first - it.second) }} pixels")
            // Pixels of a crop may differ by a level, and kernels in the last bits.
            assertArrayEquals(wanted["box"].doubles, corners, 0.5)
            assertEquals(wanted["score"].double, one.score!!.toDouble(), 0.01)
        }
    }

    @Test
    fun `a grey picture has no face`() {
        val grey = object : Picture {
            override val width = 320
            override val height = 240
            override fun rgb(x: Int, y: Int) = 0x5A5A5A
        }
        assertTrue(detector().use { it.find(grey) }.isEmpty())
    }

    /** integrate/ as an app of somebody else uses it. */
    @Test
    fun `an app gets the landmarks of a bitmap's pixels`() {
        val pixels = IntArray(420 * 300).also(picture::copyArgb)
        val model = content(File(System.getProperty("asmnetkit.model")))
        FaceLandmarks(model, content(BlazeFaceWeights.SHORT_RANGE), content(BlazeFaceWeights.FULL_RANGE)).use { faces ->
            val boxes = golden["detections"].list.map { it["box"].box }
            val found = faces.inPicture(pixels, 420, 300)
            val film = faces.inFilm(pixels, 420, 300, seconds = 0.0)
            assertEquals(2, found.size)
            assertEquals(2, film.size)
            for ((i, box) in boxes.withIndex()) {
                val overlap = Box.around(found[i].landmarks).overlap(box)
                assertTrue(overlap > 0.5) { "landmarks of face $i overlap its box by $overlap" }
                assertArrayEquals(film[i].landmarks, faces.inBox(pixels, 420, 300, film[i].box).landmarks, 1e-3f)
            }
            val python = Json.parse(File(File(System.getProperty("asmnetkit.model")).parentFile, "looks.json").readText()).let(::Golden)["faces"].list
            assertEquals(2, python.size)
            for ((one, wanted) in found.zip(python)) {
                fun differ(name: String, of: FloatArray?): Float {
                    val expected = wanted[name].floats
                    assertEquals(expected.size, of!!.size)
                    return expected.indices.maxOf { Math.abs(expected[it] - of[it]) }
                        .also { println("largest difference of the looks' $name to Python's: $it") }
                }
                assertTrue(differ("landmarks", one.landmarks) < 1f)
                assertTrue(differ("pose", one.pose!!.let { floatArrayOf(it.yaw, it.pitch, it.roll) }) < 1f)
                assertTrue(differ("sigma", one.sigma) < 0.2f)
                assertTrue(differ("visible", one.visible) < 0.1f)
                assertEquals(wanted["confidence"].double, one.confidence!!, 0.05)
            }
        }
    }

    @Test
    fun `an app gets no face of a model that computes no numbers`() {
        val file = content(File(System.getProperty("asmnetkit.float-model")))
        val middle = file.capacity() / 4 * 2
        for (at in middle until middle + 4000 step 2) file.putShort(at, java.lang.Short.reverseBytes(0x7E00.toShort())) // weights of 16 bits: NaN
        val pixels = IntArray(420 * 300).also(picture::copyArgb)
        FaceLandmarks(file, content(BlazeFaceWeights.SHORT_RANGE), content(BlazeFaceWeights.FULL_RANGE)).use { faces ->
            val box = golden["detections"].list.first()["box"].box
            assertTrue(faces.inBox(pixels, 420, 300, box).notFinite > 0)
            assertEquals(0, faces.inPicture(pixels, 420, 300).size)
            assertEquals(0, faces.inFilm(pixels, 420, 300, seconds = 0.0).size)
        }
    }
}
