"""Labels for photographs that have none: what models see in them, kept where their views agree.

A face is found by the kit's detector and shown to every model in several crops and mirror images.
Views that agree are mostly right, views that disagree are mostly wrong (a hidden half, a turned
head, no face at all), so the spread of the views tells which labels to keep. The mean of the views
is better than any one of them. What all views get wrong alike stays wrong: look at the sheet.
"""

import csv
import hashlib
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.files import (
    alone_in,
    is_unused,
    make_folder,
    real_path,
    write_bytes,
    write_json,
    write_text,
)
from asmnet_kit.base.reading import read_bytes, read_json
from asmnet_kit.datasets.base import Problem
from asmnet_kit.datasets.pts import write_pts
from asmnet_kit.face.boxes import Box
from asmnet_kit.face.crop import Crop, Points, Window, landmark_box
from asmnet_kit.face.pictures import Image, encode_jpeg, read_image
from asmnet_kit.face.predictor import Predictor, predict_and_mirrored
from asmnet_kit.face.schemes import SCHEME_68
from asmnet_kit.measure.teacher_views import ZOOMS
from asmnet_kit.predict.inputs import photographs_in

SCHEMA_VERSION = 1  # of data label --json
TABLE = "faces.csv"
COLUMNS = ("picture", "face", "disagreement_percent", "left_out_because")
PLAN = "label.json"  # until the folder is complete: what is labelled with what
WINDOW_SCALE = 2.0  # side of a written picture, of the landmark box's longer side
JPEG_QUALITY = 95
MIN_FACE = 40.0  # pixels: the longer side of the landmark box

FindBoxes = Callable[[Image], Sequence[Box]]


@dataclass(frozen=True, eq=False)
class LabelledFace:
    """One face of a photograph.

    Attributes:
        picture: the photograph.
        number: of the face in it, the largest is 0.
        landmarks: float32 [N, 2], pixels of the upright photograph, 0-based: the views' mean.
        disagreement_percent: mean distance of a view's points from the mean, percent of the
            distance between the outer eye corners.
        reason: why it is left out; empty where it is kept.
    """

    picture: Path
    number: int
    landmarks: Points
    disagreement_percent: float
    reason: str = ""


def label_photograph(
    path: Path,
    predictors: Sequence[Predictor],
    find_boxes: FindBoxes,
    *,
    max_disagreement_percent: float,
    min_face: float = MIN_FACE,
) -> tuple[Image, list[LabelledFace]]:
    """Every face that the detector finds in one photograph, kept or not.

    Args:
        predictors: one model or several, all of the same landmarks.
        find_boxes: face boxes of a picture, largest first.
        max_disagreement_percent: of views, for a face to be kept.
        min_face: pixels; smaller faces are left out.

    Returns:
        The upright photograph, uint8 [H, W, 3], and its faces.

    Raises:
        DatasetError: the picture cannot be read.
    """
    image = read_image(path, upright=True)
    faces = []
    for number, box in enumerate(find_boxes(image)):
        landmarks, disagreement = agreed_landmarks(image, box, predictors, name=f"{path}#{number}")
        reason = _reason(image, landmarks, disagreement, max_disagreement_percent, min_face)
        faces.append(LabelledFace(path, number, landmarks, disagreement, reason))
    return image, faces


def agreed_landmarks(
    image: Image, box: Box, predictors: Sequence[Predictor], *, name: str
) -> tuple[Points, float]:
    """The mean of all views and how far they are from it, in percent of the eye distance.

    Models are trained on crops around landmarks; so a first look around the detector's box finds
    these, and the views that count are cut around what it saw.
    """
    first = _views(image, box, predictors, zooms=(1.0,), name=name).mean(axis=0)
    views = _views(image, landmark_box(first), predictors, zooms=ZOOMS, name=name)
    mean = views.mean(axis=0)
    eye_distance = float(predictors[0].scheme.size_of(mean))
    distance = float(np.linalg.norm(views - mean, axis=-1).mean())
    percent = 100 * distance / eye_distance if eye_distance > 0 else math.inf
    return mean.astype(np.float32), percent


def _views(
    image: Image,
    box: Box,
    predictors: Sequence[Predictor],
    *,
    zooms: Sequence[float],
    name: str,
) -> Points:
    """float32 [V, N, 2], pixels of the picture: each model, each crop, with its mirror image."""
    views = []
    for predictor in predictors:
        for zoom in zooms:
            crop = Crop.from_box(box, size=predictor.input_size, scale=zoom * predictor.crop_scale)
            both = predict_and_mirrored(predictor, crop.cut(image), name=name)
            views += [crop.to_picture(fractions) for fractions in both]
    return np.stack(views)


def _reason(
    image: Image, landmarks: Points, disagreement: float, most: float, min_face: float
) -> str:
    x0, y0, x1, y1 = landmark_box(landmarks).tolist()
    side = max(x1 - x0, y1 - y0)
    height, width = image.shape[:2]
    if side < min_face:
        return f"the face is {side:.0f} pixels, below {min_face:.0f}"
    if x0 < 0 or y0 < 0 or x1 > width - 1 or y1 > height - 1:
        return "the face leaves the picture"
    if disagreement > most:
        return f"views disagree by {disagreement:.1f} %, above {most:g}"
    return ""


def write_face(image: Image, face: LabelledFace, out: Path, stem: str, *, size: int) -> Path:
    """Write a face's surroundings as ``OUT/STEM.jpg`` with ``OUT/STEM.pts``, the picture last.

    Args:
        image: uint8 [H, W, 3], RGB: the photograph.
        size: largest side of the written picture, pixels; smaller ones are not enlarged.

    Returns:
        The path of the picture.
    """
    part = Window.cut(image, landmark_box(face.landmarks), scale=WINDOW_SCALE, size=size)
    encoded = encode_jpeg(part.image, name=str(face.picture), quality=JPEG_QUALITY)
    picture = out / f"{stem}.jpg"
    make_folder(picture.parent)
    write_pts(picture.with_suffix(".pts"), part.inside(face.landmarks))
    write_bytes(picture, encoded)
    return picture


def label_folder(
    folder: Path,
    out: Path,
    predictors: Sequence[Predictor],
    find_boxes: FindBoxes,
    *,
    max_disagreement_percent: float,
    min_face: float = MIN_FACE,
    size: int = 384,
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[list[LabelledFace], list[Problem]]:
    """Label every photograph below ``folder`` and write what is kept to ``out``, as 300-W is.

    ``OUT/faces.csv`` lists every face, kept or not, with its reason; pictures without a face, or
    that cannot be read, are among the problems. It is written last; a call
    that was interrupted before is begun again by the same one.

    Raises:
        UsageError: ``out`` holds more than the table of a call that kept nothing, and was not left
            by the same call, or lies inside ``folder``; another process is writing there; models of
            unlike landmarks, or of another number than 300-W has.
        DatasetError: no pictures.
    """
    if len({predictor.scheme for predictor in predictors}) != 1:
        raise UsageError("expected models of the same landmarks")
    scheme = predictors[0].scheme
    if scheme != SCHEME_68:
        own_name = "" if scheme.built_in else f" ({scheme.name})"
        raise UsageError(
            f"{predictors[0].name}: expected a model of {SCHEME_68.points} landmarks, which "
            f"300-W's format has, got one of {scheme.points}{own_name}"
        )
    if real_path(out).is_relative_to(real_path(folder)):
        raise UsageError(f"{out}: expected --out outside of {folder}, whose pictures are read")
    problems: list[Problem] = []
    photographs = photographs_in(folder, problems)
    told = (max_disagreement_percent, min_face, size)
    make_folder(out)
    with alone_in(out):
        _begin(out, photographs, [predictor.name for predictor in predictors], told)
        faces: list[LabelledFace] = []
        for done, path in enumerate(photographs, 1):
            name = path.relative_to(folder).as_posix()
            try:
                image, found = label_photograph(
                    path,
                    predictors,
                    find_boxes,
                    max_disagreement_percent=max_disagreement_percent,
                    min_face=min_face,
                )
            except DatasetError as error:
                problems.append(Problem(name, str(error)))
                found = []
            else:
                if not found:
                    problems.append(Problem(name, "no face found"))
            for face in found:
                if not face.reason:
                    write_face(image, face, out, _stem(path.relative_to(folder), face), size=size)
            faces += found
            if on_progress:
                on_progress(done, len(photographs))
        write_text(out / TABLE, "".join(_rows(faces, folder)))
        (out / PLAN).unlink()
    return faces, problems


def _begin(
    out: Path, photographs: Sequence[Path], models: Sequence[str], told: Sequence[float]
) -> None:
    """Note what is going to be labelled, or see that an interrupted call was of the same.

    Raises:
        UsageError: it was of something else, or something else is there: the new faces would be
            among its files.
    """
    if not _is_unused(out) and not (out / PLAN).exists():
        raise UsageError(f"{out}: expected an empty or new folder; choose another --out")
    sizes = [(str(path), path.stat().st_size) for path in photographs]
    digest = hashlib.sha256(repr(sizes).encode(errors="surrogateescape")).hexdigest()
    plan = {"models": list(models), "options": list(told), "photographs": digest}
    try:
        same = not (out / PLAN).exists() or read_json(out / PLAN) == plan
    except (OSError, ValueError):
        same = False
    if not same:
        raise UsageError(
            f"{out}: holds what an interrupted call with other photographs, models or options "
            "left; choose another --out"
        )
    write_json(out / PLAN, plan)


def _is_unused(out: Path) -> bool:
    """Whether ``out`` holds at most the table of an earlier call that kept no face."""
    if not is_unused(out, except_for=[TABLE]):
        return False
    table = out / TABLE
    return not table.exists() or read_bytes(table).startswith(",".join(COLUMNS).encode())


def _stem(path: Path, face: LabelledFace) -> str:
    """``a/b.jpg``, face 1 -> ``a/b.jpg_1``: the ending stays, since a.jpg and a.png may be two."""
    return f"{path.as_posix()}_{face.number}"


def _rows(faces: Sequence[LabelledFace], folder: Path) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for face in faces:
        name = face.picture.relative_to(folder).as_posix()
        writer.writerow((name, face.number, f"{face.disagreement_percent:.2f}", face.reason))
    yield text.getvalue()
