package org.asmnetkit.core

import java.nio.ByteBuffer
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

/** Pictures from a made-up camera, one face that moves, and an engine that always finds it. */
class FramePipelineTest {
    private val file = ModelFile.read("nano_98_112_qat_w8a8.tflite", ByteBuffer.wrap(Golden.read("model_file")["model"].bytes))
    private val points = file.metadata.landmarks
    private val picture = object : Picture {
        override val width = 640
        override val height = 480
        override fun rgb(x: Int, y: Int) = (x * 7 + y * 3) and 0xFFFFFF
    }

    /** A model that sees a face around the middle of whatever crop it is shown, [share] of its side wide. */
    private inner class Seeing(private val share: Float, private val pose: Float = 0f) : Engine {
        var runs = 0
        override val requested = Backend(Accelerator.CPU, 1)
        override val actual = Accelerator.CPU
        override val refusal: String? = null
        override val runtimeName = "fake"
        override val runtimeVersion = "0"
        override val kernels = "a fake for tests"
        override val proof = "a fake for tests"
        override val delegatedOps: Int? = null
        override val input = TensorInfo("image", listOf(1, 112, 112, 3), ElementType.INT8, 1 / 128f, 0)
        override val outputs = mapOf(
            "landmarks" to TensorInfo("landmarks", listOf(1, 2 * points), ElementType.FLOAT32, null, 0),
            "pose" to TensorInfo("pose", listOf(1, 3), ElementType.FLOAT32, null, 0),
        )

        override fun run(input: ByteBuffer, outputs: Map<String, ByteBuffer>) {
            runs++
            outputs.getValue("landmarks").apply { rewind() }.let { out ->
                for (i in 0 until 2 * points) out.putFloat(share * (i / 2 % 2 - 0.5f))
            }
            outputs.getValue("pose").apply { rewind() }.let { out -> repeat(3) { out.putFloat(pose) } }
        }

        override fun close() = Unit
    }

    private var asked = 0
    private var found = emptyList<Box>()
    private val pipeline = FramePipeline { asked++; found }
    private val near = Box(100.0, 100.0, 200.0, 200.0)

    private val cropScale = file.metadata.cropScale // crops are so many boxes wide

    private fun seeing(share: Float = (1 / cropScale).toFloat(), pose: Float = 0f) =
        Seeing(share, pose).also { pipeline.model = FaceModel(file, it) }

    /** Frames 33 ms apart from [fromMs] until [untilMs]; the last thing that was seen. */
    private fun film(hints: List<Box>?, fromMs: Double, untilMs: Double): Seen {
        var seen: Seen? = null
        var now = fromMs
        while (now <= untilMs) {
            seen = pipeline.next(Frame(picture, hints, now))
            now += 33
        }
        return requireNotNull(seen)
    }

    @Test
    fun `a face that the camera reports is looked at, refined, then followed with one run a frame`() {
        val engine = seeing()
        assertNotNull(pipeline.next(Frame(picture, listOf(near), 0.0)).face)
        assertEquals(3, engine.runs) // the rough box, then twice the landmarks' own
        val second = pipeline.next(Frame(picture, listOf(near), 33.0))
        assertEquals(4, engine.runs)
        assertEquals(0, asked) // the slow finder rests
        assertArrayEquals(doubleArrayOf(100.0, 200.0), requireNotNull(second.box).let { doubleArrayOf(it.x0, it.x1) }, 1e-3)
    }

    @Test
    fun `a camera's rectangle that is far too large ends as the landmarks' own box`() {
        seeing(share = 0.5f) // the landmarks are half as wide as the crop
        val seen = pipeline.next(Frame(picture, listOf(Box(100.0, 100.0, 300.0, 300.0)), 0.0))
        assertEquals(200 * (0.5 * cropScale) * (0.5 * cropScale), requireNotNull(seen.box).longerSide, 1e-3)
        assertEquals(200.0, seen.box!!.centreX, 1e-3)
    }

    @Test
    fun `a camera that promises faces and never reports one is replaced by the finder`() {
        seeing()
        found = listOf(near)
        assertNull(film(emptyList(), 0.0, FramePipeline.BLIND_MS).face)
        assertEquals(0, asked)
        // From here on the finder looks once a second, and its face stays between its looks.
        assertNotNull(film(emptyList(), FramePipeline.BLIND_MS + 33, FramePipeline.BLIND_MS + 3500).face)
        assertTrue(asked in 3..4) { "asked $asked times" }
        assertNotNull(pipeline.next(Frame(picture, emptyList(), FramePipeline.BLIND_MS + 3533)).face)
    }

    @Test
    fun `a camera without face detection has the finder look once a second`() {
        seeing()
        found = listOf(near)
        assertNotNull(film(null, 0.0, 2900.0).face)
        assertEquals(3, asked)
    }

    @Test
    fun `outputs that are not numbers are no face, and told`() {
        val engine = seeing(pose = Float.NaN)
        val seen = pipeline.next(Frame(picture, listOf(near), 0.0))
        assertNull(seen.face)
        assertNull(seen.landmarks)
        assertEquals(3, seen.notFinite)
        assertEquals(near, seen.box)
        assertEquals(1, engine.runs)
        assertEquals(3, pipeline.photo(picture, near).notFinite)
        seeing(share = Float.POSITIVE_INFINITY)
        assertEquals(2 * points, pipeline.next(Frame(picture, listOf(near), 33.0)).notFinite)
        seeing()
        assertNotNull(pipeline.next(Frame(picture, listOf(near), 66.0)).face) // the face is still followed
    }

    @Test
    fun `speed is of the last frames, and of the model that runs`() {
        assertNull(pipeline.speed())
        seeing()
        film(listOf(near), 0.0, 330.0)
        pipeline.drew(2.5)
        val speed = requireNotNull(pipeline.speed())
        assertEquals(1000 / 33.0, speed.framesPerSecond, 1e-6)
        assertEquals(2.5, speed.drawMs)
        pipeline.model = null
        assertNull(pipeline.speed())
    }

    @Test
    fun `without a model nothing is seen, and the box is kept for one`() {
        val seen = pipeline.next(Frame(picture, listOf(near), 0.0))
        assertNull(seen.face)
        assertEquals(near, seen.box)
    }

    @Test
    fun `another film starts anew`() {
        seeing()
        film(listOf(near), 0.0, 100.0)
        pipeline.restart()
        assertNull(pipeline.next(Frame(picture, emptyList(), 133.0)).face)
        assertNull(pipeline.speed())
    }

    @Test
    fun `a photo is looked at where somebody points, or where a face is found`() {
        seeing()
        assertNull(pipeline.photo(picture).face)
        found = listOf(near)
        assertNotNull(pipeline.photo(picture).face)
        assertEquals(2, asked)
        assertNotNull(pipeline.photo(picture, near).face)
        assertEquals(2, asked)
    }
}
