"""A small network with everything that quantization meets, and crops to calibrate it on."""

from collections.abc import Callable

import numpy as np
import pytest
import tf_keras
from numpy.typing import NDArray

import asmnet_kit.quantize  # noqa: F401  (chooses Keras 2 before TensorFlow is imported)

L = tf_keras.layers
SIZE = 32


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


@pytest.fixture(scope="session")
def make_network() -> Callable[[], tf_keras.Model]:
    """Makes another, equal ``small_network`` at each call."""
    return small_network


@pytest.fixture
def network() -> tf_keras.Model:
    """A fresh ``small_network``."""
    return small_network()


@pytest.fixture(scope="session")
def crops() -> NDArray[np.uint8]:
    """uint8 [64, 32, 32, 3]: soft blobs, a 0 and a 255 among their values."""
    random = np.random.default_rng(1)
    coarse = random.integers(0, 256, (64, 8, 8, 3)).astype(np.float32)
    soft = coarse.repeat(4, axis=1).repeat(4, axis=2)
    crops = np.clip(soft + random.normal(0, 8, soft.shape), 0, 255).astype(np.uint8)
    crops[0, 0, 0], crops[0, 0, -1] = 0, 255
    return crops
