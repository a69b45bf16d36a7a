"""Calibration: which range each tensor has on training crops, seen the way the device sees them."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.face.input_values import to_float_input
from asmnet_kit.face.pictures import Image

BATCH = 32  # the size of the batches whose extremes are averaged; that of training

DARKEST = 16  # of 255: no calibration set is so dark that nothing is above
CAST = 4  # grey levels of 255: beyond the colour of light and the noise of a few crops
DARK, LIGHT = 32, 224  # grey levels of 255 between which the mean of ordinary faces lies

Range = tuple[float, float]  # least and greatest value; 0 lies between them


def collect_crops(
    batches: Iterable[Mapping[str, NDArray[np.uint8]]], count: int, *, input_size: int
) -> Image:
    """The first ``count`` crops of training batches, fit for calibration.

    The darkest and the brightest value an input can have are put into two corner pixels of the
    first crop: the input's range is then exactly -1 .. 127/128, its scale 1/128, its zero point 0.

    Args:
        batches: with ``image`` uint8 [B, S, S, 3], RGB, augmented like in training.
        count: number of crops.
        input_size: S.

    Returns:
        uint8 [N, S, S, 3] with N = ``count``, fewer when the batches end before.

    Raises:
        DatasetError: no crops, of the wrong shape or type, or all of one grey.
    """
    collected: list[Image] = []
    found = 0
    for batch in batches:
        crops = np.asarray(batch["image"])
        if crops.dtype != np.uint8 or crops.shape[1:] != (input_size, input_size, 3):
            raise DatasetError(
                f"expected calibration crops uint8 [B, {input_size}, {input_size}, 3], got "
                f"{crops.dtype} {list(crops.shape)}"
            )
        collected.append(crops[: count - found])
        found += len(collected[-1])
        if found >= count:
            break
    if not found:
        raise DatasetError("expected calibration crops, got none: the data set has no usable faces")
    crops = np.concatenate(collected)
    _require_pictures(crops)
    crops[0, 0, 0], crops[0, 0, -1] = 0, 255
    return crops


def _require_pictures(crops: Image) -> None:
    """Refuse values that no picture has: ranges measured on them would be meaningless.

    Raises:
        DatasetError: one grey, or a scale of 0..1 that was cut to whole numbers.
    """
    if crops.min() == crops.max():
        raise DatasetError(
            f"expected pictures to calibrate on, got {len(crops)} crops of the single value "
            f"{crops.min()}: look at the data with asmnet-kit data inspect"
        )
    if crops.max() < DARKEST:
        raise DatasetError(
            f"expected pictures with values of 0 to 255, got none above {crops.max()} in "
            f"{len(crops)} crops: were they scaled before they were saved?"
        )


def doubts(crops: Image) -> list[str]:
    """What is unusual about calibration crops, in sentences; empty for ordinary faces.

    Args:
        crops: uint8 [N, S, S, 3], RGB.
    """
    found = []
    means = crops.reshape(-1, 3).mean(axis=0)
    # The middle of the crops is skin, and skin of any colour reflects more red than blue.
    side = crops.shape[1]
    middle = crops[:, side // 4 : side - side // 4, side // 4 : side - side // 4]
    red, _, blue = middle.reshape(-1, 3).mean(axis=0)
    if blue > red + CAST:
        found.append(
            f"the calibration crops are bluer ({blue:.0f}) than red ({red:.0f}) in their middle: "
            "are the pictures' channels swapped (BGR instead of RGB)?"
        )
    if not DARK <= means.mean() <= LIGHT:
        found.append(
            f"the calibration crops have a mean value of {means.mean():.0f} of 255, faces have "
            f"{DARK} to {LIGHT}: do they show what the model will see?"
        )
    return found


def layer_ranges(
    model: tf_keras.Model,
    layers: Sequence[str],
    crops: Image,
    *,
    whole: Collection[str] = (),
    batch: int = BATCH,
) -> dict[str, Range]:
    """The range of the outputs of ``layers``: batch-wise extremes, averaged over the batches.

    The average of batch extremes is where tfmot's moving averages settle, so seeding them with it
    leaves fine-tuning nothing to catch up with. 0 is always inside, as TFLite requires.

    Args:
        crops: uint8 [N, S, S, 3].
        whole: those of ``layers`` whose range holds all values instead.

    Returns:
        (least, greatest) by name of the layer.
    """
    names = list(dict.fromkeys(layers))
    probe = tf_keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    lows, highs = [], []
    for part in _parts(crops, batch):
        values = tf.nest.flatten(probe(to_float_input(part), training=False))
        lows.append([float(tf.reduce_min(value)) for value in values])
        highs.append([float(tf.reduce_max(value)) for value in values])
    is_whole = np.array([name in whole for name in names])
    low = np.minimum(np.where(is_whole, np.min(lows, axis=0), np.mean(lows, axis=0)), 0.0)
    high = np.maximum(np.where(is_whole, np.max(highs, axis=0), np.mean(highs, axis=0)), 0.0)
    return {name: (float(a), float(b)) for name, a, b in zip(names, low, high, strict=True)}


def representative_dataset(
    crops: Image,
) -> Callable[[], Iterator[dict[str, NDArray[np.float32]]]]:
    """What TFLite's converter calibrates on: one crop at a time, float32 [1, S, S, 3]."""

    def generate() -> Iterator[dict[str, NDArray[np.float32]]]:
        for crop in crops:
            yield {"image": to_float_input(crop[None])}

    return generate


@dataclass(frozen=True)
class Drift:
    """How far a range moved, as a share of its width.

    Attributes:
        layer: whose output it is.
        share: the larger of the two ends' moves, divided by the width before.
    """

    layer: str
    share: float


def drifts(before: Mapping[str, Range], after: Mapping[str, Range]) -> list[Drift]:
    """How far each range moved, the farthest first."""
    moved = []
    for layer, (low, high) in before.items():
        width = max(high - low, float(np.finfo(np.float32).tiny))
        move = max(abs(after[layer][0] - low), abs(after[layer][1] - high))
        moved.append(Drift(layer=layer, share=move / width))
    return sorted(moved, key=lambda drift: -drift.share)


def _parts(crops: Image, size: int) -> Iterator[Image]:
    for start in range(0, len(crops), size):
        yield crops[start : start + size]
