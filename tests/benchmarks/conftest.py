"""Data sets for measuring accuracy."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from asmnet_kit.face.shape_model.align import generic_reference


@pytest.fixture
def make_pts_faces(tmp_path: Path) -> Callable[[], Path]:
    """Writes three grey pictures with 68 points in .pts files (1-based) and returns the folder."""

    def make() -> Path:
        folder = tmp_path / "faces" / "helen" / "testset"
        folder.mkdir(parents=True)
        for index in range(3):
            cv2.imwrite(str(folder / f"{index}.png"), np.full((100, 120, 3), 128, np.uint8))
            points = generic_reference(68) * (40 + 5 * index) + (60, 50) + 1
            lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
            text = f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n"
            (folder / f"{index}.pts").write_text(text)
        return tmp_path / "faces"

    return make
