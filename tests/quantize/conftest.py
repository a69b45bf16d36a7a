"""A small network with everything that quantization meets, and crops to calibrate it on."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tf_keras
from numpy.typing import NDArray

import asmnet_kit.quantize  # noqa: F401  (chooses Keras 2 before TensorFlow is imported)
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.face.generic_face import GENERIC_FACE_68
from asmnet_kit.face.pose import rotation_matrix
from asmnet_kit.face.shape_model.file import save_shape_model
from asmnet_kit.face.shape_model.fit import ShapeAccumulator
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.data.batches import targets_of
from asmnet_kit.training.manifest import write_manifest

L = tf_keras.layers
SIZE = 32
RUN_SIZE = 64  # of the run's network
SIDE = 96  # pixels of a drawn picture


def conv_bn_relu(x: object, name: str, channels: int | None) -> object:
    """Convolution (depthwise without ``channels``), batch normalisation, ReLU6."""
    if channels is None:
        x = L.DepthwiseConv2D(3, padding="same", use_bias=False, name=name)(x)
    else:
        x = L.Conv2D(channels, 3, strides=2, padding="same", use_bias=False, name=name)(x)
    x = L.BatchNormalization(name=f"{name}_BN")(x)
    return L.ReLU(6.0, name=f"{name}_relu")(x)


def small_network(seed: int = 0, size: int = SIZE) -> tf_keras.Model:
    """Two linear taps of very different range, one of them behind an addition; 68 landmarks."""
    tf_keras.utils.set_random_seed(seed)
    image = tf_keras.Input((size, size, 3), name="image")
    x = conv_bn_relu(image, "stem", 8)
    x = conv_bn_relu(x, "depthwise", None)
    tap = L.BatchNormalization(name="project_BN")(L.Conv2D(8, 1, name="project")(x))
    x = L.BatchNormalization(name="branch_BN")(L.Conv2D(8, 1, name="branch")(tap))
    added = L.Add(name="add")([tap, x])
    y = L.ReLU(6.0, name="late_relu")(L.Conv2D(12, 1, strides=2, name="late")(added))
    late = L.Conv2D(12, 1, name="late_project")(y)
    pooled = [
        L.GlobalAveragePooling2D(name="pool_early")(tap),
        L.GlobalAveragePooling2D(name="pool_added")(added),
        L.GlobalAveragePooling2D(name="pool_late")(late),
    ]
    x = L.Dropout(0.3, name="dropout")(L.Concatenate(name="taps")(pooled))
    outputs = {
        "landmarks": L.Dense(136, name="landmarks")(x),
        "pose": L.Dense(3, name="pose")(x),
    }
    model = tf_keras.Model(image, outputs, name="small")
    _spread(model, np.random.default_rng(seed))
    return model


def _spread(model: tf_keras.Model, random: np.random.Generator) -> None:
    """Statistics as after training: none at their start, channels and taps of unlike range."""
    for layer in model.layers:
        if isinstance(layer, L.BatchNormalization):
            size = layer.gamma.shape[0]
            layer.gamma.assign(np.geomspace(0.1, 1.0, size))
            layer.beta.assign(random.normal(0, 0.3, size))
            layer.moving_mean.assign(random.normal(0, 0.1, size))
            layer.moving_variance.assign(random.uniform(0.1, 0.6, size))
    late = model.get_layer("late_project")
    late.kernel.assign(late.kernel * 0.05)


def kill_channels(model: tf_keras.Model) -> None:
    """Leave some channels nothing but their constant, in each kind of layer, as training may do.

    MobileNetV2's ImageNet weights have kernels of 1e-20 beside biases of 2.
    """
    for layer, attribute, channel in (
        ("stem", "kernel", (..., 3)),
        ("depthwise", "depthwise_kernel", (..., 1, 0)),
        ("late", "kernel", (..., 2)),
        ("late_project", "kernel", (..., 5)),
    ):
        variable = getattr(model.get_layer(layer), attribute)
        kernel = variable.numpy()
        kernel[channel] *= 1e-20
        variable.assign(kernel)
    for layer, attribute, channel, constant in (
        ("stem_BN", "beta", 3, 2.0),
        ("depthwise_BN", "beta", 1, 1.5),
        ("late", "bias", 2, 2.3),
        ("late_project", "bias", 5, -0.1),
    ):
        variable = getattr(model.get_layer(layer), attribute)
        values = variable.numpy()
        values[channel] = constant
        variable.assign(values)


def drawn_faces(folder: Path, generic: np.ndarray, counts: dict[str, int]) -> Path:
    """A keypoint CSV and pictures with the points of turned generic faces as dots."""
    random = np.random.default_rng(3)
    for split, count in counts.items():
        (folder / split).mkdir(parents=True)
        rows = []
        for index in range(count):
            turned = generic @ rotation_matrix(*random.uniform(-20, 20, 3)).T
            turned = turned + random.normal(0, 1.0, turned.shape)  # millimetres: identity
            points = 0.42 * (turned[:, :2] - turned[:, :2].mean(axis=0)) + SIDE / 2
            image = random.integers(0, 90, (SIDE, SIDE, 3)).astype(np.uint8)
            for x, y in points:
                cv2.circle(image, (round(x), round(y)), 2, (220, 230, 240), cv2.FILLED)
            name = f"{split}/{index}.jpg"
            cv2.imwrite(str(folder / name), image)
            rows.append(",".join([name, *(f"{v:.2f}" for v in points.ravel())]))
        (folder / f"{split}.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture(scope="session")
def draw_faces() -> Callable[[Path, np.ndarray, dict[str, int]], Path]:
    """See ``drawn_faces``."""
    return drawn_faces


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 drawn faces to train on, 6 to validate on."""
    folder = tmp_path_factory.mktemp("quantize") / "faces"
    return drawn_faces(folder, GENERIC_FACE_68, {"train": 12, "val": 6})


@pytest.fixture(scope="session")
def run_folder(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What training on ``faces`` leaves behind, with the small network as its model."""
    run = tmp_path_factory.mktemp("quantize") / "run"
    run.mkdir()
    config = TrainConfig(
        data=str(faces), format="csv", input_size=RUN_SIZE, epochs=3, batch_size=4, warmup_epochs=0
    )
    config.save(run / "config.toml")
    small_network(size=RUN_SIZE).save(run / "model.keras")
    train, val = (load_dataset(faces, "csv", split=split) for split in ("train", "val"))
    shapes = ShapeAccumulator(68, aligned=True)
    shapes.update(targets_of(train.faces, train.scheme).upright)
    save_shape_model(shapes.fit(0.9), run / "shape_model.npz")
    dataset = {"sha256": train.fingerprint(), "val_sha256": val.fingerprint()}
    facts = {"architecture": {"name": "small"}, "dataset": dataset}
    write_manifest(run, {**facts, "crop_scale": 1.2, "licence": "for tests alone"})
    return run


@pytest.fixture(scope="session")
def make_network() -> Callable[[], tf_keras.Model]:
    """Makes another, equal ``small_network`` at each call."""
    return small_network


@pytest.fixture
def network() -> tf_keras.Model:
    """A fresh ``small_network``."""
    return small_network()


@pytest.fixture
def network_with_dead_channels() -> tf_keras.Model:
    """A fresh ``small_network`` some channels of which give a constant."""
    model = small_network()
    kill_channels(model)
    return model


@pytest.fixture(scope="session")
def crops() -> NDArray[np.uint8]:
    """uint8 [64, 32, 32, 3]: soft blobs, a 0 and a 255 among their values."""
    random = np.random.default_rng(1)
    coarse = random.integers(0, 256, (64, 8, 8, 3)).astype(np.float32)
    soft = coarse.repeat(4, axis=1).repeat(4, axis=2)
    crops = np.clip(soft + random.normal(0, 8, soft.shape), 0, 255).astype(np.uint8)
    crops[0, 0, 0], crops[0, 0, -1] = 0, 255
    return crops
