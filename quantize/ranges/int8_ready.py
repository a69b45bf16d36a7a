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
from asmnet_kit.training.data.sources import Sources


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


def int8_ready(
    source: FloatModel, sources: Sources, *, calibration_faces: int, seed: int
) -> Int8Ready:
    """Fold and equalise a float model, and collect crops to calibrate it on.

    Args:
        calibration_faces: augmented crops of ``sources.train``.
        seed: of their order and augmentation.

    Raises:
        DatasetError: a picture cannot be read.
    """
    size = source.predictor.input_size
    crops = collect_crops(
        _calibration_batches(
            sources.train,
            size=size,
            seed=seed,
            ranges=AUGMENTATIONS[source.config.augmentation],
        ),
        calibration_faces,
        input_size=size,
    )
    for doubt in doubts(crops):
        stderr().print(f"[yellow]{doubt}[/yellow]")
    model = deployable(source.model)
    return Int8Ready(model, crops, _equalise(model, crops))


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
