package org.asmnetkit.demo

import org.asmnetkit.core.AcceleratorRuntime

/** GPU and NNAPI of this build. */
val accelerators: AcceleratorRuntime = DelegateEngine.Runtime()
