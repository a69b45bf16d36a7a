package org.asmnetkit.core

/**
 * A picture of a film, upright.
 *
 * @property timeMs when it was taken, by any clock that only goes forward: what is smoothed goes by it.
 * @property cameMs when it came here, by the phone's clock: frames per second are counted by it.
 */
class Frame(val picture: Picture, val timeMs: Double, val cameMs: Double = timeMs)

/**
 * A face that was seen in a picture.
 *
 * @property landmarks smoothed over time in a film: what is drawn.
 * @property pose likewise; null for a model without that output.
 * @property box the detector's in a photo; else where the model looked.
 * @property unsure points that the model itself does not trust; all of a face that it does not believe.
 * @property confidence probability that the face's error is small ([Face.confidence]); null where the file does
 *   not tell it.
 */
class SeenFace(
    val landmarks: FloatArray,
    val pose: Pose?,
    val box: Box,
    val unsure: Set<Int>,
    val confidence: Double? = null,
)

/**
 * What was seen in a picture.
 *
 * @property faces in a film oldest first, in a photo largest first; without those that are not numbers.
 * @property notFinite how many output values were NaN or infinite.
 */
class Seen(val faces: List<SeenFace>, val notFinite: Int)

/** Means over the last second or so; milliseconds. */
data class Speed(val preMs: Double, val invokeMs: Double, val postMs: Double, val drawMs: Double, val framesPerSecond: Double) {
    /** Of the model and what it needs; drawing is the app's own. */
    val totalMs get() = preMs + invokeMs + postMs
}

/**
 * From pictures to faces: where to look, what the model sees there, and how fast that goes.
 *
 * Plain arithmetic on one thread. It owns neither camera nor model: pictures are handed in, the model
 * is set from outside and may be taken away at any time.
 *
 * @param finder tells where faces are; [FaceTracker] says when it is asked.
 */
class FramePipeline(private val finder: FaceFinder) {
    private val tracker = FaceTracker(finder)
    private val pre = RunningMean(MEAN_FRAMES)
    private val invoke = RunningMean(MEAN_FRAMES)
    private val post = RunningMean(MEAN_FRAMES)
    private val draw = RunningMean(MEAN_FRAMES)
    private val between = RunningMean(MEAN_FRAMES)
    private var lastFrameMs: Double? = null
    private var chosen: Box? = null

    /** What looks at faces; null where none is loaded. Its times are counted anew when it changes. */
    var model: FaceModel? = null
        set(value) {
            field = value
            listOf(pre, invoke, post).forEach(RunningMean::clear)
        }

    /** Forget the film: another one begins. */
    fun restart() {
        tracker.reset()
        lastFrameMs = null
        chosen = null
        listOf(pre, invoke, post, draw, between).forEach(RunningMean::clear)
    }

    /** The next picture of a film. @throws ModelException the model failed to run. */
    fun next(frame: Frame): Seen {
        lastFrameMs?.let { between.add(frame.cameMs - it) }
        lastFrameMs = frame.cameMs
        val model = model ?: return NOTHING
        chosen?.let { tracker.choose(refined(model, frame.picture, it)) }
        chosen = null
        var notFinite = 0
        val faces = tracker.update(frame.picture, frame.timeMs / 1000) { box ->
            look(model, frame.picture, box).also { notFinite += it.notFinite }
        }
        return Seen(faces.map { SeenFace(it.landmarks, it.pose, it.box, unsureOf(it.face), it.face.confidence) }, notFinite)
    }

    /** A single picture. @param chosen where to look; where faces are found by default. */
    fun photo(picture: Picture, chosen: Box? = null): Seen {
        val model = model ?: return NOTHING
        val looked = if (chosen != null) {
            val box = refined(model, picture, chosen)
            listOf(Pair(box, look(model, picture, box)))
        } else {
            finder.find(picture).map { Pair(it.box, counted(model.lookAgain(picture, it.box))) }
        }
        val faces = looked.filter { (_, face) -> face.notFinite == 0 }
            .map { (box, face) -> SeenFace(face.landmarks, face.pose, box, unsureOf(face), face.confidence) }
        return Seen(faces, looked.sumOf { (_, face) -> face.notFinite })
    }

    /** Look at [box], which somebody pointed at, in the next picture. */
    fun choose(box: Box) {
        chosen = box
    }

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
     * What a rough box leads to: a touch is no landmark box, which is what the model learned, so it looks
     * twice, each time in the box of its own landmarks.
     */
    private fun refined(model: FaceModel, picture: Picture, rough: Box): Box {
        var box = rough
        repeat(REFINEMENTS) {
            val face = look(model, picture, box)
            if (face.notFinite > 0) return box
            val around = Box.around(face.landmarks)
            if (around.longerSide < FaceTracker.MIN_SIDE_PIXELS) return box
            box = around
        }
        return box
    }

    private fun look(model: FaceModel, picture: Picture, box: Box): Face = counted(model.look(picture, box))

    private fun counted(face: Face): Face = face.also {
        pre.add(it.times.preMs)
        invoke.add(it.times.invokeMs)
        post.add(it.times.postMs)
    }

    private fun unsureOf(face: Face): Set<Int> {
        val all = 0 until face.landmarks.size / 2
        val confidence = face.confidence
        if (confidence != null && confidence < BELIEVED) return all.toSet()
        if (face.sigma == null && face.visible == null) return emptySet()
        val side = Box.around(face.landmarks).longerSide
        return all.filterTo(mutableSetOf()) { Uncertainty.isUnsure(it, face.sigma, face.visible, side) }
    }

    private companion object {
        const val MEAN_FRAMES = 30 // about a second
        const val REFINEMENTS = 2
        const val BELIEVED = 0.5 // a face that is rather wrong than right is drawn as unsure
        val NOTHING = Seen(emptyList(), notFinite = 0)
    }
}
