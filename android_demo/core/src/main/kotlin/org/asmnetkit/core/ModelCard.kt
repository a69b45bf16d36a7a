package org.asmnetkit.core

/**
 * What the kit tells of one of its models (`toolkit/models/NAME.json`), as far as a phone shows it.
 *
 * @property errors mean error (NME) by the faces it was measured on, percent, as the kit prints it.
 * @property failures what is known to go wrong.
 * @property isDefault the kit takes this one where nobody chooses.
 */
class ModelCard private constructor(
    val name: String,
    val file: String,
    val sha256: String,
    val summary: String,
    val licence: String,
    val errors: Map<String, Double>,
    val trainedOn: String,
    val terms: String,
    val use: String,
    val failures: List<String>,
    val isDefault: Boolean,
) {
    companion object {
        /** @throws ModelException a key is missing or of another type. */
        fun of(json: Any?): ModelCard {
            val card = json as? Map<*, *> ?: throw ModelException("expected a model card, got $json")
            fun text(from: Map<*, *>, key: String) =
                from[key] as? String ?: throw ModelException("expected the text '$key' in a model card, got ${from[key]}")
            val model = card["model"] as? Map<*, *> ?: throw ModelException("expected 'model' in a model card")
            val errors = card["nme_percent"] as? Map<*, *> ?: emptyMap<Any, Any>()
            return ModelCard(
                name = text(card, "name"),
                file = text(card, "file"),
                sha256 = text(model, "sha256"),
                summary = text(card, "summary"),
                licence = text(card, "licence"),
                errors = errors.entries.mapNotNull { (set, value) -> (value as? Number)?.let { set.toString() to it.toDouble() } }.toMap(),
                trainedOn = text(card, "trained_on"),
                terms = text(card, "terms"),
                use = text(card, "use"),
                failures = (card["failures"] as? List<*>).orEmpty().map { it.toString() },
                isDefault = card["default"] == true,
            )
        }
    }
}
