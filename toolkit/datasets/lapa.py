"""LaPa: ``train``, ``val`` and ``test``, each with ``images``, ``landmarks`` and ``labels``.

``landmarks/NAME.txt`` has the number of points, 106, in its first line, then one point a line, x
and y with a blank between them; the picture is ``images/NAME.jpg``. Source: Liu et al., "A New
Dataset and Boundary-Attention Semantic Segmentation for Face Parsing" (AAAI 2020), and mmpose's
lapa2coco.py. Pixels are read as 0-based: the set states no convention, and public readers use the
numbers unchanged on 0-based pixels.

Left out: ``labels``, the segmentation.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.base.reading import read_text
from asmnet_kit.datasets.base import Problem
from asmnet_kit.datasets.folders import Reading, split_named, stem_and_suffix
from asmnet_kit.datasets.records import (
    LabelFiles,
    PicturesBelow,
    Record,
    add_faces,
)

POINTS = 106
SUFFIX = ".txt"
LANDMARKS, PICTURES = "landmarks", "images"


def split_of_folder(ancestors: tuple[str, ...], parts: tuple[str, ...]) -> str | None:
    """The split that the faces of a folder belong to."""
    return split_named((*ancestors, *parts))


def read(root: Path) -> Reading:
    """All faces of the folders called ``landmarks`` at or below ``root``.

    Raises:
        DatasetError: there is no such folder with a .txt in it.
    """
    reading = Reading(POINTS)
    files = LabelFiles(root, SUFFIX, reading.problems)
    pictures = PicturesBelow(files.root)
    records: list[Record] = []
    for listing, file in files:
        folders = (*files.ancestors, *listing.parts)
        if not folders or folders[-1].lower() != LANDMARKS:
            continue
        where = listing.name_of(file)
        try:
            pairs = read_points(listing.folder / file, points=POINTS)
            name, picture = pictures.named(
                listing.parts[:-1], stem_and_suffix(file)[0], beside=PICTURES
            )
        except DatasetError as error:
            reading.problems.append(Problem(where, str(error)))
            continue
        records.append(Record(where, name, picture, pairs, split=split_named(folders)))
    if not records and not reading.problems:
        raise files.nothing(f"folders {LANDMARKS} with .txt files, and {PICTURES} beside them,")
    add_faces(reading, records)
    return reading


def read_points(path: Path, *, points: int) -> NDArray[np.float64]:
    """x, y of a text with a count and then a point a line: float64 [points, 2].

    Raises:
        DatasetError: it is something else.
    """
    try:
        numbers = np.array(read_text(path).split(), np.float64)
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DatasetError(f"expected a count and numbers: {str(error)[:80]}") from error
    if not len(numbers) or numbers[0] != points or len(numbers) != 1 + 2 * points:
        first = f"{numbers[0]:g}" if len(numbers) else "nothing"
        raise DatasetError(
            f"expected {points} in the first line and that many points x y behind it, got {first} "
            f"and {max(0, len(numbers) - 1)} numbers"
        )
    if not np.isfinite(numbers).all():
        raise DatasetError("a point is not finite")
    return numbers[1:].reshape(points, 2)
