"""People with several models' landmarks over each other, for a report."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import UsageError
from asmnet_kit.datasets.base import Face
from asmnet_kit.face.crop import Crop
from asmnet_kit.face.metrics import per_face_nme
from asmnet_kit.face.pictures import encode_jpeg
from asmnet_kit.face.predictor import Predictor, refuse_nan
from asmnet_kit.people.fixed_sets import person_to_measure_on
from asmnet_kit.predict.open_predictor import open_predictor
from asmnet_kit.results.report.faces import MOST_MODELS, FacePicture, Gallery

FACES = 8
DRAWN_SIZE = 256  # pixels, of a whole drawn picture
SHOWN_SIZE, SHOWN_SCALE = 224, 1.5  # pixels of the face that is shown, and times its box
JPEG_QUALITY = 82
POINTS = (68, 98)  # landmarks that the drawn people have
SOURCE = "Drawn people that no training of the kit's sees"


def draw_gallery(
    models: Sequence[Path], *, on_progress: Callable[[int, int], None] | None = None
) -> Gallery:
    """Draw people and let the models find their landmarks, on this machine's CPU.

    Args:
        models: one to ``MOST_MODELS``, of one landmark scheme, for example a float model's file and
            the int8 one that was made from it.
        on_progress: called with (faces done, faces in all).

    Raises:
        UsageError: too many models, of unlike schemes, or of one that the people do not have.
        ModelError: a model cannot be used as a landmark model.
    """
    if not 1 <= len(models) <= MOST_MODELS:
        raise UsageError(f"expected 1 to {MOST_MODELS} models for --faces, got {len(models)}")
    predictors = [open_predictor(path) for path in models]
    scheme = predictors[0].scheme
    for predictor in predictors:
        if predictor.scheme != scheme:
            raise UsageError(
                f"--faces draws landmarks of one scheme over each other: {predictors[0].name} has "
                f"{scheme.name}, {predictor.name} has {predictor.scheme.name}"
            )
    if scheme.name not in map(str, POINTS):
        raise UsageError(
            f"--faces draws people with 68 or 98 landmarks, {predictors[0].name} has {scheme.name}"
        )
    faces = []
    for number in range(FACES):
        face = person_to_measure_on(number, size=DRAWN_SIZE, points=scheme.points)
        faces.append(_picture(face, predictors))
        if on_progress:
            on_progress(number + 1, FACES)
    return Gallery([path.stem for path in models], faces, SOURCE)


def _picture(face: Face, predictors: Sequence[Predictor]) -> FacePicture:
    found = [_landmarks(face, predictor) for predictor in predictors]
    shown = Crop.from_box(face.box, size=SHOWN_SIZE, scale=SHOWN_SCALE)
    scheme, truth = predictors[0].scheme, face.landmarks[None]
    apart = None
    if len(found) > 1:
        last = predictors[-1]
        side = Crop.from_box(face.box, size=last.input_size, scale=last.crop_scale).side
        moved = np.linalg.norm(found[0] - found[-1], axis=-1).mean()
        apart = float(moved * last.input_size / side)
    return FacePicture(
        jpeg=encode_jpeg(shown.cut(face.read()), name=face.name, quality=JPEG_QUALITY),
        side=SHOWN_SIZE,
        landmarks=[_in_crop(shown, points) for points in found],
        errors=[float(per_face_nme(points[None], truth, scheme)[0]) for points in found],
        apart=apart,
    )


def _landmarks(face: Face, predictor: Predictor) -> NDArray[np.float32]:
    """float32 [N, 2], pixels of the face's picture."""
    crop = Crop.from_box(face.box, size=predictor.input_size, scale=predictor.crop_scale)
    predicted = predictor.predict(crop.cut(face.read())[None])
    refuse_nan(predictor, [face.name], predicted)
    return crop.to_picture(predicted.landmarks[0])


def _in_crop(crop: Crop, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pixels of a picture as pixels of a crop of it."""
    inside = points @ crop.matrix[:, :2].T + crop.matrix[:, 2]
    return np.asarray(inside, np.float32)
