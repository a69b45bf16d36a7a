"""Emulated rounding stands where TFLite rounds, with ranges that need no settling."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.face.input_values import to_float_input
from asmnet_kit.quantize.ranges.calibrate import layer_ranges
from asmnet_kit.quantize.rounding.emulate import activation_ranges, emulate, fit_kernel_ranges
from asmnet_kit.quantize.source.fold import deployable

L = tf_keras.layers


@pytest.fixture(scope="module")
def folded(make_network: Callable[[], tf_keras.Model]) -> tf_keras.Model:
    return deployable(make_network())


@pytest.fixture(scope="module")
def emulated(folded: tf_keras.Model, crops: NDArray[np.uint8]) -> tf_keras.Model:
    """For tests that change nothing of it."""
    return emulate(folded, crops)


def variable(model: tf_keras.Model, layer: str, name: str) -> NDArray[np.float32]:
    (found,) = [w for w in model.get_layer(layer).weights if w.name.endswith(f"{name}:0")]
    return found.numpy()


def test_rounding_stands_after_what_tflite_fuses_and_never_inside(
    emulated: tf_keras.Model,
) -> None:
    """Not before a ReLU, and not on pooled taps, which share the concatenation's scale."""
    assert set(activation_ranges(emulated)) == {
        *("stem_relu", "depthwise_relu", "late_relu"),  # fused into the convolution before
        *("project", "branch", "late_project"),  # linear
        *("add", "taps", "landmarks", "pose"),
    }


def test_every_range_starts_where_calibration_found_it(
    folded: tf_keras.Model, emulated: tf_keras.Model, crops: NDArray[np.uint8]
) -> None:
    """tfmot would start at -6..6 and need thousands of steps."""
    ranges = activation_ranges(emulated)
    measured = layer_ranges(folded, list(ranges), crops, whole=("landmarks", "pose"))
    for name, ends in ranges.items():
        np.testing.assert_allclose(ends, measured[name], rtol=1e-6)


def test_the_ranges_of_outputs_hold_every_value_also_after_training_on_duller_faces(
    folded: tf_keras.Model, crops: NDArray[np.uint8]
) -> None:
    """Averages of batches would cut off what few faces have, such as a profile's yaw."""
    emulated = emulate(folded, crops)
    before = activation_ranges(emulated)
    for _ in range(20):
        emulated(to_float_input(crops[1:]) * 0.1, training=True)
    after = activation_ranges(emulated)
    said = folded(to_float_input(crops))
    for name, values in zip(("landmarks", "pose"), said, strict=True):
        low, high = after[name]
        assert low <= np.min(values) and high >= np.max(values)
        assert low <= before[name][0] and high >= before[name][1]
    assert after["project"] != before["project"]


def test_the_input_range_is_fixed_also_while_training(
    folded: tf_keras.Model, crops: NDArray[np.uint8]
) -> None:
    emulated = emulate(folded, crops)
    emulated(to_float_input(crops[1:]) * 0.5, training=True)
    low, high = (
        variable(emulated, "quantize_image", f"quantize_image_{e}") for e in ("min", "max")
    )
    assert (low, high) == (-1.0, 127 / 128)
    assert (high - low) / 255 == 1 / 128


def test_each_channel_of_a_depthwise_kernel_has_its_own_scale(
    folded: tf_keras.Model, emulated: tf_keras.Model
) -> None:
    kernel = folded.get_layer("depthwise").depthwise_kernel.numpy()  # [3, 3, 8, 1]
    largest = np.abs(kernel).max(axis=(0, 1, 3))
    np.testing.assert_allclose(
        variable(emulated, "quant_depthwise", "depthwise_kernel_max"), largest
    )
    assert variable(emulated, "quant_landmarks", "kernel_max").shape == ()  # dense: one scale


def test_a_gradient_reaches_every_kernel_and_bias(
    folded: tf_keras.Model, crops: NDArray[np.uint8]
) -> None:
    emulated = emulate(folded, crops)
    with tf.GradientTape() as tape:
        outputs = emulated(to_float_input(crops[:8]), training=True)
        loss = tf.add_n([tf.reduce_sum(output**2) for output in outputs])
    gradients = tape.gradient(loss, emulated.trainable_variables)
    assert len(gradients) == len(folded.trainable_variables)
    assert all(gradient is not None for gradient in gradients)


def test_kernel_ranges_follow_kernels_that_were_put_in_place(
    folded: tf_keras.Model, crops: NDArray[np.uint8]
) -> None:
    emulated = emulate(folded, crops)
    emulated(to_float_input(crops[:2]), training=False)  # leaves a traced tensor in the layer
    before = variable(emulated, "quant_project", "kernel_max")
    emulated.set_weights([weight * 2 for weight in emulated.get_weights()])
    fit_kernel_ranges(emulated)
    np.testing.assert_allclose(variable(emulated, "quant_project", "kernel_max"), 2 * before)
    np.testing.assert_allclose(variable(emulated, "quant_project", "kernel_min"), -2 * before)


def test_a_kernel_that_died_keeps_a_range_wide_enough_for_its_bias(
    network_with_dead_channels: tf_keras.Model, crops: NDArray[np.uint8]
) -> None:
    """TFLite stores a bias in steps of input scale x kernel scale; it must fit half of int32."""
    emulated = emulate(deployable(network_with_dead_channels), crops)
    low, high = activation_ranges(emulated)["add"]  # what ``late`` reads
    step = (high - low) / 255 * variable(emulated, "quant_late", "kernel_max") / 127
    steps = np.abs(variable(emulated, "quant_late", "bias")) / step
    assert steps[2] == pytest.approx(2**30, rel=1e-6)  # the dead one, without a bit to spare
    assert np.delete(steps, 2).max() < 2**24  # the others, whose kernels decide


def test_a_layer_that_int8_is_not_known_to_work_for_is_named(crops: NDArray[np.uint8]) -> None:
    image = tf_keras.Input((32, 32, 3))
    x = L.LayerNormalization(name="odd")(L.Conv2D(4, 1)(image))
    model = tf_keras.Model(image, [L.Dense(136, name="landmarks")(L.Flatten()(x))])
    with pytest.raises(ModelError, match=r"odd: .*LayerNormalization.*ptq_w8a8"):
        emulate(model, crops)
