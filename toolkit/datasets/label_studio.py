"""Label Studio: JSON and JSON-MIN exports of ``KeyPointLabels``.

    [{"id": 7, "data": {"image": "/data/upload/1/3f2a9c1e-ann.jpg"},
      "annotations": [{"was_cancelled": false, "ground_truth": false, "result": [
        {"id": "a1", "type": "keypointlabels", "parentID": "b1", "original_width": 640,
         "original_height": 480, "image_rotation": 0,
         "value": {"x": 31.4, "y": 22.3, "width": 0.5, "keypointlabels": ["12"]}}, ...]}]}]

    [{"id": 7, "image": "...", "label": [{"x": 31.4, "y": 22.3, "keypointlabels": ["12"],
                                          "original_width": 640, "original_height": 480}, ...]}]

Source: labelstud.io/tags/keypointlabels and the SDK's converter. x and y are per cent of the
picture, 0 its left edge and 100 its right one, as the browser shows it: upright; labels are moved
to the stored pixels, so EXIF's rotation is undone. A picture that was made larger or smaller
afterwards keeps its labels; one of another shape does not. A face is all points of a task with one
``parentID``, or with a relation to one rectangle, or all of them; their labels are the names of a
scheme, or numbers. A point that has a second label ``occluded`` or ``hidden``, or such a choice of
its own region, cannot be seen; where no point of the file has, nothing is known. The rectangle is
the face's box. Of several annotations of a task the one marked as ground truth is read, else the
first.

Pictures are looked for by the end of the address, below the folder and in ``images``, with and
without the eight digits that Label Studio puts before an uploaded file's name; where two addresses
end at one picture, the faces of both are left out. Splits are folders. A face that two exports have
is one; of other labels of the same task those that were updated last are read, and a line says so.

Left out: predictions, cancelled annotations, other regions, and (told) pictures that were turned in
Label Studio.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.datasets.base import PictureFile, Problem
from asmnet_kit.datasets.folders import Reading, split_named
from asmnet_kit.datasets.named_points import LabelledFace, records_of
from asmnet_kit.datasets.picture_sides import Sides, sides_now
from asmnet_kit.datasets.records import (
    CORNER,
    Exported,
    LabelFiles,
    PicturesBelow,
    add_faces,
    finite,
    merged,
    of_newest_export,
    of_one_address,
    usable_box,
)
from asmnet_kit.face.schemes import Scheme

SUFFIX = ".json"
PICTURES = "images"
POINT, BOX = "keypointlabels", "rectanglelabels"
HIDDEN = ("occluded", "hidden")
UPLOADED = re.compile(r"[0-9a-f]{8}-(?=.)")

Region = Mapping[str, Any]


def read(root: Path, *, scheme: Scheme | None = None) -> Reading:
    """All faces of the Label Studio exports at or below ``root``.

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
        tasks = content if isinstance(content, list) else [content]
        for index, task in enumerate(tasks):
            regions = _regions(task)
            if regions is None:
                continue
            found = True
            where = f"{listing.name_of(file)} task {task.get('id', index)!r:.20}"
            groups = _grouped(regions)
            if not groups:
                continue
            try:
                name, picture, address = _picture(task, listing.parts, pictures)
            except DatasetError as error:
                reading.problems.append(Problem(where, str(error)))
                continue
            folders = (*files.ancestors, *listing.parts, *name.split("/")[:-1])
            hidden = _hidden(regions)
            exported = _exported(task, listing.name_of(file))
            for number, (box, points) in enumerate(groups, start=1):
                about = where + (f", face {number}" if len(groups) > 1 else "")
                face = LabelledFace(
                    about,
                    name,
                    picture,
                    knows_hidden=True,
                    split=split_named(folders),
                    address=address,
                    exported=exported,
                )
                try:
                    face.shown = sides_now(picture, _size(points[0]))
                    for point in points:
                        _add(face, point, hidden, face.shown)
                    if box is not None:
                        face.box = usable_box(_corners(box, face.shown))
                except (DatasetError, OSError) as error:
                    reading.problems.append(Problem(about, str(error)))
                    continue
                faces.append(face)
    if not found:
        raise files.nothing(f"a .json export of Label Studio with {POINT}")
    records = of_one_address(records_of(faces, reading, scheme), reading.problems)
    records = of_newest_export(records, reading)
    add_faces(reading, merged(records, reading.problems), scheme)
    return reading


def _exported(task: dict[str, Any], file: str) -> Exported:
    number, updated = task.get("id"), task.get("updated_at")
    return Exported(
        file,
        str(number) if isinstance(number, int | str) else "",
        updated if isinstance(updated, str) else "",
    )


def _regions(task: Any) -> list[Region] | None:
    """The regions of a task; None for what is no task."""
    if not isinstance(task, dict):
        return None
    annotations = task.get("annotations", task.get("completions"))
    if isinstance(annotations, list):
        done = [
            one for one in annotations if isinstance(one, dict) and not one.get("was_cancelled")
        ]
        done.sort(key=lambda one: one.get("ground_truth") is not True)
        result = done[0].get("result") if done else []
        return [one for one in result if isinstance(one, dict)] if isinstance(result, list) else []
    # JSON-MIN: the values themselves, under the names of the labelling tags.
    found: list[Region] = [
        {
            "type": next((kind for kind in (POINT, BOX) if kind in value), ""),
            "value": value,
            **value,
        }
        for values in task.values()
        if isinstance(values, list)
        for value in values
        if isinstance(value, dict)
    ]
    return found if any(region["type"] == POINT for region in found) else None


def _grouped(regions: list[Region]) -> list[tuple[Region | None, list[Region]]]:
    """The rectangle and the points of each face."""
    boxes = {str(one.get("id")): one for one in regions if one.get("type") == BOX}
    related = {}
    for one in regions:
        if one.get("type") == "relation":
            ends = (str(one.get("from_id")), str(one.get("to_id")))
            for end, other in (ends, ends[::-1]):
                if other in boxes:
                    related[end] = other
    faces: dict[str, list[Region]] = {}
    for one in regions:
        if one.get("type") == POINT:
            parent = one.get("parentID") or related.get(str(one.get("id")), "")
            faces.setdefault(str(parent), []).append(one)
    if len(faces) == 1 and len(boxes) == 1:
        return [(next(iter(boxes.values())), next(iter(faces.values())))]
    return [(boxes.get(parent), points) for parent, points in faces.items()]


def _hidden(regions: list[Region]) -> set[str]:
    """The regions with a choice of their own that says so."""
    return {
        str(one.get("id"))
        for one in regions
        if one.get("type") == "choices" and _says_hidden(_value(one).get("choices"))
    }


def _says_hidden(words: Any) -> bool:
    return isinstance(words, list) and any(str(word).lower() in HIDDEN for word in words)


def _value(region: Region) -> Region:
    value = region.get("value")
    return value if isinstance(value, dict) else {}


def _add(face: LabelledFace, region: Region, hidden: set[str], sides: Sides) -> None:
    labels = _value(region).get(POINT)
    if not (isinstance(labels, list) and all(isinstance(label, str) for label in labels)):
        raise DatasetError(f"expected labels under {POINT}, got {labels!r:.60}")
    names = [label for label in labels if label.lower() not in HIDDEN]
    if len(names) != 1:
        raise DatasetError(f"expected one label of a point, got {labels!r:.60}")
    turned = region.get("image_rotation", 0)
    if turned:
        raise DatasetError(
            f"the picture was turned by {turned!r:.20} degrees in Label Studio: turn the picture "
            "itself and label it again"
        )
    width, height = sides
    x, y = (finite(_value(region).get(axis)) / 100 for axis in "xy")
    face.add(names[0], x * width + CORNER, y * height + CORNER)
    if len(names) < len(labels) or str(region.get("id")) in hidden:
        face.hidden.add(names[0])


def _size(region: Region) -> Sides:
    """Width and height of the picture that was labelled."""
    return finite(region.get("original_width")), finite(region.get("original_height"))


def _corners(region: Region, sides: Sides) -> tuple[float, float, float, float]:
    width, height = sides
    value = _value(region)
    x, y, w, h = (finite(value.get(key)) / 100 for key in ("x", "y", "width", "height"))
    return (
        x * width + CORNER,
        y * height + CORNER,
        (x + w) * width + CORNER,
        (y + h) * height + CORNER,
    )


def _picture(
    task: dict[str, Any], parts: tuple[str, ...], pictures: PicturesBelow
) -> tuple[str, PictureFile, str]:
    """The task's picture, and its address without a query: whatever of the task's data is one.

    Raises:
        DatasetError: none is in the data set.
    """
    data = task["data"] if isinstance(task.get("data"), dict) else task
    addresses = [value for value in data.values() if isinstance(value, str) and value]
    if not addresses:
        raise DatasetError("expected the address of a picture in the task's data")
    for address in addresses:
        written = _path_of(address)
        folder, _, name = written.rpartition("/")
        for end in (written, f"{folder}/{UPLOADED.sub('', name, count=1)}"):
            try:
                found = pictures.find(parts, end, beside=(PICTURES,), foreign=True)
            except DatasetError:
                continue
            return *found, _without_query(address)
    shown = addresses[0][:80]
    raise DatasetError(f"no picture for {shown} below the folder, or in {PICTURES}: put it there")


def _without_query(address: str) -> str:
    """An address without what each export signs anew; the path is that of ``_path_of``."""
    try:
        split = urlsplit(address)
    except ValueError:
        return address
    if split.netloc:
        return f"{split.scheme}://{split.netloc}/{_path_of(address)}"
    return f"{split.scheme}:{_path_of(address)}" if split.scheme else _path_of(address)


def _path_of(address: str) -> str:
    """The path in an address: of ``/data/local-files/?d=`` what follows."""
    try:
        split = urlsplit(address)
    except ValueError:
        return address
    served = parse_qs(split.query).get("d")
    return served[0] if served else unquote(split.path)
