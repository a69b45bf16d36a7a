"""The time of each operator on the CPU, from the profiler inside ai-edge-litert's own library.

It runs in a process of its own: this file, as a program.
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asmnet_kit.base.errors import KitError
from asmnet_kit.benchmarks.timing import litert_library
from asmnet_kit.benchmarks.timing.litert_library import (
    LibraryError,
    LiteRt,
    answer,
    ask,
    installed_version,
)

PACKAGE = litert_library.PACKAGE  # whose profiler it is

RUNS = 50
WARMUP_RUNS = 10
TIMEOUT_S = 120.0

CPU_ACCELERATOR = 1  # kLiteRtHwAcceleratorCpu
LOCK_READ, LOCK_WRITE = 0, 1
# Events of TensorFlow Lite's profiler: an operator's own kernel, and one inside of a delegate.
OPERATOR_EVENT, DELEGATE_EVENT = 2, 8
RANKED_TENSOR_TYPE_BYTES = 128  # LiteRtRankedTensorType: 80 bytes, with room to spare
MAX_EVENTS = 1_000_000


class ProfileError(KitError):
    """No profile; the message says why."""


class _Memory(ctypes.Structure):
    _fields_ = [
        ("allocated", ctypes.c_size_t),
        ("in_use", ctypes.c_size_t),
        ("private", ctypes.c_size_t),
    ]


class _Event(ctypes.Structure):
    """``ProfiledEventData`` of litert/c/litert_profiler_event.h."""

    _fields_ = [
        ("tag", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("start_us", ctypes.c_uint64),
        ("elapsed_us", ctypes.c_uint64),
        ("begin_memory", _Memory),
        ("end_memory", _Memory),
        ("metadata1", ctypes.c_uint64),  # number of the operator
        ("metadata2", ctypes.c_uint64),
        ("source", ctypes.c_int),
    ]


def profile_model(
    model: Path, *, threads: int = 1, timeout_s: float = TIMEOUT_S
) -> list[dict[str, Any]]:
    """Usual time of each operator over some runs on the CPU, in the order of execution.

    Args:
        threads: of the kernels. The CPUs are those of this process, which the profiler inherits.

    Returns:
        Dicts of ``op`` (the kernel), ``name`` (kernel and number), ``microseconds``, ``share`` of
        the sum, ``target`` (``xnnpack`` or ``builtin``).

    Raises:
        ProfileError: not to be had here; the message says why.
    """
    try:
        profile: list[dict[str, Any]] = ask(
            Path(__file__), model, str(threads), timeout_s=timeout_s
        )
    except LibraryError as error:
        raise ProfileError(str(error)) from error
    return profile


def summarised(events: Sequence[tuple[str, int, int, int]]) -> list[dict[str, Any]]:
    """Events as the result's ``profile``.

    Args:
        events: (kernel, type, number of the operator, microseconds).
    """
    times: dict[tuple[str, int, int], list[int]] = {}
    for tag, kind, number, elapsed in events:
        delegate_node = kind == OPERATOR_EVENT and "delegate" in tag.lower()
        if kind in (OPERATOR_EVENT, DELEGATE_EVENT) and not delegate_node:
            times.setdefault((tag, kind, number), []).append(elapsed)
    means = {key: _middle_mean(values) for key, values in times.items()}
    total = sum(means.values()) or 1.0
    return [
        {
            "op": tag,
            "name": f"{tag} #{number}",
            "microseconds": round(mean, 3),
            "share": round(mean / total, 5),
            "target": "xnnpack" if kind == DELEGATE_EVENT else "builtin",
        }
        for (tag, kind, number), mean in means.items()
    ]


def _middle_mean(values: Sequence[int]) -> float:
    """The mean of the middle half.

    The profiler counts whole microseconds, so a median would be coarse; and a run during which
    another process had the CPU counts a thousand times what the operator takes.
    """
    ordered = sorted(values)
    quarter = len(ordered) // 4
    middle = ordered[quarter : len(ordered) - quarter]
    return sum(middle) / len(middle)


def _profile_here(model: Path, threads: str) -> list[dict[str, Any]]:
    """Profile in this process, which may not survive it."""
    litert = LiteRt()
    environment = litert.handle("LiteRtCreateEnvironment", ctypes.c_int(0), None)
    loaded = litert.handle("LiteRtCreateModelFromFile", environment, str(model).encode())
    options = litert.handle("LiteRtCreateOptions")
    litert.call("LiteRtSetOptionsHardwareAccelerators", options, ctypes.c_int(CPU_ACCELERATOR))
    _tell(litert, options, "runtime_options_string", "enable_profiling = true")
    _tell(litert, options, "xnnpack", f"num_threads = {threads}")
    compiled = litert.handle("LiteRtCreateCompiledModel", environment, loaded, options)
    profiler = litert.handle("LiteRtCompiledModelGetProfiler", compiled)
    inputs = _buffers(litert, environment, loaded, compiled, "Input")
    outputs = _buffers(litert, environment, loaded, compiled, "Output")
    for buffer in inputs:
        _fill(litert, buffer)

    def run() -> None:
        litert.call(
            "LiteRtRunCompiledModel", compiled, ctypes.c_size_t(0),
            ctypes.c_size_t(len(inputs)), (ctypes.c_void_p * len(inputs))(*inputs),
            ctypes.c_size_t(len(outputs)), (ctypes.c_void_p * len(outputs))(*outputs),
        )  # fmt: skip

    for _ in range(WARMUP_RUNS):
        run()
    litert.call("LiteRtStartProfiler", profiler)
    for _ in range(RUNS):
        run()
    litert.call("LiteRtStopProfiler", profiler)
    return summarised(_events(litert, profiler))


def _tell(litert: LiteRt, options: ctypes.c_void_p, whom: str, line: str) -> None:
    """Options travel as text that the library frees with the function it is given."""
    libc = ctypes.CDLL(None)
    libc.strdup.restype = ctypes.c_void_p
    text = ctypes.c_void_p(libc.strdup(f"{line}\n".encode()))
    free = ctypes.cast(libc.free, ctypes.c_void_p)
    opaque = litert.handle("LiteRtCreateOpaqueOptions", whom.encode(), text, free)
    litert.call("LiteRtAddOpaqueOptions", options, opaque)


def _buffers(
    litert: LiteRt,
    environment: ctypes.c_void_p,
    model: ctypes.c_void_p,
    compiled: ctypes.c_void_p,
    which: str,
) -> list[ctypes.c_void_p]:
    """A buffer for each input or output of the first signature."""
    graph = litert.handle("LiteRtGetModelSubgraph", model, ctypes.c_size_t(0))
    count = ctypes.c_size_t()
    litert.call(f"LiteRtGetNumSubgraph{which}s", graph, ctypes.byref(count))
    buffers = []
    for index in range(count.value):
        place = ctypes.c_size_t(index)
        tensor = litert.handle(f"LiteRtGetSubgraph{which}", graph, place)
        kind = (ctypes.c_int32 * (RANKED_TENSOR_TYPE_BYTES // 4))()
        litert.call("LiteRtGetRankedTensorType", tensor, ctypes.byref(kind))
        needed = litert.handle(
            f"LiteRtGetCompiledModel{which}BufferRequirements", compiled, ctypes.c_size_t(0), place
        )
        buffers.append(
            litert.handle(
                "LiteRtCreateManagedTensorBufferFromRequirements",
                environment,
                ctypes.byref(kind),
                needed,
            )
        )
    return buffers


def _fill(litert: LiteRt, buffer: ctypes.c_void_p) -> None:
    """Bytes of 1: small numbers in every type of tensor."""
    size = ctypes.c_size_t()
    litert.call("LiteRtGetTensorBufferPackedSize", buffer, ctypes.byref(size))
    memory = ctypes.c_void_p()
    litert.call("LiteRtLockTensorBuffer", buffer, ctypes.byref(memory), ctypes.c_int(LOCK_WRITE))
    if memory.value:
        ctypes.memset(memory.value, 1, size.value)
    litert.call("LiteRtUnlockTensorBuffer", buffer)


def _events(litert: LiteRt, profiler: ctypes.c_void_p) -> list[tuple[str, int, int, int]]:
    count = ctypes.c_int()
    litert.call("LiteRtGetNumProfilerEvents", profiler, ctypes.byref(count))
    if not 0 <= count.value <= MAX_EVENTS:
        raise LibraryError(f"{PACKAGE} {installed_version()} reports {count.value} events")
    events = (_Event * count.value)()
    litert.call("LiteRtGetProfilerEvents", profiler, ctypes.c_int(count.value), events)
    return [
        (
            (event.tag or b"?").decode(errors="replace"),
            int(event.type),
            int(event.metadata1),
            int(event.elapsed_us),
        )
        for event in events
    ]


if __name__ == "__main__":
    answer(_profile_here)
