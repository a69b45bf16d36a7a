package org.asmnetkit.cpu

import org.asmnetkit.core.Accelerator
import org.asmnetkit.core.Backend
import org.asmnetkit.core.CpuRuntime
import org.asmnetkit.core.Engine
import org.asmnetkit.core.ModelException
import org.asmnetkit.core.ModelFile
import org.asmnetkit.core.Network

/** A model of the kit on the CPU, by [CpuNetwork]. */
class CpuEngine private constructor(
    network: CpuNetwork,
    override val requested: Backend,
    override val refusal: String?,
) : Engine, Network by network {
    override val actual = Accelerator.CPU
    override val runtimeName = "TensorFlow Lite"
    override val runtimeVersion: String = CpuNetwork.version
    override val kernels = "CPU, XNNPACK where it can, ${requested.threads} threads"
    override val proof = "the interpreter was made without a delegate but XNNPACK"
    override val delegatedOps: Int? = null

    object Runtime : CpuRuntime {
        override fun open(model: ModelFile, requested: Backend, refusal: String?): Engine {
            val network = CpuNetwork(model.name, model.content, requested.threads)
            if (network.input.name == INPUT) return CpuEngine(network, requested, refusal)
            network.close()
            throw ModelException("${model.name}: expected the input '$INPUT', got '${network.input.name}'")
        }
    }

    private companion object {
        const val INPUT = "image"
    }
}
