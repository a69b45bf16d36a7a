package org.asmnetkit.demo

import org.asmnetkit.core.YuvPicture

/** Where a camera looks. External ones are webcams of Chromebooks and the like. */
enum class Facing { BACK, FRONT, EXTERNAL }

/** A camera, as far as one must know it to choose it. */
data class CameraAbout(val id: String, val facing: Facing, val sensorDegrees: Int)

/** Why a camera gives no pictures; strings.xml has a sentence for each. */
enum class CameraProblem { NONE, IN_USE, TOO_MANY, DISABLED, DEVICE, SERVICE, TAKEN, NO_FRAMES, REFUSED, UNPLUGGED }

/** A camera cannot be opened. */
class CameraException(val problem: CameraProblem, cause: Throwable? = null) : Exception(problem.name, cause)

/**
 * The phone's cameras: the little of Android's CameraManager that [CameraSource] needs, so that tests can
 * play a camera that is lost, comes back, fails or is not there.
 */
interface Cameras {
    /** Those that can be used now. */
    fun all(): List<CameraAbout>

    /**
     * Open a camera and let frames come, until the returned handle is closed: at any time, and once.
     *
     * @throws CameraException it cannot even be asked for.
     */
    fun open(camera: CameraAbout, events: CameraEvents): AutoCloseable

    /** Call [action] whenever a camera may be free: with its name, or null where the system does not say which. */
    fun whenFree(action: (id: String?) -> Unit): AutoCloseable
}

/** What an open camera tells, on one thread. After [onProblem] nothing comes. */
interface CameraEvents {
    /** @param picture as the sensor has it; gone when the call returns. */
    fun onFrame(picture: YuvPicture)

    fun onProblem(problem: CameraProblem)
}
