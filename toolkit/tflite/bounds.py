"""Between which real values an operator's results lie, whatever the picture.

Activation functions have ends (a ReLU's zero, a tanh's one), and what copies, averages or adds
their values has ends that follow from these. Where nothing bounds a value, its end is infinite.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from asmnet_kit.face.input_values import to_float_input
from asmnet_kit.tflite.graph import Graph, Tensor
from asmnet_kit.tflite.int8_rules import FUSED_ENDS, LIMITS, UNBOUNDED, Bounds, fused_activation

# What the values (v - 128) / 128 of a picture lie between.
_DARKEST, _BRIGHTEST = to_float_input(np.array([0, 255], np.uint8)).tolist()
_DTYPES = {"int8": "i1", "uint8": "u1", "int16": "<i2", "float16": "<f2", "float32": "<f4"}

# Each result is one of the values that come in, or lies between some of them.
_KEEPING = (
    "AVERAGE_POOL_2D", "BATCH_TO_SPACE_ND", "BROADCAST_TO", "CONCATENATION", "DEPTH_TO_SPACE",
    "DEQUANTIZE", "EXPAND_DIMS", "GATHER", "GATHER_ND", "MAX_POOL_2D", "MEAN", "MIRROR_PAD",
    "PACK", "PADV2", "QUANTIZE", "REDUCE_MAX", "REDUCE_MIN", "RESHAPE", "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR", "REVERSE_V2", "SELECT", "SELECT_V2", "SLICE", "SPACE_TO_DEPTH",
    "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "TILE", "TRANSPOSE", "UNPACK",
)  # fmt: skip
_PADDING_WITH_ZEROS = ("PAD", "SPACE_TO_BATCH_ND")

# Activation functions that are operators: those that cut a value off, and others' own ends.
_CUTTING: Mapping[str, Bounds] = MappingProxyType(
    {"RELU": (0.0, math.inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0),
     "RELU_0_TO_1": (0.0, 1.0)}
)  # fmt: skip
_ENDS: Mapping[str, Bounds] = MappingProxyType(
    {"LOGISTIC": (0.0, 1.0), "SOFTMAX": (0.0, 1.0), "TANH": (-1.0, 1.0),
     "L2_NORMALIZATION": (-1.0, 1.0), "ELU": (-1.0, math.inf), "EXP": (0.0, math.inf),
     "ABS": (0.0, math.inf), "HARD_SWISH": (-0.375, math.inf)}
)  # fmt: skip


def bounds_of(graph: Graph) -> dict[int, Bounds]:
    """The least and the greatest real value that can occur, by index of the tensor.

    An input of whole numbers has the ends of its type, one of real values those of a picture.
    """
    found = {tensor.index: _of_picture(tensor) for tensor in graph.inputs}
    for op in graph.ops:
        # Others are sizes, axes, indices and conditions.
        values = [tensor for tensor in op.inputs if tensor.type in _DTYPES]
        bounds = _cut(
            _of_results(op.name, [found.get(t.index) or _of_constant(t) for t in values]),
            FUSED_ENDS.get(fused_activation(op), UNBOUNDED),
        )
        found |= dict.fromkeys((tensor.index for tensor in op.outputs), bounds)
    return found


def type_bounds(tensor: Tensor) -> Bounds:
    """The real values of the smallest and the largest level of a quantized tensor of one scale."""
    least, greatest = LIMITS[tensor.type]
    return _real(tensor, least), _real(tensor, greatest)


def _real(tensor: Tensor, level: float) -> float:
    zero = tensor.zero_points[0] if tensor.zero_points else 0
    return tensor.scales[0] * (level - zero)


def _of_picture(tensor: Tensor) -> Bounds:
    quantized = tensor.type in LIMITS and len(tensor.scales) == 1
    return type_bounds(tensor) if quantized else (_DARKEST, _BRIGHTEST)


def _of_constant(tensor: Tensor) -> Bounds:
    """Of a constant its values; nothing is known of state and of what an unknown graph made."""
    is_float = tensor.type not in LIMITS
    if not tensor.constant or tensor.sparse or (len(tensor.scales) != 1 and not is_float):
        return UNBOUNDED
    values = np.frombuffer(tensor.data, _DTYPES[tensor.type])
    if not values.size:
        return UNBOUNDED
    ends = float(values.min()), float(values.max())
    return ends if is_float else (_real(tensor, ends[0]), _real(tensor, ends[1]))


def _of_results(name: str, inputs: Sequence[Bounds]) -> Bounds:
    """Before a fused activation function."""
    if name in _ENDS:
        return _ENDS[name]
    if not inputs:
        return UNBOUNDED
    if name in _CUTTING:
        return _cut(inputs[0], _CUTTING[name])
    if name in _PADDING_WITH_ZEROS:
        return _around(*inputs, (0.0, 0.0))
    if name in _KEEPING:
        return _around(*inputs)
    if name in _COMBINING:
        return _COMBINING[name](*inputs)
    return UNBOUNDED


def _cut(bounds: Bounds, ends: Bounds) -> Bounds:
    low, high = (min(max(value, ends[0]), ends[1]) for value in bounds)
    return low, high


def _around(*inputs: Bounds) -> Bounds:
    return min(low for low, _ in inputs), max(high for _, high in inputs)


def _sum(*inputs: Bounds) -> Bounds:
    return sum(low for low, _ in inputs), sum(high for _, high in inputs)


def _difference(first: Bounds, second: Bounds) -> Bounds:
    return first[0] - second[1], first[1] - second[0]


def _product(first: Bounds, second: Bounds) -> Bounds:
    # 0 * inf is 0 here: no value is infinite.
    corners = [a * b if a and b else 0.0 for a in first for b in second]
    return min(corners), max(corners)


def _larger(*inputs: Bounds) -> Bounds:
    return max(low for low, _ in inputs), max(high for _, high in inputs)


def _smaller(*inputs: Bounds) -> Bounds:
    return min(low for low, _ in inputs), min(high for _, high in inputs)


_COMBINING: Mapping[str, Callable[..., Bounds]] = MappingProxyType(
    {"ADD": _sum, "ADD_N": _sum, "SUB": _difference, "MUL": _product, "MAXIMUM": _larger,
     "MINIMUM": _smaller}
)  # fmt: skip
