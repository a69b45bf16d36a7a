"""The C interface of ai-edge-litert's library: all that the benchmarks use of its private parts.

The interface is no public promise. Its structs and numbers stand here, as they are in the versions
of ``LITERT``; another minor release is refused, since a wrong layout raises no error. Every call is
checked, and each question is a file that runs in a process of its own, so that what goes wrong
costs a message and not the benchmark.
"""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from asmnet_kit.base.errors import KitError, MissingDependency
from asmnet_kit.base.own_process import script_command
from asmnet_kit.tflite.litert_private import LITERT
from asmnet_kit.tflite.reader import read_graph

LIBRARY = "libLiteRt.so"
GPU_LIBRARY = "libLiteRtWebGpuAccelerator.so"

CPU_ACCELERATOR, GPU_ACCELERATOR = 1, 2  # kLiteRtHwAcceleratorCpu, kLiteRtHwAcceleratorGpu
LOCK_WRITE = 1
RANKED_TENSOR_TYPE_BYTES = 128  # LiteRtRankedTensorType: 80 bytes, with room to spare
MAX_EVENTS = 1_000_000


class LibraryError(KitError):
    """No answer; the message says why."""


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


class LiteRt:
    """The library's C functions, each call of which is checked.

    Raises:
        MissingDependency: the package is not installed.
        LibraryError: its library cannot be loaded.

    Attributes:
        folder: where the package's libraries lie.
    """

    def __init__(self) -> None:
        spec = find_spec("ai_edge_litert")
        if spec is None or spec.origin is None:
            raise MissingDependency(
                f"{LITERT.package} is not installed: pip install {LITERT.package}"
            )
        self.folder = Path(spec.origin).parent
        self._library = self.load(LIBRARY)

    def load(self, name: str) -> ctypes.CDLL:
        """Load a library of the package, to be found by its name from then on."""
        try:
            return ctypes.CDLL(str(self.folder / name), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise LibraryError(f"{name} cannot be loaded: {error}") from error

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function that returns a status.

        Raises:
            MissingDependency: this version has no such function.
            LibraryError: the status is not 0.
        """
        function = LITERT.open(name, lambda: getattr(self._library, name))
        function.restype = ctypes.c_int
        status = function(*arguments)
        if status:
            raise LibraryError(
                f"{name} of {LITERT.package} {LITERT.installed} failed with status {status}"
            )

    def handle(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """Call a function whose last argument returns a handle."""
        made = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(made))
        return made

    def compile(self, model: Path, accelerator: int, **options: str) -> "CompiledModel":
        """A model made ready for one accelerator.

        Args:
            options: a line of text for each part of the library that takes some.
        """
        environment = self.handle("LiteRtCreateEnvironment", ctypes.c_int(0), None)
        loaded = self.handle("LiteRtCreateModelFromFile", environment, str(model).encode())
        chosen = self.handle("LiteRtCreateOptions")
        self.call("LiteRtSetOptionsHardwareAccelerators", chosen, ctypes.c_int(accelerator))
        for part, line in options.items():
            # The text is the library's, which frees it with the function that it is given.
            libc = ctypes.CDLL(None)
            libc.strdup.restype = ctypes.c_void_p
            text = ctypes.c_void_p(libc.strdup(f"{line}\n".encode()))
            free = ctypes.cast(libc.free, ctypes.c_void_p)
            opaque = self.handle("LiteRtCreateOpaqueOptions", part.encode(), text, free)
            self.call("LiteRtAddOpaqueOptions", chosen, opaque)
        compiled = self.handle("LiteRtCreateCompiledModel", environment, loaded, chosen)
        return CompiledModel(self, environment, loaded, compiled)


class CompiledModel:
    """A model that the library compiled; of its signatures, the first."""

    def __init__(
        self,
        litert: LiteRt,
        environment: ctypes.c_void_p,
        model: ctypes.c_void_p,
        compiled: ctypes.c_void_p,
    ) -> None:
        self._litert, self._environment, self._model = litert, environment, model
        self._compiled = compiled

    def runs_without_cpu(self) -> bool:
        """Does an accelerator that is no CPU take every operator?"""
        fully = ctypes.c_bool()
        self._litert.call(
            "LiteRtCompiledModelIsNonCpuFullyAccelerated", self._compiled, ctypes.byref(fully)
        )
        return fully.value

    def profile(self, *, warmup_runs: int, runs: int) -> list[tuple[str, int, int, int]]:
        """Run the model on small numbers and record the events of its kernels.

        The model must be compiled with ``enable_profiling``.

        Returns:
            (kernel, type of the event, number of the operator, microseconds) of each.
        """
        profiler = self._litert.handle("LiteRtCompiledModelGetProfiler", self._compiled)
        inputs, outputs = self._buffers("Input"), self._buffers("Output")
        for buffer in inputs:
            self._fill(buffer)
        for _ in range(warmup_runs):
            self._run(inputs, outputs)
        self._litert.call("LiteRtStartProfiler", profiler)
        for _ in range(runs):
            self._run(inputs, outputs)
        self._litert.call("LiteRtStopProfiler", profiler)
        return self._events(profiler)

    def _run(self, inputs: list[ctypes.c_void_p], outputs: list[ctypes.c_void_p]) -> None:
        self._litert.call(
            "LiteRtRunCompiledModel", self._compiled, ctypes.c_size_t(0),
            ctypes.c_size_t(len(inputs)), (ctypes.c_void_p * len(inputs))(*inputs),
            ctypes.c_size_t(len(outputs)), (ctypes.c_void_p * len(outputs))(*outputs),
        )  # fmt: skip

    def _buffers(self, which: str) -> list[ctypes.c_void_p]:
        """A buffer for each input or output."""
        call, handle = self._litert.call, self._litert.handle
        graph = handle("LiteRtGetModelSubgraph", self._model, ctypes.c_size_t(0))
        count = ctypes.c_size_t()
        call(f"LiteRtGetNumSubgraph{which}s", graph, ctypes.byref(count))
        buffers = []
        for index in range(count.value):
            place = ctypes.c_size_t(index)
            tensor = handle(f"LiteRtGetSubgraph{which}", graph, place)
            kind = (ctypes.c_int32 * (RANKED_TENSOR_TYPE_BYTES // 4))()
            call("LiteRtGetRankedTensorType", tensor, ctypes.byref(kind))
            needed = handle(
                f"LiteRtGetCompiledModel{which}BufferRequirements",
                self._compiled,
                ctypes.c_size_t(0),
                place,
            )
            made = "LiteRtCreateManagedTensorBufferFromRequirements"
            buffers.append(handle(made, self._environment, ctypes.byref(kind), needed))
        return buffers

    def _fill(self, buffer: ctypes.c_void_p) -> None:
        """Bytes of 1: small numbers in every type of tensor."""
        call = self._litert.call
        size = ctypes.c_size_t()
        call("LiteRtGetTensorBufferPackedSize", buffer, ctypes.byref(size))
        memory = ctypes.c_void_p()
        call("LiteRtLockTensorBuffer", buffer, ctypes.byref(memory), ctypes.c_int(LOCK_WRITE))
        if memory.value:
            ctypes.memset(memory.value, 1, size.value)
        call("LiteRtUnlockTensorBuffer", buffer)

    def _events(self, profiler: ctypes.c_void_p) -> list[tuple[str, int, int, int]]:
        count = ctypes.c_int()
        self._litert.call("LiteRtGetNumProfilerEvents", profiler, ctypes.byref(count))
        if not 0 <= count.value <= MAX_EVENTS:
            raise LibraryError(
                f"{LITERT.package} {LITERT.installed} reports {count.value} events of its profiler"
            )
        events = (_Event * count.value)()
        number = ctypes.c_int(count.value)
        self._litert.call("LiteRtGetProfilerEvents", profiler, number, events)
        return [
            (
                (event.tag or b"?").decode(errors="replace"),
                int(event.type),
                int(event.metadata1),
                int(event.elapsed_us),
            )
            for event in events
        ]


def ask(script: Path, model: Path, *arguments: str, timeout_s: float) -> Any:
    """What a Python file answers for a model, in a process of its own.

    Args:
        script: the file, which run as a program calls ``answer``.
        arguments: of the question, beside the model.

    Raises:
        LibraryError: there is no answer here; the message says why.
    """
    what = f"the library of {LITERT.package} {LITERT.installed}"
    try:
        done = subprocess.run(
            script_command(script, str(model), *arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LibraryError(f"{what} did not end within {timeout_s:.0f} s") from error
    for line in done.stdout.decode(errors="replace").splitlines():
        if line.startswith('{"error"'):
            raise LibraryError(str(json.loads(line)["error"]))
        if line.startswith('{"answer"'):
            return json.loads(line)["answer"]
    how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    raise LibraryError(f"{what} ended with {how} and no result")


def answer(question: Callable[..., Any]) -> None:
    """Print what ``question(model, *arguments)`` of ``sys.argv`` says, for ``ask``; then end."""
    model, arguments = Path(sys.argv[1]), sys.argv[2:]
    try:
        LITERT.refuse_untried()
        read_graph(model)  # what is damaged would crash the library
        line = json.dumps({"answer": question(model, *arguments)})
    except KitError as error:
        line = json.dumps({"error": str(error)})
    print(line, flush=True)
    # The library's own clean-up at the end of a process is not safe after profiling.
    os._exit(0)
