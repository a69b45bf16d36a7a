"""A user's own model in the shape that quantization takes: flat, fed with the kit's input."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from asmnet_kit.base.errors import ModelError
from asmnet_kit.face.input_values import MEAN, SCALE
from asmnet_kit.quantize.private_doors import calls_in_order, calls_of

L = tf_keras.layers


def flattened(model: tf_keras.Model, *, side: int | None = None) -> tf_keras.Model:
    """A copy of a functional or Sequential model without models inside of it.

    ``Rescaling`` becomes a 1x1 depthwise convolution, which int8 has. Layers of an inner model
    keep their names unless the outer one has the same.

    Args:
        side: of the input, pixels, where the model leaves it open.

    Raises:
        ModelError: a layer that is called more than once, or arithmetic on tensors outside of
            layers.
    """
    inputs = [
        tf_keras.Input(_sized(t.shape[1:], side), name=t.name.split(":")[0]) for t in model.inputs
    ]
    outputs = inlined(model, inputs, set())
    return tf_keras.Model(inputs, outputs, name=model.name)


def _sized(shape: tf.TensorShape, side: int | None) -> list[int | None]:
    """A shape without the batch, its open height and width set to ``side``."""
    return [side if size is None and axis < 2 else size for axis, size in enumerate(shape)]


def with_input_range(
    model: tf_keras.Model, *, mean: float | None, scale: float | None
) -> tf_keras.Model:
    """``model``, which takes (v - mean) / scale, as one that takes the kit's (v - 128) / 128.

    (v - mean) / scale = a x + b with x = (v - 128) / 128: a 1x1 depthwise convolution in front.
    """
    mean, scale = MEAN if mean is None else mean, SCALE if scale is None else scale
    if (mean, scale) == (MEAN, SCALE):
        return model
    image = tf_keras.Input(model.inputs[0].shape[1:], name="image")
    moved = _affine("input_range", SCALE / scale, (MEAN - mean) / scale, image)
    outputs: Any = inlined(model, [moved], {"input_range"})
    if isinstance(model.output, dict):
        outputs = dict(zip(sorted(model.output), outputs, strict=True))
    return tf_keras.Model(image, outputs, name=model.name)


def inlined(model: tf_keras.Model, arguments: list[Any], taken: set[str]) -> list[Any]:
    """The outputs of a copy of ``model``'s layers on other tensors.

    Args:
        taken: names that the copied layers must not have; theirs are added.
    """
    made = {id(tensor): value for tensor, value in zip(model.inputs, arguments, strict=True)}
    for call in calls_in_order(model):
        given = [made[id(tensor)] for tensor in call.inputs]
        if isinstance(call.layer, tf_keras.Model):
            results = inlined(call.layer, given, taken)
        else:
            results = tf.nest.flatten(_copied(call.layer, given, taken))
        for tensor, value in zip(call.outputs, results, strict=True):
            made[id(tensor)] = value
    return [made[id(tensor)] for tensor in model.outputs]


def _copied(layer: tf_keras.layers.Layer, arguments: list[Any], taken: set[str]) -> Any:
    if type(layer).__name__ in ("TFOpLambda", "SlicingOpLambda", "Lambda"):
        raise ModelError(
            f"{layer.name}: expected layers alone, got arithmetic or a function on tensors: use a "
            "layer for it (Rescaling, Add, ReLU), or leave it to the program around the model"
        )
    if calls_of(layer) > 1 and layer.weights:
        raise ModelError(
            f"expected each layer to be called once, got {calls_of(layer)} calls of "
            f"{layer.name!r}: use one layer per call"
        )
    name = layer.name
    while name in taken:
        name = f"{name}_inner"
    taken.add(name)
    if isinstance(layer, L.Rescaling):
        return _affine(name, layer.scale, layer.offset, arguments[0])
    copy = type(layer).from_config(layer.get_config() | {"name": name})
    output = copy(arguments if len(arguments) > 1 else arguments[0])
    copy.set_weights(layer.get_weights())
    return output


def _affine(name: str, factor: float, offset: float, tensor: Any) -> Any:
    """factor x + offset for each channel, as a 1x1 depthwise convolution."""
    convolution = L.DepthwiseConv2D(1, name=name)
    output = convolution(tensor)
    channels = int(tensor.shape[-1])
    kernel = np.broadcast_to(np.asarray(factor, np.float32), channels).reshape(1, 1, channels, 1)
    bias = np.broadcast_to(np.asarray(offset, np.float32), channels)
    convolution.set_weights([kernel, bias])
    return output
