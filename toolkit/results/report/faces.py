"""Faces with several models' landmarks over each other, as a report shows them."""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_MODELS = 3  # more dots on one face cannot be told apart


@dataclass(frozen=True, eq=False)
class FacePicture:
    """A face and what the models say of it.

    Attributes:
        jpeg: the picture, a square.
        side: of the picture, pixels.
        landmarks: of each model, float32 [N, 2], pixels of the picture.
        errors: NME of each model, percent.
        apart: mean distance between the first and the last model's landmarks, pixels of the
            model's crop; None for a single model.
    """

    jpeg: bytes
    side: int
    landmarks: Sequence[NDArray[np.float32]]
    errors: Sequence[float]
    apart: float | None

    @property
    def source(self) -> str:
        """The picture as a data address."""
        return f"data:image/jpeg;base64,{b64encode(self.jpeg).decode('ascii')}"

    @property
    def paths(self) -> list[str]:
        """SVG paths of the models' points, in pixels with (0, 0) the picture's corner.

        Each point is a line without length: round ends make it a dot.
        """
        return [
            "".join(f"M{x + 0.5:.1f} {y + 0.5:.1f}h0" for x, y in points)
            for points in self.landmarks
        ]


@dataclass(frozen=True, eq=False)
class Gallery:
    """Faces, the models whose landmarks they bear, and where the faces come from."""

    models: Sequence[str]
    faces: Sequence[FacePicture]
    source: str
