"""What users bring to rendered people: own skins, objects before the face, backgrounds, a camera.

Which picture a person gets depends on the seed, the person's number and the pictures' content
alone, not on their names or places. The random numbers are apart from those of everything else:
pose, shape and what else is drawn stay as they would be without.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.files import require_exists
from asmnet_kit.base.taking_turns import end_turn
from asmnet_kit.datasets.base import Problem
from asmnet_kit.datasets.folders import PICTURE_SUFFIXES, walk
from asmnet_kit.face.pictures import decode_cutout, decode_image, read_encoded
from asmnet_kit.people.camera_settings import DEFAULT_CAMERA, CameraSettings
from asmnet_kit.people.tones import FROM_SRGB

Array = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Ready = NDArray[Any]  # what ``_PREPARE`` makes of a picture

SKIN_SIZE = 512  # pixels; as the packed ones have
# Pixels: the longer side that they are kept with.
LARGEST_OCCLUDER, LARGEST_BACKGROUND = 512, 1024
KEPT = 64  # pictures, ready, in each process
OPAQUE = 0.5  # alpha from which points behind an occluder count as hidden

# An occluder: where, how large, how far turned.
REACH = 0.5  # its middle from the middle of the landmarks' box, as a share of that box
SIZES = (0.35, 1.0)  # its longer side, as a share of the longer side of the landmarks' box
TURN_DEGREES = 45.0


@dataclass(frozen=True)
class Pictures:
    """Own pictures of one kind.

    Attributes:
        kind: of ``KINDS``.
        share: of the people that get one, 0..1.
        files: path and sha256 of each, in the order of the latter; no content twice.
    """

    kind: str
    share: float
    files: tuple[tuple[Path, str], ...]

    @classmethod
    def below(cls, folder: Path, kind: str, share: float) -> "Pictures":
        """The pictures in ``folder`` and its subfolders, each read once to see that it can be.

        Raises:
            UsageError: no such folder, or a file.
            DatasetError: a folder without pictures, or a picture that cannot be used.
        """
        require_exists(folder, expected=f"a folder of {kind}")
        if not folder.is_dir():
            raise UsageError(f"{folder}: expected a folder of {kind}, found a file there")
        found: dict[str, Path] = {}
        problems: list[Problem] = []
        for listing in walk(folder, problems):
            for file in listing.files:
                if file.lower().endswith(PICTURE_SUFFIXES):
                    path = listing.folder / file
                    encoded = read_encoded(path)
                    _PREPARE[kind](encoded, str(path))
                    found[hashlib.sha256(encoded).hexdigest()] = path.resolve()
        if problems:  # a folder that cannot be listed: the same options would not mean the same
            raise DatasetError(f"{problems[0].name}: {problems[0].reason}")
        if not found:
            raise DatasetError(
                f"{folder}: expected {kind}: pictures ({', '.join(PICTURE_SUFFIXES)}), found none"
            )
        return cls(kind, share, tuple((found[digest], digest) for digest in sorted(found)))

    def drawn(self, seed: int, index: int) -> "tuple[Ready, np.random.Generator] | None":
        """The picture of a person, if there is one, and random numbers for what is done with it."""
        rng = np.random.default_rng((seed, index, 1 + KINDS.index(self.kind)))
        if rng.random() >= self.share:
            return None
        return _prepared(self.kind, *self.files[rng.integers(len(self.files))]), rng

    def to_json(self) -> dict[str, Any]:
        """What tells these pictures from others, for dataset.json."""
        whole = hashlib.sha256("".join(digest for _, digest in self.files).encode()).hexdigest()
        return {"share": self.share, "pictures": len(self.files), "sha256": whole}


@dataclass(frozen=True)
class OwnData:
    """What a user brings; None where it is nothing."""

    skins: Pictures | None = None
    occluders: Pictures | None = None
    backgrounds: Pictures | None = None
    camera: CameraSettings = DEFAULT_CAMERA

    def to_json(self) -> dict[str, Any]:
        """What differs from the defaults, for dataset.json: as JSON gives it back."""
        found = {
            kind: pictures.to_json()
            for kind in KINDS
            if (pictures := getattr(self, kind)) is not None
        }
        if self.camera != DEFAULT_CAMERA:
            found["camera"] = json.loads(json.dumps(asdict(self.camera)))  # lists, no tuples
        return found


NOTHING = OwnData()


@lru_cache(maxsize=KEPT)
def _prepared(kind: str, path: Path, digest: str) -> Ready:
    encoded = read_encoded(path)
    if hashlib.sha256(encoded).hexdigest() != digest:
        raise DatasetError(f"{path}: changed while people were drawn; put it back, or start again")
    ready = _PREPARE[kind](encoded, str(path))
    end_turn()  # a large picture is small by now, and the next people take long to draw
    return ready


def _skin(encoded: bytes, name: str) -> Bytes:
    """uint8 [SKIN_SIZE, SKIN_SIZE, 3], RGB."""
    image = decode_image(encoded, name=name)
    height, width = image.shape[:2]
    if height != width:
        raise DatasetError(
            f"{name}: expected a square skin in MakeHuman's layout, got {width} x {height} pixels; "
            "asmnet-kit data skin-template writes one to start from"
        )
    way = cv2.INTER_AREA if height > SKIN_SIZE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (SKIN_SIZE, SKIN_SIZE), interpolation=way), np.uint8)


def _occluder(encoded: bytes, name: str) -> Array:
    """float32 [h, w, 4], linear light times alpha, and alpha; without the transparent margin."""
    cutout = decode_cutout(encoded, name=name)
    alpha = cutout[..., 3]
    if alpha.max() < 255 * OPAQUE:
        raise DatasetError(f"{name}: expected something opaque, got a transparent picture")
    if alpha.min() == 255:
        raise DatasetError(
            f"{name}: expected an object cut out, got a picture that is opaque everywhere; give an "
            "object that fills its picture a transparent border"
        )
    rows, columns = np.nonzero(alpha)
    box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    cutout = cutout[box]
    layer: Array = np.empty(cutout.shape, np.float32)
    layer[..., 3] = cutout[..., 3].astype(np.float32) / 255
    layer[..., :3] = FROM_SRGB[cutout[..., :3]] * layer[..., 3:]
    return np.asarray(_at_most(layer, LARGEST_OCCLUDER), np.float32)


def _background(encoded: bytes, name: str) -> Bytes:
    """uint8 [h, w, 3], RGB."""
    image = decode_image(encoded, name=name, upright=True)
    return np.asarray(_at_most(image, LARGEST_BACKGROUND), np.uint8)


_PREPARE: dict[str, Callable[[bytes, str], Ready]] = {
    "skins": _skin,
    "occluders": _occluder,
    "backgrounds": _background,
}
KINDS = tuple(_PREPARE)


def _at_most(image: Ready, side: int) -> Ready:
    """The picture, made smaller where its longer side is longer than ``side`` pixels."""
    scale = side / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))


def put_before(occluder: Array, landmarks: Array, side: int, rng: np.random.Generator) -> Array:
    """An occluder somewhere before the face, as often mirrored as not.

    Args:
        occluder: float32 [h, w, 4]: linear light times alpha, and alpha.
        landmarks: float32 [N, 2], pixels of the drawing.
        side: of the drawing, pixels.

    Returns:
        float32 [side, side, 4], as ``occluder``.
    """
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    if rng.random() < 0.5:
        occluder = np.ascontiguousarray(occluder[:, ::-1])
    length = rng.uniform(*SIZES) * float((high - low).max())
    layer = _at_most(occluder, max(2, round(length)))
    middle = (low + high) / 2 + rng.uniform(-REACH, REACH, 2) * (high - low)
    turn = np.radians(rng.uniform(-TURN_DEGREES, TURN_DEGREES))
    height, width = layer.shape[:2]
    scale = length / max(height, width)
    matrix = np.empty((2, 3))
    matrix[:, :2] = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix[:, 2] = middle - matrix[:, :2] @ np.array([(width - 1) / 2, (height - 1) / 2])
    return np.asarray(cv2.warpAffine(layer, matrix, (side, side)), np.float32)
