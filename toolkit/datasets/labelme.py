"""labelme: a JSON file beside each picture, with the shapes drawn on it.

    {"version": "5.5.0", "flags": {}, "imagePath": "1.jpg", "imageData": null,
     "imageHeight": 480, "imageWidth": 640,
     "shapes": [{"label": "12", "points": [[201.3, 107.2]], "group_id": null,
                 "shape_type": "point", "flags": {}}, ...]}

Source: labelme's own labelme/_label_file.py and supervisely's description of it. A face is all
shapes of the type ``point`` with one ``group_id`` (or without one): their labels are the names of a
scheme, or numbers. A shape of several points (``points``, ``linestrip``, ``polygon``) is a face if
no ``point`` is in the file; they stand in the order of the scheme. A point's flag ``occluded`` or
``hidden``, where it is set, says that it cannot be seen; where no point of the set has it, nothing
is known. A ``rectangle`` of the same group, or the only one with the only face, is its box.

labelme measures from the picture's corner (Qt draws the picture from 0, 0 on): the centre of the
top-left pixel is at 0.5, 0.5. It shows pictures upright; labels are moved to the stored pixels, so
EXIF's rotation is undone. ``imagePath`` counts from the file's folder, and may lead elsewhere
in the data set; where it leads nowhere, the picture of the file's name is taken. Splits are
folders.

Left out: circles, masks, lines, and pictures that are only in ``imageData``.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.datasets.base import PictureFile, Problem
from asmnet_kit.datasets.folders import Listing, Reading, split_named, stem_and_suffix
from asmnet_kit.datasets.named_points import LabelledFace, records_of
from asmnet_kit.datasets.picture_sides import Sides
from asmnet_kit.datasets.records import (
    CORNER,
    LabelFiles,
    PicturesBelow,
    add_faces,
    finite,
    usable_box,
)
from asmnet_kit.face.schemes import Scheme

SUFFIX = ".json"
IN_ORDER = ("points", "linestrip", "polygon")
HIDDEN = ("occluded", "hidden")

Shape = dict[str, Any]


def read(root: Path, *, scheme: Scheme | None = None) -> Reading:
    """All faces of the labelme files at or below ``root``.

    Args:
        scheme: one that the points may be of, beside those that are built in.

    Raises:
        DatasetError: no such file, or its labels are of no scheme.
    """
    reading = Reading(points=0)
    files = LabelFiles(root, SUFFIX, reading.problems)
    pictures = PicturesBelow(files.root)
    faces: list[LabelledFace] = []
    found = False
    for listing, file, content in files.json():
        if not (isinstance(content, dict) and isinstance(content.get("shapes"), list)):
            continue  # another kind of JSON
        found = True
        where = listing.name_of(file)
        try:
            name, picture = _picture(content, listing, file, pictures)
        except DatasetError as error:
            reading.problems.append(Problem(where, str(error)))
            continue
        split = split_named((*files.ancestors, *listing.parts))
        shapes = [shape for shape in content["shapes"] if isinstance(shape, dict)]
        groups = _grouped(shapes)
        for number, (group, members) in enumerate(groups, start=1):
            about = where + (f", face {number}" if len(groups) > 1 else "")
            face = LabelledFace(about, name, picture, knows_hidden=True, split=split)
            try:
                for member in members:
                    _add(face, member)
                face.box = _box(shapes, group, only=len(groups) == 1)
                face.shown = _size(content)
            except DatasetError as error:
                reading.problems.append(Problem(about, str(error)))
                continue
            faces.append(face)
    if not found:
        raise files.nothing("a .json of labelme")
    add_faces(reading, records_of(faces, reading, scheme), scheme)
    return reading


def _picture(
    content: dict[str, Any], listing: Listing, file: str, pictures: PicturesBelow
) -> tuple[str, PictureFile]:
    written = content.get("imagePath")
    if not isinstance(written, str):
        raise DatasetError("expected the path of a picture under imagePath")
    try:
        return pictures.find(listing.parts, written)
    except DatasetError:
        try:
            beside = listing.picture_of(stem_and_suffix(file)[0])
        except DatasetError:
            beside = None
        if beside is None:
            raise
        return listing.name_of(beside), PictureFile(listing.folder / beside)


def _size(content: dict[str, Any]) -> Sides | None:
    """Width and height of the picture that was labelled."""
    width, height = content.get("imageWidth"), content.get("imageHeight")
    return None if width is None or height is None else (finite(width), finite(height))


def _grouped(shapes: list[Shape]) -> list[tuple[object, list[Shape]]]:
    """The group and the shapes of each face."""
    points = [shape for shape in shapes if shape.get("shape_type") == "point"]
    if not points:
        return [
            (shape.get("group_id"), [shape])
            for shape in shapes
            if shape.get("shape_type") in IN_ORDER
        ]
    groups: dict[str, tuple[object, list[Shape]]] = {}
    for shape in points:
        group = shape.get("group_id")
        groups.setdefault(repr(group), (group, []))[1].append(shape)
    return list(groups.values())


def _add(face: LabelledFace, shape: Shape) -> None:
    pairs = _pairs(shape)
    if shape.get("shape_type") != "point":
        face.in_order = pairs
        return
    label = shape.get("label")
    if not isinstance(label, str) or len(pairs) != 1:
        raise DatasetError(f"expected a point with a label, got {str(shape)[:60]}")
    face.add(label, *pairs[0])
    flags = shape.get("flags")
    if isinstance(flags, dict) and any(flags.get(word) is True for word in HIDDEN):
        face.hidden.add(label)


def _pairs(shape: Shape) -> list[tuple[float, float]]:
    """x, y of the shape's points, 0-based."""
    pairs = shape.get("points")
    if not isinstance(pairs, list) or not all(isinstance(p, list) and len(p) == 2 for p in pairs):
        raise DatasetError(f"expected points [[x, y], ...], got {str(pairs)[:60]}")
    return [(finite(x) + CORNER, finite(y) + CORNER) for x, y in pairs]


def _box(shapes: list[Shape], group: object, *, only: bool) -> NDArray[np.float32] | None:
    """The rectangle of a face's group, or the only one of the only face."""
    rectangles = [shape for shape in shapes if shape.get("shape_type") == "rectangle"]
    own = [one for one in rectangles if group is not None and one.get("group_id") == group]
    if not own and only:
        own = rectangles
    if len(own) != 1:
        return None
    corners = np.array(_pairs(own[0]))
    return usable_box([*corners.min(axis=0), *corners.max(axis=0)])
