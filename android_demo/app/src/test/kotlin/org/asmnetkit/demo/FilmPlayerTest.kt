package org.asmnetkit.demo

import android.media.MediaFormat
import android.os.Handler
import android.os.Looper
import android.os.SystemClock
import org.asmnetkit.core.YuvColours
import org.asmnetkit.core.YuvPicture
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.Shadows.shadowOf
import org.robolectric.annotation.Config

/** A film that is played by the clock, which the test and the model's work move on. */
@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
class FilmPlayerTest {
    private val looper = shadowOf(Looper.getMainLooper())
    private val problems = ArrayList<String>()
    private val shown = ArrayList<Double>() // times of the film, ms
    private var rounds = 0

    /** Pictures 33 ms apart, so many of them. */
    private class Pictures(private val count: Int) : Film {
        override val turnDegrees = 0
        private var next = 0

        override fun next(see: (picture: YuvPicture, timeMs: Double) -> Unit): Boolean {
            if (next == count) return false
            see(FakeCameras.grey(), 33.0 * next++)
            return true
        }

        override fun rewind() {
            next = 0
        }

        override fun close() = Unit
    }

    private fun pass(milliseconds: Long) = SystemClock.setCurrentTimeMillis(SystemClock.uptimeMillis() + milliseconds)

    /** Play a film of so many pictures once, or [most] steps of it, with a model that takes [workMs]; how long that was. */
    private fun played(count: Int, workMs: Long, most: Int = 1000): Double {
        val started = SystemClock.uptimeMillis()
        val player = FilmPlayer(
            Pictures(count),
            Handler(Looper.getMainLooper()),
            onFrame = { _, timeMs -> shown += timeMs - started; pass(workMs) },
            onRestart = { rounds++ },
            onProblem = { problems += it },
        )
        player.start()
        var steps = 0
        while (rounds == 0 && problems.isEmpty() && steps++ < most) looper.runOneTask()
        player.close()
        return (SystemClock.uptimeMillis() - started).toDouble()
    }

    @Test
    fun `a film is played at its own speed`() {
        assertEquals(90 * 33.0, played(90, workMs = 5), 40.0)
        assertEquals(90, shown.size)
    }

    @Test
    fun `pictures for which the model is too slow are left out, and the film keeps its speed`() {
        assertEquals(90 * 33.0, played(90, workMs = 300), 350.0) // not 90 times 300 ms
        assertTrue("$shown", shown.size in 8..12)
    }

    @Test
    fun `a film without a picture is told, and not begun again for ever`() {
        played(0, workMs = 0, most = 50)
        assertEquals(listOf("it has no picture"), problems)
    }

    @Test
    fun `a film's colours are read as its decoder says, or as films of its size are`() {
        fun coloursOf(side: Int, vararg said: Pair<String, Int>) =
            AndroidFilm.coloursOf(MediaFormat().apply { for ((key, value) in said) setInteger(key, value) }, side)
        assertEquals(YuvColours(YuvColours.Standard.BT709, isFull = false), coloursOf(1080))
        assertEquals(YuvColours(YuvColours.Standard.BT601, isFull = false), coloursOf(480))
        val phone = arrayOf(
            MediaFormat.KEY_COLOR_STANDARD to MediaFormat.COLOR_STANDARD_BT601_PAL,
            MediaFormat.KEY_COLOR_RANGE to MediaFormat.COLOR_RANGE_FULL,
        )
        assertEquals(YuvColours(YuvColours.Standard.BT601, isFull = true), coloursOf(1080, *phone))
    }
}
