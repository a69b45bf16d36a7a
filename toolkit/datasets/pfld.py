"""``list.txt`` of the PFLD repositories: crops of faces, points as fractions of the crop.

    train_data/list.txt      train_data/imgs/0_NAME_0.png
    test_data/list.txt       test_data/imgs/0_NAME_0.png

Each line is the crop's path (often that of the machine which made it), x y of each point from 0 to
1, with 98 points six attributes of 0 or 1 (WFLW's), and pitch, yaw, roll, with blanks between all.
Source: polarisZhao/PFLD-pytorch, data/SetPreparation.py, which makes them from WFLW; forks do so
from 300-W, with 68 points and without attributes.

Fractions count from the corner of the picture, where the centres of its pixels are half a pixel
further: a picture that the script mirrors gets 1 - x. That is the frame of the adapter ``pfld``,
too. The script cuts a square of B whole pixels, takes labels as offsets from the centre of its
first pixel and divides them by B. So a point of a crop that was not mirrored truly lies half a
pixel of the original further right and down: 56 / B pixels of a crop of 112, a quarter where B is
224. The file does not say B.

Splits: ``train_data``, ``test_data``, ``val_data``, else a folder's name. Subsets: each attribute
that is 1.

Left out: the angles, which a fit to 14 points gave in a convention of their own; and what the
training set repeats: each face is there ten times, turned by chance.
"""

from pathlib import Path

import numpy as np

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.base.reading import open_text
from asmnet_kit.datasets.base import PictureFile, Problem
from asmnet_kit.datasets.folders import Reading, split_named
from asmnet_kit.datasets.labels import LARGEST_FRACTION
from asmnet_kit.datasets.picture_sides import stored_sides
from asmnet_kit.datasets.records import (
    CORNER,
    LabelFiles,
    PicturesBelow,
    Record,
    add_faces,
    of_one_address,
)
from asmnet_kit.datasets.wflw import ATTRIBUTES
from asmnet_kit.face.schemes import BUILT_IN

LIST = "list.txt"
PICTURES = "imgs"
ANGLES = 3
SPLITS = {"train_data": "train", "val_data": "val", "test_data": "test"}
# Numbers of a line -> points and attributes.
LAYOUTS = {
    2 * int(points) + attributes + angles: (int(points), attributes)
    for points in BUILT_IN
    for attributes in (0, len(ATTRIBUTES))
    for angles in (0, ANGLES)
}


def read(root: Path) -> Reading:
    """All faces of the files called ``list.txt`` at or below ``root``.

    Raises:
        DatasetError: there is none.
    """
    reading = Reading(points=0)
    files = LabelFiles(root, LIST, reading.problems)
    pictures = PicturesBelow(files.root)
    records: list[Record] = []
    found = False
    for listing, file in files:
        if file.lower() != LIST and not root.is_file():
            continue
        found = True
        folders = tuple(part.lower() for part in (*files.ancestors, *listing.parts))
        split = next((SPLITS[part] for part in reversed(folders) if part in SPLITS), None)
        try:
            with open_text(listing.folder / file) as text:
                for number, line in enumerate(text, start=1):
                    if not line.strip():
                        continue
                    where = f"{listing.name_of(file)} line {number}"
                    try:
                        records.append(
                            _record(line, where, listing.parts, pictures, split_named(folders))
                            if split is None
                            else _record(line, where, listing.parts, pictures, split)
                        )
                    except DatasetError as error:
                        reading.problems.append(Problem(where, str(error)))
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
            reading.problems.append(Problem(listing.name_of(file), reason))
    if not found:
        raise files.nothing(f"a {LIST}")
    add_faces(reading, of_one_address(records, reading.problems))
    return reading


def _record(
    line: str,
    where: str,
    parts: tuple[str, ...],
    pictures: PicturesBelow,
    split: str | None,
) -> Record:
    fields = line.split()
    numbers: list[float] = []
    while len(fields) > 1:  # from the end: the path, in front, may have blanks
        try:
            numbers.append(float(fields[-1]))
        except ValueError:
            break
        fields.pop()
    numbers.reverse()
    if len(numbers) not in LAYOUTS:
        raise DatasetError(
            f"expected a path, x y of {', '.join(BUILT_IN)} points, and perhaps "
            f"{len(ATTRIBUTES)} attributes and {ANGLES} angles; got {len(numbers)} numbers"
        )
    points, attributes = LAYOUTS[len(numbers)]
    fractions = np.array(numbers[: 2 * points]).reshape(points, 2)
    if not (np.abs(fractions) <= LARGEST_FRACTION).all():
        raise DatasetError(
            f"expected fractions of the picture, 0 to 1, got {np.abs(fractions).max():g}: are "
            "these pixels?"
        )
    name, picture = pictures.find(parts, " ".join(fields), beside=(PICTURES,), foreign=True)
    flags = numbers[2 * points : 2 * points + attributes]
    return Record(
        where=where,
        name=name,
        picture=picture,
        address=" ".join(fields),
        pairs=fractions * _size(picture) + CORNER,
        split=split,
        subsets=tuple(name for name, flag in zip(ATTRIBUTES, flags, strict=False) if flag == 1),
    )


def _size(picture: PictureFile) -> tuple[int, int]:
    """Width and height, pixels, as stored.

    Raises:
        DatasetError: it is no picture.
    """
    try:
        sides = stored_sides(picture)
    except OSError as error:
        raise DatasetError(f"{picture.path.name} cannot be read: {error.strerror}") from error
    if sides is None:
        raise DatasetError(f"{picture.path.name} is no picture, or a damaged one")
    return sides
