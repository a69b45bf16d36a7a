package org.asmnetkit.core

import java.nio.ByteBuffer
import kotlin.math.abs
import kotlin.math.max

/** How far a delegate's landmarks are from the CPU's for the same inputs: the result file's `parity`. */
data class Parity(val max: Double, val mean: Double, val identical: Boolean, val inputs: Int, val inputSize: Int) {
    fun toMap(): Map<String, Any> = linkedMapOf(
        "max" to max,
        "mean" to mean,
        "identical" to identical,
        "inputs" to inputs,
        "unit" to "pixels of the $inputSize px crop",
        "reference" to "the same model on this phone's CPU",
    )

    companion object {
        const val LANDMARKS = "landmarks"

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
            for (input in inputs) {
                engine.run(input, ours)
                reference.run(input, theirs)
                identical = identical && whole(ours.getValue(LANDMARKS)) == whole(theirs.getValue(LANDMARKS))
                val a = dequantize(ours.getValue(LANDMARKS), engine.outputs.getValue(LANDMARKS))
                val b = dequantize(theirs.getValue(LANDMARKS), reference.outputs.getValue(LANDMARKS))
                for (i in a.indices) {
                    val difference = inputSize * abs(a[i].toDouble() - b[i])
                    largest = max(largest, difference)
                    sum += difference / a.size
                }
            }
            return Parity(largest, sum / inputs.size, identical, inputs.size, inputSize)
        }

        /** All of a buffer's bytes, wherever its position is; buffers compare by what remains. */
        private fun whole(buffer: ByteBuffer): ByteBuffer = buffer.duplicate().apply { clear() }
    }
}
