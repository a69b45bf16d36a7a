package org.asmnetkit.demo

import android.Manifest
import android.app.Application
import android.content.ComponentCallbacks2
import android.content.Intent
import android.graphics.Bitmap
import android.graphics.Canvas
import android.net.Uri
import android.os.Looper
import android.os.SystemClock
import android.text.Editable
import android.text.TextWatcher
import android.view.MotionEvent
import android.view.View
import android.widget.TextView
import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import org.asmnetkit.core.Accelerator
import org.asmnetkit.core.Backend
import org.asmnetkit.core.Box
import org.junit.After
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.Robolectric
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.Shadows.shadowOf
import org.robolectric.android.controller.ActivityController
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

@RunWith(RobolectricTestRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
@Config(sdk = [35], qualifiers = "w411dp-h891dp-xhdpi")
class MainActivityTest {
    private lateinit var activity: ActivityController<MainActivity>
    private lateinit var engines: FakeEngine.Factory

    @Before
    fun `use an engine without native code`() {
        // Who points at a face chooses a square of 0.4 of the picture around it (DemoController).
        val half = 0.4 * TestFace.width / 2
        val (x, y) = Pair(TestFace.box.centreX, TestFace.box.centreY)
        engines = FakeEngine.Factory(Box(x - half, y - half, x + half, y + half), TestFace.box)
        MainActivity.engines = engines
    }

    @After
    fun close() {
        activity.pause().stop().destroy()
        MainActivity.engines = LiteRtEngine.Factory
    }

    private fun start(): MainActivity {
        activity = Robolectric.buildActivity(MainActivity::class.java).setup()
        return activity.get()
    }

    private fun statusOf(main: MainActivity) = main.findViewById<TextView>(R.id.status).text.toString()

    /** The controller works on a thread of its own and answers on this one. */
    private fun waitFor(what: String, done: () -> Boolean) {
        val end = System.currentTimeMillis() + 20_000
        while (!done()) {
            check(System.currentTimeMillis() < end) { "waited in vain for $what" }
            Thread.sleep(10)
            shadowOf(Looper.getMainLooper()).idle()
        }
    }

    private fun screenshotOf(main: MainActivity): Bitmap {
        val root = main.window.decorView
        return Bitmap.createBitmap(root.width, root.height, Bitmap.Config.ARGB_8888).also { root.draw(Canvas(it)) }
    }

    @Test
    fun `without permission it says what can be done`() {
        val main = start()
        assertEquals(listOf(Manifest.permission.CAMERA), shadowOf(main).lastRequestedPermission.requestedPermissions.toList())
        main.onRequestPermissionsResult(0, arrayOf(Manifest.permission.CAMERA), intArrayOf(-1))
        waitFor("the explanation") { "permission" in statusOf(main) }
    }

    @Test
    fun `a device without a camera offers a photo`() {
        shadowOf(RuntimeEnvironment.getApplication() as Application).grantPermissions(Manifest.permission.CAMERA)
        val main = start()
        waitFor("the explanation") { "no camera" in statusOf(main) }
    }

    /** Open the picture of the test face as a person does. */
    private fun openPhoto(main: MainActivity): FaceView {
        val uri = Uri.parse("content://photos/face")
        val png = ByteArrayOutputStream().also { TestFace.bitmap.compress(Bitmap.CompressFormat.PNG, 100, it) }.toByteArray()
        shadowOf(main.contentResolver).registerInputStreamSupplier(uri) { ByteArrayInputStream(png) }
        main.findViewById<View>(R.id.photo).performClick()
        val asked = shadowOf(main).nextStartedActivityForResult
        assertEquals(Intent.ACTION_OPEN_DOCUMENT, asked.intent.action)
        shadowOf(main).receiveResult(asked.intent, android.app.Activity.RESULT_OK, Intent().setData(uri))
        val view = main.findViewById<FaceView>(R.id.face)
        waitFor("the photo") { view.scene != null }
        return view
    }

    @Test
    fun `a photo shows landmarks, pose and times`() {
        val main = start()
        val view = openPhoto(main)
        // Android's face detector is native code that a PC does not have: point at the face instead.
        view.onTouched?.invoke(TestFace.box.centreX, TestFace.box.centreY)
        waitFor("the face") { view.scene?.landmarks != null && "yaw" in statusOf(main) }
        assertNotNull(view.scene?.pose)
        // From the rough box to the landmarks' own and back through the crop: float32 near 480 pixels.
        assertArrayEquals(TestFace.landmarks, view.scene?.landmarks, 1e-3f)
        assertTrue(statusOf(main), "invoke" in statusOf(main))
        shadowOf(Looper.getMainLooper()).idle()
        TestFace.save(screenshotOf(main), "main.png")
    }

    @Test
    fun `low memory pauses the camera until a touch, on the empty picture, too`() {
        shadowOf(RuntimeEnvironment.getApplication() as Application).grantPermissions(Manifest.permission.CAMERA)
        val main = start()
        waitFor("the start") { "no camera" in statusOf(main) }
        val view = main.findViewById<FaceView>(R.id.face)
        assertNull(view.scene)
        for (touch in listOf(::tap, View::performClick)) { // a screen reader clicks
            main.onTrimMemory(ComponentCallbacks2.TRIM_MEMORY_COMPLETE)
            waitFor("the pause") { "Paused to free memory" in statusOf(main) }
            touch(view)
            waitFor("the camera") { "no camera" in statusOf(main) } // this device has none to start
        }
    }

    /** Everything that the status says from now on. */
    private fun statusesOf(main: MainActivity): List<String> = ArrayList<String>().also { said ->
        main.findViewById<TextView>(R.id.status).addTextChangedListener(
            object : TextWatcher {
                override fun beforeTextChanged(text: CharSequence, start: Int, count: Int, after: Int) = Unit
                override fun onTextChanged(text: CharSequence, start: Int, before: Int, count: Int) = Unit
                override fun afterTextChanged(text: Editable) { said += text.toString() }
            },
        )
    }

    private fun tap(view: View): Boolean {
        val now = SystemClock.uptimeMillis()
        for (action in listOf(MotionEvent.ACTION_DOWN, MotionEvent.ACTION_UP)) {
            view.dispatchTouchEvent(MotionEvent.obtain(now, now, action, view.width / 2f, view.height / 2f, 0))
        }
        return true
    }

    @Test
    fun `low memory leaves a photo as it is`() {
        val main = start()
        val view = openPhoto(main)
        val said = statusesOf(main)
        main.onTrimMemory(ComponentCallbacks2.TRIM_MEMORY_COMPLETE)
        tap(view)
        waitFor("the touched face") { view.scene?.landmarks != null }
        assertFalse("$said", said.any { "Paused" in it })
        activity.pause().stop().restart().resume()
        val photo = main.findViewById<TextView>(R.id.photo)
        assertEquals(main.getString(R.string.back_to_camera), photo.text) // the mode that is shown
        photo.performClick()
        assertEquals(main.getString(R.string.open_photo), photo.text)
    }

    @Test
    fun `a backend that refuses is named with what runs in its place`() {
        Settings(RuntimeEnvironment.getApplication()).backend = Backend(Accelerator.GPU, 1)
        val main = start()
        openPhoto(main)
        waitFor("the refusal") { "asked for GPU, runs on CPU, 1 thread: gpu refused this model: a test has none" in statusOf(main) }
    }

    @Test
    fun `measuring starts with the model of the screen closed, which comes back`() {
        shadowOf(RuntimeEnvironment.getApplication() as Application).grantPermissions(Manifest.permission.CAMERA)
        val main = start()
        waitFor("the model") { engines.open == 1 }
        main.findViewById<View>(R.id.benchmark).performClick()
        assertNull(shadowOf(main).nextStartedActivity) // not before all is freed
        var started: Intent? = null
        waitFor("the benchmark") { shadowOf(main).nextStartedActivity.also { started = it } != null }
        assertEquals(BenchmarkActivity::class.java.name, started?.component?.className)
        assertEquals(0, engines.open)
        activity.pause().stop().restart().resume()
        waitFor("the model again") { engines.open == 1 }
    }

    @Test
    fun `every button has a label for screen readers`() {
        val main = start()
        for (id in listOf(R.id.switch_camera, R.id.photo, R.id.model, R.id.backend, R.id.benchmark, R.id.share)) {
            assertTrue(main.findViewById<View>(id).contentDescription.isNotEmpty())
        }
    }
}
