"""Is this a whole, consistent TensorFlow Lite file? Checked before a runtime's C++ code sees it.

The runtime verifies the flatbuffer's offsets by itself, but trusts what they hold: a flipped bit in
an index, a shape or a quantization table can make it read outside of its memory. This module checks
those values with bounds-checked Python, so that a damaged file is an error and not a crash.
"""

import math
import struct
from typing import Any

import numpy as np

from asmnet_kit.base.errors import ModelError

IDENTIFIER = b"TFL3"  # bytes 4..7 of every file with the TensorFlow Lite schema
OPTIONAL_TENSOR = -1  # stands for an input that an operator does without
MAX_TENSOR_BYTES = 2**31 - 1  # a flatbuffer, and so a constant tensor, ends below 2 GiB
MAX_TENSORS_BYTES = 2**34  # all tensors together; far above any model for a phone
MAX_RANK = 8  # no TensorFlow Lite kernel takes more dimensions

# Bits of one element, by number of schema.fbs' TensorType. STRING, RESOURCE and VARIANT have no
# fixed size; types added later than this table are left to the runtime.
ELEMENT_BITS = {
    0: 32,  # FLOAT32
    1: 16,  # FLOAT16
    2: 32,  # INT32
    3: 8,  # UINT8
    4: 64,  # INT64
    6: 8,  # BOOL
    7: 16,  # INT16
    8: 64,  # COMPLEX64
    9: 8,  # INT8
    10: 64,  # FLOAT64
    11: 128,  # COMPLEX128
    12: 64,  # UINT64
    15: 32,  # UINT32
    16: 16,  # UINT16
    17: 4,  # INT4
}

# Where the zero point of a quantized tensor must lie, by TensorType.
ZERO_POINT_RANGE = {3: (0, 255), 7: (-(2**15), 2**15 - 1), 9: (-128, 127), 17: (-8, 7)}

# Operators whose number of outputs is also an option; the kernels believe the option.
SPLITS = {49: "SplitOptions", 102: "SplitVOptions"}

# What reading a damaged flatbuffer through the generated classes raises.
DAMAGE = (
    AttributeError,
    IndexError,
    MemoryError,
    OverflowError,
    TypeError,
    UnicodeDecodeError,
    ValueError,
    struct.error,
)


def check_structure(content: bytes, *, name: str) -> None:
    """Check a model's identifier, tables, indices, shapes and quantization tables.

    Args:
        content: the whole file.
        name: of the file, for the messages.

    Raises:
        ModelError: it is no TensorFlow Lite file, or it is cut off or damaged.
    """
    if not content:
        raise ModelError(f"{name}: expected a .tflite model, got an empty file")
    if content[4:8] != IDENTIFIER:
        raise ModelError(
            f"{name}: expected a .tflite model (bytes 4 to 7 are 'TFL3'), got {content[4:8]!r}; "
            f"the file is of another kind or damaged"
        )
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError:
        return  # tflite-runtime ships no schema; its own verifier is what remains
    try:
        _check_model(schema.Model.GetRootAs(content, 0), schema, name)
    except DAMAGE as error:
        raise ModelError(
            f"{name}: the .tflite model is truncated or damaged ({len(content)} bytes; "
            f"{type(error).__name__} while reading its tables); copy or convert it again"
        ) from error


def _damaged(name: str, what: str) -> ModelError:
    return ModelError(f"{name}: the .tflite model is damaged: {what}; copy or convert it again")


def _check_model(model: Any, schema: Any, name: str) -> None:
    if model.SubgraphsLength() < 1:
        raise _damaged(name, "it holds no subgraph")
    lengths = [model.Buffers(i).DataLength() for i in range(model.BuffersLength())]
    outside = {i for i in range(len(lengths)) if model.Buffers(i).Offset() > 1}
    total = 0
    for index in range(model.SubgraphsLength()):
        graph = model.Subgraphs(index)
        total += _check_tensors(graph, lengths, outside, name)
        if total > MAX_TENSORS_BYTES:
            raise _damaged(name, f"its tensors claim more than {MAX_TENSORS_BYTES} bytes")
        _check_graph(graph, model, schema, lengths, name)
    for index in range(model.SignatureDefsLength()):
        _check_signature(model.SignatureDefs(index), model, name)


def _check_tensors(graph: Any, lengths: list[int], outside: set[int], name: str) -> int:
    """Check each tensor of a subgraph; the bytes they take together, without constants."""
    total = 0
    for i in range(graph.TensorsLength()):
        tensor = graph.Tensors(i)
        where = f"tensor {i}"
        buffer = tensor.Buffer()
        if buffer >= len(lengths):
            raise _damaged(name, f"{where} points to buffer {buffer} of {len(lengths)}")
        if tensor.Name() is not None:
            tensor.Name().decode()
        shape = [tensor.Shape(axis) for axis in range(tensor.ShapeLength())]
        if len(shape) > MAX_RANK or any(size < 0 for size in shape):
            raise _damaged(name, f"{where} has the shape {shape}")
        _check_quantization(tensor, shape, name=name, where=where)
        bits = ELEMENT_BITS.get(tensor.Type())
        if bits is None:
            continue
        expected = (math.prod(shape) * bits + 7) // 8
        if expected > MAX_TENSOR_BYTES:
            raise _damaged(name, f"{where} of shape {shape} claims {expected} bytes")
        stored = lengths[buffer]
        if stored and tensor.Sparsity() is None and buffer not in outside and stored != expected:
            raise _damaged(name, f"{where} of shape {shape} needs {expected} bytes, holds {stored}")
        total += 0 if stored else expected
    return total


def _check_quantization(tensor: Any, shape: list[int], *, name: str, where: str) -> None:
    quantization = tensor.Quantization()
    if quantization is None:
        return
    scales, zeros = quantization.ScaleLength(), quantization.ZeroPointLength()
    if scales == 0:
        return
    axis = quantization.QuantizedDimension()
    if scales > 1 and not (0 <= axis < len(shape) and shape[axis] == scales):
        raise _damaged(name, f"{where} of shape {shape} has {scales} scales along axis {axis}")
    if zeros not in (0, 1, scales):
        raise _damaged(name, f"{where} has {scales} scales and {zeros} zero points")
    scale = quantization.ScaleAsNumpy()
    if not np.all((scale >= 0) & (scale < math.inf)):  # NaN is neither
        raise _damaged(name, f"{where} has a scale that is negative or not finite")
    low, high = ZERO_POINT_RANGE.get(tensor.Type(), (-math.inf, math.inf))
    zero_point = quantization.ZeroPointAsNumpy() if zeros else np.zeros(1)
    if not np.all((zero_point >= low) & (zero_point <= high)):
        raise _damaged(name, f"{where} has a zero point outside of its type's range")


def _check_graph(graph: Any, model: Any, schema: Any, lengths: list[int], name: str) -> None:
    """Check that indices point at something and that an operator reads only what exists by then."""
    tensors = graph.TensorsLength()

    def check(indices: list[int], what: str, *, lowest: int) -> None:
        for index in indices:
            if not lowest <= index < tensors:
                raise _damaged(name, f"{what} is tensor {index} of {tensors}")

    graph_inputs = [graph.Inputs(i) for i in range(graph.InputsLength())]
    graph_outputs = [graph.Outputs(i) for i in range(graph.OutputsLength())]
    check(graph_inputs, "an input", lowest=0)
    check(graph_outputs, "an output", lowest=0)
    available = {OPTIONAL_TENSOR, *graph_inputs}
    available |= {i for i in range(tensors) if _holds_a_value(graph.Tensors(i), lengths)}
    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        inputs = [operator.Inputs(j) for j in range(operator.InputsLength())]
        outputs = [operator.Outputs(j) for j in range(operator.OutputsLength())]
        check(inputs, f"an input of operator {i}", lowest=OPTIONAL_TENSOR)
        check(outputs, f"an output of operator {i}", lowest=OPTIONAL_TENSOR)
        for tensor in inputs:
            if tensor not in available:
                raise _damaged(name, f"operator {i} reads tensor {tensor}, which nothing fills")
        available.update(outputs)
        _check_operator(operator, f"operator {i}", model, schema, name)
    for tensor in graph_outputs:
        if tensor not in available:
            raise _damaged(name, f"output tensor {tensor} is filled by nothing")


def _holds_a_value(tensor: Any, lengths: list[int]) -> bool:
    """Constants, variables and tensors without elements hold a value before any operator runs."""
    empty = any(tensor.Shape(axis) == 0 for axis in range(tensor.ShapeLength()))
    return bool(lengths[tensor.Buffer()] or tensor.IsVariable() or empty)


def _check_operator(operator: Any, where: str, model: Any, schema: Any, name: str) -> None:
    codes = model.OperatorCodesLength()
    if operator.OpcodeIndex() >= codes:
        raise _damaged(name, f"{where} has code {operator.OpcodeIndex()} of {codes}")
    code = model.OperatorCodes(operator.OpcodeIndex())
    kind = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    table = operator.BuiltinOptions()
    if kind in SPLITS and table is not None:
        options = getattr(schema, SPLITS[kind])()
        options.Init(table.Bytes, table.Pos)
        parts = options.NumSplits()
        if parts != operator.OutputsLength():
            raise _damaged(
                name,
                f"{where} has {operator.OutputsLength()} outputs and splits into {parts}",
            )


def _check_signature(signature: Any, model: Any, name: str) -> None:
    if signature.SubgraphIndex() >= model.SubgraphsLength():
        raise _damaged(name, f"a signature describes subgraph {signature.SubgraphIndex()}")
    tensors = model.Subgraphs(signature.SubgraphIndex()).TensorsLength()
    maps = [signature.Inputs(i) for i in range(signature.InputsLength())]
    maps += [signature.Outputs(i) for i in range(signature.OutputsLength())]
    for entry in maps:
        entry.Name().decode()
        if entry.TensorIndex() >= tensors:
            raise _damaged(name, f"a signature names tensor {entry.TensorIndex()} of {tensors}")
