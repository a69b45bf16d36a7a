"""ASMNet (Fard, Abdollahi, Mahoor, CVPR Workshops 2021, arXiv 2103.00119)."""

from collections.abc import Collection

import tensorflow as tf
import tf_keras

from asmnet_kit.training.networks.heads import dense_outputs
from asmnet_kit.training.networks.mobilenet_v2_blocks import (
    MOBILENET_V2,
    STEM_CHANNELS,
    backbone,
)

LAST_BLOCK = 15
# The linear outputs of these blocks, from corners and edges up to parts of a face. Blocks 1 to 13
# change their shape and have no addition, so theirs is the projection; 15 is added to its input.
TAPPED_BLOCKS = (1, 3, 6, 10, 13, 15)
DROPOUT = 0.3


def asmnet(image: tf.Tensor, *, points: int, extra: Collection[str] = ()) -> dict[str, tf.Tensor]:
    """MobileNetV2 up to block 15; six taps, pooled and concatenated; two linear outputs.

    Args:
        image: float32 [B, S, S, 3], (v - 128) / 128.
        points: number of landmarks.
        extra: further outputs, names of ``heads.EXTRA_OUTPUTS``.

    Returns:
        ``landmarks`` [B, 2 points], ``pose`` [B, 3] and the extra ones; see ``heads``.
    """
    blocks = backbone(image, MOBILENET_V2[: LAST_BLOCK + 1], stem_channels=STEM_CHANNELS)
    pooled = [
        tf_keras.layers.GlobalAveragePooling2D(name=f"pool_{index}")(blocks[index])
        for index in TAPPED_BLOCKS
    ]
    features = tf_keras.layers.Concatenate(name="taps")(pooled)  # [B, 536]
    features = tf_keras.layers.Dropout(DROPOUT, name="dropout")(features)
    return dense_outputs(features, points=points, extra=extra)
