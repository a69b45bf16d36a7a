package org.asmnetkit.core

import java.nio.ByteBuffer
import kotlin.math.abs
import kotlin.math.max

/**
 * How far a delegate's landmarks are from the CPU's for the same inputs: the result file's `parity`.
 *
 * @property values all of the delegate's output values that were looked at, and [notFinite] how many of
 *   them are NaN or infinite. Where one is, differences mean nothing: [max] and [mean] leave it out.
 */
data class Parity(
    val max: Double,
    val mean: Double,
    val identical: Boolean,
    val inputs: Int,
    val inputSize: Int,
    val values: Int = 0,
    val notFinite: Int = 0,
) {
    /** Why the outputs are no outputs at all; null where every value is a number. */
    val failure: String? = "$notFinite of $values output values are not finite: what ran the model computes it wrongly"
        .takeIf { notFinite > 0 }

    /** Null where the outputs are not numbers. */
    fun toMap(): Map<String, Any>? = if (failure != null) null else linkedMapOf(
        "max" to max,
        "mean" to mean,
        "identical" to identical,
        "inputs" to inputs,
        "unit" to "pixels of the $inputSize px crop",
        "reference" to REFERENCE,
    )

    /** The result file's `output_check`, which says that the outputs are wrong; null where nothing shows that. */
    fun outputCheck(): Map<String, Any?>? = if (failure == null) null else linkedMapOf(
        "passed" to false,
        "cause" to failure,
        "reference" to REFERENCE,
        "input" to "random values over the input's range",
        "outputs" to emptyMap<String, Any>(), // no difference can be told
        "runs" to emptyList<Any>(),
    )

    companion object {
        const val LANDMARKS = "landmarks"
        private const val REFERENCE = "the same model on this phone's CPU"

        /**
         * Run both engines on the same [inputs], raw values of their one input.
         *
         * @param inputSize side of the crop, pixels: landmarks are fractions of it.
         * @throws ModelException one of them cannot run.
         */
        fun of(engine: Engine, reference: Engine, inputs: List<ByteBuffer>, inputSize: Int): Parity {
            val ours = engine.outputs.mapValues { it.value.allocate() }
            val theirs = reference.outputs.mapValues { it.value.allocate() }
            var largest = 0.0
            var sum = 0.0
            var identical = true
            var values = 0
            var broken = 0
            for (input in inputs) {
                engine.run(input, ours)
                reference.run(input, theirs)
                for ((name, info) in engine.outputs) {
                    values += info.elements
                    broken += notFinite(dequantize(ours.getValue(name), info))
                }
                identical = identical && whole(ours.getValue(LANDMARKS)) == whole(theirs.getValue(LANDMARKS))
                val a = dequantize(ours.getValue(LANDMARKS), engine.outputs.getValue(LANDMARKS))
                val b = dequantize(theirs.getValue(LANDMARKS), reference.outputs.getValue(LANDMARKS))
                for (i in a.indices) {
                    val difference = inputSize * abs(a[i].toDouble() - b[i])
                    if (!difference.isFinite()) continue // counted above
                    largest = max(largest, difference)
                    sum += difference / a.size
                }
            }
            return Parity(largest, sum / inputs.size, identical, inputs.size, inputSize, values, broken)
        }

        /** All of a buffer's bytes, wherever its position is; buffers compare by what remains. */
        private fun whole(buffer: ByteBuffer): ByteBuffer = buffer.duplicate().apply { clear() }
    }
}
