package org.asmnetkit.demo

import android.annotation.SuppressLint
import android.content.Context
import android.graphics.ImageFormat
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureRequest
import android.media.Image
import android.media.ImageReader
import android.os.Handler
import android.os.Looper
import android.util.Size
import android.view.Surface
import kotlin.math.abs
import org.asmnetkit.core.Plane
import org.asmnetkit.core.YuvPicture

/** [Cameras] by Android's CameraManager; events come on [handler]'s thread. */
class AndroidCameras(context: Context, private val handler: Handler) : Cameras {
    private val manager = context.getSystemService(CameraManager::class.java)
    private val main = Handler(Looper.getMainLooper())

    override fun all(): List<CameraAbout> = try {
        manager.cameraIdList.mapNotNull(::aboutOf)
    } catch (error: CameraAccessException) {
        emptyList()
    }

    private fun aboutOf(id: String): CameraAbout? {
        val about = characteristics(id) ?: return null
        val facing = when (about.get(CameraCharacteristics.LENS_FACING)) {
            CameraCharacteristics.LENS_FACING_FRONT -> Facing.FRONT
            CameraCharacteristics.LENS_FACING_BACK -> Facing.BACK
            else -> Facing.EXTERNAL
        }
        return CameraAbout(id, facing, about.get(CameraCharacteristics.SENSOR_ORIENTATION) ?: 0)
    }

    /** Null where the camera is gone meanwhile. */
    private fun characteristics(id: String): CameraCharacteristics? = try {
        manager.getCameraCharacteristics(id)
    } catch (error: CameraAccessException) {
        null
    } catch (error: IllegalArgumentException) {
        null
    }

    @SuppressLint("MissingPermission") // the caller has it; without, a SecurityException is reported
    override fun open(camera: CameraAbout, events: CameraEvents): AutoCloseable {
        val about = characteristics(camera.id) ?: throw CameraException(CameraProblem.UNPLUGGED)
        val opening = Opening(about, events)
        try {
            // On the main thread, which never ends: a device that opens late must still be closed.
            manager.openCamera(camera.id, opening.states, main)
            return opening
        } catch (error: CameraAccessException) {
            opening.close()
            throw CameraException(problemOf(error), error)
        } catch (error: SecurityException) {
            opening.close()
            throw CameraException(CameraProblem.REFUSED, error)
        } catch (error: IllegalArgumentException) { // unplugged meanwhile
            opening.close()
            throw CameraException(CameraProblem.UNPLUGGED, error)
        }
    }

    override fun whenFree(action: (id: String?) -> Unit): AutoCloseable {
        val callback = object : CameraManager.AvailabilityCallback() {
            override fun onCameraAvailable(cameraId: String) = action(cameraId)

            override fun onCameraAccessPrioritiesChanged() = action(null)
        }
        manager.registerAvailabilityCallback(callback, handler)
        return AutoCloseable { manager.unregisterAvailabilityCallback(callback) }
    }

    /** One camera from the call that opens it to the one that closes it. Lives on [handler]'s thread. */
    private inner class Opening(private val about: CameraCharacteristics, private val events: CameraEvents) : AutoCloseable {
        private val size = sizeOf(about)
        private val reader = ImageReader.newInstance(size.width, size.height, ImageFormat.YUV_420_888, IMAGES)
        private var device: CameraDevice? = null

        @Volatile
        private var closed = false

        init {
            reader.setOnImageAvailableListener(::deliver, handler)
        }

        val states = object : CameraDevice.StateCallback() {
            override fun onOpened(camera: CameraDevice) = here(camera) { start(camera) }

            override fun onDisconnected(camera: CameraDevice) = here(camera) { end(camera, CameraProblem.TAKEN) }

            override fun onError(camera: CameraDevice, error: Int) = here(camera) { end(camera, problemOf(error)) }
        }

        /** On this object's own thread, or where that has ended: close what nobody wants any more. */
        private fun here(camera: CameraDevice, action: () -> Unit) {
            if (!handler.post { if (closed) camera.close() else action() }) camera.close()
        }

        override fun close() {
            if (closed) return
            closed = true
            device?.close()
            device = null
            reader.close()
        }

        private fun end(camera: CameraDevice, problem: CameraProblem) {
            camera.close()
            close()
            events.onProblem(problem)
        }

        private fun deliver(reader: ImageReader) {
            if (closed) return
            val image = reader.acquireLatestImage() ?: return
            image.use { events.onFrame(pictureOf(it)) }
        }

        private fun start(camera: CameraDevice) {
            device = camera
            try {
                val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
                request.addTarget(reader.surface)
                request.set(CaptureRequest.CONTROL_AF_MODE, focusMode(about))
                startSession(camera, request.build(), listOf(reader.surface))
            } catch (error: CameraAccessException) {
                end(camera, problemOf(error))
            } catch (error: IllegalStateException) { // closed by the system meanwhile
                end(camera, CameraProblem.TAKEN)
            }
        }

        // The newer form needs API 28 and does the same.
        @Suppress("DEPRECATION")
        private fun startSession(camera: CameraDevice, request: CaptureRequest, surfaces: List<Surface>) = camera.createCaptureSession(
            surfaces,
            object : CameraCaptureSession.StateCallback() {
                override fun onConfigured(session: CameraCaptureSession) {
                    if (closed) return
                    try {
                        session.setRepeatingRequest(request, null, handler)
                    } catch (error: CameraAccessException) {
                        end(camera, problemOf(error))
                    } catch (error: IllegalStateException) {
                        end(camera, CameraProblem.TAKEN)
                    }
                }

                override fun onConfigureFailed(session: CameraCaptureSession) {
                    if (!closed) end(camera, CameraProblem.NO_FRAMES)
                }
            },
            handler,
        )
    }

    companion object {
        private const val IMAGES = 3 // one being looked at, one waiting, one being filled
        private const val WANTED_WIDTH = 640 // enough for crops of 112 to 224 pixels, and cheap to draw
        private const val WANTED_HEIGHT = 480

        /** Of a CameraDevice.StateCallback.ERROR_*. */
        fun problemOf(error: Int): CameraProblem = when (error) {
            CameraDevice.StateCallback.ERROR_CAMERA_IN_USE -> CameraProblem.IN_USE
            CameraDevice.StateCallback.ERROR_MAX_CAMERAS_IN_USE -> CameraProblem.TOO_MANY
            CameraDevice.StateCallback.ERROR_CAMERA_DISABLED -> CameraProblem.DISABLED
            CameraDevice.StateCallback.ERROR_CAMERA_SERVICE -> CameraProblem.SERVICE
            else -> CameraProblem.DEVICE
        }

        fun problemOf(error: CameraAccessException): CameraProblem = when (error.reason) {
            CameraAccessException.CAMERA_IN_USE -> CameraProblem.IN_USE
            CameraAccessException.MAX_CAMERAS_IN_USE -> CameraProblem.TOO_MANY
            CameraAccessException.CAMERA_DISABLED -> CameraProblem.DISABLED
            CameraAccessException.CAMERA_DISCONNECTED -> CameraProblem.TAKEN
            else -> CameraProblem.DEVICE
        }

        private fun pictureOf(image: Image): YuvPicture {
            val (y, u, v) = image.planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
            return YuvPicture(image.width, image.height, y, u, v)
        }

        private fun sizeOf(about: CameraCharacteristics): Size {
            val sizes = about.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP)?.getOutputSizes(ImageFormat.YUV_420_888)
            return sizes?.minByOrNull { abs(it.width - WANTED_WIDTH) + abs(it.height - WANTED_HEIGHT) }
                ?: Size(WANTED_WIDTH, WANTED_HEIGHT)
        }

        private fun focusMode(about: CameraCharacteristics): Int {
            val modes = about.get(CameraCharacteristics.CONTROL_AF_AVAILABLE_MODES) ?: intArrayOf()
            val continuous = CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_VIDEO
            return if (continuous in modes) continuous else CaptureRequest.CONTROL_AF_MODE_OFF
        }
    }
}
