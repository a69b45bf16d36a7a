"""JD-landmark (Grand Challenge of 106-Point Facial Landmark Localization), 106 points.

    Training_data/{AFW,HELEN,IBUG,LFPW}/picture/NAME.jpg      landmark/NAME.jpg.txt
    Test_data1/picture/NAME.jpg      landmark/NAME.jpg.txt    rect/NAME.jpg.rect
    Corrected_landmark/NAME.jpg.txt
    FLL3_dataset/{train,val}/picture_mask/NAME.jpg    landmark/NAME.jpg.txt    bbox/NAME.jpg.rect

A landmark file is as LaPa's: the count 106, then a point a line. One of the same name below
``Corrected_landmark`` takes its place. A ``.rect`` holds the detector's box x0 y0 x1 y1; those of
the training pictures lie in ``training_dataset_face_detection_bounding_box``. Source: Liu et al.,
"Grand Challenge of 106-Point Facial Landmark Localization" (ICME workshops 2019). Pixels are read
as 0-based, as LaPa's.

Splits: ``Training_data`` is train, ``Test_data1`` test, else a folder's name; subsets: AFW, HELEN
... in lower case.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.base.reading import read_text
from asmnet_kit.datasets.base import Problem
from asmnet_kit.datasets.folders import Reading, split_named, stem_and_suffix
from asmnet_kit.datasets.lapa import read_points
from asmnet_kit.datasets.records import (
    LabelFiles,
    PicturesBelow,
    Record,
    add_faces,
    usable_box,
)

POINTS = 106
SUFFIX = ".txt"
LANDMARK, CORRECTED = "landmark", "corrected_landmark"
PICTURES = ("picture", "picture_mask")
BOXES = ("rect", "bbox", "training_dataset_face_detection_bounding_box")
BOX_SUFFIXES = (".rect", ".txt")
SPLITS = {"training_data": "train", "test_data1": "test"}
SETS = ("afw", "helen", "ibug", "lfpw")


def read(root: Path) -> Reading:
    """All faces of the folders called ``landmark`` at or below ``root``.

    Raises:
        DatasetError: there is no such folder with a .txt in it.
    """
    reading = Reading(POINTS)
    files = LabelFiles(root, SUFFIX, reading.problems)
    pictures = PicturesBelow(files.root)
    corrected: dict[str, Path] = {}
    boxes: dict[str, Path] = {}
    found: list[tuple[str, tuple[str, ...], tuple[str, ...], Path, str]] = []
    for listing in files.listings():
        folders = tuple(part.lower() for part in (*files.ancestors, *listing.parts))
        last = folders[-1] if folders else ""
        for file in listing.files:
            suffix = stem_and_suffix(file)[1].lower()
            path = listing.folder / file
            if last in BOXES and suffix in BOX_SUFFIXES:
                boxes[_picture_name(file)] = path
            elif CORRECTED in folders and suffix == SUFFIX:
                corrected[file] = path
            elif last == LANDMARK and suffix == SUFFIX:
                found.append((file, folders, listing.parts, path, listing.name_of(file)))
    records: list[Record] = []
    for file, folders, parts, path, where in found:
        try:
            pairs = read_points(corrected.get(file, path), points=POINTS)
            name, picture = pictures.named(parts[:-1], _picture_name(file), beside=PICTURES)
        except DatasetError as error:
            reading.problems.append(Problem(where, str(error)))
            continue
        split = next((SPLITS[part] for part in folders if part in SPLITS), split_named(folders))
        box = boxes.get(_picture_name(file))
        records.append(
            Record(
                where,
                name,
                picture,
                pairs,
                split=split,
                subsets=tuple(part for part in folders if part in SETS),
                box=None if box is None else _read_box(box),
            )
        )
    if not records and not reading.problems:
        raise files.nothing(f"folders {LANDMARK} with .txt files, and {PICTURES[0]} beside them,")
    add_faces(reading, records)
    return reading


def _picture_name(file: str) -> str:
    """``1.jpg`` of ``1.jpg.txt`` or ``1.jpg.rect``; also ``1`` of ``1.txt``."""
    return stem_and_suffix(file)[0]


def _read_box(path: Path) -> NDArray[np.float32] | None:
    """x0, y0, x1, y1; None for a file that holds no box: the landmarks do without."""
    try:
        numbers = np.array(read_text(path).replace(",", " ").split(), np.float64)
    except (OSError, ValueError):
        return None
    return usable_box(numbers[:4].tolist()) if len(numbers) >= 4 else None
