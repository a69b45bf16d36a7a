"""What every data set is once it has been read: faces with landmarks, and the bad files."""

import hashlib
import json
import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.base.reading import open_file
from asmnet_kit.datasets.labels import check_in_picture, check_usable
from asmnet_kit.face.crop import Points, landmark_box
from asmnet_kit.face.picture_headers import stored_orientation
from asmnet_kit.face.pictures import Image, decode_image, read_image, read_in_turn
from asmnet_kit.face.schemes import Scheme

# Of Dataset.labels_fingerprint: v2 where visibility is known, which v1 knows nothing of.
LABELS_VERSION, VISIBILITY_LABELS_VERSION = "v1", "v2"
NUMBERED = re.compile(r"#\d+$")  # behind the name of a picture with several faces


class Picture(Protocol):
    """Where a face's picture is; reading it may fail with DatasetError."""

    @property
    def name(self) -> str: ...

    def size_bytes(self) -> int: ...

    def read_encoded(self) -> bytes: ...

    def read(self) -> Image: ...


@dataclass(frozen=True)
class PictureFile:
    """A picture in a file of its own."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def size_bytes(self) -> int:
        return self.path.stat().st_size

    def read_encoded(self) -> bytes:
        return read_in_turn(self.path)

    def read_start(self, count: int) -> bytes:
        """The first ``count`` encoded bytes."""
        with open_file(self.path) as file:
            return file.read(count)

    def read(self) -> Image:
        return read_image(self.path)


@dataclass(frozen=True)
class FileSlice:
    """An encoded picture inside a larger file (a record of a shard)."""

    path: Path
    offset: int
    length: int

    @property
    def name(self) -> str:
        return f"{self.path}@{self.offset}"

    def size_bytes(self) -> int:
        return self.length

    def read_encoded(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)

    def read(self) -> Image:
        return decode_image(self.read_encoded(), name=self.name)


@dataclass(frozen=True, eq=False)
class Face:
    """One annotated face.

    Attributes:
        name: unique within the data set, a POSIX path relative to its folder; several faces of one
            picture get ``#1``, ``#2`` ... behind it.
        picture: where the picture is.
        landmarks: float32 [N, 2], pixels of the picture, 0-based, x right, y down; NaN = no label.
        subsets: the subsets it is counted in ("common", "full"; "pose"; a folder's name).
        pose: float32 [3] yaw, pitch, roll in degrees (signs: asmnet_kit.face.pose) or None.
        detector_box: float32 [4] x0, y0, x1, y1 that came with the data, or None.
        split: "train", "val", "test" or another public split ("private"); None = not split.
        visibility: float32 [N], 1 for a point that can be seen, 0 for one that is hidden, by the
            head itself or by something else; NaN where it is not known. None = of no point.
        fitted_pose: float32 [3], the pose that the landmarks imply, where it was fitted before
            (``data prepare``): no label, but training need not fit it again.
    """

    name: str
    picture: Picture
    landmarks: Points
    subsets: tuple[str, ...] = ()
    pose: NDArray[np.float32] | None = None
    detector_box: NDArray[np.float32] | None = None
    split: str | None = None
    visibility: NDArray[np.float32] | None = None
    fitted_pose: NDArray[np.float32] | None = None

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """bool [N]: which points have a label."""
        return np.asarray(np.isfinite(self.landmarks).all(axis=-1), np.bool_)

    @property
    def complete(self) -> bool:
        """Whether every point has a label."""
        return bool(self.labelled.all())

    def read(self) -> Image:
        """The picture, after a look at whether the landmarks can be of it.

        Raises:
            DatasetError: it cannot be read, or is not the picture of these landmarks.
        """
        image = self.picture.read()
        self.check_picture(image)
        return image

    def check_picture(self, image: Image) -> None:
        """Check that the landmarks can be of ``image``, which is ``picture`` as stored.

        Raises:
            DatasetError: they cannot; see ``labels.check_in_picture``.
        """
        height, width = image.shape[:2]
        labelled = self.landmarks[self.labelled]
        if (labelled >= -0.5).all() and (labelled <= np.array([width, height]) - 0.5).all():
            return  # nearly all: the rotation need not be looked up
        turned = stored_orientation(self.picture.read_encoded())
        try:
            check_in_picture(self.landmarks, width=width, height=height, orientation=turned)
        except DatasetError as error:
            raise DatasetError(f"{self.picture.name}: {error}") from error

    def in_scheme(self, own: Scheme, target: Scheme) -> "Face":
        """The face with the landmarks of another scheme, by the map of its own.

        Raises:
            UsageError: there is no map.
            DatasetError: those landmarks cannot be used, as where fewer than two are left.
        """
        landmarks, visibility = own.mapped(self.landmarks, target), self.visibility
        try:
            check_usable(landmarks, target)
        except DatasetError as error:
            raise DatasetError(f"as {target.name} points: {error}") from error
        if visibility is not None:
            visibility = own.mapped_visibility(visibility, target)
        return replace(self, landmarks=landmarks, visibility=visibility, fitted_pose=None)

    @property
    def box(self) -> NDArray[np.float32]:
        """float32 [4] x0, y0, x1, y1: min and max of the labelled points, no margin."""
        return landmark_box(self.landmarks)


@dataclass(frozen=True)
class Problem:
    """A file that could not be used, and why."""

    name: str
    reason: str

    def to_json(self) -> dict[str, str]:
        return {"name": self.name, "reason": self.reason}


class LazyFaces(Sequence[Face]):
    """Faces that are made when they are asked for: millions take hardly any memory."""

    @abstractmethod
    def among(self, places: NDArray[np.int64]) -> Sequence[Face]:
        """The faces at these places, in this order."""


class ColumnFaces(LazyFaces):
    """Lazy faces whose labels lie in columns.

    What would otherwise look at each face alone asks for the columns: millions of faces then take
    seconds rather than minutes, and no memory.
    """

    @abstractmethod
    def landmarks(self, part: "slice | NDArray[np.int64]" = slice(None)) -> Points:
        """float32 [M, N, 2], of all faces or a part of them."""

    @abstractmethod
    def fingerprint(self) -> str:
        """As ``Dataset.fingerprint``."""

    @abstractmethod
    def labels_fingerprint(self, *, with_visibility: bool) -> str:
        """The digest of ``Dataset.labels_fingerprint``."""

    @property
    @abstractmethod
    def knows_visibility(self) -> bool:
        """Whether it is known of any face which points can be seen."""


@dataclass(frozen=True)
class Dataset:
    """Faces of one format, in the stable order of their names.

    Attributes:
        origins: formats that prepared data was prepared from; its own format for any other.
    """

    name: str
    format: str
    scheme: Scheme
    faces: Sequence[Face]
    problems: tuple[Problem, ...] = ()
    origins: tuple[str, ...] = ()

    def picture_files(self) -> Iterator[Path]:
        """The pictures that are files of their own; once for each face."""
        pictures = (face.picture for face in self.faces)
        return (picture.path for picture in pictures if isinstance(picture, PictureFile))

    def fingerprint(self) -> str:
        """sha256 of the sorted list of (face name, picture size in bytes, landmarks).

        A picture that is gone, as behind a broken link, has the size -1: who reads it says so.
        """
        if isinstance(self.faces, ColumnFaces):
            return self.faces.fingerprint()
        digest = hashlib.sha256()
        for face in by_name(self.faces):
            try:
                size = face.picture.size_bytes()
            except OSError:
                size = -1
            # A name's bytes as the file system has them, UTF-8 or not.
            digest.update(f"{face.name}\0{size}\0".encode("utf-8", "surrogateescape"))
            digest.update(np.ascontiguousarray(face.landmarks, "<f4").tobytes())
        return digest.hexdigest()

    def labels_fingerprint(self) -> str:
        """``v1:`` and a sha256 of what ``fingerprint`` leaves out of each face.

        That is its split, subsets, pose and detector box, by face name; and the visibility of
        points, where it is known of any face: then it begins with ``v2:``. Another version says
        that something else went into it, so that two of them cannot be compared.
        """
        if isinstance(self.faces, ColumnFaces):
            knows_visibility = self.faces.knows_visibility
            found = self.faces.labels_fingerprint(with_visibility=knows_visibility)
            version = VISIBILITY_LABELS_VERSION if knows_visibility else LABELS_VERSION
            return f"{version}:{found}"
        knows_visibility = any(face.visibility is not None for face in self.faces)
        digest = hashlib.sha256()
        for face in by_name(self.faces):
            words = [face.name, face.split, sorted(face.subsets)]
            digest.update(json.dumps(words).encode())
            for numbers in (face.pose, face.detector_box):
                # + 0: -0 is the same angle as 0.
                content = b"" if numbers is None else np.add(numbers, 0, dtype="<f4").tobytes()
                digest.update(bytes([len(content)]) + content)
            if knows_visibility:
                visibility = np.empty(0) if face.visibility is None else face.visibility
                digest.update(json.dumps(np.nan_to_num(visibility, nan=-1).tolist()).encode())
        version = VISIBILITY_LABELS_VERSION if knows_visibility else LABELS_VERSION
        return f"{version}:{digest.hexdigest()}"


def chosen(
    faces: Sequence[Face], which: "NDArray[np.bool_] | NDArray[np.int64] | Sequence[int]"
) -> Sequence[Face]:
    """Some of the faces; lazy where ``faces`` are.

    Args:
        which: bool [F], in their order, or their places, in this order.
    """
    places = np.arange(len(faces))[which]
    if isinstance(faces, LazyFaces):
        return faces.among(places)
    return tuple(faces[place] for place in places.tolist())


def picture_of(face_name: str) -> str:
    """The name of a face's picture within its data set: its own without ``#1``, ``#2`` ..."""
    return NUMBERED.sub("", face_name)


def where(faces: Sequence[Face], keep: Callable[[Face], bool]) -> Sequence[Face]:
    """The faces of which ``keep`` is true, in their order; lazy where ``faces`` are."""
    return chosen(faces, np.fromiter((keep(face) for face in faces), np.bool_, len(faces)))


def by_name(faces: Sequence[Face]) -> Sequence[Face]:
    """The faces in the order of their names; lazy where ``faces`` are."""
    names = [face.name for face in faces]
    return chosen(faces, sorted(range(len(names)), key=names.__getitem__))


def members_of_subsets(faces: Sequence[Face]) -> dict[str, NDArray[np.bool_]]:
    """Subset, by name -> bool [F], which of ``faces`` are in it."""
    members: dict[str, NDArray[np.bool_]] = {}
    for index, face in enumerate(faces):
        for name in face.subsets:
            if name not in members:
                members[name] = np.zeros(len(faces), np.bool_)
            members[name][index] = True
    return dict(sorted(members.items()))
