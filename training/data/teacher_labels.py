"""Better labels than a data set's own: a larger network's, averaged in where labels are noisy and
filled in where there are none.

The teacher is a file, not a network: it was run once, on mirror images and several crops, and a
small student learns from what it said (distillation without its cost).
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.files import require_exists
from asmnet_kit.base.npz import read_npz
from asmnet_kit.datasets.base import Dataset, Face
from asmnet_kit.datasets.folders import PICTURE_SUFFIXES
from asmnet_kit.datasets.registry import PREPARED
from asmnet_kit.face.crop import Points
from asmnet_kit.face.metrics import mean_nme, per_face_nme
from asmnet_kit.training.data.sampling import require_subsets, value_of
from asmnet_kit.training.data.teacher_convention import learn_convention

# Of a picture, before the number of a face in it.
ENDING = re.compile(rf"({'|'.join(map(re.escape, PICTURE_SUFFIXES))})(?=(#\d+)?$)", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Teacher:
    """Landmarks that a larger network predicted.

    Attributes:
        points: face's name, with the picture's ending or without (``a.jpg#2`` or ``a#2``) ->
            float32 [N, 2], pixels of the original picture, 0-based, x right, y down.
    """

    points: Mapping[str, Points]

    @classmethod
    def load(cls, path: Path) -> "Teacher":
        """Read an .npz of ``names`` [F] (as the data set names its faces, with or without the file
        ending) and ``points`` float [F, N, 2].

        Raises:
            UsageError: missing.
            DatasetError: damaged, another layout, or a name that stands twice.
        """
        require_exists(path, expected="a teacher's .npz")
        expected = "a teacher's .npz with arrays 'names' and 'points'"
        arrays = read_npz(path, expected=expected, error=DatasetError)
        if not {"names", "points"} <= set(arrays):
            raise DatasetError(
                f"{path}: expected {expected}, got {', '.join(sorted(arrays)) or 'no array'}"
            )
        names, points = arrays["names"], arrays["points"]
        if names.ndim != 1 or points.ndim != 3 or points.shape[::2] != (len(names), 2):
            raise DatasetError(
                f"{path}: expected names [F] and points [F, N, 2], got {names.shape} and "
                f"{points.shape}"
            )
        if (names.dtype.kind, points.dtype.kind) != ("U", "f"):
            raise DatasetError(
                f"{path}: expected names of text and points of floats, got {names.dtype} and "
                f"{points.dtype}"
            )
        if not np.isfinite(points).all():
            raise DatasetError(f"{path}: expected finite points, some are NaN or infinite")
        taught = dict(zip(map(str, names), points.astype(np.float32), strict=True))
        if len(taught) < len(names):
            twice = Counter(map(str, names)).most_common(1)[0][0]
            raise DatasetError(f"{path}: expected each face once, {twice!r} is there twice")
        # Another data set's picture may have another ending, unless two differ in that alone.
        plain = Counter(map(_without_ending, taught))
        alias = {_without_ending(name): shape for name, shape in taught.items()}
        return cls({name: alias[name] for name, count in plain.items() if count == 1} | taught)

    def calibrated(self, dataset: Dataset, conventions: Mapping[str, str]) -> "Teacher":
        """This teacher in the conventions of labels; see ``teacher_convention``.

        Args:
            dataset: the training faces; no others may tell what a convention is.
            conventions: subset whose faces get corrected points -> subset whose labels tell how.

        Raises:
            DatasetError: too few labelled faces that the teacher knows, or another number of
                points.
            UsageError: a subset that no face is in.
        """
        learnt = {
            labelled: learn_convention(*self._beside_labels(dataset, labelled), dataset.scheme)
            for labelled in sorted(set(conventions.values()))
        }
        points = dict(self.points)
        for subset, labelled in conventions.items():
            known = self._known(dataset, subset)
            corrected = learnt[labelled].corrected(np.stack([taught for _, taught in known]))
            names = (self._name_of(face) or face.name for face, _ in known)
            points.update(zip(names, corrected, strict=True))
        return Teacher(points)

    def nme_percent(self, dataset: Dataset, subset: str) -> float:
        """How far the teacher is from the labels of a subset, percent of the eye distance.

        Raises:
            DatasetError, UsageError: as ``calibrated``.
        """
        return mean_nme(per_face_nme(*self._beside_labels(dataset, subset), dataset.scheme))

    def _beside_labels(self, dataset: Dataset, subset: str) -> tuple[Points, Points]:
        """The teacher's points and the labels of a subset's faces, [F, N, 2] each."""
        known = self._known(dataset, subset)
        return np.stack([t for _, t in known]), np.stack([face.landmarks for face, _ in known])

    def _known(self, dataset: Dataset, subset: str) -> list[tuple[Face, Points]]:
        """The faces of a subset that the teacher knows, and its points."""
        require_subsets(dataset.faces, [subset], option="--teacher-calibrate")
        members = (face for face in dataset.faces if subset in face.subsets)
        known = [(face, taught) for face in members if (taught := self.of(face)) is not None]
        if not known:
            raise DatasetError(f"--teacher-calibrate: the teacher knows no face of {subset!r}")
        for face, taught in known:
            _require_points(taught, face)
        return known

    def of(self, face: Face) -> Points | None:
        """float32 [N, 2] for ``face``, pixels of its picture; None where it was not asked."""
        name = self._name_of(face)
        return None if name is None else self.points[name]

    def _name_of(self, face: Face) -> str | None:
        """What the teacher calls ``face``; None where it does not know it."""
        names = (face.name, _without_ending(face.name))
        return next((name for name in names if name in self.points), None)


@dataclass(frozen=True, eq=False)
class Relabelled:
    """What ``relabel`` gives.

    Attributes:
        dataset: with other landmarks.
        weights: name of each face that has filled points -> float32 [N], what an error at each
            point counts: 1, or the weight of filled points.
        averaged, filled: number of faces whose labels were averaged, and of points filled in.
    """

    dataset: Dataset
    weights: dict[str, NDArray[np.float32]]
    averaged: int
    filled: int


def relabel(
    dataset: Dataset, teacher: Teacher, *, shares: Mapping[str, float], fill_weight: float
) -> Relabelled:
    """Average a teacher into labels, and fill in points without one.

    Args:
        shares: subset -> share of the teacher in its labels: 0 keeps them, 0.5 averages, 1 takes
            the teacher's. Other subsets keep theirs, unless ``sampling.OTHERS`` is named.
        fill_weight: of points that have no label and get the teacher's; 0 leaves them out.

    Raises:
        DatasetError: the teacher knows none of the faces, or has another number of points.
        UsageError: prepared data, whose pictures are cut out of the ones the teacher saw, or a
            subset that no face is in.
    """
    if dataset.format == PREPARED:
        raise UsageError(
            "a teacher's points are in pixels of the original pictures: train on the original data "
            "set, not on prepared records"
        )
    require_subsets(dataset.faces, shares, option="--teacher-share")
    faces: list[Face] = []
    weights: dict[str, NDArray[np.float32]] = {}
    averaged = filled = known = 0
    for face in dataset.faces:
        taught = teacher.of(face)
        if taught is None:
            faces.append(face)
            continue
        _require_points(taught, face)
        known += 1
        share = value_of(face, shares, default=0.0)
        labelled = face.labelled
        points = np.where(
            labelled[:, None], (1 - share) * face.landmarks + share * taught, np.float32(np.nan)
        ).astype(np.float32)
        averaged += share > 0
        if fill_weight > 0 and not labelled.all():
            points[~labelled] = taught[~labelled]
            weights[face.name] = np.where(labelled, 1.0, fill_weight).astype(np.float32)
            filled += int((~labelled).sum())
        faces.append(dataclasses.replace(face, landmarks=points))
    if not known:
        raise DatasetError(
            f"the teacher knows none of the {len(faces)} faces of {dataset.name}; it names them "
            f"like {next(iter(teacher.points), 'nothing')!r}, the data set like "
            f"{faces[0].name!r}"
        )
    return Relabelled(dataclasses.replace(dataset, faces=tuple(faces)), weights, averaged, filled)


def _require_points(taught: Points, face: Face) -> None:
    if taught.shape != face.landmarks.shape:
        raise DatasetError(
            f"{face.name}: expected {len(face.landmarks)} points of the teacher, got {len(taught)}"
        )


def _without_ending(name: str) -> str:
    """``a/b.jpg#2`` as ``a/b#2``; a dot that begins no picture's ending is part of the name."""
    return ENDING.sub("", name)
