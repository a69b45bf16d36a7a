"""CVAT for images 1.1: ``annotations.xml`` and a folder ``images``.

    <annotations><version>1.1</version><meta><task><id>7</id>...</task></meta>
      <image id="0" name="ann/1.jpg" width="640" height="480" subset="Train">
        <skeleton label="face" source="manual" occluded="0" z_order="0" group_id="1">
          <points label="1" source="manual" outside="0" occluded="0" points="201.30,107.25"/> ...
        <points label="face" occluded="0" points="201.30,107.25;..." z_order="0"/>
        <box label="face" occluded="0" xtl="190" ytl="90" xbr="260" ybr="170" group_id="1"/>

Source: docs.cvat.ai, "XML annotation format". A face is

- a skeleton: its points are matched by the names of a scheme, or by numbers;
- a ``points`` shape with several points: they stand in the order of their scheme;
- all ``points`` shapes of one point each with the same ``group_id`` (or without one, where a
  picture has one face): matched like a skeleton's.

A point with ``outside="1"`` has no label; one that is ``occluded`` (or belongs to such a shape)
cannot be seen. Where nothing in the file is occluded, nothing is known. The box of a face is the
one of its ``group_id``, or the only box of a picture with one face.

CVAT measures from the picture's corner: the centre of the top-left pixel is at 0.5, 0.5. It shows
pictures upright; labels are moved to the stored pixels, so EXIF's rotation is undone. The split
is the image's ``subset`` (Train, Validation, Test), else a folder's name. A face that two exports
have is one. Other labels of the same image of the same task in a second file are told and left out:
of ``task_id`` (a project's export) or of the task or the job that ``meta`` names. Where no task is
named, they are further faces of the picture: an image's ``id`` is but the number of its frame.

Left out: polygons, polylines, cuboids, masks, tags, attributes; and "CVAT for video" files, whose
tracks CVAT exports as images, too.
"""

from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.datasets.base import Problem
from asmnet_kit.datasets.folders import Listing, Reading, split_named
from asmnet_kit.datasets.named_points import LabelledFace, records_of
from asmnet_kit.datasets.records import (
    CORNER,
    Exported,
    LabelFiles,
    PicturesBelow,
    add_faces,
    finite,
    merged,
    number_in,
    of_newest_export,
    sides_in,
    split_and_rest,
    usable_box,
)
from asmnet_kit.face.schemes import Scheme

SUFFIX = ".xml"
PICTURES = "images"
META = "meta"


def read(root: Path, *, scheme: Scheme | None = None) -> Reading:
    """All faces of the CVAT files at or below ``root``.

    Args:
        scheme: one that the points may be of, beside those that are built in.

    Raises:
        DatasetError: no such file, or its points are of no scheme.
    """
    reading = Reading(points=0)
    files = LabelFiles(root, SUFFIX, reading.problems)
    pictures = PicturesBelow(files.root)
    faces: list[LabelledFace] = []
    tasks: dict[str, str] = {}  # of each file

    def take(listing: Listing, file: str, image: Element) -> None:
        if image.tag == META:
            tasks[listing.name_of(file)] = _task_of(image)
            return
        where = f"{listing.name_of(file)}: {image.get('name', '')}"
        shapes = [shape for shape in image if shape.tag in ("skeleton", "points")]
        if not shapes:
            return
        folders = (PICTURES, f"{PICTURES}/{image.get('subset', '')}".rstrip("/"))
        try:
            name, picture = pictures.find(listing.parts, image.get("name", ""), beside=folders)
        except DatasetError as error:
            reading.problems.append(Problem(where, str(error)))
            return
        split = split_and_rest(image.get("subset", ""))[0] or split_named(
            (*files.ancestors, *listing.parts, *name.split("/")[:-1])
        )
        number = image.get("task_id")
        task = f"task {number}" if number else tasks.get(listing.name_of(file), "")
        labelled = f"{task} image {image.get('id')}" if task and image.get("id") else ""
        exported = Exported(listing.name_of(file), labelled)
        boxes = image.findall("box")
        found = _grouped(shapes)
        for place, (group, members) in enumerate(found, start=1):
            about = where + (f", face {place}" if len(found) > 1 else "")
            face = LabelledFace(
                about, name, picture, knows_hidden=True, split=split, exported=exported
            )
            try:
                face.shown = sides_in(image)
                for member in members:
                    _add(face, member)
                face.box = _box(boxes, group, only=len(found) == 1)
            except DatasetError as error:
                reading.problems.append(Problem(about, str(error)))
                continue
            faces.append(face)

    files.xml((META, "image"), take)
    if not faces and not reading.problems:
        raise files.nothing(
            'an .xml of "CVAT for images 1.1" with points or skeletons (CVAT exports the tracks of '
            "a video so, too)"
        )
    records = of_newest_export(records_of(faces, reading, scheme), reading)
    add_faces(reading, merged(records, reading.problems), scheme)
    return reading


def _task_of(meta: Element) -> str:
    """The task, or the job, that a file was exported of; "" = none is named, or several are."""
    for kind in ("task", "job"):
        if number := meta.findtext(f"{kind}/id", "").strip():
            return f"{kind} {number}"
    return ""


def _grouped(shapes: list[Element]) -> list[tuple[str | None, list[Element]]]:
    """The group and the shapes of each face."""
    faces: list[tuple[str | None, list[Element]]] = []
    lone: dict[str | None, list[Element]] = {}
    for shape in shapes:
        group = shape.get("group_id")
        if shape.tag == "skeleton" or ";" in shape.get("points", ""):
            faces.append((group, [shape]))
        elif group in lone:
            lone[group].append(shape)
        else:
            lone[group] = [shape]
            faces.append((group, lone[group]))
    return faces


def _add(face: LabelledFace, shape: Element) -> None:
    """Add the points of a shape to a face."""
    if shape.tag == "skeleton":
        for point in shape.findall("points"):
            _add_point(face, point, occluded=_is(shape, "occluded"))
    elif ";" in shape.get("points", ""):
        face.in_order = [_pair(text) for text in shape.get("points", "").split(";") if text]
    else:
        _add_point(face, shape)


def _add_point(face: LabelledFace, point: Element, *, occluded: bool = False) -> None:
    label = point.get("label", "")
    x, y = (np.nan, np.nan) if _is(point, "outside") else _pair(point.get("points", ""))
    face.add(label, x, y)
    if occluded or _is(point, "occluded"):
        face.hidden.add(label)


def _is(element: Element, mark: str) -> bool:
    return element.get(mark, "0") == "1"


def _pair(text: str) -> tuple[float, float]:
    """x, y of ``12.5,30.00``, 0-based."""
    numbers = text.split(",")
    if len(numbers) != 2:
        raise DatasetError(f'expected points="x,y", got {text[:40]!r}')
    x, y = (finite(number) + CORNER for number in numbers)
    return x, y


def _box(boxes: list[Element], group: str | None, *, only: bool) -> NDArray[np.float32] | None:
    """The box of a face's group, or the only box of the only face."""
    own = [box for box in boxes if group is not None and box.get("group_id") == group]
    if not own and only:
        own = boxes
    if len(own) != 1:
        return None
    return usable_box([number_in(own[0], key) + CORNER for key in ("xtl", "ytl", "xbr", "ybr")])
