"""WFLW: one line of text per face, 98 points, a face box and six attributes.

``list_98pt_rect_attr_{train,test}.txt`` has 7,500 / 2,500 lines of 207 fields separated by spaces:
196 coordinates (x y ...), the face detector's box (x_min y_min x_max y_max), six attributes of 0
or 1 (pose, expression, illumination, make-up, occlusion, blur) and the picture's path below
``WFLW_images``. Each attribute that is 1 is a subset. Source: Wu et al., "Look at Boundary" (CVPR
2018) and the README of the annotations.

Coordinates are read as 0-based: the data set states no convention, its values are fractional, and
the public readers (HRNet's and PIPNet's among them) use them unchanged on 0-based pixels.

The per-attribute lists (``list_98pt_test_blur.txt`` ...) repeat test faces and are not read.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.base.reading import open_text
from asmnet_kit.datasets.base import Face, PictureFile, Problem
from asmnet_kit.datasets.folders import (
    PictureFinder,
    Reading,
    ancestors_of,
    inside,
    numbered,
    require_folder,
    split_named,
    walk,
)
from asmnet_kit.datasets.labels import FARTHEST, check_usable, points_of

POINTS = 98
ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")
LIST = re.compile(r"list_98pt_rect_attr_(train|test)\.txt")
PICTURES = "WFLW_images"
NUMBERS = 2 * POINTS + 4 + len(ATTRIBUTES)


@dataclass(frozen=True)
class _Line:
    """One line of a list that has been understood."""

    where: str  # list file and line number
    split: str
    picture: str  # relative to the folder of pictures
    folder: Path
    numbers: tuple[float, ...]


def read(root: Path) -> Reading:
    """All faces of the lists below ``root``; several faces of one picture get ``#1``, ``#2`` ...

    The folder of pictures is looked for beside and above each list, up to ``root``.

    Raises:
        DatasetError: ``root`` is no folder, or there is no list below it.
    """
    require_folder(root)
    reading = Reading(POINTS)
    lines: list[_Line] = []
    lists = 0
    finder = PictureFinder()
    for listing in walk(root, reading.problems):
        for file in listing.files:
            match = LIST.fullmatch(file)
            if match:
                lists += 1
                split = split_named((*ancestors_of(root), *listing.parts)) or match[1]
                lines += _read_list(listing.folder / file, root, split, reading, finder)
    if not lists:
        raise DatasetError(
            f"{root}: expected list_98pt_rect_attr_train.txt or ..._test.txt below this folder, "
            "found neither"
        )
    for line, name in zip(lines, numbered([line.picture for line in lines]), strict=True):
        try:
            reading.faces.append(_face(line, name, finder))
        except DatasetError as error:
            reading.problems.append(Problem(line.where, str(error)))
    return reading


def _read_list(
    path: Path, root: Path, split: str, reading: Reading, finder: PictureFinder
) -> list[_Line]:
    """The lines of one list; those that cannot be understood go to ``reading.problems``."""
    lines: list[_Line] = []
    folder: Path | None = None
    with open_text(path) as file:
        for row, text in enumerate(file, start=1):
            if not text.strip():
                continue
            where = f"{path.relative_to(root).as_posix()} line {row}"
            try:
                numbers, picture = _parse_line(text)
            except DatasetError as error:
                reading.problems.append(Problem(where, str(error)))
                continue
            if folder is None or finder.find(folder, picture) is None:
                folder = _picture_folder(path, root, picture, finder)
            lines.append(_Line(where, split, picture, folder, numbers))
    return lines


def _parse_line(text: str) -> tuple[tuple[float, ...], str]:
    # The path is the last field and may itself hold spaces.
    *fields, name = text.strip().split(None, NUMBERS)
    if len(fields) != NUMBERS or not name.strip():
        raise DatasetError(f"expected {NUMBERS} numbers and a path, got {len(text.split())} fields")
    try:
        numbers = tuple(float(field) for field in fields)
    except ValueError as error:
        raise DatasetError(f"expected {NUMBERS} numbers and a path: {error}") from error
    picture = inside(name.strip())
    if picture is None:
        raise DatasetError(f"the path {name.strip()!r} leaves the folder of pictures")
    return numbers, picture


def _picture_folder(list_path: Path, root: Path, picture: str, finder: PictureFinder) -> Path:
    """Where ``picture`` is: beside or above the list, in WFLW_images or directly."""
    folder = list_path.parent
    while True:
        for candidate in (folder / PICTURES, folder):
            if finder.find(candidate, picture) is not None:
                return candidate
        if folder == root:
            return root / PICTURES
        folder = folder.parent


def _face(line: _Line, name: str, finder: PictureFinder) -> Face:
    path = finder.find(line.folder, line.picture)
    if path is None:
        raise DatasetError(f"no picture {line.picture} (looked in {PICTURES})")
    pairs = np.array(line.numbers[: 2 * POINTS]).reshape(POINTS, 2)
    if not np.isfinite(pairs).all():
        first = int(np.flatnonzero(~np.isfinite(pairs).all(axis=1))[0])
        raise DatasetError(f"point {first} is not finite")
    landmarks = points_of(pairs)
    check_usable(landmarks)
    corners = np.array(line.numbers[2 * POINTS : 2 * POINTS + 4])
    usable = (np.abs(corners) <= FARTHEST).all()
    box = np.asarray(corners if usable else np.zeros(4), np.float32)
    usable = usable and box[2] > box[0] and box[3] > box[1]
    flags = line.numbers[2 * POINTS + 4 :]
    return Face(
        name=name,
        picture=PictureFile(path),
        landmarks=landmarks,
        subsets=tuple(name for name, flag in zip(ATTRIBUTES, flags, strict=True) if flag == 1),
        detector_box=box if usable else None,
        split=line.split,
    )
