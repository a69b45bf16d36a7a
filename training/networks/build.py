"""Makes a network by its name."""

from collections.abc import Callable

import tensorflow as tf
import tf_keras

from asmnet_kit.face.schemes import scheme_of
from asmnet_kit.training.catalogue import check_architecture, check_input_size
from asmnet_kit.training.networks.asmnet import asmnet
from asmnet_kit.training.networks.asmnet_nano import asmnet_nano
from asmnet_kit.training.networks.asmnet_plus import asmnet_plus
from asmnet_kit.training.networks.mobilenetv2 import mobilenetv2

CHANNELS = 3  # red, green, blue

NETWORKS: dict[str, Callable[..., dict[str, tf.Tensor]]] = {
    "asmnet": asmnet,
    "asmnet_plus": asmnet_plus,
    "asmnet_nano": asmnet_nano,
    "mobilenetv2": mobilenetv2,
}


def build(name: str, *, points: int, input_size: int) -> tf_keras.Model:
    """A fresh network: flat and functional, as quantization-aware training wants it.

    Args:
        name: one of ``catalogue.ARCHITECTURES``.
        points: number of landmarks, 68 or 98.
        input_size: side of the square input, pixels.

    Returns:
        A model from ``image`` float32 [B, S, S, 3], RGB, (v - 128) / 128, to a dictionary of
        ``landmarks`` float32 [B, 2 points] (x, y interleaved, fractions of the crop side from its
        centre) and ``pose`` float32 [B, 3] (yaw, pitch, roll, degrees / 90).

    Raises:
        UsageError: an unknown name, number of landmarks or size.
    """
    check_architecture(name)
    check_input_size(input_size)
    scheme_of(points)
    image = tf_keras.Input((input_size, input_size, CHANNELS), dtype="float32", name="image")
    return tf_keras.Model(image, NETWORKS[name](image, points=points), name=name)
