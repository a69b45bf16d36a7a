"""MobileNetV2's building blocks (Sandler et al., CVPR 2018), with the layer names Keras gives them.

The same names let ImageNet weights find their layers, and the same function follows: Keras pads a
feature map by hand before each convolution of stride 2, right and bottom for even sizes and all
around for odd ones. That is what TensorFlow's ``same`` padding does for a 3 x 3 kernel, so these
blocks use it: the function is Keras', without a PAD operation in the .tflite file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf
import tf_keras

# Keras' MobileNetV2 averages batch statistics with a momentum of 0.999, over the last thousand
# steps: after a training of a few hundred steps they would still be near their start (0, 1).
BN_MOMENTUM = 0.99
BN_EPSILON = 1e-3  # Keras' value; ImageNet weights rely on it


@dataclass(frozen=True)
class Block:
    """One inverted residual: expand ``expansion`` times, filter 3 x 3, project to ``channels``."""

    expansion: int
    channels: int
    stride: int


# Table 2 of the paper, one row per block. Block 0 does not expand.
MOBILENET_V2 = (
    Block(1, 16, 1),
    Block(6, 24, 2),
    Block(6, 24, 1),
    Block(6, 32, 2),
    Block(6, 32, 1),
    Block(6, 32, 1),
    Block(6, 64, 2),
    Block(6, 64, 1),
    Block(6, 64, 1),
    Block(6, 64, 1),
    Block(6, 96, 1),
    Block(6, 96, 1),
    Block(6, 96, 1),
    Block(6, 160, 2),
    Block(6, 160, 1),
    Block(6, 160, 1),
    Block(6, 320, 1),
)
STEM_CHANNELS = 32


def normalise(x: tf.Tensor, *, name: str) -> tf.Tensor:
    """Batch normalisation with the kit's constants; folded into the convolution on export."""
    return tf_keras.layers.BatchNormalization(momentum=BN_MOMENTUM, epsilon=BN_EPSILON, name=name)(
        x
    )


def relu6(x: tf.Tensor, *, name: str) -> tf.Tensor:
    """min(max(x, 0), 6): a range that int8 knows in advance."""
    return tf_keras.layers.ReLU(6.0, name=name)(x)


def stem(image: tf.Tensor, *, channels: int) -> tf.Tensor:
    """The first convolution, 3 x 3 with stride 2: [B, S, S, 3] -> [B, S/2, S/2, channels]."""
    x = tf_keras.layers.Conv2D(
        channels, 3, strides=2, padding="same", use_bias=False, name="Conv1"
    )(image)
    return relu6(normalise(x, name="bn_Conv1"), name="Conv1_relu")


def inverted_residual(x: tf.Tensor, block: Block, *, index: int) -> tf.Tensor:
    """Block ``index`` of a network; its output is linear.

    It is added to its input where both have the same shape.
    """
    name = f"block_{index}" if index else "expanded_conv"
    entry, entry_channels = x, x.shape[-1]
    if block.expansion > 1:
        x = tf_keras.layers.Conv2D(
            block.expansion * entry_channels, 1, use_bias=False, name=f"{name}_expand"
        )(x)
        x = relu6(normalise(x, name=f"{name}_expand_BN"), name=f"{name}_expand_relu")
    x = tf_keras.layers.DepthwiseConv2D(
        3, strides=block.stride, padding="same", use_bias=False, name=f"{name}_depthwise"
    )(x)
    x = relu6(normalise(x, name=f"{name}_depthwise_BN"), name=f"{name}_depthwise_relu")
    x = tf_keras.layers.Conv2D(block.channels, 1, use_bias=False, name=f"{name}_project")(x)
    x = normalise(x, name=f"{name}_project_BN")
    if block.stride == 1 and entry_channels == block.channels:
        x = tf_keras.layers.Add(name=f"{name}_add")([entry, x])
    return x


def backbone(image: tf.Tensor, blocks: Sequence[Block], *, stem_channels: int) -> list[tf.Tensor]:
    """The stem and ``blocks``; the output of each block, in order.

    Args:
        image: float32 [B, S, S, 3], (v - 128) / 128.
    """
    x = stem(image, channels=stem_channels)
    outputs = []
    for index, block in enumerate(blocks):
        x = inverted_residual(x, block, index=index)
        outputs.append(x)
    return outputs
