"""The weights of a float .tflite, by layer: a model that was shipped can be trained on.

The converter folds batch normalisation into convolutions and names each kernel's tensor by the
Keras layer it came from (``asmnet_plus/block_3_expand/Conv2D``); what it gives is what
``initialise`` knows as folded weights.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.errors import ModelError
from asmnet_kit.graph import Graph, Op, Tensor, read_graph

if TYPE_CHECKING:
    from collections.abc import Mapping

FLOATS = {"float32": "<f4", "float16": "<f2"}
# Operator -> order of its kernel's axes as Keras has them: [out, h, w, in] and [1, h, w, channels].
AXES = {
    "CONV_2D": (1, 2, 3, 0),
    "DEPTHWISE_CONV_2D": (1, 2, 3, 0),
    "FULLY_CONNECTED": (1, 0),
}


def folded_weights(path: Path) -> dict[str, NDArray[np.float32]]:
    """``LAYER/kernel`` in Keras' layout and ``LAYER/bias`` of each layer that multiplies.

    Args:
        path: a float32 or float16 .tflite that the kit wrote.

    Raises:
        ModelError: it cannot be read, or its weights are quantized to integers.
    """
    graph = read_graph(path)
    constants = _float_constants(graph)
    arrays: dict[str, NDArray[np.float32]] = {}
    for op in graph.ops:
        if op.name not in AXES:
            continue
        _, kernel, *bias = op.inputs
        if kernel.index not in constants:
            raise ModelError(
                f"{path}: expected float weights to start from, got {kernel.type} in {op.name} "
                f"{op.index}; take the float model (fp32 or fp16) of the same run"
            )
        layer = _layer(kernel)
        values = constants[kernel.index].transpose(AXES[op.name])
        arrays[f"{layer}/kernel"] = np.ascontiguousarray(values)
        arrays[f"{layer}/bias"] = (
            constants[bias[0].index] if bias else np.zeros(_channels(op), np.float32)
        )
    return arrays


def _float_constants(graph: Graph) -> "Mapping[int, NDArray[np.float32]]":
    """Tensor's index -> its values; a float16 constant counts where it is made float32."""
    own: dict[int, Any] = {}
    for op in graph.ops:
        for tensor in op.inputs:
            if tensor.constant and tensor.type in FLOATS:
                values = np.frombuffer(tensor.data, FLOATS[tensor.type]).reshape(tensor.shape)
                own[tensor.index] = values.astype(np.float32)
    for op in graph.ops:
        if op.name == "DEQUANTIZE" and op.inputs[0].index in own:
            own[op.outputs[0].index] = own[op.inputs[0].index]
    return own


def _layer(kernel: Tensor) -> str:
    """``block_3_expand`` of ``asmnet_plus/block_3_expand/Conv2D``; joined names end in the own."""
    parts = kernel.name.rpartition(";")[2].split("/")
    return parts[-2] if len(parts) > 1 else parts[0]


def _channels(op: Op) -> int:
    return op.outputs[0].shape[-1]
