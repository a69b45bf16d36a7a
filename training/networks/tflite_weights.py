"""The weights of a .tflite, by layer: a model that was shipped can be trained on.

The converter folds batch normalisation into convolutions and names each kernel's tensor by the
Keras layer it came from (``asmnet_plus/block_3_expand/Conv2D``); what it gives is what
``initialise`` knows as folded weights. Those of an int8 model are its levels times their scales.
"""

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.tflite.graph import Tensor
from asmnet_kit.tflite.int8_rules import CHANNEL_AXIS
from asmnet_kit.tflite.reader import read_graph

TYPES = {"float32": "<f4", "float16": "<f2", "int8": "i1", "int32": "<i4"}
# Operator -> order of its kernel's axes as Keras has them, of [out, h, w, in], [1, h, w, channels]
# and [out, in].
KERAS_ORDER = {
    "CONV_2D": (1, 2, 3, 0),
    "DEPTHWISE_CONV_2D": (1, 2, 3, 0),
    "FULLY_CONNECTED": (1, 0),
}
OPERATION = re.compile(r"(?:quant_)?([^/;]+)/(?:Conv2D|depthwise|MatMul)")


def folded_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """``LAYER/kernel`` in Keras' layout and ``LAYER/bias`` of each layer that multiplies.

    Args:
        path: a .tflite that the kit wrote.

    Raises:
        ModelError: it cannot be read, or a kernel is computed, or of a type without a reading.
    """
    graph = read_graph(path)
    # A float16 constant is made float32 by an operator, whose output the convolution reads.
    made = {
        op.outputs[0].index: op.inputs[0]
        for op in graph.ops
        if op.name == "DEQUANTIZE" and op.inputs[0].constant
    }
    arrays: dict[str, NDArray[np.float32]] = {}
    for op in graph.ops:
        if op.name not in KERAS_ORDER:
            continue
        _, kernel, *bias = (made.get(tensor.index, tensor) for tensor in op.inputs)
        for tensor in (kernel, *bias):
            if not tensor.constant or tensor.sparse or tensor.type not in TYPES:
                raise ModelError(
                    f"{path}: expected constant weights of {', '.join(TYPES)} to start from, got "
                    f"{tensor.type} in {op.name} {op.index}"
                )
        layer = _layer(op.inputs[1])
        values = _values(kernel, CHANNEL_AXIS[op.name]).transpose(KERAS_ORDER[op.name])
        arrays[f"{layer}/kernel"] = np.ascontiguousarray(values)
        arrays[f"{layer}/bias"] = (
            _values(bias[0], 0) if bias else np.zeros(op.outputs[0].shape[-1], np.float32)
        )
    return arrays


def _values(tensor: Tensor, channel_axis: int) -> NDArray[np.float32]:
    """A constant's real values; weights are symmetric, so their zero is level 0."""
    levels = np.frombuffer(tensor.data, TYPES[tensor.type]).reshape(tensor.shape)
    if not tensor.scales:
        return levels.astype(np.float32)
    shape = np.ones(levels.ndim, int)
    shape[channel_axis] = len(tensor.scales)
    return levels * np.reshape(np.array(tensor.scales, np.float32), shape)


def _layer(kernel: Tensor) -> str:
    """``block_3_expand`` of ``asmnet_plus/quant_block_3_expand/Conv2D``; tfmot adds ``quant_``.

    A tensor that several operations were folded into has all their names, joined by ``;``.
    """
    found = OPERATION.search(kernel.name)
    return found.group(1) if found else kernel.name
