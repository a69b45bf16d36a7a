package org.asmnetkit.demo

import org.asmnetkit.core.Accelerator
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Test
import org.junit.runner.RunWith
import org.robolectric.RobolectricTestRunner
import org.robolectric.annotation.Config

@RunWith(RobolectricTestRunner::class)
@Config(sdk = [35])
class DelegateRuntimeTest {
    @Test
    fun `on 16 KiB pages GPU and NNAPI are refused with the reason, and no library is loaded`() {
        val runtime = DelegateEngine.Runtime(pageBytes = { 16384 })
        for (accelerator in listOf(Accelerator.GPU, Accelerator.NNAPI)) {
            assertEquals(
                "${accelerator.id}: this phone has memory pages of 16 KiB, TensorFlow Lite's library for it is for 4 KiB",
                runtime.unavailable(accelerator),
            )
        }
    }

    @Test
    fun `on 4 KiB pages they are tried`() {
        val runtime = DelegateEngine.Runtime(pageBytes = { 4096 })
        assertNull(runtime.unavailable(Accelerator.GPU))
        assertNull(runtime.unavailable(Accelerator.NNAPI))
    }
}
