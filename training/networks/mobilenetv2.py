"""The baseline of the ASMNet paper ("mnv2"): MobileNetV2 with two linear outputs."""

import tensorflow as tf
import tf_keras

from asmnet_kit.training.networks.heads import dense_outputs
from asmnet_kit.training.networks.mobilenet_v2_blocks import (
    MOBILENET_V2,
    STEM_CHANNELS,
    backbone,
    normalise,
    relu6,
)

LAST_CHANNELS = 1280


def mobilenetv2(image: tf.Tensor, *, points: int) -> dict[str, tf.Tensor]:
    """All 17 blocks, the 1280-wide convolution, pooling, two linear outputs.

    Args:
        image: float32 [B, S, S, 3], (v - 128) / 128.
        points: number of landmarks.

    Returns:
        ``landmarks`` [B, 2 points] and ``pose`` [B, 3]; see ``heads``.
    """
    x = backbone(image, MOBILENET_V2, stem_channels=STEM_CHANNELS)[-1]
    x = tf_keras.layers.Conv2D(LAST_CHANNELS, 1, use_bias=False, name="Conv_1")(x)
    x = relu6(normalise(x, name="Conv_1_bn"), name="out_relu")
    return dense_outputs(tf_keras.layers.GlobalAveragePooling2D(name="pool")(x), points=points)
