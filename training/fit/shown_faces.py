"""Eight validation faces, and where the network puts their landmarks from epoch to epoch."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.base.files import replacing
from asmnet_kit.base.npz import read_npz
from asmnet_kit.face.crop import Points
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.predictor import Predictor
from asmnet_kit.measure.face_crops import FaceCrops

COUNT = 8
EPOCHS = 4  # rows of the picture: the first epoch, the last and some between
TILE = 128  # pixels, of a face in the picture
LABEL, PREDICTION = (96, 255, 96), (255, 64, 160)  # RGB
SUBPIXEL_BITS = 4  # OpenCV draws at 1/16 pixel


class ShownFaces:
    """Keeps what the network says of the same faces after each epoch.

    Args:
        faces: the crops to show.
        file: .npz that keeps the landmarks, so that a resumed run shows earlier epochs, too.
        done: epochs that are history; what the file lacks of them is not shown.
    """

    def __init__(self, faces: FaceCrops, file: Path, *, done: int = 0) -> None:
        self.faces, self._file = faces, file
        self._landmarks = self._earlier(done)  # float32 [E, F, N, 2], NaN where it is not known

    def look(self, predictor: Predictor) -> None:
        """Ask the network, an epoch later."""
        seen = predictor.predict(self.faces.pixels).landmarks[None]
        self._landmarks = np.concatenate([self._landmarks, seen]).astype(np.float32)

    def save(self) -> None:
        """Write the file, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        with replacing(self._file) as temporary, temporary.open("wb") as file:
            np.savez(file, landmarks=self._landmarks)

    def picture(self) -> tuple[Image, list[int]]:
        """A row of faces for each of up to ``EPOCHS`` epochs, and which epochs these are (1-based).

        The labels are drawn first, the predictions over them.
        """
        known = np.flatnonzero(np.isfinite(self._landmarks).all(axis=(1, 2, 3)))
        evenly = np.linspace(0, len(known) - 1, min(EPOCHS, len(known))).round().astype(int)
        epochs = known[np.unique(evenly)].tolist()
        drawn = [
            np.concatenate(
                [
                    _drawn(*face)
                    for face in zip(
                        self.faces.pixels, self.faces.truth, self._landmarks[epoch], strict=True
                    )
                ],
                axis=1,
            )
            for epoch in epochs
        ]
        return np.concatenate(drawn), [epoch + 1 for epoch in epochs]

    def _earlier(self, done: int) -> NDArray[np.float32]:
        shape = (done, *self.faces.truth.shape)
        landmarks = np.full(shape, np.nan, np.float32)
        if done and self._file.exists():
            try:
                found = read_npz(self._file, expected="landmarks by epoch").get("landmarks")
            except ModelError:  # damaged: the run does not need it
                found = None
            if found is not None and found.shape[1:] == shape[1:] and found.dtype == np.float32:
                known = found[:done]
                landmarks[: len(known)] = known
        return landmarks


def _drawn(crop: Image, truth: Points, predicted: Points) -> Image:
    """A face, [TILE, TILE, 3]; landmarks are fractions of the crop from its centre."""
    tile = np.asarray(cv2.resize(crop, (TILE, TILE), interpolation=cv2.INTER_LINEAR), np.uint8)
    for points, colour in ((truth, LABEL), (predicted, PREDICTION)):
        for x, y in (points * TILE + (TILE - 1) / 2)[np.isfinite(points).all(axis=1)]:
            place = [round(float(np.clip(v, -TILE, 2 * TILE)) * 2**SUBPIXEL_BITS) for v in (x, y)]
            radius = round(1.2 * 2**SUBPIXEL_BITS)
            cv2.circle(tile, place, radius, colour, cv2.FILLED, cv2.LINE_AA, SUBPIXEL_BITS)
    return tile
