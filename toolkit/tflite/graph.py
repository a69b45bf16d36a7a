"""A .tflite file as one immutable ``Graph``: operators, tensors, options and what fills them.

This is the kit's only reader of the format: the metadata, the contract, the audit, the checks of
accelerators and the benchmarks all look at a ``Graph``. Every value is checked while it is read, by
the rules of ``structure``, with bounds-checked Python: a damaged file is an error, never a crash.

Source: TensorFlow Lite's schema.fbs, through the classes that flatbuffers generates from it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.tflite import structure
from asmnet_kit.tflite.litert_private import tflite_schema
from asmnet_kit.tflite.structure import DAMAGE, IDENTIFIER, OPEN, OPTIONAL_TENSOR, Damaged

schema = tflite_schema()

CUSTOM = "CUSTOM"
MAIN = 0  # the subgraph that runs; the others are bodies of control flow
BATCH_AXIS = 0
NO_BUFFER = 0  # the buffer of tensors that are computed; its content does not count
SIGNATURE = "serving_default"  # which converters write, and whose names the kit goes by


def _names(enumeration: type) -> dict[int, str]:
    return {v: k for k, v in vars(enumeration).items() if isinstance(v, int) and k[0] != "_"}


OPERATOR_NAMES = _names(schema.BuiltinOperator)
TYPE_NAMES = {number: name.lower() for number, name in _names(schema.TensorType).items()}
INTEGER_TYPES = {"int32": "<i4", "int64": "<i8", "int16": "<i2", "int8": "i1", "uint8": "u1"}


@dataclass(frozen=True)
class Tensor:
    """One tensor.

    Attributes:
        shape: with the batch; what the file gives, which is 1 for most open dimensions.
        shape_signature: the shape with -1 for each dimension that the file leaves open.
        type: for example ``int8``, ``float32``.
        constant: the file holds its values; ``data`` are their bytes.
        variable: state kept from run to run.
        sparse: ``data`` leaves zeros out.
        scales, zero_points: of the quantization, one or one for each channel; empty for real
            values.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    shape_signature: tuple[int, ...]
    type: str
    constant: bool
    variable: bool
    sparse: bool
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    data: memoryview = field(repr=False, compare=False)

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def open(self) -> bool:
        """The file leaves the size of a dimension to the program around the model."""
        return OPEN in self.shape_signature

    @property
    def unsized(self) -> bool:
        """A dimension other than the batch is open, and 1 stands there for want of a size."""
        axes = range(BATCH_AXIS + 1, len(self.shape))
        return any(self.shape_signature[axis] == OPEN and self.shape[axis] <= 1 for axis in axes)

    @property
    def shape_text(self) -> str:
        """The shape for messages; ``?`` stands for an open dimension, as in ``[?, 80, 80, 3]``."""
        return f"[{', '.join('?' if size == OPEN else str(size) for size in self.shape_signature)}]"

    @property
    def integers(self) -> NDArray[np.int64]:
        """The values of a small constant of whole numbers, flat; for example axes or paddings.

        Raises:
            ModelError: it holds no whole numbers.
        """
        if self.type not in INTEGER_TYPES or self.sparse:
            raise ModelError(
                f"tensor {self.index} ({self.name!r}): expected whole numbers of "
                f"{', '.join(INTEGER_TYPES)}, got {'sparse ' * self.sparse}{self.type}"
            )
        return np.frombuffer(self.data, INTEGER_TYPES[self.type]).astype(np.int64)


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
    options: Mapping[str, Any] = field(repr=False, compare=False)
    custom_options: bytes = field(repr=False, compare=False)

    @cached_property
    def activations(self) -> tuple[Tensor, ...]:
        """What flows through: inputs that are neither constant nor state, and the outputs."""
        flowing = [t for t in self.inputs if not (t.constant or t.variable)]
        return (*flowing, *self.outputs)


@dataclass(frozen=True)
class Signature:
    """Names for a subgraph's inputs and outputs: pairs of a name and a tensor's index."""

    key: str
    subgraph: int
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Graph:
    """The main graph, operators in the order of execution.

    Attributes:
        tensors: all of them, by index.
        subgraphs: how many graphs the model has; more than one means control flow.
        metadata: name of an entry -> its bytes.
    """

    ops: tuple[Op, ...]
    tensors: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    subgraphs: int
    signatures: tuple[Signature, ...]
    metadata: Mapping[str, bytes] = field(repr=False, compare=False)

    @property
    def signature(self) -> tuple[tuple[str, str], ...]:
        """(A tensor's own name, its name in the first signature); empty where there is none."""
        if not self.signatures or self.signatures[0].subgraph != MAIN:
            return ()
        first = self.signatures[0]
        return tuple((self.tensors[i].name, name) for name, i in (*first.inputs, *first.outputs))

    @property
    def used_tensors(self) -> tuple[Tensor, ...]:
        """Every tensor that an operator reads or writes, by index."""
        used = {t.index for op in self.ops for t in (*op.inputs, *op.outputs)}
        return tuple(self.tensors[index] for index in sorted(used))

    @property
    def parameter_bytes(self) -> int:
        """Bytes of constants that operators read, each counted once."""
        found = {t.index: len(t.data) for op in self.ops for t in op.inputs if t.constant}
        return sum(found.values())


def read_graph(path: Path) -> Graph:
    """Read and check a .tflite file.

    Raises:
        ModelError: it cannot be read, is not a .tflite model, is cut off or damaged, or keeps
            values in another file.
    """
    return graph_of(read_model_bytes(path), name=str(path))


def read_model_bytes(path: Path) -> bytes:
    """
    Raises:
        ModelError: the file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error


def graph_of(content: bytes, *, name: str) -> Graph:
    """The main graph of a .tflite file's bytes, after all graphs in it were checked.

    Args:
        name: of the file, for messages.

    Raises:
        ModelError: as ``read_graph``.
    """
    if not content:
        raise ModelError(f"{name}: expected a .tflite model, got an empty file")
    if content[4:8] != IDENTIFIER:
        raise ModelError(
            f"{name}: expected a .tflite model (bytes 4 to 7 are 'TFL3'), got {content[4:8]!r}; "
            f"the file is of another kind or damaged"
        )
    try:
        return _Model(content, name).graph()
    except Damaged as error:
        raise ModelError(
            f"{name}: the .tflite model is damaged: {error}; copy or convert it again"
        ) from error
    except DAMAGE as error:
        raise ModelError(
            f"{name}: the .tflite model is truncated or damaged ({len(content)} bytes; "
            f"{type(error).__name__} while reading its tables); copy or convert it again"
        ) from error


@dataclass(frozen=True)
class _Code:
    """What kind of operator, as the file lists it once for all of that kind."""

    name: str
    version: int
    custom: bool


class _Model:
    """The flatbuffer's root table and what its parts share: buffers and kinds of operators."""

    def __init__(self, content: bytes, name: str) -> None:
        self._content = memoryview(content)
        self._name = name
        self._table = schema.Model.GetRootAs(content, 0)
        table = self._table
        self._buffers = [self._buffer(i, table.Buffers(i)) for i in range(table.BuffersLength())]
        self._codes = [_code(table.OperatorCodes(i)) for i in range(table.OperatorCodesLength())]

    def graph(self) -> Graph:
        table = self._table
        count = table.SubgraphsLength()
        if count < 1:
            raise Damaged("it holds no subgraph")
        computed_bytes = 0
        subgraphs = []
        for index in range(count):
            subgraph = table.Subgraphs(index)
            tensors, size_bytes = self._tensors(subgraph)
            computed_bytes += size_bytes
            if computed_bytes > structure.MAX_TENSORS_BYTES:
                raise Damaged(f"its tensors claim more than {structure.MAX_TENSORS_BYTES} bytes")
            subgraphs.append((tensors, *self._connected(subgraph, tensors)))
        tensors, ops, inputs, outputs = subgraphs[MAIN]
        sizes = [len(subgraph[0]) for subgraph in subgraphs]
        return Graph(
            ops=ops,
            tensors=tensors,
            inputs=inputs,
            outputs=outputs,
            subgraphs=count,
            signatures=tuple(
                _signature(table.SignatureDefs(i), sizes)
                for i in range(table.SignatureDefsLength())
            ),
            metadata=self._metadata(),
        )

    def _buffer(self, index: int, buffer: Any) -> memoryview:
        """A buffer's bytes, inside the flatbuffer or, in large files, behind it."""
        data = buffer.DataAsNumpy()
        if not isinstance(data, int) and data.size:
            return memoryview(data)
        return self._behind(f"buffer {index}", buffer.Offset(), buffer.Size())

    def _behind(self, what: str, offset: int, size: int) -> memoryview:
        """Bytes at an offset from the file's beginning, which counts when it is above 1."""
        if offset <= 1 or not size:
            return self._content[:0]
        if offset + size > len(self._content):
            raise Damaged(
                f"{what} lies at bytes {offset} to {offset + size} of {len(self._content)}"
            )
        return self._content[offset : offset + size]

    def _tensors(self, subgraph: Any) -> tuple[tuple[Tensor, ...], int]:
        """The tensors of a subgraph, and the bytes that those take which are computed."""
        tensors, total = [], 0
        for index in range(subgraph.TensorsLength()):
            tensor, size_bytes = self._tensor(index, subgraph.Tensors(index))
            tensors.append(tensor)
            total += size_bytes
        return tuple(tensors), total

    def _tensor(self, index: int, table: Any) -> tuple[Tensor, int]:
        where, buffer = f"tensor {index}", table.Buffer()
        if buffer >= len(self._buffers):
            raise Damaged(f"{where} points to buffer {buffer} of {len(self._buffers)}")
        # Older releases of the schema lack this field.
        if hasattr(table, "ExternalBuffer") and table.ExternalBuffer():
            raise ModelError(
                f"{self._name}: expected a model in one file, got one that keeps the values of "
                f"{where} in another: convert it again without external buffers"
            )
        data = self._buffers[buffer] if buffer != NO_BUFFER else self._content[:0]
        kind = TYPE_NAMES.get(table.Type(), f"type {table.Type()}")
        shape = _numbers(table.ShapeAsNumpy())
        signature = _numbers(table.ShapeSignatureAsNumpy())
        structure.check_shape(where, shape, signature)
        sparse = table.Sparsity() is not None
        size_bytes = structure.check_size(where, kind, shape, stored=len(data), sparse=sparse)
        scales, zero_points = _quantization(where, table, kind, shape, constant=bool(data))
        tensor = Tensor(
            index=index,
            name=_text(table.Name()),
            shape=shape,
            shape_signature=tuple(
                OPEN if size == OPEN else fixed
                for size, fixed in zip(signature or shape, shape, strict=True)
            ),
            type=kind,
            constant=bool(data),
            variable=bool(table.IsVariable()),
            sparse=sparse,
            scales=scales,
            zero_points=zero_points,
            data=data,
        )
        return tensor, size_bytes

    def _connected(
        self, subgraph: Any, tensors: tuple[Tensor, ...]
    ) -> tuple[tuple[Op, ...], tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Operators, inputs and outputs of a subgraph, checked to run in this order."""
        inputs = _numbers(subgraph.InputsAsNumpy())
        outputs = _numbers(subgraph.OutputsAsNumpy())
        structure.check_indices("an input", inputs, count=len(tensors))
        structure.check_indices("an output", outputs, count=len(tensors))
        constants = {t.index for t in tensors if t.constant}
        filled = {*inputs, *constants}
        filled |= {t.index for t in tensors if t.variable or not t.elements}
        ops = []
        for index in range(subgraph.OperatorsLength()):
            op = self._op(index, subgraph.Operators(index), tensors)
            where = f"operator {index}"
            structure.check_filled(where, (t.index for t in op.inputs), filled)
            structure.check_written(where, (t.index for t in op.outputs), constants)
            filled.update(t.index for t in op.outputs)
            ops.append(op)
        for tensor in outputs:
            if tensor not in filled:
                raise Damaged(f"output tensor {tensor} is filled by nothing")
        return tuple(ops), tuple(tensors[i] for i in inputs), tuple(tensors[i] for i in outputs)

    def _op(self, index: int, table: Any, tensors: tuple[Tensor, ...]) -> Op:
        where = f"operator {index}"
        if table.OpcodeIndex() >= len(self._codes):
            raise Damaged(f"{where} has code {table.OpcodeIndex()} of {len(self._codes)}")
        code = self._codes[table.OpcodeIndex()]
        inputs = _numbers(table.InputsAsNumpy())
        outputs = _numbers(table.OutputsAsNumpy())
        count = len(tensors)
        structure.check_indices(f"an input of {where}", inputs, count=count, optional=True)
        structure.check_indices(f"an output of {where}", outputs, count=count, optional=True)
        op = Op(
            index=index,
            name=code.name,
            version=code.version,
            custom=code.custom,
            inputs=tuple(tensors[i] for i in inputs if i != OPTIONAL_TENSOR),
            outputs=tuple(tensors[i] for i in outputs if i != OPTIONAL_TENSOR),
            options=_options(table),
            custom_options=self._custom_options(where, table),
        )
        structure.check_operator(
            where,
            op.name,
            inputs=len(op.inputs),
            outputs=len(op.outputs),
            parts=op.options.get("numSplits", 0),
        )
        if op.name in structure.INDEX_INPUTS:
            indices = op.inputs[structure.INDEX_INPUTS[op.name]]
            if indices.constant and (indices.sparse or indices.type not in INTEGER_TYPES):
                raise Damaged(f"{where} ({op.name}) has indices of the type {indices.type}")
        return op

    def _custom_options(self, where: str, table: Any) -> bytes:
        """A custom operator's own bytes, inside the flatbuffer or behind it."""
        if table.CustomOptionsLength():
            return bytes(table.CustomOptionsAsNumpy().tobytes())
        what = f"the options of {where}"
        offset, size = table.LargeCustomOptionsOffset(), table.LargeCustomOptionsSize()
        return bytes(self._behind(what, offset, size))

    def _metadata(self) -> Mapping[str, bytes]:
        """The first entry of each name."""
        entries: dict[str, bytes] = {}
        for index in range(self._table.MetadataLength()):
            entry = self._table.Metadata(index)
            if entry.Buffer() >= len(self._buffers):
                raise Damaged(f"metadata {index} points to buffer {entry.Buffer()}")
            entries.setdefault(_text(entry.Name()), bytes(self._buffers[entry.Buffer()]))
        return MappingProxyType(entries)


def _code(code: Any) -> _Code:
    # Old files keep the operator in the deprecated field, which ends at 127.
    kind = int(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))
    name = OPERATOR_NAMES.get(kind, f"operator {kind}")
    custom = name == CUSTOM
    own = _text(code.CustomCode()) if custom else ""
    return _Code(own or name, int(code.Version()), custom)


def _quantization(
    where: str, table: Any, kind: str, shape: tuple[int, ...], *, constant: bool
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Scales and zero points; both empty where there are no scales."""
    quantization = table.Quantization()
    scales = () if quantization is None else _numbers(quantization.ScaleAsNumpy())
    if not scales:
        return (), ()
    zero_points = _numbers(quantization.ZeroPointAsNumpy())
    structure.check_quantization(
        where,
        kind,
        shape,
        scales=scales,
        zero_points=zero_points,
        axis=quantization.QuantizedDimension(),
        constant=constant,
    )
    return scales, zero_points


def _options(table: Any) -> Mapping[str, Any]:
    """The builtin options by the schema's names; empty where there are none."""
    union = table.BuiltinOptions()
    if union is None:
        return MappingProxyType({})
    options = schema.BuiltinOptionsCreator(table.BuiltinOptionsType(), union)
    values = {} if options is None else vars(options)
    return MappingProxyType({name: _frozen(value) for name, value in values.items()})


def _frozen(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return tuple(value.tolist())
    return tuple(value) if isinstance(value, list) else value


def _signature(table: Any, sizes: list[int]) -> Signature:
    """A signature, checked against the numbers of tensors in the model's subgraphs."""
    subgraph = table.SubgraphIndex()
    if subgraph >= len(sizes):
        raise Damaged(f"a signature describes subgraph {subgraph} of {len(sizes)}")
    inputs = [table.Inputs(i) for i in range(table.InputsLength())]
    outputs = [table.Outputs(i) for i in range(table.OutputsLength())]
    for entry in (*inputs, *outputs):
        if entry.TensorIndex() >= sizes[subgraph]:
            raise Damaged(f"a signature names tensor {entry.TensorIndex()} of {sizes[subgraph]}")
    return Signature(
        key=_text(table.SignatureKey()),
        subgraph=subgraph,
        inputs=tuple((_text(entry.Name()), entry.TensorIndex()) for entry in inputs),
        outputs=tuple((_text(entry.Name()), entry.TensorIndex()) for entry in outputs),
    )


def _numbers(vector: NDArray[Any] | int) -> tuple[Any, ...]:
    """A vector of numbers as plain Python; the accessors give 0 for one that is left out."""
    return () if isinstance(vector, int) else tuple(vector.tolist())


def _text(value: bytes | None) -> str:
    """A flatbuffer's string; the format has them in UTF-8."""
    return value.decode() if value else ""
