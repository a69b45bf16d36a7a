"""A teacher's landmarks: what models see in the faces of a data set, once, for ``train --teacher``.

A large network's errors are partly chance: they differ between a face and its mirror image, and
from crop to crop. The mean over six views of each face costs nothing later, when a small network
learns from it. What is left are the models' own mistakes and conventions; the latter are what
``--teacher-calibrate`` removes.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from asmnet_kit.base.console import counted
from asmnet_kit.base.errors import DatasetError, UsageError, without_frames
from asmnet_kit.base.files import replacing
from asmnet_kit.base.spool import Rows
from asmnet_kit.base.workers import shared_out
from asmnet_kit.datasets.base import Dataset, Face, Problem, chosen, members_of_subsets
from asmnet_kit.datasets.left_out import LeftOut
from asmnet_kit.datasets.registry import PREPARED
from asmnet_kit.face.crop import Crop, Points
from asmnet_kit.face.metrics import mean_nme, per_face_nme
from asmnet_kit.face.predictor import Predictor, predict_both_ways
from asmnet_kit.measure.comparable import require_same_scheme

SCHEMA_VERSION = 1  # of data teacher --json
ENDING = ".npz"
FACES_AT_ONCE = 8  # of a process
ZOOMS = (0.95, 1.0, 1.08)  # sides of the crops, of the models' own; each is seen mirrored, too


@dataclass(frozen=True, eq=False)
class Taught:
    """What ``teach`` gives.

    Attributes:
        names: as the data set names its faces.
        points: float32 [F, N, 2], pixels of the pictures, 0-based, x right, y down.
        nme_percent: subset -> mean distance from the labels, percent of the eye distance, over the
            faces that have both eye corners; the key "" is of all faces.
        problems: faces whose picture cannot be used.
    """

    names: tuple[str, ...]
    points: Points
    nme_percent: dict[str, float]
    problems: tuple[Problem, ...]

    def save(self, path: Path) -> None:
        """Write the .npz that ``train --teacher`` reads: ``names`` [F], ``points`` [F, N, 2]."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, names=np.array(self.names), points=self.points)


def teach(
    dataset: Dataset,
    predictors: Sequence[Predictor],
    *,
    on_progress: Callable[[int, int], None] | None = None,
    reopen: Callable[[], Sequence[Predictor]] | None = None,
    workers: int = 1,
) -> Taught:
    """Landmarks of each face: the mean over models, crops and mirror images.

    Args:
        predictors: one model or several, whose errors then cancel in part.
        on_progress: called with (faces done, faces in all).
        reopen: opens the very predictors in another process, a function of a module or a partial
            one; None where they cannot be opened twice, and this process does all.
        workers: processes that read and predict where there is a ``reopen``. Their number changes
            no point.

    Raises:
        ModelError: a model predicts another number of landmarks than the data has, or NaN.
        UsageError: prepared data, whose pictures are not those that training would look up.
        DatasetError: no picture can be used, or too many cannot; fewer are left out and told.
    """
    if dataset.format == PREPARED:
        raise UsageError("expected the original data set: shards do not keep its coordinates")
    for predictor in predictors:
        require_same_scheme(predictor.name, predictor.scheme, dataset)
    taught = array("q")  # places of the faces
    points = Rows(np.float32, (dataset.scheme.points, 2))
    errors = Rows(np.float64)
    left_out = LeftOut(dataset.name, len(dataset.faces))
    with shared_out(
        partial(_begin, reopen or (lambda: predictors)),
        dataset.faces,
        workers=workers if reopen else 1,
        doing="asks a teacher",
        at_once=FACES_AT_ONCE,
    ) as answers:
        for place, (face, seen) in enumerate(zip(dataset.faces, answers, strict=True)):
            if isinstance(seen, Exception):
                left_out.add(face.name, seen)
            else:
                taught.append(place)
                points.append(seen[None])
                errors.append(per_face_nme(seen[None], face.landmarks[None], dataset.scheme))
            if on_progress:
                on_progress(place + 1, len(dataset.faces))
    if not taught:
        raise DatasetError(
            f"{dataset.name}: none of {counted(len(left_out.problems), 'picture')} can be used"
        )
    faces = chosen(dataset.faces, taught)
    members = {"": np.ones(len(faces), np.bool_), **members_of_subsets(faces)}
    nme = errors.all()
    return Taught(
        tuple(face.name for face in faces),
        points.all(),
        {name: mean_nme(nme[which]) for name, which in members.items()},
        tuple(left_out.problems),
    )


_Answer = Points | DatasetError | OSError


def _begin(reopen: Callable[[], Sequence[Predictor]]) -> Callable[[Face], _Answer]:
    return partial(_seen_by, reopen())


def _seen_by(predictors: Sequence[Predictor], face: Face) -> _Answer:
    """What is seen in a face, or why its picture cannot be used."""
    try:
        return _seen(face, predictors)
    except (DatasetError, OSError) as error:
        return without_frames(error)


def _seen(face: Face, predictors: Sequence[Predictor]) -> Points:
    """float32 [N, 2], pixels of the face's picture."""
    picture = face.read()
    views = []
    for predictor in predictors:
        for zoom in ZOOMS:
            crop = Crop.from_box(
                face.box, size=predictor.input_size, scale=zoom * predictor.crop_scale
            )
            seen = predict_both_ways(predictor, crop.cut(picture)[None], names=[face.name])
            views.append(crop.to_picture(seen.landmarks[0]))
    return np.asarray(np.mean(views, axis=0, dtype=np.float64), np.float32)
