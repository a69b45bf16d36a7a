package org.asmnetkit.demo

import android.os.Handler
import android.os.SystemClock
import org.asmnetkit.core.YuvPicture

/**
 * Keeps one camera open as long as it is wanted: chooses it, and opens it again when another app that
 * took it lets it go. Everything happens on [handler]'s thread.
 *
 * @param onFrame a frame as the sensor has it; the picture is gone when the call returns.
 * @param onProblem the camera gives no pictures, with the reason. It may come back by itself.
 */
class CameraSource(
    private val cameras: Cameras,
    private val handler: Handler,
    private val onFrame: (picture: YuvPicture) -> Unit,
    private val onProblem: (CameraProblem) -> Unit,
) {
    private var opened: AutoCloseable? = null
    private var watching: AutoCloseable? = null
    private var wantFront = true
    private var current: CameraAbout? = null
    private var generation = 0
    private var lastTryMs = 0L

    val front: Boolean get() = current?.facing == Facing.FRONT
    val sensorDegrees: Int get() = current?.sensorDegrees ?: 0

    /** Open the front or the back camera, or another one where there is none of that side. */
    fun open(wantFront: Boolean) {
        close()
        this.wantFront = wantFront
        tryToOpen()
    }

    /** Let go of the camera; safe to call at any time. */
    fun close() {
        letGo()
        watching?.close()
        watching = null
        current = null
    }

    private fun letGo() {
        generation++
        opened?.close()
        opened = null
    }

    private fun tryToOpen() {
        letGo()
        lastTryMs = SystemClock.uptimeMillis()
        val chosen = choose() ?: return lost(CameraProblem.NONE)
        current = chosen
        try {
            opened = cameras.open(chosen, Events(generation))
        } catch (error: CameraException) {
            lost(error.problem)
        }
    }

    private fun choose(): CameraAbout? {
        val wishes = if (wantFront) listOf(Facing.FRONT, Facing.EXTERNAL, Facing.BACK) else listOf(Facing.BACK, Facing.EXTERNAL, Facing.FRONT)
        val all = cameras.all()
        return wishes.firstNotNullOfOrNull { wish -> all.find { it.facing == wish } }
    }

    private fun lost(problem: CameraProblem) {
        letGo()
        onProblem(problem)
        // Android tells at once which cameras are free: of one that fails for another reason that is no news.
        if (watching == null) watching = cameras.whenFree(::tryAgain)
    }

    /** A camera became free; not more often than every [RETRY_MS], since a broken one is always free. */
    private fun tryAgain(id: String?) {
        if (opened != null || watching == null) return
        if (id != null && current != null && id != current?.id) return
        val mine = generation
        val early = lastTryMs + RETRY_MS - SystemClock.uptimeMillis()
        handler.postDelayed({ if (mine == generation && watching != null) tryToOpen() }, maxOf(0, early))
    }

    private inner class Events(private val mine: Int) : CameraEvents {
        override fun onFrame(picture: YuvPicture) {
            if (mine == generation) this@CameraSource.onFrame(picture)
        }

        override fun onProblem(problem: CameraProblem) {
            if (mine == generation) lost(problem)
        }
    }

    private companion object {
        const val RETRY_MS = 1000L
    }
}
