package org.asmnetkit.jvm

import java.io.File
import java.nio.ByteBuffer
import java.nio.channels.Channels
import org.asmnetkit.core.Accelerator
import org.asmnetkit.core.Backend
import org.asmnetkit.core.ModelFile
import org.asmnetkit.core.TensorFile
import org.asmnetkit.core.TensorKind
import org.asmnetkit.cpu.CpuEngine

/** Runs a model on every record of a file of raw inputs and writes its raw outputs: MODEL INPUTS OUTPUTS. */
fun main(arguments: Array<String>) {
    val (path, given, written) = arguments.map(::File)
    val model = ModelFile.read(path.name, direct(path))
    val inputs = TensorFile.read(given.name, direct(given))
    CpuEngine.Runtime.open(model, Backend(Accelerator.CPU, threads = 1), null).use { engine ->
        require(inputs.tensors == listOf(TensorKind.of(engine.input))) { "expected inputs of ${engine.input}, got ${inputs.tensors}" }
        val input = engine.input.allocate()
        val outputs = engine.outputs.mapValues { it.value.allocate() }
        written.outputStream().use { out ->
            TensorFile.writeHeader(out, engine.outputs.values.map(TensorKind::of), inputs.records)
            val channel = Channels.newChannel(out)
            for (number in 0 until inputs.records) {
                input.rewind()
                input.put(inputs.record(number))
                engine.run(input, outputs)
                outputs.values.forEach(channel::write)
            }
        }
        println(engine.runtimeVersion)
    }
}

private fun direct(file: File): ByteBuffer =
    file.readBytes().let { ByteBuffer.allocateDirect(it.size).apply { put(it); rewind() } }
