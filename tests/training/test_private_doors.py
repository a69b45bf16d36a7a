"""Dropout's generators are found, or a message names the package that moved them."""

import pytest
import tf_keras

from asmnet_kit.base.errors import MissingDependency
from asmnet_kit.training.private_doors import random_generators

L = tf_keras.layers


def model_with_dropout() -> tf_keras.Model:
    tf_keras.backend.experimental.enable_tf_random_generator()
    image = tf_keras.Input((4,))
    x = L.GaussianNoise(0.1, name="noise")(L.Dropout(0.5, name="dropout")(L.Dense(3)(image)))
    return tf_keras.Model(image, x)


def test_each_layer_that_draws_has_a_generator_at_its_place() -> None:
    model = model_with_dropout()
    places = random_generators(model)
    assert {model.submodules[place].name for place in places} == {"dropout", "noise"}


def test_a_generator_that_has_moved_is_named() -> None:
    """Left out in silence, a resumed run would draw other noise than one without a break."""
    model = model_with_dropout()
    del model.get_layer("dropout")._random_generator._generator
    with pytest.raises(MissingDependency, match=r"tf-keras .*_random_generator\._generator"):
        random_generators(model)
