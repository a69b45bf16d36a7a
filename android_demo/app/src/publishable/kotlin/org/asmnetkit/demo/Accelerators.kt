package org.asmnetkit.demo

import org.asmnetkit.core.Accelerator
import org.asmnetkit.core.AcceleratorRuntime
import org.asmnetkit.core.Backend
import org.asmnetkit.core.Engine
import org.asmnetkit.core.ModelException
import org.asmnetkit.core.ModelFile

/**
 * GPU and NNAPI of this build: none. A store takes no library for 4 KiB memory pages, and the last of
 * TensorFlow Lite with these delegates on Maven Central are for those.
 */
val accelerators: AcceleratorRuntime = object : AcceleratorRuntime {
    override fun unavailable(accelerator: Accelerator) =
        "${accelerator.id}: this build of the app has the CPU alone (RUNTIME=publishable)"

    override fun doubts(accelerator: Accelerator) = emptyList<String>()

    override fun open(model: ModelFile, requested: Backend, warnings: List<String>): Engine =
        throw ModelException(unavailable(requested.accelerator))
}
