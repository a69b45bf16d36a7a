"""Opens a .tflite model on the CPU and runs it: one small interface over ai-edge-litert.

Tensors go by the names of the signature ``serving_default`` where the model has one, else by their
own names; never by their order, which converters change.
"""

import importlib
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import MissingDependency, ModelError, UsageError, one_line
from asmnet_kit.base.install import install_command
from asmnet_kit.base.limits import MAX_THREADS
from asmnet_kit.base.silent_stderr import silent_stderr
from asmnet_kit.tflite.graph import SIGNATURE, Graph
from asmnet_kit.tflite.int8_rules import bias_of
from asmnet_kit.tflite.litert_private import ListedOperator, listed_operators
from asmnet_kit.tflite.reader import graph_of, read_model_bytes
from asmnet_kit.tflite.structure import OPEN

# By the custom operator that a compiler leaves, what the file is for.
CHIPS = {"edgetpu-custom-op": "the Edge TPU", "ethos-u": "Arm's Ethos-U"}

# Distribution -> module that holds Interpreter; tried in this order.
RUNTIMES = {
    "ai-edge-litert": "ai_edge_litert.interpreter",
    "tflite-runtime": "tflite_runtime.interpreter",
}


@dataclass(frozen=True)
class TensorInfo:
    """One input or output of a model.

    Attributes:
        name: in the signature, or the tensor's own where there is none.
        shape: with the batch, which is 1 where the file leaves it open.
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

    Threads may share one: they run it in turns. For speed give each thread its own.

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
        self._model = model
        self._set, self._get = interpreter.set_tensor, interpreter.get_tensor
        self._invoke = interpreter.invoke
        self._turn = threading.Lock()
        inputs, outputs = _details(interpreter)
        self.notes = (*([note] if note else []), *_open_batches(inputs))
        self.inputs = MappingProxyType({k: _info(k, d) for k, d in inputs.items()})
        self.outputs = MappingProxyType({k: _info(k, d) for k, d in outputs.items()})
        self._fed = [(k, int(d["index"])) for k, d in inputs.items()]
        self._read = [(k, int(d["index"])) for k, d in outputs.items()]
        self.total_ops = total_ops
        self.delegated_ops = _delegated_ops(listed_operators(interpreter, runtime=name), total_ops)

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
        if len(inputs) != len(self._fed):
            self._refuse_unfit(inputs)
        try:
            # The interpreter's tensors are one set: threads that share a model take turns.
            with self._turn:
                for name, index in self._fed:
                    self._set(index, inputs[name])
                self._invoke()
                return {name: self._get(index) for name, index in self._read}
        except (KeyError, RuntimeError, ValueError) as error:
            # The interpreter refuses other types and shapes itself: asking first, for each of
            # thousands of runs, takes longer than putting a face in.
            self._refuse_unfit(inputs)
            raise ModelError(
                f"{self._model}: the model failed to run: {one_line(error)}"
            ) from error

    def _refuse_unfit(self, inputs: Mapping[str, NDArray[Any]]) -> None:
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


def open_runtime(
    path: Path, *, threads: int = 1, xnnpack: bool = True, runtime: str | None = None
) -> Runtime:
    """Load a .tflite model on the CPU.

    A model whose operators XNNPACK takes at first and then refuses runs with the builtin kernels;
    the runtime's ``notes`` say so, and ``kernels`` does in any case. A batch that the file leaves
    open is 1, and the ``notes`` say so.

    Args:
        path: of the .tflite file.
        threads: of the kernels, 1 to MAX_THREADS.
        xnnpack: let the XNNPACK delegate run what it can; without it the builtin kernels run all.
        runtime: ``ai-edge-litert`` or ``tflite-runtime``; by default the first one that is
            installed.

    Raises:
        ModelError: the file is missing, is not a .tflite model, is cut off or damaged, leaves the
            size of its input open or asks for operators that the runtime does not have.
        MissingDependency: that runtime, or either, is not installed or does not fit this NumPy.
        UsageError: a number of threads out of range, or an unknown runtime.
    """
    if not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"expected 1 to {MAX_THREADS} threads, got {threads}")
    content = read_model_bytes(path)
    graph = graph_of(content, name=str(path))
    refuse_unsized(graph, path)
    _refuse_crashing(graph, path)
    distribution, module = installed_runtime(runtime)
    note = ""
    try:
        interpreter = _interpreter(module, content, threads, xnnpack=xnnpack)
    except (RuntimeError, ValueError) as error:
        # Some models hold an operator that XNNPACK takes and then cannot prepare. Whether that, or
        # the model itself, is to blame, the builtin kernels tell.
        try:
            interpreter = _interpreter(module, content, threads, xnnpack=False)
        except (RuntimeError, ValueError) as second:
            why = _compiled(graph) or f"{distribution} cannot load this model: {one_line(second)}"
            raise ModelError(f"{path}: {why}") from second
        note = f"XNNPACK refused this model ({one_line(error)}); the builtin kernels ran it"
    except SystemError as error:
        raise unfit_for_numpy(distribution, error) from error
    try:
        return Runtime(
            interpreter,
            name=distribution,
            version=version(distribution),
            model=str(path),
            total_ops=len(graph.ops),
            note=note,
        )
    except (TypeError, ValueError) as error:
        raise ModelError(
            f"{path}: the .tflite model is damaged: {one_line(error)}; copy or convert it again"
        ) from error


def _compiled(graph: Graph) -> str:
    """For models that a compiler made for a chip, which no CPU runs; else nothing."""
    for op in graph.ops:
        if op.custom and op.name in CHIPS:
            return (
                f"this file is compiled for {CHIPS[op.name]}, and no CPU can run it: use the file "
                "that it was compiled from, or --target edgetpu for an Edge TPU"
            )
    return ""


def allocated_shapes(content: bytes, *, name: str) -> dict[int, tuple[int, ...]]:
    """The shape of each tensor by index, as the runtime works it out before the first run.

    Args:
        content: of a .tflite whose inputs have sizes.
        name: of the file, for messages.

    Raises:
        ModelError: it is no .tflite model, or cannot run at these sizes.
        MissingDependency: no runtime is installed.
    """
    _refuse_crashing(graph_of(content, name=name), name)
    distribution, module = installed_runtime()
    try:
        interpreter = _interpreter(module, content, 1, xnnpack=False)
        details = interpreter.get_tensor_details()
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"{name}: {distribution} cannot load this model: {one_line(error)}") from (
            error
        )
    return {int(d["index"]): tuple(int(size) for size in d["shape"]) for d in details}


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
        runtime: the one that it must be; by default the first of ``order`` that is installed.

    Raises:
        MissingDependency: there is none, not the one that was named, or one that cannot be
            imported.
        UsageError: an unknown name.
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
        f"this needs {' or '.join(order)}, neither of which is installed. {_how_to_get(order[0])}"
    )


def refuse_unsized(graph: Graph, path: Path) -> None:
    """Refuse a model with an input whose size the file leaves open: it would run at 1 x 1.

    Raises:
        ModelError: it has one; the message names the input and says what to do.
    """
    for tensor in graph.inputs:
        if tensor.unsized:
            raise ModelError(
                f"{path}: expected an input of a fixed size, got {tensor.name!r} of shape "
                f"{tensor.shape_text}: the file leaves it open. Give benchmark, check or audit the "
                "size that the program feeds by --input-shape HxW; for other commands convert it "
                "with that size: asmnet-kit quantize --input-shape SxS of the float model it was "
                "made from"
            )


def unfit_for_numpy(runtime: str, error: BaseException) -> MissingDependency:
    """What the SystemError means that tflite-runtime's interpreter raises beside NumPy 2."""
    return MissingDependency(
        f"{runtime} cannot run beside NumPy {np.__version__} ({one_line(error)}). "
        f"{_how_to_get(runtime)}"
    )


def _how_to_get(runtime: str) -> str:
    if runtime == "ai-edge-litert":
        return "Install it with: pip install ai-edge-litert"
    return (
        "It wants numpy < 2 and Python 3.10 or 3.11: make an environment of its own and install "
        f"the kit there with: {install_command('edgetpu')} (make tflite-runtime makes one "
        "without the kit, for asmnet-kit parity --tflite-runtime)"
    )


def _named_runtime(name: str) -> ModuleType:
    if name not in RUNTIMES:
        raise UsageError(f"expected a runtime of {', '.join(RUNTIMES)}, got {name!r}")
    try:
        version(name)
        return importlib.import_module(RUNTIMES[name])
    except PackageNotFoundError as error:
        raise MissingDependency(f"{name} is not installed. {_how_to_get(name)}") from error
    except (ImportError, AttributeError) as error:  # made for another NumPy or Python
        raise MissingDependency(
            f"{name} is installed but cannot be imported ({one_line(error)}). {_how_to_get(name)}"
        ) from error


def _refuse_crashing(graph: Graph, path: Path | str) -> None:
    """What LiteRT loads, and then crashes on instead of saying so; tried with 2.3.0."""
    for op in graph.ops:
        if op.name == "DEPTHWISE_CONV_2D" and bias_of(op) is None:
            raise ModelError(
                f"{path}: expected each DEPTHWISE_CONV_2D to have a bias, got none at operator "
                f"{op.index}, on which the runtime crashes: convert it with a bias of zeros"
            )


def _open_batches(inputs: Mapping[str, dict[str, Any]]) -> list[str]:
    """What became of the open dimensions of inputs, for users who expect another batch."""
    return [
        f"the input {name!r} has open dimensions; it runs as {[int(n) for n in detail['shape']]}"
        for name, detail in inputs.items()
        if OPEN in detail["shape_signature"]
    ]


def _interpreter(module: ModuleType, content: bytes, threads: int, *, xnnpack: bool) -> Any:
    """An interpreter with its tensors allocated."""
    kinds = module.OpResolverType
    interpreter = module.Interpreter(
        model_content=content,
        num_threads=threads,
        experimental_op_resolver_type=(
            kinds.AUTO if xnnpack else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
    )
    with silent_stderr():  # each process would note that it made the XNNPACK delegate
        interpreter.allocate_tensors()
    return interpreter


def _delegated_ops(listed: Sequence[ListedOperator], total_ops: int) -> int:
    """How many operators a delegate took: those that nothing but a DELEGATE node runs any more.

    Delegation appends one DELEGATE node for each partition and keeps the replaced nodes in the
    list; a replaced node's outputs are produced inside a partition.
    """
    appended = [op for op in listed[total_ops:] if op.name == "DELEGATE"]
    return _replaced(listed[:total_ops], appended) if appended else 0


def _replaced(own: Sequence[ListedOperator], partitions: Sequence[ListedOperator]) -> int:
    """Operators that lie between the inputs and the outputs of a partition."""
    producer = {t: i for i, op in enumerate(own) for t in op.outputs}
    replaced: set[int] = set()
    for partition in partitions:
        stop = set(partition.inputs)
        pending = list(partition.outputs)
        while pending:
            tensor = pending.pop()
            index = producer.get(tensor)
            if tensor in stop or index is None or index in replaced:
                continue
            replaced.add(index)
            pending.extend(own[index].inputs)
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
