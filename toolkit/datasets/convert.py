"""Writing a data set of any format as CSV, COCO keypoints or 300-W's folders.

Pictures are copied as they are stored; those that are part of a larger file become files.

    csv     OUT/labels.csv                                 OUT/images/NAME.jpg
    coco    OUT/annotations/face_landmarks_SPLIT.json      OUT/images/NAME.jpg
    300w    OUT/SPLIT/SUBSET/NAME.pts                      OUT/SPLIT/SUBSET/NAME.jpg

A scheme that is not built in is written to ``OUT/scheme.toml``, since none of these formats can say
it. The labels come last, so that a call that was stopped leaves no data set that looks whole (but
``300w``, in which each picture has its own).
"""

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import numpy as np

from asmnet_kit.base.console import counted
from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.files import (
    alone_in,
    is_unused,
    make_folder,
    real_path,
    replacing,
    write_bytes,
    write_text,
)
from asmnet_kit.datasets import coco, ibug300w
from asmnet_kit.datasets.base import Dataset, Face, Problem, picture_of
from asmnet_kit.datasets.face_groups import by_picture
from asmnet_kit.datasets.folders import PICTURE_SUFFIXES, SCHEME_FILE, SPLIT_FOLDERS, name_key
from asmnet_kit.datasets.left_out import LeftOut
from asmnet_kit.datasets.pts import write_pts
from asmnet_kit.datasets.registry import MAX_BAD_SHARE
from asmnet_kit.datasets.write_csv import CsvWriter
from asmnet_kit.face.pictures import decode_image
from asmnet_kit.face.schemes import Scheme

SCHEMA_VERSION = 1  # of ``data convert --json``
PICTURES = "images"
LABELS_CSV = "labels.csv"
UNUSUAL = re.compile(r'[\\:*?"<>|\x00-\x1f\x7f\ufffd]')  # in file names, on some system or other
MAGIC = {b"\xff\xd8\xff": (".jpg", ".jpeg"), b"\x89PNG": (".png",)}
FACES_IN_A_FILE = 40_000  # of COCO: 106 points of so many are 110 MB, which is still read
DECIMALS = 3  # of a pixel
PRIVATE_FOLDERS = {name: folder for folder, name in ibug300w.PRIVATE.items()}

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Converted:
    """What was written.

    Attributes:
        scheme_file: describes the points, for ``--scheme``; None of a built-in scheme's.
        problems: faces that were left out, reading them included.
        notes: what the format cannot hold, in words.
    """

    out: Path
    faces: int
    pictures: int
    scheme_file: Path | None
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


class Writer(Protocol):
    """A format that is written."""

    def add(self, encoded: bytes, faces: Sequence[Face]) -> int:
        """Write a picture with its faces; how many files of pictures that makes."""
        ...

    def finish(self) -> tuple[str, ...]:
        """Write what comes last; what the format could not hold, in words."""
        ...


def convert(
    dataset: Dataset,
    out: Path,
    to: str,
    *,
    max_bad_share: float = MAX_BAD_SHARE,
    progress: Progress | None = None,
) -> Converted:
    """Write ``dataset`` into the new or empty folder ``out``.

    Every picture is decoded and compared with its labels; a face that cannot be used is left out.

    Args:
        to: a name in ``WRITERS``.
        max_bad_share: of the faces that may be left out.
        progress: called with (pictures done, pictures in all).

    Raises:
        UsageError: ``out`` holds something, or its name says a split.
        DatasetError: too many faces cannot be used, or none can.
    """
    own = real_path(out).name.lower()
    if own in SPLIT_FOLDERS or own in (*ibug300w.SETS, *ibug300w.PRIVATE):
        raise UsageError(
            f"{out}: expected a folder with a name of its own, got the name of a split or a public "
            "set, which would be taken for that of all faces"
        )
    if not is_unused(out):
        raise UsageError(f"{out}: expected a new or empty folder; choose another one")
    make_folder(out)
    with alone_in(out):
        scheme_file = None
        if not dataset.scheme.built_in:
            scheme_file = out / SCHEME_FILE
            write_text(scheme_file, dataset.scheme.to_toml())
        writer = WRITERS[to](out, dataset)
        left_out = LeftOut(dataset.name, len(dataset.faces), max_bad_share)
        pictures = by_picture(dataset.faces)
        written = files = 0
        for number, faces in enumerate(pictures, start=1):
            encoded, usable = _usable(faces, left_out)
            if usable:
                files += writer.add(encoded, usable)
                written += len(usable)
            if progress is not None:
                progress(number, len(pictures))
        if not written:
            raise DatasetError(f"{dataset.name}: no face can be used")
        os.sync()  # once, rather than for each picture
        notes = writer.finish()
    problems = (*dataset.problems, *left_out.problems)
    return Converted(out, written, files, scheme_file, problems, notes)


def _usable(faces: Sequence[Face], left_out: LeftOut) -> tuple[bytes, list[Face]]:
    """A picture's bytes, and those of its faces whose labels can be of it."""
    usable = []
    try:
        encoded = faces[0].picture.read_encoded()
        image = decode_image(encoded, name=faces[0].picture.name)
    except (DatasetError, OSError) as error:
        for face in faces:
            left_out.add(face.name, error)
        return b"", []
    for face in faces:
        try:
            face.check_picture(image)
            usable.append(face)
        except DatasetError as error:
            left_out.add(face.name, error)
    return encoded, usable


@dataclass
class _Names:
    """Names of pictures, each given once."""

    _given: set[str] = field(default_factory=set)

    def give(self, folder: str, stem: str, suffix: str) -> str:
        """``folder/stem.jpg``, or with a number behind the stem where that is taken."""
        # Systems differ on whether a.jpg and A.jpg are one file, and .pts names by the stem.
        name, number = stem, 2
        while f"{folder}{name}".casefold() in self._given:
            name, number = f"{stem}_{number}", number + 1
        self._given.add(f"{folder}{name}".casefold())
        return f"{folder}{name}{suffix}"


def _stem_and_suffix(face: Face, encoded: bytes) -> tuple[str, str]:
    """A face's picture by name, without its suffix; and the suffix, which fits the bytes."""
    path = PurePosixPath(UNUSUAL.sub("_", name_key(picture_of(face.name))))
    suffix = path.suffix.lower()
    fitting = next((ends for magic, ends in MAGIC.items() if encoded.startswith(magic)), (suffix,))
    stem = str(path.with_suffix("")) if suffix in PICTURE_SUFFIXES else str(path)
    parts = (part.strip().lstrip(".") or "_" for part in stem.split("/"))
    return "/".join(parts), suffix if suffix in fitting else fitting[0]


@dataclass
class _Pictures:
    """The pictures of a format that keeps them apart from the labels."""

    out: Path
    names: _Names = field(default_factory=_Names)

    def add(self, face: Face, encoded: bytes) -> str:
        """Write a picture; its path from ``out``."""
        stem, suffix = _stem_and_suffix(face, encoded)
        name = self.names.give(f"{PICTURES}/", stem.removeprefix(f"{PICTURES}/"), suffix)
        write_bytes(self.out / name, encoded, durable=False)
        return name


class CsvFolder:
    """``labels.csv`` and the pictures."""

    def __init__(self, out: Path, dataset: Dataset) -> None:
        self._out = out
        self._points = dataset.scheme.points
        self._pictures = _Pictures(out)
        self._rows: list[tuple[str, Face]] = []

    def add(self, encoded: bytes, faces: Sequence[Face]) -> int:
        name = self._pictures.add(faces[0], encoded)
        self._rows += [(name, face) for face in faces]
        return 1

    def finish(self) -> tuple[str, ...]:
        marks = any(face.visibility is not None for _, face in self._rows)
        with (
            replacing(self._out / LABELS_CSV) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = CsvWriter(file, self._points, marks=marks, more=("split", "subset"))
            for name, face in self._rows:
                writer.write(name, face, (face.split or "", ";".join(face.subsets)))
        return ()


class CocoFolder:
    """A JSON file for each split, and the pictures."""

    def __init__(self, out: Path, dataset: Dataset) -> None:
        self._out = out
        self._scheme = dataset.scheme
        self._pictures = _Pictures(out)
        self._images: list[tuple[str, int, int]] = []  # name, width, height
        self._faces: defaultdict[str | None, list[tuple[int, Face]]] = defaultdict(list)

    def add(self, encoded: bytes, faces: Sequence[Face]) -> int:
        name = self._pictures.add(faces[0], encoded)
        height, width = decode_image(encoded, name=name).shape[:2]
        self._images.append((name.removeprefix(f"{PICTURES}/"), width, height))
        for face in faces:
            self._faces[face.split].append((len(self._images), face))
        return 1

    def finish(self) -> tuple[str, ...]:
        for split, faces in self._faces.items():
            for begin in range(0, len(faces), FACES_IN_A_FILE):
                part = faces[begin : begin + FACES_IN_A_FILE]
                number = f"_{begin // FACES_IN_A_FILE + 1}" if begin else ""
                known = f"_{split}" if split in SPLIT_FOLDERS.values() else ""
                path = self._out / "annotations" / f"face_landmarks{number}{known}.json"
                if path.exists():  # another split without a word of its own
                    path = path.with_stem(f"{path.stem}_{len(list(path.parent.iterdir()))}")
                write_text(path, "".join(self._text(part)))
        return ()

    def _text(self, faces: Sequence[tuple[int, Face]]) -> Iterator[str]:
        used = sorted({image for image, _ in faces})
        images = [
            dict(
                zip(("id", "file_name", "width", "height"), (i, *self._images[i - 1]), strict=True)
            )
            for i in used
        ]
        yield '{"info": ' + json.dumps({"description": "asmnet-kit data convert"})
        yield ',\n"categories": ' + json.dumps([_category(self._scheme)])
        yield ',\n"images": [' + ",\n".join(json.dumps(image) for image in images)
        yield '],\n"annotations": ['
        for number, (image, face) in enumerate(faces, start=1):
            yield (",\n" if number > 1 else "") + json.dumps(_annotation(number, image, face))
        yield "]}\n"


def _category(scheme: Scheme) -> dict[str, Any]:
    lines = [
        [first + 1, second + 1]
        for name, part in scheme.parts.items()
        if name not in scheme.dots
        for first, second in zip(
            part, (*part[1:], part[0]) if name in scheme.closed else part[1:], strict=False
        )
    ]
    return {
        "id": 1,
        "name": "face",
        "supercategory": "person",
        "keypoints": list(scheme.names),
        "skeleton": lines,
    }


def _annotation(number: int, image: int, face: Face) -> dict[str, Any]:
    """A face; ``v`` is "seen" where nothing is known, and a key of the kit's own says so."""
    labelled = face.labelled
    hidden = np.zeros(len(labelled), bool) if face.visibility is None else face.visibility == 0
    v = np.where(labelled, np.where(hidden, coco.HIDDEN, coco.SEEN), coco.UNLABELLED)
    visibility = {}
    if face.visibility is not None:
        seen = np.asarray(face.visibility, np.float32)
        if not np.array_equal(seen, coco.said_by(v), equal_nan=True):
            visibility = {coco.VISIBILITY: [None if np.isnan(one) else int(one) for one in seen]}
    rounded = np.round(np.nan_to_num(face.landmarks.astype(np.float64)), DECIMALS).tolist()
    came_with_it = face.detector_box is not None
    x0, y0, x1, y1 = (face.box if face.detector_box is None else face.detector_box).tolist()
    box = [x0, y0, x1 - x0, y1 - y0]
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "keypoints": [n for pair, mark in zip(rounded, v.tolist(), strict=True)
                      for n in (*pair, mark)],
        "num_keypoints": int(labelled.sum()),
        "bbox": [round(edge, DECIMALS) for edge in box],
        **({} if came_with_it else {coco.BOX_FROM_LANDMARKS: True}),
        "area": round(box[2] * box[3], DECIMALS),
        "iscrowd": 0,
        **({} if face.split is None else {"split": face.split}),
        "subsets": list(face.subsets),
        coco.VISIBILITY_KNOWN: face.visibility is not None,
        **visibility,
        **({} if face.pose is None else {"pose": np.round(face.pose, DECIMALS).tolist()}),
    }  # fmt: skip


class PtsFolders:
    """Pictures with a .pts beside each, in folders that say the split and one subset."""

    def __init__(self, out: Path, dataset: Dataset) -> None:
        self._out = out
        self._names = _Names()
        self._lost: dict[str, int] = {}

    def add(self, encoded: bytes, faces: Sequence[Face]) -> int:
        for face in faces:
            folder = self._folder(face)
            stem, suffix = _stem_and_suffix(face, encoded)
            stem = stem.rpartition("/")[2]
            if ibug300w.is_mirrored(stem):  # which the format leaves out
                stem += "_1"
            name = self._names.give(folder, stem, suffix)
            write_pts((self._out / name).with_suffix(".pts"), face.landmarks, durable=False)
            write_bytes(self._out / name, encoded, durable=False)
        return len(faces)

    def finish(self) -> tuple[str, ...]:
        os.sync()
        return tuple(f"{what}: {counted(count, 'face')}" for what, count in self._lost.items())

    def _folder(self, face: Face) -> str:
        """The folder that says most of a face's split and subsets, relative to ``out``."""
        subsets = [
            PRIVATE_FOLDERS.get(subset, subset)
            for subset in face.subsets
            if "/" not in UNUSUAL.sub("/", subset) and subset.strip(". ") == subset
        ]
        for wants in (self._is_all, self._is_one):
            for split in (face.split, None):
                for subset in (*subsets, None):
                    parts = tuple(part for part in (split, subset) if part)
                    if wants(face, ibug300w.split_and_subsets((), parts)):
                        self._note(face, ibug300w.split_and_subsets((), parts))
                        return "".join(f"{part}/" for part in parts)
        self._note(face, (None, ()))
        return ""

    @staticmethod
    def _is_all(face: Face, said: tuple[str | None, tuple[str, ...]]) -> bool:
        return said[0] == face.split and set(said[1]) == set(face.subsets)

    @staticmethod
    def _is_one(face: Face, said: tuple[str | None, tuple[str, ...]]) -> bool:
        return said[0] == face.split and set(said[1]) <= set(face.subsets)

    def _note(self, face: Face, said: tuple[str | None, tuple[str, ...]]) -> None:
        lost = {
            f"the folders of 300-W cannot say the split {face.split}": said[0] != face.split,
            "the folders of 300-W cannot say all subsets": set(said[1]) != set(face.subsets),
            ".pts files hold no head pose": face.pose is not None,
            ".pts files hold no box": face.detector_box is not None,
            ".pts files of 300-W hold no visibility": face.visibility is not None,
        }
        for what, is_lost in lost.items():
            if is_lost:
                self._lost[what] = self._lost.get(what, 0) + 1


WRITERS: dict[str, Callable[[Path, Dataset], Writer]] = {
    "csv": CsvFolder,
    "coco": CocoFolder,
    "300w": PtsFolders,
}
