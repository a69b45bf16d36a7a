package org.asmnetkit.core

import kotlin.math.cos
import kotlin.math.sin

/**
 * Where a head looks, in degrees. Signs as seen in the picture: [yaw] > 0 turns the nose towards its
 * right, [pitch] > 0 up, [roll] > 0 turns the face clockwise.
 */
data class Pose(val yaw: Float, val pitch: Float, val roll: Float) {
    /** R = Rz(roll) Ry(yaw) Rx(pitch), row by row; camera frame x right, y down, z away. */
    fun rotation(): Array<DoubleArray> {
        val (sinYaw, cosYaw) = sinCos(yaw)
        val (sinPitch, cosPitch) = sinCos(pitch)
        val (sinRoll, cosRoll) = sinCos(roll)
        val aboutX = arrayOf(
            doubleArrayOf(1.0, 0.0, 0.0),
            doubleArrayOf(0.0, cosPitch, sinPitch),
            doubleArrayOf(0.0, -sinPitch, cosPitch),
        )
        val aboutY = arrayOf(
            doubleArrayOf(cosYaw, 0.0, -sinYaw),
            doubleArrayOf(0.0, 1.0, 0.0),
            doubleArrayOf(sinYaw, 0.0, cosYaw),
        )
        val aboutZ = arrayOf(
            doubleArrayOf(cosRoll, -sinRoll, 0.0),
            doubleArrayOf(sinRoll, cosRoll, 0.0),
            doubleArrayOf(0.0, 0.0, 1.0),
        )
        return aboutZ times (aboutY times aboutX)
    }

    /**
     * The ends (x, y) of three arrows from ([x], [y]): the face's right side of the picture, its chin,
     * and where its nose points.
     */
    fun axes(x: Double, y: Double, length: Double): Array<DoubleArray> {
        val turned = rotation()
        return Array(3) { axis ->
            val forwards = if (axis == 2) -1 else 1
            doubleArrayOf(x + length * forwards * turned[0][axis], y + length * forwards * turned[1][axis])
        }
    }

    companion object {
        /** Models predict degrees / 90, in the order yaw, pitch, roll. */
        const val UNIT_DEGREES = 90f

        fun ofOutput(values: FloatArray): Pose {
            require(values.size == 3) { "expected 3 pose values, got ${values.size}" }
            return Pose(UNIT_DEGREES * values[0], UNIT_DEGREES * values[1], UNIT_DEGREES * values[2])
        }
    }
}

private fun sinCos(degrees: Float): Pair<Double, Double> {
    val radians = Math.toRadians(degrees.toDouble())
    return Pair(sin(radians), cos(radians))
}

private infix fun Array<DoubleArray>.times(other: Array<DoubleArray>): Array<DoubleArray> =
    Array(3) { row -> DoubleArray(3) { column -> (0..2).sumOf { this[row][it] * other[it][column] } } }
