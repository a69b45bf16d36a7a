package org.asmnetkit.core

import kotlin.math.hypot
import kotlin.math.max
import kotlin.math.sqrt

/** Points of a face that belong together; [joined] by a line, whose last point joins its first if [closed]. */
class FacePart(val name: String, val points: List<Int>, val closed: Boolean, val joined: Boolean = true) {
    constructor(name: String, points: IntRange, closed: Boolean) : this(name, points.toList(), closed, points.count() > 1)
}

/**
 * A numbering of landmarks, 0-based: 68 (300-W), 98 (WFLW), or what a model file describes.
 *
 * @property normaliser the two points whose distance errors are divided by; null for the landmarks' box.
 */
class Scheme(val name: String, val points: Int, val normaliser: Pair<Int, Int>?, val parts: List<FacePart>) {
    /** What errors of a face are divided by: [landmarks] are x, y interleaved; the unit is theirs. */
    fun sizeOf(landmarks: FloatArray): Double {
        if (normaliser != null) {
            val (first, second) = normaliser
            return hypot(
                (landmarks[2 * first] - landmarks[2 * second]).toDouble(),
                (landmarks[2 * first + 1] - landmarks[2 * second + 1]).toDouble(),
            )
        }
        val box = Box.around(landmarks)
        return sqrt(max(0.0, box.x1 - box.x0) * max(0.0, box.y1 - box.y0))
    }

    companion object {
        val OF_68 = Scheme(
            "68",
            68,
            36 to 45,
            listOf(
                FacePart("jaw", 0..16, false),
                FacePart("left_brow", 17..21, false),
                FacePart("right_brow", 22..26, false),
                FacePart("nose_bridge", 27..30, false),
                FacePart("nostrils", 31..35, false),
                FacePart("left_eye", 36..41, true),
                FacePart("right_eye", 42..47, true),
                FacePart("outer_lip", 48..59, true),
                FacePart("inner_lip", 60..67, true),
            ),
        )
        val OF_98 = Scheme(
            "98",
            98,
            60 to 72,
            listOf(
                FacePart("jaw", 0..32, false),
                FacePart("left_brow", 33..41, true),
                FacePart("right_brow", 42..50, true),
                FacePart("nose_bridge", 51..54, false),
                FacePart("nostrils", 55..59, false),
                FacePart("left_eye", 60..67, true),
                FacePart("right_eye", 68..75, true),
                FacePart("outer_lip", 76..87, true),
                FacePart("inner_lip", 88..95, true),
                FacePart("left_pupil", 96..96, false),
                FacePart("right_pupil", 97..97, false),
            ),
        )

        /** The scheme with so many points that a model file need not describe, or null. */
        fun of(points: Int): Scheme? = listOf(OF_68, OF_98).find { it.points == points }

        /**
         * What a model file's metadata says of its [points] landmarks.
         *
         * @throws ModelException a key is missing, or a point is none of theirs.
         */
        fun of(json: Map<*, *>, points: Int): Scheme {
            fun fail(what: String): Nothing = throw ModelException("expected metadata scheme with $what")
            fun point(value: Any?): Int =
                (value as? Long)?.takeIf { it in 0 until points }?.toInt() ?: fail("points 0 to ${points - 1}, got $value")
            if (json["points"] != points.toLong()) fail("$points points, got ${json["points"]}")
            val normaliser = when (val value = json["normaliser"]) {
                "box" -> null
                is List<*> -> value.map(::point).takeIf { it.size == 2 }?.let { it[0] to it[1] }
                    ?: fail("a normaliser of two points, got $value")
                else -> fail("a normaliser, got $value")
            }
            val parts = (json["parts"] as? Map<*, *> ?: fail("parts, got ${json["parts"]}")).map { (name, part) ->
                val found = (part as? Map<*, *>)?.get("points") as? List<*> ?: fail("points of the part $name")
                FacePart(name.toString(), found.map(::point), part["draw"] == "ring", part["draw"] != "dots")
            }.sortedBy { it.points.minOrNull() }
            return Scheme(json["name"] as? String ?: fail("a name, got ${json["name"]}"), points, normaliser, parts)
        }
    }
}
