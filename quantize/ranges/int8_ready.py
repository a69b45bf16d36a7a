"""A float model on its way to int8: folded, equalised, with crops to calibrate on."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import tf_keras

from asmnet_kit.base.console import stderr
from asmnet_kit.base.errors import DatasetError
from asmnet_kit.datasets.base import Dataset
from asmnet_kit.datasets.left_out import LeftOut
from asmnet_kit.face.pictures import Image
from asmnet_kit.quantize.ranges.calibrate import collect_crops, doubts, layer_ranges
from asmnet_kit.quantize.source.equalise import concatenated, equalise
from asmnet_kit.quantize.source.float_model import FloatModel
from asmnet_kit.quantize.source.fold import deployable
from asmnet_kit.training.data.augment import AugmentRanges, ranges_of
from asmnet_kit.training.data.batches import FaceBatches
from asmnet_kit.training.foreign.saved_model import is_graph


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
    if is_graph(model):  # the converter itself folds what it finds in it
        return Int8Ready(model, crops, {})
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
        DatasetError: too many pictures cannot be used, or these are none to calibrate on.
    """
    size = source.predictor.input_size
    ranges = ranges_of(source.config.augmentation, faces.scheme)
    scale = source.predictor.crop_scale
    batches = _calibration_batches(faces, size=size, crop_scale=scale, seed=seed, ranges=ranges)
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
    dataset: Dataset, *, size: int, crop_scale: float, seed: int, ranges: AugmentRanges
) -> Iterator[dict[str, Image]]:
    """Augmented training batches, epoch after epoch, without an end.

    Pictures that cannot be used are left out and told, as training does.

    Raises:
        DatasetError: they are too many.
    """
    data = FaceBatches(
        dataset.faces,
        dataset.scheme,
        size=size,
        batch_size=min(32, len(dataset.faces)),
        seed=seed,
        ranges=ranges,
        crop_scale=crop_scale,
    )
    left_out = LeftOut(dataset.name, len(dataset.faces))
    for epoch in count():
        for batch in data.order(epoch):
            images = []
            for face, showing in batch.tolist():
                name = data.faces[face].name
                if name in left_out:
                    continue
                try:
                    images.append(data.sample(face, epoch, showing).image)
                except (DatasetError, OSError) as error:
                    left_out.add(name, error)
            if images:
                yield {"image": np.stack(images)}
