package org.asmnetkit.demo

import android.os.Build
import java.nio.ByteBuffer
import org.asmnetkit.core.Accelerator
import org.asmnetkit.core.AcceleratorChoice
import org.asmnetkit.core.Backend
import org.asmnetkit.core.ElementType
import org.asmnetkit.core.Engine
import org.asmnetkit.core.EngineFactory
import org.asmnetkit.core.GpuPrecision
import org.asmnetkit.core.ModelException
import org.asmnetkit.core.ModelFile
import org.asmnetkit.core.ModelRuntime
import org.asmnetkit.core.TensorInfo
import org.asmnetkit.core.oneLine
import org.asmnetkit.core.operatorsTaken
import org.tensorflow.lite.DataType
import org.tensorflow.lite.Delegate
import org.tensorflow.lite.Interpreter
import org.tensorflow.lite.Tensor
import org.tensorflow.lite.TensorFlowLite
import org.tensorflow.lite.executionPlanLength
import org.tensorflow.lite.gpu.CompatibilityList
import org.tensorflow.lite.gpu.GpuDelegate
import org.tensorflow.lite.nnapi.NnApiDelegate

/**
 * TensorFlow Lite (LiteRT) on the CPU, the GPU or through NNAPI. To be made, run and closed on one
 * thread: the GPU delegate belongs to the thread that made it.
 */
class LiteRtEngine private constructor(
    private val interpreter: Interpreter,
    private val delegate: Delegate?,
    override val requested: Backend,
    override val actual: Accelerator,
    override val refusal: String?,
    override val warnings: List<String>,
    totalOps: Int,
) : Engine {
    override val runtimeName = "TensorFlow Lite"
    override val runtimeVersion: String = TensorFlowLite.runtimeVersion()
    override val kernels = when (actual) {
        Accelerator.CPU -> "CPU, XNNPACK where it can, ${requested.threads} threads"
        Accelerator.GPU -> "GPU delegate ${requested.gpuPrecision.id}; $REST"
        Accelerator.NNAPI -> "NNAPI delegate without its own CPU driver; $REST"
    }
    override val delegatedOps: Int?
    override val proof: String
    override val input: TensorInfo
    override val outputs: Map<String, TensorInfo>

    init {
        if (actual == Accelerator.CPU) {
            delegatedOps = null
            proof = "the interpreter was made without a delegate but XNNPACK"
        } else {
            val left = executionPlanLength(interpreter)
            delegatedOps = operatorsTaken(totalOps, left)
            check(delegatedOps != 0) { "its delegate took none of the model's $totalOps operators" }
            proof = "execution plan: the delegate, the only one, made $left nodes of the model's $totalOps operators"
        }
        val inputs = interpreter.getSignatureInputs(SIGNATURE).toList()
        if (inputs != listOf(INPUT)) throw ModelException("expected the input '$INPUT', got $inputs")
        input = info(INPUT, interpreter.getInputTensorFromSignature(INPUT, SIGNATURE))
        outputs = interpreter.getSignatureOutputs(SIGNATURE).associateWith {
            info(it, interpreter.getOutputTensorFromSignature(it, SIGNATURE))
        }
    }

    override fun run(input: ByteBuffer, outputs: Map<String, ByteBuffer>) {
        input.rewind()
        for (buffer in outputs.values) buffer.rewind()
        try {
            interpreter.runSignature(mapOf(INPUT to input), outputs, SIGNATURE)
        } catch (error: RuntimeException) {
            throw ModelException("the model failed to run: ${oneLine(error)}", error)
        }
    }

    override fun close() {
        interpreter.close()
        delegate?.close()
    }

    /** TensorFlow Lite of this phone, one accelerator at a time. */
    private object OnPhone : ModelRuntime {
        override fun unavailable(accelerator: Accelerator): String? =
            if (accelerator != Accelerator.NNAPI || Build.VERSION.SDK_INT >= Build.VERSION_CODES.O_MR1) null
            else "nnapi: needs Android 8.1 or newer"

        /** The list in TensorFlow Lite 2.16.1 is of 2023: newer GPUs are not in it and work. */
        override fun doubts(accelerator: Accelerator): List<String> {
            if (accelerator != Accelerator.GPU) return emptyList()
            val listed = CompatibilityList().use { it.isDelegateSupportedOnThisDevice }
            return if (listed) emptyList() else listOf("gpu: TensorFlow Lite's list of tested devices does not have this one")
        }

        override fun open(model: ModelFile, requested: Backend, actual: Accelerator, refusal: String?, warnings: List<String>): Engine {
            val delegate = delegateOf(actual, requested.gpuPrecision)
            // XNNPACK would take what the delegate left, and the plan would no more tell whose nodes it has.
            val options = Interpreter.Options().setNumThreads(requested.threads).setUseXNNPACK(delegate == null)
            if (delegate != null) options.addDelegate(delegate)
            var interpreter: Interpreter? = null
            try {
                interpreter = Interpreter(model.content, options)
                interpreter.allocateTensors()
                return LiteRtEngine(interpreter, delegate, requested, actual, refusal, warnings, model.totalOps)
            } catch (error: Throwable) { // whatever it is, native memory must not leak
                interpreter?.close()
                delegate?.close()
                throw error
            }
        }

        private fun delegateOf(accelerator: Accelerator, precision: GpuPrecision): Delegate? = when (accelerator) {
            Accelerator.CPU -> null
            // The best options allow half precision, which nobody asked for.
            Accelerator.GPU -> CompatibilityList().use {
                GpuDelegate(it.bestOptionsForThisDevice.setPrecisionLossAllowed(precision == GpuPrecision.FP16))
            }
            // Without its CPU driver NNAPI refuses instead of running slowly where no accelerator is.
            Accelerator.NNAPI -> NnApiDelegate(NnApiDelegate.Options().setUseNnapiCpu(false))
        }
    }

    companion object {
        /** Opens models as asked, or on the CPU with the reason for that. */
        val Factory: EngineFactory = AcceleratorChoice(OnPhone)

        private const val SIGNATURE = "serving_default"
        private const val INPUT = "image"
        private const val REST = "operators it does not take run on TensorFlow Lite's builtin CPU kernels"

        private fun info(name: String, tensor: Tensor): TensorInfo {
            val type = when (val kind = tensor.dataType()) {
                DataType.INT8 -> ElementType.INT8
                DataType.UINT8 -> ElementType.UINT8
                DataType.INT16 -> ElementType.INT16
                DataType.FLOAT32 -> ElementType.FLOAT32
                else -> throw ModelException("expected tensor '$name' of int8, uint8, int16 or float32, got $kind")
            }
            val quantization = tensor.quantizationParams()
            val scale = quantization.scale.takeIf { it != 0f && type != ElementType.FLOAT32 }
            return TensorInfo(name, tensor.shape().toList(), type, scale, quantization.zeroPoint)
        }
    }
}
