"""The private parts of tf_keras and TensorFlow that training uses, and nothing else.

Each is opened by a ``PrivateDoor``: with a release that has moved it, the command ends with a
message that names the package and the versions that were tried.
"""

from typing import Any

import tensorflow as tf
import tf_keras

from asmnet_kit.base.private_doors import PrivateDoor

TF_KERAS = PrivateDoor("tf-keras", tried=("2.19.0", "2.21.0"))
TENSORFLOW = PrivateDoor("tensorflow", tried=("2.21.0",))


def random_generators(model: tf_keras.Model) -> dict[int, tf.random.Generator]:
    """What dropout and noise layers draw from, by the layer's place in ``model.submodules``.

    Layers built before ``enable_tf_random_generator`` have none and are left out.
    """

    def generators() -> dict[int, tf.random.Generator | None]:
        drawing = tf_keras.__internal__.layers.BaseRandomLayer
        return {
            index: layer._random_generator._generator
            for index, layer in enumerate(model.submodules)
            if isinstance(layer, drawing)
        }

    found = TF_KERAS.open("BaseRandomLayer._random_generator._generator", generators)
    return {index: generator for index, generator in found.items() if generator is not None}


def frozen(function: Any) -> Any:
    """A concrete function with its variables as constants and the functions it calls inlined."""

    def freeze() -> Any:
        from tensorflow.python.framework.convert_to_constants import (
            convert_variables_to_constants_v2,
        )

        return convert_variables_to_constants_v2(function)

    return TENSORFLOW.open("convert_variables_to_constants_v2", freeze)
