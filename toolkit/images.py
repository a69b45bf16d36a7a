"""The one way from a picture to a model's input, and from its output back to the picture.

Pixels are 0-based and (0, 0) is the *centre* of the top-left pixel (OpenCV's convention), x right,
y down. A face box becomes a square crop: the box's centre, side = ``scale`` x the longer side. One
affine map takes a point p of the picture to q = k (p - centre) + (size - 1) / 2 of the crop, with
k = size / side. Models see and predict *fractions*: (p - centre) / side, so -0.5..0.5 inside the
crop. The phone app and the browser page repeat these formulas; golden files keep them equal.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.errors import DatasetError

Image = NDArray[np.uint8]  # [H, W, 3], RGB
Points = NDArray[np.float32]  # [..., N, 2], x right, y down; NaN where there is no label

CROP_SCALE = 1.2
MEAN = 128
SCALE = 128


@dataclass(frozen=True)
class Crop:
    """A square window of a picture, resampled to ``size`` x ``size`` pixels.

    Attributes:
        centre: (x, y) of the window's middle, pixels of the picture.
        side: of the window, pixels of the picture.
        size: of the crop, pixels.
    """

    centre: tuple[float, float]
    side: float
    size: int

    @classmethod
    def from_box(cls, box: NDArray[np.float32], *, size: int, scale: float = CROP_SCALE) -> "Crop":
        """The crop of a face box.

        Args:
            box: [4] x0, y0, x1, y1, pixels of the picture.
            scale: side of the crop as a multiple of the box's longer side.

        Raises:
            DatasetError: the box is empty or not finite.
        """
        x0, y0, x1, y1 = (float(v) for v in box)
        longer = max(x1 - x0, y1 - y0)
        if not np.isfinite([x0, y0, x1, y1]).all() or longer <= 0:
            raise DatasetError(
                f"expected a box x0,y0,x1,y1 with x0 < x1 or y0 < y1, got {x0}, {y0}, {x1}, {y1}"
            )
        return cls(centre=((x0 + x1) / 2, (y0 + y1) / 2), side=scale * longer, size=size)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """[2, 3], pixels of the picture to pixels of the crop."""
        k = self.size / self.side
        middle = (self.size - 1) / 2
        return np.array(
            [
                [k, 0.0, middle - k * self.centre[0]],
                [0.0, k, middle - k * self.centre[1]],
            ]
        )

    def cut(self, image: Image) -> Image:
        """The crop's pixels, uint8 [size, size, 3], black outside the picture."""
        return warp(image, self.matrix, self.size)

    def to_fractions(self, points: Points) -> Points:
        """Pixels of the picture to fractions of the side from the centre."""
        fractions: Points = ((points - np.asarray(self.centre)) / self.side).astype(np.float32)
        return fractions

    def to_picture(self, fractions: Points) -> Points:
        """Fractions of the side from the centre to pixels of the picture."""
        points: Points = (np.asarray(self.centre) + fractions * self.side).astype(np.float32)
        return points


def warp(image: Image, matrix: NDArray[np.float64], size: int) -> Image:
    """Sample ``image`` bilinearly on a ``size`` x ``size`` grid, black outside the picture.

    A map that shrinks by more than two (k < 0.5) would skip pixels, so the picture is first
    averaged over n x n blocks with n = floor(1 / k); blocks start at the picture's top-left corner,
    and a partial block at the right or bottom border counts what is missing as black.

    Args:
        image: uint8 [H, W, C].
        matrix: [2, 3], pixels of the picture to pixels of the crop; k = sqrt(|determinant|).
    """
    k = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if k < 0.5:
        image, matrix = _shrink(image, matrix, int(1 / k), size)
    warped = cv2.warpAffine(
        image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT
    )
    return np.asarray(warped, np.uint8)


def _shrink(
    image: Image, matrix: NDArray[np.float64], n: int, size: int
) -> tuple[Image, NDArray[np.float64]]:
    """Average what the crop sees of the picture over n x n blocks; move the map with it."""
    height, width = image.shape[:2]
    corners = np.array([[-1, -1], [size, -1], [-1, size], [size, size]], np.float64)
    seen = cv2.transform(corners[None], cv2.invertAffineTransform(matrix))[0]
    # Whole blocks, one more on each side: what bilinear sampling at the border can touch.
    x0, y0 = (max(0, int(np.floor(v / n)) - 1) * n for v in seen.min(axis=0))
    x1, y1 = ((int(np.ceil(v / n)) + 2) * n for v in seen.max(axis=0))
    part = image[y0 : min(y1, height), x0 : min(x1, width)]
    if part.size == 0:
        return np.zeros((1, 1, image.shape[2]), np.uint8), matrix
    part = np.pad(part, ((0, -part.shape[0] % n), (0, -part.shape[1] % n), (0, 0)))
    small = cv2.resize(part, (part.shape[1] // n, part.shape[0] // n), interpolation=cv2.INTER_AREA)
    # Small pixel s covers picture pixels x0 + n s ... x0 + n s + n - 1: its centre is
    # x0 + n s + (n - 1) / 2.
    moved = matrix.copy()
    moved[:, :2] *= n
    offset = np.array([x0 + (n - 1) / 2, y0 + (n - 1) / 2])
    moved[:, 2] = matrix[:, :2] @ offset + matrix[:, 2]
    return np.asarray(small, np.uint8), moved


def landmark_box(landmarks: Points) -> NDArray[np.float32]:
    """[4] x0, y0, x1, y1: the smallest box around the labelled points, no margin.

    Raises:
        DatasetError: fewer than two labelled points.
    """
    labelled = landmarks[np.isfinite(landmarks).all(axis=-1)]
    if len(labelled) < 2:
        raise DatasetError(f"expected at least 2 labelled points, got {len(labelled)}")
    corners = np.concatenate([labelled.min(axis=0), labelled.max(axis=0)])
    box: NDArray[np.float32] = corners.astype(np.float32)
    return box


def to_float_input(crops: Image) -> NDArray[np.float32]:
    """(v - 128) / 128 for a float model; any shape."""
    values: NDArray[np.float32] = (crops.astype(np.float32) - np.float32(MEAN)) / np.float32(SCALE)
    return values


def to_int8_input(crops: Image) -> NDArray[np.int8]:
    """v - 128 for a w8a8 model, whose input scale is exactly 1/128 and zero point 0."""
    return (crops ^ 128).view(np.int8)  # flipping the top bit of v is v - 128 in two's complement


def decode_image(encoded: bytes, *, name: str, upright: bool = False) -> Image:
    """An encoded picture (JPEG, PNG ...) as uint8 [H, W, 3], RGB.

    Args:
        name: appears in error messages.
        upright: follow EXIF rotation, as viewers of photographs do. Data sets are read without:
            their annotations refer to the stored pixels.

    Raises:
        DatasetError: the bytes are not a whole picture.
    """
    if encoded[:2] == b"\xff\xd8" and not _jpeg_ends(encoded):
        # libjpeg would fill the missing rest with grey and only print a warning.
        raise DatasetError(f"{name}: truncated JPEG (no end-of-image marker)")
    flags = cv2.IMREAD_COLOR | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags) if encoded else None
    if pixels is None:
        raise DatasetError(f"{name}: expected a picture OpenCV can read, got {len(encoded)} bytes")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


def _jpeg_ends(encoded: bytes) -> bool:
    """Whether a JPEG's end-of-image marker follows its pixels.

    Phones append films and depth maps after it, and a thumbnail in the header has one of its own:
    so the header's segments are stepped over up to the pixels (SOS). Among these 0xff is never
    followed by 0xd9 but in the marker.
    """
    position = 2
    while position + 4 <= len(encoded) and encoded[position] == 0xFF:
        if encoded[position + 1] == 0xDA:
            return encoded.find(b"\xff\xd9", position) >= 0
        if encoded[position + 1] == 0xFF:  # padding before a marker
            position += 1
        else:
            position += 2 + int.from_bytes(encoded[position + 2 : position + 4], "big")
    return False


def read_image(path: Path, *, upright: bool = False) -> Image:
    """A picture file as uint8 [H, W, 3], RGB; ``upright`` follows EXIF rotation.

    Raises:
        DatasetError: the file is missing, unreadable or cut off.
    """
    try:
        encoded = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from error
    return decode_image(encoded, name=str(path), upright=upright)
