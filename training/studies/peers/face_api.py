"""face-api.js's landmark networks, rebuilt from the weights that its package publishes.

Each is a chain of blocks of separable convolutions whose outputs are added up, a mean and a dense
layer (the package's ``faceLandmarkNet``). The weights are uint8 with a scale and a minimum each.
"""

import json
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError

L = tf_keras.layers

SIDE = 112  # pixels of the input
FULL, TINY = (32, 64, 128, 256), (32, 64, 128)  # channels of the blocks
CONVOLUTIONS = {FULL: 4, TINY: 3}  # of each block
# The adapter; the crop is chosen on training faces. The means are of R, G, B.
ADAPTER = """scheme = "68"

[input]
size = 112
colour = "RGB"
mean = [122.782, 117.001, 104.298]
scale = 255

[crop]
scale = {scale}
shift = [0.0, {down}]

[output]
points = 68
unit = "side"
origin = "corner"
"""


def read_weights(manifest: bytes, content: bytes) -> dict[str, NDArray[np.float32]]:
    """Arrays by their names in TensorFlow.js's weights manifest.

    Raises:
        DatasetError: the content does not have the length that the manifest says.
    """
    arrays, place = {}, 0
    for group in json.loads(manifest):
        for entry in group["weights"]:
            count = int(np.prod(entry["shape"]))
            levels = np.frombuffer(content[place : place + count], np.uint8)
            place += count
            how = entry["quantization"]
            if len(levels) != count or how["dtype"] != "uint8":
                raise DatasetError(f"{entry['name']}: expected {count} weights of uint8")
            values = levels.astype(np.float64) * how["scale"] + how["min"]
            arrays[entry["name"]] = values.astype(np.float32).reshape(entry["shape"])
    if place != len(content):
        raise DatasetError(f"expected {place} bytes of weights, got {len(content)}")
    return arrays


def network(weights: dict[str, NDArray[np.float32]]) -> tf_keras.Model:
    """The network of these weights: [B, 112, 112, 3] to [B, 136], x, y as fractions of the side."""
    channels = FULL if "dense3/conv0/bias" in weights else TINY
    image = tensor = tf_keras.Input((SIDE, SIDE, 3), name="image")
    for number, width in enumerate(channels):
        made: list[Any] = []
        for index in range(CONVOLUTIONS[channels]):
            name = f"dense{number}/conv{index}"
            strides = 2 if index == 0 else 1
            layer, arrays = _convolution(weights, name, width, strides)
            # Each takes the sum of all before it in the block.
            given = tensor if not made else L.ReLU()(L.Add()(made)) if len(made) > 1 else made[0]
            output = layer(given)
            layer.set_weights(arrays)
            made.append(L.ReLU()(output) if index == 0 else output)
        tensor = L.ReLU()(L.Add()(made))
    pooled = L.Flatten()(L.AveragePooling2D(int(tensor.shape[1]))(tensor))
    dense = L.Dense(136, name="landmarks")
    landmarks = dense(pooled)
    dense.set_weights([weights["fc/weights"], weights["fc/bias"]])
    return tf_keras.Model(image, landmarks)


def _convolution(
    weights: dict[str, NDArray[np.float32]], name: str, width: int, strides: int
) -> tuple[Any, list[NDArray[np.float32]]]:
    bias = weights[f"{name}/bias"]
    options: dict[str, Any] = {"strides": strides, "padding": "same"}
    if f"{name}/filters" in weights:
        return L.Conv2D(width, 3, **options), [weights[f"{name}/filters"], bias]
    both = [weights[f"{name}/{part}_filter"] for part in ("depthwise", "pointwise")]
    return L.SeparableConv2D(width, 3, **options), [*both, bias]


def as_tflite(model: tf_keras.Model) -> bytes:
    """The network as a float .tflite with a batch of 1."""
    run = tf.function(lambda image: {"landmarks": model(image, training=False)})
    concrete = run.get_concrete_function(tf.TensorSpec([1, SIDE, SIDE, 3], tf.float32))
    content: bytes = tf.lite.TFLiteConverter.from_concrete_functions([concrete], model).convert()
    return content
