package org.asmnetkit.core

import java.nio.ByteBuffer

/** What may run a model. [id] is what extras and result files call it. */
enum class Accelerator(val id: String) {
    CPU("cpu"),
    GPU("gpu"),
    NNAPI("nnapi");

    companion object {
        fun of(id: String): Accelerator? = entries.find { it.id == id }
    }
}

/** What the GPU may calculate in. [id] is what extras and result files call it. */
enum class GpuPrecision(val id: String) {
    FP32("fp32"),
    FP16("fp16");

    companion object {
        fun of(id: String): GpuPrecision? = entries.find { it.id == id }
    }
}

/** Where a model is asked to run; [threads] are the CPU kernels', [gpuPrecision] is the GPU's. */
data class Backend(val accelerator: Accelerator, val threads: Int, val gpuPrecision: GpuPrecision = GpuPrecision.FP32)

/** A graph of one input that is loaded and ready to run, on one thread: the one that opened it. */
interface Network : AutoCloseable {
    val input: TensorInfo
    val outputs: Map<String, TensorInfo>

    /** Run once: [input] and [outputs] hold raw values from their start. @throws ModelException */
    fun run(input: ByteBuffer, outputs: Map<String, ByteBuffer>)
}

/**
 * A model of the kit, and where it runs.
 *
 * An engine says what it became: [actual] differs from the request where that was refused, and then
 * [refusal] says why.
 */
interface Engine : Network {
    val requested: Backend
    val actual: Accelerator
    val refusal: String?
    val runtimeName: String
    val runtimeVersion: String

    /** Whose kernels run the operators, for people. */
    val kernels: String

    /** What shows that [actual] runs the model, for people. */
    val proof: String

    /** Operators that [actual]'s delegate took; null where nothing tells how many. */
    val delegatedOps: Int?

    /** What somebody should know who reads figures of this engine, though it runs as asked. */
    val warnings: List<String> get() = emptyList()
}

/**
 * How many of [totalOps] operators a delegate took, told by the [planLength] nodes that are left to run:
 * each run of operators that it took became one node. No other delegate may have changed the plan.
 *
 * @return 0 where the plan does not show that it took any; null where it took some of them: how many
 *   depends on the number of those nodes, which the plan's length does not tell.
 */
fun operatorsTaken(totalOps: Int, planLength: Int): Int? = when {
    planLength >= totalOps -> 0
    planLength == 1 -> totalOps
    else -> null
}

/** Opens engines; tests have their own. */
fun interface EngineFactory {
    /** @throws ModelException the model cannot run at all; a refused accelerator falls back to the CPU. */
    fun open(model: ModelFile, backend: Backend): Engine
}
