"""Quantization-aware training: where int8 rounding is emulated, and how its ranges start.

tensorflow-model-optimization does the wrapping; where it quantizes is decided here, layer by layer,
so that each emulated rounding is one that the TFLite file really does:

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

# After tf_keras and before tf.keras is touched: see asmnet_kit.training.environment.
from tensorflow_model_optimization.python.core.quantization.keras.quantize_layer import (
    QuantizeLayer,
)
from tensorflow_model_optimization.quantization.keras import (
    QuantizeConfig,
    quantize_annotate_layer,
    quantize_apply,
    quantizers,
)

from asmnet_kit.errors import ModelError
from asmnet_kit.images import MEAN, SCALE, Image
from asmnet_kit.quantize.calibrate import Range, layer_ranges
from asmnet_kit.quantize.deployable import consumers, kernel_of, output_layers

L = tf_keras.layers

INPUT_RANGE: Range = ((0 - MEAN) / SCALE, (255 - MEAN) / SCALE)
PREFIX = "quant_"  # what tfmot puts before the name of a layer it wraps

# TFLite copies or selects values here: the output has the input's scale.
_PASS_THROUGH = (L.Reshape, L.Flatten, L.MaxPooling2D, L.GlobalMaxPooling2D, L.ZeroPadding2D)
# TFLite rescales here, so each output has a scale of its own.
_RESCALING = (L.ReLU, L.Add, L.Concatenate, L.GlobalAveragePooling2D, L.AveragePooling2D)
# ReLU is fused into these.
_FUSES_RELU = (L.Conv2D, L.DepthwiseConv2D, L.Dense, L.Add)

_FULL_SCALE = 127  # symmetric int8 without -128


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

    def get_weights_and_quantizers(self, layer: L.Layer) -> list[tuple[tf.Variable, Any]]:
        if self.kernel is None:
            return []
        return [(getattr(layer, self.kernel), KernelQuantizer(self.axis))]

    def set_quantize_weights(self, layer: L.Layer, quantize_weights: list[tf.Tensor]) -> None:
        if self.kernel is not None:
            setattr(layer, self.kernel, quantize_weights[0])

    def get_activations_and_quantizers(self, layer: L.Layer) -> list[tuple[Any, Any]]:
        return []  # the output is quantized instead: the same place for all layers

    def set_quantize_activations(self, layer: L.Layer, quantize_activations: list[Any]) -> None:
        pass

    def get_output_quantizers(self, layer: L.Layer) -> list[Any]:
        if not self.output:
            return []
        return [
            quantizers.MovingAverageQuantizer(
                num_bits=8, per_axis=False, symmetric=False, narrow_range=False
            )
        ]

    def get_config(self) -> dict[str, Any]:
        return {"kernel": self.kernel, "axis": self.axis, "output": self.output}


CUSTOM_OBJECTS = {"Placement": Placement, "KernelQuantizer": KernelQuantizer}


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
    outputs = set(output_layers(model))
    placements = {
        layer.name: _placement(layer, model, layer.name in outputs)
        for layer in model.layers
        if not isinstance(layer, L.InputLayer)
    }

    def annotated(layer: L.Layer) -> L.Layer:
        if isinstance(layer, L.InputLayer):
            return layer
        copy = type(layer).from_config(layer.get_config())
        return quantize_annotate_layer(copy, placements[layer.name])

    with tf_keras.utils.custom_object_scope(CUSTOM_OBJECTS):
        marked = tf_keras.models.clone_model(model, clone_function=annotated)
        marked.set_weights(model.get_weights())
        emulated = quantize_apply(marked)
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
        kind = kernel_of(wrapper.layer)
        ranges = _variables(wrapper, "kernel")
        if kind is None or ranges is None:
            continue
        # The attribute of the layer may hold the last traced call's tensor; the variable is here.
        kernel = next(w for w in wrapper.weights if w.name.endswith("kernel:0")).numpy()
        _, axes = kind
        per_tensor = isinstance(wrapper.layer, L.Dense)
        others = tuple(axis for axis in range(kernel.ndim) if per_tensor or axis not in axes)
        largest = np.abs(kernel).max(axis=others).reshape(ranges[0].shape)
        # A channel of zeros keeps a range of some width: a scale of 0 divides by it.
        largest = np.maximum(largest, np.finfo(np.float32).eps)
        ranges[0].assign(-largest)
        ranges[1].assign(largest)


def activation_ranges(emulated: tf_keras.Model) -> dict[str, Range]:
    """The present range of each quantized output, by name of the layer."""
    ranges = {}
    for wrapper in _wrappers(emulated):
        variables = _variables(wrapper, "output")
        if variables is not None:
            low, high = (float(variable.numpy()) for variable in variables)
            ranges[wrapper.layer.name] = (low, high)
    return ranges


def _assign_ranges(emulated: tf_keras.Model, ranges: dict[str, Range]) -> None:
    for layer in emulated.layers:
        if isinstance(layer, QuantizeLayer):
            # An AllValuesQuantizer: its range only ever grows, and no input lies outside.
            _assign(layer.weights, INPUT_RANGE)
    for wrapper in _wrappers(emulated):
        variables = _variables(wrapper, "output")
        if variables is not None:
            low, high = ranges[wrapper.layer.name]
            if high - low <= 0:
                high = low + float(np.finfo(np.float32).eps)  # the layer gives zeros alone
            for variable, value in zip(variables, (low, high), strict=True):
                variable.assign(value)


def _assign(weights: list[tf.Variable], ends: Range) -> None:
    for weight in weights:
        name = weight.name.split(":")[0]
        if name.endswith("_min"):
            weight.assign(ends[0])
        elif name.endswith("_max"):
            weight.assign(ends[1])


def _wrappers(emulated: tf_keras.Model) -> list[Any]:
    return [layer for layer in emulated.layers if hasattr(layer, "quantize_config")]


def _variables(wrapper: Any, kind: str) -> tuple[tf.Variable, tf.Variable] | None:
    """The (min, max) variables of a wrapper's kernel or output."""
    found = {}
    for weight in wrapper.weights:
        name = weight.name.split(":")[0].split("/")[-1]
        for end in ("min", "max"):
            if name.endswith(f"{kind}_{end}"):
                found[end] = weight
    return (found["min"], found["max"]) if len(found) == 2 else None


def _placement(layer: L.Layer, model: tf_keras.Model, is_output: bool) -> Placement:
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
