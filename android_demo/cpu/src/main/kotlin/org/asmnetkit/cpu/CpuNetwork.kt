package org.asmnetkit.cpu

import java.nio.ByteBuffer
import java.nio.ByteOrder
import org.asmnetkit.core.ElementType
import org.asmnetkit.core.ModelException
import org.asmnetkit.core.Network
import org.asmnetkit.core.TensorInfo
import org.bytedeco.javacpp.BytePointer
import org.bytedeco.javacpp.Pointer
import org.bytedeco.javacpp.PointerPointer
import org.bytedeco.tensorflowlite.BuiltinOpResolver
import org.bytedeco.tensorflowlite.BuiltinOpResolverWithoutDefaultDelegates
import org.bytedeco.tensorflowlite.FlatBufferModel
import org.bytedeco.tensorflowlite.Interpreter
import org.bytedeco.tensorflowlite.InterpreterBuilder
import org.bytedeco.tensorflowlite.TfLiteTensor
import org.bytedeco.tensorflowlite.global.tensorflowlite

/**
 * A graph on the CPU, by TensorFlow Lite's C++ (JavaCPP): the same code on a phone and on a PC.
 *
 * Inputs and outputs have the names of the signature `serving_default`, or where the file has no signature,
 * those of its tensors.
 *
 * @param content of a .tflite; a direct buffer (a mapped file) is used where it is, not copied.
 * @param xnnpack let XNNPACK take the operators that it can.
 * @throws ModelException the file is none, or an operator of it is unknown.
 * @throws LinkageError there is no library for this machine.
 */
class CpuNetwork(private val name: String, content: ByteBuffer, threads: Int, xnnpack: Boolean = true) : Network {
    private val stored = stored(content)
    private val flat: FlatBufferModel? = FlatBufferModel.BuildFromBuffer(stored, stored.limit())
    private val resolver = if (xnnpack) BuiltinOpResolver() else BuiltinOpResolverWithoutDefaultDelegates()
    private val interpreter = Interpreter(null as Pointer?)
    private val runner = run {
        if (flat == null || flat.isNull) throw ModelException("$name: not a .tflite file")
        InterpreterBuilder(flat, resolver).use { builder ->
            builder.SetNumThreads(threads)
            checked(builder.apply(interpreter), "load")
        }
        val runner = interpreter.GetSignatureRunner(SIGNATURE) ?: interpreter.GetSignatureRunner(null as String?)
            ?: throw ModelException("$name: expected a signature $SIGNATURE, or none at all")
        checked(runner.AllocateTensors(), "allocate its tensors")
        runner
    }

    override val input: TensorInfo = names(runner.input_names(), runner.input_size()).let { found ->
        info(found.singleOrNull() ?: throw ModelException("$name: expected one input, got $found"), input = true)
    }
    override val outputs: Map<String, TensorInfo> =
        names(runner.output_names(), runner.output_size()).associateWith { info(it, input = false) }

    /** How many nodes run one after the other: operators, and one for each group that XNNPACK took. */
    val planLength: Int get() = interpreter.execution_plan().limit().toInt()

    override fun run(input: ByteBuffer, outputs: Map<String, ByteBuffer>) {
        input.rewind()
        content(runner.input_tensor(this.input.name)).put(input)
        checked(runner.Invoke(), "run")
        for ((output, buffer) in outputs) {
            buffer.rewind()
            buffer.put(content(runner.output_tensor(output)))
            buffer.rewind()
        }
    }

    override fun close() {
        runner.close()
        interpreter.close()
        flat?.close()
        resolver.close()
        stored.close()
    }

    private fun checked(status: Int, step: String) {
        if (status != tensorflowlite.kTfLiteOk) throw ModelException("$name: TensorFlow Lite failed to $step: status $status")
    }

    private fun info(tensor: String, input: Boolean): TensorInfo {
        val about = if (input) runner.input_tensor(tensor) else runner.output_tensor(tensor)
        val type = when (val kind = about.type()) {
            tensorflowlite.kTfLiteInt8 -> ElementType.INT8
            tensorflowlite.kTfLiteUInt8 -> ElementType.UINT8
            tensorflowlite.kTfLiteInt16 -> ElementType.INT16
            tensorflowlite.kTfLiteFloat32 -> ElementType.FLOAT32
            else -> throw ModelException("$name: expected tensor '$tensor' of int8, uint8, int16 or float32, got type $kind")
        }
        val dims = about.dims()
        val scale = about.params().scale().takeIf { it != 0f && type != ElementType.FLOAT32 }
        return TensorInfo(tensor, List(dims.size()) { dims.data(it) }, type, scale, about.params().zero_point())
    }

    companion object {
        private const val SIGNATURE = "serving_default"

        init {
            // JavaCPP refuses to allocate once the process is 4 Java heaps large, which graphics alone may be.
            System.setProperty("org.bytedeco.javacpp.maxPhysicalBytes", "0")
        }

        /** Of the library. @throws LinkageError there is none for this machine. */
        val version: String get() = tensorflowlite.TfLiteVersion().string

        private fun stored(content: ByteBuffer): BytePointer {
            val whole = content.duplicate().apply { rewind() }
            if (whole.isDirect) return BytePointer(whole)
            return BytePointer(*ByteArray(whole.remaining()).also { whole.get(it) })
        }

        private fun content(tensor: TfLiteTensor): ByteBuffer =
            BytePointer(tensor.data().data()).capacity(tensor.bytes()).asByteBuffer().order(ByteOrder.nativeOrder())

        private fun names(pointers: PointerPointer<*>, count: Long): List<String> =
            (0 until count).map { BytePointer(pointers.get(it)).string }
    }
}
