package org.asmnetkit.demo

import android.content.Context
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.os.Handler
import android.os.HandlerThread
import android.os.Looper
import org.asmnetkit.core.YuvPicture
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config
import org.robolectric.shadow.api.Shadow
import org.robolectric.shadows.ShadowCameraCharacteristics
import org.robolectric.shadows.ShadowCameraDeviceImpl
import org.robolectric.shadows.ShadowCameraManager

/** What of the real CameraManager Robolectric plays: which cameras there are, and being told of them. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
class AndroidCamerasTest {
    private val context: Context = RuntimeEnvironment.getApplication()
    private val manager = shadowOf(context.getSystemService(CameraManager::class.java))
    private val cameras = AndroidCameras(context, Handler(Looper.getMainLooper()))

    private fun add(id: String, facing: Int, sensor: Int) {
        val about = ShadowCameraCharacteristics.newCameraCharacteristics()
        shadowOf(about).set(CameraCharacteristics.LENS_FACING, facing)
        shadowOf(about).set(CameraCharacteristics.SENSOR_ORIENTATION, sensor)
        manager.addCamera(id, about)
    }

    @Test
    fun `cameras of all three sides are listed`() {
        add("0", CameraCharacteristics.LENS_FACING_BACK, 90)
        add("1", CameraCharacteristics.LENS_FACING_FRONT, 270)
        add("2", CameraCharacteristics.LENS_FACING_EXTERNAL, 0)
        val expected = listOf(
            CameraAbout("0", Facing.BACK, 90),
            CameraAbout("1", Facing.FRONT, 270),
            CameraAbout("2", Facing.EXTERNAL, 0),
        )
        assertEquals(expected, cameras.all())
    }

    private val nobody = object : CameraEvents {
        override fun onFrame(picture: YuvPicture) = Unit
        override fun onProblem(problem: CameraProblem) = Unit
    }

    /** The devices that the manager has opened, and whether each is still open. */
    private fun devices(): List<Boolean> {
        val made = ShadowCameraManager::class.java.getDeclaredField("createdCameras").apply { isAccessible = true }.get(manager) as Collection<*>
        return made.map { device ->
            val shadow = Shadow.extract<ShadowCameraDeviceImpl>(device)
            !(ShadowCameraDeviceImpl::class.java.getDeclaredField("closed").apply { isAccessible = true }.get(shadow) as Boolean)
        }
    }

    @Test
    fun `a device that opens when its thread has ended is closed`() {
        add("0", CameraCharacteristics.LENS_FACING_BACK, 90)
        val thread = HandlerThread("gone").apply { start() }
        AndroidCameras(context, Handler(thread.looper)).open(CameraAbout("0", Facing.BACK, 90), nobody)
        thread.quit() // the screen was left while the camera was opening
        thread.join()
        assertEquals(listOf(true), devices())
        shadowOf(Looper.getMainLooper()).idle()
        assertEquals(listOf(false), devices())
    }

    @Test
    fun `a camera that was unplugged is no crash`() {
        val error = assertThrows(CameraException::class.java) { cameras.open(CameraAbout("9", Facing.BACK, 90), nobody) }
        assertEquals(CameraProblem.UNPLUGGED, error.problem)
    }

    @Test
    fun `a camera that becomes free is told, until nobody listens`() {
        val told = ArrayList<String?>()
        val watch = cameras.whenFree { told += it }
        add("0", CameraCharacteristics.LENS_FACING_BACK, 90)
        shadowOf(Looper.getMainLooper()).idle()
        assertEquals(listOf<String?>("0"), told)
        watch.close()
        add("1", CameraCharacteristics.LENS_FACING_FRONT, 270)
        shadowOf(Looper.getMainLooper()).idle()
        assertEquals(1, told.size)
    }

    @Test
    fun `every error of Android's has a name of ours and a sentence`() {
        val errors = mapOf(
            CameraDevice.StateCallback.ERROR_CAMERA_IN_USE to CameraProblem.IN_USE,
            CameraDevice.StateCallback.ERROR_MAX_CAMERAS_IN_USE to CameraProblem.TOO_MANY,
            CameraDevice.StateCallback.ERROR_CAMERA_DISABLED to CameraProblem.DISABLED,
            CameraDevice.StateCallback.ERROR_CAMERA_DEVICE to CameraProblem.DEVICE,
            CameraDevice.StateCallback.ERROR_CAMERA_SERVICE to CameraProblem.SERVICE,
        )
        for ((code, problem) in errors) assertEquals(problem, AndroidCameras.problemOf(code))
        val refused = CameraAccessException(CameraAccessException.CAMERA_IN_USE)
        assertEquals(CameraProblem.IN_USE, AndroidCameras.problemOf(refused))
        val sentences = CameraProblem.entries.map { describe(context, UiState(mode = Mode.CameraError(it))).message.orEmpty() }
        assertEquals(9, sentences.distinct().size) // IN_USE and TAKEN are the same to people
        assertEquals(emptyList<String>(), sentences.filter { it.isEmpty() || "error" in it.lowercase() })
    }
}
