package org.asmnetkit.core

import kotlin.math.max
import kotlin.math.min

/**
 * How far a camera's frame must be turned clockwise to stand upright on the screen.
 *
 * @param sensorDegrees SENSOR_ORIENTATION of the camera.
 * @param displayDegrees the display's rotation, Surface.ROTATION_* x 90.
 * @param front whether the camera looks at the user: seen from there the screen turns the other way.
 */
fun uprightTurn(sensorDegrees: Int, displayDegrees: Int, front: Boolean): Int {
    requireQuarterTurn(displayDegrees)
    return (sensorDegrees + (if (front) displayDegrees else 360 - displayDegrees)) % 360
}

/**
 * A picture shown in the middle of a view, mirrored or not: as large as it fits, or where it [fills] the view, as
 * small as covers it. A picture of which less than half would be seen then is shown whole.
 *
 * A view's coordinates are pixel corners (its first pixel's centre is at 0.5), a picture's are centres.
 */
data class Placement(
    val pictureWidth: Int,
    val pictureHeight: Int,
    val viewWidth: Int,
    val viewHeight: Int,
    val mirrored: Boolean,
    val fills: Boolean = false,
) {
    /** View pixels per picture pixel. */
    val scale: Double = (viewWidth.toDouble() / pictureWidth to viewHeight.toDouble() / pictureHeight)
        .let { (across, down) -> Pair(min(across, down), max(across, down)) }
        .let { (fitting, covering) -> if (fills && fitting >= LEAST_SEEN * covering) covering else fitting }
    val left: Double = (viewWidth - pictureWidth * scale) / 2
    val top: Double = (viewHeight - pictureHeight * scale) / 2

    fun viewX(x: Double): Double = left + scale * (if (mirrored) pictureWidth - 0.5 - x else x + 0.5)

    fun viewY(y: Double): Double = top + scale * (y + 0.5)

    fun pictureX(viewX: Double): Double {
        val x = (viewX - left) / scale
        return if (mirrored) pictureWidth - 0.5 - x else x - 0.5
    }

    fun pictureY(viewY: Double): Double = (viewY - top) / scale - 0.5

    /** Whether the picture has this point, in its own pixels. */
    fun isInPicture(x: Double, y: Double): Boolean =
        x >= -0.5 && x < pictureWidth - 0.5 && y >= -0.5 && y < pictureHeight - 0.5

    private companion object {
        const val LEAST_SEEN = 0.5 // share of a picture that fills its view
    }
}
