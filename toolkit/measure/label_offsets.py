"""Half a pixel that nobody sees: how far the labels of a data set lie beside the faces.

Files that count pixels from 1, or pictures that were resized without the half pixel, move every
label by the same small amount. No picture with landmarks drawn shows it, and a model trained on
several such sets learns their average. A network tells: whatever bias it has in x changes sides
when the picture is mirrored, so the mean of its answers to a picture and to its mirror image has
none, and what the labels still lie to one side of it is theirs. Faces looking left and right must
both be there. In y nothing cancels: an offset there may as well be the network's own convention.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.console import counted, number_or_null
from asmnet_kit.base.errors import DatasetError
from asmnet_kit.datasets.base import Dataset, Face, Problem, members_of_subsets
from asmnet_kit.datasets.left_out import LeftOut
from asmnet_kit.face.crop import Crop, Points, landmark_box
from asmnet_kit.face.predictor import Predictor, predict_both_ways
from asmnet_kit.measure.comparable import require_same_scheme

SCHEMA_VERSION = 1
ALL = "all faces"

# A box from shifted labels draws the network's answer after it, the more the less it looks at the
# picture. Each further box, made of the answer before, leaves only a share of the pull: of a pixel
# that labels are moved by, one box finds 0.76, three 0.94 and five 0.99 (drawn faces).
PASSES = 5
SURE = 3.0  # standard errors from which an offset is no chance
MIN_FACES = 30  # of fewer, the median deviation says too little about the error
NORMAL_MAD = 1.4826  # standard deviation / median absolute deviation of a normal distribution
MEDIAN_ERROR = 1.2533  # standard error of a median / that of a mean, for a normal distribution


@dataclass(frozen=True, eq=False)
class Offset:
    """Labels minus predictions: the median face's.

    Attributes:
        faces: how many it is the median of.
        percent: float64 [2] x (right), y (down), percent of the distance of the outer eye corners.
        error_percent: float64 [2], its standard error.
        pixels: float64 [2], pixels of the pictures.
    """

    faces: int
    percent: NDArray[np.float64]
    error_percent: NDArray[np.float64]
    pixels: NDArray[np.float64]

    @classmethod
    def of(cls, differences: NDArray[np.float64], eye_distances: NDArray[np.float64]) -> "Offset":
        """Summarise faces.

        Args:
            differences: [B, 2], pixels.
            eye_distances: [B], pixels.
        """
        relative = 100 * differences / eye_distances[:, None]
        percent = np.median(relative, axis=0)
        deviation = NORMAL_MAD * np.median(np.abs(relative - percent), axis=0)
        if len(differences) < 2:
            deviation = np.full_like(percent, np.nan)  # one face says nothing of the next
        return cls(
            faces=len(differences),
            percent=percent,
            error_percent=MEDIAN_ERROR * deviation / np.sqrt(len(differences)),
            pixels=np.median(differences, axis=0),
        )

    def is_beyond(self, limit_percent: float) -> bool:
        """Whether the labels surely lie farther to one side than ``limit_percent``."""
        x, error = abs(self.percent[0]), self.error_percent[0]
        return bool(self.faces >= MIN_FACES and x > limit_percent and x > SURE * error)

    def is_unsure(self, limit_percent: float) -> bool:
        """Whether nothing can be said: too few faces, or beyond the limit perhaps by chance."""
        x = abs(self.percent[0])
        return not self.is_beyond(limit_percent) and bool(
            self.faces < MIN_FACES or x > limit_percent
        )

    def to_json(self) -> dict[str, Any]:
        x, y = (
            {
                "percent": float(self.percent[axis]),
                "standard_error_percent": number_or_null(float(self.error_percent[axis])),
                "pixels": float(self.pixels[axis]),
            }
            for axis in (0, 1)
        )
        return {"faces": self.faces, "x": x, "y": y}


@dataclass(frozen=True)
class Offsets:
    """What ``label_offsets`` found.

    Attributes:
        by_subset: ``ALL`` and each subset, by name.
        problems: faces whose picture cannot be used.
    """

    by_subset: dict[str, Offset]
    problems: tuple[Problem, ...]


def label_offsets(
    dataset: Dataset,
    predictor: Predictor,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> Offsets:
    """How far a data set's labels lie beside what a network sees in its pictures.

    Args:
        predictor: a network that was not trained on these labels: from them it would have learnt
            their offset.
        on_progress: called with (faces done, faces in all).

    Raises:
        ModelError: it predicts another number of landmarks than the data has, or NaN.
        DatasetError: no face could be compared, or too many pictures cannot be read; fewer are left
            out and told.
    """
    require_same_scheme(predictor.name, predictor.scheme, dataset)
    differences, eye_distances = [], []
    compared: list[Face] = []
    left_out = LeftOut(dataset.name, len(dataset.faces))
    for done, face in enumerate(dataset.faces, 1):
        eye_distance = float(dataset.scheme.size_of(face.landmarks))
        if eye_distance > 0:  # not where one is hidden: such a face has no scale
            try:
                seen = _seen(predictor, face)
            except (DatasetError, OSError) as error:
                left_out.add(face.name, error)
            else:
                differences.append((face.landmarks - seen)[face.labelled].mean(axis=0))
                eye_distances.append(eye_distance)
                compared.append(face)
        if on_progress:
            on_progress(done, len(dataset.faces))
    if not differences:
        raise DatasetError(
            f"{dataset.name}: none of {counted(len(dataset.faces), 'face')} could be compared: "
            f"{len(left_out.problems)} unreadable, the others without both outer eye corners"
        )
    moved, scale = np.array(differences, np.float64), np.array(eye_distances)
    members = {ALL: np.ones(len(moved), np.bool_), **members_of_subsets(compared)}
    return Offsets(
        {name: Offset.of(moved[chosen], scale[chosen]) for name, chosen in members.items()},
        tuple(left_out.problems),
    )


def _seen(predictor: Predictor, face: Face) -> Points:
    """float32 [N, 2], pixels: the mean of the answers to the face and to its mirror image."""
    picture, box = face.read(), face.box
    for _ in range(PASSES):
        crop = Crop.from_box(box, size=predictor.input_size, scale=predictor.crop_scale)
        seen = predict_both_ways(predictor, crop.cut(picture)[None], names=[face.name])
        points = crop.to_picture(seen.landmarks[0])
        box = landmark_box(points)
    return points
