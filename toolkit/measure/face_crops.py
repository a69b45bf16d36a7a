"""A handful of a data set's faces as crops in memory, for looking into a model."""

from dataclasses import dataclass

import numpy as np

from asmnet_kit.base.console import counted
from asmnet_kit.base.errors import DatasetError
from asmnet_kit.datasets.base import Dataset, Problem
from asmnet_kit.datasets.left_out import LeftOut
from asmnet_kit.face.crop import Crop, Points
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.measure.comparable import FindBoxes, box_to_crop


@dataclass(frozen=True, eq=False)
class FaceCrops:
    """Crops of faces, without augmentation.

    Attributes:
        pixels: uint8 [B, S, S, 3], RGB.
        truth: float32 [B, N, 2], fractions of the crop's side from its centre; NaN = no label.
        scheme: of the landmarks.
        problems: faces that were asked for and could not be read.
    """

    pixels: Image
    truth: Points
    scheme: Scheme
    problems: tuple[Problem, ...] = ()


def face_crops(
    dataset: Dataset, *, count: int, size: int, scale: float, find_boxes: FindBoxes | None = None
) -> FaceCrops:
    """``count`` faces spread evenly over a data set, all of them where it has fewer.

    Args:
        size: side of the crops, pixels.
        scale: side of the crops as a multiple of the box.
        find_boxes: as for ``box_to_crop``.

    Raises:
        DatasetError: none of them can be read, or so many cannot that they are too large a share of
            the data set; fewer are left out and told.
    """
    total = len(dataset.faces)
    chosen = np.unique(np.linspace(0, total - 1, min(count, total)).round().astype(int))
    pixels, truth = [], []
    left_out = LeftOut(dataset.name, total)
    for face in (dataset.faces[index] for index in chosen):
        try:
            picture = face.read()
            box = box_to_crop(face, picture, find_boxes)
            if box is None:
                raise DatasetError("the detector finds no face there")
            crop = Crop.from_box(box, size=size, scale=scale)
            pixels.append(crop.cut(picture))
        except (DatasetError, OSError) as error:
            left_out.add(face.name, error)
            continue
        truth.append(crop.to_fractions(face.landmarks))
    problems = left_out.problems
    if not pixels:
        raise DatasetError(
            f"{dataset.name}: none of {counted(len(problems), 'face')} could be read, first "
            f"{problems[0].name}: {problems[0].reason}"
            if problems
            else f"{dataset.name}: it has no faces"
        )
    return FaceCrops(np.stack(pixels), np.stack(truth), dataset.scheme, tuple(problems))
