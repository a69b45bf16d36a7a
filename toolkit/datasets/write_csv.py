"""Writing faces as a keypoint CSV, which the format ``csv`` reads back (keypoint_csv)."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.files import real_path
from asmnet_kit.datasets.base import Face
from asmnet_kit.datasets.folders import inside
from asmnet_kit.datasets.keypoint_csv import BOX, POSE

CELL = ".2f"  # pixels, degrees


class CsvWriter:
    """Writes faces of one scheme, a row each, below a header.

    Args:
        file: opened with ``newline=""``.
        points: landmarks of each face.
        marks: write ``v0`` ...: 1 for a point that can be seen, 0 for one that is hidden.
        more: further columns, which the reader passes over.
    """

    def __init__(self, file: TextIO, points: int, *, marks: bool, more: Sequence[str] = ()) -> None:
        self._points, self._marks = points, marks
        self._writer = csv.writer(file, lineterminator="\n")
        numbers = range(points)
        self._writer.writerow(
            [
                "file",
                *(f"{axis}{i}" for i in numbers for axis in "xy"),
                *(f"v{i}" for i in numbers if marks),
                *POSE,
                *BOX,
                *more,
            ]
        )

    def write(self, file: str, face: Face, more: Sequence[str] = ()) -> None:
        """A row; ``file`` is the picture's path from the CSV's folder (``path_from``)."""
        self._writer.writerow(
            [
                file,
                *_cells(face.landmarks.ravel(), 2 * self._points, CELL),
                *_cells(face.visibility, self._points * self._marks, ".0f"),
                *_cells(face.pose, len(POSE), CELL),
                *_cells(face.detector_box, len(BOX), CELL),
                *more,
            ]
        )


def _cells(values: NDArray[np.float32] | None, count: int, form: str) -> Sequence[str]:
    """``count`` cells; empty for what is not known."""
    if values is None or not count:
        return [""] * count
    return ["" if np.isnan(value) else format(value, form) for value in values.tolist()]


def path_from(folder: Path, picture: Path) -> str:
    """A picture's path as a CSV in ``folder`` names it.

    Raises:
        UsageError: it lies elsewhere.
        DatasetError: its name is one that the format cannot hold.
    """
    # Where one of them was named through a link, the real places may tell.
    for place_of in (lambda path: Path(os.path.abspath(path)), real_path):  # noqa: PTH100
        place = place_of(picture)
        if place.is_relative_to(place_of(folder)):
            name = place.relative_to(place_of(folder)).as_posix()
            break
    else:
        raise UsageError(
            f"a CSV of labels names pictures in its own folder or below, and {picture} is not "
            f"below {folder.absolute()}: write the CSV into a folder above all pictures"
        )
    if inside(name.strip()) != name:
        raise DatasetError(f"{picture}: the format csv cannot hold this name: rename the picture")
    return name
