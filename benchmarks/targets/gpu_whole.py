"""LiteRT's own answer to whether anything but the CPU runs all of a model.

``is_fully_accelerated()`` of the Python package counts XNNPACK as an accelerator; the C interface
has the question without it. It runs in a process of its own: this file, as a program.
"""

from pathlib import Path

from asmnet_kit.benchmarks.timing.litert_library import (
    GPU_ACCELERATOR,
    GPU_LIBRARY,
    LiteRt,
    answer,
    ask,
)

TIMEOUT_S = 60.0  # a worker that says nothing for twice as long is stopped


def runs_without_cpu(model: Path, *, timeout_s: float = TIMEOUT_S) -> bool:
    """Does the GPU take every operator? The model is compiled again, in a process of its own.

    Raises:
        LibraryError: the library has no answer here; the message says why.
    """
    return bool(ask(Path(__file__), model, timeout_s=timeout_s))


def _runs_without_cpu_here(model: Path, *, accelerators: int = GPU_ACCELERATOR) -> bool:
    from asmnet_kit.machine.vulkan import use_software_where_needed

    use_software_where_needed()
    litert = LiteRt()
    litert.load(GPU_LIBRARY)  # the library looks for it by its name alone
    return litert.compile(model, accelerators).runs_without_cpu()


if __name__ == "__main__":
    answer(_runs_without_cpu_here)
