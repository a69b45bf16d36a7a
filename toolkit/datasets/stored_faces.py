"""Many faces outside of memory: their labels lie in a temporary file, from which faces are made.

A hundred thousand faces as Python objects take 200 MB and more. ``FaceList`` is what readers add
faces to: few stay as they are; of many only where each lies in the file is in memory.
"""

import os
import struct
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.spool import Spool
from asmnet_kit.datasets.base import Face, FileSlice, LazyFaces, Picture, PictureFile

IN_MEMORY = 2000  # faces: fewer are not worth a file
# Group, landmarks, bytes of the name and of the picture's path, offset and length of a slice, and
# which of the arrays there are.
HEADER = struct.Struct("<IIIIQQB")
WHOLE_FILE = 2**64 - 1  # the offset of a picture in a file of its own
# Arrays that a face may have; bit n of the header says whether it has the nth.
OPTIONAL = ("pose", "detector_box", "visibility", "fitted_pose")
Group = tuple[str | None, tuple[str, ...]]  # split and subsets, which many faces share


class FaceList(LazyFaces):
    """Faces in the order in which they were added; with more than ``IN_MEMORY`` a face is a new
    object each time it is asked for.
    """

    def __init__(self, faces: Iterable[Face] = ()) -> None:
        self._in_memory: list[Face] | None = []
        self._stored = Spool()
        self._ends = array("Q", [0])  # of each stored face, behind the beginning of the first one
        self._groups: list[Group] = []
        self._group_numbers: dict[Group, int] = {}
        self._unusual: dict[int, Face] = {}  # that bytes cannot hold, by their number
        self.extend(faces)

    def append(self, face: Face) -> None:
        """Add a face."""
        if self._in_memory is None:
            self._store(face)
            return
        self._in_memory.append(face)
        if len(self._in_memory) > IN_MEMORY:
            for earlier in self._in_memory:
                self._store(earlier)
            self._in_memory = None

    def extend(self, faces: Iterable[Face]) -> None:
        """Add some faces."""
        for face in faces:
            self.append(face)

    def __iadd__(self, faces: Iterable[Face]) -> "FaceList":
        self.extend(faces)
        return self

    def __len__(self) -> int:
        return len(self._ends) - 1 if self._in_memory is None else len(self._in_memory)

    @overload
    def __getitem__(self, index: int) -> Face: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Face]: ...

    def __getitem__(self, index: int | slice) -> Face | Sequence[Face]:
        if isinstance(index, slice):
            return self.among(np.arange(len(self))[index])
        if self._in_memory is not None:
            return self._in_memory[index]
        number = range(len(self))[index]
        return self._unusual.get(number) or self._read(number)

    def among(self, places: NDArray[np.int64]) -> Sequence[Face]:
        """The faces at these places: a tuple where all are in memory."""
        if self._in_memory is not None:
            return tuple(self._in_memory[place] for place in places.tolist())
        return StoredFaces(self, np.asarray(places, np.int64))

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return FaceList, (list(self),)  # another process has no such file

    def _store(self, face: Face) -> None:
        content = self._encoded(face)
        if content is None:
            self._unusual[len(self._ends) - 1] = face
        else:
            self._stored.append(content)
        self._ends.append(len(self._stored))

    def _encoded(self, face: Face) -> bytes | None:
        """None of a face that would not come back as it is."""
        place = _place(face.picture)
        arrays = _arrays(face)
        if place is None or arrays is None or not _is_plain(face):
            return None
        path, offset, length = place
        group = (face.split, face.subsets)
        number = self._group_numbers.setdefault(group, len(self._groups))
        if number == len(self._groups):
            self._groups.append(group)
        name = face.name.encode("utf-8", "surrogatepass")
        present = sum(1 << n for n, key in enumerate(OPTIONAL) if getattr(face, key) is not None)
        points = len(face.landmarks)
        header = HEADER.pack(number, points, len(name), len(path), offset, length, present)
        return b"".join([header, name, path, *(values.tobytes() for values in arrays)])

    def _read(self, number: int) -> Face:
        start, end = self._ends[number], self._ends[number + 1]
        content = self._stored.read(start, end - start)
        group, points, name_bytes, path_bytes, offset, length, present = HEADER.unpack_from(content)
        split, subsets = self._groups[group]
        at = HEADER.size + name_bytes
        name = content[HEADER.size : at].decode("utf-8", "surrogatepass")
        path = Path(os.fsdecode(content[at : at + path_bytes]))
        values = np.frombuffer(content, np.float32, offset=at + path_bytes).copy()
        taken, found = 2 * points, {}
        for n, (key, width) in enumerate(zip(OPTIONAL, _widths(points), strict=True)):
            if present >> n & 1:
                found[key] = values[taken : taken + width]
                taken += width
        return Face(
            name=name,
            picture=PictureFile(path) if offset == WHOLE_FILE else FileSlice(path, offset, length),
            landmarks=values[: 2 * points].reshape(points, 2),
            subsets=subsets,
            split=split,
            **found,
        )


def _widths(points: int) -> tuple[int, ...]:
    """How many numbers each of ``OPTIONAL`` has."""
    return 3, 4, points, 3


def _is_plain(face: Face) -> bool:
    """Whether its words are what they should be; another package's reader may give others."""
    return (
        type(face) is Face
        and type(face.name) is str
        and (face.split is None or type(face.split) is str)
        and type(face.subsets) is tuple
        and all(type(subset) is str for subset in face.subsets)
    )


def _arrays(face: Face) -> list[NDArray[np.float32]] | None:
    """The landmarks and those of ``OPTIONAL`` that there are; None where one is of another kind."""
    if type(face.landmarks) is not np.ndarray or face.landmarks.ndim != 2:
        return None
    points = len(face.landmarks)
    expected: list[tuple[NDArray[np.float32], tuple[int, ...]]] = [(face.landmarks, (points, 2))]
    for key, width in zip(OPTIONAL, _widths(points), strict=True):
        if (values := getattr(face, key)) is not None:
            expected.append((values, (width,)))
    for values, shape in expected:
        if type(values) is not np.ndarray or values.dtype != np.float32 or values.shape != shape:
            return None
    return [values for values, _ in expected]


def _place(picture: Picture) -> tuple[bytes, int, int] | None:
    """The path of a picture's file, offset and length in it; None of a picture elsewhere."""
    # The very classes: others may be read in another way, and other paths opened in another.
    if not isinstance(picture, PictureFile | FileSlice) or type(picture.path) is not type(Path()):
        return None
    with suppress(UnicodeEncodeError):  # a path that no file can have
        path = os.fsencode(picture.path)
        if type(picture) is PictureFile:
            return path, WHOLE_FILE, 0
        if type(picture) is FileSlice and min(picture.offset, picture.length) >= 0:
            return path, picture.offset, picture.length
    return None


class StoredFaces(LazyFaces):
    """Some faces of a list that lies in a file, made when they are asked for.

    Args:
        faces: of which they are.
        numbers: int64 [M], which.
    """

    def __init__(self, faces: FaceList, numbers: NDArray[np.int64]) -> None:
        self._faces, self._numbers = faces, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> Face: ...

    @overload
    def __getitem__(self, index: slice) -> "StoredFaces": ...

    def __getitem__(self, index: int | slice) -> "Face | StoredFaces":
        if isinstance(index, slice):
            return StoredFaces(self._faces, self._numbers[index])
        return self._faces[int(self._numbers[index])]

    def __iter__(self) -> Iterator[Face]:
        return (self._faces[number] for number in map(int, self._numbers))

    def among(self, places: NDArray[np.int64]) -> "StoredFaces":
        return StoredFaces(self._faces, self._numbers[places])

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        # Another process has no such file.
        return tuple, (list(self),)
