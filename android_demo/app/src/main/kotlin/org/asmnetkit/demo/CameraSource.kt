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
import android.hardware.camera2.CaptureResult
import android.hardware.camera2.TotalCaptureResult
import android.media.Image
import android.media.ImageReader
import android.os.Handler
import android.util.Size
import kotlin.math.abs
import org.asmnetkit.core.Box
import org.asmnetkit.core.Plane
import org.asmnetkit.core.YuvPicture
import org.asmnetkit.core.activeArrayToStream

/**
 * A camera's frames and the faces it sees in them. Everything happens on [handler]'s thread.
 *
 * @param onFrame a frame as the sensor has it, and the face boxes of about that moment in its pixels
 *   (null where this camera detects no faces); the picture is gone when the call returns.
 * @param onError the camera cannot be used, with the reason.
 */
class CameraSource(
    private val context: Context,
    private val handler: Handler,
    private val onFrame: (picture: YuvPicture, faces: List<Box>?) -> Unit,
    private val onError: (reason: String) -> Unit,
) {
    private val manager = context.getSystemService(CameraManager::class.java)
    private var device: CameraDevice? = null
    private var reader: ImageReader? = null
    private var faces: List<Box>? = null
    private var generation = 0

    var front = false
        private set
    var sensorDegrees = 0
        private set

    /** Whether there is a camera of that side. */
    fun has(front: Boolean): Boolean = idOf(front) != null

    /** Open the front or the back camera, or the other one where there is none of that side. */
    @SuppressLint("MissingPermission") // the caller has it; without, a SecurityException is reported
    fun open(wantFront: Boolean) {
        close()
        try {
            front = if (has(wantFront)) wantFront else !wantFront
            val id = idOf(front) ?: return onError("there is none")
            val about = manager.getCameraCharacteristics(id)
            sensorDegrees = about.get(CameraCharacteristics.SENSOR_ORIENTATION) ?: 0
            val size = sizeOf(about)
            reader = ImageReader.newInstance(size.width, size.height, ImageFormat.YUV_420_888, IMAGES).also {
                it.setOnImageAvailableListener(::deliver, handler)
            }
            manager.openCamera(id, Opening(about, size, ++generation), handler)
        } catch (error: CameraAccessException) {
            fail(error.message)
        } catch (error: SecurityException) {
            fail(error.message)
        } catch (error: IllegalArgumentException) { // the camera was unplugged meanwhile
            fail(error.message)
        }
    }

    /** Let go of the camera; safe to call at any time. */
    fun close() {
        generation++
        device?.close()
        device = null
        reader?.close()
        reader = null
        faces = null
    }

    private fun deliver(reader: ImageReader) {
        val image = reader.acquireLatestImage() ?: return
        image.use { if (device != null) onFrame(pictureOf(it), faces) }
    }

    private fun fail(reason: String?) {
        close()
        onError(reason ?: "no reason given")
    }

    private fun idOf(front: Boolean): String? {
        val facing = if (front) CameraCharacteristics.LENS_FACING_FRONT else CameraCharacteristics.LENS_FACING_BACK
        return try {
            manager.cameraIdList.find { manager.getCameraCharacteristics(it).get(CameraCharacteristics.LENS_FACING) == facing }
        } catch (error: CameraAccessException) {
            null
        }
    }

    private inner class Opening(
        private val about: CameraCharacteristics,
        private val size: Size,
        private val mine: Int,
    ) : CameraDevice.StateCallback() {
        override fun onOpened(camera: CameraDevice) {
            val surface = reader?.surface
            if (mine != generation || surface == null) return camera.close()
            device = camera
            try {
                val request = camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
                request.addTarget(surface)
                request.set(CaptureRequest.CONTROL_AF_MODE, focusMode(about))
                val detects = detectsFaces(about)
                if (detects) {
                    request.set(CaptureRequest.STATISTICS_FACE_DETECT_MODE, CaptureResult.STATISTICS_FACE_DETECT_MODE_SIMPLE)
                    faces = emptyList()
                }
                startSession(camera, request.build(), listOf(surface), if (detects) FaceReader(about, size) else null)
            } catch (error: CameraAccessException) {
                fail(error.message)
            } catch (error: IllegalStateException) { // closed by the system meanwhile
                fail(error.message)
            }
        }

        override fun onDisconnected(camera: CameraDevice) {
            camera.close()
            if (mine == generation) fail("another app uses it")
        }

        override fun onError(camera: CameraDevice, error: Int) {
            camera.close()
            if (mine == generation) fail("error $error")
        }

        // The newer form needs API 28 and does the same.
        @Suppress("DEPRECATION")
        private fun startSession(
            camera: CameraDevice,
            request: CaptureRequest,
            surfaces: List<android.view.Surface>,
            results: CameraCaptureSession.CaptureCallback?,
        ) = camera.createCaptureSession(
            surfaces,
            object : CameraCaptureSession.StateCallback() {
                override fun onConfigured(session: CameraCaptureSession) {
                    if (mine != generation) return
                    try {
                        session.setRepeatingRequest(request, results, handler)
                    } catch (error: CameraAccessException) {
                        fail(error.message)
                    } catch (error: IllegalStateException) {
                        fail(error.message)
                    }
                }

                override fun onConfigureFailed(session: CameraCaptureSession) {
                    if (mine == generation) fail("it does not offer ${size.width} x ${size.height} frames")
                }
            },
            handler,
        )
    }

    /** Keeps the rectangles of the latest result, in pixels of the stream. */
    private inner class FaceReader(about: CameraCharacteristics, private val size: Size) : CameraCaptureSession.CaptureCallback() {
        private val array = about.get(CameraCharacteristics.SENSOR_INFO_ACTIVE_ARRAY_SIZE)

        override fun onCaptureCompleted(session: CameraCaptureSession, request: CaptureRequest, result: TotalCaptureResult) {
            val array = array ?: return
            faces = result.get(CaptureResult.STATISTICS_FACES)?.map { face ->
                val bounds = face.bounds
                val rect = Box(bounds.left.toDouble(), bounds.top.toDouble(), bounds.right.toDouble(), bounds.bottom.toDouble())
                activeArrayToStream(rect, array.width(), array.height(), size.width, size.height)
            }
        }
    }

    private companion object {
        const val IMAGES = 3 // one being looked at, one waiting, one being filled
        const val WANTED_WIDTH = 640 // enough for crops of 112 to 224 pixels, and cheap to draw
        const val WANTED_HEIGHT = 480

        fun pictureOf(image: Image): YuvPicture {
            val (y, u, v) = image.planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
            return YuvPicture(image.width, image.height, y, u, v)
        }

        fun sizeOf(about: CameraCharacteristics): Size {
            val sizes = about.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP)?.getOutputSizes(ImageFormat.YUV_420_888)
            return sizes?.minByOrNull { abs(it.width - WANTED_WIDTH) + abs(it.height - WANTED_HEIGHT) }
                ?: Size(WANTED_WIDTH, WANTED_HEIGHT)
        }

        fun detectsFaces(about: CameraCharacteristics): Boolean =
            about.get(CameraCharacteristics.STATISTICS_INFO_AVAILABLE_FACE_DETECT_MODES)
                ?.contains(CaptureResult.STATISTICS_FACE_DETECT_MODE_SIMPLE) == true

        fun focusMode(about: CameraCharacteristics): Int {
            val modes = about.get(CameraCharacteristics.CONTROL_AF_AVAILABLE_MODES) ?: intArrayOf()
            val continuous = CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_VIDEO
            return if (continuous in modes) continuous else CaptureRequest.CONTROL_AF_MODE_OFF
        }
    }
}
