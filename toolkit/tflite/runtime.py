"""Opens a .tflite model on the CPU and runs it: one small interface over ai-edge-litert.

Tensors go by the names of the signature ``serving_default`` where the model has one, else by their
own names; never by their order, which converters change.
"""

import importlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import MissingDependency, ModelError, UsageError, one_line
from asmnet_kit.base.limits import MAX_THREADS
from asmnet_kit.base.silent_stderr import silent_stderr
from asmnet_kit.tflite.structure import check_structure

SIGNATURE = "serving_default"


# Distribution -> module that holds Interpreter; tried in this order.
RUNTIMES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}
HOW_TO_GET = {
    "ai-edge-litert": "Install it with: pip install ai-edge-litert",
    "tflite-runtime": (
        "It wants numpy < 2 and Python 3.10 or 3.11: make an environment of its own and install "
        "the kit there with: pip install 'asmnet-kit[edgetpu]' (make tflite-runtime makes one "
        "without the kit, for asmnet-kit parity --tflite-runtime)"
    ),
}


@dataclass(frozen=True)
class TensorInfo:
    """One input or output of a model.

    Attributes:
        name: in the signature, or the tensor's own where there is none.
        shape: with the batch; a dimension left open in the file is 1 here.
        dtype: of the raw values.
        scale, zero_point: real value = scale x (raw - zero_point); ``scale`` is None where the raw
            values are the real ones.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float | None
    zero_point: int


class Session(Protocol):
    """A loaded model that runs, on whatever target; a ``Runtime`` is one on the CPU."""

    @property
    def inputs(self) -> Mapping[str, TensorInfo]: ...

    @property
    def outputs(self) -> Mapping[str, TensorInfo]: ...

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Raw inputs to raw outputs, both by name."""
        ...


class Runtime:
    """A model that is loaded and ready to run. Use ``open_runtime`` to get one.

    Attributes:
        name, version: of the runtime, for example ``ai-edge-litert`` ``2.3.0``.
        kernels: whose kernels run the operators, for example ``XNNPACK (31 of 31 ops)``.
        delegated_ops, total_ops: how many of the model's operators the XNNPACK delegate took.
        notes: what the user did not ask for but got, in sentences; empty most of the time.
        inputs, outputs: by name.
    """

    def __init__(
        self, interpreter: Any, *, name: str, version: str, model: str, total_ops: int, note: str
    ) -> None:
        self.name = name
        self.version = version
        self.notes = (note,) if note else ()
        self._model = model
        self._interpreter = interpreter
        inputs, outputs = _details(interpreter)
        self.inputs = MappingProxyType({k: _info(k, d) for k, d in inputs.items()})
        self.outputs = MappingProxyType({k: _info(k, d) for k, d in outputs.items()})
        self._input_index = {k: int(d["index"]) for k, d in inputs.items()}
        self._output_index = {k: int(d["index"]) for k, d in outputs.items()}
        self.total_ops = total_ops
        self.delegated_ops = _delegated_ops(interpreter, total_ops)

    @property
    def kernels(self) -> str:
        if not self.delegated_ops:
            return f"builtin ({self.total_ops} ops)"
        rest = "" if self.delegated_ops == self.total_ops else ", builtin for the rest"
        return f"XNNPACK ({self.delegated_ops} of {self.total_ops} ops){rest}"

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Copy the inputs in, run the model once, copy the outputs out.

        Args:
            inputs: raw values by name, with exactly the shapes and types of ``self.inputs``.

        Returns:
            Raw values by name; ``dequantize`` makes them real.

        Raises:
            ModelError: another name, shape or type than the model's, or the runtime failed.
        """
        if inputs.keys() != self.inputs.keys():
            raise ModelError(
                f"{self._model}: expected the inputs {sorted(self.inputs)}, got {sorted(inputs)}"
            )
        for name, values in inputs.items():
            info = self.inputs[name]
            if values.shape != info.shape or values.dtype != info.dtype:
                raise ModelError(
                    f"{self._model}: expected {name!r} as {info.dtype} {list(info.shape)}, "
                    f"got {values.dtype} {list(values.shape)}"
                )
        try:
            for name, values in inputs.items():
                self._interpreter.set_tensor(self._input_index[name], values)
            self._interpreter.invoke()
            return {name: self._interpreter.get_tensor(i) for name, i in self._output_index.items()}
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"{self._model}: the model failed to run: {one_line(error)}"
            ) from error


def open_runtime(
    path: Path, *, threads: int = 1, xnnpack: bool = True, runtime: str | None = None
) -> Runtime:
    """Load a .tflite model on the CPU.

    A model whose operators XNNPACK takes at first and then refuses runs with the builtin kernels;
    the runtime's ``notes`` say so, and ``kernels`` does in any case.

    Args:
        path: of the .tflite file.
        threads: of the kernels, 1 to MAX_THREADS.
        xnnpack: let the XNNPACK delegate run what it can; without it the builtin kernels run all.
        runtime: ``ai-edge-litert`` or ``tflite-runtime``; the first one that is installed unless
            told.

    Raises:
        ModelError: the file is missing, no .tflite model, cut off, damaged or asks for operators
            that the runtime does not have.
        MissingDependency: that runtime, or either, is not installed or does not fit this NumPy.
        UsageError: another number of threads or another runtime than there is.
    """
    if not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"expected 1 to {MAX_THREADS} threads, got {threads}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    check_structure(content, name=str(path))
    distribution, module = installed_runtime(runtime)
    note = ""
    try:
        interpreter, total_ops = _interpreter(module, content, threads, xnnpack=xnnpack)
    except (RuntimeError, ValueError) as error:
        # Some models hold an operator that XNNPACK takes and then cannot prepare. Whether that, or
        # the model itself, is to blame, the builtin kernels tell.
        try:
            interpreter, total_ops = _interpreter(module, content, threads, xnnpack=False)
        except (RuntimeError, ValueError) as second:
            raise ModelError(
                f"{path}: {distribution} cannot load this model: {one_line(second)}"
            ) from second
        note = f"XNNPACK refused this model ({one_line(error)}); the builtin kernels ran it"
    except SystemError as error:
        raise unfit_for_numpy(distribution, error) from error
    try:
        return Runtime(
            interpreter,
            name=distribution,
            version=version(distribution),
            model=str(path),
            total_ops=total_ops,
            note=note,
        )
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"{path}: the .tflite model is damaged: {one_line(error)}; copy or convert it again"
        ) from error


def all_threads() -> int:
    """As many threads as the machine has processors, as far as a runtime takes them."""
    return min(os.cpu_count() or 1, MAX_THREADS)


def dequantize(values: NDArray[Any], info: TensorInfo) -> NDArray[np.float32]:
    """Raw values of a tensor as float32: scale x (raw - zero_point), or as they are."""
    real = values.astype(np.float32)
    if info.scale is not None:
        real -= info.zero_point
        real *= info.scale
    return real


def quantize(values: NDArray[np.float32], info: TensorInfo) -> NDArray[Any]:
    """Real values as a tensor's raw ones, rounded to nearest and clipped to its type's range."""
    if info.scale is None:
        return values.astype(info.dtype)
    limits = np.iinfo(info.dtype)
    raw = np.rint(values / np.float32(info.scale)) + info.zero_point
    clipped: NDArray[Any] = np.clip(raw, limits.min, limits.max).astype(info.dtype)
    return clipped


def installed_runtime(
    runtime: str | None = None, *, order: Sequence[str] = tuple(RUNTIMES)
) -> tuple[str, ModuleType]:
    """The name of the installed runtime and its module that holds ``Interpreter``.

    Args:
        runtime: the one that it must be; the first of ``order`` that is installed unless told.

    Raises:
        MissingDependency: there is none, not the one that was named, or one that cannot be
            imported.
        UsageError: there is no runtime of that name.
    """
    if runtime is not None:
        return runtime, _named_runtime(runtime)
    for name in order:
        try:
            version(name)
        except PackageNotFoundError:
            continue
        return name, _named_runtime(name)
    raise MissingDependency(
        f"this needs {' or '.join(order)}, neither of which is installed. {HOW_TO_GET[order[0]]}"
    )


def unfit_for_numpy(runtime: str, error: BaseException) -> MissingDependency:
    """What the SystemError means that tflite-runtime's interpreter raises beside NumPy 2."""
    return MissingDependency(
        f"{runtime} cannot run beside NumPy {np.__version__} ({one_line(error)}). "
        f"{HOW_TO_GET[runtime]}"
    )


def _named_runtime(name: str) -> ModuleType:
    if name not in RUNTIMES:
        raise UsageError(f"expected a runtime of {', '.join(RUNTIMES)}, got {name!r}")
    try:
        version(name)
        return importlib.import_module(RUNTIMES[name])
    except PackageNotFoundError as error:
        raise MissingDependency(f"{name} is not installed. {HOW_TO_GET[name]}") from error
    except (ImportError, AttributeError) as error:  # made for another NumPy or Python
        raise MissingDependency(
            f"{name} is installed but cannot be imported ({one_line(error)}). {HOW_TO_GET[name]}"
        ) from error


def _interpreter(
    module: ModuleType, content: bytes, threads: int, *, xnnpack: bool
) -> tuple[Any, int]:
    """An interpreter with its tensors allocated, and how many operators the model has."""
    kinds = module.OpResolverType
    interpreter = module.Interpreter(
        model_content=content,
        num_threads=threads,
        experimental_op_resolver_type=(
            kinds.AUTO if xnnpack else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
    )
    # Delegates are applied at allocation: until then the list holds the model's own operators.
    total_ops = len(interpreter._get_ops_details())
    with silent_stderr():  # each process would note that it made the XNNPACK delegate
        interpreter.allocate_tensors()
    return interpreter, total_ops


def _delegated_ops(interpreter: Any, total_ops: int) -> int:
    """How many operators a delegate took: those that nothing but a DELEGATE node runs any more.

    Delegation appends one DELEGATE node for each partition and keeps the replaced nodes in the
    list; a replaced node's outputs are produced inside a partition.
    """
    details = interpreter._get_ops_details()
    own = details[:total_ops]
    appended = [op for op in details[total_ops:] if op["op_name"] == "DELEGATE"]
    if not appended:
        return 0
    return _replaced(own, appended)


def _replaced(own: list[dict[str, Any]], partitions: list[dict[str, Any]]) -> int:
    """Operators that lie between the inputs and the outputs of a partition."""
    producer = {int(t): i for i, op in enumerate(own) for t in op["outputs"]}
    replaced: set[int] = set()
    for partition in partitions:
        stop = {int(t) for t in partition["inputs"]}
        pending = [int(t) for t in partition["outputs"]]
        while pending:
            tensor = pending.pop()
            index = producer.get(tensor)
            if tensor in stop or index is None or index in replaced:
                continue
            replaced.add(index)
            pending.extend(int(t) for t in own[index]["inputs"])
    return len(replaced)


def _details(interpreter: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tensor details by name: the signature's names where it describes the main graph."""
    inputs = interpreter.get_input_details()
    outputs = interpreter.get_output_details()
    if SIGNATURE in interpreter.get_signature_list():
        runner = interpreter.get_signature_runner(SIGNATURE)
        named_inputs, named_outputs = runner.get_input_details(), runner.get_output_details()
        same_graph = {d["index"] for d in named_inputs.values()} == {d["index"] for d in inputs}
        if same_graph and {d["index"] for d in named_outputs.values()} <= {
            d["index"] for d in outputs
        }:
            return named_inputs, named_outputs
    return _by_own_name(inputs), _by_own_name(outputs)


def _by_own_name(details: list[dict[str, Any]]) -> dict[str, Any]:
    """By the tensors' names, which a file may repeat: a repeated one gets its index appended."""
    names = [str(d["name"]) for d in details]
    return {
        name if names.count(name) == 1 else f"{name}#{d['index']}": d
        for name, d in zip(names, details, strict=True)
    }


def _info(name: str, detail: dict[str, Any]) -> TensorInfo:
    scale, zero_point = detail["quantization"]
    return TensorInfo(
        name=name,
        shape=tuple(int(size) for size in detail["shape"]),
        dtype=np.dtype(detail["dtype"]),
        scale=float(scale) or None,
        zero_point=int(zero_point),
    )
