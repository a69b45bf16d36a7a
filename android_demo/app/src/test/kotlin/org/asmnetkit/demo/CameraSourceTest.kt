package org.asmnetkit.demo

import android.os.Handler
import android.os.Looper
import java.util.concurrent.TimeUnit
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config

/** A camera from opened to lost and back, with cameras that are played. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
class CameraSourceTest {
    private val handler = Handler(Looper.getMainLooper())
    private val problems = ArrayList<CameraProblem>()
    private var frames = 0

    private fun sourceOf(cameras: FakeCameras) =
        CameraSource(cameras.on(handler), handler, { frames++ }, { problems += it })

    private fun idle() = shadowOf(Looper.getMainLooper()).idle()

    private fun pass(ms: Long) = shadowOf(Looper.getMainLooper()).idleFor(ms, TimeUnit.MILLISECONDS)

    @Test
    fun `the wanted side is opened, else what there is, a webcam, too`() {
        for ((present, front, expected) in listOf(
            Triple(listOf(FakeCameras.BACK, FakeCameras.FRONT), true, "front"),
            Triple(listOf(FakeCameras.BACK, FakeCameras.FRONT), false, "back"),
            Triple(listOf(FakeCameras.BACK), true, "back"),
            Triple(listOf(FakeCameras.WEBCAM), true, "webcam"),
            Triple(listOf(FakeCameras.WEBCAM, FakeCameras.FRONT), false, "webcam"),
        )) {
            val cameras = FakeCameras(*present.toTypedArray())
            val source = sourceOf(cameras)
            source.open(front)
            assertEquals(listOf(expected), cameras.asked)
            assertEquals(expected == "front", source.front)
            source.close()
            assertEquals(0, cameras.open.size)
        }
        assertEquals(emptyList<CameraProblem>(), problems)
    }

    @Test
    fun `frames come while it is open, and not after`() {
        val cameras = FakeCameras(FakeCameras.FRONT)
        val source = sourceOf(cameras)
        source.open(true)
        val opened = cameras.open.single()
        opened.frame()
        idle()
        source.close()
        opened.frame() // already on its way
        opened.fail(CameraProblem.DEVICE)
        idle()
        assertEquals(1, frames)
        assertEquals(emptyList<CameraProblem>(), problems)
    }

    @Test
    fun `a camera that another app takes comes back when that lets it go`() {
        val cameras = FakeCameras(FakeCameras.FRONT, FakeCameras.BACK)
        val source = sourceOf(cameras)
        source.open(true)
        cameras.open.single().fail(CameraProblem.TAKEN)
        idle()
        assertEquals(listOf(CameraProblem.TAKEN), problems)
        assertTrue(cameras.watched)
        cameras.free("back") // another one
        pass(2000)
        assertEquals(0, cameras.open.size)
        cameras.free("front")
        pass(2000)
        assertEquals("front", cameras.open.single().about.id)
        cameras.open.single().frame()
        idle()
        assertEquals(1, frames)
        source.close()
        assertFalse(cameras.watched)
    }

    @Test
    fun `a camera in use when it is asked for comes back, too, also by priorities alone`() {
        val cameras = FakeCameras(FakeCameras.FRONT)
        cameras.refusals += CameraProblem.IN_USE
        sourceOf(cameras).open(true)
        assertEquals(listOf(CameraProblem.IN_USE), problems)
        cameras.free(null)
        pass(2000)
        assertEquals(1, cameras.open.size)
    }

    @Test
    fun `a camera that always fails is tried once a second at most`() {
        val cameras = FakeCameras(FakeCameras.FRONT)
        val source = sourceOf(cameras)
        repeat(50) { cameras.refusals += CameraProblem.DEVICE }
        source.open(true)
        repeat(30) { // Android tells again and again that it is free
            cameras.free("front")
            pass(100)
        }
        assertTrue("asked ${cameras.asked.size} times", cameras.asked.size in 3..4)
        source.close()
        pass(5000)
        assertTrue(cameras.asked.size in 3..4) // closed is closed
    }

    @Test
    fun `without a camera it says so, and takes one that is plugged in`() {
        val cameras = FakeCameras()
        sourceOf(cameras).open(true)
        assertEquals(listOf(CameraProblem.NONE), problems)
        cameras.present = listOf(FakeCameras.WEBCAM)
        cameras.free("webcam")
        pass(2000)
        assertEquals("webcam", cameras.open.single().about.id)
    }
}
