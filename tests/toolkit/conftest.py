"""Small real data sets for the tests of the toolkit, made without TensorFlow."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from asmnet_kit.datasets.base import Dataset, Face, PictureFile
from asmnet_kit.drawn_faces.render import synthesize
from asmnet_kit.face.crop import landmark_box
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.schemes import scheme_of
from asmnet_kit.face.shape_model.align import generic_reference


@pytest.fixture(scope="session")
def frontal_face() -> tuple[Image, NDArray[np.float32]]:
    """A drawn face of 128 x 128 pixels, turned by less than 20 degrees, and its landmark box."""
    face = next(f for f in synthesize(500, seed=5, size=128) if np.abs(f.pose).max() < 20)
    return face.image, landmark_box(face.landmarks68)


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Dataset]:
    """Writes pictures of one colour and returns generic faces upon them."""

    def make(count: int = 4, *, points: int = 68, colour=(128, 128, 128)) -> Dataset:
        picture = np.full((100, 120, 3), colour, np.uint8)
        face = generic_reference(points)
        faces = []
        for index in range(count):
            path = tmp_path / "data" / f"face_{index}.png"
            path.parent.mkdir(exist_ok=True)
            cv2.imwrite(str(path), picture[..., ::-1])
            landmarks = face * (40 + 5 * index) + (60 + index, 50 - index)
            faces.append(Face(path.name, PictureFile(path), landmarks.astype(np.float32)))
        return Dataset("grey", "300w", scheme_of(points), tuple(faces))

    return make
