package org.asmnetkit.jvm

import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.asmnetkit.core.Accelerator
import org.asmnetkit.core.Backend
import org.asmnetkit.core.ElementType
import org.asmnetkit.core.Engine
import org.asmnetkit.core.EngineFactory
import org.asmnetkit.core.ModelException
import org.asmnetkit.core.ModelFile
import org.asmnetkit.core.TensorInfo
import org.bytedeco.javacpp.BytePointer
import org.bytedeco.javacpp.PointerPointer
import org.bytedeco.tensorflowlite.BuiltinOpResolver
import org.bytedeco.tensorflowlite.BuiltinOpResolverWithoutDefaultDelegates
import org.bytedeco.tensorflowlite.FlatBufferModel
import org.bytedeco.tensorflowlite.Interpreter
import org.bytedeco.tensorflowlite.InterpreterBuilder
import org.bytedeco.tensorflowlite.OpResolver
import org.bytedeco.tensorflowlite.TfLiteTensor
import org.bytedeco.tensorflowlite.global.tensorflowlite

/** TensorFlow Lite on the JVM of a PC, behind the interface that the app's engine has. */
class BytedecoEngine private constructor(
    model: ModelFile,
    override val requested: Backend,
    resolver: OpResolver = BuiltinOpResolver(),
) : Engine {
    override val actual = Accelerator.CPU
    override val refusal = "a PC has none".takeIf { requested.accelerator != Accelerator.CPU }
    override val runtimeName = "TensorFlow Lite (bytedeco)"
    override val runtimeVersion: String = tensorflowlite.TfLiteVersion().string
    override val kernels = "CPU, XNNPACK where it can, ${requested.threads} threads"
    override val proof = "a PC's interpreter, without a delegate but XNNPACK"
    override val delegatedOps: Int? = null

    private val bytes = ByteArray(model.sizeBytes).also { model.content.duplicate().apply { rewind() }.get(it) }
    private val stored = BytePointer(*bytes)
    private val flat = FlatBufferModel.BuildFromBuffer(stored, bytes.size.toLong())
    private val interpreter = Interpreter(null as org.bytedeco.javacpp.Pointer?)
    private val runner = run {
        if (flat == null || flat.isNull) throw ModelException("${model.name}: not a model")
        val builder = InterpreterBuilder(flat, resolver)
        builder.SetNumThreads(requested.threads)
        checked(builder.apply(interpreter), "load")
        val runner = interpreter.GetSignatureRunner("serving_default")
            ?: throw ModelException("${model.name}: no signature serving_default")
        checked(runner.AllocateTensors(), "allocate")
        runner
    }

    override val input: TensorInfo = info("image", runner.input_tensor("image"))
    override val outputs: Map<String, TensorInfo> = names(runner.output_names(), runner.output_size())
        .associateWith { info(it, runner.output_tensor(it)) }

    override fun run(input: ByteBuffer, outputs: Map<String, ByteBuffer>) {
        input.rewind()
        content(runner.input_tensor("image")).put(input)
        checked(runner.Invoke(), "invoke")
        for ((name, buffer) in outputs) {
            buffer.rewind()
            buffer.put(content(runner.output_tensor(name)))
            buffer.rewind()
        }
    }

    /** Nodes of the execution plan: what the app asks TensorFlow Lite's Java classes for. */
    val planLength: Int get() = interpreter.execution_plan().limit().toInt()

    override fun close() {
        runner.close()
        interpreter.close()
        flat.close()
        stored.close()
    }

    object Factory : EngineFactory {
        override fun open(model: ModelFile, backend: Backend): BytedecoEngine = BytedecoEngine(model, backend)

        /** Without XNNPACK, too. */
        fun openWithoutDelegate(model: ModelFile): BytedecoEngine =
            BytedecoEngine(model, Backend(Accelerator.CPU, 1), BuiltinOpResolverWithoutDefaultDelegates())
    }

    private companion object {
        fun checked(status: Int, step: String) {
            if (status != tensorflowlite.kTfLiteOk) throw ModelException("TensorFlow Lite failed to $step: status $status")
        }

        fun content(tensor: TfLiteTensor): ByteBuffer =
            BytePointer(tensor.data().data()).capacity(tensor.bytes()).asByteBuffer().order(ByteOrder.nativeOrder())

        fun names(pointers: PointerPointer<*>, count: Long): List<String> =
            (0 until count).map { BytePointer(pointers.get(it)).string }

        fun info(name: String, tensor: TfLiteTensor): TensorInfo {
            val type = when (tensor.type()) {
                tensorflowlite.kTfLiteInt8 -> ElementType.INT8
                tensorflowlite.kTfLiteUInt8 -> ElementType.UINT8
                tensorflowlite.kTfLiteInt16 -> ElementType.INT16
                else -> ElementType.FLOAT32
            }
            val dims = tensor.dims()
            val scale = tensor.params().scale().takeIf { it != 0f }
            return TensorInfo(name, List(dims.size()) { dims.data(it) }, type, scale, tensor.params().zero_point())
        }
    }
}
