"""Starting weights: what is taken, what stays fresh, and that the function is kept."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from asmnet_kit.base.errors import KitError, ModelError, UsageError
from asmnet_kit.face.input_values import to_float_input, to_int8_input
from asmnet_kit.shipping.shipped import model_named
from asmnet_kit.tflite.runtime import dequantize, open_runtime
from asmnet_kit.training.networks import start_weights as module
from asmnet_kit.training.networks.build import build
from asmnet_kit.training.networks.heads import EXTRA_OUTPUTS
from asmnet_kit.training.networks.start_weights import initialise, start_at_mean_shape, units

SIZE = 64


@pytest.fixture
def images() -> NDArray[np.float32]:
    return np.random.default_rng(0).uniform(-1, 1, (20, SIZE, SIZE, 3)).astype(np.float32)


def nano(points: int = 68, input_size: int = SIZE) -> tf_keras.Model:
    return build("asmnet_nano", points=points, input_size=input_size)


def shaken(model: tf_keras.Model) -> tf_keras.Model:
    """The same network with other weights, batch-norm statistics included."""
    random = np.random.default_rng(1)
    model.set_weights([w * random.uniform(0.5, 1.5, w.shape) for w in model.get_weights()])
    return model


def folded(model: tf_keras.Model) -> dict[str, NDArray[np.float32]]:
    """What an export makes of convolutions and their batch norms: kernels and biases."""
    arrays = {}
    for unit in units(model):
        if unit.norm is None:
            continue
        kernel = unit.layer.get_weights()[0]
        gamma, beta, mean, variance = unit.norm.get_weights()
        factor = gamma / np.sqrt(variance + unit.norm.epsilon)
        depthwise = isinstance(unit.layer, tf_keras.layers.DepthwiseConv2D)
        arrays[f"{unit.name}/kernel"] = kernel * (factor[:, None] if depthwise else factor)
        arrays[f"{unit.name}/bias"] = beta - mean * factor
    return arrays


def lively_weights(model: tf_keras.Model) -> dict[str, NDArray[np.float32]]:
    """Random folded weights with which a deep network still answers differently to each picture."""
    random = np.random.default_rng(2)
    arrays = {}
    for unit in units(model):
        shape = unit.layer.get_weights()[0].shape
        depthwise = isinstance(unit.layer, tf_keras.layers.DepthwiseConv2D)
        terms = np.prod(shape[:2]) * (1 if depthwise else shape[2])
        channels = shape[2] if depthwise else shape[3]
        arrays[f"{unit.name}/kernel"] = random.normal(0, (2 / terms) ** 0.5, shape)
        arrays[f"{unit.name}/bias"] = random.normal(0, 0.1, channels)
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def before_heads(model: tf_keras.Model, images: NDArray[np.float32]) -> NDArray[np.float32]:
    probe = tf_keras.Model(model.input, model.get_layer("narrow_relu").output)
    output: NDArray[np.float32] = probe(images, training=False).numpy()
    return output


@pytest.mark.parametrize("kind", ["file", "run folder"])
def test_a_saved_model_is_taken_whole(
    kind: str, tmp_path: Path, images: NDArray[np.float32]
) -> None:
    trained, fresh = shaken(nano()), nano()
    trained.save(tmp_path / "model.keras")
    done = initialise(fresh, tmp_path / "model.keras" if kind == "file" else tmp_path)
    assert not done.fresh
    for name, value in trained(images).items():
        np.testing.assert_array_equal(fresh(images)[name], value)


def test_heads_of_another_scheme_stay_fresh_and_are_named(tmp_path: Path) -> None:
    shaken(nano(68)).save(tmp_path / "model.keras")
    model = nano(98)
    head = model.get_layer("landmarks_conv").get_weights()[0]
    done = initialise(model, tmp_path / "model.keras")
    assert done.fresh == {"landmarks_conv": "expected 1x1x256x196 + 196, got 1x1x256x136 + 136"}
    assert "pose_conv" in done.taken
    np.testing.assert_array_equal(model.get_layer("landmarks_conv").get_weights()[0], head)
    assert "untrained: landmarks_conv (expected 1x1x256x196" in done.summary()


def test_an_input_size_changes_only_the_layer_that_knows_positions(tmp_path: Path) -> None:
    nano(input_size=96).save(tmp_path / "model.keras")
    done = initialise(nano(), tmp_path / "model.keras")
    assert set(done.fresh) == {"whole"}


def test_a_batch_norm_never_comes_without_its_convolution(tmp_path: Path) -> None:
    # The batch norm after asmnet_nano's block_1_project has 24 channels too: it alone would fit.
    image = tf_keras.Input((SIZE, SIZE, 3))
    x = tf_keras.layers.Conv2D(24, 1, use_bias=False, name="block_1_project")(image)
    x = tf_keras.layers.BatchNormalization(name="block_1_project_BN")(x)
    shaken(tf_keras.Model(image, x)).save(tmp_path / "model.keras")
    model = nano()
    before = model.get_weights()
    with pytest.raises(ModelError, match="none of its weights fit 'asmnet_nano'"):
        initialise(model, tmp_path / "model.keras")
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_folded_weights_keep_the_function_and_get_the_statistics_of_the_batch(
    tmp_path: Path, images: NDArray[np.float32]
) -> None:
    trained, model = shaken(nano()), nano()
    np.savez(tmp_path / "folded.npz", **folded(trained))
    done = initialise(model, tmp_path / "folded.npz", images=images)
    # Layers with a bias of their own, not that of a batch norm, are heads: no backbone has them.
    assert set(done.fresh) == {"whole", "landmarks_conv", "pose_conv"}
    # About 20 float32 layers of numbers up to 6: a few 1e-7 each.
    np.testing.assert_allclose(
        before_heads(model, images), before_heads(trained, images), atol=1e-4
    )
    # On that batch, the statistics of training and the stored ones are the same.
    conv = tf_keras.Model(model.input, model.get_layer("block_4_expand").output)(images).numpy()
    norm = model.get_layer("block_4_expand_BN")
    np.testing.assert_allclose(norm.moving_mean, conv.mean((0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, conv.var((0, 1, 2)), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("weights", ["random", "ImageNet"])
def test_mobilenet_weights_from_a_file_give_asmnet_the_backbone_of_keras(
    weights: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    images = np.random.default_rng(0).uniform(-1, 1, (16, SIZE, SIZE, 3)).astype(np.float32)
    keras = tf_keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(SIZE, SIZE, 3)
    )
    if weights == "random":
        path = tmp_path / "mobilenet_v2_folded.npz"
        np.savez(path, **lively_weights(keras))
    else:
        shared = request.getfixturevalue("shared")
        path = shared / "data" / "mobilenet_v2_1.0_imagenet_folded.npz"
    model = build("asmnet", points=68, input_size=SIZE)
    done = initialise(model, path, images=images)
    assert set(done.fresh) == {"landmarks", "pose"}
    assert len(done.taken) == 1 + 2 + 15 * 3  # stem, block 0, blocks 1 to 15
    with np.load(path) as arrays:
        for unit in units(keras):
            kernel, bias = arrays[f"{unit.name}/kernel"], arrays[f"{unit.name}/bias"]
            one = np.ones_like(bias)
            unit.layer.set_weights([kernel])
            unit.norm.set_weights([one, bias, 0 * one, one * (1 - unit.norm.epsilon)])
    ours, theirs = (
        tf_keras.Model(m.input, m.get_layer("block_15_add").output)(images).numpy()
        for m in (model, keras)
    )
    assert theirs.std(axis=0).max() > 0.1
    # 48 float32 layers deep; the map's largest values are near 30.
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_a_model_of_the_kit_is_trained_on_from_where_it_stands() -> None:
    shipped = model_named("asmnet_plus_fp16").path
    images = np.random.default_rng(0).uniform(-1, 1, (16, 112, 112, 3)).astype(np.float32)
    model = build("asmnet_plus", points=68, input_size=112, extra=EXTRA_OUTPUTS)
    done = initialise(model, shipped, images=images)
    assert not done.fresh
    runtime = open_runtime(shipped)
    outputs = model(images[:1])
    for name, expected in runtime.run({"image": images[:1]}).items():
        # 47 float32 layers deep, both sides from the same float16 weights; outputs are near 0.5.
        np.testing.assert_allclose(outputs[name], expected, atol=1e-4)


def test_an_int8_model_is_a_start_too() -> None:
    shipped = model_named("asmnet_nano")
    size = shipped.card["model"]["input_size"]
    crops = np.random.default_rng(0).integers(0, 256, (16, size, size, 3), np.uint8)
    images = to_float_input(crops)
    model = build("asmnet_nano", points=68, input_size=size)
    done = initialise(model, shipped.path, images=images)
    assert not done.fresh
    runtime = open_runtime(shipped.path)
    raw = runtime.run({"image": to_int8_input(crops[:1])})["landmarks"]
    expected = dequantize(raw, runtime.outputs["landmarks"])
    # The weights are the same; int8's activations cost about a pixel of 112 on noise.
    np.testing.assert_allclose(model(images[:1])["landmarks"], expected, atol=0.03)


def test_folded_weights_need_pictures(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="need a batch of pictures"):
        initialise(nano(), tmp_path / "folded.npz")


def write_pickle(path: Path) -> None:
    np.savez(path, evil=np.array([{"a": 1}], dtype=object))


def write_nan(path: Path) -> None:
    np.savez(path, **{"Conv1/kernel": np.full((3, 3, 3, 16), np.nan)})


def write_single_array(path: Path) -> None:
    content = io.BytesIO()
    np.save(content, np.zeros(3))
    path.write_bytes(content.getvalue())


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("text.npz", lambda path: path.write_text("hello"), "expected an .npz file of weights"),
        (
            "cut.keras",
            lambda path: path.write_bytes(b"PK\x03\x04"),
            "not a .keras file, or a truncated one",
        ),
        ("pickle.npz", write_pickle, "expected an .npz file of weights"),
        ("nan.npz", write_nan, "finite floating-point weights; wrong: Conv1/kernel"),
        ("one.npz", write_single_array, "expected an .npz file of weights"),
    ],
)
def test_unusable_files_are_refused(
    name: str,
    write: Callable[[Path], object],
    message: str,
    tmp_path: Path,
    images: NDArray[np.float32],
) -> None:
    write(tmp_path / name)
    with pytest.raises(ModelError, match=message):
        initialise(nano(), tmp_path / name, images=images)


def test_code_in_a_keras_file_is_not_run(tmp_path: Path) -> None:
    image = tf_keras.Input((SIZE, SIZE, 3))
    trap = tf_keras.Model(image, tf_keras.layers.Lambda(lambda x: 2 * x)(image))
    trap.save(tmp_path / "trap.keras")
    with pytest.raises(ModelError, match="runs no code from model files"):
        initialise(nano(), tmp_path / "trap.keras")


def test_weights_to_start_from_may_lie_in_an_h5(tmp_path: Path) -> None:
    donor = nano()
    donor.save(tmp_path / "donor.h5")
    taken = initialise(nano(), tmp_path / "donor.h5")
    assert taken.fresh == {} and len(taken.taken) > 10


def test_a_source_whose_layers_are_not_known_is_refused(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ModelError, match=r"a \.keras or an \.h5, got a SavedModel"):
        initialise(nano(), tmp_path)


@pytest.mark.parametrize("name", ["missing.npz", "missing.keras"])
def test_a_path_with_nothing_there_is_a_usage_error(
    name: str, tmp_path: Path, images: NDArray[np.float32]
) -> None:
    with pytest.raises(
        UsageError, match=r"no such file or folder; expected a run folder, a .keras"
    ):
        initialise(nano(), tmp_path / name, images=images)


def test_imagenet_offline_says_what_else_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(**_: object) -> None:
        # The words of tf_keras 2.21 on a machine without a network.
        raise Exception(
            "URL fetch failure on https://x/y.h5: None -- [Errno -2] Name or service not known"
        )

    monkeypatch.setattr(module.tf_keras.applications, "MobileNetV2", unreachable)
    with pytest.raises(
        KitError, match=r"not be downloaded .*Name or service not known.*--init-from"
    ):
        initialise(nano(), "imagenet")


def test_imagenet_weights_are_matched_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    keras = tf_keras.applications.MobileNetV2(
        include_top=False, weights=None, input_shape=(SIZE, SIZE, 3)
    )
    monkeypatch.setattr(module.tf_keras.applications, "MobileNetV2", lambda **_: keras)
    model = build("mobilenetv2", points=68, input_size=SIZE)
    done = initialise(model, "imagenet")
    assert set(done.fresh) == {"landmarks", "pose"}
    np.testing.assert_array_equal(
        model.get_layer("Conv_1").get_weights()[0], keras.get_layer("Conv_1").get_weights()[0]
    )


@pytest.mark.parametrize("name", ["asmnet_nano", "asmnet"])
def test_an_untrained_network_can_predict_the_mean_shape(name: str) -> None:
    model = build(name, points=68, input_size=SIZE)
    mean = np.random.default_rng(0).uniform(-0.4, 0.4, (68, 2))
    start_at_mean_shape(model, mean)
    black = np.zeros((1, SIZE, SIZE, 3), np.float32)  # every feature is 0 with fresh weights
    np.testing.assert_allclose(model(black)["landmarks"], mean.reshape(1, -1), atol=1e-6)


def test_a_mean_shape_of_another_scheme_is_refused() -> None:
    with pytest.raises(UsageError, match="mean shape of 68 points, got"):
        start_at_mean_shape(nano(), np.zeros((98, 2)))


def test_a_few_steps_from_folded_weights_do_not_break_what_is_deployed() -> None:
    """Adam moves every weight by about the learning rate: it must not turn tiny kernels over before
    the moving statistics follow. Without it 0.04 of the crop was measured here, with it 0.0017."""
    shipped = model_named("asmnet_nano")
    size = shipped.card["model"]["input_size"]
    images = np.random.default_rng(0).uniform(-1, 1, (16, size, size, 3)).astype(np.float32)
    model = build("asmnet_nano", points=68, input_size=size)
    initialise(model, shipped.path, images=images)
    before = model(images, training=False)["landmarks"].numpy()
    optimizer = tf_keras.optimizers.Adam(4e-4)
    for _ in range(20):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(images, training=True)["landmarks"] - before) ** 2)
        gradients = tape.gradient(loss, model.trainable_variables, unconnected_gradients="zero")
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    after = model(images, training=False)["landmarks"].numpy()
    assert np.abs(after - before).mean() < 0.02
