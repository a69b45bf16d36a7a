package org.asmnetkit.core

import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class BoxTrackerTest {
    private val near = Box(100.0, 100.0, 200.0, 200.0)
    private val far = Box(300.0, 100.0, 340.0, 140.0)
    private val tracker = BoxTracker(patienceMs = 1000.0)

    private fun corners(box: Box) =
        floatArrayOf(box.x0.toFloat(), box.y0.toFloat(), box.x1.toFloat(), box.y1.toFloat())

    @Test
    fun `without a face there is no box`() {
        assertNull(tracker.next(null, 0.0))
        assertNull(tracker.next(emptyList(), 10.0))
        assertFalse(tracker.tracking)
    }

    @Test
    fun `the largest of several faces is followed`() {
        assertEquals(near, tracker.next(listOf(far, near), 0.0))
    }

    @Test
    fun `landmarks carry the box on`() {
        tracker.next(listOf(near), 0.0)
        val moved = Box(110.0, 105.0, 212.0, 203.0)
        tracker.landmarks(corners(moved), 640, 480)
        assertEquals(moved, tracker.next(null, 5000.0))
    }

    @Test
    fun `a face the detector misses for too long is given up`() {
        tracker.next(listOf(near), 0.0)
        assertEquals(near, tracker.next(emptyList(), 900.0))
        assertEquals(near, tracker.next(emptyList(), 1900.0))
        assertNull(tracker.next(emptyList(), 1901.0))
    }

    @Test
    fun `one missed look does not end the tracking however long ago the last was`() {
        tracker.next(listOf(near), 0.0)
        assertEquals(near, tracker.next(emptyList(), 1016.0))
        assertEquals(near, tracker.next(listOf(near), 2032.0))
        assertEquals(near, tracker.next(emptyList(), 3048.0))
    }

    @Test
    fun `a face seen again in time is kept`() {
        tracker.next(listOf(near), 0.0)
        tracker.next(listOf(near), 900.0)
        assertEquals(near, tracker.next(emptyList(), 1800.0))
        tracker.next(listOf(near), 2500.0)
        assertEquals(near, tracker.next(emptyList(), 3400.0))
    }

    @Test
    fun `another face takes over when the first is gone`() {
        tracker.next(listOf(near), 0.0)
        assertEquals(near, tracker.next(listOf(far), 500.0))
        assertEquals(far, tracker.next(listOf(far), 1501.0))
    }

    @Test
    fun `landmarks outside the picture or shrunk to nothing end the tracking`() {
        for (lost in listOf(Box(700.0, 0.0, 800.0, 100.0), Box(5.0, 5.0, 9.0, 9.0), Box(-900.0, -900.0, 1000.0, 1000.0))) {
            tracker.choose(near)
            assertTrue(tracker.tracking)
            tracker.landmarks(corners(lost), 640, 480)
            assertFalse(tracker.tracking) { "still following $lost" }
        }
    }
}
