"""Landmarks and head pose of every face in a whole picture: detect, crop, predict, map back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import UsageError
from asmnet_kit.face.boxes import Box
from asmnet_kit.face.crop import Points
from asmnet_kit.face.looks import look_again, look_once
from asmnet_kit.face.picture_headers import stored_orientation
from asmnet_kit.face.pictures import Image, decode_image, read_encoded
from asmnet_kit.face.plausibility import Plausibility
from asmnet_kit.face.pose import pose_from_landmarks
from asmnet_kit.face.predictor import Predictor
from asmnet_kit.face.uncertainty import UNCERTAINTY, unsure
from asmnet_kit.predict.detector import MIN_SCORE, detect_faces

SCHEMA_VERSION = 2  # of the JSON; 1 had no sigma, visible, confidence and confidence_from
PLAUSIBILITY = "plausibility"


@dataclass(frozen=True, eq=False)
class FacePrediction:
    """One face of a picture.

    Attributes:
        box: float32 [4] x0, y0, x1, y1, pixels of the picture: what the face was cut out by.
        score: the detector's, 0..1; None where the caller gave the box.
        landmarks: float32 [N, 2], pixels of the picture, 0-based, (0, 0) the centre of the top-left
            pixel; they may lie outside it.
        pose: float32 [3] yaw, pitch, roll in degrees (signs: asmnet_kit.face.pose), or None where
            neither the model nor the landmarks give one.
        plausibility: 0..1, how far the shape can be trusted (asmnet_kit.face.plausibility), or None
            without a shape model.
        sigma: float32 [N], standard deviation of each landmark per coordinate, pixels of the
            picture, or None for a model that does not say.
        visible: float32 [N], probability that the landmark can be seen, or None likewise.
        confidence: probability that the face's NME is at most 8 %, or None where nothing that is
            calibrated says so.
        confidence_from: what says so, ``uncertainty`` (of the landmarks) before ``plausibility``.
    """

    box: Box
    score: float | None
    landmarks: Points
    pose: NDArray[np.float32] | None
    plausibility: float | None
    sigma: NDArray[np.float32] | None = None
    visible: NDArray[np.float32] | None = None
    confidence: float | None = None
    confidence_from: str | None = None

    @property
    def unsure(self) -> NDArray[np.bool_]:
        """bool [N]: landmarks that may well be far off, or that can rather not be seen."""
        side = float(np.ptp(self.box.reshape(2, 2), axis=0).max())
        return unsure(self.sigma, self.visible, side, len(self.landmarks))

    def to_json(self) -> dict[str, Any]:
        """The contract's keys; pixels, degrees and visibilities are rounded to hundredths."""
        pose = None
        if self.pose is not None:
            pose = dict(zip(("yaw", "pitch", "roll"), _rounded(self.pose), strict=True))
        return {
            "box": _rounded(self.box),
            "score": self.score,
            "landmarks": _rounded(self.landmarks),
            "pose": pose,
            "plausibility": self.plausibility,
            "sigma": None if self.sigma is None else _rounded(self.sigma),
            "visible": None if self.visible is None else _rounded(self.visible),
            "confidence": self.confidence,
            "confidence_from": self.confidence_from,
        }


@dataclass(frozen=True, eq=False)
class PredictedPicture:
    """A picture file and its faces.

    Attributes:
        path: as it was named.
        image: uint8 [H, W, 3], RGB, upright.
        orientation: EXIF's, 1 to 8, of the stored picture.
        faces: in pixels of ``image``, largest first.
    """

    path: Path
    image: Image
    orientation: int
    faces: list[FacePrediction]

    def to_json(self, predictor: Predictor, plausibility: Plausibility | None) -> dict[str, Any]:
        """What ``predict --json`` says of it."""
        height, width = self.image.shape[:2]
        return {
            "schema_version": SCHEMA_VERSION,
            "image": {"path": str(self.path), "width": width, "height": height},
            **about_model(predictor, plausibility),
            "faces": [face.to_json() for face in self.faces],
        }


def about_model(predictor: Predictor, plausibility: Plausibility | None) -> dict[str, Any]:
    """The keys of the JSON that say what predicted, and what judged."""
    return {
        "model": predictor.name,
        "scheme": predictor.scheme.reference,
        "plausibility_means": None if plausibility is None else plausibility.meaning,
    }


def predict_file(
    path: Path,
    predictor: Predictor,
    *,
    boxes: Sequence[Box] | None = None,
    plausibility: Plausibility | None = None,
    min_score: float = MIN_SCORE,
) -> PredictedPicture:
    """Landmarks and pose of the faces in a picture file, upright; otherwise as ``predict_image``.

    Raises:
        DatasetError: the file is missing, unreadable, cut off or too large.
    """
    encoded = read_encoded(path)
    image = decode_image(encoded, name=str(path), upright=True)
    faces = predict_image(
        image, predictor, boxes=boxes, plausibility=plausibility, min_score=min_score
    )
    return PredictedPicture(path, image, stored_orientation(encoded), faces)


def predict_image(
    image: Image,
    predictor: Predictor,
    *,
    boxes: Sequence[Box] | None = None,
    plausibility: Plausibility | None = None,
    min_score: float = MIN_SCORE,
) -> list[FacePrediction]:
    """Landmarks and pose of the faces in a picture.

    Args:
        image: uint8 [H, W, 3], RGB.
        boxes: where the faces are, each float32 [4] about as tight as the box around all landmarks;
            by default the detector finds them (largest face first), and the model looks again at
            each (asmnet_kit.face.looks).
        plausibility: judges each face's shape.
        min_score: of the detector.

    Raises:
        UsageError: a box that lies outside the picture, or a shape model with another number of
            landmarks than the predictor's.
        DatasetError: a box without extent.
        ModelError: the model predicts NaN.
    """
    if plausibility is not None:
        plausibility = plausibility.for_scheme(predictor.scheme)
    faces: list[tuple[Box, float | None]]
    if boxes is None:
        faces = [(face.box, face.score) for face in detect_faces(image, min_score=min_score)]
    else:
        faces = [(_inside(box, image), None) for box in boxes]
    again = boxes is None
    return [
        predict_face(image, predictor, box, score, plausibility, again=again)
        for box, score in faces
    ]


def predict_face(
    image: Image,
    predictor: Predictor,
    box: Box,
    score: float | None,
    plausibility: Plausibility | None,
    *,
    again: bool = False,
) -> FacePrediction:
    """Landmarks and pose of the face in ``box``, which the detector gave ``score``.

    Args:
        again: look again, around what is seen there: the box is the detector's.

    Raises:
        ModelError: the model predicts NaN.
    """
    name = "the face at " + ", ".join(f"{v:.0f}" for v in box)
    crop, prediction = (look_again if again else look_once)(predictor, image, box, name=name)
    landmarks = crop.to_picture(prediction.landmarks[0])
    pose = (
        pose_from_landmarks(landmarks, predictor.scheme)
        if prediction.pose is None
        else prediction.pose[0]
    )
    judgement = None if plausibility is None else float(plausibility.judge(landmarks[None])[0])
    confidence, source = None, None
    if prediction.confidence is not None:
        confidence, source = float(prediction.confidence[0]), UNCERTAINTY
    elif plausibility is not None and plausibility.calibration is not None:
        confidence, source = judgement, PLAUSIBILITY
    return FacePrediction(
        box=np.asarray(box, np.float32),
        score=score,
        landmarks=landmarks,
        pose=pose,
        plausibility=judgement,
        sigma=None if prediction.sigma is None else crop.side * prediction.sigma[0],
        visible=None if prediction.visible is None else prediction.visible[0],
        confidence=confidence,
        confidence_from=source,
    )


def _inside(box: Box, image: Image) -> Box:
    """The box, if any of it is in the picture."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (float(v) for v in box)
    if x1 < 0 or y1 < 0 or x0 > width - 1 or y0 > height - 1:
        raise UsageError(
            f"expected a box x0,y0,x1,y1 in the picture of {width} x {height} pixels, "
            f"got {x0:g},{y0:g},{x1:g},{y1:g}"
        )
    return box


def _rounded(values: NDArray[np.float32]) -> Any:
    return np.round(values.astype(np.float64), 2).tolist()
