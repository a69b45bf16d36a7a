"""Quantization-aware training: int8 rounding is emulated, with ranges that need no settling.

tensorflow-model-optimization wraps the layers; ``rounded_tensors`` decides what is rounded, so that
each emulated rounding is one that the TFLite file really does. (tfmot's ``quantize_apply`` leaves
the kernels of convolutions alone that a ReLU follows without batch normalisation.)

- kernels: symmetric, -127..127, one scale per output channel (tfmot takes one for a whole depthwise
  kernel, so that few channels use their 255 levels); dense layers have one per tensor, since the
  Edge TPU and older runtimes know no other. Never so small that the bias, which is stored in steps
  of input scale x kernel scale, exceeds its 32 bits.
- activations: after the ReLU or addition that TFLite fuses, never before it.
- inputs of a concatenation: not on their own, they share the scale of its output.
- the input: fixed to -1 .. 127/128, which makes its scale exactly 1/128 and its zero point 0.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from asmnet_kit.face.input_values import MEAN, SCALE
from asmnet_kit.face.pictures import Image
from asmnet_kit.quantize.private_doors import quantize_layer, quantize_wrapper, sources
from asmnet_kit.quantize.ranges.calibrate import Range, layer_ranges
from asmnet_kit.quantize.rounding.quantizers import SWITCH, all_values
from asmnet_kit.quantize.rounding.rounded_tensors import (
    RoundedTensors,
    members_of,
    rounded_tensors,
)
from asmnet_kit.quantize.source.fold import output_layers

L = tf_keras.layers
QuantizeLayer = quantize_layer()
QuantizeWrapper = quantize_wrapper()

INPUT_RANGE: Range = ((0 - MEAN) / SCALE, (255 - MEAN) / SCALE)

# Kernels and activations have 255 steps of one scale, kernels 127 on each side of 0.
_STEPS = 255
_KERNEL_STEPS = 127

# The largest bias, in its steps: half of int32. The other half is for what is added to it: up to
# 2^30 / (255 * 127) = 33,000 products of an int8 activation and an int8 weight.
_LARGEST_BIAS = 2**30

# A range of zero width would have a scale of 0, by which values are divided. The converter widens
# what is narrower than this.
_NARROWEST = 1e-6


def emulate(
    model: tf_keras.Model,
    crops: Image,
    *,
    keep_float: Collection[str] = (),
    switchable: bool = False,
) -> tf_keras.Model:
    """``model`` with emulated int8 rounding, every range measured on ``crops``.

    Args:
        model: from ``deployable``.
        crops: uint8 [N, S, S, 3] from ``collect_crops``.
        keep_float: names of ``rounded_layers`` that are not rounded. TFLite computes them in float,
            and the operators that read them, up to the next rounded output.
        switchable: give each rounding a variable that ``switch`` turns on and off.

    Returns:
        A model with the outputs of ``model``, in their order. Its layers are called as before
        with ``quant_`` in front.

    Raises:
        ModelError: a layer that int8 is not known to work for.
        UsageError: a name in ``keep_float`` that is not one of ``rounded_layers``.
    """
    floats = members_of(model, keep_float)
    output_names = output_layers(model)
    tensors = {
        name: RoundedTensors(None, None, output=False) if name in floats else rounded
        for name, rounded in rounded_tensors(model).items()
    }
    made: dict[str, Any] = {}  # name of a layer of the model -> its output in the copy
    inputs = []
    for layer in model.layers:
        if isinstance(layer, L.InputLayer):
            inputs.append(tf_keras.Input(layer.output.shape[1:], name=layer.name))
            made[layer.name] = _quantized_input(layer.name)(inputs[-1])
            continue
        copy = type(layer).from_config(layer.get_config())
        if layer.weights:
            # Before the wrapper puts tensors in the place of its kernel.
            copy.build(layer.input.shape)
            copy.set_weights(layer.get_weights())
        tensors[layer.name].switchable = switchable
        arguments = [made[source.name] for source in sources(layer)]
        wrapper = QuantizeWrapper(copy, tensors[layer.name])
        made[layer.name] = wrapper(arguments if len(arguments) > 1 else arguments[0])
    emulated = tf_keras.Model(inputs, [made[name] for name in output_names], name=model.name)
    measured = [name for name, rounded in tensors.items() if rounded.output]
    linear = [name for name in measured if tensors[name].linear]
    _assign_ranges(emulated, layer_ranges(model, measured, crops, whole=linear))
    fit_kernel_ranges(emulated)  # depends on the ranges of the activations
    return emulated


def switch(emulated: tf_keras.Model, layers: Collection[str], *, on: bool) -> None:
    """Turn the emulated rounding of ``layers`` on or off, in a ``switchable`` model."""
    for wrapper in _wrappers(emulated):
        if wrapper.layer.name in layers:
            for weight in wrapper.weights:
                if weight.name.split(":")[0].endswith(SWITCH):
                    weight.assign(float(on))


def fit_kernel_ranges(emulated: tf_keras.Model) -> None:
    """Set the range of each kernel to its present values, or wider where the bias needs it.

    Needed at the start, when averaged or saved weights are put in place, and before conversion.
    (Training sets the range to the values alone at every step; where that is too narrow for the
    file, the kernel is next to nothing and so is the difference.)
    """
    for wrapper in _wrappers(emulated):
        name = wrapper.quantize_config.kernel
        if name is None:
            continue
        # The layer's attribute holds a tensor of the last traced call; the variable is here.
        (kernel,) = [weight for weight in wrapper.weights if weight.name.endswith(f"{name}:0")]
        axis = wrapper.quantize_config.axis
        others = tuple(other for other in range(len(kernel.shape)) if other != axis)
        largest = np.abs(kernel.numpy()).max(axis=others)
        needed = np.maximum(_needed_by_bias(wrapper), _NARROWEST)  # one per output channel
        largest = np.maximum(largest, needed.max() if axis is None else needed)
        _assign(_variables(wrapper, name), (-largest, largest))


def activation_ranges(emulated: tf_keras.Model) -> dict[str, Range]:
    """The present range of each quantized output, by name of the layer."""
    ranges = {}
    for wrapper in _wrappers(emulated):
        if wrapper.quantize_config.output:
            low, high = _variables(wrapper, "output")
            ranges[wrapper.layer.name] = (float(low.numpy()), float(high.numpy()))
    return ranges


def _needed_by_bias(wrapper: tf_keras.layers.Layer) -> NDArray[np.float64]:
    """The least range of a kernel with which TFLite can store the bias, by output channel.

    A channel whose kernel died in training gives a constant, the bias (MobileNetV2 trained on
    ImageNet has several), and later layers count on it. With a scale fitted to a kernel of 1e-20
    the converter cuts the bias off at the ends of int32, silently. Where it calibrates it widens
    such ranges itself; from emulated rounding it takes them as they are.
    """
    if not wrapper.layer.use_bias:
        return np.zeros(1)
    low, high = _input_range(wrapper)
    input_scale = (high - low) / _STEPS
    bias: NDArray[np.float64] = np.abs(wrapper.layer.bias.numpy()).astype(np.float64)
    needed: NDArray[np.float64] = _KERNEL_STEPS * bias / (_LARGEST_BIAS * input_scale)
    return needed


def _input_range(layer: tf_keras.layers.Layer) -> Range:
    """The present range of what a layer of the emulated model reads."""
    source = sources(layer)[0]
    if isinstance(source, QuantizeLayer):
        return INPUT_RANGE
    if not source.quantize_config.output:
        return _input_range(source)  # it passes values through
    low, high = _variables(source, "output")
    return float(low.numpy()), float(high.numpy())


def _quantized_input(name: str) -> tf_keras.layers.Layer:
    """Rounds the input to the 256 values that pixels have; ``_assign_ranges`` sets its range.

    The quantizer's range only ever grows, and no input lies outside.
    """
    return QuantizeLayer(all_values(), name=f"quantize_{name}")


def _assign_ranges(emulated: tf_keras.Model, ranges: dict[str, Range]) -> None:
    for layer in emulated.layers:
        if isinstance(layer, QuantizeLayer):
            _assign(_variables(layer, layer.name), INPUT_RANGE)
    for wrapper in _wrappers(emulated):
        if wrapper.quantize_config.output:
            low, high = ranges[wrapper.layer.name]
            # A layer that gives zeros alone keeps a range of some width.
            _assign(_variables(wrapper, "output"), (low, max(high, low + _NARROWEST)))


def _assign(variables: tuple[tf.Variable, tf.Variable], ends: Range) -> None:
    for variable, end in zip(variables, ends, strict=True):
        variable.assign(end)


def _wrappers(emulated: tf_keras.Model) -> list[tf_keras.layers.Layer]:
    return [layer for layer in emulated.layers if isinstance(layer, QuantizeWrapper)]


def _variables(layer: tf_keras.layers.Layer, what: str) -> tuple[tf.Variable, tf.Variable]:
    """The variables ``what_min`` and ``what_max`` of a wrapper."""
    by_name = {weight.name.split(":")[0].split("/")[-1]: weight for weight in layer.weights}
    return by_name[f"{what}_min"], by_name[f"{what}_max"]
