"""Which tensors of each layer TFLite rounds: what emulated rounding must follow, layer by layer."""

from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.quantization.keras import QuantizeConfig

from asmnet_kit.base.errors import ModelError, UsageError
from asmnet_kit.quantize.private_doors import sources
from asmnet_kit.quantize.rounding.quantizers import (
    KernelQuantizer,
    Switched,
    all_values,
    moving_average,
)
from asmnet_kit.quantize.source.fold import consumers, kernel_of, output_layers

L = tf_keras.layers

# TFLite copies or selects values here: the output has the input's scale.
_PASS_THROUGH = (L.Reshape, L.Flatten, L.MaxPooling2D, L.GlobalMaxPooling2D, L.ZeroPadding2D)
# TFLite rescales here, so each output has a scale of its own.
_RESCALING = (L.ReLU, L.Add, L.Concatenate, L.GlobalAveragePooling2D, L.AveragePooling2D)
# ReLU is fused into these.
_FUSES_RELU = (L.Conv2D, L.DepthwiseConv2D, L.Dense, L.Add)


class RoundedTensors(QuantizeConfig):  # type: ignore[misc]
    """Which tensors of one layer are rounded: its kernel, its output, both or none.

    Args:
        kernel: attribute of the kernel, or None.
        axis: see ``KernelQuantizer``.
        output: whether the output is rounded.
        linear: whether the output is what the model says, or a part of the sum: nothing bounds it
            and nothing can make up for what is cut off. An average of the batches' extremes would
            cut off every batch's farthest: the turn of profiles, which few faces have.
        switchable: whether the rounding can be turned off; see ``switch``.
    """

    def __init__(
        self,
        kernel: str | None,
        axis: int | None,
        output: bool,
        *,
        linear: bool = False,
        switchable: bool = False,
    ) -> None:
        self.kernel, self.axis, self.output = kernel, axis, output
        self.linear, self.switchable = linear, switchable

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
        return [self._quantizer(all_values() if self.linear else moving_average())]

    def get_config(self) -> dict[str, Any]:
        return {
            "kernel": self.kernel,
            "axis": self.axis,
            "output": self.output,
            "linear": self.linear,
        }


def rounded_tensors(model: tf_keras.Model) -> dict[str, RoundedTensors]:
    """Where the TFLite file will round, by name of the layer, inputs left out.

    Args:
        model: from ``deployable``.

    Raises:
        ModelError: a layer that int8 is not known to work for.
    """
    outputs = output_layers(model)
    tensors = {
        layer.name: _tensors_of(layer, model, is_output=layer.name in outputs)
        for layer in model.layers
        if not isinstance(layer, L.InputLayer)
    }
    for name in _linear_ends(model, outputs):
        tensors[name].linear = True
    return tensors


def _linear_ends(model: tf_keras.Model, outputs: Collection[str]) -> set[str]:
    """The layers between an output and the last kernels before it, these included; none where a
    ReLU bounds the output."""
    ends: set[str] = set()
    left = [model.get_layer(name) for name in outputs]
    while left:
        layer = left.pop()
        if isinstance(layer, (L.InputLayer, L.ReLU)) or layer.name in ends:
            continue
        ends.add(layer.name)
        if kernel_of(layer) is None:
            left += sources(layer)
    return ends


def _tensors_of(
    layer: tf_keras.layers.Layer, model: tf_keras.Model, *, is_output: bool
) -> RoundedTensors:
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
        return RoundedTensors(attribute, axis, output=not fused)
    if isinstance(layer, _PASS_THROUGH):
        return RoundedTensors(None, None, output=False)
    if isinstance(layer, _RESCALING):
        return RoundedTensors(None, None, output=not (fused or shares_scale))
    raise ModelError(
        f"{layer.name}: expected layers that int8 is known to work for, got a "
        f"{type(layer).__name__}. Use another recipe (fp16, dynamic_w8 or ptq_w8a8), or replace it"
    )


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
    tensors = rounded_tensors(model)
    groups: dict[str, list[str]] = {}
    leader: dict[str, str] = {}
    for name, rounded in tensors.items():
        if rounded.kernel is None and not rounded.output:
            continue
        layer = model.get_layer(name)
        source = sources(layer)[0]
        fused = (
            isinstance(layer, L.ReLU)
            and isinstance(source, _FUSES_RELU)
            and not tensors[source.name].output
        )
        leader[name] = leader.get(source.name, source.name) if fused else name
        groups.setdefault(leader[name], []).append(name)
    return groups


def members_of(model: tf_keras.Model, names: Collection[str]) -> set[str]:
    """Every layer that rounds in the operators called ``names``; see ``rounded_layers``.

    Raises:
        UsageError: a name that is not one of ``rounded_layers``.
    """
    if not names:
        return set()
    groups = rounded_layers(model)
    for name in names:
        if name not in groups:
            near = get_close_matches(name, groups) or list(groups)
            raise UsageError(
                f"expected a layer that int8 rounds, got {name!r}: there are {', '.join(near)}"
                + (" (asmnet-kit sensitivity lists all)" if len(near) < len(groups) else "")
            )
    return {member for name in names for member in groups[name]}
