package org.asmnetkit.demo

import android.content.Context
import android.util.AttributeSet
import android.view.View
import android.view.ViewGroup

/**
 * Children side by side, in as many rows as their widths need, each row in the middle: buttons that stay on
 * the screen whatever its width and the size of the font.
 */
class FlowLayout(context: Context, attributes: AttributeSet? = null) : ViewGroup(context, attributes) {
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
            resolveSize(rows.sumOf(::heightOf) + paddingTop + paddingBottom, heightMeasureSpec),
        )
    }

    override fun onLayout(changed: Boolean, left: Int, top: Int, right: Int, bottom: Int) {
        val room = right - left - paddingLeft - paddingRight
        var y = paddingTop
        for (row in rows(room)) {
            var x = paddingLeft + (room - widthOf(row)) / 2
            for (child in if (layoutDirection == LAYOUT_DIRECTION_RTL) row.reversed() else row) {
                child.layout(x, y, x + child.measuredWidth, y + child.measuredHeight)
                x += child.measuredWidth
            }
            y += heightOf(row)
        }
    }

    private fun children(): List<View> = (0 until childCount).map(::getChildAt).filter { it.visibility != GONE }

    private fun rows(room: Int): List<List<View>> {
        val rows = ArrayList<ArrayList<View>>()
        for (child in children()) {
            val last = rows.lastOrNull()
            if (last == null || widthOf(last) + child.measuredWidth > room) rows += arrayListOf(child) else last += child
        }
        return rows
    }

    private fun widthOf(row: List<View>) = row.sumOf { it.measuredWidth }

    private fun heightOf(row: List<View>) = row.maxOf { it.measuredHeight }
}
