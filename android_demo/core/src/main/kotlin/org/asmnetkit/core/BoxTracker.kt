package org.asmnetkit.core

/**
 * Which face box to look at next: a detector finds the face, then its own landmarks carry it on.
 *
 * The kit's face box is the smallest box around the landmarks, so the landmarks of one frame are the
 * box of the next. A model answers with a face whatever it is shown; hence a box is given up
 * [patienceMs] after the first look at which the detector saw no face there, unless it saw one again
 * meanwhile, or when it leaves the picture.
 */
class BoxTracker(private val patienceMs: Double = PATIENCE_MS) {
    private var box: Box? = null
    private var missedSinceMs: Double? = null

    /** The box that [next] would give for a frame in which nobody looked for faces. */
    val current: Box? get() = box

    /** Whether a face is being followed. */
    val tracking: Boolean get() = box != null

    /**
     * The box to look at in this frame, or null when there is no face.
     *
     * @param detected landmark boxes that a detector saw in pixels of this picture, or null when it
     *   did not look.
     */
    fun next(detected: List<Box>?, timeMs: Double): Box? {
        val current = box
        val largest = detected?.maxByOrNull { it.longerSide }
        if (current == null) return start(largest)
        if (detected == null) return current
        val seen = detected.any { it.overlap(current) > MIN_OVERLAP }
        val since = if (seen) null else missedSinceMs ?: timeMs
        missedSinceMs = since
        if (since == null || timeMs - since <= patienceMs) return current
        return start(largest)
    }

    /** Tell where the landmarks (x, y interleaved) of the box just looked at are. */
    fun landmarks(points: FloatArray, width: Int, height: Int) {
        val around = Box.around(points)
        val inside = around.centreX in 0.0..width - 1.0 && around.centreY in 0.0..height - 1.0
        box = around.takeIf { inside && it.longerSide >= MIN_SIDE_PIXELS && it.longerSide <= MAX_SIDE_SHARE * maxOf(width, height) }
    }

    /** Look at [chosen], which somebody pointed at. */
    fun choose(chosen: Box) {
        start(chosen)
    }

    fun reset() {
        box = null
    }

    private fun start(found: Box?): Box? {
        box = found?.takeIf { it.longerSide >= MIN_SIDE_PIXELS }
        missedSinceMs = null
        return box
    }

    companion object {
        /** Detectors miss a turned face for some frames; a second is longer than that. */
        const val PATIENCE_MS = 1000.0

        /** Camera2's rectangles and landmark boxes differ in height, so half is too much to ask. */
        const val MIN_OVERLAP = 0.2

        /** Smaller faces have fewer pixels than the landmarks have coordinates. */
        const val MIN_SIDE_PIXELS = 16.0

        /** A box larger than the picture by so much has run away. */
        const val MAX_SIDE_SHARE = 1.5
    }
}

/**
 * The landmark box of a face known by its eyes alone (android.media.FaceDetector): centre of the eyes
 * and their distance, pixels. Factors are those of the kit's generic face.
 */
fun boxFromEyes(middleX: Double, middleY: Double, distance: Double): Box {
    val half = EYES_TO_SIDE * distance / 2
    val centreY = middleY + EYES_TO_CENTRE * distance
    return Box(middleX - half, centreY - half, middleX + half, centreY + half)
}

// Longer side of the generic face's landmark box, and its centre below the eyes, in eye distances.
private const val EYES_TO_SIDE = 2.26
private const val EYES_TO_CENTRE = 0.71
