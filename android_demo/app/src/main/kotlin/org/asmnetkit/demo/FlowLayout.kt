package org.asmnetkit.demo

import android.content.Context
import android.util.AttributeSet
import android.view.View
import android.view.ViewGroup

/**
 * Children side by side, in as many rows as their widths need: they stay on the screen whatever its width and
 * the size of the font.
 */
class FlowLayout(context: Context, attributes: AttributeSet? = null) : ViewGroup(context, attributes) {
    private val gap = (GAP_DP * resources.displayMetrics.density).toInt()

    override fun onMeasure(widthMeasureSpec: Int, heightMeasureSpec: Int) {
        val room = MeasureSpec.getSize(widthMeasureSpec) - paddingLeft - paddingRight
        val height = MeasureSpec.getSize(heightMeasureSpec)
        for (child in children()) {
            child.measure(MeasureSpec.makeMeasureSpec(room, MeasureSpec.AT_MOST), MeasureSpec.makeMeasureSpec(height, MeasureSpec.UNSPECIFIED))
        }
        val rows = rows(room)
        val width = rows.maxOfOrNull(::widthOf) ?: 0
        setMeasuredDimension(
            resolveSize(width + paddingLeft + paddingRight, widthMeasureSpec),
            resolveSize(rows.sumOf(::heightOf) + gap * maxOf(0, rows.size - 1) + paddingTop + paddingBottom, heightMeasureSpec),
        )
    }

    override fun onLayout(changed: Boolean, left: Int, top: Int, right: Int, bottom: Int) {
        val room = right - left - paddingLeft - paddingRight
        var y = paddingTop
        for (row in rows(room)) {
            val rightToLeft = layoutDirection == LAYOUT_DIRECTION_RTL
            var x = paddingLeft + if (rightToLeft) room - widthOf(row) else 0
            for (child in if (rightToLeft) row.reversed() else row) {
                val top = y + (heightOf(row) - child.measuredHeight) / 2
                child.layout(x, top, x + child.measuredWidth, top + child.measuredHeight)
                x += child.measuredWidth + gap
            }
            y += heightOf(row) + gap
        }
    }

    private fun children(): List<View> = (0 until childCount).map(::getChildAt).filter { it.visibility != GONE }

    private fun rows(room: Int): List<List<View>> {
        val rows = ArrayList<ArrayList<View>>()
        for (child in children()) {
            val last = rows.lastOrNull()
            if (last == null || widthOf(last) + gap + child.measuredWidth > room) rows += arrayListOf(child) else last += child
        }
        return rows
    }

    private fun widthOf(row: List<View>) = row.sumOf { it.measuredWidth } + gap * (row.size - 1)

    private fun heightOf(row: List<View>) = row.maxOf { it.measuredHeight }

    private companion object {
        const val GAP_DP = 6
    }
}
