"""The baseline of the ASMNet paper ("mnv2"): MobileNetV2 with two linear outputs."""

from collections.abc import Collection

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


def mobilenetv2(
    image: tf.Tensor, *, points: int, extra: Collection[str] = ()
) -> dict[str, tf.Tensor]:
    """All 17 blocks, the 1280-wide convolution, pooling, two linear outputs.

    Args:
        image: float32 [B, S, S, 3], (v - 128) / 128.
        points: number of landmarks.
        extra: further outputs, names of ``heads.EXTRA_OUTPUTS``.

    Returns:
        ``landmarks`` [B, 2 points], ``pose`` [B, 3] and the extra ones; see ``heads``.
    """
    x = backbone(image, MOBILENET_V2, stem_channels=STEM_CHANNELS)[-1]
    x = tf_keras.layers.Conv2D(LAST_CHANNELS, 1, use_bias=False, name="Conv_1")(x)
    x = relu6(normalise(x, name="Conv_1_bn"), name="out_relu")
    x = tf_keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return dense_outputs(x, points=points, extra=extra)
