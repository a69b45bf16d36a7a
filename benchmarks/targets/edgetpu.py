"""A Coral Edge TPU through libedgetpu's delegate. Compiles the model first where that is needed.

Everything here runs in the worker's own process: a libedgetpu that does not match the runtime, or a
USB fault, ends that process and nothing else.
"""

import ctypes
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from asmnet_kit.base.errors import KitError, MissingDependency, ModelError, UsageError, one_line
from asmnet_kit.base.install import install_command
from asmnet_kit.benchmarks.checking.executable import Compiled, read_compiled
from asmnet_kit.benchmarks.edgetpu.compiler import TIMEOUT_S as COMPILER_TIMEOUT_S
from asmnet_kit.benchmarks.edgetpu.compiler import (
    Compilation,
    find_compiler,
)
from asmnet_kit.benchmarks.options import EDGETPU_COMPILER, EDGETPU_LIBRARY, EDGETPU_MODEL
from asmnet_kit.benchmarks.protocol import (
    PATIENCE_S,
    Abilities,
    Measurement,
    OnProgress,
    Request,
)
from asmnet_kit.benchmarks.targets.edgetpu_model import (
    compiled_model,
    is_compiled,
    needs_compiler,
    refuse_compiled,
)
from asmnet_kit.benchmarks.timing.session_timing import measure_session
from asmnet_kit.machine.edgetpu_library import LIBEDGETPU_BUILDS
from asmnet_kit.tflite.graph import Graph, Tensor
from asmnet_kit.tflite.litert_private import listed_operators
from asmnet_kit.tflite.reader import read_graph
from asmnet_kit.tflite.runtime import (
    Runtime,
    TensorInfo,
    installed_runtime,
    unfit_for_numpy,
)

if TYPE_CHECKING:  # at run time it would bring OpenCV into the measured memory
    from asmnet_kit.benchmarks.checking.check import Check
    from asmnet_kit.face.predictor import Predictor

LIBRARIES = {"Linux": "libedgetpu.so.1", "Darwin": "libedgetpu.1.dylib", "Windows": "edgetpu.dll"}
DELEGATE = "EdgeTpuDelegateForCustomOp"  # the name of libedgetpu's node
DEVICE_KINDS = ("usb", "pci", "")  # of "usb", "usb:0", "pci:1", ":0" or nothing

# libedgetpu 16.0 is built against TensorFlow Lite of tflite-runtime's era: that comes first.
RUNTIMES_WANTED = ("tflite-runtime", "ai-edge-litert")

NO_DEVICE = (
    "libedgetpu found no Edge TPU{which}: plug one in, pass /dev/bus/usb or /dev/apex_0 into a "
    "container, and allow the user to use it (group plugdev or apex)"
)
NO_LIBRARY = (
    "{library} cannot be loaded ({reason}): install libedgetpu1-std from Coral's Debian packages; "
    "asmnet-kit doctor prints the commands"
)
MISMATCH_SIGNS = ("Unsupported data type in custom op", "unresolved custom op")
PARTIAL = (
    "{count} operator(s) run on the CPU, not on the Edge TPU ({names}); asmnet-kit check says why"
)


class EdgeTpuTarget:
    """``--target edgetpu``."""

    name = "edgetpu"
    abilities = Abilities(
        has_devices=True,
        options=(EDGETPU_COMPILER, EDGETPU_LIBRARY, EDGETPU_MODEL),
        patience_s=PATIENCE_S + COMPILER_TIMEOUT_S,  # the compiler tells no progress
        crash_hint=f"Is the library built for the runtime? {LIBEDGETPU_BUILDS}.",
    )

    def problem(self, request: Request | None = None) -> str | None:
        from asmnet_kit.doctor.checks import OK, check_edgetpu_device, check_edgetpu_library

        missing = []
        if not (request and request.options.get(EDGETPU_LIBRARY.name)):
            checks = [check_edgetpu_library()]
            checks += [check_edgetpu_device()] if platform.system() == "Linux" else []
            missing += [f"{c.detail} ({c.fix})" for c in checks if c.status != OK]
        try:
            installed_runtime(order=RUNTIMES_WANTED)
        except MissingDependency as error:
            missing.append(str(error))
        if request is not None and needs_compiler(request):
            try:
                find_compiler(request.options.get(EDGETPU_COMPILER.name))
            except KitError as error:
                missing.append(str(error))
        if not missing:
            return None
        return "; ".join([*missing, *([_prospects(request.model)] if request else [])])

    def takes_device(self, name: str) -> bool:
        """As ``Target`` has it."""
        return name.partition(":")[0] in ("usb", "pci", "")

    def measure(self, request: Request, on_progress: OnProgress) -> Measurement:
        _check_device(request.device)
        if needs_compiler(request):
            on_progress(0.0, "compile")
        with compiled_model(request) as ready:
            inside = read_compiled(ready.path)
            session, timed = measure_session(
                lambda: open_edgetpu(ready.path, request, source=ready.source),
                request,
                on_progress,
            )
        if not isinstance(session, EdgeTpuSession):
            raise ModelError(f"{request.model}: expected an Edge TPU session")
        total, mapped = _counts(ready.compilation)
        left = inside.cpu_ops
        return timed.measurement(
            request,
            target={
                "actual": "edgetpu" if session.runtime.delegated_ops else "cpu",
                "threads": request.threads,
                "delegate": session.delegate,
                "device": request.device,
                "delegated_ops": mapped,
                "total_ops": total,
                "proof": [*session.proof, *_inside(inside)],
                "edgetpu": inside.to_json(),
            },
            runtime={
                "name": session.runtime.name,
                "version": session.runtime.version,
                "kernels": _kernels(mapped, total, left),
            },
            load="open the delegate and the compiled model; compiling is not in it",
            timed="copy the input in, invoke, copy every output out",
            parity=timed.parity,
            warnings=[PARTIAL.format(count=len(left), names=", ".join(left))] if left else [],
        )

    def predictor(self, request: Request) -> "Predictor":
        from asmnet_kit.predict.open_predictor import open_tflite

        if is_compiled(request.model):
            raise ModelError(
                f"{request.model}: a compiled model keeps no metadata, so its accuracy cannot be "
                f"measured; give the model that it was compiled from, and this one as "
                f"--edgetpu-model"
            )
        with compiled_model(request) as ready:
            session = open_edgetpu(ready.path, request, source=ready.source)
        return open_tflite(request.model, session=session, adapter=request.adapter)

    def refuse(self, request: Request) -> None:
        """As ``refuse_request`` asks.

        Raises:
            UsageError: no name of an Edge TPU, or a compiled model that is not of this one.
        """
        refuse_compiled(request)
        _check_device(request.device)

    def check(self, request: Request) -> "Check":
        from asmnet_kit.benchmarks.checking.check import check_model

        return check_model(request.model, target=self.name)


EDGETPU = EdgeTpuTarget()


class EdgeTpuSession:
    """A compiled model on an Edge TPU, by the names of the model that it was compiled from.

    Attributes:
        inputs, outputs: by name.
        delegate: name of the delegate's node.
        proof: evidence that the Edge TPU runs it.
    """

    def __init__(self, runtime: Runtime, names: dict[str, str], *, delegate: str, proof: list[str]):
        self.runtime = runtime
        self.delegate = delegate
        self.proof = proof
        self._own = {name: own for own, name in names.items()}
        self._names = names
        self.inputs: dict[str, TensorInfo] = {names[k]: v for k, v in runtime.inputs.items()}
        self.outputs: dict[str, TensorInfo] = {names[k]: v for k, v in runtime.outputs.items()}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        raw = self.runtime.run({self._own[name]: value for name, value in inputs.items()})
        return {self._names[name]: value for name, value in raw.items()}


def open_edgetpu(path: Path, request: Request, *, source: Graph | None) -> EdgeTpuSession:
    """Open a compiled model on the Edge TPU.

    Args:
        source: the graph it was compiled from, for the names of its tensors.

    Raises:
        ModelError: no library, no device, or one that does not match the runtime; the message says
            which and what to do.
    """
    name, module = installed_runtime(order=RUNTIMES_WANTED)
    library = request.options.get(EDGETPU_LIBRARY.name) or LIBRARIES.get(platform.system(), "")
    options = {"device": request.device} if request.device else {}
    try:
        ctypes.CDLL(library)  # the runtime's own wrapper leaves a traceback when this fails
        delegate = module.load_delegate(library, options)
    except OSError as error:
        raise ModelError(NO_LIBRARY.format(library=library, reason=one_line(error))) from error
    except ValueError as error:
        which = f" at {request.device!r}" if request.device else ""
        raise ModelError(f"{NO_DEVICE.format(which=which)} ({one_line(error)})") from error
    try:
        interpreter = module.Interpreter(model_path=str(path), experimental_delegates=[delegate])
        total = len(read_graph(path).ops)
        interpreter.allocate_tensors()
        runtime = Runtime(
            interpreter,
            name=name,
            version=version(name),
            model=str(path),
            total_ops=total,
            note="",
        )
    except (RuntimeError, ValueError) as error:
        text = one_line(error)
        hint = _mismatch() if any(sign in text for sign in MISMATCH_SIGNS) else ""
        raise ModelError(f"{path.name}: the Edge TPU refused the model: {text}{hint}") from error
    except SystemError as error:
        raise unfit_for_numpy(name, error) from error
    nodes = [op.name for op in listed_operators(interpreter, runtime=name)[total:]]
    proof = [
        f"{library} loaded as a delegate"
        + (f" for the device {request.device!r}" if request.device else ""),
        f"delegate nodes in the execution plan: {', '.join(nodes) or 'none'}",
    ]
    names = _names(read_graph(path), source, runtime)
    delegate_name = DELEGATE if nodes else "none"
    return EdgeTpuSession(runtime, names, delegate=delegate_name, proof=proof)


def _names(compiled: Graph, source: Graph | None, runtime: Runtime) -> dict[str, str]:
    """The runtime's names -> the source model's. The compiler drops the signature."""
    if source is None:
        return {name: name for name in (*runtime.inputs, *runtime.outputs)}
    signature = dict(source.signature)
    names: dict[str, str] = {}
    for own, theirs in ((compiled.inputs, source.inputs), (compiled.outputs, source.outputs)):
        for number, tensor in enumerate(own):
            match = _same_tensor(tensor, theirs, number)
            names[tensor.name] = signature.get(match.name, match.name)
    return {name: names.get(name, name) for name in (*runtime.inputs, *runtime.outputs)}


def _same_tensor(tensor: Tensor, candidates: tuple[Tensor, ...], number: int) -> Tensor:
    """By name, else by a shape that only one has, else by order."""
    for candidate in candidates:
        if candidate.name == tensor.name:
            return candidate
    alike = [c for c in candidates if c.shape == tensor.shape]
    return alike[0] if len(alike) == 1 else candidates[number]


def _prospects(model: Path) -> str:
    """What the checker expects, for a user who does not have the hardware yet."""
    from asmnet_kit.benchmarks.checking.check import check_model

    try:
        outcome = check_model(model, target="edgetpu")
    except ModelError as error:
        return str(error)
    said = (
        f"not measured; prediction: {outcome.verdict}, {outcome.mapped} of {len(outcome.ops)} ops"
    )
    if outcome.estimate is not None:
        estimate = outcome.estimate
        said += f", {estimate['milliseconds']:.2f} ms on {estimate['host']} ({estimate['label']})"
    return said


def _check_device(device: str) -> None:
    kind, _, number = device.partition(":")
    if kind not in DEVICE_KINDS or (number and not number.isdigit()):
        raise UsageError(f"expected --device usb, usb:N, pci, pci:N or :N, got {device!r}")


def _counts(compilation: Compilation | None) -> tuple[int | None, int | None]:
    """Operators of the source model, in all and on the Edge TPU; None where nobody knows."""
    model = compilation.model if compilation else None
    if model is None or model.total_ops is None:
        return None, None
    return model.total_ops, model.tpu_ops


def _kernels(mapped: int | None, total: int | None, left: Sequence[str]) -> str:
    if mapped is None or total is None:  # compiled elsewhere: only what was left is known
        return f"Edge TPU (all but {len(left)} ops)" if left else "Edge TPU (all ops)"
    return f"Edge TPU ({mapped} of {total} ops)"


def _inside(inside: Compiled) -> list[str]:
    return [
        f"compiled model: {len(inside.packages)} Edge TPU subgraph(s), "
        f"{inside.cached_bytes} bytes of parameters cached, {inside.streamed_bytes} streamed; "
        f"on the CPU: {', '.join(inside.cpu_ops) or 'nothing'}"
    ]


def _mismatch() -> str:
    return (
        "; libedgetpu and the runtime do not belong together: use tflite-runtime 2.14 "
        f"({install_command('edgetpu')}, Python 3.11 or older). {LIBEDGETPU_BUILDS}"
    )
