package org.asmnetkit.core

import kotlin.math.max
import kotlin.math.min

/**
 * A face of one frame of a film.
 *
 * @property track the same number for the same face in every frame, from 1.
 * @property box what the model looked at.
 * @property score the detector's when it last saw the face; null for one that somebody pointed at.
 * @property face the model's own answer.
 * @property landmarks of [face], smoothed over time.
 * @property pose of [face], smoothed over time; null for a model without that output.
 */
class TrackedFace(
    val track: Int,
    val box: Box,
    val score: Float?,
    val face: Face,
    val landmarks: FloatArray,
    val pose: Pose?,
)

/**
 * Follows the faces of one film, as asmnet_kit.predict.tracking does: their own landmarks tell where they will
 * be in the next frame. The detector looks while nobody is followed, every [detectEvery] frames, when a face's
 * confidence falls, and while a face has not been confirmed; a face that it misses for [PATIENCE_SECONDS] is
 * given up. Frames must come in order.
 */
class FaceTracker(private val finder: FaceFinder, private val detectEvery: Int = DETECT_EVERY) {
    private var tracks = emptyList<Track>()
    private var seen = 0
    private var sinceDetection = 0
    private var mustLook = true

    /** How often the detector looked. */
    var detections = 0
        private set

    /** Forget the film. */
    fun reset() {
        tracks = emptyList()
        mustLook = true
    }

    /** Follow the face in [box], which somebody pointed at, in place of what was followed there. */
    fun choose(box: Box) {
        tracks = tracks.filter { it.box.overlap(box) < Box.MIN_OVERLAP } + Track(++seen, Detection(box, null))
    }

    /**
     * The faces of the next frame, oldest track first; without those whose outputs are not numbers, which
     * are looked at again in the next.
     *
     * @param look what the model sees in a box of the picture.
     */
    fun update(picture: Picture, seconds: Double, look: (Box) -> Face): List<TrackedFace> {
        if (mustLook || tracks.isEmpty() || sinceDetection >= detectEvery) match(finder.find(picture), seconds)
        sinceDetection++
        val faces = tracks.associateWith { it.take(look(it.box), seconds) }
        tracks = distinct(tracks.filter { it.isInside(picture) })
        mustLook = tracks.any { it.fallen || it.isDoubted }
        return tracks.mapNotNull { faces[it] }
    }

    /** Confirm tracks by detections, give up those without for too long, begin new ones. */
    private fun match(found: List<Detection>, seconds: Double) {
        detections++
        sinceDetection = 0
        val left = found.toMutableList()
        for (track in tracks) {
            val best = left.maxByOrNull { it.box.overlap(track.box) }
            if (best != null && best.box.overlap(track.box) >= Box.MIN_OVERLAP) {
                left.remove(best)
                track.confirm(best)
            } else {
                track.miss(seconds)
            }
        }
        val kept = tracks.filter { it.doubtedFor(seconds) <= PATIENCE_SECONDS }.toMutableList()
        for (detection in left) {
            // Of a face that is followed already the detector may give two boxes.
            if (kept.all { detection.box.overlap(it.box) < Box.MIN_OVERLAP }) kept += Track(++seen, detection)
        }
        tracks = kept
    }

    /** Without those that follow the face of an older track. */
    private fun distinct(tracks: List<Track>): List<Track> = tracks.fold(emptyList()) { kept, track ->
        if (kept.all { track.box.overlap(it.box) < ONE_FACE_OVERLAP }) kept + track else kept
    }

    /** One face: where to look for it next, and what it was like so far. */
    private class Track(private val number: Int, detection: Detection) {
        var box = detection.box
            private set
        var fallen = false // its confidence fell
            private set
        private var score = detection.score
        private var doubtedSince: Double? = null // the detector looked and did not see it
        private val odds = ArrayDeque<Pair<Double, Double>>() // with their times, seconds
        private val landmarks = OneEuroFilter()
        private val angles = OneEuroFilter()
        private var smoothedBox: Box? = null
        private var lastAngles: FloatArray? = null

        /** Whether the detector missed it when it looked last. */
        val isDoubted: Boolean get() = doubtedSince != null

        /** How long before [seconds] the detector missed it first; 0 where it saw it last. */
        fun doubtedFor(seconds: Double): Double = doubtedSince?.let { seconds - it } ?: 0.0

        fun miss(seconds: Double) {
            if (doubtedSince == null) doubtedSince = seconds
        }

        /** The detector saw it; where it was lost, the detector's box is the better one. */
        fun confirm(detection: Detection) {
            if (fallen) {
                box = detection.box
                odds.clear()
            }
            score = detection.score
            doubtedSince = null
        }

        /** Learn from this frame's face, and smooth it; null where it is none. */
        fun take(face: Face, seconds: Double): TrackedFace? {
            val looked = box
            if (face.notFinite > 0) {
                landmarks.reset()
                angles.reset()
                return null
            }
            fallen = fell(face.confidence, seconds)
            box = Box.around(face.landmarks)
            val before = smoothedBox
            if (before != null && box.overlap(before) < Box.MIN_OVERLAP) { // it jumped: to another face, or after having been lost
                landmarks.reset()
                angles.reset()
            }
            smoothedBox = box
            val size = max(box.longerSide, 1.0)
            val smoothed = landmarks.update(face.landmarks, size, seconds, face.sigma?.let(Uncertainty::trust))
            return TrackedFace(number, looked, score, face, smoothed, face.pose?.let { smooth(it, seconds) })
        }

        /** Whether the box is one that a face in this picture can have. */
        fun isInside(picture: Picture): Boolean {
            val largest = MAX_SIDE_SHARE * max(picture.width, picture.height)
            return box.centreX >= 0 && box.centreX < picture.width && box.centreY >= 0 && box.centreY < picture.height &&
                box.longerSide in MIN_SIDE_PIXELS..largest
        }

        /** Angles go the short way round: from 179 to -179 degrees it is 2. */
        private fun smooth(pose: Pose, seconds: Double): Pose {
            val last = lastAngles
            val now = floatArrayOf(pose.yaw, pose.pitch, pose.roll)
            val near = if (last == null) now else FloatArray(now.size) { last[it] + wrapped(now[it] - last[it]) }
            val smoothed = angles.update(near, Pose.UNIT_DEGREES.toDouble(), seconds)
            lastAngles = smoothed
            return Pose(wrapped(smoothed[0]), wrapped(smoothed[1]), wrapped(smoothed[2]))
        }

        private fun fell(confidence: Double?, seconds: Double): Boolean {
            if (confidence == null) return false
            val now = min(confidence / max(1 - confidence, 1 / MAX_ODDS), MAX_ODDS)
            while (odds.isNotEmpty() && odds.first().first < seconds - MEMORY_SECONDS) odds.removeFirst()
            val usual = if (odds.isEmpty()) now else median(odds.map { it.second })
            odds.addLast(Pair(seconds, now))
            return now < FALLEN_ODDS * usual
        }
    }

    companion object {
        /** Frames: once a second of most films. */
        const val DETECT_EVERY = 30

        /** Detectors miss a turned face for some frames. */
        const val PATIENCE_SECONDS = 1.0
        private const val ONE_FACE_OVERLAP = 0.6
        private const val FALLEN_ODDS = 0.5 // of the median over the last second
        private const val MEMORY_SECONDS = 1.0
        private const val MAX_ODDS = 1e6

        /** A smaller face has fewer pixels than the landmarks have coordinates. */
        const val MIN_SIDE_PIXELS = 16.0
        private const val MAX_SIDE_SHARE = 1.5 // of the frame's longer side: a larger box has run away
    }
}

/** The same angle in [-180, 180) degrees. */
internal fun wrapped(degrees: Float): Float = ((degrees + 180f) % 360f + 360f) % 360f - 180f

internal fun median(values: List<Double>): Double {
    val sorted = values.sorted()
    val middle = sorted.size / 2
    return if (sorted.size % 2 == 1) sorted[middle] else (sorted[middle - 1] + sorted[middle]) / 2
}
