"""Data sets for measuring accuracy, and a model as the Edge TPU compiler could have made it."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from asmnet_kit.face.shape_model.align import generic_reference
from made_models import EXECUTABLES, edgetpu_package


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


@pytest.fixture
def edgetpu_pair(make_op_model: Callable[..., Path]) -> tuple[Path, Path]:
    """A model of one operator, and what the Edge TPU compiler could have made of it."""
    shape = (1, 8, 8, 4)
    relu = {"op": "RELU", "into": shape, "shape": shape}
    custom = {"custom": "edgetpu-custom-op", "into": shape, "shape": shape}
    payload = edgetpu_package(EXECUTABLES)
    return (
        make_op_model(relu, name="pair.tflite"),
        make_op_model({**custom, "payload": payload}, name="pair_edgetpu.tflite"),
    )
