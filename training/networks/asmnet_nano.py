"""A small network of the kit's own, for the quickstart and for the slowest devices."""

from collections.abc import Collection

import tensorflow as tf

from asmnet_kit.training.networks.heads import narrowed, positional_outputs, whole_map
from asmnet_kit.training.networks.mobilenet_v2_blocks import Block, backbone

STEM_CHANNELS = 16
# Maps of S/4, S/8 and S/16. Nothing is expanded at S/2, where normalising costs most of a training
# step; the late, small maps are wide, which costs next to nothing.
BLOCKS = (
    Block(1, 24, 2),
    Block(3, 24, 1),
    Block(3, 48, 2),
    Block(3, 48, 1),
    Block(3, 48, 1),
    Block(4, 96, 2),
    Block(3, 96, 1),
)
# Every pixel of the last map has its weights in the hidden layer: these widths keep the network
# below 0.4 M weights and 20 M multiply-accumulates at 112 px.
HEAD_CHANNELS = 16
HIDDEN_CHANNELS = 256


def asmnet_nano(
    image: tf.Tensor, *, points: int, extra: Collection[str] = ()
) -> dict[str, tf.Tensor]:
    """Seven inverted residuals down to S/16; a head that knows where in the map a feature is.

    Global pooling, as in ``asmnet``, throws positions away; here the last map is narrowed to a few
    bounded channels, and a hidden layer weighs each of its pixels.

    Args:
        image: float32 [B, S, S, 3], (v - 128) / 128.
        points: number of landmarks.
        extra: further outputs, names of ``heads.EXTRA_OUTPUTS``.

    Returns:
        ``landmarks`` [B, 2 points], ``pose`` [B, 3] and the extra ones; see ``heads``.
    """
    x = backbone(image, BLOCKS, stem_channels=STEM_CHANNELS)[-1]
    x = narrowed(x, channels=HEAD_CHANNELS, name="narrow")
    x = whole_map(x, channels=HIDDEN_CHANNELS, name="whole")
    return positional_outputs(x, points=points, extra=extra)
