package org.asmnetkit.demo

import android.Manifest
import android.app.Activity
import android.app.Application
import android.app.Dialog
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Insets
import android.graphics.Rect
import android.os.Looper
import android.view.View
import android.view.ViewGroup
import android.view.WindowInsets
import android.widget.TextView
import java.time.Duration
import org.asmnetkit.core.Detection
import org.asmnetkit.core.FaceFinder
import org.asmnetkit.core.uprightTurn
import org.junit.After
import org.junit.Assert.assertEquals
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
import org.robolectric.shadows.ShadowAlertDialog

/**
 * Pictures of the screen, and what every one of them must keep to: the picture has most of the window, no word is cut
 * off, nothing lies on something else, every button can be reached.
 */
@RunWith(RobolectricTestRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
@Config(sdk = [35])
class ScreenTest {
    private class Phone(val width: Int, val height: Int, val font: Float, val dark: Boolean) {
        val name = "${width}x$height${if (font > 1) "-font${font.toInt()}" else ""}${if (dark) "-dark" else ""}"

        fun apply(density: String = "mdpi") {
            val side = if (width > height) "land" else "port"
            RuntimeEnvironment.setQualifiers("w${width}dp-h${height}dp-$side-${if (dark) "night" else "notnight"}-$density")
            RuntimeEnvironment.setFontScale(font)
        }
    }

    private val cameras = FakeCameras(FakeCameras.FRONT)
    private val engines = FakeEngine.Factory(TestFace.box).apply { isReal = true }
    private val application = RuntimeEnvironment.getApplication() as Application
    private var activity: ActivityController<out Activity>? = null

    @Before
    fun `play a camera that sees a person`() {
        shadowOf(application).grantPermissions(Manifest.permission.CAMERA)
        MainActivity.engines = engines
        MainActivity.cameras = cameras.factory
        MainActivity.finders = { FaceFinder { listOf(Detection(if (it.width > it.height) TestFace.wideBox else TestFace.box, 0.9f)) } }
        Settings(application).welcomed = true
    }

    @After
    fun restore() {
        close()
        MainActivity.engines = phoneEngines
        MainActivity.cameras = ::AndroidCameras
        MainActivity.finders = ::openDetector
    }

    private fun close() {
        activity?.pause()?.stop()?.destroy()
        activity = null
    }

    private fun waitFor(what: String, done: () -> Boolean) {
        val end = System.currentTimeMillis() + 60_000
        while (!done()) {
            check(System.currentTimeMillis() < end) { "waited in vain for $what" }
            Thread.sleep(5)
            shadowOf(Looper.getMainLooper()).idle()
        }
    }

    /** The screen with the person before the front camera. */
    private fun camera(frames: Int = 2): MainActivity {
        val controller = Robolectric.buildActivity(MainActivity::class.java).setup()
        activity = controller
        val main = controller.get()
        waitFor("the camera") { cameras.open.isNotEmpty() && engines.open == 1 }
        val turn = uprightTurn(FakeCameras.FRONT.sensorDegrees, 90 * displayRotation(main), front = true)
        val frame = TestFace.frame(turn, isBeside(main))
        val view = main.findViewById<FaceView>(R.id.face)
        repeat(frames) {
            val before = view.scene
            cameras.open.single().frame(frame)
            waitFor("the picture") { view.scene !== before }
            drawn(view) // which asks for the next one
            shadowOf(Looper.getMainLooper()).idleFor(Duration.ofMillis(if (frames > 2) 33 else 250))
        }
        waitFor("the face") { view.scene?.face != null && main.findViewById<View>(R.id.speed).isShown }
        val bars = Insets.of(0, if (isBeside(main)) 0 else 24, 0, if (isBeside(main)) 0 else 16)
        putSystemBars(main, bars)
        return main
    }

    private fun isBeside(main: Activity) = main.resources.configuration.run { screenWidthDp > screenHeightDp }

    /** The system's bars, which Robolectric does not have, and a second layout as the window would do it. */
    private fun putSystemBars(main: Activity, dp: Insets) {
        val d = main.resources.displayMetrics.density
        val bars = Insets.of((dp.left * d).toInt(), (dp.top * d).toInt(), (dp.right * d).toInt(), (dp.bottom * d).toInt())
        val insets = WindowInsets.Builder().setInsets(WindowInsets.Type.systemBars(), bars).build()
        main.findViewById<View>(R.id.overlay).dispatchApplyWindowInsets(insets)
        layOut(main.window.decorView)
    }

    private fun layOut(root: View) {
        root.measure(
            View.MeasureSpec.makeMeasureSpec(root.width, View.MeasureSpec.EXACTLY),
            View.MeasureSpec.makeMeasureSpec(root.height, View.MeasureSpec.EXACTLY),
        )
        root.layout(0, 0, root.width, root.height)
    }

    private fun drawn(view: View): Bitmap =
        Bitmap.createBitmap(view.width, view.height, Bitmap.Config.ARGB_8888).also { view.draw(Canvas(it)) }

    /** All below [view] that is seen and has no children of its own. */
    private fun leaves(view: View): List<View> = when {
        view.visibility != View.VISIBLE -> emptyList()
        view is ViewGroup -> (0 until view.childCount).flatMap { leaves(view.getChildAt(it)) }
        else -> listOf(view)
    }

    private fun placeOf(view: View): Rect {
        val at = IntArray(2).also(view::getLocationInWindow)
        return Rect(at[0], at[1], at[0] + view.width, at[1] + view.height)
    }

    private fun nameOf(view: View) = (view as? TextView)?.text?.takeIf { it.isNotEmpty() } ?: view.contentDescription ?: view.javaClass.simpleName

    /** What is wrong with the words and buttons of a screen. */
    private fun faults(root: View): List<String> {
        val window = Rect(0, 0, root.width, root.height)
        val seen = leaves(root).filter { (it is TextView && (it.text.isNotEmpty() || it.isClickable)) || it is SparklineView || it is ChartView }
        val faults = ArrayList<String>()
        for (view in seen) {
            if (!window.contains(placeOf(view))) faults += "${nameOf(view)} at ${placeOf(view)} is not on the screen $window"
            if (view.isClickable && (view.width < 48 * density(view) || view.height < 48 * density(view))) {
                faults += "${nameOf(view)} is ${view.width} x ${view.height}: too small to touch"
            }
            if (view is TextView && view.text.isNotEmpty()) faults += cutOff(view)
        }
        for ((index, one) in seen.withIndex()) for (other in seen.drop(index + 1)) {
            if (Rect.intersects(placeOf(one), placeOf(other))) faults += "${nameOf(one)} and ${nameOf(other)} lie on each other"
        }
        return faults
    }

    private fun density(view: View) = view.resources.displayMetrics.density

    private fun cutOff(view: TextView): List<String> {
        val layout = view.layout ?: return listOf("${nameOf(view)} is not laid out")
        val wide = (0 until layout.lineCount).maxOf { layout.getLineWidth(it) }
        return listOfNotNull(
            "${nameOf(view)} has an ellipsis".takeIf { (0 until layout.lineCount).any { layout.getEllipsisCount(it) > 0 } },
            "${nameOf(view)} is cut off below".takeIf { layout.height > view.height - view.compoundPaddingTop - view.compoundPaddingBottom },
            "${nameOf(view)} is cut off beside".takeIf { wide > view.width - view.compoundPaddingLeft - view.compoundPaddingRight + 1 },
        )
    }

    /** The share of the window where the picture with its landmarks is seen, with nothing on it. */
    private fun shareOfPicture(main: MainActivity): Double {
        val face = main.findViewById<FaceView>(R.id.face)
        val whole = drawn(main.window.decorView)
        val alone = drawn(face)
        val at = placeOf(face)
        var same = 0
        val row = IntArray(face.width)
        val own = IntArray(face.width)
        for (y in 0 until face.height) {
            whole.getPixels(row, 0, face.width, at.left, at.top + y, face.width, 1)
            alone.getPixels(own, 0, face.width, 0, y, face.width, 1)
            same += row.indices.count { own[it] ushr 24 != 0 && row[it] == own[it] }
        }
        return same.toDouble() / (whole.width * whole.height)
    }

    @Test
    fun `on every screen the picture has most of it, no word is cut off and every button is there`() {
        val sizes = listOf(320 to 568, 360 to 640, 411 to 891, 600 to 960)
        val phones = sizes.flatMap { (w, h) -> listOf(w to h, h to w) }
            .flatMap { (w, h) -> listOf(1f, 2f).flatMap { font -> listOf(false, true).map { Phone(w, h, font, it) } } }
        val faults = ArrayList<String>()
        for (phone in phones) {
            phone.apply()
            val main = camera()
            val found = faults(main.window.decorView).toMutableList()
            val share = shareOfPicture(main)
            if (share < LEAST_PICTURE) found += "the picture has %.0f %% of the window".format(100 * share)
            faults += found.map { "${phone.name}: $it" }
            TestFace.save(drawn(main.window.decorView), "screen-${phone.name}.png")
            close()
        }
        assertEquals(emptyList<String>(), faults)
    }

    @Test
    fun `every message with its button fits the smallest screen with the largest words`() {
        for (phone in listOf(Phone(320, 568, 2f, false), Phone(568, 320, 2f, false), Phone(411, 891, 1f, true))) {
            for (mode in listOf(Mode.Welcome, Mode.NoPermission, Mode.CameraError(CameraProblem.TAKEN))) {
                phone.apply()
                val main = camera()
                show(main, UiState(mode = mode))
                val root = main.window.decorView
                layOut(root)
                val card = main.findViewById<View>(R.id.message_card)
                assertTrue(card.isShown)
                TestFace.save(drawn(root), "message-${mode.javaClass.simpleName}-${phone.name}.png")
                // What the card has no room for can be scrolled to; all else keeps to its place.
                val isScrolled = (card as ViewGroup).getChildAt(0).height > card.height
                val wrong = faults(root).filter { !isScrolled || "lie on" !in it && "not on the screen" !in it }
                assertEquals(phone.name, emptyList<String>(), wrong)
                close()
            }
        }
    }

    private fun show(main: MainActivity, state: UiState) {
        waitFor("all that was told") { true }
        MainActivity::class.java.getDeclaredMethod("show", UiState::class.java).apply { isAccessible = true }.invoke(main, state)
    }

    @Test
    fun `the system's bars lie on no button`() {
        for (phone in listOf(Phone(360, 640, 1f, false), Phone(640, 360, 1f, false))) {
            phone.apply()
            val main = camera()
            val bars = if (isBeside(main)) Insets.of(0, 24, 48, 0) else Insets.of(0, 24, 0, 48)
            putSystemBars(main, bars)
            val root = main.window.decorView
            val free = Rect(bars.left, bars.top, root.width - bars.right, root.height - bars.bottom)
            for (view in leaves(root).filter { it is TextView && it.isClickable }) {
                assertTrue("${nameOf(view)} at ${placeOf(view)}", free.contains(placeOf(view)))
            }
            assertEquals(emptyList<String>(), faults(root))
            close()
        }
    }

    @Test
    fun `the picker tells each model's error, size and terms, and the card all the rest`() {
        Phone(360, 740, 1f, false).apply("xhdpi")
        val main = camera()
        main.findViewById<View>(R.id.model).performClick()
        waitFor("the picker") { ShadowAlertDialog.getLatestAlertDialog() != null }
        val picker = ShadowAlertDialog.getLatestAlertDialog()
        val row = picker.listView.adapter.getView(0, null, picker.listView)
        assertEquals("asmnet_nano_people", row.findViewById<TextView>(R.id.model_name).text.toString())
        val facts = row.findViewById<TextView>(R.id.model_facts).text.toString()
        assertTrue(facts, Regex("""error \d\.\d % \(faces68/aflw\)""") in facts) // the figure changes with the model
        for (fact in listOf("68 points", "0.5 MB", "Apache-2.0")) assertTrue(facts, fact in facts)
        save(picker, "picker.png")
        row.findViewById<View>(R.id.model_details).performClick()
        val card = ShadowAlertDialog.getLatestAlertDialog()
        val words = card.findViewById<TextView>(android.R.id.message).text.toString()
        for (part in listOf("Trained on", "Rendered people: the kit renders them", "Terms", "Known failures", "A crop without a face")) {
            assertTrue(part, part in words)
        }
        save(card, "card.png")
    }

    private fun save(dialog: Dialog, name: String) {
        val window = requireNotNull(dialog.window).decorView
        waitFor("its layout") { window.width > 0 }
        TestFace.save(drawn(window), name)
    }

    @Test
    fun `a picture of it for the docs`() {
        for (phone in listOf(Phone(360, 740, 1f, false), Phone(740, 360, 1f, true))) {
            phone.apply("xhdpi")
            TestFace.save(drawn(camera(frames = 60).window.decorView), "docs-${phone.name}.png")
            close()
        }
    }

    private companion object {
        const val LEAST_PICTURE = 0.6
    }
}
