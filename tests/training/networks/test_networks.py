"""The networks: sizes as published, the function of Keras' MobileNetV2, fit for every target."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from asmnet_kit.base.errors import UsageError
from asmnet_kit.training.catalogue import check_input_size
from asmnet_kit.training.networks.architectures import ARCHITECTURES
from asmnet_kit.training.networks.build import build
from asmnet_kit.training.networks.counting import layer_macs, macs, parameters
from asmnet_kit.training.networks.heads import positional_outputs

# The taps of ASMNet at 224 px: output, and parameters and million MACs of all layers up to there.
TAPS = {
    "block_1_project_BN": ((56, 56, 24), 7_552, 50.1),
    "block_3_project_BN": ((28, 28, 32), 27_648, 91.3),
    "block_6_project_BN": ((14, 14, 64), 80_960, 120.8),
    "block_10_project_BN": ((14, 14, 96), 317_120, 164.5),
    "block_13_project_BN": ((7, 7, 160), 716_544, 225.5),
    "block_15_add": ((7, 7, 160), 1_364_864, 256.4),
}


@pytest.fixture(scope="module")
def asmnet_224() -> tf_keras.Model:
    return build("asmnet", points=68, input_size=224)


def test_asmnet_has_the_published_size(asmnet_224: tf_keras.Model) -> None:
    assert parameters(asmnet_224) == 1_439_507
    assert round(macs(asmnet_224) / 1e6, 1) == 256.5
    assert parameters(build("asmnet", points=98, input_size=64)) == 1_471_727


def test_asmnet_taps_lie_where_the_paper_has_them(asmnet_224: tf_keras.Model) -> None:
    layers = asmnet_224.layers
    parameters_so_far = itertools.accumulate(layer.count_params() for layer in layers)
    macs_so_far = itertools.accumulate(layer_macs(layer) for layer in layers)
    found = {
        layer.name: (layer.output_shape[1:], parameters_there, round(macs_there / 1e6, 1))
        for layer, parameters_there, macs_there in zip(
            layers, parameters_so_far, macs_so_far, strict=True
        )
        if layer.name in TAPS
    }
    assert found == TAPS
    pooled = asmnet_224.get_layer("taps").input
    sources = [tensor.node.layer.input.node.layer.name for tensor in pooled]
    assert sources == list(TAPS)
    assert asmnet_224.get_layer("taps").output_shape == (None, 536)
    assert asmnet_224.get_layer("dropout").rate == 0.3


def test_mobilenetv2_has_the_published_size() -> None:
    model = build("mobilenetv2", points=68, input_size=224)
    assert parameters(model) == 2_436_043
    assert round(macs(model) / 1e6, 1) == 299.7


@pytest.mark.parametrize("points", [68, 98])
def test_asmnet_nano_stays_within_its_budget(points: int) -> None:
    model = build("asmnet_nano", points=points, input_size=112)
    assert parameters(model) <= 400_000
    assert macs(model) <= 20_000_000


@pytest.mark.parametrize("size", [64, 112])
def test_asmnet_plus_costs_no_more_than_asmnet(size: int) -> None:
    """1,439,507 is the size of the paper's network for 68 points."""
    model = build("asmnet_plus", points=68, input_size=size)
    assert parameters(model) <= 1_439_507
    assert macs(model) <= macs(build("asmnet", points=68, input_size=size))


def test_outputs_add_up_what_the_taps_say() -> None:
    """One weight of each tap set by hand: 2 x 3 from the first, 5 x 7 from the second, bias 1."""
    first, second = tf_keras.Input((2, 2, 1)), tf_keras.Input((1, 1, 1))
    outputs = positional_outputs(first, second, points=68)
    model = tf_keras.Model([first, second], outputs)
    for layer in model.layers:
        layer.set_weights([np.zeros_like(weights) for weights in layer.get_weights()])
    a, b = model.get_layer("landmarks_conv"), model.get_layer("landmarks_conv_1")
    assert len(b.get_weights()) == 1  # one bias for both
    kernel, bias = a.get_weights()
    kernel[1, 0, 0, 4], bias[4] = 2, 1
    a.set_weights([kernel, bias])
    kernel = b.get_weights()[0]
    kernel[0, 0, 0, 4] = 5
    b.set_weights([kernel])
    maps = np.zeros((1, 2, 2, 1), np.float32)
    maps[0, 1, 0, 0] = 3
    landmarks = model([maps, np.full((1, 1, 1, 1), 7, np.float32)])["landmarks"].numpy()
    assert landmarks[0, 4] == 2 * 3 + 5 * 7 + 1
    assert np.delete(landmarks[0], 4).max() == 0


# 64 and 96 px halve evenly down to the end, 112 px ends in an odd map (7 to 4).
@pytest.mark.parametrize("size", [64, 112])
def test_the_backbone_computes_what_keras_computes(size: int) -> None:
    keras = tf_keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(size, size, 3)
    )
    model = build("mobilenetv2", points=68, input_size=size)
    random = np.random.default_rng(0)
    for layer in keras.layers:
        if layer.weights:
            weights = [w * random.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()]
            layer.set_weights(weights)
            model.get_layer(layer.name).set_weights(weights)
    image = random.uniform(-1, 1, (1, size, size, 3)).astype(np.float32)
    ours = tf_keras.Model(model.input, model.get_layer("out_relu").output)(image)
    assert np.ptp(ours) > 0
    # The same sums; how they are ordered depends on the kernel that the padding selects.
    np.testing.assert_allclose(ours, keras(image), atol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES.own)
@pytest.mark.parametrize(("points", "size"), [(68, 64), (98, 112)])
def test_every_network_keeps_the_contract(name: str, points: int, size: int) -> None:
    model = build(name, points=points, input_size=size)
    assert model.input_names == ["image"]
    assert model.input_shape == (None, size, size, 3)
    outputs = model(np.zeros((2, size, size, 3), np.float32))
    assert {key: tuple(value.shape) for key, value in outputs.items()} == {
        "landmarks": (2, 2 * points),
        "pose": (2, 3),
    }
    assert not any(isinstance(layer, tf_keras.Model) for layer in model.layers), "flat for QAT"


@pytest.mark.parametrize("name", ARCHITECTURES.own)
def test_every_network_says_how_sure_it_is_and_what_can_be_seen_when_asked(name: str) -> None:
    plain = build(name, points=68, input_size=64)
    model = build(name, points=68, input_size=64, extra=("uncertainty", "visibility"))
    assert model.output_shape == {
        "landmarks": (None, 136), "pose": (None, 3),
        "uncertainty": (None, 68), "visibility": (None, 68),
    }  # fmt: skip
    outputs = model(np.zeros((1, 64, 64, 3), np.float32))
    # Before it has learnt anything: 4 hundredths of the crop for every point, seen or not alike.
    np.testing.assert_allclose(np.exp(outputs["uncertainty"]), 4.06, atol=0.2)
    np.testing.assert_allclose(outputs["visibility"], 0, atol=0.05)
    # They read nothing that the others do not, so they cost their own weights alone.
    rest = [layer for layer in model.layers if layer.name.startswith(("extra", "uncert", "visib"))]
    own = sum(layer.count_params() for layer in rest)
    assert parameters(model) == parameters(plain) + own


def test_uncertainty_costs_asmnet_plus_less_than_three_percent_of_its_arithmetic() -> None:
    plain = build("asmnet_plus", points=68, input_size=112)
    unsure = build("asmnet_plus", points=68, input_size=112, extra=("uncertainty",))
    assert macs(plain) < macs(unsure) < 1.002 * macs(plain)
    # 32 hidden values over the last tap's 4 x 4 x 64, and 68 points over these, each with a bias.
    assert parameters(unsure) - parameters(plain) == (4 * 4 * 64 + 1) * 32 + (32 + 1) * 68


@pytest.mark.parametrize(("name", "most"), [("asmnet_plus", 1_440_000), ("asmnet_nano", 400_000)])
def test_our_networks_stay_small_with_all_their_outputs(name: str, most: int) -> None:
    model = build(name, points=68, input_size=112, extra=("uncertainty", "visibility"))
    assert parameters(model) <= most


def test_outputs_stay_float32_under_mixed_precision() -> None:
    tf_keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = build("asmnet_nano", points=68, input_size=64)
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")
    assert model.get_layer("block_1_expand").compute_dtype == "float16"
    assert {output.dtype for output in model.outputs} == {tf.float32}


def test_macs_are_counted_by_hand() -> None:
    image = tf_keras.Input((8, 8, 3))
    x = tf_keras.layers.Conv2D(4, 3, strides=2, padding="same")(image)  # 4x4x4 outputs, 27 each
    x = tf_keras.layers.DepthwiseConv2D(3, padding="same")(x)  # 4x4x4 outputs, 9 each
    x = tf_keras.layers.BatchNormalization()(x)
    x = tf_keras.layers.Dense(10)(tf_keras.layers.Flatten()(x))  # 64 x 10
    assert macs(tf_keras.Model(image, x)) == 64 * 27 + 64 * 9 + 640


@pytest.mark.parametrize("size", [64, 96, 112, 128, 160, 224])
def test_usual_sizes_are_accepted(size: int) -> None:
    check_input_size(size)


@pytest.mark.parametrize(("size", "nearest"), [(63, 64), (100, 96), (0, 64), (-64, 64), (256, 224)])
def test_other_sizes_are_refused_with_the_nearest_one(size: int, nearest: int) -> None:
    with pytest.raises(
        UsageError, match=f"from 64 to 224 pixels, got {size}; the nearest is {nearest}"
    ):
        build("asmnet", points=68, input_size=size)


def test_unknown_names_and_schemes_are_refused() -> None:
    with pytest.raises(UsageError, match=r"expected an architecture of asmnet, .* got 'resnet'"):
        build("resnet", points=68, input_size=112)
    with pytest.raises(UsageError, match="expected 1 to 1000 landmarks, got 0"):
        build("asmnet", points=0, input_size=112)
