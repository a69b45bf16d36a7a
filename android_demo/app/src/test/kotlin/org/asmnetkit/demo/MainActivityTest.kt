package org.asmnetkit.demo

import android.Manifest
import android.app.Application
import android.content.ComponentCallbacks2
import android.content.ContentProvider
import android.content.ContentValues
import android.content.Intent
import android.database.Cursor
import android.database.MatrixCursor
import android.graphics.Bitmap
import android.graphics.Canvas
import android.hardware.display.DisplayManager
import android.net.Uri
import android.os.Looper
import android.os.SystemClock
import android.provider.OpenableColumns
import android.text.Editable
import android.text.TextWatcher
import android.view.MotionEvent
import android.view.View
import android.view.WindowManager
import android.widget.TextView
import java.io.ByteArrayInputStream
import java.io.ByteArrayOutputStream
import java.io.IOException
import java.nio.MappedByteBuffer
import java.util.concurrent.CountDownLatch
import java.util.concurrent.TimeUnit
import org.asmnetkit.core.Accelerator
import org.asmnetkit.core.Backend
import org.asmnetkit.core.Box
import org.asmnetkit.core.Detection
import org.asmnetkit.core.EngineFactory
import org.asmnetkit.core.FaceFinder
import org.asmnetkit.core.ModelException
import org.asmnetkit.core.Pose
import org.asmnetkit.core.YuvPicture
import org.asmnetkit.core.uprightTurn
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
import org.robolectric.shadows.ShadowDisplayManager
import org.robolectric.shadows.ShadowToast

@RunWith(RobolectricTestRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
@Config(sdk = [35], qualifiers = "w411dp-h891dp-xhdpi")
class MainActivityTest {
    private lateinit var activity: ActivityController<MainActivity>
    private lateinit var engines: FakeEngine.Factory
    private val cameras = FakeCameras()
    private var found = emptyList<Detection>() // by the detector
    private val application = RuntimeEnvironment.getApplication() as Application

    private fun allow() = shadowOf(application).grantPermissions(Manifest.permission.CAMERA)

    /** The app with a camera that delivers frames as told. */
    private fun startWithCamera(): MainActivity {
        allow()
        cameras.present = listOf(FakeCameras.FRONT, FakeCameras.BACK)
        val main = start()
        waitFor("the camera") { cameras.open.isNotEmpty() && engines.open == 1 }
        return main
    }

    @Before
    fun `use an engine without native code`() {
        // Who points at a face chooses a square of 0.4 of the picture around it (DemoController).
        val half = 0.4 * TestFace.width / 2
        val (x, y) = Pair(TestFace.box.centreX, TestFace.box.centreY)
        engines = FakeEngine.Factory(Box(x - half, y - half, x + half, y + half), TestFace.box)
        MainActivity.engines = engines
        MainActivity.cameras = cameras.factory
        MainActivity.finders = { FaceFinder { found } }
        Settings(application).welcomed = true
    }

    @After
    fun close() {
        if (::activity.isInitialized) activity.pause().stop().destroy()
        MainActivity.engines = phoneEngines
        MainActivity.cameras = ::AndroidCameras
        MainActivity.films = AndroidFilm.Companion::open
        MainActivity.finders = ::openDetector
        FilmFolder.displayName = null
    }

    private fun start(): MainActivity {
        activity = Robolectric.buildActivity(MainActivity::class.java).setup()
        return activity.get()
    }

    /** All that the screen says in words. */
    private fun statusOf(main: MainActivity) = listOf(R.id.model, R.id.backend, R.id.speed, R.id.stages, R.id.status, R.id.message)
        .map { main.findViewById<TextView>(it) }.filter { it.isShown }.joinToString("\n") { it.text }

    /** The controller works on a thread of its own and answers on this one. */
    private fun waitFor(what: String, done: () -> Boolean) {
        val end = System.currentTimeMillis() + 60_000
        while (!done()) {
            check(System.currentTimeMillis() < end) { "waited in vain for $what" }
            Thread.sleep(10)
            shadowOf(Looper.getMainLooper()).idle()
        }
    }

    @Test
    fun `without permission it says what can be done`() {
        val main = start()
        assertEquals(listOf(Manifest.permission.CAMERA), shadowOf(main).lastRequestedPermission.requestedPermissions.toList())
        main.onRequestPermissionsResult(0, arrayOf(Manifest.permission.CAMERA), intArrayOf(-1))
        waitFor("the explanation") { "permission" in statusOf(main) }
    }

    @Test
    fun `before the first question it says in a sentence what the camera is for`() {
        Settings(application).welcomed = false
        val main = start()
        waitFor("the welcome") { "no picture leaves it" in statusOf(main) }
        assertNull(shadowOf(main).lastRequestedPermission)
        main.findViewById<View>(R.id.message_button).performClick()
        assertEquals(listOf(Manifest.permission.CAMERA), shadowOf(main).lastRequestedPermission.requestedPermissions.toList())
        assertTrue(Settings(application).welcomed)
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
        main.findViewById<View>(R.id.open).performClick()
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
        // The detector of these tests finds nothing: point at the face instead.
        view.onTouched?.invoke(TestFace.box.centreX, TestFace.box.centreY)
        waitFor("the face") { view.scene?.face?.landmarks != null && "yaw" in statusOf(main) && "sure to" in statusOf(main) }
        assertNotNull(view.scene?.face?.pose)
        // From the rough box to the landmarks' own and back through the crop: float32 near 480 pixels.
        assertArrayEquals(TestFace.landmarks, view.scene?.face?.landmarks, 1e-3f)
        assertTrue(statusOf(main), "invoke" in statusOf(main))
    }

    /** Says of everything that it is a film. */
    class FilmFolder : ContentProvider() {
        override fun onCreate() = true
        override fun getType(uri: Uri) = "video/mp4"
        override fun query(uri: Uri, columns: Array<String>?, where: String?, values: Array<String>?, order: String?): Cursor? =
            displayName?.let { name -> MatrixCursor(arrayOf(OpenableColumns.DISPLAY_NAME)).apply { addRow(arrayOf(name)) } }
        override fun insert(uri: Uri, values: ContentValues?): Uri? = null
        override fun update(uri: Uri, values: ContentValues?, where: String?, arguments: Array<String>?) = 0
        override fun delete(uri: Uri, where: String?, arguments: Array<String>?) = 0

        companion object {
            var displayName: String? = null
        }
    }

    /** A film of [pictures] grey pictures, a tenth of a second each. */
    private class FakeFilm(private val pictures: Int) : Film {
        override val turnDegrees = 90
        var played = 0
        var rewound = 0
        var closed = false

        override fun next(see: (picture: YuvPicture, timeMs: Double) -> Unit): Boolean {
            if (played == pictures) return false
            see(FakeCameras.grey(), 100.0 * played++)
            return true
        }

        override fun rewind() {
            played = 0
            rewound++
        }

        override fun close() {
            closed = true
        }
    }

    @Test
    fun `a film is played upright, again and again, and left for the camera`() {
        val films = ArrayList<FakeFilm>()
        MainActivity.films = { _, _ -> FakeFilm(3).also { films += it } }
        val main = startWithCamera()
        val uri = Uri.parse("content://films/face")
        Robolectric.setupContentProvider(FilmFolder::class.java, "films")
        val open = main.findViewById<TextView>(R.id.open)
        open.performClick()
        val asked = shadowOf(main).nextStartedActivityForResult.intent
        assertEquals(listOf("image/*", "video/*"), asked.getStringArrayExtra(Intent.EXTRA_MIME_TYPES).orEmpty().toList())
        shadowOf(main).receiveResult(asked, android.app.Activity.RESULT_OK, Intent().setData(uri))
        waitFor("the film's second round") {
            pass(100)
            (films.singleOrNull()?.rewound ?: 0) >= 1 && "No face found" in statusOf(main)
        }
        val scene = requireNotNull(main.findViewById<FaceView>(R.id.face).scene)
        assertEquals(48 to 64, scene.bitmap.width to scene.bitmap.height) // turned
        assertFalse(scene.mirrored)
        assertEquals(0, cameras.open.size)
        activity.pause().stop() // the decoder goes with the camera
        waitFor("its end") { films.single().closed }
        activity.restart().resume()
        waitFor("the film again") { films.size == 2 }
        open.performClick()
        waitFor("the camera") { films.last().closed && cameras.open.isNotEmpty() }
    }

    @Test
    fun `a film that cannot be played is told, and the camera comes back`() {
        MainActivity.films = { _, _ -> throw IOException("no decoder for it") }
        val main = startWithCamera()
        val uri = Uri.parse("content://films/other")
        Robolectric.setupContentProvider(FilmFolder::class.java, "films")
        main.receive(1, uri)
        waitFor("the reason") { ShadowToast.getTextOfLatestToast()?.contains("no decoder for it") == true }
        waitFor("the camera") { cameras.open.isNotEmpty() }
    }

    /** Let the clock of both threads go on. */
    private fun pass(milliseconds: Long) = shadowOf(Looper.getMainLooper()).idleFor(milliseconds, TimeUnit.MILLISECONDS)

    @Test
    fun `low memory pauses the camera until a touch, on the empty picture, too`() {
        shadowOf(RuntimeEnvironment.getApplication() as Application).grantPermissions(Manifest.permission.CAMERA)
        val main = start()
        waitFor("the start") { "no camera" in statusOf(main) }
        val view = main.findViewById<FaceView>(R.id.face)
        assertNull(view.scene)
        for (touch in listOf(::tap, View::performClick)) { // a screen reader clicks
            @Suppress("DEPRECATION")
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
        @Suppress("DEPRECATION")
        main.onTrimMemory(ComponentCallbacks2.TRIM_MEMORY_COMPLETE)
        tap(view)
        waitFor("the touched face") { view.scene?.face?.landmarks != null }
        assertFalse("$said", said.any { "Paused" in it })
        activity.pause().stop().restart().resume()
        val photo = main.findViewById<TextView>(R.id.open)
        assertEquals(main.getString(R.string.back_to_camera), photo.text) // the mode that is shown
        photo.performClick()
        assertEquals(main.getString(R.string.open), photo.text)
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
        repeat(2) { main.findViewById<View>(R.id.compare).performClick() } // as an impatient person does
        assertNull(shadowOf(main).nextStartedActivity) // not before all is freed
        var started: Intent? = null
        waitFor("the benchmark") { shadowOf(main).nextStartedActivity.also { started = it } != null }
        assertEquals(CompareActivity::class.java.name, started?.component?.className)
        settle()
        assertNull(shadowOf(main).nextStartedActivity)
        assertEquals(0, engines.open)
        activity.pause().stop().restart().resume()
        waitFor("the model again") { engines.open == 1 }
    }

    @Test
    fun `a camera that another app takes comes back by itself, or by a touch`() {
        val main = startWithCamera()
        cameras.open.single().fail(CameraProblem.TAKEN)
        waitFor("the reason") { "another app uses the camera" in statusOf(main) }
        cameras.free("front")
        waitFor("the camera again") {
            shadowOf(Looper.getMainLooper()).idleFor(100, TimeUnit.MILLISECONDS) // it waits a second
            cameras.open.isNotEmpty()
        }
        cameras.open.single().frame()
        waitFor("a frame") { "No face found" in statusOf(main) }
        cameras.open.single().fail(CameraProblem.DEVICE)
        waitFor("the reason") { "the camera has failed" in statusOf(main) }
        tap(main.findViewById(R.id.face))
        waitFor("the camera once more") { cameras.open.isNotEmpty() }
    }

    @Test
    fun `in the background neither camera nor model stays`() {
        val main = startWithCamera()
        activity.pause().stop()
        waitFor("all to be closed") { cameras.open.isEmpty() && engines.open == 0 }
        activity.restart().resume()
        waitFor("both again") { cameras.open.isNotEmpty() && engines.open == 1 }
        assertFalse(main.isFinishing)
    }

    @Test
    fun `after a refusal a button leads to where the camera is allowed`() {
        val main = start()
        val allow = main.findViewById<View>(R.id.message_button)
        assertFalse(allow.isShown)
        main.onRequestPermissionsResult(0, arrayOf(Manifest.permission.CAMERA), intArrayOf(-1))
        waitFor("the button") { allow.isShown }
        allow.performClick() // refused for good: the question would not be shown
        val settings = shadowOf(main).nextStartedActivity
        assertEquals("android.settings.APPLICATION_DETAILS_SETTINGS", settings.action)
        assertEquals("package:${main.packageName}", settings.dataString)
        shadowOf(main.packageManager).setShouldShowRequestPermissionRationale(Manifest.permission.CAMERA, true)
        shadowOf(main).lastRequestedPermission.requestedPermissions.fill("nothing")
        allow.performClick() // refused once: ask again
        assertEquals(listOf(Manifest.permission.CAMERA), shadowOf(main).lastRequestedPermission.requestedPermissions.toList())
        allow()
        main.onRequestPermissionsResult(0, arrayOf(Manifest.permission.CAMERA), intArrayOf(0))
        waitFor("the camera") { "no camera" in statusOf(main) }
    }

    @Test
    fun `an activity that is made anew keeps its photo`() {
        openPhoto(start())
        activity.recreate() // dark mode at sunset, another font size, another language
        val main = activity.get()
        waitFor("the photo") { main.findViewById<FaceView>(R.id.face).scene != null }
        assertEquals(main.getString(R.string.back_to_camera), main.findViewById<TextView>(R.id.open).text)
        waitFor("its status") { "No face found" in statusOf(main) }
    }

    @Test
    fun `Back leaves the photo for the camera, and then the app`() {
        val main = startWithCamera()
        openPhoto(main)
        waitFor("the photo") { cameras.open.isEmpty() }
        requireNotNull(back(main)).onBackInvoked()
        waitFor("the camera") { cameras.open.isNotEmpty() }
        assertEquals(main.getString(R.string.open), main.findViewById<TextView>(R.id.open).text)
        assertFalse(main.isFinishing)
        assertNull(back(main)) // Android's own: it closes the app
    }

    /** What Back would do: the callback that the app registered. */
    private fun back(main: MainActivity): android.window.OnBackInvokedCallback? {
        val field = MainActivity::class.java.getDeclaredField("back\$delegate").apply { isAccessible = true }
        val back = (field.get(main) as Lazy<*>).value
        return BackToCamera::class.java.getDeclaredField("callback").apply { isAccessible = true }.get(back) as android.window.OnBackInvokedCallback?
    }

    @Test
    fun `outputs that are not numbers are told, and nothing fails`() {
        engines.pose = Pose(Float.NaN, Float.NaN, Float.NaN)
        val main = startWithCamera()
        found = listOf(Detection(Box(10.0, 10.0, 40.0, 40.0), 0.9f))
        cameras.open.single().frame()
        waitFor("the warning") { "3 of the model's outputs are not numbers" in statusOf(main) }
        assertNull(main.findViewById<FaceView>(R.id.face).scene?.face?.landmarks)
    }

    @Test
    fun `a scene is replaced when it has been drawn, not before`() {
        val main = startWithCamera()
        val view = main.findViewById<FaceView>(R.id.face)
        val scenes = ArrayList<Scene?>()
        repeat(3) {
            val before = view.scene
            cameras.open.single().frame()
            settle()
            if (view.scene !== before) scenes += view.scene
        }
        assertEquals(1, scenes.size)
        view.draw(Canvas(Bitmap.createBitmap(view.width, view.height, Bitmap.Config.ARGB_8888)))
        settle()
        cameras.open.single().frame()
        waitFor("the next scene") { view.scene !== scenes.single() }
        assertTrue(view.scene?.bitmap !== scenes.single()?.bitmap)
    }

    /** What a person picked: onActivityResult is Android's to call. */
    private fun MainActivity.receive(code: Int, uri: Uri) {
        val method = MainActivity::class.java.getDeclaredMethod("onActivityResult", Int::class.java, Int::class.java, Intent::class.java)
        method.isAccessible = true
        method.invoke(this, code, android.app.Activity.RESULT_OK, Intent().setData(uri))
    }

    /** Give both threads time for what they were told. */
    private fun settle() = repeat(20) {
        Thread.sleep(10)
        shadowOf(Looper.getMainLooper()).runToEndOfTasks()
    }

    @Test
    fun `figures are told five times a second at most, news at once`() {
        val main = startWithCamera()
        cameras.open.single().frame()
        waitFor("the first frame") { "No face found" in statusOf(main) }
        val said = statusesOf(main)
        repeat(60) { cameras.open.single().frame() } // all within the same fake instant
        settle()
        assertTrue("$said", said.size <= 1)
    }

    @Test
    fun `a model is imported beside the main thread, which goes on meanwhile`() {
        val main = start()
        val arrived = CountDownLatch(1)
        val thread = ArrayList<Thread>()
        val content = Models(main).run { open(first()).content }.let { c -> ByteArray(c.capacity()).also { c.duplicate().get(it) } }
        val uri = Uri.parse("content://drive/mine.tflite")
        shadowOf(main.contentResolver).registerInputStreamSupplier(uri) {
            thread += Thread.currentThread()
            arrived.await(10, TimeUnit.SECONDS) // a drive in the network
            ByteArrayInputStream(content)
        }
        main.receive(2, uri)
        assertEquals(View.VISIBLE, main.findViewById<View>(R.id.working).visibility) // it returned at once
        arrived.countDown()
        waitFor("the model") { main.findViewById<View>(R.id.working).visibility == View.GONE }
        assertTrue(thread.single() !== Looper.getMainLooper().thread)
        assertEquals("picked.tflite", Settings(main).modelName)
    }

    @Test
    fun `sharing writes its picture beside the main thread`() {
        val main = start()
        openPhoto(main)
        while (shadowOf(main).nextStartedActivity != null) continue // the picker
        main.findViewById<View>(R.id.share).performClick()
        assertNull(shadowOf(main).nextStartedActivity)
        var started: Intent? = null
        waitFor("the chooser") { shadowOf(main).nextStartedActivity.also { started = it } != null }
        assertEquals(Intent.ACTION_CHOOSER, started?.action)
    }

    @Test
    fun `the screen stays on for a film, not for a photo or an error`() {
        val main = startWithCamera()
        fun isKeptOn() = main.window.attributes.flags and WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON != 0
        cameras.open.single().frame()
        waitFor("the film") { isKeptOn() }
        openPhoto(main)
        waitFor("the photo") { !isKeptOn() }
    }

    @Test
    fun `a photo that is too large for memory is told, and no crash`() {
        val main = start()
        val uri = Uri.parse("content://photos/huge")
        shadowOf(main.contentResolver).registerInputStreamSupplier(uri) { throw OutOfMemoryError("48 MB") }
        main.receive(1, uri)
        waitFor("the reason") { ShadowToast.getTextOfLatestToast()?.contains("not enough memory") == true }
        assertEquals(main.getString(R.string.open), main.findViewById<TextView>(R.id.open).text)
    }

    @Test
    fun `photos are shrunk to what the pixels of a crop need`() {
        assertEquals(listOf(1, 2, 2, 4, 8), listOf(2048, 2049, 4095, 4097, 16000).map(::sampleSize))
    }

    @Test
    fun `the rotation is that of the display that the app is on`() {
        val second = ShadowDisplayManager.addDisplay("w300dp-h500dp")
        ShadowDisplayManager.changeDisplay(second, "+land")
        val display = application.getSystemService(DisplayManager::class.java).getDisplay(second)
        val there = application.createDisplayContext(display)
        assertEquals(display.rotation, displayRotation(there))
        assertTrue(display.rotation != application.getSystemService(DisplayManager::class.java).getDisplay(0).rotation)
    }

    @Test
    fun `a bundled model is mapped, not copied`() {
        assertTrue(Models(application).run { open(first()).content } is MappedByteBuffer)
    }

    @Test
    fun `every button has a label for screen readers`() {
        val main = start()
        for (id in listOf(R.id.switch_camera, R.id.open, R.id.model, R.id.backend, R.id.compare, R.id.share)) {
            assertTrue(main.findViewById<View>(id).contentDescription.isNotEmpty())
        }
    }

    /** The model looks where it is told, and sees a face as large as the box it looked at. */
    private fun seeing(box: Box) {
        engines = FakeEngine.Factory(TestFace.box)
        MainActivity.engines = engines
        found = listOf(Detection(box, 0.9f))
    }

    private fun draw(view: View) = view.draw(Canvas(Bitmap.createBitmap(view.width, view.height, Bitmap.Config.ARGB_8888)))

    /** A frame that is on the screen when this returns. */
    private fun FaceView.see(picture: YuvPicture = FakeCameras.grey()): Scene {
        val before = scene
        cameras.open.single().frame(picture)
        waitFor("the picture") { scene !== before }
        draw(this)
        repeat(5) { // for what is told after it; the clock stays
            Thread.sleep(10)
            shadowOf(Looper.getMainLooper()).idle()
        }
        return requireNotNull(scene)
    }

    private val small = Box(10.0, 5.0, 50.0, 45.0) // of a frame of 64 x 48

    @Test
    fun `a model that cannot be loaded is told beside the running camera, too`() {
        MainActivity.engines = EngineFactory { _, _ -> throw ModelException("its operator 99 is unknown") }
        allow()
        cameras.present = listOf(FakeCameras.FRONT, FakeCameras.BACK)
        val main = start()
        waitFor("the camera") { cameras.open.isNotEmpty() }
        main.findViewById<FaceView>(R.id.face).see()
        assertTrue(statusOf(main), "its operator 99 is unknown" in statusOf(main))
        main.findViewById<View>(R.id.switch_camera).performClick()
        settle()
        main.findViewById<FaceView>(R.id.face).see()
        assertTrue(statusOf(main), "its operator 99 is unknown" in statusOf(main))
    }

    @Test
    fun `a turned phone looks for its faces anew`() {
        seeing(TestFace.box)
        val main = startWithCamera()
        val view = main.findViewById<FaceView>(R.id.face)
        fun frame(isWide: Boolean) = TestFace.frame(uprightTurn(270, 90 * displayRotation(main), front = true), isWide)
        view.see(frame(isWide = false))
        found = listOf(Detection(TestFace.wideBox, 0.9f))
        ShadowDisplayManager.changeDisplay(0, "+land")
        val box = requireNotNull(view.see(frame(isWide = true)).face).box
        assertEquals(TestFace.wideBox.centreX, box.centreX, 0.5)
        assertEquals(TestFace.wideBox.centreY, box.centreY, 0.5)
    }

    @Test
    fun `the time without a camera is no frame's`() {
        seeing(small)
        val main = startWithCamera()
        val view = main.findViewById<FaceView>(R.id.face)
        repeat(5) { view.see(); pass(100) }
        pass(300)
        assertTrue(statusOf(main), "10 fps" in statusOf(main))
        cameras.open.single().fail(CameraProblem.TAKEN)
        waitFor("the reason") { "another app uses the camera" in statusOf(main) }
        pass(60_000)
        cameras.free("front")
        waitFor("the camera again") { pass(100); cameras.open.isNotEmpty() }
        repeat(5) { view.see(); pass(100) }
        assertTrue(statusOf(main), "10 fps" in statusOf(main))
    }

    @Test
    fun `without a face there is no time of the model`() {
        seeing(small)
        val main = startWithCamera()
        val view = main.findViewById<FaceView>(R.id.face)
        repeat(5) { view.see(); pass(100) }
        assertTrue(statusOf(main), " ms" in statusOf(main))
        found = emptyList()
        repeat(60) { view.see(); pass(100) } // the detector misses it for a second
        assertTrue(statusOf(main), "No face found" in statusOf(main) && "10 fps" in statusOf(main))
        assertFalse(statusOf(main), " ms" in statusOf(main)) // it did not run
    }

    @Test
    fun `a picked model named as a bundled one does not take its place or its title`() {
        val bundled = Models(application).first()
        val content = Models(application).open(bundled).content.let { c -> ByteArray(c.capacity()).also { c.duplicate().get(it) } }
        for ((uri, bytes) in mapOf("content://films/a" to content + ByteArray(16), "content://films/b" to content)) {
            shadowOf(application.contentResolver).registerInputStreamSupplier(Uri.parse(uri)) { ByteArrayInputStream(bytes) }
        }
        FilmFolder.displayName = bundled
        Robolectric.setupContentProvider(FilmFolder::class.java, "films")
        val models = Models(application)
        val mine = models.import(Uri.parse("content://films/a"))
        assertEquals(bundled.removeSuffix(".tflite") + "_own.tflite", mine)
        assertEquals(content.size, models.open(bundled).sizeBytes)
        assertEquals(content.size + 16, models.open(mine).sizeBytes)
        assertTrue(models.titleOf(mine) != models.titleOf(bundled))
        assertEquals(bundled, models.import(Uri.parse("content://films/b"))) // the very file: there is nothing to add
        assertEquals(listOf(mine), models.names() - bundled)
    }

    @Test
    fun `an accelerator that ended the app is not loaded again at the next start`() {
        Settings(application).backend = Backend(Accelerator.GPU, 1)
        var opened = 0
        val before = ArrayList<Boolean>()
        MainActivity.engines = EngineFactory { model, backend ->
            before += Settings(application).isOpening
            opened++
            engines.open(model, backend)
        }
        start()
        waitFor("the model") { engines.open == 1 && !Settings(application).isOpening }
        assertEquals(listOf(true), before) // told before, in case it never returns
        activity.pause().stop().destroy()
        settle()
        Settings(application).isOpening = true // what a driver that crashed leaves behind
        start()
        waitFor("the model") { engines.open == 1 }
        assertEquals(Backend(Accelerator.CPU, 1), Settings(application).backend)
        assertTrue("${ShadowToast.getTextOfLatestToast()}", "GPU" in ShadowToast.getTextOfLatestToast())
    }
}
