package org.asmnetkit.core

/**
 * A picture of a film, upright.
 *
 * @property hints face boxes that the camera itself reports, pixels of the picture; null where it detects none.
 * @property timeMs when it came, by any clock that only goes forward.
 */
class Frame(val picture: Picture, val hints: List<Box>?, val timeMs: Double)

/** Finds faces in a picture: landmark boxes in its pixels, the surest first. Slow, so it is asked seldom. */
fun interface FaceFinder {
    fun find(picture: Picture): List<Box>
}

/**
 * What was seen in a picture.
 *
 * @property face the model's own answer; null where there is no face, or outputs that are not numbers.
 * @property landmarks of [face], smoothed over time in a film: what is drawn.
 * @property box where the model looked last; null where nobody knew where to look.
 * @property unsure points that the model itself does not trust.
 * @property notFinite how many output values were NaN or infinite.
 */
class Seen(
    val face: Face?,
    val landmarks: FloatArray?,
    val box: Box?,
    val unsure: Set<Int>,
    val notFinite: Int,
)

/** Means over the last second or so; milliseconds. */
data class Speed(val preMs: Double, val invokeMs: Double, val postMs: Double, val drawMs: Double, val framesPerSecond: Double)

/**
 * From pictures to faces: where to look, what the model sees there, and how fast that goes.
 *
 * Plain arithmetic on one thread. It owns neither camera nor model: pictures are handed in, the model
 * is set from outside and may be taken away at any time.
 *
 * @param finder is asked where the camera reports no faces.
 */
class FramePipeline(private val finder: FaceFinder) {
    private val tracker = BoxTracker()
    private val filter = OneEuroFilter()
    private val pre = RunningMean(MEAN_FRAMES)
    private val invoke = RunningMean(MEAN_FRAMES)
    private val post = RunningMean(MEAN_FRAMES)
    private val draw = RunningMean(MEAN_FRAMES)
    private val between = RunningMean(MEAN_FRAMES)
    private var lastFrameMs: Double? = null
    private var lastHintMs: Double? = null
    private var lastFoundMs: Double? = null

    /** What looks at faces; null where none is loaded. Its times are counted anew when it changes. */
    var model: FaceModel? = null
        set(value) {
            field = value
            listOf(pre, invoke, post).forEach(RunningMean::clear)
        }

    /** Forget the film: another one begins. */
    fun restart() {
        tracker.reset()
        filter.reset()
        lastFrameMs = null
        lastHintMs = null
        lastFoundMs = null
        listOf(pre, invoke, post, draw, between).forEach(RunningMean::clear)
    }

    /** The next picture of a film. @throws ModelException the model failed to run. */
    fun next(frame: Frame): Seen {
        lastFrameMs?.let { between.add(frame.timeMs - it) }
        lastFrameMs = frame.timeMs
        val own = tracker.current
        val box = tracker.next(boxesOf(frame), frame.timeMs)
        // A detector's box or a touch is rough; the landmarks' own box is what the model learned.
        val (face, looked) = look(frame.picture, box, if (box == own) 0 else REFINEMENTS)
        val shown = face?.takeIf { it.notFinite == 0 }
        if (shown != null) {
            tracker.landmarks(shown.landmarks, frame.picture.width, frame.picture.height)
        } else {
            filter.reset()
        }
        return seen(face, looked, shown?.let { steady(it, frame.timeMs) })
    }

    /** A single picture. @param chosen where to look; where a face is found by default. */
    fun photo(picture: Picture, chosen: Box? = null): Seen {
        val box = chosen ?: finder.find(picture).firstOrNull()
        val (face, looked) = look(picture, box, REFINEMENTS)
        return seen(face, looked, face?.landmarks)
    }

    /** Look at [box], which somebody pointed at, in the next picture. */
    fun choose(box: Box) = tracker.choose(box)

    /** Tell how long the last picture took to draw. */
    fun drew(milliseconds: Double) = draw.add(milliseconds)

    /** Null before the model has run. */
    fun speed(): Speed? {
        val betweenMs = between.mean
        return Speed(
            preMs = pre.mean ?: return null,
            invokeMs = invoke.mean ?: return null,
            postMs = post.mean ?: return null,
            drawMs = draw.mean ?: 0.0,
            framesPerSecond = if (betweenMs == null || betweenMs <= 0) 0.0 else 1000 / betweenMs,
        )
    }

    /**
     * Where faces are, as far as anybody looked.
     *
     * Some cameras promise face detection and never report a face; one that has been silent for
     * [BLIND_MS] is not believed, and [finder] looks now and then.
     */
    private fun boxesOf(frame: Frame): List<Box>? {
        val since = lastHintMs ?: frame.timeMs.also { lastHintMs = it }
        if (!frame.hints.isNullOrEmpty()) {
            lastHintMs = frame.timeMs
            return frame.hints
        }
        if (frame.hints != null && frame.timeMs - since <= BLIND_MS) return frame.hints
        val last = lastFoundMs
        if (last != null && frame.timeMs - last < BoxTracker.PATIENCE_MS) return null
        lastFoundMs = frame.timeMs
        return finder.find(frame.picture)
    }

    /** The face in [box], looked at again so many times in the box of its landmarks, and the box looked at last. */
    private fun look(picture: Picture, box: Box?, refinements: Int): Pair<Face?, Box?> {
        val model = model
        if (box == null || model == null) return Pair(null, box)
        var looked: Box = box
        var face = counted(model.look(picture, looked))
        repeat(refinements) {
            if (face.notFinite > 0) return Pair(face, looked)
            val around = Box.around(face.landmarks)
            if (around.longerSide < BoxTracker.MIN_SIDE_PIXELS) return Pair(face, looked)
            looked = around
            face = counted(model.look(picture, looked))
        }
        return Pair(face, looked)
    }

    private fun counted(face: Face): Face = face.also {
        pre.add(it.times.preMs)
        invoke.add(it.times.invokeMs)
        post.add(it.times.postMs)
    }

    private fun steady(face: Face, timeMs: Double): FloatArray =
        filter.update(face.landmarks, Box.around(face.landmarks).longerSide, timeMs / 1000, face.sigma?.let(Uncertainty::trust))

    private fun seen(face: Face?, box: Box?, landmarks: FloatArray?): Seen {
        val shown = face?.takeIf { it.notFinite == 0 }
        return Seen(shown, landmarks.takeIf { shown != null }, box, unsureOf(shown), face?.notFinite ?: 0)
    }

    private fun unsureOf(face: Face?): Set<Int> {
        if (face == null || (face.sigma == null && face.visible == null)) return emptySet()
        val side = Box.around(face.landmarks).longerSide
        return (0 until face.landmarks.size / 2).filterTo(mutableSetOf()) {
            Uncertainty.isUnsure(it, face.sigma, face.visible, side)
        }
    }

    companion object {
        /** A camera that reports no face for so long is asked no more whether there is one. */
        const val BLIND_MS = 2000.0
        private const val MEAN_FRAMES = 30 // about a second
        private const val REFINEMENTS = 2
    }
}
