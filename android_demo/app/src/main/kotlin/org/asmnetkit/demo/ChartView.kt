package org.asmnetkit.demo

import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Paint
import android.graphics.Typeface
import android.text.Layout
import android.text.StaticLayout
import android.text.TextPaint
import android.util.AttributeSet
import android.util.TypedValue
import android.view.View

/**
 * A line of the chart.
 *
 * @property value the length of its bar; null for a line without one. [before] is a mark on it.
 * @property figure the value in words.
 * @property note below the bar; [isBad] where it says why there is none.
 */
data class ChartLine(val title: String, val value: Double?, val before: Double?, val figure: String, val note: String?, val isBad: Boolean)

/** Lying bars from 0, one below the other, each with its words. */
class ChartView(context: Context, attributes: AttributeSet? = null) : View(context, attributes) {
    private val pixelsPerDp = resources.displayMetrics.density
    private val headingPaint = textPaint(16f, R.color.ink, Typeface.create("sans-serif-medium", Typeface.NORMAL))
    private val titlePaint = textPaint(14f, R.color.ink, Typeface.DEFAULT)
    private val figurePaint = textPaint(14f, R.color.ink, Typeface.create("sans-serif-medium", Typeface.NORMAL)).apply { fontFeatureSettings = "tnum" }
    private val notePaint = textPaint(13f, R.color.soft, Typeface.DEFAULT)
    private val badPaint = textPaint(13f, R.color.bad, Typeface.DEFAULT)
    private val barPaint = Paint(Paint.ANTI_ALIAS_FLAG).apply { color = context.getColor(R.color.accent) }
    private val markPaint = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        color = context.getColor(R.color.ink)
        strokeWidth = 2 * pixelsPerDp
    }
    private var heading = ""
    private var legend = ""
    private var lines = emptyList<ChartLine>()
    private var drawn = emptyList<Block>()

    /** Something of the chart, [height] pixels high, that [draw] draws at its top left corner. */
    private class Block(val height: Float, val draw: Canvas.() -> Unit)

    fun show(heading: String, legend: String, lines: List<ChartLine>) {
        if (heading == this.heading && legend == this.legend && lines == this.lines) return // told ten times a second
        this.heading = heading
        this.legend = legend
        this.lines = lines
        contentDescription = (listOf(heading) + lines.map { line ->
            context.getString(R.string.chart_spoken, line.title, listOfNotNull(line.figure.ifEmpty { null }, line.note).joinToString(", "))
        }).joinToString("\n")
        requestLayout()
        invalidate()
    }

    override fun onMeasure(widthMeasureSpec: Int, heightMeasureSpec: Int) {
        val width = MeasureSpec.getSize(widthMeasureSpec)
        drawn = blocks((width - paddingLeft - paddingRight).coerceAtLeast(1))
        setMeasuredDimension(width, resolveSize(drawn.sumOf { it.height.toDouble() }.toInt() + paddingTop + paddingBottom, heightMeasureSpec))
    }

    override fun onDraw(canvas: Canvas) {
        canvas.save()
        canvas.translate(paddingLeft.toFloat(), paddingTop.toFloat())
        for (block in drawn) {
            block.draw(canvas)
            canvas.translate(0f, block.height)
        }
        canvas.restore()
    }

    /** The chart with [footer] below it, as a picture to share. */
    fun picture(footer: String): Bitmap {
        val foot = words(footer, notePaint, (width - paddingLeft - paddingRight).coerceAtLeast(1))
        val bitmap = Bitmap.createBitmap(width, height + foot.height + paddingBottom, Bitmap.Config.ARGB_8888)
        val canvas = Canvas(bitmap)
        canvas.drawColor(context.getColor(R.color.raised))
        draw(canvas)
        canvas.translate(paddingLeft.toFloat(), height.toFloat())
        foot.draw(canvas)
        return bitmap
    }

    private fun blocks(width: Int): List<Block> {
        val all = ArrayList<Block>()
        fun text(text: String, paint: TextPaint) {
            val laidOut = words(text, paint, width)
            all += Block(laidOut.height.toFloat()) { laidOut.draw(this) }
        }
        fun space(dp: Float) {
            all += Block(dp * pixelsPerDp) {}
        }
        text(heading, headingPaint)
        val longest = maxOf(lines.maxOfOrNull { maxOf(it.value ?: 0.0, it.before ?: 0.0) } ?: 0.0, 1e-9)
        val figures = lines.maxOfOrNull { figurePaint.measureText(it.figure) } ?: 0f
        val room = (width - figures - GAP_DP * pixelsPerDp).coerceAtLeast(0f)
        for (line in lines) {
            space(12f)
            text(line.title, titlePaint)
            line.value?.let { value -> all += bar(line, (room * value / longest).toFloat(), line.before?.let { (room * it / longest).toFloat() }) }
            line.note?.let { text(it, if (line.isBad) badPaint else notePaint) }
        }
        space(12f)
        text(legend, notePaint)
        return all
    }

    private fun bar(line: ChartLine, length: Float, before: Float?): Block {
        val textHeight = figurePaint.fontMetrics.run { descent - ascent }
        val height = maxOf(BAR_DP * pixelsPerDp, textHeight)
        val thick = BAR_DP * pixelsPerDp
        return Block(height) {
            val top = (height - thick) / 2
            val radius = 3 * pixelsPerDp
            drawRoundRect(0f, top, maxOf(length, 2 * radius), top + thick, radius, radius, barPaint)
            before?.let { drawLine(it, top - 2 * pixelsPerDp, it, top + thick + 2 * pixelsPerDp, markPaint) }
            val x = maxOf(length, before ?: 0f, 2 * radius) + GAP_DP * pixelsPerDp
            drawText(line.figure, x, (height - textHeight) / 2 - figurePaint.fontMetrics.ascent, figurePaint)
        }
    }

    private fun words(text: String, paint: TextPaint, width: Int): StaticLayout =
        StaticLayout.Builder.obtain(text, 0, text.length, paint, width)
            .setAlignment(Layout.Alignment.ALIGN_NORMAL)
            .setBreakStrategy(Layout.BREAK_STRATEGY_HIGH_QUALITY)
            .build()

    private fun textPaint(sp: Float, colour: Int, face: Typeface) = TextPaint(Paint.ANTI_ALIAS_FLAG).apply {
        textSize = TypedValue.applyDimension(TypedValue.COMPLEX_UNIT_SP, sp, resources.displayMetrics)
        color = context.getColor(colour)
        typeface = face
    }

    private companion object {
        const val BAR_DP = 14
        const val GAP_DP = 8
    }
}
