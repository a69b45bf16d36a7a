"""A scheme of seven points chosen from the 68, and faces labelled with them."""

import csv
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.face.shape_model.align import generic_reference

POINTS = [36, 39, 42, 45, 30, 48, 54]
SEVEN = f'name = "seven"\n\n[from]\nscheme = "68"\npoints = {POINTS}\n'
WIDTH, MIDDLE = 50.0, (60, 50)
FACES = 3


def whole_face() -> NDArray[np.float64]:
    """The 68 points of each face, [68, 2] pixels of its picture."""
    return np.asarray(generic_reference(68) * WIDTH + MIDDLE, np.float64)


def picture(number: int) -> NDArray[np.uint8]:
    """Grey, [100, 120, 3]; each another grey."""
    return np.full((100, 120, 3), 100 + 20 * number, np.uint8)


def put_seven(folder: Path) -> None:
    """``seven.toml``, and ``data``: a CSV of the points, in a detector's boxes around all 68."""
    (folder / "seven.toml").write_text(SEVEN)
    (folder / "data").mkdir()
    face = whole_face()
    box = [*face.min(axis=0), *face.max(axis=0)]
    rows = [["file", *(f"{axis}{i}" for i in range(7) for axis in "xy"),
             "box_x0", "box_y0", "box_x1", "box_y1"]]  # fmt: skip
    for number in range(FACES):
        cv2.imwrite(str(folder / f"data/{number}.png"), picture(number))
        rows.append([f"{number}.png", *face[POINTS].ravel().tolist(), *box])
    with (folder / "data/points.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
