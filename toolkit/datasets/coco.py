"""COCO keypoints: JSON files with images, categories and annotations, each with its keypoints.

    {"images": [{"id": 2, "file_name": "36--Football/a.jpg", "width": 1024, "height": 661}],
     "annotations": [{"image_id": 2, "id": 2, "bbox": [x, y, width, height], "iscrowd": 0,
                      "keypoints": [x0, y0, v0, x1, y1, v1, ...], "num_keypoints": 98}],
     "categories": [{"id": 1, "name": "face", "keypoints": [], "skeleton": []}]}

Read are the layouts of COCO itself, of mmpose's exports of 300-W, WFLW, COFW and LaPa
(``annotations/face_landmarks_wflw_train.json``, ``images``), of CVAT (``annotations/
person_keypoints_SUBSET.json``, ``images/SUBSET``) and what ``data convert`` writes. Every
``*.json`` below the folder counts that has images and annotations with keypoints; a picture is
looked for in the folder of the file and those above it, in their ``images`` and in folders called
like the file's subset.

- Pixels count from 0: cocodataset.org ("0-indexed"), and Detectron2 reads a keypoint as the index
  of a pixel. Exports keep the numbers of their source.
- ``v`` is 0 for a point without a label, 1 for one that is hidden, 2 for one that is seen. A file
  whose labelled points all have one and the same v says nothing: mmpose writes 1 for every point of
  WFLW and 300-W, 2 for every point of LaPa.
- ``bbox`` is the box that came with the face, unless ``bbox_from_landmarks`` says otherwise.
- ``width`` and ``height`` of an image say which picture the numbers are of where EXIF turns it by a
  quarter: COCO has no rule, and tools differ. The sides of the upright picture: the points are
  turned into the stored one, which this kit's labels are of. Those of the stored picture, or none:
  they are taken as they are. Any others, the stored sides swapped without a turn in EXIF among
  them, are another picture's: its faces are left out.
- Keypoints stand in the order of their scheme, unless the category's ``keypoints`` name them by a
  scheme's names, or by numbers: then they are of that scheme, whichever was asked for.
- The split is a word of the file's name (train, val, valid, test), else a folder's name; of
  mmpose's 300-W, "valid" is the public test set and "test" the private one. What follows it is a
  subset: the same face in ``..._test.json`` and ``..._test_blur.json`` is one face of the subset
  blur.
- ``subsets``, ``split``, ``pose`` (yaw, pitch, roll in degrees), ``visibility_known`` (whether its
  v of 1 and 2 say something), ``visibility`` (of each keypoint 1 seen, 0 hidden, null unknown; only
  where v cannot say it: a hidden point without a position, or one of which nothing is known) and
  ``bbox_from_landmarks`` (COCO's tools want a box, and none came with the face) of an annotation
  are this kit's own keys.

Left out: annotations without a keypoint or with ``iscrowd``, segmentations, captions, skeletons.
"""

import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.datasets import ibug300w
from asmnet_kit.datasets.base import PictureFile, Problem
from asmnet_kit.datasets.folders import Listing, Reading, split_named
from asmnet_kit.datasets.named_points import PointNames, in_stored_pixels, known_schemes
from asmnet_kit.datasets.picture_sides import turn_of
from asmnet_kit.datasets.records import (
    LabelFiles,
    PicturesBelow,
    Record,
    add_faces,
    finite,
    merged,
    split_and_rest,
    usable_box,
    words_of,
)
from asmnet_kit.face.orientation import StoredPicture
from asmnet_kit.face.schemes import BUILT_IN, Scheme, scheme_of

SUFFIX = ".json"
PICTURES = "images"
PREFIX = "person_keypoints_"  # COCO's and CVAT's files are called so, and then by their subset
UNLABELLED, HIDDEN, SEEN = 0, 1, 2  # v
WFLW_SUBSETS = {"largepose": "pose", "makeup": "make-up"}  # mmpose's words for WFLW's
OWN_KEYS = ("split", "subsets", "pose")
VISIBILITY_KNOWN = "visibility_known"
VISIBILITY = "visibility"
SHOWN = 60  # characters of somebody's names in a message
BOX_FROM_LANDMARKS = "bbox_from_landmarks"


@dataclass(frozen=True)
class _Named:
    """What the names of a category's keypoints say.

    Attributes:
        scheme: that they are of, all of its points.
        order: for each landmark where its keypoint stands.
    """

    scheme: Scheme
    order: list[int]


@dataclass(frozen=True)
class _File:
    """A file and what its name and place say."""

    name: str  # relative to the root
    parts: tuple[str, ...]  # its folder's
    split: str | None
    subset: str | None
    is_300w: bool
    beside: tuple[str, ...]  # where pictures may be


def read(root: Path, *, scheme: Scheme | None = None) -> Reading:
    """All faces of the COCO files at or below ``root``.

    Args:
        scheme: one that the points may be of, beside those that are built in.

    Raises:
        DatasetError: no such file, or names of different schemes with as many points.
    """
    reading = Reading(points=0)
    files = LabelFiles(root, SUFFIX, reading.problems)
    named: list[Scheme] = []
    pictures = PicturesBelow(files.root)
    records: list[Record] = []
    found = False
    for listing, file, content in files.json():
        if _has_keypoints(content):
            found = True
            about = _about(listing, file, files.ancestors)
            records += _records(content, about, pictures, reading, scheme, named)
    if not found:
        raise files.nothing("a .json with images and annotations with keypoints")
    records = merged(records, reading.problems)
    counts = Counter(len(record.pairs) for record in records)
    own = [one for one in named if counts and one.points == counts.most_common(1)[0][0]]
    if any(one != own[0] for one in own):
        names = " and ".join(sorted({one.name for one in own}))
        raise DatasetError(f"{root}: expected keypoints named as of one scheme, got {names}")
    reading.scheme = own[0] if own else None
    add_faces(reading, records, scheme)
    return reading


def _has_keypoints(content: Any) -> bool:
    """Whether this is a file of keypoints, rather than any other JSON."""
    if not isinstance(content, dict):
        return False
    images, annotations = content.get("images"), content.get("annotations")
    return (
        isinstance(images, list)
        and isinstance(annotations, list)
        and any(isinstance(one, dict) and "keypoints" in one for one in annotations)
    )


def _about(listing: Listing, file: str, ancestors: tuple[str, ...]) -> _File:
    stem = file[: -len(SUFFIX)]
    split, subset = split_and_rest(stem)
    called = stem.removeprefix(PREFIX)
    return _File(
        name=listing.name_of(file),
        parts=listing.parts,
        split=split or split_named((*ancestors, *listing.parts)),
        subset=WFLW_SUBSETS.get(subset, subset) if subset else None,
        is_300w="300w" in words_of(stem),
        beside=(PICTURES, f"{PICTURES}/{called}", called),
    )


def _records(
    content: dict[str, Any],
    file: _File,
    pictures: PicturesBelow,
    reading: Reading,
    scheme: Scheme | None,
    named: list[Scheme],
) -> list[Record]:
    """The faces of a file; annotations that cannot be used go to ``reading.problems``.

    Args:
        named: gets the schemes that the names of the faces' keypoints are of.
    """
    images = {
        image["id"]: image
        for image in content["images"]
        if isinstance(image, dict)
        and isinstance(image.get("id"), int | str)
        and isinstance(image.get("file_name"), str)
    }
    turns: dict[int | str, StoredPicture | None] = {}
    orders = _orders(content.get("categories"), scheme, reading)
    records: list[Record] = []
    marks: list[NDArray[np.float64]] = []
    known: list[bool | None] = []
    for index, annotation in enumerate(content["annotations"]):
        where = f"{file.name} annotation {index}"
        try:
            face = _record(annotation, where, file, images, orders, pictures)
            if face is not None:
                image_id = annotation["image_id"]
                if image_id not in turns:
                    turns[image_id] = _turn(images[image_id], face[2])
                says = _named_by(annotation, orders, len(face[1]))
                schemes = known_schemes(scheme) if says is None else [says.scheme]
                record = in_stored_pixels(face[0], turns[image_id], schemes)
                if says is not None and says.scheme not in named:
                    named.append(says.scheme)
        except (DatasetError, OSError) as error:
            reading.problems.append(Problem(where, str(error)))
            continue
        if face is not None:
            records.append(record)
            marks.append(face[1])
            known.append(annotation.get(VISIBILITY_KNOWN))
    differ = len({mark for one in marks for mark in np.unique(one[one != UNLABELLED])}) > 1
    return [
        record if (differ if own is None else own) else replace(record, visibility=None)
        for record, own in zip(records, known, strict=True)
    ]


def said_by(marks: NDArray[np.floating]) -> NDArray[np.float32]:
    """float32 [N], ``Face.visibility`` as v says it."""
    return np.select([marks == SEEN, marks == HIDDEN], [1, 0], np.nan).astype(np.float32)


def _visibility(value: Any, marks: NDArray[np.float64]) -> NDArray[np.float32]:
    """What an annotation's own key says, in the order of its keypoints; else its v.

    Other tools' keys of that name are others.
    """
    is_own = isinstance(value, list) and all(one in (0, 1, None) for one in value)
    if is_own and len(value) == len(marks):
        return np.array(value, np.float32)
    return said_by(marks)


def _named_by(annotation: dict[str, Any], orders: dict[Any, _Named], count: int) -> _Named | None:
    """What its category says of an annotation's ``count`` keypoints; None where that is nothing."""
    category = annotation.get("category_id")
    named = orders.get(category) if isinstance(category, int | str) else None
    return named if named is not None and named.scheme.points == count else None


def _orders(categories: Any, scheme: Scheme | None, reading: Reading) -> dict[Any, _Named]:
    """Category -> which keypoint is which, of those whose names say it.

    Names of no scheme are the export's own words: their order says which is which, and
    ``reading.guess`` what it was taken for.
    """
    orders = {}
    for category in categories if isinstance(categories, list) else ():
        labels = category.get("keypoints") if isinstance(category, dict) else None
        if not (isinstance(labels, list) and labels and all(isinstance(x, str) for x in labels)):
            continue
        try:
            names: PointNames | None = PointNames(Counter(labels), scheme)
        except DatasetError:
            names = None
        numbers = {} if names is None else names.number
        order = [numbers.get(label, -1) for label in labels]
        count = len(labels)
        if names is not None and sorted(order) == list(range(names.scheme.points)):
            if isinstance(category.get("id"), int | str):
                places = [order.index(point) for point in range(count)]
                orders[category["id"]] = _Named(names.scheme, places)
        elif str(count) in BUILT_IN:
            reading.guess = (
                f"keypoints that no scheme names so ({', '.join(labels[:2])[:SHOWN]} ...) are "
                f"taken, in their order, for the {count} points of scheme {count} "
                f"({scheme_of(count).title})"
            )
    return orders


def _record(
    annotation: Any,
    where: str,
    file: _File,
    images: dict[int | str, dict[str, Any]],
    orders: dict[Any, _Named],
    pictures: PicturesBelow,
) -> tuple[Record, NDArray[np.float64], PictureFile] | None:
    """A face, its v and its picture; None for what is no labelled face.

    Raises:
        DatasetError: the reason why an annotation cannot be used.
    """
    if not isinstance(annotation, dict):
        raise DatasetError(f"expected an object, got {type(annotation).__name__}")
    if "keypoints" not in annotation or annotation.get("iscrowd") == 1:
        return None
    triples = _triples(annotation["keypoints"])
    if not (triples[:, 2] != UNLABELLED).any():
        return None
    visibility = _visibility(annotation.get(VISIBILITY), triples[:, 2])
    named = _named_by(annotation, orders, len(triples))
    if named is not None:
        triples, visibility = triples[named.order], visibility[named.order]
    image_id = annotation.get("image_id")
    image = images.get(image_id) if isinstance(image_id, int | str) else None
    if image is None:
        raise DatasetError(f"no image has its image_id {image_id!r:.40}")
    name, picture = pictures.find(file.parts, image["file_name"], beside=file.beside)
    labelled = triples[:, 2] != UNLABELLED
    is_own_box = annotation.get(BOX_FROM_LANDMARKS) is not True
    split, subsets, pose = _own(annotation)
    folders = tuple(name.split("/")[:-1])
    if subsets is None:
        subsets = (file.subset,) if file.subset else ()
        if file.is_300w:
            public, subsets = ibug300w.split_and_subsets((), folders)
            split = split or public
    return (
        Record(
            where=where,
            name=name,
            picture=picture,
            pairs=np.where(labelled[:, None], triples[:, :2], np.nan),
            split=split or file.split or split_named(folders),
            subsets=subsets,
            pose=pose,
            box=_box(annotation.get("bbox")) if is_own_box else None,
            visibility=visibility,
        ),
        triples[:, 2],
        picture,
    )


def _turn(image: dict[str, Any], picture: PictureFile) -> StoredPicture | None:
    """How a picture lies in its file where the image's sides are those of the upright one.

    Raises:
        DatasetError: they are another picture's.
        OSError: the picture cannot be read.
    """
    width, height = image.get("width"), image.get("height")
    if not (isinstance(width, int | float) and isinstance(height, int | float)):
        return None
    return turn_of(picture, (finite(width), finite(height)), turns=False)


def _triples(value: Any) -> NDArray[np.float64]:
    """float64 [N, 3] x, y, v."""
    try:
        numbers = np.array(value, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise DatasetError("expected numbers in keypoints") from error
    if numbers.ndim != 1 or not len(numbers) or len(numbers) % 3:
        raise DatasetError(f"expected keypoints x, y, v ..., got {len(np.ravel(numbers))} numbers")
    triples = numbers.reshape(-1, 3)
    if not np.isfinite(triples).all():
        raise DatasetError("expected finite numbers in keypoints")
    if not np.isin(triples[:, 2], (UNLABELLED, HIDDEN, SEEN)).all():
        raise DatasetError(
            "expected v of 0 (no label), 1 (hidden) or 2 (seen), got "
            f"{next(v for v in triples[:, 2] if v not in (UNLABELLED, HIDDEN, SEEN)):g}"
        )
    return triples


def _box(value: Any) -> NDArray[np.float32] | None:
    if not (isinstance(value, list) and len(value) == 4):
        return None
    try:
        x, y, width, height = map(float, value)
    except (TypeError, ValueError, OverflowError):  # JSON's integers have no limit
        return None
    if not all(map(math.isfinite, (x, y, width, height))):
        return None
    return usable_box((x, y, x + width, y + height))


def _own(
    annotation: dict[str, Any],
) -> tuple[str | None, tuple[str, ...] | None, NDArray[np.float32] | None]:
    """The split, subsets and pose that ``data convert`` writes; of other files nothing."""
    split, written, pose = (annotation.get(key) for key in OWN_KEYS)
    if not isinstance(split, str):
        split = None
    subsets = None
    if isinstance(written, list) and all(isinstance(one, str) for one in written):
        subsets = tuple(written)
    angles = None
    if isinstance(pose, list) and len(pose) == 3:
        angles = np.array([finite(angle) for angle in pose], np.float32)
    return split, subsets, angles
