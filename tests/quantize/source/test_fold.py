"""Folding keeps the function, and refuses models that cannot be taken apart."""

import numpy as np
import pytest
import tf_keras
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.face.input_values import to_float_input
from asmnet_kit.quantize.source.fold import deployable, output_names_of

L = tf_keras.layers


def test_folding_keeps_the_function_and_leaves_only_what_a_device_runs(
    network: tf_keras.Model, crops: NDArray[np.uint8]
) -> None:
    folded = deployable(network)
    kinds = {type(layer).__name__ for layer in folded.layers}
    assert not kinds & {"BatchNormalization", "Dropout"}
    before = network(to_float_input(crops), training=False)
    after = folded(to_float_input(crops), training=False)
    for name, value in zip(output_names_of(network), after, strict=True):
        # float32 rounding of values around 1 through ten layers
        np.testing.assert_allclose(value, before[name], atol=2e-6)


def test_a_normalisation_by_hand_becomes_kernel_and_bias() -> None:
    """2 x + 1, then (x - 3) / sqrt(4) * 6 + 5 = 3 x - 4: in all 6 x - 1."""
    image = tf_keras.Input((1, 1, 1))
    x = L.Conv2D(1, 1, name="conv")(image)
    normalise = L.BatchNormalization(epsilon=0.0, name="normalise")
    model = tf_keras.Model(image, normalise(x))
    model.get_layer("conv").set_weights([np.full((1, 1, 1, 1), 2.0), np.array([1.0])])
    normalise.set_weights([np.array([v]) for v in (6.0, 5.0, 3.0, 4.0)])  # gamma beta mean var
    kernel, bias = deployable(model).get_layer("conv").get_weights()
    assert (kernel.item(), bias.item()) == (6.0, -1.0)


def test_a_normalisation_whose_input_is_used_elsewhere_stays() -> None:
    image = tf_keras.Input((4, 4, 3))
    x = L.Conv2D(3, 1)(image)
    model = tf_keras.Model(image, L.Add()([x, L.BatchNormalization(name="kept")(x)]))
    assert "kept" in [layer.name for layer in deployable(model).layers]


def test_the_copy_computes_in_float32_whatever_the_model_was_trained_in() -> None:
    image = tf_keras.Input((4, 4, 3))
    x = L.Conv2D(3, 1, dtype="mixed_float16", name="half")(image)
    model = tf_keras.Model(image, L.Flatten(dtype="float32")(x))
    assert deployable(model).get_layer("half").compute_dtype == "float32"


def test_nested_shared_and_foreign_models_are_refused_with_the_way_out() -> None:
    image = tf_keras.Input((4, 4, 3))
    inner = tf_keras.Model(image, L.Conv2D(3, 1)(image), name="inner")
    outer = tf_keras.Input((4, 4, 3))
    with pytest.raises(ModelError, match=r"got the model 'inner'.*\.output"):
        deployable(tf_keras.Model(outer, inner(outer)))
    shared = L.Conv2D(3, 1, name="twice")
    with pytest.raises(ModelError, match="got 2 calls of 'twice'"):
        deployable(tf_keras.Model(image, shared(shared(image))))
    with pytest.raises(ModelError, match=r"build and save it with tf_keras"):
        deployable(object())
