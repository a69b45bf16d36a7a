"""Reads a .tflite file into a ``Graph``: the kit's only reader of the format.

Every value is checked while it is read, by the rules of ``structure``, with bounds-checked Python:
a damaged file is an error, never a crash.

Source: TensorFlow Lite's schema.fbs, through the classes that flatbuffers generates from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.base.kinds import HEAD_BYTES, kind_of
from asmnet_kit.base.reading import MAX_MODEL_BYTES, read_bytes
from asmnet_kit.tflite import structure
from asmnet_kit.tflite.graph import INTEGER_TYPES, MAIN, Graph, Op, Signature, Tensor
from asmnet_kit.tflite.schema import OPERATOR_NAMES, TYPE_NAMES, schema
from asmnet_kit.tflite.structure import DAMAGE, IDENTIFIER, OPEN, OPTIONAL_TENSOR, Damaged

CUSTOM = "CUSTOM"
NO_BUFFER = 0  # the buffer of tensors that are computed; its content does not count


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
        return read_bytes(path, limit=MAX_MODEL_BYTES)
    except IsADirectoryError as error:
        raise ModelError(f"{path}: expected a .tflite model, got a folder") from error
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
            f"{name}: expected a .tflite model (bytes 4 to 7 are 'TFL3'), got "
            f"{kind_of(content[:HEAD_BYTES])}; the file is of another kind or damaged"
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
            own = structure.workspace(op.name, custom=op.custom)
            reads = (t.index for number, t in enumerate(op.inputs) if number not in own)
            structure.check_filled(where, reads, filled)
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
        listed = {
            number: tensors[index].shape[0]
            for number, index in enumerate(inputs)
            if index != OPTIONAL_TENSOR and tensors[index].shape
        }
        structure.check_listed(where, op.name, listed)
        if len(op.options.get("newShape") or ()) > structure.MAX_RANK:
            raise Damaged(f"{where} ({op.name}) has a new shape of too many dimensions")
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
