"""Faces from files that list many: finding the pictures they name, numbering, checking.

Annotation tools and public sets write the labels of many pictures into one file. Their readers give
a ``Record`` for each face; what is alike in all of them is done here.
"""

import math
import os
import posixpath
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.console import counted
from asmnet_kit.base.errors import DatasetError
from asmnet_kit.base.reading import MAX_LABELS_BYTES, read_json, read_xml
from asmnet_kit.datasets.base import Face, Picture, PictureFile, Problem
from asmnet_kit.datasets.folders import (
    PICTURE_SUFFIXES,
    SPLIT_WORDS,
    Listing,
    PictureFinder,
    Reading,
    ancestors_of,
    inside,
    numbered,
    require_folder,
    walk,
)
from asmnet_kit.datasets.labels import FARTHEST, check_usable, points_of
from asmnet_kit.face.schemes import Scheme

LONGEST_PATH = 4096  # characters: Linux opens no longer one
SHOWN = 80  # characters of somebody's text in a message
FEW = 3  # files in a note
# Tools measure from the corner of the picture, this kit from the centre of the top-left pixel.
CORNER = -0.5
SPLIT_WORD = re.compile(rf"({'|'.join(SPLIT_WORDS)})\d*")  # val2017


class LabelFiles:
    """The annotation files of a data set: those below a folder, or a single one.

    Args:
        root: the folder or the file.
        suffix: of the files, lower case; or several.
        problems: where those go that cannot be read.

    Attributes:
        root: the folder, in which pictures are looked for.
        ancestors: what its path says about splits; nothing for a single file.

    Raises:
        UsageError: there is nothing at ``root``.
    """

    def __init__(self, root: Path, suffix: str | tuple[str, ...], problems: list[Problem]) -> None:
        self._suffix, self._problems = suffix, problems
        self._single = root.name if root.is_file() else None
        if self._single is None:
            require_folder(root)
        self.root = root if self._single is None else root.parent
        self.ancestors = ancestors_of(root) if self._single is None else ()

    def __iter__(self) -> Iterator[tuple[Listing, str]]:
        """The folder and the name of each file."""
        for listing in self.listings():
            for file in listing.files:
                if file.lower().endswith(self._suffix) or file == self._single:
                    yield listing, file

    def listings(self) -> Iterator[Listing]:
        """Every folder with all its files; of a single file the one it is in, with it alone."""
        if self._single is not None:
            yield Listing(self.root, (), (self._single,))
        else:
            yield from walk(self.root, self._problems)

    def json(self) -> Iterator[tuple[Listing, str, Any]]:
        """The same, and what each file says; one that is no JSON is a problem."""
        for listing, file in self:
            for content in self.json_of(listing, file):
                yield listing, file, content

    def json_of(self, listing: Listing, file: str) -> Iterator[Any]:
        """What a file says, once; nothing where it is a problem."""
        with self._told(listing, file):
            try:
                content = read_json(listing.folder / file, limit=MAX_LABELS_BYTES)
            except ValueError as error:
                raise ValueError(f"expected JSON: {error}") from error
            yield content

    def xml(
        self, record: str | tuple[str, ...], take: Callable[[Listing, str, Element], None]
    ) -> None:
        """Give every element called ``record`` to ``take``; a file that is no XML is a problem."""
        for listing, file in self:
            with self._told(listing, file):
                read_xml(listing.folder / file, record, partial(take, listing, file))

    @contextmanager
    def _told(self, listing: Listing, file: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = f"cannot be read: {error.strerror}"
        except ValueError as error:
            reason = str(error)
        else:
            return
        self._problems.append(Problem(listing.name_of(file), reason))

    def nothing(self, expected: str) -> DatasetError:
        """The error where no file is what was ``expected``; it names those that cannot be read."""
        unread = "".join(f"; {problem.name}: {problem.reason}" for problem in self._problems[:5])
        return DatasetError(
            f"{self.root}: expected {expected} at or below this folder, found none{unread}"
        )


def words_of(stem: str) -> list[str]:
    """The words of a file's name, lower case."""
    return [word for word in re.split(r"[^a-z0-9]+", stem.lower()) if word]


def split_and_rest(stem: str) -> tuple[str | None, str | None]:
    """The split that a word of a file's name says, and the words behind it (a subset's name)."""
    words = words_of(stem)
    for index, word in enumerate(words):
        if match := SPLIT_WORD.fullmatch(word):
            return SPLIT_WORDS[match[1]], "_".join(words[index + 1 :]) or None
    return None, None


@dataclass(frozen=True)
class Exported:
    """What a tool's export says of where a face's labels come from.

    Attributes:
        file: the export.
        task: the tool's number for the picture's labels, alike in every export; "" = not known.
        updated: when they were changed last, as text that sorts; "" = not known.
    """

    file: str
    task: str
    updated: str = ""


@dataclass(frozen=True, eq=False)
class Record:
    """A face as a file describes it.

    Attributes:
        where: the file and the place in it, for messages.
        name: of the picture, a POSIX path relative to the root of the data set.
        picture: the picture.
        pairs: float64 [N, 2], pixels, 0-based; NaN = no label.
        split, subsets, pose, box, visibility: as of ``Face``.
        address: of the picture, where the file has one of another machine, and only its end was
            looked for.
        exported: by a tool whose exports repeat each other.
    """

    where: str
    name: str
    picture: Picture
    pairs: NDArray[np.float64]
    split: str | None = None
    subsets: tuple[str, ...] = ()
    pose: NDArray[np.float32] | None = None
    box: NDArray[np.float32] | None = None
    visibility: NDArray[np.float32] | None = None
    address: str = ""
    exported: Exported | None = None


def add_faces(reading: Reading, records: Sequence[Record], scheme: Scheme | None = None) -> None:
    """The records' faces, each with a name of its own; those that cannot be used are problems.

    ``reading.points`` becomes what most records have, where it is 0.

    Args:
        scheme: of the points, where ``reading`` does not say it and there are as many.
    """
    if not records:
        return
    if not reading.points:
        reading.points = Counter(len(record.pairs) for record in records).most_common(1)[0][0]
    names = numbered([record.name for record in records])
    for record, name in zip(records, names, strict=True):
        try:
            reading.faces.append(_face(record, name, reading, scheme))
        except DatasetError as error:
            reading.problems.append(Problem(record.where, str(error)))


def _face(record: Record, name: str, reading: Reading, scheme: Scheme | None) -> Face:
    if len(record.pairs) != reading.points:
        raise DatasetError(
            f"expected {reading.points} points like the other faces, got {len(record.pairs)}"
        )
    landmarks = points_of(record.pairs)
    check_usable(landmarks, reading.scheme or scheme)
    return Face(
        name=name,
        picture=record.picture,
        landmarks=landmarks,
        subsets=record.subsets,
        pose=record.pose,
        detector_box=record.box,
        split=record.split,
        visibility=record.visibility,
    )


def merged(records: Sequence[Record], problems: list[Problem]) -> list[Record]:
    """The records, each face once: lists of a subset, or of all splits, repeat other lists' faces.

    The split is that of a list that says one; the subsets are those of all. A face that two lists
    put into different splits stays in the first one's, and is a problem.
    """
    faces: dict[tuple[str, bytes], Record] = {}
    for record in records:
        key = (record.name, record.pairs.tobytes())
        first = faces.setdefault(key, record)
        if first is record:
            continue
        if first.split is not None and record.split not in (None, first.split):
            reason = f"the same face is in the split {first.split} ({first.where}): left out here"
            problems.append(Problem(record.where, reason))
            continue
        subsets = tuple(dict.fromkeys((*first.subsets, *record.subsets)))
        faces[key] = replace(first, split=first.split or record.split, subsets=subsets)
    return list(faces.values())


def of_one_address(records: Sequence[Record], problems: list[Problem]) -> list[Record]:
    """The records without those of a picture that several addresses end at.

    Only one can be its own, and nothing says which: all of them are problems. Two spellings of an
    address are one, and so are the addresses of one task on two servers, or by two ways.
    """
    addresses: dict[str, dict[tuple[str, str], None]] = {}
    for record in records:
        addresses.setdefault(record.name, {})[_source(record)] = None
    kept = []
    for record in records:
        own, task = _source(record)
        others = sorted(
            address
            for address, other in addresses[record.name]
            if address != own
            and not (task and task == other and _on_server(address) == _on_server(own))
        )
        if others:
            reason = (
                f"expected a picture for {own[:SHOWN]} alone, got {record.name}, at "
                f"which {others[0][:SHOWN]} ends, too: put both there, in folders called as theirs"
            )
            problems.append(Problem(record.where, reason))
        else:
            kept.append(record)
    return kept


def _source(record: Record) -> tuple[str, str]:
    """The address of a record's picture in its plain spelling, and the tool's task."""
    server, mark, path = record.address.replace("\\", "/").rpartition("://")
    plain = posixpath.normpath(re.sub("/+", "/", path))
    return f"{server}{mark}{plain}", "" if record.exported is None else record.exported.task


def _on_server(address: str) -> str:
    """The path of an address, without the server it is on."""
    _, mark, path = address.rpartition("://")
    return path.partition("/")[2] if mark else path.lstrip("/")


def of_newest_export(records: Sequence[Record], reading: Reading) -> list[Record]:
    """The records without those of a task that another export has other labels of.

    The labels that were changed last stay, and a note of ``reading`` says so: nothing is wrong with
    an old export beside a new one. Where no export says when, the first ones stay and the others
    are problems. What two exports say alike is left to ``merged``.
    """
    tasks: dict[str, set[tuple[str, str]]] = {}  # of each file
    exports: dict[tuple[str, str], dict[Exported, list[Record]]] = {}
    for record in records:
        if record.exported is not None and record.exported.task:
            of_task = exports.setdefault((record.name, record.exported.task), {})
            of_task.setdefault(record.exported, []).append(record)
            tasks.setdefault(record.exported.file, set()).add((record.name, record.exported.task))
    dropped: dict[int, Exported] = {}
    for of_task in exports.values():
        newest = max(of_task, key=lambda one: one.updated)
        current = _labels(of_task[newest])
        for faces in of_task.values():
            if _labels(faces) != current:
                dropped |= {id(face): newest for face in faces}
    kept = []
    older: list[Exported] = []
    newer: list[Exported] = []
    for record in records:
        other = dropped.get(id(record))
        if other is None or record.exported is None:
            kept.append(record)
            continue
        if "" < record.exported.updated < other.updated:
            older.append(record.exported)
            newer.append(other)
            continue
        alike = tasks[record.exported.file] == tasks[other.file]
        reason = (
            f"{other.file} has other labels of the same task: "
            f"{'remove one of the two files' if alike else 'export all tasks anew, into one file'}"
        )
        reading.problems.append(Problem(record.where, reason))
    if older:
        reading.notes.append(
            f"left out the labels of {counted(len(older), 'face')} in {_files(older)}, since "
            f"{_files(newer)} has newer ones of the same tasks"
        )
    return kept


def _files(exports: Sequence[Exported]) -> str:
    files = list(dict.fromkeys(one.file for one in exports))
    more = f" and {counted(len(files) - FEW, 'more file')}" if len(files) > FEW else ""
    return ", ".join(files[:FEW]) + more


def _labels(faces: Sequence[Record]) -> frozenset[tuple[bytes, ...]]:
    return frozenset(
        tuple(
            b"" if one is None else one.tobytes() for one in (face.pairs, face.box, face.visibility)
        )
        for face in faces
    )


def usable_box(corners: Sequence[float]) -> NDArray[np.float32] | None:
    """x0, y0, x1, y1 as float32 [4]; None for what is no box of a picture (0 0 0 0 often)."""
    box = np.asarray(corners, np.float64)
    if not (np.abs(box) <= FARTHEST).all() or not (box[2:] > box[:2]).all():
        return None
    return box.astype(np.float32)


def known_visibility(
    visibility: Sequence[NDArray[np.float32] | None],
) -> list[NDArray[np.float32] | None]:
    """The marks of a file's faces, or None for each where no point of any is hidden.

    Tools have a mark for every point, and most people leave all of them at "seen".
    """
    if any(marks is not None and (marks == 0).any() for marks in visibility):
        return list(visibility)
    return [None] * len(visibility)


class PicturesBelow:
    """Finds the pictures that the annotation files of a data set name, nowhere but below its root.

    Args:
        root: of the data set.
        typed_in: a folder in which foreign paths below it were typed, and are looked for as well.
    """

    def __init__(self, root: Path, *, typed_in: Path | None = None) -> None:
        self._root, self._typed_in = root, typed_in
        self._finder = PictureFinder()

    def find(
        self,
        parts: tuple[str, ...],
        written: str,
        *,
        beside: Sequence[str] = (),
        foreign: bool = False,
    ) -> tuple[str, PictureFile]:
        """The name (relative to the root) and the picture.

        The file's own folder and those beside it come first, then those of the folder above.

        Args:
            parts: the annotation file's folder, relative to the root.
            written: the path in the file.
            beside: folders that pictures may be in, beside the file and in each folder above it.
            foreign: the path is that of another machine, or an address: only its end has to fit.

        Raises:
            DatasetError: there is none, or the path leaves the data set.
        """
        if len(written) > LONGEST_PATH:  # its ends together would be its length squared
            raise DatasetError(
                f"expected the path of a picture, at most {LONGEST_PATH} characters, got "
                f"{len(written)}: {written[:SHOWN]!r} ..."
            )
        try:
            os.fsencode(written)
        except UnicodeEncodeError as error:
            raise DatasetError(
                f"expected the path of a picture, got characters that no file's name has: "
                f"{written[:SHOWN]!r}"
            ) from error
        folders = _folders(parts, beside)
        ends = _ends(written) if foreign else [written] if _is_relative(written) else []
        candidates = [(self._root, inside(folder + end)) for end in ends for folder in folders]
        if foreign and self._typed_in is not None:
            # Before the ends of the path alone, which fit the picture of another folder, too.
            candidates.insert(len(folders), (self._typed_in, self._typed(written)))
        if not any(name for _, name in candidates):
            raise DatasetError(
                f"expected the path of a picture in the data set, got {written[:SHOWN]!r}"
            )
        for root, name in candidates:
            path = None if name is None else self._finder.find(root, name)
            if name is not None and path is not None:
                return name, PictureFile(path)
        places = [str(self._root / folder) for folder in folders[:4]]
        if foreign and self._typed_in is not None:
            places.append(str(self._typed_in))
        raise DatasetError(f"no picture {written[:SHOWN]} (looked in {', '.join(places)})")

    def _typed(self, written: str) -> str | None:
        """A path relative to the folder it was typed in; None where it leaves that."""
        path = Path(written)
        if self._typed_in is not None and path.is_relative_to(self._typed_in):
            path = path.relative_to(self._typed_in)
        return inside(str(path))

    def named(
        self, parts: tuple[str, ...], stem: str, *, beside: str | Sequence[str]
    ) -> tuple[str, PictureFile]:
        """The picture with a file's name, or that name and a picture's suffix.

        Args:
            parts: the folder in which those ``beside`` are, relative to the root.
            stem: the name.
            beside: the folders that the picture may be in.

        Raises:
            DatasetError: there is none.
        """
        folders = (beside,) if isinstance(beside, str) else beside
        above = "".join(f"{part}/" for part in parts)
        suffixes = ("", *PICTURE_SUFFIXES)
        for folder in folders:
            for suffix in suffixes:
                name = f"{above}{folder}/{stem}{suffix}"
                path = self._finder.find(self._root, name)
                if path is not None:
                    return name, PictureFile(path)
        raise DatasetError(f"no picture {stem} (or {stem}.jpg ...) in {' or '.join(folders)}")


def _folders(parts: tuple[str, ...], beside: Sequence[str]) -> list[str]:
    """The file's folder and those above it, each followed by those beside it; all end in ``/``."""
    found = []
    for depth in range(len(parts), -1, -1):
        above = "".join(f"{part}/" for part in parts[:depth])
        found += [above, *(f"{above}{folder}/" for folder in beside)]
    return found


def _is_relative(written: str) -> bool:
    """Whether a path has neither a root nor a drive, which a folder before it would hide."""
    return written[:1] not in ("/", "\\") and ":" not in written.replace("\\", "/").split("/")[0]


def _ends(written: str) -> list[str]:
    """The ends of a path, the longest first: of ``/ann/a.jpg`` ``ann/a.jpg`` and ``a.jpg``."""
    parts = [part for part in written.replace("\\", "/").split("/") if part not in ("", ".")]
    after = max((index for index, part in enumerate(parts) if part == ".."), default=-1) + 1
    parts = parts[after:]
    if parts and ":" in parts[0]:
        parts = parts[1:]
    return ["/".join(parts[index:]) for index in range(len(parts))]


def number_in(element: Element, attribute: str) -> float:
    """The number of an XML element's attribute.

    Raises:
        DatasetError: it is missing, or no finite number.
    """
    written = element.get(attribute)
    if written is None:
        raise DatasetError(f"expected the attribute {attribute} in <{element.tag}>")
    return finite(written, f'{attribute}="{written[:SHOWN]}"')


def sides_in(image: Element) -> tuple[float, float] | None:
    """The width and the height of an XML image; None where it does not have both.

    Raises:
        DatasetError: one is no number.
    """
    if not (image.get("width") and image.get("height")):
        return None
    return number_in(image, "width"), number_in(image, "height")


def finite(value: Any, shown: str | None = None) -> float:
    """A number of a file, written as a number or as text.

    Raises:
        DatasetError: it is something else, or not finite.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TypeError
        number = float(value)
        if not math.isfinite(number):
            raise ValueError
    except (TypeError, ValueError, OverflowError) as error:
        shown = repr(value)[:SHOWN] if shown is None else shown
        raise DatasetError(f"expected a finite number, got {shown}") from error
    return number
