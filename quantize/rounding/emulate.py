"""Quantization-aware training: where int8 rounding is emulated, and how its ranges start.

tensorflow-model-optimization wraps the layers; what is quantized is decided here, layer by layer,
so that each emulated rounding is one that the TFLite file really does. (tfmot's ``quantize_apply``
leaves the kernels of convolutions alone that a ReLU follows without batch normalisation.)

- kernels: symmetric, -127..127, one scale per output channel (tfmot takes one for a whole depthwise
  kernel, so that few channels use their 255 levels); dense layers have one per tensor, since the
  Edge TPU and older runtimes know no other. Never so small that the bias, which is stored in steps
  of input scale x kernel scale, exceeds its 32 bits.
- activations: after the ReLU or addition that TFLite fuses, never before it.
- inputs of a concatenation: not on their own, they share the scale of its output.
- the input: fixed to -1 .. 127/128, which makes its scale exactly 1/128 and its zero point 0.
"""

from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray
from tensorflow_model_optimization.python.core.quantization.keras.quantize_layer import (
    QuantizeLayer,
)
from tensorflow_model_optimization.python.core.quantization.keras.quantize_wrapper import (
    QuantizeWrapperV2,
)
from tensorflow_model_optimization.quantization.keras import QuantizeConfig, quantizers

from asmnet_kit.base.errors import ModelError, UsageError
from asmnet_kit.face.input_values import MEAN, SCALE
from asmnet_kit.face.pictures import Image
from asmnet_kit.quantize.ranges.calibrate import Range, layer_ranges
from asmnet_kit.quantize.source.fold import consumers, kernel_of, output_layers, sources

L = tf_keras.layers

INPUT_RANGE: Range = ((0 - MEAN) / SCALE, (255 - MEAN) / SCALE)

# TFLite copies or selects values here: the output has the input's scale.
_PASS_THROUGH = (L.Reshape, L.Flatten, L.MaxPooling2D, L.GlobalMaxPooling2D, L.ZeroPadding2D)
# TFLite rescales here, so each output has a scale of its own.
_RESCALING = (L.ReLU, L.Add, L.Concatenate, L.GlobalAveragePooling2D, L.AveragePooling2D)
# ReLU is fused into these.
_FUSES_RELU = (L.Conv2D, L.DepthwiseConv2D, L.Dense, L.Add)

# Kernels and activations have 255 steps of one scale, kernels 127 on each side of 0.
_STEPS = 255
_KERNEL_STEPS = 127

# The largest bias, in its steps: half of int32. The other half is for what is added to it: up to
# 2^30 / (255 * 127) = 33,000 products of an int8 activation and an int8 weight.
_LARGEST_BIAS = 2**30

_SWITCH = "_switch"  # end of the name of a ``Switched`` quantizer's variable

# A range of zero width would have a scale of 0, by which values are divided. The converter widens
# what is narrower than this.
_NARROWEST = 1e-6


class KernelQuantizer(quantizers.LastValueQuantizer):  # type: ignore[misc]
    """Symmetric int8 for a kernel, the range taken from its present values.

    Args:
        axis: of the kernel that numbers the output channels, 3 (convolution) or 2 (depthwise), each
            with its own scale; None for one scale.
    """

    def __init__(self, axis: int | None) -> None:
        super().__init__(num_bits=8, per_axis=axis is not None, symmetric=True, narrow_range=True)
        self.axis = axis

    def build(self, tensor_shape: tf.TensorShape, name: str, layer: Any) -> dict[str, tf.Variable]:
        shape = () if self.axis is None else (tensor_shape[self.axis],)
        return {
            f"{end}_var": layer.add_weight(
                f"{name}_{end}",
                shape=shape,
                initializer=tf_keras.initializers.Constant(value),
                trainable=False,
            )
            for end, value in (("min", -1.0), ("max", 1.0))
        }

    def __call__(
        self, inputs: tf.Tensor, training: bool, weights: dict[str, tf.Variable], **kwargs: Any
    ) -> tf.Tensor:
        if self.axis != 2:
            return super().__call__(inputs, training, weights, **kwargs)
        # TensorFlow's per-channel operator works on the last axis alone.
        swapped = tf.transpose(inputs, (0, 1, 3, 2))
        quantized = super().__call__(swapped, training, weights, **kwargs)
        return tf.transpose(quantized, (0, 1, 3, 2))

    def get_config(self) -> dict[str, Any]:
        return {"axis": self.axis}


class Switched(quantizers.Quantizer):  # type: ignore[misc]
    """Another quantizer that a variable turns on (1) and off (0) without tracing the model anew."""

    def __init__(self, quantizer: Any) -> None:
        self.quantizer = quantizer

    def build(self, tensor_shape: tf.TensorShape, name: str, layer: Any) -> dict[str, tf.Variable]:
        weights: dict[str, tf.Variable] = self.quantizer.build(tensor_shape, name, layer)
        switch = layer.add_weight(
            f"{name}{_SWITCH}",
            shape=(),
            initializer=tf_keras.initializers.Constant(1.0),
            trainable=False,
        )
        return {**weights, "switch_var": switch}

    def __call__(
        self, inputs: tf.Tensor, training: bool, weights: dict[str, tf.Variable], **kwargs: Any
    ) -> tf.Tensor:
        rounded = self.quantizer(inputs, training, weights, **kwargs)
        return tf.where(weights["switch_var"] > 0.5, rounded, inputs)

    def get_config(self) -> dict[str, Any]:
        return {"quantizer": self.quantizer.get_config()}


class Placement(QuantizeConfig):  # type: ignore[misc]
    """What of one layer is quantized: its kernel, its output, both or nothing.

    Args:
        kernel: attribute of the kernel, or None.
        axis: see ``KernelQuantizer``.
        output: whether the output is rounded.
        switchable: whether the rounding can be turned off; see ``switch``.
    """

    def __init__(
        self, kernel: str | None, axis: int | None, output: bool, *, switchable: bool = False
    ) -> None:
        self.kernel, self.axis, self.output = kernel, axis, output
        self.switchable = switchable

    def _quantizer(self, quantizer: Any) -> Any:
        return Switched(quantizer) if self.switchable else quantizer

    def get_weights_and_quantizers(
        self, layer: tf_keras.layers.Layer
    ) -> list[tuple[tf.Variable, Any]]:
        if self.kernel is None:
            return []
        return [(getattr(layer, self.kernel), self._quantizer(KernelQuantizer(self.axis)))]

    def set_quantize_weights(
        self, layer: tf_keras.layers.Layer, quantize_weights: list[tf.Tensor]
    ) -> None:
        if self.kernel is not None:
            setattr(layer, self.kernel, quantize_weights[0])

    def get_activations_and_quantizers(self, layer: tf_keras.layers.Layer) -> list[tuple[Any, Any]]:
        return []  # the output is quantized instead: the same place for all layers

    def set_quantize_activations(
        self, layer: tf_keras.layers.Layer, quantize_activations: list[Any]
    ) -> None:
        pass

    def get_output_quantizers(self, layer: tf_keras.layers.Layer) -> list[Any]:
        if not self.output:
            return []
        moving_average = quantizers.MovingAverageQuantizer(
            num_bits=8, per_axis=False, symmetric=False, narrow_range=False
        )
        return [self._quantizer(moving_average)]

    def get_config(self) -> dict[str, Any]:
        return {"kernel": self.kernel, "axis": self.axis, "output": self.output}


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
    floats = _members(model, keep_float)
    output_names = output_layers(model)
    placements: dict[str, Placement] = {}
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
        placement = _placement(layer, model, layer.name in output_names)
        if layer.name in floats:
            placement = Placement(None, None, output=False)
        placement.switchable = switchable
        placements[layer.name] = placement
        arguments = [made[source.name] for source in sources(layer)]
        wrapper = QuantizeWrapperV2(copy, placements[layer.name])
        made[layer.name] = wrapper(arguments if len(arguments) > 1 else arguments[0])
    emulated = tf_keras.Model(inputs, [made[name] for name in output_names], name=model.name)
    measured = [name for name, placement in placements.items() if placement.output]
    _assign_ranges(emulated, layer_ranges(model, measured, crops))
    fit_kernel_ranges(emulated)  # depends on the ranges of the activations
    return emulated


def rounded_layers(model: tf_keras.Model) -> dict[str, list[str]]:
    """The layers of which TFLite makes one operator that rounds, in the order of execution.

    Args:
        model: from ``deployable``.

    Returns:
        Name of the layer that gives the operator its name -> those of it that round: the layer and
        the ReLU that is fused into it.

    Raises:
        ModelError: a layer that int8 is not known to work for.
    """
    outputs = output_layers(model)
    layers = [layer for layer in model.layers if not isinstance(layer, L.InputLayer)]
    placements = {layer.name: _placement(layer, model, layer.name in outputs) for layer in layers}
    groups: dict[str, list[str]] = {}
    leader: dict[str, str] = {}
    for layer in layers:
        placement = placements[layer.name]
        if placement.kernel is None and not placement.output:
            continue
        source = sources(layer)[0]
        fused = (
            isinstance(layer, L.ReLU)
            and isinstance(source, _FUSES_RELU)
            and not placements[source.name].output
        )
        leader[layer.name] = leader.get(source.name, source.name) if fused else layer.name
        groups.setdefault(leader[layer.name], []).append(layer.name)
    return groups


def switch(emulated: tf_keras.Model, layers: Collection[str], *, on: bool) -> None:
    """Turn the emulated rounding of ``layers`` on or off, in a ``switchable`` model."""
    for wrapper in _wrappers(emulated):
        if wrapper.layer.name in layers:
            for weight in wrapper.weights:
                if weight.name.split(":")[0].endswith(_SWITCH):
                    weight.assign(float(on))


def _members(model: tf_keras.Model, keep_float: Collection[str]) -> set[str]:
    """Every layer that goes with the named ones."""
    if not keep_float:
        return set()
    groups = rounded_layers(model)
    for name in keep_float:
        if name not in groups:
            near = get_close_matches(name, groups) or list(groups)
            raise UsageError(
                f"expected a layer that int8 rounds, got {name!r}: there are {', '.join(near)}"
                + (" (asmnet-kit sensitivity lists all)" if len(near) < len(groups) else "")
            )
    return {member for name in keep_float for member in groups[name]}


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


def _needed_by_bias(wrapper: QuantizeWrapperV2) -> NDArray[np.float64]:
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


def _quantized_input(name: str) -> QuantizeLayer:
    """Rounds the input to the 256 values that pixels have; its range is ``_assign_ranges``' to set.

    The quantizer's range only ever grows, and no input lies outside.
    """
    quantizer = quantizers.AllValuesQuantizer(
        num_bits=8, per_axis=False, symmetric=False, narrow_range=False
    )
    return QuantizeLayer(quantizer, name=f"quantize_{name}")


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


def _wrappers(emulated: tf_keras.Model) -> list[QuantizeWrapperV2]:
    return [layer for layer in emulated.layers if isinstance(layer, QuantizeWrapperV2)]


def _variables(layer: tf_keras.layers.Layer, what: str) -> tuple[tf.Variable, tf.Variable]:
    """The variables ``what_min`` and ``what_max`` of a wrapper."""
    by_name = {weight.name.split(":")[0].split("/")[-1]: weight for weight in layer.weights}
    return by_name[f"{what}_min"], by_name[f"{what}_max"]


def _placement(layer: tf_keras.layers.Layer, model: tf_keras.Model, is_output: bool) -> Placement:
    """Where the TFLite file will round what ``layer`` computes."""
    readers = consumers(layer, model)
    fused = (
        not is_output
        and isinstance(layer, _FUSES_RELU)
        and len(readers) == 1
        and isinstance(readers[0], L.ReLU)
    )
    shares_scale = (
        not is_output
        and isinstance(layer, (L.GlobalAveragePooling2D, L.AveragePooling2D))
        and len(readers) == 1
        and isinstance(readers[0], L.Concatenate)
    )
    kind = kernel_of(layer)
    if kind is not None:
        attribute, axes = kind
        if isinstance(layer, L.DepthwiseConv2D) and layer.depth_multiplier != 1:
            raise ModelError(
                f"{layer.name}: expected a depthwise convolution with depth_multiplier 1, got "
                f"{layer.depth_multiplier}"
            )
        axis = None if isinstance(layer, L.Dense) else axes[0]
        return Placement(attribute, axis, output=not fused)
    if isinstance(layer, _PASS_THROUGH):
        return Placement(None, None, output=False)
    if isinstance(layer, _RESCALING):
        return Placement(None, None, output=not (fused or shares_scale))
    raise ModelError(
        f"{layer.name}: expected layers that int8 is known to work for, got a "
        f"{type(layer).__name__}. Use another recipe (fp16, dynamic_w8 or ptq_w8a8), or replace it"
    )
