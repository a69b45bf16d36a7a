package org.asmnetkit.demo

import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Color
import android.view.MotionEvent
import android.view.View
import org.asmnetkit.core.Placement
import org.asmnetkit.core.Pose
import org.asmnetkit.core.Scheme
import org.asmnetkit.core.SeenFace
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.RuntimeEnvironment
import org.robolectric.annotation.Config
import org.robolectric.annotation.GraphicsMode

@RunWith(RobolectricTestRunner::class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
@Config(sdk = [35])
class FaceViewTest {
    private val width = 720
    private val height = 900

    private fun drawn(scene: Scene): Bitmap {
        val view = FaceView(RuntimeEnvironment.getApplication())
        view.scene = scene
        view.measure(
            View.MeasureSpec.makeMeasureSpec(width, View.MeasureSpec.EXACTLY),
            View.MeasureSpec.makeMeasureSpec(height, View.MeasureSpec.EXACTLY),
        )
        view.layout(0, 0, width, height)
        return Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888).also { view.draw(Canvas(it)) }
    }

    private fun scene(mirrored: Boolean, landmarks: Boolean) = Scene(
        TestFace.bitmap,
        mirrored,
        Scheme.OF_68,
        if (landmarks) listOf(SeenFace(TestFace.landmarks, TestFace.pose, TestFace.box, emptySet())) else emptyList(),
    )

    @Test
    fun `landmarks are drawn on the face, mirrored or not`() {
        for (mirrored in listOf(false, true)) {
            val bitmap = drawn(scene(mirrored, landmarks = true))
            TestFace.save(bitmap, if (mirrored) "overlay-mirrored.png" else "overlay.png")
            val placement = Placement(TestFace.width, TestFace.height, width, height, mirrored)
            var white = 0
            for (point in 0 until 68) {
                val x = placement.viewX(TestFace.landmarks[2 * point].toDouble()).toInt()
                val y = placement.viewY(TestFace.landmarks[2 * point + 1].toDouble()).toInt()
                val colour = bitmap.getPixel(x, y)
                if (isWhite(colour)) white++
            }
            // An axis is drawn over a few of them.
            assertTrue("only $white of 68 points are white", white >= 60)
            // 68 dots of 1.5 dp radius at 1 px per dp are 480 pixels, 0.1 % of the picture.
            val pixels = IntArray(width * height).also { bitmap.getPixels(it, 0, width, 0, 0, width, height) }
            val before = IntArray(width * height).also {
                drawn(scene(mirrored, landmarks = false)).getPixels(it, 0, width, 0, 0, width, height)
            }
            val added = pixels.indices.count { isWhite(pixels[it]) && !isWhite(before[it]) }
            assertTrue("dots and lines whiten $added pixels", added < 0.01 * width * height)
        }
    }

    private fun isWhite(colour: Int) = Color.red(colour) > 200 && Color.green(colour) > 200 && Color.blue(colour) > 200

    @Test
    fun `a mirrored picture is the plain one's mirror image`() {
        val plain = drawn(scene(mirrored = false, landmarks = false))
        val mirrored = drawn(scene(mirrored = true, landmarks = false))
        var worst = 0
        for (y in 0 until height step 9) for (x in 0 until width step 9) {
            val a = plain.getPixel(x, y)
            val b = mirrored.getPixel(width - 1 - x, y)
            worst = maxOf(worst, Math.abs(Color.green(a) - Color.green(b)))
        }
        // The sampler may round its place by 1/16 of a pixel; neighbours differ by less than 200 levels.
        assertTrue("a pixel differs by $worst levels", worst <= 24)
    }

    @Test
    fun `a pose that is no number is not drawn and not spoken, and nothing fails`() {
        val nan = SeenFace(TestFace.landmarks, Pose(Float.NaN, 0f, Float.POSITIVE_INFINITY), TestFace.box, emptySet()).let {
            Scene(TestFace.bitmap, false, Scheme.OF_68, listOf(it))
        }
        drawn(nan)
        val view = FaceView(RuntimeEnvironment.getApplication())
        view.scene = nan
        assertEquals("Face with 68 landmarks", view.contentDescription)
    }

    @Test
    fun `a scene is told as drawn once, when it is`() {
        val view = FaceView(RuntimeEnvironment.getApplication())
        var told = 0
        view.onDrawn = { told++ }
        val canvas = Canvas(Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888))
        view.layout(0, 0, width, height)
        view.draw(canvas) // without a scene
        view.scene = scene(mirrored = false, landmarks = true)
        assertEquals(0, told)
        repeat(2) { view.draw(canvas) }
        assertEquals(1, told)
    }

    @Test
    fun `a screen reader hears what is seen`() {
        val view = FaceView(RuntimeEnvironment.getApplication())
        view.scene = scene(mirrored = false, landmarks = true)
        assertTrue(view.contentDescription.startsWith("Face with 68 landmarks"))
        view.scene = scene(mirrored = false, landmarks = false)
        assertEquals("Picture without a face", view.contentDescription)
    }

    @Test
    fun `a touch beside the picture points at nothing in it`() {
        val view = FaceView(RuntimeEnvironment.getApplication())
        view.layout(0, 0, width, height)
        view.scene = scene(mirrored = false, landmarks = false)
        val placement = Placement(TestFace.width, TestFace.height, width, height, mirrored = false)
        assertTrue(placement.left > 10) // bars on both sides
        val touched = ArrayList<Double>()
        view.onTouched = { x, _ -> touched += x }
        var clicks = 0
        view.setOnClickListener { clicks++ }
        for (x in listOf(5f, width / 2f, width - 5f)) view.dispatchTouchEvent(MotionEvent.obtain(0, 0, MotionEvent.ACTION_UP, x, height / 2f, 0))
        assertEquals(1, touched.size)
        assertEquals(placement.pictureX(width / 2.0), touched.single(), 1e-6)
        assertEquals(3, clicks)
    }
}
