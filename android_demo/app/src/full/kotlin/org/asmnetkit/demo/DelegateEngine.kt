package org.asmnetkit.demo

import android.os.Build
import android.system.Os
import android.system.OsConstants
import java.nio.ByteBuffer
import org.asmnetkit.core.Accelerator
import org.asmnetkit.core.AcceleratorRuntime
import org.asmnetkit.core.Backend
import org.asmnetkit.core.ElementType
import org.asmnetkit.core.Engine
import org.asmnetkit.core.GpuPrecision
import org.asmnetkit.core.ModelException
import org.asmnetkit.core.ModelFile
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
 * TensorFlow Lite 2.16.1 on the GPU or through NNAPI. To be made, run and closed on one thread: the GPU
 * delegate belongs to the thread that made it.
 */
class DelegateEngine private constructor(
    private val interpreter: Interpreter,
    private val delegate: Delegate,
    override val requested: Backend,
    override val warnings: List<String>,
    totalOps: Int,
) : Engine {
    override val actual = requested.accelerator
    override val refusal: String? = null
    override val runtimeName = "TensorFlow Lite"
    override val runtimeVersion: String = TensorFlowLite.runtimeVersion()
    override val kernels = when (actual) {
        Accelerator.GPU -> "GPU delegate ${requested.gpuPrecision.id}; $REST"
        else -> "NNAPI delegate without its own CPU driver; $REST"
    }
    override val delegatedOps: Int?
    override val proof: String
    override val input: TensorInfo
    override val outputs: Map<String, TensorInfo>

    init {
        val left = executionPlanLength(interpreter)
        delegatedOps = operatorsTaken(totalOps, left)
        check(delegatedOps != 0) { "its delegate took none of the model's $totalOps operators" }
        proof = "execution plan: the delegate, the only one, made $left nodes of the model's $totalOps operators"
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
        delegate.close()
    }

    /**
     * TensorFlow Lite's delegates on this phone. Its libraries are loaded with the first model that asks for
     * one, and not at all by phones with 16 KiB memory pages: they are linked for pages of 4 KiB.
     *
     * @param pageBytes of this phone's memory.
     */
    class Runtime(private val pageBytes: () -> Long = { Os.sysconf(OsConstants._SC_PAGESIZE) }) : AcceleratorRuntime {
        override fun unavailable(accelerator: Accelerator): String? {
            val page = pageBytes()
            return when {
                page > LIBRARY_PAGE_BYTES ->
                    "${accelerator.id}: this phone has memory pages of ${page / 1024} KiB, " +
                        "TensorFlow Lite's library for it is for ${LIBRARY_PAGE_BYTES / 1024} KiB"
                accelerator == Accelerator.NNAPI && Build.VERSION.SDK_INT < Build.VERSION_CODES.O_MR1 ->
                    "nnapi: needs Android 8.1 or newer"
                else -> null
            }
        }

        /** The list in TensorFlow Lite 2.16.1 is of 2023: newer GPUs are not in it and work. */
        override fun doubts(accelerator: Accelerator): List<String> {
            if (accelerator != Accelerator.GPU) return emptyList()
            val listed = CompatibilityList().use { it.isDelegateSupportedOnThisDevice }
            return if (listed) emptyList() else listOf("gpu: TensorFlow Lite's list of tested devices does not have this one")
        }

        override fun open(model: ModelFile, requested: Backend, warnings: List<String>): Engine {
            val delegate = delegateOf(requested.accelerator, requested.gpuPrecision)
            var interpreter: Interpreter? = null
            try {
                // XNNPACK would take what the delegate left, and the plan would no more tell whose nodes it has.
                val options = Interpreter.Options().setNumThreads(requested.threads).setUseXNNPACK(false).addDelegate(delegate)
                interpreter = Interpreter(model.content, options)
                interpreter.allocateTensors()
                return DelegateEngine(interpreter, delegate, requested, warnings, model.totalOps)
            } catch (error: Throwable) { // whatever it is, native memory must not leak
                interpreter?.close()
                delegate.close()
                throw error
            }
        }

        private fun delegateOf(accelerator: Accelerator, precision: GpuPrecision): Delegate = when (accelerator) {
            Accelerator.CPU -> throw IllegalArgumentException("expected an accelerator, got the CPU")
            // The best options allow half precision, which nobody asked for.
            Accelerator.GPU -> CompatibilityList().use {
                GpuDelegate(it.bestOptionsForThisDevice.setPrecisionLossAllowed(precision == GpuPrecision.FP16))
            }
            // Without its CPU driver NNAPI refuses instead of running slowly where no accelerator is.
            Accelerator.NNAPI -> NnApiDelegate(NnApiDelegate.Options().setUseNnapiCpu(false))
        }
    }

    private companion object {
        const val LIBRARY_PAGE_BYTES = 4096L
        const val SIGNATURE = "serving_default"
        const val INPUT = "image"
        const val REST = "operators it does not take run on TensorFlow Lite's builtin CPU kernels"

        fun info(name: String, tensor: Tensor): TensorInfo {
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
