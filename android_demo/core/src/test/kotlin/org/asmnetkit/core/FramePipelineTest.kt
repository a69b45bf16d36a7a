package org.asmnetkit.core

import java.nio.ByteBuffer
import org.junit.jupiter.api.Assertions.assertEquals
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
    private val pipeline = FramePipeline { asked++; found.map { Detection(it, 0.9f) } }
    private val near = Box(100.0, 100.0, 200.0, 200.0)

    private val cropScale = file.metadata.cropScale // crops are so many boxes wide

    private fun seeing(share: Float = (1 / cropScale).toFloat(), pose: Float = 0f) =
        Seeing(share, pose).also { pipeline.model = FaceModel(file, it) }

    /** Frames 33 ms apart, so many of them; the last thing that was seen. */
    private fun film(frames: Int): Seen = List(frames) { pipeline.next(Frame(picture, 33.0 * it)) }.last()

    @Test
    fun `a face that the finder sees is followed with one run a frame, and looked for once a second`() {
        val engine = seeing()
        found = listOf(near)
        assertEquals(near.x0, film(31).faces.single().box.x0, 1e-3)
        assertEquals(31, engine.runs)
        assertEquals(1, asked)
        pipeline.next(Frame(picture, 33.0 * 31))
        assertEquals(2, asked)
    }

    @Test
    fun `several faces are seen in one picture`() {
        val engine = seeing()
        found = listOf(near, Box(400.0, 100.0, 460.0, 160.0))
        assertEquals(2, film(1).faces.size)
        assertEquals(2, engine.runs)
        assertEquals(2, pipeline.photo(picture).faces.size)
    }

    @Test
    fun `where somebody points the model looks twice before it believes the box`() {
        val engine = seeing(share = 0.5f) // the landmarks are half as wide as the crop
        pipeline.choose(Box(100.0, 100.0, 300.0, 300.0))
        val seen = film(1).faces.single()
        assertEquals(3, engine.runs)
        assertEquals(200 * (0.5 * cropScale) * (0.5 * cropScale), seen.box.longerSide, 1e-3)
        assertEquals(200.0, seen.box.centreX, 1e-3)
    }

    @Test
    fun `outputs that are not numbers are no face, and told`() {
        val engine = seeing(pose = Float.NaN)
        found = listOf(near)
        val seen = film(1)
        assertTrue(seen.faces.isEmpty())
        assertEquals(3, seen.notFinite)
        assertEquals(1, engine.runs)
        assertEquals(3, pipeline.photo(picture, near).notFinite)
        seeing(share = Float.POSITIVE_INFINITY)
        assertEquals(2 * points, film(1).notFinite)
        seeing()
        assertEquals(1, film(1).faces.size) // the face is still followed
        assertEquals(1, asked)
    }

    @Test
    fun `speed is of the last frames, and of the model that runs`() {
        assertNull(pipeline.speed())
        seeing()
        found = listOf(near)
        film(11)
        pipeline.drew(2.5)
        val speed = requireNotNull(pipeline.speed())
        assertEquals(1000 / 33.0, speed.framesPerSecond, 1e-6)
        assertEquals(2.5, speed.drawMs)
        pipeline.model = null
        assertNull(pipeline.speed())
    }

    @Test
    fun `without a model nothing is seen and nothing looked for`() {
        found = listOf(near)
        assertTrue(film(1).faces.isEmpty())
        assertTrue(pipeline.photo(picture).faces.isEmpty())
        assertEquals(0, asked)
    }

    @Test
    fun `another film starts anew`() {
        seeing()
        found = listOf(near)
        film(3)
        pipeline.restart()
        found = emptyList()
        assertTrue(film(1).faces.isEmpty())
        assertNull(pipeline.speed()?.takeIf { it.framesPerSecond > 0 })
    }

    @Test
    fun `a photo is looked at where somebody points, or where a face is found`() {
        seeing()
        assertTrue(pipeline.photo(picture).faces.isEmpty())
        found = listOf(near)
        assertEquals(1, pipeline.photo(picture).faces.size)
        assertEquals(2, asked)
        assertEquals(1, pipeline.photo(picture, near).faces.size)
        assertEquals(2, asked)
    }

    @Test
    fun `a photo's face is looked at three times, unless the first look loses it`() {
        val found = seeing()
        this.found = listOf(near)
        pipeline.photo(picture)
        assertEquals(3, found.runs)
        val lost = seeing(share = 0.3f) // a box of an eighth of the detector's area
        pipeline.photo(picture)
        assertEquals(1, lost.runs)
    }

    @Test
    fun `frames per second are counted by the phone's clock, not by the film's`() {
        seeing()
        found = listOf(near)
        repeat(10) { pipeline.next(Frame(picture, timeMs = 33.0 * it, cameMs = 300.0 * it)) }
        assertEquals(1000 / 300.0, requireNotNull(pipeline.speed()).framesPerSecond, 1e-6)
    }
}
