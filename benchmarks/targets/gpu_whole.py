"""LiteRT's own answer to whether anything but the CPU runs all of a model.

``is_fully_accelerated()`` of the Python package counts XNNPACK as an accelerator; the C interface
has the question without it.
"""

import ctypes
from pathlib import Path

from asmnet_kit.benchmarks.timing.litert_library import LiteRt, answer, ask

GPU_ACCELERATOR = 2  # kLiteRtHwAcceleratorGpu
ACCELERATOR_LIBRARY = "libLiteRtWebGpuAccelerator.so"
TIMEOUT_S = 60.0  # a worker that says nothing for twice as long is stopped


def runs_without_cpu(model: Path, *, timeout_s: float = TIMEOUT_S) -> bool:
    """Does the GPU take every operator? The model is compiled again, in a process of its own.

    Raises:
        LibraryError: the library has no answer here; the message says why.
    """
    return bool(ask(Path(__file__), model, timeout_s=timeout_s))


def _non_cpu_fully_accelerated(model: Path, *, accelerators: int = GPU_ACCELERATOR) -> bool:
    from asmnet_kit.machine.vulkan import use_software_where_needed

    use_software_where_needed()
    litert = LiteRt()
    litert.load(ACCELERATOR_LIBRARY)  # the library looks for it by its name alone
    environment = litert.handle("LiteRtCreateEnvironment", ctypes.c_int(0), None)
    loaded = litert.handle("LiteRtCreateModelFromFile", environment, str(model).encode())
    options = litert.handle("LiteRtCreateOptions")
    litert.call("LiteRtSetOptionsHardwareAccelerators", options, ctypes.c_int(accelerators))
    compiled = litert.handle("LiteRtCreateCompiledModel", environment, loaded, options)
    fully = ctypes.c_bool()
    litert.call("LiteRtCompiledModelIsNonCpuFullyAccelerated", compiled, ctypes.byref(fully))
    return fully.value


if __name__ == "__main__":
    answer(_non_cpu_fully_accelerated)
