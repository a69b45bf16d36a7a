package org.asmnetkit.demo

import android.annotation.SuppressLint
import android.content.Context
import android.graphics.Canvas
import android.graphics.Color
import android.graphics.Matrix
import android.graphics.Paint
import android.graphics.Path
import android.util.AttributeSet
import android.view.MotionEvent
import android.view.View
import kotlin.math.roundToInt
import org.asmnetkit.core.Box
import org.asmnetkit.core.Placement
import org.asmnetkit.core.Pose
import org.asmnetkit.core.Scheme

/**
 * Shows a [Scene]: the very frame the model saw, with landmarks and head axes over it.
 *
 * The frame is drawn by the app itself instead of a camera preview surface, so the landmarks always
 * lie on the picture they belong to, turned and mirrored by the one [Placement].
 */
class FaceView(context: Context, attributes: AttributeSet? = null) : View(context, attributes) {
    /** Called with a point of the picture, in its pixels, that was touched. */
    var onTouched: ((x: Double, y: Double) -> Unit)? = null

    /** Called when the scene set last is on the screen, once. */
    var onDrawn: (() -> Unit)? = null
    private var told = true

    var scene: Scene? = null
        set(value) {
            field = value
            told = false
            describe(value)
            invalidate()
        }

    // Not called density: inside drawing functions that would be the canvas's own, in dots per inch.
    private val pixelsPerDp = resources.displayMetrics.density
    private val toView = Matrix()
    private val picturePaint = Paint(Paint.FILTER_BITMAP_FLAG)

    // The colours of the page of `asmnet-kit share`; unsure points are hollow as well, for who tells no amber.
    private val linePaint = stroke(Color.rgb(76, 194, 241), 1.5f)
    private val pointPaint = Paint(Paint.ANTI_ALIAS_FLAG).apply { color = Color.rgb(230, 247, 255) }
    private val unsurePaint = stroke(Color.rgb(255, 178, 36), 1.5f)
    private val boxPaint = stroke(Color.argb(160, 255, 255, 255), 1f)
    private val axisPaints = listOf(Color.rgb(229, 72, 77), Color.rgb(48, 164, 108), Color.rgb(59, 130, 246)).map { stroke(it, 3f) }

    override fun onDraw(canvas: Canvas) {
        val scene = scene ?: return
        if (!told) {
            told = true
            onDrawn?.invoke()
        }
        val placement = placementOf(scene)
        toView.setScale(if (scene.mirrored) -placement.scale.toFloat() else placement.scale.toFloat(), placement.scale.toFloat())
        // A bitmap's matrix moves pixel corners: the mirrored picture's left edge is its right one.
        val left = placement.left + if (scene.mirrored) placement.scale * placement.pictureWidth else 0.0
        toView.postTranslate(left.toFloat(), placement.top.toFloat())
        canvas.drawBitmap(scene.bitmap, toView, picturePaint)
        for (face in scene.faces) {
            canvas.drawBox(face.box, placement)
            scene.scheme?.let { canvas.drawFace(face.landmarks, it, placement, face.unsure) }
            face.pose?.let { canvas.drawAxes(it, face.landmarks, placement) }
        }
    }

    private fun Canvas.drawBox(box: Box, placement: Placement) {
        val x0 = placement.viewX(box.x0).toFloat()
        val x1 = placement.viewX(box.x1).toFloat()
        drawRect(minOf(x0, x1), placement.viewY(box.y0).toFloat(), maxOf(x0, x1), placement.viewY(box.y1).toFloat(), boxPaint)
    }

    private fun Canvas.drawFace(landmarks: FloatArray, scheme: Scheme, placement: Placement, unsure: Set<Int>) {
        fun x(point: Int) = placement.viewX(landmarks[2 * point].toDouble()).toFloat()
        fun y(point: Int) = placement.viewY(landmarks[2 * point + 1].toDouble()).toFloat()
        for (part in scheme.parts.filter { it.joined }) {
            val path = Path()
            part.points.forEachIndexed { i, point -> if (i == 0) path.moveTo(x(point), y(point)) else path.lineTo(x(point), y(point)) }
            if (part.closed) path.close()
            drawPath(path, linePaint)
        }
        for (point in 0 until scheme.points) {
            if (point in unsure) {
                drawCircle(x(point), y(point), 2.5f * pixelsPerDp, unsurePaint)
            } else {
                drawCircle(x(point), y(point), 1.5f * pixelsPerDp, pointPaint)
            }
        }
    }

    /** Red: the face's right side of the picture; green: its chin; blue: where the nose points. */
    private fun Canvas.drawAxes(pose: Pose, landmarks: FloatArray, placement: Placement) {
        val face = Box.around(landmarks)
        for ((end, paint) in pose.axes(face.centreX, face.centreY, face.longerSide / 2).zip(axisPaints)) {
            drawLine(
                placement.viewX(face.centreX).toFloat(),
                placement.viewY(face.centreY).toFloat(),
                placement.viewX(end[0]).toFloat(),
                placement.viewY(end[1]).toFloat(),
                paint,
            )
        }
    }

    @SuppressLint("ClickableViewAccessibility") // performClick is called for the touch it handles
    override fun onTouchEvent(event: MotionEvent): Boolean {
        if (event.action == MotionEvent.ACTION_UP) {
            performClick() // whoever listens for that may be blind, and needs no picture
            scene?.let {
                val placement = placementOf(it)
                val x = placement.pictureX(event.x.toDouble())
                val y = placement.pictureY(event.y.toDouble())
                if (placement.isInPicture(x, y)) onTouched?.invoke(x, y) // beside a photo there is nothing to see
            }
        }
        return true
    }

    private fun placementOf(scene: Scene) = Placement(scene.bitmap.width, scene.bitmap.height, width, height, scene.mirrored, scene.fills)

    /** What a screen reader says. Set on change only, so that it does not chatter. */
    private fun describe(scene: Scene?) {
        val face = scene?.faces?.firstOrNull()
        val points = (face?.landmarks?.size ?: 0) / 2
        val pose = face?.pose?.takeIf { it.yaw.isFinite() && it.pitch.isFinite() && it.roll.isFinite() }
        val text = when {
            points == 0 -> context.getString(R.string.picture_no_face)
            pose == null -> context.getString(R.string.picture_face, points)
            else -> {
                val (yaw, pitch, roll) = listOf(pose.yaw, pose.pitch, pose.roll).map { (it / SPOKEN_STEP).roundToInt() * SPOKEN_STEP }
                context.getString(R.string.picture_face_pose, points, yaw, pitch, roll)
            }
        }
        if (text != contentDescription?.toString()) contentDescription = text
    }

    private fun stroke(colour: Int, widthDp: Float) = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        color = colour
        style = Paint.Style.STROKE
        strokeWidth = widthDp * pixelsPerDp
        strokeCap = Paint.Cap.ROUND
        strokeJoin = Paint.Join.ROUND
    }

    private companion object {
        const val SPOKEN_STEP = 15 // degrees
    }
}
