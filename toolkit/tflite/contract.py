"""What must be true of a converted file before it is written.

A .tflite that breaks one of these still runs somewhere, slower or with wrong numbers, and says
nothing. It reads the file, not the model it came from.
"""

import math
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from asmnet_kit.base.errors import ModelError
from asmnet_kit.face.input_values import SCALE
from asmnet_kit.tflite.metadata import parse_model
from asmnet_kit.tflite.runtime import SIGNATURE

INPUT = "image"
_TYPES = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
_OPERATORS = {
    value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)
}
# int32 holds biases, shapes and axes; int8 everything else.
_INTEGER_TYPES = {schema.TensorType.INT8, schema.TensorType.INT32}
_WITH_BIAS = {
    schema.BuiltinOperator.CONV_2D,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D,
    schema.BuiltinOperator.FULLY_CONNECTED,
}
_BIAS = 2  # which of their inputs it is
_CEILINGS = {
    schema.ActivationFunctionType.RELU6: 6.0,
    schema.ActivationFunctionType.RELU_N1_TO_1: 1.0,
}
_LIMITS = {schema.TensorType.INT8: np.int8, schema.TensorType.INT16: np.int16}
_FLOAT_BORDER = {schema.BuiltinOperator.QUANTIZE, schema.BuiltinOperator.DEQUANTIZE}


def verify_contract(model: bytes, *, outputs: set[str]) -> None:
    """Check what every file of the kit keeps: one graph, batch 1, the signature and its names.

    Args:
        outputs: names of the outputs.

    Raises:
        ModelError: naming what differs.
    """
    parsed = parse_model(model)
    if len(parsed.subgraphs) != 1:
        raise ModelError(f"expected one graph, got {len(parsed.subgraphs)}")
    graph = parsed.subgraphs[0]
    signature = _signature(parsed)
    found = {_text(entry.name) for entry in signature.inputs}
    if found != {INPUT}:
        raise ModelError(f"expected the signature's input {INPUT!r}, got {sorted(found)}")
    found = {_text(entry.name) for entry in signature.outputs}
    if found != outputs:
        raise ModelError(f"expected the signature's outputs {sorted(outputs)}, got {sorted(found)}")
    for index in [*graph.inputs, *graph.outputs]:
        tensor = graph.tensors[index]
        shape = [int(length) for length in tensor.shape]
        open_ended = tensor.shapeSignature is not None and -1 in list(tensor.shapeSignature)
        if open_ended or not shape or shape[0] != 1:
            raise ModelError(
                f"{_text(tensor.name)}: expected a fixed batch of 1, got the shape {shape}"
                f"{' with open dimensions' if open_ended else ''}"
            )


def verify_w8a8(model: bytes) -> None:
    """Check that a file computes in int8 from its input to its outputs, the contract's way.

    The input is int8 with scale exactly 1/128 and zero point 0; outputs are int8; no tensor is
    float; no QUANTIZE or DEQUANTIZE stands at the border; dense weights have one scale; no bias is
    cut off at the ends of int32.

    Raises:
        ModelError: naming the tensor or operator that differs.
    """
    parsed = parse_model(model)
    graph = parsed.subgraphs[0]
    for tensor in graph.tensors:
        if tensor.type not in _INTEGER_TYPES:
            raise ModelError(
                f"{_text(tensor.name)}: expected int8 throughout, got a tensor of "
                f"{_TYPES.get(tensor.type, tensor.type)}"
            )
    for index in [*graph.inputs, *graph.outputs]:
        tensor = graph.tensors[index]
        if tensor.type != schema.TensorType.INT8:
            raise ModelError(
                f"{_text(tensor.name)}: expected an int8 input or output, got "
                f"{_TYPES.get(tensor.type, tensor.type)}"
            )
    _check_input(graph)
    for operator in graph.operators:
        _check_operator(operator, parsed, graph)


def verify_activations(model: bytes) -> None:
    """Check that each fused ReLU6 fits the scale of its output.

    TFLite looks for the place of 6 among the output's levels, in 32 bits. Where all values are next
    to nothing there is none, and runtimes refuse the file ("no integer overflow from
    quantization"): with int16 activations below 1e-4, which is a network before its training.

    Raises:
        ModelError: naming the tensor.
    """
    graph = parse_model(model).subgraphs[0]
    for operator in graph.operators:
        ceiling = _CEILINGS.get(getattr(operator.builtinOptions, "fusedActivationFunction", None))
        output = graph.tensors[operator.outputs[0]]
        scales, _ = _quantization(output)
        if ceiling is None or len(scales) != 1 or scales[0] <= 0:
            continue
        if ceiling / scales[0] > np.iinfo(np.int32).max:
            levels = np.iinfo(_LIMITS[output.type]).max if output.type in _LIMITS else 1
            raise ModelError(
                f"{_text(output.name)}: expected activations of a trained network, got none above "
                f"{levels * scales[0]:.2g}, so small that runtimes refuse the file: train the "
                "network first, or use another recipe"
            )


def _check_input(graph: Any) -> None:
    tensor = graph.tensors[graph.inputs[0]]
    scales, zero_points = _quantization(tensor)
    if scales != [1 / SCALE] or zero_points != [0]:
        raise ModelError(
            f"{_text(tensor.name)}: expected an input of scale 1/{SCALE} = {1 / SCALE} and zero "
            f"point 0, got {scales} and {zero_points}: the calibration crops must hold a 0 and a "
            "255"
        )


def _check_operator(operator: Any, parsed: Any, graph: Any) -> None:
    code = parsed.operatorCodes[operator.opcodeIndex]
    # Old files keep the operator in the deprecated field, which ends at 127.
    builtin = max(code.builtinCode, code.deprecatedBuiltinCode)
    name = _OPERATORS.get(builtin, str(builtin))
    tensors = [
        graph.tensors[index] for index in [*operator.inputs, *operator.outputs] if index >= 0
    ]
    where = _text(graph.tensors[operator.outputs[0]].name)
    if builtin == schema.BuiltinOperator.DEQUANTIZE:
        raise ModelError(f"{where}: expected no {name} in an int8 model")
    border = {*graph.inputs, *graph.outputs}
    if builtin in _FLOAT_BORDER and border & {*operator.inputs, *operator.outputs}:
        raise ModelError(f"{where}: expected no {name} at the input or output of an int8 model")
    if builtin == schema.BuiltinOperator.FULLY_CONNECTED:
        weights = graph.tensors[operator.inputs[1]]
        scales, _ = _quantization(weights)
        if len(scales) != 1:
            raise ModelError(
                f"{_text(weights.name)}: expected dense weights with one scale, got {len(scales)}"
            )
    if builtin in _WITH_BIAS and len(operator.inputs) > _BIAS and operator.inputs[_BIAS] >= 0:
        _check_bias(graph.tensors[operator.inputs[_BIAS]], parsed)
    for tensor in tensors:
        if tensor.type != schema.TensorType.INT8:
            continue
        scales, _ = _quantization(tensor)
        if not scales or not all(math.isfinite(scale) and scale > 0 for scale in scales):
            raise ModelError(
                f"{_text(tensor.name)}: expected int8 values with a scale above 0, got {scales}"
            )


def _check_bias(tensor: Any, parsed: Any) -> None:
    """A bias at an end of int32 was larger than its scale allows, and its value is lost."""
    data = parsed.buffers[tensor.buffer].data
    if data is None or tensor.type != schema.TensorType.INT32:
        return
    values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), "<i4").astype(np.int64)
    cut = np.flatnonzero(np.abs(values) >= np.iinfo(np.int32).max)
    if cut.size:
        raise ModelError(
            f"{_text(tensor.name)}: expected biases that fit their scale, got channel {cut[0]} cut "
            "off at the end of int32: the scale of its kernel is too small"
        )


def _signature(parsed: Any) -> Any:
    for signature in parsed.signatureDefs or []:
        if _text(signature.signatureKey) == SIGNATURE:
            return signature
    raise ModelError(f"expected a signature {SIGNATURE!r}, the model has none of that name")


def _quantization(tensor: Any) -> tuple[list[float], list[int]]:
    parameters = tensor.quantization
    if parameters is None or parameters.scale is None:
        return [], []
    zero_points = [] if parameters.zeroPoint is None else parameters.zeroPoint
    return [float(scale) for scale in parameters.scale], [int(zero) for zero in zero_points]


def _text(value: bytes | str | None) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value or ""
