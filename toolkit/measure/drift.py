"""How far a file's landmarks move away from the float model's, in pixels of the crop."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.face.looks import passes_of
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.predictor import Prediction, Predictor
from asmnet_kit.face.schemes import Scheme

Landmarks = NDArray[np.float32]


@dataclass(frozen=True)
class PixelDrift:
    """Distances between two models' landmarks, averaged over the points of each face.

    Attributes:
        faces: how many.
        p50, p99, largest: over the faces, pixels of the crop.
    """

    faces: int
    p50: float
    p99: float
    largest: float

    @classmethod
    def between(cls, first: Landmarks, second: Landmarks, *, size: int) -> "PixelDrift":
        """Compare predictions, each float32 [B, N, 2] in fractions of the crop's side.

        Args:
            size: of the crop's side, pixels.
        """
        faces = size * np.linalg.norm(first - second, axis=-1).mean(axis=-1)
        p50, p99 = np.percentile(faces, (50, 99))
        return cls(len(faces), float(p50), float(p99), float(faces.max()))

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


class Recorder:
    """A predictor that keeps the landmarks it predicts, for a comparison afterwards."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._landmarks: list[Landmarks] = []

    @property
    def name(self) -> str:
        return self._predictor.name

    @property
    def scheme(self) -> Scheme:
        return self._predictor.scheme

    @property
    def input_size(self) -> int:
        return self._predictor.input_size

    @property
    def crop_scale(self) -> float:
        return self._predictor.crop_scale

    @property
    def passes(self) -> int:
        return passes_of(self._predictor)

    @property
    def landmarks(self) -> Landmarks:
        """float32 [B, N, 2] of all crops so far, in their order."""
        return np.concatenate(self._landmarks)

    def predict(self, crops: Image) -> Prediction:
        prediction = self._predictor.predict(crops)
        self._landmarks.append(prediction.landmarks)
        return prediction
