package org.asmnetkit.demo

import org.asmnetkit.core.AcceleratorChoice
import org.asmnetkit.core.EngineFactory
import org.asmnetkit.cpu.CpuEngine

/** Opens models as asked, or on the CPU with the reason for that. */
val phoneEngines: EngineFactory = AcceleratorChoice(CpuEngine.Runtime, accelerators)
