package org.asmnetkit.demo

import android.app.Activity
import android.app.AlertDialog
import android.graphics.Typeface
import android.text.SpannableStringBuilder
import android.text.Spanned
import android.text.style.StyleSpan
import android.view.View
import android.view.ViewGroup
import android.widget.BaseAdapter
import android.widget.CheckedTextView
import android.widget.TextView
import java.util.Locale
import org.asmnetkit.core.ModelCard

/** The models to choose from, each with its error, size and terms, and all that the kit tells of it behind a button. */
class ModelPicker(
    private val activity: Activity,
    private val choices: List<ModelChoice>,
    private val chosen: String?,
    private val onChosen: (String) -> Unit,
    private val onFile: () -> Unit,
) {
    fun show(): AlertDialog = AlertDialog.Builder(activity)
        .setTitle(R.string.model_title)
        .setAdapter(Rows()) { _, which -> choices[which].takeIf { it.file != null }?.let { onChosen(it.name) } }
        .setNeutralButton(R.string.pick_model) { _, _ -> onFile() }
        .setNegativeButton(android.R.string.cancel, null)
        .show()

    private inner class Rows : BaseAdapter() {
        override fun getCount() = choices.size

        override fun getItem(position: Int) = choices[position]

        override fun getItemId(position: Int) = position.toLong()

        override fun areAllItemsEnabled() = false

        override fun isEnabled(position: Int) = choices[position].file != null

        override fun getView(position: Int, old: View?, parent: ViewGroup): View {
            val choice = choices[position]
            val row = old ?: activity.layoutInflater.inflate(R.layout.model_row, parent, false)
            row.findViewById<CheckedTextView>(R.id.model_name).apply {
                text = choice.title
                isChecked = choice.name == chosen
            }
            row.findViewById<TextView>(R.id.model_facts).apply {
                text = factsOf(choice)
                visibility = if (text.isEmpty()) View.GONE else View.VISIBLE
            }
            row.findViewById<TextView>(R.id.model_summary).text = choice.card?.summary
                ?: choice.problem?.let { activity.getString(R.string.model_unreadable, it) }
                ?: activity.getString(R.string.model_own)
            row.findViewById<View>(R.id.model_details).apply {
                visibility = if (choice.file == null) View.GONE else View.VISIBLE
                setOnClickListener { showCard(choice) }
            }
            return row
        }
    }

    private fun showCard(choice: ModelChoice) {
        AlertDialog.Builder(activity)
            .setTitle(choice.title)
            .setMessage(cardOf(choice))
            .setPositiveButton(android.R.string.ok, null)
            .show()
    }

    /** Error, points, size and terms, on one line. */
    private fun factsOf(choice: ModelChoice): String {
        val file = choice.file ?: return ""
        val error = choice.card?.errors?.entries?.firstOrNull()
        return listOfNotNull(
            error?.let { (faces, value) -> activity.getString(R.string.model_error, oneDigit(value), faces) },
            activity.getString(R.string.model_points, file.metadata.landmarks),
            activity.getString(R.string.model_megabytes, file.sizeBytes / 1e6),
            choice.card?.licence ?: file.metadata.licence,
        ).joinToString(" · ")
    }

    /** All that is known of it, a heading before each part. */
    private fun cardOf(choice: ModelChoice): CharSequence {
        val text = SpannableStringBuilder()
        fun part(heading: Int, words: String) {
            if (text.isNotEmpty()) text.append("\n\n")
            val start = text.length
            text.append(activity.getString(heading))
            text.setSpan(StyleSpan(Typeface.BOLD), start, text.length, Spanned.SPAN_EXCLUSIVE_EXCLUSIVE)
            text.append("\n").append(words)
        }
        val card = choice.card
        if (card != null) {
            text.append(card.summary)
            part(R.string.card_error, card.errors.entries.joinToString("\n") { (faces, value) -> "$faces: ${oneDigit(value)}" })
        }
        choice.file?.let {
            val about = it.metadata
            val size = about.inputSize
            part(
                R.string.card_file,
                activity.getString(R.string.card_file_facts, about.architecture, about.recipe, about.landmarks, size, size, it.sizeBytes / 1e6),
            )
            part(R.string.card_terms, termsOf(card, about.licence))
        }
        if (card != null) {
            part(R.string.card_trained, card.trainedOn)
            part(R.string.card_use, card.use)
            part(R.string.card_failures, card.failures.joinToString("\n") { "– $it" })
        } else {
            text.append("\n\n").append(activity.getString(R.string.model_own))
        }
        return text
    }

    private fun termsOf(card: ModelCard?, licence: String?): String {
        val named = card?.licence ?: licence ?: return activity.getString(R.string.card_unknown_terms)
        val short = if (named == RESEARCH) activity.getString(R.string.card_research) else named
        return listOfNotNull(short, card?.terms).joinToString(". ")
    }

    private companion object {
        const val RESEARCH = "LICENSE-WEIGHTS"

        fun oneDigit(value: Double) = String.format(Locale.getDefault(), "%.1f", value)
    }
}
