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
 * @param mirrorPairs points that swap in a mirrored picture; the others are their own mirror.
 * @param chosen where the points are some of another scheme's.
 */
class Scheme(
    val name: String,
    val points: Int,
    val normaliser: Pair<Int, Int>?,
    val parts: List<FacePart>,
    mirrorPairs: List<Pair<Int, Int>>,
    chosen: Chosen? = null,
) {
    /** Points of another scheme, in their order here; [source] is null where the app does not know it. */
    class Chosen(val source: Scheme?, val points: List<Int>)

    /** The number of each landmark's counterpart in a mirrored picture. */
    val mirror: List<Int> = (0 until points).toMutableList().also { order ->
        for ((left, right) in mirrorPairs) {
            order[left] = right
            order[right] = left
        }
    }

    private val jaw = parts.find { it.name == "jaw" }?.points.orEmpty()

    /** Whether the box around the landmarks is that of a whole face, from cheek to cheek and to the chin. */
    val outlinesFace: Boolean = jaw.size >= MIN_OUTLINE && chosen.all { source, points ->
        val whole = source.jaw
        val kept = jaw.map { points[it] }
        val near = whole.size / 8
        val chin = whole.subList(whole.size / 2 - near, whole.size / 2 + near + 1)
        whole.first() in kept && whole.last() in kept && chin.any { it in kept }
    }

    /** Whether a mirrored face has the same landmarks, so that two answers can be averaged. */
    val hasMirrorImage: Boolean = jaw.isNotEmpty() && mirror[jaw.first()] == jaw.last() && chosen.all { source, points ->
        mirror.indices.all { mirror[it] != it || source.mirror[points[it]] == points[it] }
    }

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
        private const val MIN_OUTLINE = 5 // points of a jaw that follows the face from side to side

        /** True for a scheme of its own, false for points of a scheme that is not known. */
        private inline fun Chosen?.all(holds: (Scheme, List<Int>) -> Boolean): Boolean =
            this == null || source != null && holds(source, points)

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
            listOf(
                0 to 16, 1 to 15, 2 to 14, 3 to 13, 4 to 12, 5 to 11, 6 to 10, 7 to 9, 17 to 26, 18 to 25, 19 to 24,
                20 to 23, 21 to 22, 31 to 35, 32 to 34, 36 to 45, 37 to 44, 38 to 43, 39 to 42, 40 to 47, 41 to 46,
                48 to 54, 49 to 53, 50 to 52, 55 to 59, 56 to 58, 60 to 64, 61 to 63, 65 to 67,
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
            listOf(
                0 to 32, 1 to 31, 2 to 30, 3 to 29, 4 to 28, 5 to 27, 6 to 26, 7 to 25, 8 to 24, 9 to 23, 10 to 22,
                11 to 21, 12 to 20, 13 to 19, 14 to 18, 15 to 17, 33 to 46, 34 to 45, 35 to 44, 36 to 43, 37 to 42,
                38 to 50, 39 to 49, 40 to 48, 41 to 47, 55 to 59, 56 to 58, 60 to 72, 61 to 71, 62 to 70, 63 to 69,
                64 to 68, 65 to 75, 66 to 74, 67 to 73, 76 to 82, 77 to 81, 78 to 80, 83 to 87, 84 to 86, 88 to 92,
                89 to 91, 93 to 95, 96 to 97,
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
            val pairs = (json["mirror"] ?: emptyList<Any?>()).let { value ->
                (value as? List<*>)?.map { pair ->
                    (pair as? List<*>)?.map(::point)?.takeIf { it.size == 2 }?.let { it[0] to it[1] } ?: fail("pairs of points as mirror, got $pair")
                } ?: fail("pairs of points as mirror, got $value")
            }
            val name = json["name"] as? String ?: fail("a name, got ${json["name"]}")
            val chosen = json["from"]?.let { value ->
                val from = value as? Map<*, *> ?: fail("from with a scheme and points, got $value")
                val source = listOf(OF_68, OF_98).find { it.name == from["scheme"] }
                val numbers = (from["points"] as? List<*>)?.takeIf { it.size == points }?.map { (it as? Long)?.toInt() }
                if (numbers == null || numbers.any { it == null || it < 0 || (source != null && it >= source.points) }) {
                    fail("$points points of the scheme ${from["scheme"]}, got ${from["points"]}")
                }
                Chosen(source, numbers.filterNotNull())
            }
            return Scheme(name, points, normaliser, parts, pairs, chosen)
        }
    }
}
