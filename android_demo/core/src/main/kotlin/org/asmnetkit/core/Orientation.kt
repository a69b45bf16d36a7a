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
 * small as covers it.
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
        .let { (across, down) -> if (fills) max(across, down) else min(across, down) }
    val left: Double = (viewWidth - pictureWidth * scale) / 2
    val top: Double = (viewHeight - pictureHeight * scale) / 2

    fun viewX(x: Double): Double = left + scale * (if (mirrored) pictureWidth - 0.5 - x else x + 0.5)

    fun viewY(y: Double): Double = top + scale * (y + 0.5)

    fun pictureX(viewX: Double): Double {
        val x = (viewX - left) / scale
        return if (mirrored) pictureWidth - 0.5 - x else x - 0.5
    }

    fun pictureY(viewY: Double): Double = (viewY - top) / scale - 0.5
}
