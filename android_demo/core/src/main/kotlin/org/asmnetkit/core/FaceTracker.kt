package org.asmnetkit.core

import kotlin.math.exp
import kotlin.math.hypot
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
 * be in the next frame. The detector looks while nobody is followed, once a second or every [detectEvery]
 * frames, after a pause, while a face has not been confirmed, and in the very frame in which a face's
 * confidence falls or two end on one. A face that it misses for [PATIENCE_SECONDS] is given up; meanwhile it is
 * told only while its confidence speaks for it, or, without one, for [STALE_SECONDS]. Frames must come in order.
 */
class FaceTracker(private val finder: FaceFinder, private val detectEvery: Int? = null) {
    private var tracks = emptyList<Track>()
    private var seen = 0
    private var sinceLook = 0 // frames
    private var lastLook = Double.NEGATIVE_INFINITY // seconds
    private var lastFrame = Double.NEGATIVE_INFINITY

    /** How often the detector looked. */
    var detections = 0
        private set

    /** Forget the film. */
    fun reset() {
        tracks = emptyList()
        lastFrame = Double.NEGATIVE_INFINITY
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
        tracks.forEach { it.begin() }
        val looked = mustLook(seconds)
        if (looked) match(finder.find(picture), seconds)
        predict(look, seconds)
        val unsure = unsure()
        if (unsure.isNotEmpty() && !looked) match(finder.find(picture), seconds)
        unsure.forEach { it.restartWhereSeen() }
        predict(look, seconds) // those that begin, return or are tried in another box
        val told = believed(seconds).associateWith { it.take(seconds) }
        tracks = tracks.filter { it.lost || it.isInside(picture) }
        sinceLook++
        lastFrame = seconds
        return tracks.mapNotNull { told[it] }
    }

    private fun mustLook(seconds: Double): Boolean = when {
        seconds - lastFrame > STALE_SECONDS -> true
        tracks.isEmpty() || tracks.any { it.isDoubted } -> true
        detectEvery != null -> sinceLook >= detectEvery
        seconds <= lastLook && sinceLook >= FROZEN_FRAMES -> true
        else -> seconds - lastLook >= LOOK_SECONDS
    }

    private class Pairing(val track: Track, val detection: Detection, val distance: Double)

    /** Confirm tracks by detections, give up those without for too long, begin new ones. */
    private fun match(found: List<Detection>, seconds: Double) {
        detections++
        sinceLook = 0
        lastLook = seconds
        val left = found.toMutableList()
        val pairs = tracks.flatMap { track -> found.map { Pairing(track, it, track.distance(it, seconds)) } }
            .filter { it.distance < Double.POSITIVE_INFINITY }
        // Nearest first; where a lost face was going, one that is followed may pass.
        for (pair in pairs.sortedWith(compareBy({ it.track.lost }, { it.distance }))) {
            if (pair.track.seen == null && left.remove(pair.detection)) pair.track.confirm(pair.detection, seconds)
        }
        tracks.forEach { it.miss(seconds) }
        val kept = tracks.filter { it.doubtedFor(seconds) <= PATIENCE_SECONDS }.toMutableList()
        for (detection in left) {
            // Of a face that is followed already the detector may give two boxes.
            if (kept.all { detection.box.overlap(it.box) < Box.MIN_OVERLAP }) kept += Track(++seen, detection)
        }
        tracks = kept
    }

    /** Of the tracks that may be told and have not been predicted in their box yet. */
    private fun predict(look: (Box) -> Face, seconds: Double) {
        for (track in tracks) if (!track.lost && track.face == null) track.judge(look(track.box), seconds)
    }

    /** The tracks whose confidence fell, and those that ended on one face. */
    private fun unsure(): List<Track> {
        val shown = tracks.filter { !it.lost }
        return shown.filter { one -> one.isUnsure || shown.any { it !== one && onOneFace(one, it) } }
    }

    /** The tracks to tell; the others are lost, or, where they have just begun, forgotten. */
    private fun believed(seconds: Double): List<Track> {
        val kept = mutableListOf<Track>()
        for (track in tracks.filter { !it.lost }.sortedWith(compareBy({ it.seen == null }, { it.misfit(seconds) }))) {
            if (track.collapsed(seconds) || kept.any { onOneFace(track, it) }) track.lose(seconds) else kept += track
        }
        tracks = tracks.filter { !(it.lost && it.isNew) }
        return kept
    }

    private fun onOneFace(first: Track, second: Track): Boolean = first.around.overlap(second.around) >= ONE_FACE_OVERLAP

    /** One face: where to look for it next, and what it was like so far. */
    private class Track(private val number: Int, detection: Detection) {
        var box = detection.box
            private set
        var around = box // its landmarks in this frame
            private set
        var seen: Detection? = detection // by the detector in this frame
            private set
        var face: Face? = null // of this frame
            private set
        var lost = false // remembered, not told
            private set
        private var fallen = false // its confidence fell
        private var seenBefore = false
        private var score = detection.score
        private var known: Pair<Box, Double>? = null // its last sure box, and when
        private var speedX = 0.0 // pixels a second
        private var speedY = 0.0
        private var doubtedSince: Double? = null // the detector looked and did not see it
        private val odds = ArrayDeque<Pair<Double, Double>>() // with their times, seconds
        private val landmarks = OneEuroFilter()
        private val angles = OneEuroFilter()
        private var smoothedBox: Box? = null
        private var lastAngles: FloatArray? = null

        /** Another frame. */
        fun begin() {
            seenBefore = seen != null
            seen = null
            face = null
            around = box
            fallen = false
        }

        /** Whether it has never been told. */
        val isNew: Boolean get() = known == null

        /** Whether the detector missed it when it looked last. */
        val isDoubted: Boolean get() = doubtedSince != null

        /**
         * Whether the detector should look for it: a face that it just saw may be a little worse in the next
         * frame, too.
         */
        val isUnsure: Boolean get() = fallen && (isWeak || !seenBefore)

        private val isWeak: Boolean get() = face?.confidence?.let { it < LEAST_CONFIDENCE } ?: false

        /** Whether the detector missed it, and its confidence does not speak for it either. */
        fun collapsed(seconds: Double): Boolean = when {
            seen != null || !isDoubted -> false
            // Detectors miss a turned face for some frames.
            face?.confidence == null -> isStale(seconds) || doubtedFor(seconds) > STALE_SECONDS
            else -> isWeak && (fallen || isStale(seconds))
        }

        /** How long before [seconds] the detector missed it first; 0 where it saw it last. */
        fun doubtedFor(seconds: Double): Double = doubtedSince?.takeIf { seen == null }?.let { seconds - it } ?: 0.0

        /** The detector looked; it may not have seen it. */
        fun miss(seconds: Double) {
            if (seen == null && doubtedSince == null) doubtedSince = seconds
        }

        /** It is not where it was followed to, or there is another. */
        fun lose(seconds: Double) {
            lost = true
            known?.let { box = it.first }
            if (doubtedSince == null) doubtedSince = seconds
        }

        /** From where it was or was going, in face sizes; infinite where it is another face. */
        fun distance(detection: Detection, seconds: Double): Double {
            val places = listOf(box, expected(seconds))
            val distance = places.minOf { between(detection.box, it) } / max(box.longerSide, 1.0)
            val sides = listOf(box.longerSide, detection.box.longerSide)
            val near = places.maxOf { detection.box.overlap(it) } >= Box.MIN_OVERLAP ||
                ((fallen || isStale(seconds)) && distance <= REACH && sides.max() <= SIZE_RATIO * sides.min())
            return if (near) distance else Double.POSITIVE_INFINITY
        }

        /** The detector saw it; where it was lost, the detector's box is the better one. */
        fun confirm(detection: Detection, seconds: Double) {
            seen = detection
            score = detection.score
            if (lost || isStale(seconds)) restart(detection.box)
            lost = false
        }

        /** Try again in the detector's box what went wrong in its own. */
        fun restartWhereSeen() {
            val there = seen?.box ?: return
            if (face != null && (fallen || there.overlap(around) < ONE_FACE_OVERLAP)) restart(there)
        }

        /** This frame's face in its box. */
        fun judge(face: Face, seconds: Double) {
            this.face = face
            if (face.notFinite > 0) return
            around = Box.around(face.landmarks)
            fallen = fell(face.confidence, seconds)
        }

        /** How far its landmarks are from where it was going, in face sizes. */
        fun misfit(seconds: Double): Double =
            if (isNew) Double.POSITIVE_INFINITY else between(around, expected(seconds)) / max(box.longerSide, 1.0)

        /** Learn from this frame's face, and smooth it; null where it is none. */
        fun take(seconds: Double): TrackedFace? {
            val face = face ?: return null
            val looked = box
            if (seen != null) doubtedSince = null
            if (face.notFinite > 0) {
                landmarks.reset()
                angles.reset()
                return null
            }
            box = around
            if (!isWeak || isNew || isStale(seconds)) know(seconds)
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

        /** Learn where it is and how fast; half hidden by another face it would seem to turn. */
        private fun know(seconds: Double) {
            known?.let { (last, then) ->
                val elapsed = seconds - then
                if (elapsed > 0) {
                    val share = 1 - exp(-elapsed / SPEED_SECONDS)
                    speedX += share * ((around.centreX - last.centreX) / elapsed - speedX)
                    speedY += share * ((around.centreY - last.centreY) / elapsed - speedY)
                }
            }
            known = Pair(around, seconds)
        }

        private fun restart(box: Box) {
            this.box = box
            face = null
            odds.clear()
        }

        /** Its last sure box, moved on by its speed. */
        private fun expected(seconds: Double): Box {
            val (last, then) = known ?: return box
            val x = speedX * (seconds - then)
            val y = speedY * (seconds - then)
            return Box(last.x0 + x, last.y0 + y, last.x1 + x, last.y1 + y)
        }

        private fun isStale(seconds: Double): Boolean = known?.let { seconds - it.second > STALE_SECONDS } ?: false

        private fun between(first: Box, second: Box): Double = hypot(first.centreX - second.centreX, first.centreY - second.centreY)

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
            // The newest stays, however old: without any, no fall would be seen.
            while (odds.size > 1 && odds.first().first < seconds - MEMORY_SECONDS) odds.removeFirst()
            val usual = if (odds.isEmpty()) now else median(odds.map { it.second })
            odds.addLast(Pair(seconds, now))
            return now < FALLEN_ODDS * usual
        }
    }

    companion object {
        private const val LOOK_SECONDS = 1.0 // between two looks for new faces
        private const val FROZEN_FRAMES = 30 // between them while the time stamps stand still
        private const val STALE_SECONDS = 0.25 // after which a box is too old to cut a face out by it unseen

        /** Detectors miss a turned face for some frames. */
        const val PATIENCE_SECONDS = 1.0
        private const val ONE_FACE_OVERLAP = 0.6
        private const val FALLEN_ODDS = 0.5 // of the median over the last second
        private const val LEAST_CONFIDENCE = 0.5 // below, a face that fell and that the detector misses is not told
        private const val MEMORY_SECONDS = 1.0
        private const val REACH = 1.0 // face sizes: so far off a face is the same after a pause or a jump
        private const val SIZE_RATIO = 1.5 // at most, of the same face after a pause or a jump
        private const val SPEED_SECONDS = 0.5 // time constant of a face's mean speed
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
