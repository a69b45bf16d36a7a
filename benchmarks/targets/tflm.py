"""TensorFlow Lite Micro, the runtime of microcontrollers, run on this machine.

It tells what no device is needed for: whether TFLM has every kernel, how large its arena is and how
far its outputs are from the CPU's. Its reference kernels on a PC are no microcontroller's: the
times are this machine's, and each result says so.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import MissingDependency, ModelError, one_line, require
from asmnet_kit.benchmarks.checking.check import Check
from asmnet_kit.benchmarks.protocol import Abilities, Measurement, OnProgress, Request
from asmnet_kit.benchmarks.targets.native_output import captured_stderr
from asmnet_kit.benchmarks.timing.output_check import KeptRun
from asmnet_kit.benchmarks.timing.session_timing import measure_session, output_check
from asmnet_kit.benchmarks.timing.timed_inputs import random_input, timed_inputs
from asmnet_kit.tflite.accelerator_placement import FULL, REFUSED, OpVerdict
from asmnet_kit.tflite.graph import Graph, Tensor
from asmnet_kit.tflite.reader import graph_of, read_model_bytes
from asmnet_kit.tflite.rulings import MAPPED_TO_TFLM, REFUSED_BY_TFLM, Ruling
from asmnet_kit.tflite.runtime import TensorInfo

if TYPE_CHECKING:  # at run time it would bring OpenCV into the measured memory
    from asmnet_kit.face.predictor import Predictor

PACKAGE, MODULE, EXTRA = "tflite-micro", "tflite_micro", "tflm"

KERNELS = "TFLM's reference kernels"
ARENA_FACTOR = 10  # of the file's size and of the largest tensor: TFLM's own guess, made safe
ARENA_LEAST = 1 << 20
ARENA_MOST = (1 << 31) - 1  # TFLM counts its arena in 32 bits
ARENA = re.compile(r"Arena allocation total (\d+) bytes")
FAILED = re.compile(r"Node (\w+) \(number (\d+)\) failed to (?:prepare|initialize|invoke)")
LOG_CHARACTERS = 300
HOST_TIME = (
    "host time is not device time: TFLM's reference kernels ran on this machine's CPU, and no "
    "microcontroller was measured"
)
CURE = (
    "quantize the whole model to int8 and use operators of TFLM's resolver; float16 weights and "
    "dynamic-range weights have no kernels there"
)


class TflmTarget:
    """``--target tflm``."""

    name = "tflm"
    abilities = Abilities(
        accelerator=False,
        patience_s=300.0,  # a large model takes seconds a run in reference kernels
        crash_hint="TFLM has few checks: asmnet-kit audit says whether the model is damaged.",
    )

    def problem(self, request: Request | None = None) -> str | None:
        try:
            import_runtime()
        except MissingDependency as error:
            return str(error)
        return None

    def measure(self, request: Request, on_progress: OnProgress) -> Measurement:
        import_runtime()  # importing the runtime is not loading the model
        session, timed = measure_session(lambda: TflmSession(request.model), request, on_progress)
        assert isinstance(session, TflmSession)
        timed.memory["model_arena_bytes"] = session.arena_bytes()
        return timed.measurement(
            request,
            target={
                "actual": "cpu",
                "threads": None,
                "delegate": "TFLM",
                "delegated_ops": 0,
                "total_ops": session.total_ops,
                "proof": [
                    f"{PACKAGE} {session.version}: its interpreter ran the model in this process",
                    f"its allocator recorded an arena of {session.arena_bytes()} bytes",
                ],
            },
            runtime={
                "name": PACKAGE,
                "version": session.version,
                "kernels": f"{KERNELS} ({session.total_ops} ops)",
            },
            load="make the interpreter, allocate its arena, prepare the kernels; without imports",
            timed="copy the input in, invoke, copy every output out",
            parity=timed.parity,
            warnings=[HOST_TIME],
        )

    def predictor(self, request: Request) -> "Predictor":
        from asmnet_kit.predict.open_predictor import open_tflite

        return open_tflite(
            request.model, session=TflmSession(request.model), adapter=request.adapter
        )

    def check(self, request: Request) -> Check:
        """Run the model in TFLM on this machine.

        Raises:
            MissingDependency: tflite-micro is not installed.
            ModelError: the file cannot be read.
        """
        import_runtime()
        graph = graph_of(read_model_bytes(request.model), name=str(request.model))
        try:
            session = TflmSession(request.model)
            session.run({name: random_input(info) for name, info in session.inputs.items()})
        except Refused as error:
            return _refusal(request.model, graph, error)
        return Check(
            model=str(request.model),
            target=self.name,
            verdict=FULL,
            ops=tuple(OpVerdict(op, MAPPED_TO_TFLM, "", "") for op in graph.ops),
            notes=(
                "TFLM's interpreter ran the model on this machine; the arena is that of a 64-bit "
                "machine, a 32-bit microcontroller needs less",
                HOST_TIME,
            ),
            tool=_tool(session.version),
            memory_bytes={"arena": session.arena_bytes()},
            parity=_parity(session, request),
        )


TFLM = TflmTarget()


class Refused(ModelError):
    """TFLM does not take the model; ``operator`` is the number of the one it names, or None."""

    def __init__(self, message: str, *, operator: int | None) -> None:
        super().__init__(message)
        self.operator = operator


class TflmSession:
    """A model in TFLM's interpreter, by the names of its signature.

    Attributes:
        inputs, outputs: by name.
        total_ops: of the model's main graph.
    """

    def __init__(self, model: Path) -> None:
        runtime = import_runtime()
        self.version = version(PACKAGE)
        self._model = model
        content = read_model_bytes(model)
        graph = graph_of(content, name=str(model))
        self.total_ops = len(graph.ops)
        signature = dict(graph.signature)
        self.inputs = {signature.get(t.name, t.name): _info(t, signature) for t in graph.inputs}
        self.outputs = {signature.get(t.name, t.name): _info(t, signature) for t in graph.outputs}
        with self._refusing("load"):
            self._interpreter: Any = runtime.Interpreter.from_bytes(
                content, arena_size=_arena_size(content, graph)
            )

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Raw inputs to raw outputs, both by name.

        Raises:
            ModelError: other inputs than the model's, or TFLM failed.
        """
        if inputs.keys() != self.inputs.keys():
            raise ModelError(
                f"{self._model}: expected the inputs {sorted(self.inputs)}, got {sorted(inputs)}"
            )
        with self._refusing("run"):
            for number, (name, info) in enumerate(self.inputs.items()):
                values = np.ascontiguousarray(inputs[name])
                if values.shape != info.shape or values.dtype != info.dtype:
                    raise ModelError(
                        f"{self._model}: expected {name!r} as {info.dtype} {list(info.shape)}, "
                        f"got {values.dtype} {list(values.shape)}"
                    )
                self._interpreter.set_input(values, number)
            self._interpreter.invoke()
            return {
                name: np.array(self._interpreter.get_output(number)).reshape(info.shape)
                for number, (name, info) in enumerate(self.outputs.items())
            }

    def arena_bytes(self) -> int:
        """How much of its arena the interpreter took.

        Raises:
            ModelError: this version of TFLM does not tell it.
        """
        with captured_stderr() as read:
            self._interpreter.print_allocations()
            text = read()
        found = ARENA.search(text)
        if found is None:
            raise ModelError(f"{PACKAGE} {self.version}: it told no arena: {_shortened(text)}")
        return int(found[1])

    @contextmanager
    def _refusing(self, does: str) -> Iterator[None]:
        """TFLM's errors as ours, with what its C++ code said; it says little in its exceptions."""
        with captured_stderr() as read:
            try:
                yield
            except (RuntimeError, ValueError) as error:
                text = read()
                node = FAILED.search(text)
                said = f" ({_shortened(text)})" if text.strip() else ""
                raise Refused(
                    f"{self._model}: TFLM cannot {does} it: {one_line(error)}{said}",
                    operator=int(node[2]) if node else None,
                ) from error


def import_runtime() -> Any:
    """TFLM's Python module.

    Raises:
        MissingDependency: it is not installed; the message names the command that installs it.
    """
    return require(MODULE, extra=EXTRA).runtime


def _parity(session: TflmSession, request: Request) -> dict[str, Any] | None:
    """How far TFLM's outputs are from the CPU's: as a result's ``parity``, of a model without
    landmarks in levels alone; None where neither can be told."""
    given = timed_inputs(session, request)
    runs = [
        KeptRun(f"input {number}", None, inputs, session.run(inputs))
        for number, inputs in enumerate((*given.repeated, *given.fresh), start=1)
    ]
    check = output_check(session, runs, given, request)
    check.to_json()
    levels = check.levels()
    return check.parity() or ({"inputs": len(runs), **levels} if levels else None)


def _tool(release: str) -> dict[str, Any]:
    return {"name": PACKAGE, "version": release, "options": {}}


def _refusal(model: Path, graph: Graph, error: Refused) -> Check:
    """Nothing of a model runs of which TFLM refuses a part."""
    refusal = Ruling(REFUSED_BY_TFLM, str(error), CURE, refuses_model=True)
    named = error.operator
    ops = tuple(
        OpVerdict(
            op,
            REFUSED_BY_TFLM,
            str(error) if op.index == named else "nothing of a model runs that TFLM refuses",
            CURE,
        )
        for op in graph.ops
    )
    return Check(
        model=str(model),
        target=TFLM.name,
        verdict=REFUSED,
        ops=ops,
        refusal=refusal,
        first_blocking=ops[named] if named is not None and named < len(ops) else None,
        tool=_tool(version(PACKAGE)),
    )


def _info(tensor: Tensor, signature: Mapping[str, str]) -> TensorInfo:
    return TensorInfo(
        name=signature.get(tensor.name, tensor.name),
        shape=tensor.shape,
        dtype=np.dtype(tensor.type),
        scale=tensor.scales[0] if tensor.scales else None,
        zero_point=tensor.zero_points[0] if tensor.zero_points else 0,
    )


def _arena_size(content: bytes, graph: Graph) -> int:
    """Bytes to offer TFLM; it takes what it needs, and that is what is told."""
    largest = max((t.elements * np.dtype(t.type).itemsize for t in graph.tensors), default=0)
    return min(ARENA_MOST, ARENA_LEAST + ARENA_FACTOR * (len(content) + largest))


def _shortened(text: str) -> str:
    return " ".join(text.split())[-LOG_CHARACTERS:]
