package org.asmnetkit.core

/** Points that are joined when a face is drawn; a [closed] part's last point joins its first. */
class FacePart(val name: String, val points: IntRange, val closed: Boolean)

/** A numbering of landmarks, 68 (300-W) or 98 (WFLW), 0-based. */
class Scheme(val points: Int, val outerEyeCorners: Pair<Int, Int>, val parts: List<FacePart>) {
    companion object {
        val OF_68 = Scheme(
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

        /** The scheme with so many points, or null. */
        fun of(points: Int): Scheme? = listOf(OF_68, OF_98).find { it.points == points }
    }
}
