"""COFW, Caltech Occluded Faces in the Wild: MATLAB 7.3 files that hold the pictures, too.

``COFW_train_color.mat`` has ``IsTr`` (the pictures), ``bboxesTr`` [N, 4] (x, y, width, height) and
``phisTr`` [N, 87]: x of 29 points, y of 29 points, 1 for each point that is occluded;
``COFW_test_color.mat`` (and the grey ``COFW_test.mat``) has ``IsT``, ``bboxesT`` and ``phisT``.
Source: Burgos-Artizzu et al., "Robust face landmark estimation under occlusion" (ICCV 2013) and its
code. Pixels count from 1, as in MATLAB.

Such files are HDF5. They are read with h5py, which TensorFlow brings, and which is asked for only
here. A file may name others (external links and storage, virtual data): such parts are refused.

A picture's file is ``COFW_train_color.mat``; in names of faces it is numbered, ``COFW_train_color/
0001.png``. Its bytes are made when they are asked for: a PNG.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError, one_line, require
from asmnet_kit.base.kinds import HEAD_BYTES, kind_of
from asmnet_kit.base.reading import open_file
from asmnet_kit.datasets.base import Problem
from asmnet_kit.datasets.folders import Reading, stem_and_suffix
from asmnet_kit.datasets.records import LabelFiles, Record, add_faces, usable_box
from asmnet_kit.face.pictures import (
    MAX_DECODING_BYTES,
    MAX_SIDE,
    Image,
    encode_png,
    wait_for_room,
)

POINTS = 29
SUFFIX = ".mat"
MAX_BYTES = 2**32  # of a file: the pictures are in it
# Memory for each grey level, as a picture of three colours and while that becomes a PNG.
LEVEL_BYTES = 12
MAX_PICTURE_LEVELS = MAX_DECODING_BYTES // LEVEL_BYTES
MAX_FACES = 100_000
# Split -> the names of the pictures, the boxes, and the points.
SETS = {"train": ("IsTr", "bboxesTr", "phisTr"), "test": ("IsT", "bboxesT", "phisT")}


@dataclass(frozen=True)
class MatPicture:
    """A picture inside of a MATLAB 7.3 file.

    Attributes:
        path: of the file.
        variable: that holds the pictures.
        index: which of them, from 0.
    """

    path: Path
    variable: str
    index: int

    @property
    def name(self) -> str:
        return f"{self.path}@{self.variable}{self.index}"

    def size_bytes(self) -> int:
        """The number of its grey levels."""
        with _opened(self.path) as file:
            return int(_picture_in(file, self.variable, self.index).size)

    def read_encoded(self) -> bytes:
        return encode_png(self.read(), name=self.name)

    def read(self) -> Image:
        with _opened(self.path) as file:
            picture = _picture_in(file, self.variable, self.index)
            wait_for_room(picture.size * LEVEL_BYTES)
            stored = picture[()]
        image = np.asarray(stored).T  # MATLAB's order of axes is the opposite one
        if image.ndim == 2:
            image = np.stack([image] * 3, axis=-1)
        return np.ascontiguousarray(image)


def read(root: Path) -> Reading:
    """All faces of the COFW files at or below ``root``.

    Raises:
        DatasetError: no such file.
        MissingDependency: h5py is not installed.
    """
    require("h5py", extra="hdf5")
    reading = Reading(POINTS)
    files = LabelFiles(root, SUFFIX, reading.problems)
    records: list[Record] = []
    for listing, file in files:
        try:
            records += _records(listing.folder / file, listing.name_of(file))
        except DatasetError as error:
            reading.problems.append(Problem(listing.name_of(file), str(error)))
    if not records and not reading.problems:
        raise files.nothing("COFW_train_color.mat or COFW_test_color.mat")
    add_faces(reading, records)
    return reading


def _records(path: Path, name: str) -> list[Record]:
    with _opened(path) as file:
        split = next((split for split, names in SETS.items() if names[2] in file), None)
        if split is None:
            raise DatasetError("expected the variables phisTr or phisT of COFW, found neither")
        pictures, boxes, points = SETS[split]
        faces = _numbers(file, points, 3 * POINTS)
        corners = _numbers(file, boxes, 4) if boxes in file else None
        count = _references(file, pictures).size
    if count != len(faces):
        raise DatasetError(f"expected a picture for each of {len(faces)} faces, got {count}")
    stem = stem_and_suffix(name)[0]
    records = []
    for index, numbers in enumerate(faces):
        x, y, occluded = numbers.reshape(3, POINTS)
        box = None
        if corners is not None and len(corners) == len(faces):
            left, top, width, height = corners[index] - (1, 1, 0, 0)
            box = usable_box((left, top, left + width - 1, top + height - 1))
        records.append(
            Record(
                where=f"{name} face {index + 1}",
                name=f"{stem}/{index + 1:04d}.png",
                picture=MatPicture(path, pictures, index),
                pairs=np.stack([x, y], axis=-1) - 1,  # 1-based to 0-based
                split=split,
                box=box,
                visibility=(occluded == 0).astype(np.float32),
            )
        )
    return records


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The HDF5 file; whatever is wrong in it becomes a DatasetError.

    Raises:
        DatasetError: it cannot be read, or is another kind of file.
    """
    h5py = require("h5py", extra="hdf5")
    try:
        with open_file(path, limit=MAX_BYTES) as binary:
            head = binary.read(HEAD_BYTES + 8)
            # MATLAB puts its own header of 512 bytes before the HDF5 signature.
            if b"\x89HDF\r\n\x1a\n" not in (head[:8], head[512:520]):
                raise DatasetError(f"expected MATLAB 7.3 (HDF5), got {kind_of(head[:HEAD_BYTES])}")
            binary.seek(0)
            with h5py.File(binary, "r") as file:
                yield file
    except DatasetError:
        raise
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror or one_line(error)}") from error
    except (KeyError, ValueError, TypeError, RuntimeError, AttributeError, MemoryError) as error:
        raise DatasetError(f"a damaged file, or not COFW's: {one_line(error)[:200]}") from error


def _dataset(file: Any, name: str) -> Any:
    """A data set of the file itself."""
    h5py = require("h5py", extra="hdf5")
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise DatasetError(f"expected {name} in the file itself, got a link")
    return _own(file[name], name)


def _own(found: Any, name: str) -> Any:
    h5py = require("h5py", extra="hdf5")
    if not isinstance(found, h5py.Dataset):
        raise DatasetError(f"expected an array called {name}")
    if found.external or found.is_virtual:
        raise DatasetError(f"expected {name} in the file itself, its values are in other files")
    return found


def _numbers(file: Any, name: str, width: int) -> NDArray[np.float64]:
    """float64 [N, width]."""
    found = _dataset(file, name)
    if found.dtype.kind not in "fiu" or found.ndim != 2 or found.shape[0] != width:
        raise DatasetError(f"expected numbers [{width}, N] in {name}, got {found.shape}")
    if found.shape[1] > MAX_FACES:
        raise DatasetError(f"expected at most {MAX_FACES} faces, got {found.shape[1]}")
    numbers: NDArray[np.float64] = np.asarray(found[()], np.float64).T
    if not np.isfinite(numbers).all():
        raise DatasetError(f"expected finite numbers in {name}")
    return numbers


def _references(file: Any, name: str) -> Any:
    found = _dataset(file, name)
    h5py = require("h5py", extra="hdf5")
    if h5py.check_ref_dtype(found.dtype) is not h5py.Reference or found.size > MAX_FACES:
        raise DatasetError(f"expected a cell of at most {MAX_FACES} pictures in {name}")
    return found


def _picture_in(file: Any, variable: str, index: int) -> Any:
    """The array of a picture, [C, W, H] or [W, H]."""
    reference = _references(file, variable)[()].ravel()[index]
    found = _own(file[reference], f"picture {index + 1}")
    shape = found.shape
    colours = len(shape) == 3 and shape[0] == 3
    if found.dtype != np.uint8 or not (colours or len(shape) == 2):
        raise DatasetError(f"picture {index + 1}: expected uint8 [3, W, H], got {shape}")
    if not 0 < max(shape) <= MAX_SIDE or not 0 < found.size <= MAX_PICTURE_LEVELS:
        raise DatasetError(f"picture {index + 1}: {shape} is no size of a picture")
    return found
