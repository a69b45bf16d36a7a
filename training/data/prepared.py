"""A run's faces in record shards, where random access is quick.

Original photographs can be fifty times as large as a crop. Training faces keep their surroundings
at the size that augmentation can use, compressed: each is changed before the network sees it
anyway. Validation faces keep the very crop that the network is to see, lossless, so that an
epoch's validation NME is what ``evaluate`` says of the same weights.
"""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from asmnet_kit.base.console import counted, counting, stderr
from asmnet_kit.base.files import temporary_folder
from asmnet_kit.base.run_folder import RECORDS
from asmnet_kit.datasets.base import Dataset, Face, Picture
from asmnet_kit.datasets.formats import PEOPLE
from asmnet_kit.datasets.registry import PREPARED, first_problems, load_dataset
from asmnet_kit.datasets.surroundings import WINDOW_SCALE
from asmnet_kit.face.boxes import CROP_SCALE
from asmnet_kit.face.crop import Crop, Points
from asmnet_kit.face.pictures import Image, encode_png
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.data.augment import AugmentRanges
from asmnet_kit.training.data.batches import crop_of, pose_of
from asmnet_kit.training.data.sources import Sources
from asmnet_kit.training.data.write_shards import Prepared, prepare

# Formats whose faces need no preparing: records, and people in memory.
QUICK = {PREPARED, PEOPLE}


@contextmanager
def prepared_faces(
    sources: Sources, run: Path | None, config: TrainConfig
) -> Iterator[tuple[Dataset, Dataset]]:
    """Training and validation faces, prepared. What is quick to read already is used as it is.

    Args:
        run: the shards stay in its folder ``records``, for a run that may be resumed; None keeps
            them in a temporary folder while the block runs.

    Raises:
        DatasetError: pictures cannot be decoded, or shards cannot be written.
    """
    if PREPARED in (sources.train.format, sources.val.format) and config.crop_scale > CROP_SCALE:
        stderr().print(
            f"--crop-scale {config.crop_scale:g}: records of data prepare hold {WINDOW_SCALE:g} "
            "times the landmark box, so crops have black borders where the photograph would go on: "
            "train on the original data set",
            style="yellow",
            markup=False,
        )
    if {sources.train.format, sources.val.format} <= QUICK:
        yield sources.train, sources.val
    elif run is not None:
        yield _prepare(sources, run / RECORDS, config)
    else:
        with temporary_folder() as folder:
            yield _prepare(sources, folder, config)


def window_scale(crop_scale: float) -> float:
    """Side of a record's window, longer sides of the landmark box: a larger crop needs more room.

    Augmentation turns, moves and zooms the crop; what lies outside the window it would show black.
    """
    return WINDOW_SCALE * max(1.0, crop_scale / CROP_SCALE)


def prepared_size(input_size: int, crop_scale: float = CROP_SCALE) -> int:
    """Side of a record's window, pixels, with which no augmented crop must be enlarged."""
    smallest_crop = crop_scale * AugmentRanges().smallest_crop
    return int(np.ceil(input_size * window_scale(crop_scale) / smallest_crop))


def _prepare(sources: Sources, folder: Path, config: TrainConfig) -> tuple[Dataset, Dataset]:
    train, val = sources.train, sources.val
    size = prepared_size(config.input_size, config.crop_scale)
    keep = partial(prepare, size=size, window_scale=window_scale(config.crop_scale))
    if train.format not in QUICK:
        with counting("preparing training faces") as progress:
            # A resumed run then need not fit its poses again: 0.7 ms a face.
            poses = partial(pose_of, scheme=train.scheme)
            done = keep(train, folder / "train", pose_of=poses, progress=progress)
        _tell_left_out("training", done, train)
        train = _prepared(train, folder / "train")
    if val.format not in QUICK:
        cut = tuple(cut_face(face, config.input_size, config.crop_scale) for face in val.faces)
        crops = dataclasses.replace(val, faces=cut)
        with counting("preparing validation faces") as progress:
            done = keep(crops, folder / "val_crops", progress=progress)
        _tell_left_out("validation", done, crops)
        val = _prepared(val, folder / "val_crops")
    return train, val


def _tell_left_out(side: str, done: Prepared, dataset: Dataset) -> None:
    """Name the pictures that turned out to be unusable; bad annotations were told before."""
    problems = done.problems[len(dataset.problems) :]
    if problems:
        stderr().print(
            f"left out of {side}: {counted(len(problems), 'picture')} that cannot be used:"
            f"{first_problems(problems)}",
            markup=False,
        )


def _prepared(dataset: Dataset, folder: Path) -> Dataset:
    return dataclasses.replace(load_dataset(folder, PREPARED), name=dataset.name)


@dataclass(frozen=True)
class CropPicture:
    """The crop of a face as a picture of its own: lossless, made when it is read.

    Attributes:
        picture: that the crop is cut from.
        crop: where it lies.
    """

    picture: Picture
    crop: Crop

    @property
    def name(self) -> str:
        return self.picture.name

    def size_bytes(self) -> int:
        """Of the picture it is cut from, by which changed data is noticed."""
        return self.picture.size_bytes()

    def read(self) -> Image:
        return self.crop.cut(self.picture.read())

    def read_encoded(self) -> bytes:
        return encode_png(self.read(), name=f"{self.name}, its crop")


def cut_face(face: Face, input_size: int, crop_scale: float = CROP_SCALE) -> Face:
    """``face`` in a picture that is its crop for a network, landmarks and box moved with it.

    The crop of the result is the whole picture, pixel by pixel: ``crop_scale`` times its box's
    longer side are ``input_size`` pixels.
    """
    crop = crop_of(face, input_size, crop_scale)

    def moved(points: Points) -> Points:
        return np.asarray(points @ crop.matrix[:, :2].T + crop.matrix[:, 2], np.float32)

    box = face.detector_box
    return dataclasses.replace(
        face,
        picture=CropPicture(face.picture, crop),
        landmarks=moved(face.landmarks),
        detector_box=None if box is None else moved(box.reshape(2, 2)).reshape(4),
    )
