"""A user's own landmark model in the kit's terms: its input, and landmarks in the kit's unit.

Quantized so, it becomes a file of the kit, which needs no adapter any more.
"""

from typing import Any

import numpy as np
import tf_keras
from numpy.typing import NDArray

from asmnet_kit.adapters.adapter import Adapter
from asmnet_kit.base.errors import ModelError, UsageError
from asmnet_kit.face.input_values import MEAN, SCALE
from asmnet_kit.quantize.source.flatten import inlined
from asmnet_kit.quantize.source.fold import is_linear

L = tf_keras.layers
INPUT, LANDMARKS = "input_range", "landmarks"


def refuse_unkept(adapter: Adapter) -> None:
    """Refuse what a file of the kit has no way to say: its crops are upright, and looked at once.

    Raises:
        UsageError: naming the key.
    """
    has = {
        "crop.passes above 1": adapter.passes > 1,
        "crop.shift": adapter.shift != (0.0, 0.0),
        "landmarks.map": adapter.linear is not None,
    }
    for what, is_there in has.items():
        if is_there:
            raise UsageError(
                f"--adapter {adapter.name}: a model of the kit has no {what}, so it cannot be "
                "quantized into one"
            )


def in_kit_terms(model: tf_keras.Model, adapter: Adapter) -> tf_keras.Model:
    """``model`` as one that takes (v - 128) / 128, RGB, and gives landmarks as the kit's files do.

    A 1x1 convolution in front makes the adapter's input; its choice of points, their unit and
    origin go into the last dense layer, or into one behind the model where it ends otherwise.

    Args:
        model: flat, with its outputs in a dictionary.

    Raises:
        UsageError: the adapter asks for what a file of the kit does not have.
        ModelError: the adapter does not fit the model.
    """
    refuse_unkept(adapter)
    shape = tuple(model.inputs[0].shape[1:])
    if shape != (adapter.size, adapter.size, 3):
        raise ModelError(
            f"{model.name}: the adapter {adapter.name} expects an input of "
            f"{[adapter.size, adapter.size, 3]}, got {list(shape)}"
        )
    tensor = _landmark_tensor(model, adapter)
    image = tf_keras.Input(shape, name="image")
    given = _input(image, adapter)
    kernel, bias = _choice(adapter)
    last = next(layer for layer in model.layers if layer.output is tensor)
    if isinstance(last, L.Dense) and is_linear(last) and len(tensor.shape) == 2:
        own, *own_bias = last.get_weights()
        bias = bias + (own_bias[0] @ kernel if own_bias else 0)
        kernel, tensor = own @ kernel, last.input
    (features,) = inlined(tf_keras.Model(model.inputs, [tensor]), [given], {INPUT, LANDMARKS})
    if len(features.shape) > 2:
        features = L.Flatten(name=f"{LANDMARKS}_row")(features)
    dense = L.Dense(2 * adapter.scheme.points, name=LANDMARKS)
    landmarks = dense(features)
    dense.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    return tf_keras.Model(image, {LANDMARKS: landmarks}, name=model.name)


def _landmark_tensor(model: tf_keras.Model, adapter: Adapter) -> Any:
    numbers = adapter.points * adapter.values
    fitting = {
        name: tensor
        for name, tensor in model.output.items()
        if None not in tensor.shape[1:] and int(np.prod(tensor.shape[1:])) == numbers
    }
    if adapter.output in fitting:
        return fitting[adapter.output]
    if len(fitting) != 1:
        raise ModelError(
            f"{model.name}: the adapter {adapter.name} expects one output of {numbers} numbers, "
            "got "
            + ", ".join(f"{n} {list(t.shape)}" for n, t in model.output.items())
            + ("; say which by output.name" if fitting else "")
        )
    return next(iter(fitting.values()))


def _input(image: Any, adapter: Adapter) -> Any:
    """(v - mean) / scale in the adapter's order of channels, of x = (v - 128) / 128."""
    order = [2, 1, 0] if adapter.colour == "BGR" else [0, 1, 2]
    kernel = np.zeros((1, 1, 3, 3), np.float32)
    kernel[0, 0, order, range(3)] = SCALE / adapter.scale
    convolution = L.Conv2D(3, 1, name=INPUT)
    moved = convolution(image)
    convolution.set_weights([kernel, ((MEAN - adapter.mean) / adapter.scale).astype(np.float32)])
    return moved


def _choice(adapter: Adapter) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights [points x values, 2N] and bias [2N] from the model's row to the kit's landmarks."""
    choice = adapter.choice
    if choice is None:
        choice = np.arange(adapter.points)[:, None].repeat(2, axis=1)
    kernel = np.zeros((adapter.points * adapter.values, 2 * len(choice)))
    for landmark, pair in enumerate(choice):
        for point in pair:
            for axis in (0, 1):
                row = adapter.values * point + axis
                kernel[row, 2 * landmark + axis] += adapter.unit_sides / 2
    zero = adapter.fractions(np.zeros((1, adapter.points * adapter.values), np.float32))[0, 0, 0]
    return kernel, np.full(2 * len(choice), float(zero))
