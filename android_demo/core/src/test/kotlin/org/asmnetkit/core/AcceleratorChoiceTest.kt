package org.asmnetkit.core

import java.nio.ByteBuffer
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test

class AcceleratorChoiceTest {
    private val file = ModelFile.read("nano_98_112_qat_w8a8.tflite", ByteBuffer.wrap(Golden.read("model_file")["model"].bytes))
    private val untested = "gpu: TensorFlow Lite's list of tested devices does not have this one"

    private class Opened(
        override val requested: Backend,
        override val actual: Accelerator,
        override val refusal: String?,
        override val warnings: List<String>,
    ) : Engine {
        override val runtimeName = "fake"
        override val runtimeVersion = "0"
        override val kernels = "none"
        override val proof = "none"
        override val delegatedOps: Int? = null
        override val input = TensorInfo("image", listOf(1), ElementType.FLOAT32, null, 0)
        override val outputs = emptyMap<String, TensorInfo>()
        override fun run(input: ByteBuffer, outputs: Map<String, ByteBuffer>) = Unit
        override fun close() = Unit
    }

    /** A phone that [onOpen] lets open what it does not throw at. */
    private fun phone(
        unavailable: String? = null,
        doubts: List<String> = emptyList(),
        onOpen: (Accelerator) -> Unit = {},
    ) = AcceleratorChoice(
        { _, requested, refusal ->
            onOpen(Accelerator.CPU)
            Opened(requested, Accelerator.CPU, refusal, emptyList())
        },
        object : AcceleratorRuntime {
            override fun unavailable(accelerator: Accelerator) = unavailable

            override fun doubts(accelerator: Accelerator) = doubts

            override fun open(model: ModelFile, requested: Backend, warnings: List<String>): Engine {
                onOpen(requested.accelerator)
                return Opened(requested, requested.accelerator, refusal = null, warnings)
            }
        },
    )

    private val gpu = Backend(Accelerator.GPU, 1)

    @Test
    fun `a GPU that no list of tested devices has is tried all the same`() {
        val engine = phone(doubts = listOf(untested)).open(file, gpu)
        assertEquals(Accelerator.GPU, engine.actual)
        assertNull(engine.refusal)
        assertEquals(listOf(untested), engine.warnings)
    }

    @Test
    fun `a GPU that does not take the model leaves it to the CPU with the reason`() {
        for ((error, reason) in mapOf(
            IllegalStateException("took none of\nthe operators") to "gpu refused this model: took none of the operators",
            UnsatisfiedLinkError("no libgpu.so") to "gpu cannot be loaded: no libgpu.so",
        )) {
            val engine = phone(doubts = listOf(untested)) { if (it == Accelerator.GPU) throw error }.open(file, gpu)
            assertEquals(Accelerator.CPU, engine.actual)
            assertEquals(reason, engine.refusal)
            assertEquals(emptyList<String>(), engine.warnings) // of an accelerator that did not run
        }
    }

    @Test
    fun `what cannot be tried is not tried`() {
        val opened = ArrayList<Accelerator>()
        val engine = phone(unavailable = "nnapi: needs Android 8.1 or newer") { opened += it }.open(file, Backend(Accelerator.NNAPI, 1))
        assertEquals(listOf(Accelerator.CPU), opened)
        assertEquals("nnapi: needs Android 8.1 or newer", engine.refusal)
    }

    @Test
    fun `a model that not even the CPU takes is an error`() {
        val error = assertThrows(ModelException::class.java) {
            phone { throw UnsatisfiedLinkError("no libtflite.so") }.open(file, gpu)
        }
        assertTrue("cannot be loaded on this device" in error.message.orEmpty())
    }
}
