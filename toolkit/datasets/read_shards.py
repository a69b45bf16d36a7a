"""Prepared data sets: TFRecord shards, read without TensorFlow, each picture at random access.

``data prepare`` writes ``SPLIT-00000.tfrecord``, ``SPLIT-00001.tfrecord`` ... (``all-...`` for
faces of no split; another word where a file cannot be called like the split, which each record
says) and, last, ``dataset.json``. Each record is a tf.train.Example of one face:

| feature | kind | content |
|---|---|---|
| ``image/encoded`` | bytes, 1 | the face and its surroundings, JPEG or PNG |
| ``image/format`` | bytes, 1 | ``jpeg`` or ``png`` |
| ``landmarks`` | float, 2 N | x, y of each point, 0-based pixels of that picture; NaN = no label |
| ``pose`` | float, 3 or 0 | yaw, pitch, roll in degrees |
| ``detector_box`` | float, 4 or 0 | x0, y0, x1, y1 in that picture's pixels |
| ``visibility`` | float, N or 0 | 1 a point can be seen, 0 it is hidden, NaN unknown |
| ``name`` | bytes, 1 | of the face in its original data set |
| ``split`` | bytes, 1 or 0 | |
| ``subsets`` | bytes, any | |
| ``fitted_pose`` | float, 3 or 0 | that the landmarks imply, where there is no ``pose`` |

A data set that is large, or on a server, is opened by the table of labels beside its shards
(``face_table``), without reading them.
"""

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.reading import parse_json, read_json
from asmnet_kit.datasets.base import Face, FileSlice, Problem
from asmnet_kit.datasets.face_table import NAMES, ROWS, FaceTable, LocalStore, open_table
from asmnet_kit.datasets.folders import Reading, require_folder, walk
from asmnet_kit.datasets.remote import remote_table
from asmnet_kit.datasets.stored_faces import FaceList
from asmnet_kit.datasets.tfrecord import (
    Feature,
    Span,
    bytes_at,
    is_damaged,
    parse_example,
    record_spans,
)
from asmnet_kit.face.schemes import Scheme, scheme_from

SCHEMA_VERSION = 1
INDEX = "dataset.json"
SUFFIX = ".tfrecord"
# A smaller data set on this machine is read whole, so that damage shows before the training.
TABLE_FROM = 10_000  # faces
RECORDS_AT_ONCE = 1024  # after which a mapped shard is let go


def read(root: Path) -> Reading:
    """All faces of the prepared data sets at and below ``root``, or of a single shard's folder.

    Pictures stay in their shards (``FileSlice``). A record whose checksum does not match is a
    problem of its own: a flipped bit in its landmarks would show nowhere else.

    Raises:
        DatasetError: nothing prepared there, preparing was interrupted, a shard is cut off,
            missing or of another kind, or the data sets differ in their number of points.
    """
    require_folder(root)
    reading = Reading(points=0)
    for listing in walk(root, reading.problems):
        shards = [listing.folder / file for file in listing.files if file.endswith(SUFFIX)]
        if INDEX not in listing.files:
            if shards:
                raise DatasetError(
                    f"{listing.folder}: expected {INDEX} beside the shards; preparing was "
                    "interrupted: run the same data prepare command again, it continues"
                )
            continue
        index = read_index(listing.folder / INDEX)
        if not shards and "shards" not in index:
            continue  # the index of another kind of data set
        _check_shards(listing.folder, index, shards)
        points = int(index["points"])
        if reading.points not in (0, points):
            raise DatasetError(
                f"{listing.folder}: expected {reading.points} points like its siblings, "
                f"got {points}"
            )
        reading.points = points
        scheme = _scheme_of(listing.folder / INDEX, index)
        if reading.scheme not in (None, scheme):
            raise DatasetError(f"{listing.folder}: expected the scheme of its siblings")
        reading.scheme = scheme
        reading.origins.add(str(index.get("format", "")))
        prefix = "".join(f"{part}/" for part in listing.parts)
        for shard in shards:
            faces, damaged = _read_shard(shard, points, prefix)
            reading.faces.extend(faces)
            reading.problems += damaged
    if not reading.points:
        raise DatasetError(
            f"{root}: expected a folder written by data prepare ({INDEX} and *{SUFFIX} files)"
        )
    return reading


def open_labels(place: Path | str) -> "tuple[FaceTable, Scheme, str] | None":
    """The faces of a prepared data set by its table, their scheme, and the format they were of.

    Args:
        place: its folder, or the address of that on a server.

    Returns:
        None of a folder that is to be read whole: a small one, one of several data sets, or one of
        an earlier version.

    Raises:
        DatasetError: a file is missing, damaged or of another kind.
    """
    if isinstance(place, str):
        table, index = remote_table(place, _parsed_index)
        return table, _scheme_of(place, index), str(index.get("format", ""))
    path = place / INDEX
    if not path.is_file():
        return None
    index = read_index(path)
    entry = index.get("table")
    faces = entry.get("faces") if isinstance(entry, dict) else None
    if not isinstance(faces, int) or faces < TABLE_FROM:
        return None
    _check_shards(place, index, sorted(place.glob(f"*{SUFFIX}")))
    table = open_table(
        place / ROWS, place / NAMES, index, where=str(place), store=LocalStore(place)
    )
    return table, _scheme_of(path, index), str(index.get("format", ""))


def read_index(path: Path) -> dict[str, Any]:
    """The content of a ``dataset.json``.

    Raises:
        DatasetError: it is no JSON object of a known version.
    """
    try:
        index = read_json(path)
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise DatasetError(f"{path}: expected JSON: {error}") from error
    return _checked_index(index, path)


def _parsed_index(content: bytes, where: str) -> dict[str, Any]:
    """The content of a ``dataset.json`` that was fetched.

    Raises:
        DatasetError: as ``read_index``, or it lacks what a data set's has.
    """
    try:
        index = _checked_index(parse_json(content.decode()), where)
    except ValueError as error:
        raise DatasetError(f"{where}: expected JSON: {error}") from error
    if not isinstance(index.get("points"), int):
        raise DatasetError(f"{where}: expected the dataset.json that data prepare writes")
    return index


def _checked_index(index: Any, path: Path | str) -> dict[str, Any]:
    if not isinstance(index, dict):
        raise DatasetError(f"{path}: expected a JSON object, got {type(index).__name__}")
    if index.get("schema_version") != SCHEMA_VERSION:
        raise DatasetError(
            f"{path}: expected schema_version {SCHEMA_VERSION}, got {index.get('schema_version')!r}"
        )
    return index


def _scheme_of(path: Path | str, index: dict[str, Any]) -> Scheme:
    """What an index says its points are: a built-in scheme's name, or all of another one.

    Raises:
        DatasetError: neither, or one of another number of points.
    """
    said = index.get("scheme", str(index["points"]))  # earlier versions knew 68 and 98
    try:
        scheme = scheme_from(said, where=str(path))
    except UsageError as error:
        raise DatasetError(str(error)) from error
    if scheme.points != index["points"]:
        raise DatasetError(
            f"{path}: expected a scheme of {index['points']} points, got {scheme.points}"
        )
    return scheme


def _check_shards(folder: Path, index: dict[str, Any], shards: list[Path]) -> None:
    expected = index.get("shards")
    if not isinstance(expected, dict) or not isinstance(index.get("points"), int):
        raise DatasetError(f"{folder / INDEX}: expected the keys shards and points")
    found = {shard.name for shard in shards}
    for name in sorted(found ^ set(expected)):
        state = "is missing" if name in expected else f"is not listed in {INDEX}"
        raise DatasetError(f"{folder / name}: this shard {state}; run data prepare again")
    for shard in shards:
        size = shard.stat().st_size
        if size != expected[shard.name]:
            raise DatasetError(
                f"{shard}: cut off or changed: expected {expected[shard.name]} bytes, got {size}; "
                "remove the file and run data prepare again"
            )


def read_shard(path: Path, *, points: int) -> Sequence[Face]:
    """The faces of one whole shard, in its order.

    Args:
        points: landmarks that each record must have.

    Raises:
        DatasetError: the file is cut off, damaged or holds something else.
    """
    faces, damaged = _read_shard(path, points, "")
    if damaged:
        raise DatasetError(
            f"{path.parent / damaged[0].name}: {damaged[0].reason}; remove the file and run data "
            "prepare again"
        )
    return faces


def _read_shard(path: Path, points: int, prefix: str) -> tuple[FaceList, list[Problem]]:
    """The faces whose names begin with ``prefix``, and the records that are damaged."""
    faces = FaceList()
    damaged: list[Problem] = []
    if path.stat().st_size == 0:
        return faces, damaged
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for record, span in enumerate(record_spans(path, content)):
            if record % RECORDS_AT_ONCE == 0:
                # What was read stays in the system's cache, and is no memory of this process.
                content.madvise(mmap.MADV_DONTNEED)
            if is_damaged(content, span):
                reason = "damaged: the checksum of its data does not match"
                damaged.append(Problem(f"{prefix}{path.name}, record {record}", reason))
                continue
            try:
                faces.append(_face(path, content, span, points, prefix))
            except ValueError as error:
                raise DatasetError(f"{path}: record {record}: {error}") from error
    return faces, damaged


def _face(path: Path, content: mmap.mmap, span: Span, points: int, prefix: str) -> Face:
    """The face of one record; ValueError where it is not what ``data prepare`` writes."""
    features = parse_example(content, span)
    pictures = _spans(features, "image/encoded")
    names = _texts(content, features, "name")
    splits = _texts(content, features, "split")
    landmarks = _floats(features, "landmarks")
    if len(pictures) != 1 or len(names) != 1:
        raise ValueError("expected one image/encoded and one name")
    if landmarks is None or len(landmarks) != 2 * points:
        count = 0 if landmarks is None else len(landmarks)
        raise ValueError(f"expected {2 * points} numbers in landmarks, got {count}")
    return Face(
        name=prefix + names[0],
        picture=FileSlice(path, pictures[0].offset, pictures[0].length),
        landmarks=landmarks.reshape(points, 2),
        subsets=_texts(content, features, "subsets"),
        pose=_floats(features, "pose", length=3),
        detector_box=_floats(features, "detector_box", length=4),
        split=splits[0] if splits else None,
        visibility=_floats(features, "visibility", length=points),
        fitted_pose=_floats(features, "fitted_pose", length=3),
    )


def _spans(features: dict[str, Feature], name: str) -> tuple[Span, ...]:
    value = features.get(name, ())
    if not isinstance(value, tuple):
        raise ValueError(f"expected bytes in {name}, got numbers")
    return value


def _texts(content: mmap.mmap, features: dict[str, Feature], name: str) -> tuple[str, ...]:
    return tuple(
        bytes_at(content, span).decode("utf-8", "surrogateescape")
        for span in _spans(features, name)
    )


def _floats(
    features: dict[str, Feature], name: str, length: int | None = None
) -> NDArray[np.float32] | None:
    """The numbers of a feature; None where it is empty or missing."""
    value = features.get(name, ())
    if len(value) == 0:
        return None
    if not isinstance(value, np.ndarray):
        raise ValueError(f"expected numbers in {name}, got bytes")
    if length is not None and len(value) != length:
        raise ValueError(f"expected {length} numbers in {name}, got {len(value)}")
    return value
