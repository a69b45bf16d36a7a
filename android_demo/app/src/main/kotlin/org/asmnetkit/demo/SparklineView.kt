package org.asmnetkit.demo

import android.content.Context
import android.graphics.Canvas
import android.graphics.Paint
import android.graphics.Path
import android.util.AttributeSet
import android.view.View

/** The last figures as a line, from 0 up: whether a time holds, which digits do not tell. */
class SparklineView(context: Context, attributes: AttributeSet? = null) : View(context, attributes) {
    private val values = ArrayDeque<Double>()
    private val path = Path()
    private val paint = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        color = context.getColor(R.color.accent)
        style = Paint.Style.STROKE
        strokeWidth = 1.5f * resources.displayMetrics.density
        strokeJoin = Paint.Join.ROUND
        strokeCap = Paint.Cap.ROUND
    }

    fun add(value: Double) {
        values.addLast(value)
        if (values.size > MOST) values.removeFirst()
        invalidate()
    }

    fun clear() {
        values.clear()
        invalidate()
    }

    override fun onDraw(canvas: Canvas) {
        if (values.size < 2) return
        val top = maxOf(values.max(), 1e-9)
        val margin = paint.strokeWidth
        path.reset()
        values.forEachIndexed { index, value ->
            val x = margin + (width - 2 * margin) * index / (MOST - 1)
            val y = height - margin - ((height - 2 * margin) * (value / top)).toFloat()
            if (index == 0) path.moveTo(x, y) else path.lineTo(x, y)
        }
        canvas.drawPath(path, paint)
    }

    private companion object {
        const val MOST = 40 // told five times a second: eight seconds
    }
}
