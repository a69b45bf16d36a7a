"""Taps of a concatenation come to one range, and the model computes what it did."""

import numpy as np
import tf_keras
from numpy.typing import NDArray

from asmnet_kit.face.input_values import to_float_input
from asmnet_kit.quantize.ranges.calibrate import layer_ranges
from asmnet_kit.quantize.source.equalise import concatenated, equalise
from asmnet_kit.quantize.source.fold import deployable

L = tf_keras.layers


def magnitudes(model: tf_keras.Model, crops: NDArray[np.uint8]) -> dict[str, float]:
    ranges = layer_ranges(model, concatenated(model), crops)
    return {name: max(-low, high) for name, (low, high) in ranges.items()}


def test_the_ranges_meet_and_the_function_stays(
    network: tf_keras.Model, crops: NDArray[np.uint8]
) -> None:
    model = deployable(network)
    inputs = to_float_input(crops)
    before, spread = [v.numpy() for v in model(inputs)], magnitudes(model, crops)
    assert max(spread.values()) > 10 * min(spread.values())  # the small network's late tap
    factors = equalise(model, spread)
    after = magnitudes(model, crops)
    # An addition ties pool_early to pool_added: one factor for both, the larger meets pool_late.
    assert factors["pool_early"] == factors["pool_added"] != factors["pool_late"]
    np.testing.assert_allclose(after["pool_added"], after["pool_late"], rtol=1e-5)
    for one, other in zip(before, model(inputs), strict=True):
        np.testing.assert_allclose(other, one, atol=2e-6)


def test_taps_behind_a_bounded_activation_stay_and_the_others_come_to_them() -> None:
    """ReLU6 does not let a factor through: 6 is 6."""
    image = tf_keras.Input((4, 4, 3))
    bounded = L.ReLU(6.0, name="bounded")(L.Conv2D(2, 1, name="a")(image))
    linear = L.Conv2D(2, 1, name="linear")(image)
    x = L.Concatenate(name="join")([bounded, linear])
    model = tf_keras.Model(image, L.Conv2D(1, 1, name="reader")(x))
    kernel = model.get_layer("reader").kernel.numpy()
    factors = equalise(model, {"bounded": 6.0, "linear": 1.5})
    assert factors == {"linear": 4.0}
    scaled = model.get_layer("reader").kernel.numpy()
    np.testing.assert_allclose(scaled[..., :2, :], kernel[..., :2, :])
    np.testing.assert_allclose(scaled[..., 2:, :], kernel[..., 2:, :] / 4)


def test_a_tap_that_is_also_an_output_is_left_alone() -> None:
    image = tf_keras.Input((4, 4, 3))
    a = L.Conv2D(2, 1, name="a")(image)
    b = L.Conv2D(2, 1, name="b")(image)
    reader = L.Conv2D(1, 1)(L.Concatenate()([a, b]))
    model = tf_keras.Model(image, [a, reader])
    assert equalise(model, {"a": 2.0, "b": 1.0}) == {"b": 2.0}
