package org.asmnetkit.demo

import android.content.Context
import android.os.Handler
import java.nio.ByteBuffer
import org.asmnetkit.core.Plane
import org.asmnetkit.core.YuvPicture

/** Cameras that a test opens, takes away and gives back. */
class FakeCameras(vararg all: CameraAbout) : Cameras {
    var present = all.toList()

    /** What the next calls of [open] throw, one each. */
    val refusals = ArrayDeque<CameraProblem>()

    /** Every camera that was asked for, in order. */
    val asked = ArrayList<String>()

    /** What is open now. */
    val open = ArrayList<Opened>()
    private val watchers = ArrayList<(String?) -> Unit>()
    private var handler: Handler? = null

    inner class Opened(val about: CameraAbout, private val events: CameraEvents) : AutoCloseable {
        /** Tell of a problem, as Android does on the thread that it was given. */
        fun fail(problem: CameraProblem) = onThread {
            open.remove(this)
            events.onProblem(problem)
        }

        fun frame(picture: YuvPicture = grey()) = onThread { events.onFrame(picture) }

        override fun close() {
            synchronized(open) { open.remove(this) }
        }
    }

    override fun all() = present

    override fun open(camera: CameraAbout, events: CameraEvents): AutoCloseable {
        asked += camera.id
        refusals.removeFirstOrNull()?.let { throw CameraException(it) }
        return Opened(camera, events).also { open += it }
    }

    override fun whenFree(action: (id: String?) -> Unit): AutoCloseable {
        watchers += action
        return AutoCloseable { watchers -= action }
    }

    val watched get() = watchers.isNotEmpty()

    fun free(id: String?) = onThread { watchers.toList().forEach { it(id) } }

    /** For MainActivity.cameras and CameraSource. */
    fun on(handler: Handler): Cameras = apply { this.handler = handler }

    val factory: (Context, Handler) -> Cameras = { _, handler -> on(handler) }

    private fun onThread(action: () -> Unit) {
        requireNotNull(handler).post(action)
    }

    companion object {
        val FRONT = CameraAbout("front", Facing.FRONT, 270)
        val BACK = CameraAbout("back", Facing.BACK, 90)
        val WEBCAM = CameraAbout("webcam", Facing.EXTERNAL, 0)

        /** A frame of one grey, 64 x 48. */
        fun grey(): YuvPicture {
            fun plane(width: Int, height: Int) = Plane(ByteBuffer.wrap(ByteArray(width * height) { 127 }), width, 1)
            return YuvPicture(64, 48, plane(64, 48), plane(32, 24), plane(32, 24))
        }
    }
}
