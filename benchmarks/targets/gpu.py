"""A GPU through LiteRT's CompiledModel and its accelerator on Vulkan, or a software Vulkan driver.

The model runs on the GPU in full or not at all: the GPU alone is asked for, and LiteRT then refuses
a model of which it would leave a part to the CPU. Without a GPU the same code runs on a software
driver (SwiftShader comes with Chromium); that is labelled software and is no GPU's speed.
"""

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError, one_line
from asmnet_kit.benchmarks.options import GPU_PRECISION
from asmnet_kit.benchmarks.protocol import Abilities, Measurement, OnProgress, Request
from asmnet_kit.benchmarks.targets.gpu_whole import runs_without_cpu
from asmnet_kit.benchmarks.targets.native_output import captured_stderr
from asmnet_kit.benchmarks.timing.litert_library import LibraryError
from asmnet_kit.benchmarks.timing.session_timing import measure_session
from asmnet_kit.machine.vulkan import (
    SOFTWARE,
    is_software,
    loaded_drivers,
    use_software_where_needed,
)
from asmnet_kit.tflite.graph import Graph, Tensor
from asmnet_kit.tflite.reader import read_graph
from asmnet_kit.tflite.runtime import TensorInfo

if TYPE_CHECKING:  # at run time it would bring OpenCV into the measured memory
    from asmnet_kit.benchmarks.checking.check import Check
    from asmnet_kit.face.predictor import Predictor

PACKAGE = "ai-edge-litert"

HARDWARE, CPU = "gpu", "cpu"

# What LiteRT is asked besides: compiling the model for the GPU once more, in another process.
QUESTION = "LiteRtCompiledModelIsNonCpuFullyAccelerated"

ADAPTER = re.compile(r"Selected adapter: (.+)$", re.MULTILINE)
LOG_CHARACTERS = 300


class GpuTarget:
    """``--target gpu``."""

    name = "gpu"
    abilities = Abilities(rounds_differently=True, options=(GPU_PRECISION,))

    def problem(self, request: Request | None = None) -> str | None:
        try:
            version(PACKAGE)
        except PackageNotFoundError:
            return f"it needs {PACKAGE}: pip install {PACKAGE}"
        from asmnet_kit.doctor.checks import OK, check_gpu

        found = check_gpu()
        return None if found.status == OK else f"{found.detail} ({found.fix})"

    def measure(self, request: Request, on_progress: OnProgress) -> Measurement:
        use_software_where_needed()
        _import_runtime()
        session, timed = measure_session(lambda: open_gpu(request), request, on_progress)
        if not isinstance(session, GpuSession):
            raise ModelError(f"{request.model}: expected a GPU session")
        on_progress(1.0, "placement")
        unanswered = session.ask_runtime(request.model)
        warnings = []
        if session.actual == SOFTWARE:
            warnings.append(
                f"software: {session.adapter} is a Vulkan driver on the CPU; these are not the "
                f"times of a GPU"
            )
        return timed.measurement(
            request,
            target={
                "actual": session.actual,
                "threads": None,
                "delegate": f"WebGPU {session.precision}",
                "adapter": session.adapter,
                "software": session.actual == SOFTWARE,
                "delegated_ops": session.ops if session.actual != CPU else 0,
                "total_ops": session.ops,
                "proof": session.proof,
            },
            runtime={
                "name": PACKAGE,
                "version": version(PACKAGE),
                "kernels": f"WebGPU {session.precision} ({session.ops} of {session.ops} ops)",
            },
            load="read and check the file, compile the shaders; without imports",
            timed="write the input, run, read every output back from the GPU",
            parity=timed.parity,
            warnings=warnings,
            notes=unanswered,
        )

    def predictor(self, request: Request) -> "Predictor":
        from asmnet_kit.predict.open_predictor import open_tflite

        use_software_where_needed()
        return open_tflite(request.model, session=open_gpu(request), adapter=request.adapter)

    def check(self, request: Request) -> "Check":
        from asmnet_kit.benchmarks.checking.check import check_model

        return check_model(request.model, target=self.name)


GPU = GpuTarget()


class GpuSession:
    """A model compiled for the GPU alone.

    Attributes:
        inputs, outputs: by the names of the signature.
        adapter: what LiteRT says it selected.
        without_cpu: LiteRT's answer to whether nothing of the model is the CPU's; None unasked.
        actual: ``gpu``, ``software GPU``, or ``cpu`` without evidence of either.
        proof: the evidence.
    """

    def __init__(self, compiled: Any, graph: Graph, *, precision: str) -> None:
        self._compiled = compiled
        self.precision = precision
        self.ops = len(graph.ops)
        self.signature, names = next(iter(compiled.get_signature_list().items()))
        self.inputs = _infos(names["inputs"], graph.inputs, graph)
        self.outputs = _infos(names["outputs"], graph.outputs, graph)
        create_in, create_out = (
            compiled.create_input_buffer_by_name,
            compiled.create_output_buffer_by_name,
        )
        self._in = {name: create_in(self.signature, name) for name in self.inputs}
        self._out = {name: create_out(self.signature, name) for name in self.outputs}
        self.adapter: str | None = None
        self.without_cpu: bool | None = None
        self._drivers = loaded_drivers()

    @property
    def actual(self) -> str:
        if self.adapter is None or not self._drivers or self.without_cpu is False:
            return CPU
        # Several drivers may be loaded, a software one among them; the adapter is the one in use.
        return SOFTWARE if is_software(self.adapter) else HARDWARE

    @property
    def proof(self) -> list[str]:
        lines = [
            "the GPU alone was asked for: LiteRT refuses a model that it cannot place there whole",
            f"selected adapter: {self.adapter or 'none in the log'}",
            f"Vulkan drivers in this process: {', '.join(self._drivers) or 'none'}",
        ]
        if self.without_cpu is not None:
            lines.append(f"{QUESTION}: {'yes' if self.without_cpu else 'no'}")
        return lines

    def ask_runtime(self, model: Path) -> list[str]:
        """Set ``without_cpu``; why there is no answer, where there is none."""
        try:
            self.without_cpu = runs_without_cpu(model)
        except LibraryError as error:
            return [f"{QUESTION}: not asked: {error}"]
        return []

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Write, run and read back; reading waits for the GPU."""
        if inputs.keys() != self.inputs.keys():
            raise ModelError(f"expected the inputs {sorted(self.inputs)}, got {sorted(inputs)}")
        try:
            for name, values in inputs.items():
                self._in[name].write(np.ascontiguousarray(values))
            self._compiled.run_by_name(self.signature, self._in, self._out)
            return {
                name: np.asarray(
                    self._out[name].read(int(np.prod(info.shape)), info.dtype.type)
                ).reshape(info.shape)
                for name, info in self.outputs.items()
            }
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"the GPU failed to run the model: {one_line(error)}") from error


def open_gpu(request: Request) -> GpuSession:
    """Compile a model for the GPU alone.

    Raises:
        ModelError: it cannot run on the GPU in full, or there is none; the message says which
            operators the checker blames.
        UsageError: there is no such precision.
    """
    precision = request.options.get(GPU_PRECISION.name, GPU_PRECISION.choices[0])
    GPU_PRECISION.check(precision)
    graph = read_graph(request.model)
    compiled_model, hardware, options = _import_runtime()
    wanted = options.Options(
        hardware_accelerators=hardware.HardwareAccelerator.GPU,
        gpu_options=options.GpuOptions(enforce_f32=precision == "fp32"),
    )
    with captured_stderr() as said:
        try:
            compiled = compiled_model.CompiledModel.from_file(str(request.model), options=wanted)
            session = GpuSession(compiled, graph, precision=precision)
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"{request.model}: the GPU did not take the model: {one_line(error)}. "
                f"{_blame(request.model)}{_said(said())}"
            ) from error
    text = said()
    found = ADAPTER.findall(text)
    session.adapter = found[-1].strip() if found else None
    return session


def _import_runtime() -> tuple[Any, Any, Any]:
    from ai_edge_litert import compiled_model, hardware_accelerator, options

    return compiled_model, hardware_accelerator, options


def _infos(names: list[str], tensors: tuple[Tensor, ...], graph: Graph) -> dict[str, TensorInfo]:
    """Facts of each tensor by the compiled model's name for it."""
    own = {theirs: mine for mine, theirs in graph.signature}
    by_name = {tensor.name: tensor for tensor in tensors}
    infos = {}
    for number, name in enumerate(names):
        tensor = by_name.get(own.get(name, name), tensors[min(number, len(tensors) - 1)])
        scale = tensor.scales[0] if tensor.scales else 0.0
        zero_point = tensor.zero_points[0] if tensor.zero_points else 0
        infos[name] = TensorInfo(
            name, tensor.shape, np.dtype(tensor.type), scale or None, zero_point
        )
    return infos


def _blame(model: Path) -> str:
    """Which operators the checker thinks are to blame."""
    from asmnet_kit.benchmarks.checking.check import check_model

    blocked = [v for v in check_model(model, target="gpu").ops if not v.mapped]
    if not blocked:
        return "asmnet-kit check --target gpu sees no reason for it"
    names = list(dict.fromkeys(f"{v.op.name}: {v.reason}" for v in blocked))
    return f"asmnet-kit check --target gpu blames {'; '.join(names)}"


def _said(log: str) -> str:
    """What LiteRT says about single operators, where it does."""
    _, sign, rest = log.partition("Following operations are not supported")
    return f" (log:{rest[:LOG_CHARACTERS].rstrip()})".replace("\n", " ") if sign else ""
