"""The network as a device runs it: batch normalisation folded away, training-only layers gone.

Quantization starts from here. What is quantized in training is then exactly what is deployed: the
folded kernels with one scale per output channel, and no statistics that training and inference
compute differently.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tf_keras
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.quantize.private_doors import calls_of, is_functional, sources

# These do nothing at inference; fine-tuning for int8 is short and wants the ranges of inference.
TRAINING_ONLY = (
    tf_keras.layers.Dropout,
    tf_keras.layers.SpatialDropout2D,
    tf_keras.layers.GaussianNoise,
    tf_keras.layers.GaussianDropout,
)

# Attribute of the kernel, and the axes of it that number the output channels.
# DepthwiseConv2D is a subclass of Conv2D in some versions of Keras: it comes first.
_KERNELS: tuple[tuple[type, str, tuple[int, ...]], ...] = (
    (tf_keras.layers.DepthwiseConv2D, "depthwise_kernel", (2, 3)),
    (tf_keras.layers.Conv2D, "kernel", (3,)),
    (tf_keras.layers.Dense, "kernel", (1,)),
)


def deployable(model: tf_keras.Model) -> tf_keras.Model:
    """A copy of ``model`` that computes the same at inference, without what only training needs.

    Batch normalisation that follows a convolution or dense layer alone is folded into it. All
    computation is in float32, also where ``model`` was trained in mixed precision. Layers keep
    their names; outputs become a list in the order of ``output_names_of``.

    Raises:
        ModelError: the model is not flat and functional, or shares layers.
    """
    check_flat(model)
    made: dict[str, Any] = {}  # name of a layer of the model -> its output in the copy
    inputs = []
    for layer in model.layers:
        if isinstance(layer, tf_keras.layers.InputLayer):
            made[layer.name] = tf_keras.Input(
                layer.output.shape[1:], dtype="float32", name=layer.name
            )
            inputs.append(made[layer.name])
            continue
        arguments = [made[source.name] for source in sources(layer)]
        if isinstance(layer, TRAINING_ONLY) or _is_folded(layer, model):
            made[layer.name] = arguments[0]
            continue
        made[layer.name] = _copy(layer, arguments, _folded_into(layer, model))
    return tf_keras.Model(inputs, [made[name] for name in output_layers(model)], name=model.name)


def check_flat(model: tf_keras.Model) -> None:
    """Refuse what cannot be taken apart layer by layer.

    Raises:
        ModelError: not a functional model of tf_keras, nested, or with a layer called twice.
    """
    if not isinstance(model, tf_keras.Model):
        raise ModelError(
            f"expected a tf_keras model, got {type(model).__module__}.{type(model).__name__}: "
            "build and save it with tf_keras (Keras 2), not with Keras 3"
        )
    if not is_functional(model):
        raise ModelError(
            "expected a functional model (tf_keras.Model(inputs, outputs)), got a subclassed one: "
            "rebuild it from tf_keras.Input"
        )
    for layer in model.layers:
        if isinstance(layer, tf_keras.Model):
            raise ModelError(
                f"expected a flat model, got the model {layer.name!r} as a layer of it: call its "
                "layers on the outer model's tensors, or build on its .output"
            )
        if calls_of(layer) != 1:
            raise ModelError(
                f"expected each layer to be called once, got {calls_of(layer)} calls of "
                f"{layer.name!r}: use one layer per call"
            )


def consumers(layer: tf_keras.layers.Layer, model: tf_keras.Model) -> list[tf_keras.layers.Layer]:
    """The layers of ``model`` that take the output of ``layer``."""
    return [
        other
        for other in model.layers
        if not isinstance(other, tf_keras.layers.InputLayer)
        and any(source is layer for source in sources(other))
    ]


def output_layers(model: tf_keras.Model) -> list[str]:
    """Names of the layers that compute the outputs, sorted by the outputs' names."""
    outputs = model.output
    if isinstance(outputs, dict):
        tensors = [outputs[name] for name in sorted(outputs)]
    else:
        tensors = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    by_tensor = {id(layer.output): layer.name for layer in model.layers}
    return [by_tensor[id(tensor)] for tensor in tensors]


def output_names_of(model: tf_keras.Model) -> list[str]:
    """Names of the outputs in the order of ``deployable``'s list."""
    outputs = model.output
    return sorted(outputs) if isinstance(outputs, dict) else list(model.output_names)


def with_outputs(model: tf_keras.Model, names: Sequence[str]) -> tf_keras.Model:
    """``model`` with its outputs, in their order, by ``names``; layers and weights are shared."""
    outputs = dict(zip(names, model.outputs, strict=True))
    return tf_keras.Model(model.inputs, outputs, name=model.name)


def kernel_of(layer: tf_keras.layers.Layer) -> tuple[str, tuple[int, ...]] | None:
    """(attribute, axes of the output channels) of a layer's kernel; None for layers without."""
    for kind, attribute, axes in _KERNELS:
        if isinstance(layer, kind):
            return attribute, axes
    return None


def is_linear(layer: tf_keras.layers.Layer) -> bool:
    """Whether a layer with a kernel ends without a non-linearity."""
    return layer.activation is tf_keras.activations.linear


def _is_folded(layer: tf_keras.layers.Layer, model: tf_keras.Model) -> bool:
    """Whether ``layer`` is a batch normalisation that disappears into the layer before it."""
    if not isinstance(layer, tf_keras.layers.BatchNormalization):
        return False
    source = sources(layer)[0]
    return (
        kernel_of(source) is not None
        and is_linear(source)
        and _last_axis(layer)
        and source.name not in output_layers(model)
        and len(consumers(source, model)) == 1
    )


def _last_axis(layer: tf_keras.layers.BatchNormalization) -> bool:
    axes = layer.axis if isinstance(layer.axis, Iterable) else [layer.axis]
    return [axis % len(layer.input.shape) for axis in axes] == [len(layer.input.shape) - 1]


def _folded_into(
    layer: tf_keras.layers.Layer, model: tf_keras.Model
) -> tf_keras.layers.BatchNormalization | None:
    """The batch normalisation that ``layer`` takes in, or None."""
    for consumer in consumers(layer, model):
        if _is_folded(consumer, model):
            return consumer
    return None


def _copy(
    layer: tf_keras.layers.Layer,
    arguments: list[Any],
    normalisation: tf_keras.layers.BatchNormalization | None,
) -> Any:
    """The output of a float32 copy of ``layer``, with ``normalisation`` folded in."""
    config = layer.get_config() | {"dtype": "float32"}
    if normalisation is not None:
        config["use_bias"] = True
    copy = type(layer).from_config(config)
    output = copy(arguments if len(arguments) > 1 else arguments[0])
    if normalisation is None:
        copy.set_weights(layer.get_weights())
    else:
        copy.set_weights(_fold(layer, normalisation))
    return output


def _fold(
    layer: tf_keras.layers.Layer, normalisation: tf_keras.layers.BatchNormalization
) -> list[NDArray[np.float32]]:
    """Kernel and bias of the layer that computes normalisation(layer(x)).

    factor = gamma / sqrt(variance + epsilon); the kernel's output channels are multiplied by it,
    and bias = beta + (bias - mean) factor. In float64: the result differs by float32 rounding only.
    """
    attribute, axes = kernel_of(layer) or ("", ())
    kernel = getattr(layer, attribute).numpy().astype(np.float64)
    bias = layer.bias.numpy().astype(np.float64) if layer.use_bias else 0.0
    mean = normalisation.moving_mean.numpy().astype(np.float64)
    variance = normalisation.moving_variance.numpy().astype(np.float64)
    gamma = normalisation.gamma.numpy().astype(np.float64) if normalisation.scale else 1.0
    beta = normalisation.beta.numpy().astype(np.float64) if normalisation.center else 0.0
    factor = gamma / np.sqrt(variance + normalisation.epsilon)
    shape = [length if axis in axes else 1 for axis, length in enumerate(kernel.shape)]
    folded = kernel * factor.reshape(shape)
    return [folded.astype(np.float32), (beta + (bias - mean) * factor).astype(np.float32)]
