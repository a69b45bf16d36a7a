"""A small network of the kit's own, for the quickstart and for the slowest devices."""

import tensorflow as tf
import tf_keras

from asmnet_kit.training.architectures.heads import positional_outputs
from asmnet_kit.training.architectures.mobilenet_v2_blocks import (
    Block,
    backbone,
    normalise,
    relu6,
)

STEM_CHANNELS = 16
# At 112 px the maps are 56, 28, 14 and 7 pixels wide. Most of a training step's time goes into the
# batch normalisation and ReLU6 of wide maps, so little is expanded at 56 x 56.
BLOCKS = (
    Block(1, 16, 1),
    Block(3, 24, 2),
    Block(3, 24, 1),
    Block(4, 32, 2),
    Block(4, 32, 1),
    Block(4, 32, 1),
    Block(4, 64, 2),
    Block(4, 64, 1),
    Block(4, 64, 1),
)
HEAD_CHANNELS = 16


def asmnet_nano(image: tf.Tensor, *, points: int) -> dict[str, tf.Tensor]:
    """Nine inverted residuals down to S/16; a head that knows where in the map a feature is.

    Global pooling, as in ``asmnet``, throws positions away; here the last map is narrowed to 16
    bounded channels, and every output weighs each of its pixels.

    Args:
        image: float32 [B, S, S, 3], (v - 128) / 128.
        points: number of landmarks.

    Returns:
        ``landmarks`` [B, 2 points] and ``pose`` [B, 3]; see ``heads``.
    """
    x = backbone(image, BLOCKS, stem_channels=STEM_CHANNELS)[-1]
    x = tf_keras.layers.Conv2D(HEAD_CHANNELS, 1, use_bias=False, name="narrow")(x)
    x = relu6(normalise(x, name="narrow_BN"), name="narrow_relu")  # [B, S/16, S/16, 16]
    return positional_outputs(x, points=points)
