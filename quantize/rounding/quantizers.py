"""Emulated rounding of one tensor: int8 as TFLite has it, in tfmot's terms."""

from typing import Any

import tensorflow as tf
import tf_keras
from tensorflow_model_optimization.quantization.keras import quantizers

SWITCH = "_switch"  # end of the name of a ``Switched`` quantizer's variable


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
            f"{name}{SWITCH}",
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


def moving_average() -> Any:
    """Asymmetric int8 for an activation, the range an average of the batches' extremes."""
    return quantizers.MovingAverageQuantizer(
        num_bits=8, per_axis=False, symmetric=False, narrow_range=False
    )


def all_values() -> Any:
    """Asymmetric int8 for the input and for outputs, the range as wide as any value seen."""
    return quantizers.AllValuesQuantizer(
        num_bits=8, per_axis=False, symmetric=False, narrow_range=False
    )
