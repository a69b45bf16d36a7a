"""ASMNet's idea without throwing positions away."""

from collections.abc import Collection

import tensorflow as tf

from asmnet_kit.training.networks.heads import narrowed, positional_outputs
from asmnet_kit.training.networks.mobilenet_v2_blocks import (
    MOBILENET_V2,
    STEM_CHANNELS,
    backbone,
)

LAST_BLOCK = 14  # block 15 costs 324,160 weights, which do about as much good in the head
# Block -> channels that its map is narrowed to: S/16, the last one with details, and S/32. Every
# pixel of these maps has its weights for every output: the widths keep the network below asmnet's
# 1,439,507 weights and 66.9 M multiply-accumulates at 112 px.
TAPS = {12: 24, 14: 64}


def asmnet_plus(
    image: tf.Tensor, *, points: int, extra: Collection[str] = ()
) -> dict[str, tf.Tensor]:
    """MobileNetV2 up to block 14; two taps that keep their positions; two linear outputs.

    ``asmnet`` averages each tap over the map, so its head cannot tell where a feature was. Here
    each tap is narrowed by a 1 x 1 convolution and weighed pixel by pixel; the taps' sums are
    added, not concatenated, so in int8 each keeps a scale of its own. The choice was measured: see
    docs/lab/plus-head.md.

    Args:
        image: float32 [B, S, S, 3], (v - 128) / 128.
        points: number of landmarks.
        extra: further outputs, names of ``heads.EXTRA_OUTPUTS``.

    Returns:
        ``landmarks`` [B, 2 points], ``pose`` [B, 3] and the extra ones; see ``heads``.
    """
    blocks = backbone(image, MOBILENET_V2[: LAST_BLOCK + 1], stem_channels=STEM_CHANNELS)
    return positional_outputs(
        *(
            narrowed(blocks[index], channels=channels, name=f"narrow_{index}")
            for index, channels in TAPS.items()
        ),
        points=points,
        extra=extra,
    )
