"""How big a network is: parameters and multiply-accumulates."""

import math

import tf_keras


def parameters(model: tf_keras.Model) -> int:
    """All weights, batch-norm statistics included, as the paper and Keras count them."""
    return int(model.count_params())


def macs(model: tf_keras.Model) -> int:
    """Multiply-accumulates of one picture: convolutions and dense layers.

    Batch normalisation (folded on export), activations, pooling and additions are not counted, as
    in the literature; FLOPs are twice this figure.
    """
    return sum(layer_macs(layer) for layer in model.layers)


def layer_macs(layer: tf_keras.layers.Layer) -> int:
    """Multiply-accumulates of one layer for one picture; 0 for those that do not multiply."""
    if isinstance(layer, tf_keras.layers.DepthwiseConv2D):
        height, width = layer.depthwise_kernel.shape[:2]
        return int(math.prod(layer.output_shape[1:]) * height * width)
    if isinstance(layer, tf_keras.layers.Conv2D):
        height, width, channels, _ = layer.kernel.shape
        return int(math.prod(layer.output_shape[1:]) * height * width * channels)
    if isinstance(layer, tf_keras.layers.Dense):
        return int(math.prod(layer.kernel.shape))
    return 0
