"""The private and undocumented parts of other packages that quantization uses, and nothing else.

Each is opened by a ``PrivateDoor``: with a release that has moved it, the command ends with a
message that names the package and the versions that were tried.
"""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf
import tf_keras

from asmnet_kit.base.private_doors import PrivateDoor

TENSORFLOW = PrivateDoor("tensorflow", tried=("2.19.1", "2.21.0"))
TF_KERAS = PrivateDoor("tf-keras", tried=("2.19.0", "2.21.0"))
MODEL_OPTIMIZATION = PrivateDoor("tensorflow-model-optimization", tried=("0.8.0", "0.8.1"))

DENSE_PER_TENSOR = "_experimental_disable_per_channel_quantization_for_dense_layers"


# tf_keras: the graph of a functional model --------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """One call of a layer in a functional model.

    Attributes:
        layer: that is called.
        inputs, outputs: Keras tensors, in the layer's order.
    """

    layer: tf_keras.layers.Layer
    inputs: list[Any]
    outputs: list[Any]


def is_functional(model: tf_keras.Model) -> bool:
    """Whether the model is a graph of layers: functional, or Sequential once it is built."""
    return TF_KERAS.open("Model._is_graph_network", lambda: bool(model._is_graph_network))


def calls_in_order(model: tf_keras.Model) -> list[Call]:
    """Every call in a functional model, each after those whose outputs it reads."""

    def calls() -> list[Call]:
        by_depth = model._nodes_by_depth
        nodes = [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
        return [
            Call(node.layer, list(node.keras_inputs), tf.nest.flatten(node.outputs))
            for node in nodes
            if not node.is_input
        ]

    return TF_KERAS.open("Model._nodes_by_depth", calls)


def calls_of(layer: tf_keras.layers.Layer) -> int:
    """How often a layer is called, over all models."""
    return len(_nodes_of(layer))


def sources(layer: tf_keras.layers.Layer) -> list[tf_keras.layers.Layer]:
    """The layers whose outputs ``layer`` takes in its first call, in the order of its inputs."""

    def inbound() -> Any:
        return _nodes_of(layer)[0].inbound_layers

    found = TF_KERAS.open("Node.inbound_layers", inbound)
    return list(found) if isinstance(found, list | tuple) else [found]


def _nodes_of(layer: tf_keras.layers.Layer) -> list[Any]:
    """Keras' notes of a layer's calls."""
    return TF_KERAS.open(
        "Layer.inbound_nodes", lambda: [node for node in layer.inbound_nodes if node is not None]
    )


# tensorflow-model-optimization: the layers that emulate rounding ----------------------------------


def quantize_layer() -> Any:
    """The class of the layer that rounds its input: ``QuantizeLayer(quantizer, name=...)``."""

    def imported() -> Any:
        from tensorflow_model_optimization.python.core.quantization.keras.quantize_layer import (
            QuantizeLayer,
        )

        return QuantizeLayer

    return MODEL_OPTIMIZATION.open("QuantizeLayer", imported)


def quantize_wrapper() -> Any:
    """The class that wraps a layer in rounding: ``QuantizeWrapperV2(layer, quantize_config)``."""

    def imported() -> Any:
        from tensorflow_model_optimization.python.core.quantization.keras.quantize_wrapper import (
            QuantizeWrapperV2,
        )

        return QuantizeWrapperV2

    return MODEL_OPTIMIZATION.open("QuantizeWrapperV2", imported)


# TensorFlow: TFLiteConverter ----------------------------------------------------------------------


def give_dense_weights_one_scale(converter: tf.lite.TFLiteConverter) -> None:
    """Let the kernel of a dense layer have one scale, instead of one for each output.

    The Edge TPU knows dense weights with one scale only, and TFLite 2.5 reads several wrongly
    without an error. There is no public name for this.
    """
    # Setting an attribute succeeds whatever its name: whether the converter knows it is asked.
    TENSORFLOW.open(
        f"TFLiteConverter.{DENSE_PER_TENSOR}", lambda: getattr(converter, DENSE_PER_TENSOR)
    )
    setattr(converter, DENSE_PER_TENSOR, True)
