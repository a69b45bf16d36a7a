"""A float model on its way to int8: folded, equalised, with crops to calibrate on."""

from collections.abc import Iterator
from dataclasses import dataclass

import tensorflow as tf
import tf_keras

from asmnet_kit.base.console import stderr
from asmnet_kit.datasets.base import Dataset
from asmnet_kit.face.pictures import Image
from asmnet_kit.quantize.ranges.calibrate import collect_crops, doubts, layer_ranges
from asmnet_kit.quantize.source.equalise import concatenated, equalise
from asmnet_kit.quantize.source.float_model import FloatModel
from asmnet_kit.quantize.source.fold import deployable
from asmnet_kit.training.data.augment import AUGMENTATIONS, AugmentRanges
from asmnet_kit.training.data.batches import FaceBatches


@dataclass(frozen=True, eq=False)
class Int8Ready:
    """A float model on its way to int8.

    Attributes:
        model: folded, its concatenations equalised.
        crops: uint8 [N, S, S, 3], to calibrate on.
        factors: of the equalisation.
    """

    model: tf_keras.Model
    crops: Image
    factors: dict[str, float]


def int8_ready(model: tf_keras.Model, crops: Image) -> Int8Ready:
    """Fold and equalise a copy of a float model.

    Args:
        crops: uint8 [N, S, S, 3] from ``collect_crops``.

    Raises:
        ModelError: the model cannot be taken apart.
    """
    ready = deployable(model)
    return Int8Ready(ready, crops, _equalise(ready, crops))


def calibration_crops(source: FloatModel, faces: Dataset, *, count: int, seed: int) -> Image:
    """``count`` crops of training faces, augmented as in training; doubts go to the terminal.

    Args:
        faces: that the model was trained on.
        seed: of their order and augmentation.

    Returns:
        uint8 [count, S, S, 3]

    Raises:
        DatasetError: a picture cannot be read, or these are no pictures to calibrate on.
    """
    size = source.predictor.input_size
    ranges = AUGMENTATIONS[source.config.augmentation]
    batches = _calibration_batches(faces, size=size, seed=seed, ranges=ranges)
    crops = collect_crops(batches, count, input_size=size)
    for doubt in doubts(crops):
        stderr().print(f"[yellow]{doubt}[/yellow]")
    return crops


def _equalise(model: tf_keras.Model, crops: Image) -> dict[str, float]:
    taps = concatenated(model)
    if not taps:
        return {}
    ranges = layer_ranges(model, taps, crops)
    return equalise(model, {name: max(-low, high) for name, (low, high) in ranges.items()})


def _calibration_batches(
    dataset: Dataset, *, size: int, seed: int, ranges: AugmentRanges
) -> Iterator[dict[str, tf.Tensor]]:
    """Augmented training batches, epoch after epoch, without an end."""
    data = FaceBatches(
        dataset.faces,
        dataset.scheme,
        size=size,
        batch_size=min(32, len(dataset.faces)),
        seed=seed,
        ranges=ranges,
    )
    epoch = 0
    while True:
        try:
            yield from data.epoch(epoch, replicas=range(1), replica_count=1)
        except tf.errors.OpError as error:
            # A picture that could not be read: tf.data passes on a text, the cause is kept here.
            raise data.failure or error from error
        epoch += 1
