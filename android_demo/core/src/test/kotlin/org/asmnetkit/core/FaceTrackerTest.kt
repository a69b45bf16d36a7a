package org.asmnetkit.core

import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test

class FaceTrackerTest {
    private val golden = Golden.read("tracker")
    private val pattern = golden["pattern"].doubles
    private val picture = object : Picture {
        override val width = golden["width"].int
        override val height = golden["height"].int
        override fun rgb(x: Int, y: Int) = 0
    }

    private val nothing = StageTimes(0.0, 0.0, 0.0)

    /** The played face that overlaps the box the most, or one that nobody believes in the box itself. */
    private fun look(faces: List<Golden>, box: Box): Face {
        val best = faces.maxByOrNull { it["box"].box.overlap(box) }?.takeIf { it["box"].box.overlap(box) > 0 }
        val face = best ?: golden["lost"]
        val around = best?.get("box")?.box ?: box
        val (yaw, pitch, roll) = face["pose"].floats.toList()
        val landmarks = FloatArray(pattern.size) {
            (if (it % 2 == 0) around.x0 + pattern[it] * around.width else around.y0 + pattern[it] * around.height).toFloat()
        }
        return Face(landmarks, Pose(yaw, pitch, roll), nothing, face["sigma"].floats, confidence = face["confidence"].double)
    }

    @Test
    fun `it follows a film's faces as Python does`() {
        var detected = emptyList<Detection>()
        val tracker = FaceTracker({ detected })
        for ((number, frame) in golden["frames"].list.withIndex()) {
            detected = frame["detected"].list.map { Detection(it["box"].box, it["score"].double.toFloat()) }
            val faces = frame["faces"].list
            val found = tracker.update(picture, frame["seconds"].double) { look(faces, it) }
            val expected = golden["expected"].list[number]
            assertEquals(expected["detections"].int, tracker.detections, "looks until frame $number")
            assertEquals(expected["faces"].list.map { it["track"].int }, found.map { it.track }, "tracks of frame $number")
            for ((wanted, face) in expected["faces"].list.zip(found)) {
                val what = "frame $number, track ${face.track}"
                assertArrayEquals(wanted["box"].doubles, face.box.let { doubleArrayOf(it.x0, it.y0, it.x1, it.y1) }, 1e-3, what)
                assertArrayEquals(wanted["landmarks"].floats, face.landmarks, 1e-3f, what)
                assertArrayEquals(wanted["pose"].floats, face.pose!!.let { floatArrayOf(it.yaw, it.pitch, it.roll) }, 1e-3f, what)
                assertEquals(wanted["score"].double, face.score!!.toDouble(), 1e-6, what)
            }
        }
    }

    private fun faceIn(box: Box, notFinite: Int = 0) =
        Face(floatArrayOf(box.x0.toFloat(), box.y0.toFloat(), box.x1.toFloat(), box.y1.toFloat()), null, nothing, notFinite = notFinite)

    @Test
    fun `a face that somebody points at takes the place of what was followed there`() {
        val near = Box(100.0, 100.0, 200.0, 200.0)
        val far = Box(20.0, 20.0, 60.0, 60.0)
        val tracker = FaceTracker({ listOf(Detection(near, 0.9f), Detection(far, 0.8f)) })
        fun tracks() = tracker.update(picture, 0.0, ::faceIn).map { it.track to it.score }
        assertEquals(listOf(1 to 0.9f, 2 to 0.8f), tracks())
        tracker.choose(Box(110.0, 105.0, 205.0, 200.0))
        assertEquals(listOf(2 to 0.8f, 3 to null), tracks())
        tracker.reset()
        assertEquals(listOf(4 to 0.9f, 5 to 0.8f), tracks())
    }

    @Test
    fun `a face whose outputs are no numbers is not told, and looked at again`() {
        val near = Box(100.0, 100.0, 200.0, 200.0)
        val tracker = FaceTracker({ listOf(Detection(near, 0.9f)) })
        assertEquals(emptyList<TrackedFace>(), tracker.update(picture, 0.0) { faceIn(it, notFinite = 3) })
        assertEquals(listOf(1), tracker.update(picture, 0.04, ::faceIn).map { it.track })
        assertEquals(1, tracker.detections)
    }

    /** The tracks of each frame that its time and the faces in it tell of; a box far from a face is not believed. */
    private fun tracksOf(frames: List<Pair<Double, List<Box>>>, confidence: Double?): List<List<Int>> {
        var seen = emptyList<Box>()
        val tracker = FaceTracker({ seen.map { Detection(it, 0.9f) } })
        return frames.map { (seconds, boxes) ->
            seen = boxes
            tracker.update(picture, seconds) { box ->
                val there = seen.find { it.overlap(box) > 0.3 }
                val (x0, y0, x1, y1) = (there ?: box).let { listOf(it.x0, it.y0, it.x1, it.y1) }.map { it.toFloat() }
                val sure = confidence?.let { if (there == null) 0.01 else it }
                Face(floatArrayOf(x0, y0, x1, y1), null, nothing, confidence = sure)
            }.map { it.track }
        }
    }

    private val left = Box(10.0, 60.0, 70.0, 120.0)
    private val jumped = Box(55.0, 60.0, 115.0, 120.0)
    private val right = Box(220.0, 60.0, 280.0, 120.0)

    @Test
    fun `a face that jumps most of its size keeps its number`() {
        val frames = listOf(left, left, left, jumped, jumped).mapIndexed { n, box -> n / 30.0 to listOf(box) }
        assertEquals(List(5) { listOf(1) }, tracksOf(frames, 0.9))
    }

    @Test
    fun `without a confidence a face that left is told until soon after the next look`() {
        val frames = List(25) { it / 10.0 to if (it < 5) listOf(left) else emptyList<Box>() }
        assertEquals(List(25) { if (it < 13) listOf(1) else emptyList<Int>() }, tracksOf(frames, null))
    }

    @Test
    fun `a newcomer is found while the time stamps stand still`() {
        val frames = List(31) { 5.0 to if (it < 3) listOf(left) else listOf(left, right) }
        assertEquals(listOf(1, 2), tracksOf(frames, 0.9).last())
    }
}
