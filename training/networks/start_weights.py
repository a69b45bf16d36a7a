"""Where a training starts from: another run, a shipped model, ImageNet weights, the mean shape.

Layers are matched by name and by the shape of their weights. A batch normalisation belongs to the
convolution before it: it is taken with it or not at all.
"""

import contextlib
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from asmnet_kit.base.errors import KitError, ModelError, UsageError
from asmnet_kit.base.files import require_exists
from asmnet_kit.base.model_kind import WITH_LAYERS, expected_words
from asmnet_kit.base.npz import read_npz
from asmnet_kit.training.catalogue import IMAGENET
from asmnet_kit.training.networks.heads import landmark_layer
from asmnet_kit.training.networks.keras_predictor import load_model
from asmnet_kit.training.networks.tflite_weights import folded_weights

IMAGENET_SIZE = 224  # Keras offers the weights for this size; convolutions do not depend on it
DOWNLOAD_TIMEOUT_SECONDS = 20  # without an answer; urllib would wait for ever

# Enough pictures for stable statistics of a channel, and little enough memory for a 224 px input.
STATISTICS_CHUNK = 16

Weights = Sequence[NDArray[Any]]


class Source(Protocol):
    """Weights on offer."""

    def unit(self, unit: "Unit") -> tuple[Weights, Weights | None] | None:
        """Weights for a unit's layer and for its batch normalisation, or None without any.

        The second is None where only the layer's function is known.
        """


@dataclass(frozen=True)
class Unit:
    """A layer with weights, and the batch normalisation of its output if there is one."""

    layer: tf_keras.layers.Layer
    norm: tf_keras.layers.BatchNormalization | None

    @property
    def name(self) -> str:
        return str(self.layer.name)


@dataclass(frozen=True)
class Initialisation:
    """What ``initialise`` did.

    Attributes:
        source: as the user named it.
        taken: names of the layers whose weights come from the source, in the network's order.
        fresh: name -> reason, of the layers that keep the weights they had.
    """

    source: str
    taken: tuple[str, ...]
    fresh: Mapping[str, str]

    def summary(self) -> str:
        """One line for the user."""
        line = f"{len(self.taken)} of {len(self.taken) + len(self.fresh)} layers from {self.source}"
        if not self.fresh:
            return line
        fresh = [f"{name} ({reason})" for name, reason in self.fresh.items()]
        shown = ", ".join(fresh[:4]) + (f" and {len(fresh) - 4} more" if len(fresh) > 4 else "")
        return f"{line}; untrained: {shown}"


def initialise(
    model: tf_keras.Model, source: str | Path, *, images: NDArray[np.float32] | None = None
) -> Initialisation:
    """Give ``model`` the weights of ``source`` where layers match.

    Args:
        model: a network of ``architectures``.
        source: a run folder, a .keras, an .h5, a .tflite, an .npz file of MobileNetV2 weights
            with batch normalisation folded in (``LAYER/kernel`` and ``LAYER/bias``), or
            ``imagenet``, which downloads Keras' MobileNetV2.
        images: float32 [B, S, S, 3], (v - 128) / 128, pictures like those to train on. Folded
            weights need them, to make batch statistics: 64 or more.

    Raises:
        UsageError: folded weights without ``images``, or a source of an unknown kind.
        ModelError: the source cannot be read, or no layer of it fits.
        KitError: ``imagenet`` could not be downloaded.
    """
    if images is None and Path(source).suffix in FOLDED:
        raise UsageError(f"{source}: folded weights need a batch of pictures for batch statistics")
    opened = open_source(source)
    is_folded = isinstance(opened, _FoldedSource)
    return _take(model, opened, str(source), images=images if is_folded else None)


def open_source(source: str | Path) -> Source:
    """Read the weights to start from; also to find out, before a run is begun, that they are there.

    Raises:
        UsageError: a source of an unknown kind, or a path where there is nothing.
        ModelError: it cannot be read.
        KitError: ``imagenet`` could not be downloaded.
    """
    if str(source) == IMAGENET:
        return _ModelSource(_download_imagenet())
    path = Path(source)
    require_exists(
        path,
        expected=f"{expected_words((*WITH_LAYERS, 'tflite'))}, an .npz of weights, or the word "
        "imagenet",
    )
    if path.suffix in FOLDED:
        return _FoldedSource(FOLDED[path.suffix](path))
    return _ModelSource(load_model(path, takes=WITH_LAYERS))


def start_at_mean_shape(model: tf_keras.Model, mean: NDArray[np.floating]) -> None:
    """Let an untrained network predict the mean shape: the bias of its landmarks.

    From 0 the optimiser would need hundreds of steps to get there: Adam moves a weight by about the
    learning rate a step, and a jaw lies 0.4 from the centre.

    Args:
        mean: [N, 2], fractions of the crop from its centre.

    Raises:
        UsageError: the network has another number of landmarks.
        ModelError: it does not end with an output of ``heads``.
    """
    layer = landmark_layer(model)
    if layer is None:
        raise ModelError(f"{model.name}: expected a layer that gives the landmarks, found none")
    if layer.bias.shape != (np.size(mean),):
        raise UsageError(
            f"expected a mean shape of {layer.bias.shape[0] // 2} points, got {np.shape(mean)}"
        )
    layer.bias.assign(np.reshape(mean, -1).astype(np.float32))


@dataclass(frozen=True)
class _ModelSource:
    """Another network."""

    model: tf_keras.Model

    def unit(self, unit: Unit) -> tuple[Weights, Weights | None] | None:
        names = {layer.name: layer for layer in self.model.layers}
        if unit.name not in names:
            return None
        norm = names.get(unit.norm.name) if unit.norm else None
        return names[unit.name].get_weights(), norm.get_weights() if norm else None


@dataclass(frozen=True, eq=False)
class _FoldedSource:
    """Kernels and biases by ``LAYER/kernel`` and ``LAYER/bias``."""

    arrays: Mapping[str, NDArray[Any]]

    def unit(self, unit: Unit) -> tuple[Weights, Weights | None] | None:
        kernel, bias = (self.arrays.get(f"{unit.name}/{part}") for part in ("kernel", "bias"))
        if kernel is None or bias is None:
            return None
        if unit.norm is None:
            # A .tflite gives every convolution a bias, zeros where the layer has none.
            keeps_bias = getattr(unit.layer, "use_bias", True) or bias.any()
            return [kernel, bias] if keeps_bias else [kernel], None
        # With mean 0 and variance 1 - eps, normalising does nothing and beta is the bias.
        channels = len(bias)
        one, zero = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        return [kernel], [one, bias, zero, one * (1 - unit.norm.epsilon)]


def _take(
    model: tf_keras.Model,
    source: Source,
    name: str,
    *,
    images: NDArray[np.float32] | None = None,
) -> Initialisation:
    """Copy what fits; with ``images``, then give the copied norms the statistics of these."""
    taken: list[Unit] = []
    fresh: dict[str, str] = {}
    for unit in units(model):
        offered = source.unit(unit)
        reason = _misfit(unit, offered)
        if reason or offered is None:
            fresh[unit.name] = reason
            continue
        unit.layer.set_weights(offered[0])
        if unit.norm is not None:
            unit.norm.set_weights(offered[1])
        taken.append(unit)
    if not taken:
        first, reason = next(iter(fresh.items()))
        raise ModelError(
            f"{name}: none of its weights fit {model.name!r} ({first}: {reason}). Expected weights "
            f"of the same architecture or of one with the same backbone"
        )
    normalised = [(unit.layer, unit.norm) for unit in taken if unit.norm is not None]
    if images is not None and normalised:
        _adopt_statistics(model, normalised, images)
    return Initialisation(name, tuple(unit.name for unit in taken), fresh)


def units(model: tf_keras.Model) -> Iterator[Unit]:
    """The layers that hold weights, in the network's order, each with its batch normalisation."""
    norms = {
        id(layer.input): layer
        for layer in model.layers
        if isinstance(layer, tf_keras.layers.BatchNormalization)
    }
    for layer in model.layers:
        if layer.weights and not isinstance(layer, tf_keras.layers.BatchNormalization):
            yield Unit(layer, norms.get(id(layer.output)))


def _misfit(unit: Unit, offered: tuple[Weights, Weights | None] | None) -> str:
    """Why the offered weights are no use for a unit; empty if they fit."""
    if offered is None:
        return "not in the source"
    weights, norm_weights = offered
    if reason := _shape_misfit(unit.layer, weights):
        return reason
    if unit.norm is None:
        return ""
    if norm_weights is None:
        return f"{unit.norm.name} is not in the source"
    return _shape_misfit(unit.norm, norm_weights)


def _shape_misfit(layer: tf_keras.layers.Layer, weights: Weights) -> str:
    expected = [tuple(weight.shape) for weight in layer.weights]
    got = [tuple(weight.shape) for weight in weights]
    return "" if got == expected else f"expected {_shapes(expected)}, got {_shapes(got)}"


def _shapes(shapes: Sequence[tuple[int, ...]]) -> str:
    return " + ".join("x".join(map(str, shape)) for shape in shapes) or "nothing"


def _adopt_statistics(
    model: tf_keras.Model,
    folded: Sequence[tuple[tf_keras.layers.Layer, tf_keras.layers.BatchNormalization]],
    images: NDArray[np.float32],
) -> None:
    """Turn biases back into batch normalisations without changing the network's function.

    A folded convolution z + bias equals gamma (z - mean) / sqrt(var + eps) + beta with the mean and
    variance of z over ``images``, gamma = sqrt(var + eps) and beta = mean + bias. One pass is
    enough: the function, and so every z, is the same before and after.

    Folding also scaled each channel's kernel by gamma / sqrt(var + eps). Batch normalisation takes
    that scale out again, but an optimiser whose steps have one length, as Adam's, does not: it
    turns a channel of a tiny kernel into another one within a few steps, before the moving
    statistics follow. So each kernel gets the size that a fresh one has, and gamma what it loses.

    Args:
        folded: convolutions, each with its batch normalisation, whose beta is the bias.
    """
    probe = tf_keras.Model(model.input, [layer.output for layer, _ in folded])

    def sums(chunk: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
        maps = (tf.cast(z, tf.float64) for z in tf.nest.flatten(probe(chunk)))
        return [(tf.reduce_sum(z, (0, 1, 2)), tf.reduce_sum(z**2, (0, 1, 2))) for z in maps]

    compiled = tf.function(sums, reduce_retracing=True)  # frees each map as soon as it is summed
    totals = [(np.float64(0), np.float64(0))] * len(folded)
    for first in range(0, len(images), STATISTICS_CHUNK):
        chunk = compiled(tf.constant(images[first : first + STATISTICS_CHUNK]))
        totals = [
            (total + z.numpy(), total_square + square.numpy())
            for (total, total_square), (z, square) in zip(totals, chunk, strict=True)
        ]
    for (layer, norm), (total, total_square) in zip(folded, totals, strict=True):
        values = len(images) * np.prod(layer.output_shape[1:3])
        mean = total / values
        variance = np.maximum(total_square / values - mean**2, 0)
        bias = norm.beta.numpy()
        scale = _fresh_scale(layer)
        mean, variance = mean * scale, variance * scale**2
        gamma = np.sqrt(variance + norm.epsilon)
        norm.set_weights([gamma / scale, mean / scale + bias, mean, variance])


def _fresh_scale(layer: tf_keras.layers.Layer) -> NDArray[np.float64]:
    """Scale a convolution's kernel, by channel, to the length that He et al. (2015) begin with.

    Returns:
        float64 [channels], what each was multiplied by: 1 where a kernel is all zeros.
    """
    kernel, *rest = layer.get_weights()
    depthwise = isinstance(layer, tf_keras.layers.DepthwiseConv2D)
    channels = kernel.shape[2] if depthwise else kernel.shape[3]
    rows = kernel.reshape(-1, channels).astype(np.float64)
    length = np.linalg.norm(rows, axis=0)
    fresh = np.sqrt(2.0)  # of fan_in weights with variance 2 / fan_in
    scale = np.divide(fresh, length, out=np.ones(channels), where=length > 0)
    layer.set_weights([(rows * scale).reshape(kernel.shape), *rest])
    return np.asarray(scale, np.float64)


def _read_folded(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of an .npz file, refusing pickled objects.

    Raises:
        ModelError: no .npz, or numbers that are not finite.
    """
    arrays = read_npz(path, expected="an .npz file of weights")
    bad = [
        name
        for name, array in arrays.items()
        if not np.issubdtype(array.dtype, np.floating) or not np.isfinite(array).all()
    ]
    if bad:
        raise ModelError(f"{path}: expected finite floating-point weights; wrong: {', '.join(bad)}")
    return arrays


# File ending -> reader of weights with batch normalisation folded in.
FOLDED = {".npz": _read_folded, ".tflite": folded_weights}


def _download_imagenet() -> tf_keras.Model:
    """Keras' MobileNetV2 1.0 without its classifier, from Keras' cache or its server.

    Raises:
        KitError: it cannot be reached.
    """
    try:
        # Keras announces the download on stdout, which belongs to results.
        with _socket_timeout(DOWNLOAD_TIMEOUT_SECONDS), contextlib.redirect_stdout(sys.stderr):
            return tf_keras.applications.MobileNetV2(
                include_top=False, weights="imagenet", input_shape=(IMAGENET_SIZE, IMAGENET_SIZE, 3)
            )
    except Exception as error:
        # Keras wraps what urllib raises into a bare Exception with this text.
        if "URL fetch failure" not in str(error) and not isinstance(error, TimeoutError):
            raise
        reason = str(error).rsplit("--", 1)[-1].strip()
        raise KitError(
            f"the ImageNet weights could not be downloaded ({reason}). Connect to the internet "
            f"once (they stay in ~/.keras/models), or pass --init-from an .npz file of folded "
            f"MobileNetV2 weights, a .keras file or a run"
        ) from error


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """A limit for connections that set none themselves."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
