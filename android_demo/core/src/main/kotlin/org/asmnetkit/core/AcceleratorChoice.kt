package org.asmnetkit.core

/** Opens models on the CPU. */
fun interface CpuRuntime {
    /**
     * @param refusal why this is not the accelerator that was asked for, for the engine to tell; null where it is.
     * @throws ModelException the model cannot run.
     * @throws LinkageError a library is missing or of another version.
     */
    fun open(model: ModelFile, requested: Backend, refusal: String?): Engine
}

/**
 * Opens models on exactly the GPU or NNAPI, without a way out.
 *
 * What it throws decides: [AcceleratorChoice] tries an accelerator and falls back to the CPU.
 */
interface AcceleratorRuntime {
    /** Why the [accelerator] cannot even be tried on this device; null where it can. Loads no library. */
    fun unavailable(accelerator: Accelerator): String?

    /** What somebody should know about [accelerator] on this device, for example that nobody tested it. */
    fun doubts(accelerator: Accelerator): List<String>

    /**
     * @throws RuntimeException the accelerator does not take this model, with the reason.
     * @throws LinkageError a library is missing or of another version.
     */
    fun open(model: ModelFile, requested: Backend, warnings: List<String>): Engine
}

/**
 * Opens models where they are asked to run, or on the CPU with the reason for that.
 *
 * An accelerator is always tried: lists of tested devices are older than most phones, and the
 * execution plan of the opened engine shows what the accelerator took.
 */
class AcceleratorChoice(private val cpu: CpuRuntime, private val accelerators: AcceleratorRuntime) : EngineFactory {
    override fun open(model: ModelFile, backend: Backend): Engine {
        val wanted = backend.accelerator
        if (wanted == Accelerator.CPU) return onCpu(model, backend, refusal = null)
        return try {
            val unavailable = accelerators.unavailable(wanted)
            if (unavailable != null) return onCpu(model, backend, unavailable)
            accelerators.open(model, backend, warnings = accelerators.doubts(wanted))
        } catch (error: RuntimeException) {
            onCpu(model, backend, "${wanted.id} refused this model: ${oneLine(error)}")
        } catch (error: LinkageError) { // the vendor's library is missing or another version
            onCpu(model, backend, "${wanted.id} cannot be loaded: ${oneLine(error)}")
        }
    }

    private fun onCpu(model: ModelFile, backend: Backend, refusal: String?): Engine = try {
        cpu.open(model, backend, refusal)
    } catch (error: RuntimeException) {
        throw ModelException("${model.name}: cannot be loaded: ${oneLine(error)}", error)
    } catch (error: LinkageError) {
        throw ModelException("TensorFlow Lite cannot be loaded on this device: ${oneLine(error)}", error)
    }
}

/** What an error says, on one line of at most 300 characters. */
fun oneLine(error: Throwable): String = (error.message ?: error.javaClass.simpleName).lines().joinToString(" ").take(300)
