package org.asmnetkit.core

import java.nio.ByteBuffer
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** The detector's arithmetic against Python's; jvm-test/ runs its real networks. */
class FaceDetectorTest {
    private val golden = Golden.read("detector")

    private fun candidates(key: String) = golden[key].list.map {
        Candidate(it["box"].box, it["score"].double.toFloat(), it["key_points"].doubles)
    }

    private fun corners(box: Box) = doubleArrayOf(box.x0, box.y0, box.x1, box.y1)

    @Test
    fun `it searches Python's windows`() {
        for (case in golden["windows"].list) {
            val (width, height) = case["width"].int to case["height"].int
            val windows = listOf(FaceDetector.wideWindow(width, height)) + FaceDetector.windows(width, height)
            assertEquals(case["windows"].list.size, windows.size)
            for ((expected, window) in case["windows"].list.zip(windows)) {
                assertArrayEquals(expected.doubles, doubleArrayOf(window.centreX, window.centreY, window.side), 1e-9)
            }
        }
    }

    @Test
    fun `candidates of one face become Python's mean of them`() {
        val merged = FaceDetector.merged(candidates("candidates"))
        val expected = candidates("merged")
        assertEquals(expected.size, merged.size)
        for ((wanted, found) in expected.zip(merged)) {
            assertEquals(wanted.score, found.score)
            assertArrayEquals(corners(wanted.box), corners(found.box), 1e-4)
            assertArrayEquals(wanted.keyPoints, found.keyPoints, 1e-4)
        }
    }

    @Test
    fun `key points give Python's landmark boxes`() {
        val faces = candidates("merged")
        for ((expected, face) in golden["landmark_boxes"].list.zip(faces)) {
            assertArrayEquals(expected.doubles, corners(FaceDetector.landmarkBox(face)), 1e-3)
        }
    }

    /** Answers that a face is at one anchor alone. */
    private class OneFace(private val weights: BlazeFaceWeights, private val at: Int, private val answer: FloatArray) : Network {
        private val anchors = weights.anchors().size / 2
        override val input = TensorInfo("input", listOf(1, weights.size, weights.size, 3), ElementType.FLOAT32, null, 0)
        override val outputs = mapOf(
            "regressors" to TensorInfo("regressors", listOf(1, anchors, 16), ElementType.FLOAT32, null, 0),
            "classificators" to TensorInfo("classificators", listOf(1, anchors, 1), ElementType.FLOAT32, null, 0),
        )

        override fun run(input: ByteBuffer, outputs: Map<String, ByteBuffer>) {
            for (i in 0 until anchors) {
                outputs.getValue("classificators").putFloat(4 * i, if (i == at) 2f else -2f)
                for (k in answer.indices) outputs.getValue("regressors").putFloat(4 * (16 * i + k), if (i == at) answer[k] else 0f)
            }
        }

        override fun close() = Unit
    }

    private val grey = object : Picture {
        override val width = 256
        override val height = 256
        override fun rgb(x: Int, y: Int) = 0x808080
    }

    @Test
    fun `an answer is decoded from its anchor`() {
        // The second of the two anchors of cell (1, 0), whose middle is (12, 4) of 128 pixels.
        val answer = FloatArray(16).also { it[2] = 16f; it[3] = 8f; it[4] = -12f; it[5] = -4f }
        val network = BlazeFace(OneFace(BlazeFaceWeights.SHORT_RANGE, 3, answer), BlazeFaceWeights.SHORT_RANGE)
        val face = network.find(grey, 127.5, 127.5, 256.0, 0.5f).single()
        // Twice as many pixels in the picture, whose first one's corner is at -0.5.
        assertArrayEquals(doubleArrayOf(7.5, -0.5, 39.5, 15.5), corners(face.box), 1e-4)
        assertEquals(1 / (1 + Math.exp(-2.0)), face.score.toDouble(), 1e-6)
        assertArrayEquals(doubleArrayOf(-0.5, -0.5), face.keyPoints.copyOfRange(0, 2), 1e-4)
        assertTrue(network.find(grey, 127.5, 127.5, 256.0, 0.9f).isEmpty())
    }

    @Test
    fun `another network is refused`() {
        val error = assertThrows(ModelException::class.java) {
            BlazeFace(OneFace(BlazeFaceWeights.SHORT_RANGE, 0, FloatArray(16)), BlazeFaceWeights.FULL_RANGE)
        }
        assertTrue("not the BlazeFace weights" in error.message.orEmpty())
    }
}
