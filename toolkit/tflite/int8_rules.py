"""What int8 asks of a model's operators: each rule once, for contract, audit and accelerators."""

import math
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.face.input_values import SCALE
from asmnet_kit.tflite.graph import Op, Tensor

# Types of quantized activations, with the smallest and the largest level.
LIMITS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}
)
INPUT_SCALE = 1 / SCALE  # of an int8 input, exactly; its zero point is 0: v - 128 of a pixel v

# Operators with a kernel, and the axis of its channels, along which several scales may count.
CHANNEL_AXIS: Mapping[str, int] = MappingProxyType(
    {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}
)
DENSE = "FULLY_CONNECTED"
_KERNEL, _BIAS = 1, 2  # which of their inputs it is

# Operators that change the type or the scale of values, and nothing else.
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")

# Between which real values something lies.
Bounds = tuple[float, float]
UNBOUNDED: Bounds = (-math.inf, math.inf)

# Where an activation function that is fused into an operator cuts off, by the schema's number.
_RELU, _RELU_N1_TO_1, _RELU6 = 1, 2, 3
FUSED_ENDS: Mapping[int, Bounds] = MappingProxyType(
    {_RELU: (0.0, math.inf), _RELU_N1_TO_1: (-1.0, 1.0), _RELU6: (0.0, 6.0)}
)


def kernel_of(op: Op) -> Tensor | None:
    """The weights of an operator of ``CHANNEL_AXIS``, constant or not; None for other operators."""
    return op.inputs[_KERNEL] if op.name in CHANNEL_AXIS else None


def bias_of(op: Op) -> Tensor | None:
    """The bias of an operator of ``CHANNEL_AXIS``; None where it has none."""
    has = op.name in CHANNEL_AXIS and len(op.inputs) > _BIAS
    return op.inputs[_BIAS] if has else None


def dense_scales(op: Op) -> int:
    """How many scales the weights of a dense layer have that computes in whole numbers; else 0.

    One is right. With more the Edge TPU's runtime returns one constant for every output, and
    runtimes up to TFLite 2.5 take the first for all, both without an error. Beside float
    activations several scales came with a version that old runtimes refuse.
    """
    if op.name != DENSE or op.inputs[0].type not in LIMITS:
        return 0
    return len(op.inputs[_KERNEL].scales)


def cut_channels(bias: Tensor) -> NDArray[np.int64]:
    """Channels whose bias stands at an end of its integers: it was larger than its scale allows.

    The converter cuts such a bias off, and its value is lost; widen the range of the kernel.
    """
    if not bias.constant or bias.type not in ("int32", "int64"):
        return np.zeros(0, np.int64)
    values, limits = bias.integers, np.iinfo(bias.type)
    return np.flatnonzero((values == limits.max) | (values <= -limits.max))


def fused_activation(op: Op) -> int:
    """The schema's number of the activation function that is fused into an operator; 0 is none."""
    return int(op.options.get("fusedActivationFunction", 0) or 0)
