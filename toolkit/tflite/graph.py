"""A .tflite file's main graph as plain Python: operators, tensors, options and what fills them.

Readers of models (checks against an accelerator's rules, cost estimates, comparisons) need shapes,
types and options, not weights. The file is checked first, so that a damaged one is an error.
"""

import struct
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.tflite.structure import DAMAGE, check_structure

CUSTOM = "CUSTOM"


def _names(enumeration: type) -> dict[int, str]:
    return {v: k for k, v in vars(enumeration).items() if isinstance(v, int) and k[0] != "_"}


OPERATOR_NAMES = _names(schema.BuiltinOperator)
TYPE_NAMES = {number: name.lower() for number, name in _names(schema.TensorType).items()}


@dataclass(frozen=True)
class Tensor:
    """One tensor.

    Attributes:
        shape: with the batch; as the file says, so a dimension left open is 1.
        type: for example ``int8``, ``float32``.
        constant: the file holds its values; ``data`` are their bytes.
        variable: state kept from run to run.
        scales, zero_points: of the quantization, one or one for each channel; empty for real
            values.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    type: str
    constant: bool
    variable: bool
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    data: bytes = field(repr=False, compare=False)

    @property
    def elements(self) -> int:
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def integers(self) -> NDArray[np.int64]:
        """The values of a small constant of whole numbers, for example axes or paddings."""
        kind = {"int32": "<i4", "int64": "<i8", "int16": "<i2", "int8": "i1", "uint8": "u1"}
        return np.frombuffer(self.data, kind[self.type]).astype(np.int64)


@dataclass(frozen=True)
class Op:
    """One operator.

    Attributes:
        name: of the builtin operator, or a custom operator's own code.
        custom: it is a custom operator; ``custom_options`` are its bytes.
        inputs: left-out optional ones are not listed.
        options: by the schema's names, for example ``strideW``; empty where there are none.
    """

    index: int
    name: str
    version: int
    custom: bool
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    options: dict[str, Any] = field(repr=False, compare=False)
    custom_options: bytes = field(repr=False, compare=False)

    @cached_property
    def activations(self) -> tuple[Tensor, ...]:
        """What flows through: inputs that are neither constant nor state, and the outputs."""
        flowing = [t for t in self.inputs if not (t.constant or t.variable)]
        return (*flowing, *self.outputs)


@dataclass(frozen=True)
class Graph:
    """The main graph, operators in the order of execution.

    Attributes:
        subgraphs: how many graphs the model has; more than one means control flow.
        signature: (a tensor's own name, its name in the first signature).
    """

    ops: tuple[Op, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    subgraphs: int
    signature: tuple[tuple[str, str], ...]

    @property
    def parameter_bytes(self) -> int:
        """Bytes of constants that operators read, each counted once."""
        found = {t.index: len(t.data) for op in self.ops for t in op.inputs if t.constant}
        return sum(found.values())


def read_graph(path: Path) -> Graph:
    """Read and check a .tflite file.

    Raises:
        ModelError: it cannot be read, is no .tflite model, is cut off or damaged.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    return graph_of(content, name=str(path))


def graph_of(content: bytes, *, name: str) -> Graph:
    """The main graph of a .tflite file's bytes.

    Raises:
        ModelError: as ``read_graph``.
    """
    check_structure(content, name=name)
    try:
        return _graph(schema.Model.GetRootAs(content, 0), content)
    except (*DAMAGE, KeyError, RecursionError, struct.error) as error:
        raise ModelError(
            f"{name}: the .tflite model is damaged ({type(error).__name__} while reading its "
            f"operators); copy or convert it again"
        ) from error


def _graph(model: Any, content: bytes) -> Graph:
    graph = model.Subgraphs(0)
    tensors = [_tensor(i, graph.Tensors(i), model, content) for i in range(graph.TensorsLength())]
    return Graph(
        ops=tuple(
            _op(i, graph.Operators(i), model, tensors) for i in range(graph.OperatorsLength())
        ),
        inputs=tuple(tensors[graph.Inputs(i)] for i in range(graph.InputsLength())),
        outputs=tuple(tensors[graph.Outputs(i)] for i in range(graph.OutputsLength())),
        subgraphs=model.SubgraphsLength(),
        signature=_signature(model, tensors),
    )


def _signature(model: Any, tensors: list[Tensor]) -> tuple[tuple[str, str], ...]:
    if not model.SignatureDefsLength() or model.SignatureDefs(0).SubgraphIndex() != 0:
        return ()
    first = model.SignatureDefs(0)
    entries = [first.Inputs(i) for i in range(first.InputsLength())]
    entries += [first.Outputs(i) for i in range(first.OutputsLength())]
    return tuple((tensors[e.TensorIndex()].name, e.Name().decode()) for e in entries)


def _tensor(index: int, tensor: Any, model: Any, content: bytes) -> Tensor:
    data = _buffer(model.Buffers(tensor.Buffer()), content)
    quantization = tensor.Quantization()
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    if quantization is not None and quantization.ScaleLength():
        scales = tuple(float(s) for s in quantization.ScaleAsNumpy())
        if quantization.ZeroPointLength():
            zero_points = tuple(int(z) for z in quantization.ZeroPointAsNumpy())
    kind = int(tensor.Type())
    name = tensor.Name()
    return Tensor(
        index=index,
        name=name.decode() if name else "",
        shape=tuple(int(tensor.Shape(axis)) for axis in range(tensor.ShapeLength())),
        type=TYPE_NAMES.get(kind, f"type {kind}"),
        constant=bool(data),
        variable=bool(tensor.IsVariable()),
        scales=scales,
        zero_points=zero_points,
        data=data,
    )


def _buffer(buffer: Any, content: bytes) -> bytes:
    """A buffer's bytes, inside the flatbuffer or, in files above 2 GB, behind it."""
    if buffer.DataLength():
        return bytes(buffer.DataAsNumpy().tobytes())
    if buffer.Offset() > 1:
        return content[buffer.Offset() : buffer.Offset() + buffer.Size()]
    return b""


def _op(index: int, op: Any, model: Any, tensors: list[Tensor]) -> Op:
    code = model.OperatorCodes(op.OpcodeIndex())
    kind = int(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))
    name = OPERATOR_NAMES.get(kind, f"operator {kind}")
    custom = name == CUSTOM
    if custom and code.CustomCode():
        name = code.CustomCode().decode()
    inputs = [op.Inputs(i) for i in range(op.InputsLength())]
    outputs = [op.Outputs(i) for i in range(op.OutputsLength())]
    return Op(
        index=index,
        name=name,
        version=int(code.Version()),
        custom=custom,
        inputs=tuple(tensors[i] for i in inputs if i >= 0),
        outputs=tuple(tensors[i] for i in outputs if i >= 0),
        options=_options(op),
        custom_options=_custom_options(op),
    )


def _custom_options(op: Any) -> bytes:
    if op.CustomOptionsLength():
        return bytes(op.CustomOptionsAsNumpy().tobytes())
    return b""


def _options(op: Any) -> dict[str, Any]:
    """The builtin options by the schema's names; empty where there are none."""
    if op.BuiltinOptions() is None:
        return {}
    options = schema.BuiltinOptionsCreator(op.BuiltinOptionsType(), op.BuiltinOptions())
    return dict(vars(options)) if options is not None else {}
