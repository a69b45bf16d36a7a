"""Small drawn data sets, so that training is tested on real files through the real readers."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from asmnet_kit.face.generic_face import GENERIC_FACE_68
from asmnet_kit.face.pose import rotation_matrix

SIDE = 96  # pixels of a picture
PIXELS_PER_MM = 0.42  # the generic face then fills about two thirds of it


def write_face(folder: Path, name: str, random: np.random.Generator) -> None:
    """A picture with the generic face's points as dots, and its .pts file (1-based)."""
    yaw, pitch, roll = random.uniform(-25, 25, 3)
    turned = GENERIC_FACE_68 @ rotation_matrix(yaw, pitch, roll).T
    turned += random.normal(0, 1.5, turned.shape)  # millimetres: identity
    points = PIXELS_PER_MM * (turned[:, :2] - turned[:, :2].mean(axis=0)) + SIDE / 2
    image = np.full((SIDE, SIDE, 3), random.integers(0, 120, 3), np.uint8)
    for x, y in points:
        cv2.circle(image, (round(float(x)), round(float(y))), 2, (220, 230, 240), cv2.FILLED)
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / f"{name}.jpg"), image)
    rows = "\n".join(f"{x + 1:.3f} {y + 1:.3f}" for x, y in points)
    (folder / f"{name}.pts").write_text(f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n")


@pytest.fixture(scope="session")
def drawn_faces(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes a 300-W folder: ``drawn_faces(train=24, val=8)``; ``drawn_faces(8)`` has no splits."""

    def write(count: int = 0, **splits: int) -> Path:
        folder = tmp_path_factory.mktemp("faces")
        random = np.random.default_rng(5)
        for split, number in ({"": count} | splits).items():
            for index in range(number):
                write_face(folder / split, f"face_{index:03d}", random)
        return folder

    return write
