"""Quantization-aware training: where int8 rounding is emulated, and how its ranges start.

tensorflow-model-optimization wraps the layers; what is quantized is decided here, layer by layer,
so that each emulated rounding is one that the TFLite file really does. (tfmot's ``quantize_apply``
leaves the kernels of convolutions alone that a ReLU follows without batch normalisation.)

- kernels: symmetric, -127..127, one scale per output channel (tfmot takes one for a whole depthwise
  kernel, so that few channels use their 255 levels); dense layers have one per tensor, since the
  Edge TPU and older runtimes know no other.
- activations: after the ReLU or addition that TFLite fuses, never before it.
- inputs of a concatenation: not on their own, they share the scale of its output.
- the input: fixed to -1 .. 127/128, which makes its scale exactly 1/128 and its zero point 0.
"""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.python.core.quantization.keras.quantize_layer import (
    QuantizeLayer,
)
from tensorflow_model_optimization.python.core.quantization.keras.quantize_wrapper import (
    QuantizeWrapperV2,
)
from tensorflow_model_optimization.quantization.keras import QuantizeConfig, quantizers

from asmnet_kit.errors import ModelError
from asmnet_kit.images import MEAN, SCALE, Image
from asmnet_kit.quantize.calibrate import Range, layer_ranges
from asmnet_kit.quantize.deployable import consumers, kernel_of, output_layers, sources

L = tf_keras.layers

INPUT_RANGE: Range = ((0 - MEAN) / SCALE, (255 - MEAN) / SCALE)

# TFLite copies or selects values here: the output has the input's scale.
_PASS_THROUGH = (L.Reshape, L.Flatten, L.MaxPooling2D, L.GlobalMaxPooling2D, L.ZeroPadding2D)
# TFLite rescales here, so each output has a scale of its own.
_RESCALING = (L.ReLU, L.Add, L.Concatenate, L.GlobalAveragePooling2D, L.AveragePooling2D)
# ReLU is fused into these.
_FUSES_RELU = (L.Conv2D, L.DepthwiseConv2D, L.Dense, L.Add)

# A range of zero width would have a scale of 0, by which values are divided.
_NARROWEST = float(np.finfo(np.float32).eps)


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


class Placement(QuantizeConfig):  # type: ignore[misc]
    """What of one layer is quantized: its kernel, its output, both or nothing.

    Args:
        kernel: attribute of the kernel, or None.
        axis: see ``KernelQuantizer``.
        output: whether the output is rounded.
    """

    def __init__(self, kernel: str | None, axis: int | None, output: bool) -> None:
        self.kernel, self.axis, self.output = kernel, axis, output

    def get_weights_and_quantizers(
        self, layer: tf_keras.layers.Layer
    ) -> list[tuple[tf.Variable, Any]]:
        if self.kernel is None:
            return []
        return [(getattr(layer, self.kernel), KernelQuantizer(self.axis))]

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
        return [
            quantizers.MovingAverageQuantizer(
                num_bits=8, per_axis=False, symmetric=False, narrow_range=False
            )
        ]

    def get_config(self) -> dict[str, Any]:
        return {"kernel": self.kernel, "axis": self.axis, "output": self.output}


def emulate(model: tf_keras.Model, crops: Image) -> tf_keras.Model:
    """``model`` with emulated int8 rounding, every range measured on ``crops``.

    Args:
        model: from ``deployable``.
        crops: uint8 [N, S, S, 3] from ``collect_crops``.

    Returns:
        A model with the outputs of ``model``, in their order. Its layers are called as before
        with ``quant_`` in front.

    Raises:
        ModelError: a layer that int8 is not known to work for.
    """
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
        placements[layer.name] = _placement(layer, model, layer.name in output_names)
        arguments = [made[source.name] for source in sources(layer)]
        wrapper = QuantizeWrapperV2(copy, placements[layer.name])
        made[layer.name] = wrapper(arguments if len(arguments) > 1 else arguments[0])
    emulated = tf_keras.Model(inputs, [made[name] for name in output_names], name=model.name)
    fit_kernel_ranges(emulated)
    measured = [name for name, placement in placements.items() if placement.output]
    _assign_ranges(emulated, layer_ranges(model, measured, crops))
    return emulated


def fit_kernel_ranges(emulated: tf_keras.Model) -> None:
    """Set the range of each kernel to its present values.

    Training does it at every step; needed when kernels change otherwise: at the start, and when
    averaged or saved weights are put in place.
    """
    for wrapper in _wrappers(emulated):
        name = wrapper.quantize_config.kernel
        if name is None:
            continue
        # The layer's attribute holds a tensor of the last traced call; the variable is here.
        (kernel,) = [weight for weight in wrapper.weights if weight.name.endswith(f"{name}:0")]
        axis = wrapper.quantize_config.axis
        others = tuple(other for other in range(len(kernel.shape)) if other != axis)
        largest = np.maximum(np.abs(kernel.numpy()).max(axis=others), _NARROWEST)
        _assign(_variables(wrapper, name), (-largest, largest))


def activation_ranges(emulated: tf_keras.Model) -> dict[str, Range]:
    """The present range of each quantized output, by name of the layer."""
    ranges = {}
    for wrapper in _wrappers(emulated):
        if wrapper.quantize_config.output:
            low, high = _variables(wrapper, "output")
            ranges[wrapper.layer.name] = (float(low.numpy()), float(high.numpy()))
    return ranges


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
