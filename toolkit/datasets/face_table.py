"""The labels of a prepared data set in one table, so that starting reads no picture.

``data prepare`` writes two files beside the shards, which ``dataset.json`` describes under
``table``: ``faces.table``, one row of ``row_type`` a face in the order of the shards, and
``faces.names``, the faces' names one behind the other. Memory holds what is looked at: the files
are mapped, and a ``Face`` is made when it is asked for. A picture's checksum is compared when the
picture is read.
"""

import hashlib
import json
import mmap
import operator
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol, overload

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.base.files import replacing
from asmnet_kit.datasets.base import ColumnFaces, Face, FileSlice, Picture
from asmnet_kit.face.pictures import Image, decode_image

VERSION = 1
ROWS, NAMES = "faces.table", "faces.names"
UNKNOWN = -1  # of a point's visibility
MOST_SUBSETS, MOST_SPLITS = 64, 255
NO_SPLIT = 255
AT_ONCE = 4096  # faces of whose labels a copy is made
Part = slice | NDArray[np.int64]  # of some faces: from one to another, or by their indices
# A subset's name and a face's are written as JSON writes them into a fingerprint.
quoted = json.encoder.encode_basestring_ascii
NOT_PLAIN = re.compile(rb"[^ !#-\[\]-~]")  # what does not stand there as it is


def row_type(points: int) -> np.dtype[Any]:
    """What the table knows of a face of so many landmarks; numbers are little-endian.

    NaN stands for what has no value: a landmark without a label, a face without a pose or a box.
    """
    return np.dtype(
        [
            ("name_end", "<u8"),  # in faces.names; the name begins where the one before ends
            ("shard", "<u4"),  # its number among the shards by name
            ("offset", "<u8"),  # of the encoded picture in its shard
            ("length", "<u4"),
            ("crc32", "<u4"),  # of the encoded picture
            ("landmarks", "<f4", (points, 2)),
            ("pose", "<f4", (3,)),
            ("fitted_pose", "<f4", (3,)),
            ("detector_box", "<f4", (4,)),
            ("knows_visibility", "?"),
            ("visibility", "i1", (points,)),  # 1 seen, 0 hidden, UNKNOWN
            ("split", "u1"),  # its number among the names in dataset.json, or NO_SPLIT
            ("subsets", "<u8"),  # a bit for each of the names there
        ]
    )


class Store(Protocol):
    """Where the shards lie."""

    def __hash__(self) -> int: ...

    def picture(self, shard: str, offset: int, length: int, crc32: int) -> Picture: ...

    def pictures(self, places: Sequence[tuple[str, int, int, int]]) -> list[Picture]:
        """Several at once, which may be in memory then."""

    def place(self, shard: str) -> str:
        """A shard, however its folder was named."""


class TableWriter:
    """Writes the table of a data set shard by shard; memory holds the labels of few faces."""

    def __init__(self, rows: BinaryIO, names: BinaryIO, points: int) -> None:
        self._rows, self._names, self._type = rows, names, row_type(points)
        self._digests = {ROWS: hashlib.sha256(), NAMES: hashlib.sha256()}
        self._splits: list[str] = []
        self._subsets: list[str] = []
        self._shards: list[str] = []
        self._faces = self._end = 0
        self._fits = True

    def add(self, shard: str, faces: Iterable[Face]) -> None:
        """The faces of the next shard, in its order."""
        self._shards.append(shard)
        waiting = iter(faces)
        while part := list(islice(waiting, AT_ONCE)):
            self._append(self._rows_of(part), [face.name for face in part])

    def _rows_of(self, faces: Sequence[Face]) -> NDArray[Any]:
        """What the rows say, but for names and shard."""
        rows = np.zeros(len(faces), self._type)
        for row, face in zip(rows, faces, strict=True):
            assert isinstance(face.picture, FileSlice)
            row["offset"], row["length"] = face.picture.offset, face.picture.length
            row["crc32"] = zlib.crc32(face.picture.read_encoded())
            row["landmarks"] = face.landmarks
            for column in ("pose", "fitted_pose", "detector_box"):
                value = getattr(face, column)
                row[column] = np.nan if value is None else value
            if face.visibility is not None:
                row["knows_visibility"] = True
                row["visibility"] = np.nan_to_num(face.visibility, nan=UNKNOWN)
                self._fits &= bool(np.isin(row["visibility"], (0, 1, UNKNOWN)).all())
            row["split"] = NO_SPLIT
            if face.split is not None:
                row["split"] = self._number(face.split, self._splits, MOST_SPLITS)
            for subset in face.subsets:
                bit = self._number(subset, self._subsets, MOST_SUBSETS)
                row["subsets"] |= np.uint64(1 << bit)
            self._fits &= len(set(face.subsets)) == len(face.subsets)
        return rows

    def add_rows(self, shard: str, rows: NDArray[Any], names: Sequence[str]) -> None:
        """The next shard's faces as rows, but for their names and their shard's number."""
        self._shards.append(shard)
        self._append(rows, names)

    def _append(self, rows: NDArray[Any], names: Sequence[str]) -> None:
        encoded = [name.encode("utf-8", "surrogateescape") for name in names]
        rows["name_end"] = self._end + np.cumsum([len(name) for name in encoded])
        rows["shard"] = len(self._shards) - 1
        self._write(self._names, NAMES, b"".join(encoded))
        self._write(self._rows, ROWS, rows.tobytes())
        self._end += sum(map(len, encoded))
        self._faces += len(rows)

    def entry(self) -> dict[str, Any] | None:
        """What ``dataset.json`` says of it; None where the faces do not fit into a table."""
        if not self._fits or not self._faces:
            return None
        return {
            "version": VERSION,
            "faces": self._faces,
            "sha256": {name: digest.hexdigest() for name, digest in self._digests.items()},
            "name_bytes": self._end,
            "shards": self._shards,
            "splits": self._splits,
            "subsets": self._subsets,
        }

    def _write(self, file: BinaryIO, name: str, content: bytes) -> None:
        file.write(content)
        self._digests[name].update(content)

    def _number(self, name: str, known: list[str], most: int) -> int:
        if name not in known:
            known.append(name)
            self._fits &= len(known) <= most
        return min(known.index(name), most - 1)


@contextmanager
def writing_table(folder: Path, *, points: int) -> Iterator[TableWriter]:
    """A table in ``folder``, which is there once the block has ended well."""
    with (
        replacing(folder / ROWS) as rows_path,
        replacing(folder / NAMES) as names_path,
        rows_path.open("wb") as rows,
        names_path.open("wb") as names,
    ):
        yield TableWriter(rows, names, points)


@dataclass(frozen=True, eq=False)
class FaceTable(ColumnFaces):
    """Some faces of a table, in the order of their names.

    Attributes:
        rows: [F] of ``row_type``, mapped.
        names: all names, mapped.
        chosen: int64 [M], which rows these faces are.
        shards, splits, subsets: their names, by number.
        store: where the shards lie.
        in_order: whether they are known to be in the order of their names.
    """

    rows: NDArray[Any]
    names: "bytes | mmap.mmap"
    chosen: NDArray[np.int64]
    shards: tuple[str, ...]
    splits: tuple[str, ...]
    subsets: tuple[str, ...]
    store: Store
    in_order: bool = False

    def __len__(self) -> int:
        return len(self.chosen)

    @overload
    def __getitem__(self, index: int) -> Face: ...

    @overload
    def __getitem__(self, index: slice) -> "FaceTable": ...

    def __getitem__(self, index: "int | slice") -> "Face | FaceTable":
        if isinstance(index, slice):
            return self._narrowed(index)
        row = self.rows[self.chosen[index]]
        return self._face(int(self.chosen[index]), self.store.picture(*self._place(row)))

    def __iter__(self) -> Iterator[Face]:
        return (self[index] for index in range(len(self)))

    def among(self, places: NDArray[np.int64]) -> "FaceTable":
        """The faces at these places, in this order."""
        return replace(self, chosen=self.chosen[places], in_order=False)

    def _narrowed(self, part: "slice | NDArray[np.bool_]") -> "FaceTable":
        """Some of these faces, in the same order."""
        backwards = isinstance(part, slice) and (part.step or 1) < 0
        return replace(self, chosen=self.chosen[part], in_order=self.in_order and not backwards)

    def with_pictures(self, indices: Sequence[int]) -> list[Face]:
        """Faces whose pictures are asked for together, where that is quicker."""
        rows = self.chosen[np.asarray(indices, np.int64)]
        pictures = self.store.pictures([self._place(self.rows[row]) for row in rows])
        return [self._face(int(row), one) for row, one in zip(rows, pictures, strict=True)]

    def column(self, name: str, part: Part = slice(None)) -> NDArray[Any]:
        """A copy of one column of these faces, or of a part of them."""
        return np.asarray(self.rows[name][self.chosen[part]])

    def parts(self) -> Iterator[slice]:
        """Slices of these faces that are handled at once."""
        return (slice(first, first + AT_ONCE) for first in range(0, len(self), AT_ONCE))

    def landmarks(self, part: Part = slice(None)) -> NDArray[np.float32]:
        """float32 [M, N, 2]."""
        return self.column("landmarks", part).astype(np.float32, copy=False)

    def iterate_names(self) -> Iterator[str]:
        """The faces' names, without making the faces."""
        return (name for names in self._encoded_names() for name in map(_decoded, names))

    def _encoded_names(self) -> Iterator[list[bytes]]:
        """The faces' names as they are written, those of each of ``parts``."""
        for part in self.parts():
            rows = self.chosen[part]
            ends = self.rows["name_end"][rows].astype(np.int64)
            before = self.rows["name_end"][np.maximum(rows - 1, 0)].astype(np.int64)
            starts = np.where(rows > 0, before, 0)
            first = int(starts[0])
            content, begin = self.names, 0
            if (starts[1:] == ends[:-1]).all():  # one behind the other: read together
                content, begin = self.names[first : int(ends[-1])], first
            places = zip((starts - begin).tolist(), (ends - begin).tolist(), strict=True)
            yield [content[start:end] for start, end in places]

    def sorted_by_name(self) -> "FaceTable":
        """The same faces in the order of their names."""
        names = list(self.iterate_names())
        return self.among(np.array(sorted(range(len(names)), key=names.__getitem__), np.int64))

    def of_split(self, name: str | None) -> "FaceTable":
        """Those of a split, or of none; empty where there are none."""
        number = self.splits.index(name) if name in self.splits else -1
        number = NO_SPLIT if name is None else number
        return self._narrowed(self.column("split") == number)

    def of_subset(self, name: str) -> "FaceTable":
        """Those of a subset; none where no face is in it."""
        bit = 1 << self.subsets.index(name) if name in self.subsets else 0
        return self._narrowed((self.column("subsets") & np.uint64(bit)) != 0)

    def shard_places(self) -> set[str]:
        """Where the shards of these faces lie."""
        return {self.store.place(self.shards[n]) for n in np.unique(self.column("shard")).tolist()}

    def picture_keys(self) -> NDArray[np.uint64]:
        """uint64 [M]: pictures that are the same have the same; others hardly ever."""
        length = self.column("length").astype(np.uint64)
        return np.asarray(length << np.uint64(32) | self.column("crc32").astype(np.uint64))

    def fingerprint(self) -> str:
        """``Dataset.fingerprint``."""
        digest = hashlib.sha256()
        ordered = self.names_in_order
        for part, names in zip(ordered.parts(), ordered._encoded_names(), strict=True):
            landmarks = ordered.landmarks(part).astype("<f4", copy=False)
            content = landmarks.reshape(-1).view(np.uint8).data
            width = len(content) // len(names)
            starts = range(0, len(content), width)
            sizes = ordered.column("length", part).tolist()
            pieces: list[bytes | memoryview] = []
            for name, size, start in zip(names, sizes, starts, strict=True):
                pieces += (b"%b\0%d\0" % (name, size), content[start : start + width])
            digest.update(b"".join(pieces))
        return digest.hexdigest()

    def labels_fingerprint(self, *, with_visibility: bool) -> str:
        """The digest of ``Dataset.labels_fingerprint``."""
        digest = hashlib.sha256()
        ordered = self.names_in_order
        splits = {n: quoted(name) for n, name in enumerate(self.splits)} | {NO_SPLIT: "null"}
        behind: dict[tuple[int, int], bytes] = {}  # a name in its list, by split and subsets
        for part, names in zip(ordered.parts(), ordered._encoded_names(), strict=True):
            rows = ordered.rows[ordered.chosen[part]]
            if NOT_PLAIN.search(b"".join(names)):
                names = [quoted(_decoded(name))[1:-1].encode() for name in names]
            pose, box = _numbers(rows["pose"]), _numbers(rows["detector_box"])
            pieces: list[bytes] = []
            groups = zip(rows["split"].tolist(), rows["subsets"].tolist(), strict=True)
            columns = zip(groups, pose, box, names, strict=True)
            for number, (group, own_pose, own_box, name) in enumerate(columns):
                if group not in behind:
                    subsets = json.dumps(sorted(self._subsets_of(group[1])))
                    behind[group] = f'", {splits[group[0]]}, {subsets}]'.encode()
                pieces += (b'["', name, behind[group], own_pose, own_box)
                if with_visibility:
                    seen = _visibility(rows[number])
                    seen = np.empty(0, np.float32) if seen is None else seen
                    pieces.append(json.dumps(np.nan_to_num(seen, nan=-1).tolist()).encode())
            digest.update(b"".join(pieces))
        return digest.hexdigest()

    @property
    def knows_visibility(self) -> bool:
        """Whether it is known of any of these faces which points can be seen."""
        return bool(self.column("knows_visibility").any())

    @cached_property
    def names_in_order(self) -> "FaceTable":
        """These faces as ``sorted_by_name`` has them; themselves where they are so already."""
        if self.in_order:
            return self
        before = ""
        for part in self._encoded_names():
            names = [before, *map(_decoded, part)]
            if any(map(operator.gt, names, names[1:])):
                return self.sorted_by_name()
            before = names[-1]
        return self

    def _place(self, row: Any) -> tuple[str, int, int, int]:
        shard = self.shards[int(row["shard"])]
        return shard, int(row["offset"]), int(row["length"]), int(row["crc32"])

    def _subsets_of(self, bits: int) -> tuple[str, ...]:
        return tuple(name for n, name in enumerate(self.subsets) if bits >> n & 1)

    def _face(self, number: int, picture: Picture) -> Face:
        row = self.rows[number]
        start = int(self.rows["name_end"][number - 1]) if number else 0
        split = int(row["split"])
        return Face(
            name=self.names[start : int(row["name_end"])].decode("utf-8", "surrogateescape"),
            picture=picture,
            landmarks=np.array(row["landmarks"], np.float32),
            subsets=self._subsets_of(int(row["subsets"])),
            pose=_value(row["pose"]),
            fitted_pose=_value(row["fitted_pose"]),
            detector_box=_value(row["detector_box"]),
            split=None if split == NO_SPLIT else self.splits[split],
            visibility=_visibility(row),
        )


def _decoded(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _value(numbers: NDArray[Any]) -> NDArray[np.float32] | None:
    return None if np.isnan(numbers).any() else np.array(numbers, np.float32)


def _visibility(row: Any) -> NDArray[np.float32] | None:
    if not row["knows_visibility"]:
        return None
    marks = row["visibility"].astype(np.float32)
    return np.asarray(np.where(marks == UNKNOWN, np.float32(np.nan), marks), np.float32)


def _numbers(values: NDArray[Any]) -> list[bytes]:
    """A pose or box of each face as ``Dataset.labels_fingerprint`` takes it."""
    # + 0: -0 is the same angle as 0.
    known = ~np.isnan(values).any(axis=1)
    if not known.any():
        return [b"\0"] * len(values)
    content = np.add(values, 0, dtype="<f4").tobytes()
    width = values.shape[1] * 4
    length = bytes([width])
    return [
        length + content[n * width : (n + 1) * width] if there else b"\0"
        for n, there in enumerate(known.tolist())
    ]


def open_table(
    rows_path: Path,
    names_path: Path,
    index: Mapping[str, Any],
    *,
    where: str,
    store: Store,
) -> FaceTable:
    """All faces of a table, in the order of their names.

    Args:
        rows_path, names_path: the files, on this machine.
        index: the content of ``dataset.json``.
        where: the data set, for messages.

    Raises:
        DatasetError: the files are not those that ``index`` describes.
    """
    # The splits are asked for first, then the faces of one or two of them.
    return _opened(
        (rows_path, rows_path.stat().st_mtime_ns),
        (names_path, names_path.stat().st_mtime_ns),
        int(index["points"]),
        json.dumps(index.get("table")),
        where,
        store,
    )


@lru_cache(maxsize=4)
def _opened(
    rows_file: tuple[Path, int],
    names_file: tuple[Path, int],
    points: int,
    table: str,
    where: str,
    store: Store,
) -> FaceTable:
    """``open_table``, for files of these times of their last change."""
    entry = json.loads(table)
    try:
        kind = row_type(points)
        if not isinstance(entry, dict) or entry["version"] != VERSION:
            raise DatasetError(
                f"{where}: expected a table of version {VERSION}; run data prepare again"
            )
        sizes = {ROWS: int(entry["faces"]) * kind.itemsize, NAMES: int(entry["name_bytes"])}
        digests = {name: str(entry["sha256"][name]) for name in sizes}
        splits, subsets = (tuple(map(str, entry[key])) for key in ("splits", "subsets"))
        shards = tuple(map(str, entry["shards"]))
        if any(Path(shard).name != shard or shard in ("", "..") for shard in shards):
            raise DatasetError(f"{where}: expected shards beside dataset.json, got paths")
    except (KeyError, TypeError, ValueError) as error:  # a DatasetError is none of these
        raise DatasetError(f"{where}: expected the table that data prepare describes") from error
    files = {}
    for name, path in ((ROWS, rows_file[0]), (NAMES, names_file[0])):
        files[name] = _mapped(path)
        found = hashlib.sha256(files[name]).hexdigest()
        if len(files[name]) != sizes[name] or found != digests[name]:
            raise DatasetError(
                f"{where}: {name} is damaged or of another data set; run data prepare again"
            )
    rows = np.frombuffer(files[ROWS], kind)
    if not _is_sound(rows, sizes[NAMES], len(shards), len(splits), len(subsets)):
        raise DatasetError(f"{where}: expected {ROWS} as data prepare writes it")
    everything = np.arange(len(rows), dtype=np.int64)
    faces = FaceTable(rows, files[NAMES], everything, shards, splits, subsets, store)
    return replace(faces.names_in_order, in_order=True)


def _is_sound(rows: NDArray[Any], name_bytes: int, shards: int, splits: int, subsets: int) -> bool:
    """Whether rows, whose file may be somebody else's, speak of what is there."""
    end = 0
    for first in range(0, len(rows), AT_ONCE):
        part = rows[first : first + AT_ONCE]
        ends = np.array([end, *part["name_end"].tolist()], np.uint64)
        split = part["split"]
        if (
            (ends[1:] <= ends[:-1]).any()
            or (part["shard"] >= shards).any()
            or ((split >= splits) & (split != NO_SPLIT)).any()
            or any(bits >> subsets for bits in np.unique(part["subsets"]).tolist())
            or np.isinf(part["landmarks"]).any()
        ):
            return False
        end = int(ends[-1])
    return end == name_bytes


def _mapped(path: Path) -> "bytes | mmap.mmap":
    with path.open("rb") as file:
        if not path.stat().st_size:
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


@dataclass(frozen=True)
class CheckedPicture:
    """An encoded picture in memory, or in a file, whose checksum is known.

    Attributes:
        source: where it is.
        crc32: of its bytes.
    """

    source: FileSlice
    crc32: int

    @property
    def name(self) -> str:
        return self.source.name

    def size_bytes(self) -> int:
        return self.source.length

    def read_encoded(self) -> bytes:
        return checked(self.source.read_encoded(), self.crc32, self.name)

    def read(self) -> Image:
        return decode_image(self.read_encoded(), name=self.name)


@dataclass(frozen=True)
class FetchedPicture:
    """An encoded picture in memory."""

    name: str
    encoded: bytes

    def size_bytes(self) -> int:
        return len(self.encoded)

    def read_encoded(self) -> bytes:
        return self.encoded

    def read(self) -> Image:
        return decode_image(self.encoded, name=self.name)


def checked(content: bytes, crc32: int, name: str) -> bytes:
    """``content``, if its checksum is as it should be.

    Raises:
        DatasetError: it is not.
    """
    if zlib.crc32(content) != crc32:
        raise DatasetError(
            f"{name}: damaged: the checksum of this picture does not match; remove the file and "
            "run data prepare again"
        )
    return content


@dataclass(frozen=True)
class LocalStore:
    """Shards in a folder."""

    folder: Path

    def picture(self, shard: str, offset: int, length: int, crc32: int) -> Picture:
        return CheckedPicture(FileSlice(self.folder / shard, offset, length), crc32)

    def pictures(self, places: Sequence[tuple[str, int, int, int]]) -> list[Picture]:
        return [self.picture(*place) for place in places]

    def place(self, shard: str) -> str:
        return str((self.folder / shard).resolve())
