"""What must be true of a converted file before it is written.

A .tflite that breaks one of these still runs somewhere, slower or with wrong numbers, and says
nothing. It reads the file, not the model it came from.
"""

import math

import numpy as np

from asmnet_kit.base.errors import ModelError
from asmnet_kit.face.input_values import SCALE
from asmnet_kit.tflite.graph import SIGNATURE, Graph, Op, Signature, Tensor
from asmnet_kit.tflite.int8_rules import (
    CONVERSIONS,
    FUSED_ENDS,
    INPUT_SCALE,
    LIMITS,
    UNBOUNDED,
    bias_of,
    cut_channels,
    dense_scales,
    fused_activation,
    kernel_of,
)
from asmnet_kit.tflite.reader import graph_of

INPUT = "image"
# int32 holds biases, shapes and axes; int8 everything else.
_TYPES = ("int8", "int32")


def verify_contract(model: bytes | Graph, *, outputs: set[str]) -> None:
    """Check what every file of the kit keeps: one graph, batch 1, the signature and its names.

    Args:
        model: the file's bytes, or what was read from them.
        outputs: names of the outputs.

    Raises:
        ModelError: naming what differs.
    """
    graph = _graph(model)
    if graph.subgraphs != 1:
        raise ModelError(f"expected one graph, got {graph.subgraphs}")
    signature = _signature(graph)
    found = {name for name, _ in signature.inputs}
    if found != {INPUT}:
        raise ModelError(f"expected the signature's input {INPUT!r}, got {sorted(found)}")
    found = {name for name, _ in signature.outputs}
    if found != outputs:
        raise ModelError(f"expected the signature's outputs {sorted(outputs)}, got {sorted(found)}")
    for tensor in (*graph.inputs, *graph.outputs):
        if tensor.open or not tensor.shape or tensor.shape[0] != 1:
            raise ModelError(
                f"{tensor.name}: expected a fixed batch of 1, got the shape {tensor.shape_text}"
                f"{' with open dimensions' if tensor.open else ''}"
            )


def verify_w8a8(model: bytes | Graph) -> None:
    """Check that a file computes in int8 from its input to its outputs, the contract's way.

    The input is int8 with scale exactly 1/128 and zero point 0; outputs are int8; no tensor is
    float; no QUANTIZE or DEQUANTIZE stands at the border; dense weights have one scale; no bias is
    cut off at the ends of int32.

    Args:
        model: the file's bytes, or what was read from them.

    Raises:
        ModelError: naming the tensor or operator that differs.
    """
    graph = _graph(model)
    for tensor in graph.tensors:
        if tensor.type not in _TYPES:
            raise ModelError(
                f"{tensor.name}: expected int8 throughout, got a tensor of {tensor.type}"
            )
    for tensor in (*graph.inputs, *graph.outputs):
        if tensor.type != "int8":
            raise ModelError(f"{tensor.name}: expected an int8 input or output, got {tensor.type}")
    for tensor in graph.inputs:
        _check_input(tensor)
    for op in graph.ops:
        _check_conversion(op, graph)
        _check_layer(op)
        _check_scales(op)


def verify_activations(model: bytes | Graph) -> None:
    """Check that each fused ReLU6 fits the scale of its output.

    TFLite looks for the place of 6 among the output's levels, in 32 bits. Where all values are next
    to nothing there is none, and runtimes refuse the file ("no integer overflow from
    quantization"): with int16 activations below 1e-4, which is a network before its training.

    Args:
        model: the file's bytes, or what was read from them.

    Raises:
        ModelError: naming the tensor.
    """
    for op in _graph(model).ops:
        _, ceiling = FUSED_ENDS.get(fused_activation(op), UNBOUNDED)
        for output in op.outputs[:1]:
            if math.isinf(ceiling) or len(output.scales) != 1 or output.scales[0] <= 0:
                continue
            scale = output.scales[0]
            if ceiling / scale > np.iinfo(np.int32).max:
                _, levels = LIMITS.get(output.type, (0, 1))
                raise ModelError(
                    f"{output.name}: expected activations of a trained network, got none above "
                    f"{levels * scale:.2g}, so small that runtimes refuse the file: train the "
                    "network first, or use another recipe"
                )


def _graph(model: bytes | Graph) -> Graph:
    return model if isinstance(model, Graph) else graph_of(model, name="model")


def _signature(graph: Graph) -> Signature:
    for signature in graph.signatures:
        if signature.key == SIGNATURE:
            return signature
    raise ModelError(f"expected a signature {SIGNATURE!r}, the model has none of that name")


def _check_input(tensor: Tensor) -> None:
    if tensor.scales != (INPUT_SCALE,) or tensor.zero_points != (0,):
        raise ModelError(
            f"{tensor.name}: expected an input of scale 1/{SCALE} = {INPUT_SCALE} and zero point "
            f"0, got {list(tensor.scales)} and {list(tensor.zero_points)}: the calibration crops "
            "must hold a 0 and a 255"
        )


def _check_conversion(op: Op, graph: Graph) -> None:
    """No floats are made, and nothing is converted at the border."""
    if op.name not in CONVERSIONS:
        return
    where = op.outputs[0].name
    if op.name == "DEQUANTIZE":
        raise ModelError(f"{where}: expected no {op.name} in an int8 model")
    border = {t.index for t in (*graph.inputs, *graph.outputs)}
    if any(t.index in border for t in (*op.inputs, *op.outputs)):
        raise ModelError(f"{where}: expected no {op.name} at the input or output of an int8 model")


def _check_layer(op: Op) -> None:
    kernel, bias = kernel_of(op), bias_of(op)
    if kernel is not None and dense_scales(op) > 1:
        raise ModelError(
            f"{kernel.name}: expected dense weights with one scale, got {dense_scales(op)}"
        )
    if bias is not None and len(cut := cut_channels(bias)):
        raise ModelError(
            f"{bias.name}: expected biases that fit their scale, got channel {cut[0]} cut off at "
            f"the end of {bias.type}: the scale of its kernel is too small"
        )


def _check_scales(op: Op) -> None:
    for tensor in (*op.inputs, *op.outputs):
        scales = list(tensor.scales)
        positive = all(math.isfinite(scale) and scale > 0 for scale in scales)
        if tensor.type == "int8" and not (scales and positive):
            raise ModelError(
                f"{tensor.name}: expected int8 values with a scale above 0, got {scales}"
            )
