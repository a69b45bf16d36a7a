package org.asmnetkit.core

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

/** A point of a [width] x [height] picture after that picture was turned clockwise. */
fun turnedPoint(x: Double, y: Double, width: Int, height: Int, clockwiseDegrees: Int): Pair<Double, Double> {
    requireQuarterTurn(clockwiseDegrees)
    return when (clockwiseDegrees) {
        90 -> Pair(height - 1 - y, x)
        180 -> Pair(width - 1 - x, height - 1 - y)
        270 -> Pair(y, width - 1 - x)
        else -> Pair(x, y)
    }
}

/** A box of a [width] x [height] picture after that picture was turned clockwise. */
fun Box.turned(width: Int, height: Int, clockwiseDegrees: Int): Box {
    val (ax, ay) = turnedPoint(x0, y0, width, height, clockwiseDegrees)
    val (bx, by) = turnedPoint(x1, y1, width, height, clockwiseDegrees)
    return Box(minOf(ax, bx), minOf(ay, by), maxOf(ax, bx), maxOf(ay, by))
}

/**
 * Where a rectangle of the sensor's active array lies in an output stream of [width] x [height].
 *
 * A stream of another aspect ratio is the largest centred part of the array (CameraCharacteristics,
 * SCALER_CROP_REGION without zoom). The array's coordinates are pixel *corners*.
 */
fun activeArrayToStream(rect: Box, arrayWidth: Int, arrayHeight: Int, width: Int, height: Int): Box {
    val scale = min(arrayWidth.toDouble() / width, arrayHeight.toDouble() / height)
    val left = (arrayWidth - width * scale) / 2
    val top = (arrayHeight - height * scale) / 2
    return Box(
        (rect.x0 - left) / scale - 0.5,
        (rect.y0 - top) / scale - 0.5,
        (rect.x1 - left) / scale - 0.5,
        (rect.y1 - top) / scale - 0.5,
    )
}

/**
 * A picture shown as large as it fits in the middle of a view, mirrored or not.
 *
 * A view's coordinates are pixel corners (its first pixel's centre is at 0.5), a picture's are centres.
 */
data class Placement(
    val pictureWidth: Int,
    val pictureHeight: Int,
    val viewWidth: Int,
    val viewHeight: Int,
    val mirrored: Boolean,
) {
    /** View pixels per picture pixel. */
    val scale: Double = min(viewWidth.toDouble() / pictureWidth, viewHeight.toDouble() / pictureHeight)
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
