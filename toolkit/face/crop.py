"""The one way from a picture to a model's input, and from its output back to the picture.

Pixels are 0-based and (0, 0) is the *centre* of the top-left pixel (OpenCV's convention), x right,
y down. A face box becomes a square crop: the box's centre, side = ``scale`` x the longer side. One
affine map takes a point p of the picture to q = k (p - centre) + (size - 1) / 2 of the crop, with
k = size / side. Models see and predict *fractions*: (p - centre) / side, so -0.5..0.5 inside the
crop. The phone app repeats these formulas; golden files keep both equal.
"""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.face.boxes import CROP_SCALE
from asmnet_kit.face.pictures import Image

Points = NDArray[np.float32]  # [..., N, 2], x right, y down; NaN where there is no label
Affine = list[list[float]]  # a map [2, 3] as plain numbers, which are quicker than NumPy's

MAX_HALVINGS = 20  # then no picture is more than a pixel

# Pictures of at most this many times the crop's pixels are sampled with four channels: adding one
# costs 0.4 ns a pixel, and sampling with it saves 3.5 ns for each pixel of the crop.
FOUR_CHANNELS_BELOW = 4


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
        x0, y0, x1, y1 = box.tolist()
        longer = max(x1 - x0, y1 - y0)
        if not (longer > 0 and math.isfinite(x0 + y0 + x1 + y1)):
            raise DatasetError(
                f"expected a box x0,y0,x1,y1 with x0 < x1 or y0 < y1, got {x0}, {y0}, {x1}, {y1}"
            )
        return cls(centre=((x0 + x1) / 2, (y0 + y1) / 2), side=scale * longer, size=size)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """[2, 3], pixels of the picture to pixels of the crop."""
        return np.array(self._affine)

    @property
    def _affine(self) -> Affine:
        k = self.size / self.side
        middle = (self.size - 1) / 2
        x, y = self.centre
        return [[k, 0.0, middle - k * x], [0.0, k, middle - k * y]]

    def cut(self, image: Image) -> Image:
        """The crop's pixels, uint8 [size, size, 3], black outside the picture."""
        crop: Image = _warp(image, self._affine, self.size)
        return crop

    def to_fractions(self, points: Points) -> Points:
        """Pixels of the picture to fractions of the side from the centre."""
        fractions: Points = ((points - np.asarray(self.centre)) / self.side).astype(np.float32)
        return fractions

    def to_picture(self, fractions: Points) -> Points:
        """Fractions of the side from the centre to pixels of the picture."""
        points: Points = (fractions * self.side + self.centre).astype(np.float32)
        return points


def crop_fractions(landmarks: Points, scale: float) -> Points:
    """Landmarks of many faces in the crops of their landmark boxes.

    The same numbers as ``Crop.from_box(landmark_box(points), scale=scale).to_fractions(points)`` of
    each face, at once.

    Args:
        landmarks: float32 [F, N, 2], pixels of the pictures.
        scale: side of a crop as a multiple of the box's longer side.

    Returns:
        float32 [F, N, 2]; NaN where there is no label.

    Raises:
        DatasetError: a face has fewer than two labelled points, or all in one place.
    """
    labelled = np.asarray(np.isfinite(landmarks).all(axis=-1))
    here = labelled[..., None]
    low = np.where(here, landmarks, np.float32(np.inf)).min(axis=1).astype(np.float64)
    high = np.where(here, landmarks, np.float32(-np.inf)).max(axis=1).astype(np.float64)
    longer = (high - low).max(axis=-1)
    few = labelled.sum(axis=1) < 2
    if (few | ~(longer > 0)).any():
        face = int(np.argmax(few | ~(longer > 0)))
        raise DatasetError(
            f"expected at least 2 labelled points that lie apart, got {int(labelled[face].sum())} "
            f"in face {face}"
        )
    centre, side = (low + high) / 2, scale * longer
    fractions = (landmarks - centre[:, None]) / side[:, None, None]
    return np.asarray(fractions, np.float32)


@dataclass(frozen=True, eq=False)
class Window:
    """A part of a picture around a face, at its own resolution or shrunk.

    Attributes:
        image: uint8 [h, w, 3].
        corner: (x, y) of its top-left pixel, pixels of the picture.
        shrink: (x, y), pixels of ``image`` for one of the picture, at most 1.
    """

    image: Image
    corner: tuple[int, int]
    shrink: tuple[float, float]

    @classmethod
    def cut(cls, image: Image, box: NDArray[np.floating], *, scale: float, size: int) -> "Window":
        """The square around a face box, as far as the picture goes.

        Args:
            box: [4] x0, y0, x1, y1, pixels.
            scale: side of the square as a multiple of the box's longer side.
            size: pixels that the whole square gets, were it inside the picture; smaller ones are
                not enlarged.

        Raises:
            DatasetError: the face lies outside the picture.
        """
        x0, y0, x1, y1 = np.asarray(box).tolist()
        side = scale * max(x1 - x0, y1 - y0)
        middle_x, middle_y = (x0 + x1) / 2, (y0 + y1) / 2
        height, width = image.shape[:2]
        left, top = max(0, math.floor(middle_x - side / 2)), max(0, math.floor(middle_y - side / 2))
        right = min(width, math.ceil(middle_x + side / 2) + 1)
        bottom = min(height, math.ceil(middle_y + side / 2) + 1)
        if left >= right or top >= bottom:
            raise DatasetError(f"the face lies outside the picture of {width} x {height} pixels")
        part = image[top:bottom, left:right]
        shrink = size / max(side, *part.shape[:2])
        if shrink >= 1:
            return cls(part, (left, top), (1.0, 1.0))
        # Rounding to whole pixels makes the two scales differ slightly; the points follow exactly.
        target = (round(shrink * part.shape[1]) or 1, round(shrink * part.shape[0]) or 1)
        small = np.asarray(cv2.resize(part, target, interpolation=cv2.INTER_AREA), np.uint8)
        ratio = (target[0] / part.shape[1], target[1] / part.shape[0])
        return cls(small, (left, top), ratio)

    def inside(self, points: NDArray[np.floating]) -> Points:
        """Pixels [N, 2] of the picture as pixels of ``image``."""
        # A resize by s maps the pixel centre p to (p + 0.5) s - 0.5.
        moved = (np.asarray(points) - self.corner + 0.5) * self.shrink - 0.5
        return np.asarray(moved, np.float32)


def warp(image: Image, matrix: NDArray[np.float64], size: int) -> Image:
    """Sample ``image`` bilinearly on a ``size`` x ``size`` grid, black outside the picture.

    A map that shrinks by more than two (k < 0.5) would skip pixels, so the picture is first halved
    until it does not: means of 2 x 2 pixels, (sum + 2) // 4 each time. Blocks start at the
    picture's top-left corner; a partial one at the right or bottom border counts what is missing as
    black.

    Args:
        image: uint8 [H, W, C].
        matrix: [2, 3], pixels of the picture to pixels of the crop; k = sqrt(|determinant|).
    """
    crop: Image = _warp(image, matrix.tolist(), size)
    return crop


def _warp(image: Any, affine: Affine, size: int) -> Any:
    (a, b, _), (c, d, _) = affine
    k = math.sqrt(abs(a * d - b * c))
    times = 0
    while k * 2**times < 0.5 and times < MAX_HALVINGS:
        times += 1
    if times:
        image, affine = _halved(image, affine, times, size)
    # OpenCV samples four channels 2.6 times as fast as three, and to the same bits; that pays for
    # adding and removing one as long as the picture is not much larger than the crop.
    height, width, channels = image.shape
    if channels == 3 and height * width <= FOUR_CHANNELS_BELOW * size**2:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2RGBA)
        image = _sample(image, affine, size)
        return cv2.cvtColor(image, cv2.COLOR_RGBA2RGB)
    return _sample(image, affine, size)


def _sample(image: Any, affine: Affine, size: int) -> Any:
    return cv2.warpAffine(
        image,
        np.array(affine),
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
    )


def _halved(image: Any, affine: Affine, times: int, size: int) -> tuple[Any, Affine]:
    """Halve what the crop sees of the picture, ``times`` times; move the map with it."""
    n = 2**times
    height, width, channels = image.shape
    (a, b, e), (c, d, f) = affine
    # The crop's middle in the picture, and how far the crop and one pixel around it reach from it.
    scale = 1 / (a * d - b * c)
    u, v = (size - 1) / 2 - e, (size - 1) / 2 - f
    reach = abs(scale) * (size + 1) / 2
    x0, x1 = _blocks(scale * (d * u - b * v), reach * (abs(d) + abs(b)), n)
    y0, y1 = _blocks(scale * (a * v - c * u), reach * (abs(a) + abs(c)), n)
    small = image[y0 : min(y1, height), x0 : min(x1, width)]
    if small.size == 0:
        return np.zeros((1, 1, channels), np.uint8), affine
    for _ in range(times):
        rows, columns = small.shape[:2]
        if rows % 2 or columns % 2:
            small = np.pad(small, ((0, rows % 2), (0, columns % 2), (0, 0)))
        # OpenCV has a fast way for this factor alone: 2 is five times as fast as 3 or 4.
        half = ((columns + 1) // 2, (rows + 1) // 2)
        small = cv2.resize(small, half, interpolation=cv2.INTER_AREA)
    # Small pixel s covers picture pixels x0 + n s ... x0 + n s + n - 1: its centre is
    # x0 + n s + (n - 1) / 2.
    x, y = x0 + (n - 1) / 2, y0 + (n - 1) / 2
    return small, [[n * a, n * b, a * x + b * y + e], [n * c, n * d, c * x + d * y + f]]


def _blocks(middle: float, reach: float, n: int) -> tuple[int, int]:
    """Where whole blocks of n begin and end around ``middle`` +- ``reach``, one more on each side:
    what bilinear sampling at the border can touch."""
    first, last = math.floor((middle - reach) / n) - 1, math.ceil((middle + reach) / n) + 2
    return max(0, first * n), max(0, last * n)


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
