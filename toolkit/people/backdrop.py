"""What is behind a person: a cut-out of the panorama, out of focus, or made-up shapes."""

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.people import noise
from asmnet_kit.people.tones import FROM_SRGB, linear

Array = NDArray[np.float32]

PHOTOGRAPHIC_SHARE = 0.65
PLAIN = 0.2  # linear light of a backdrop without anything
PARTS = (0.5, 1.0)  # side of what is cut out, as a share of the photograph's shorter side
LEVELS = (0.02, 0.4)  # mean of what is behind, linear light; a face has about 0.35


def random_backdrop(rng: np.random.Generator, panorama: Array, size: int) -> Array:
    """Linear light, float32 [size, size, 3]; mid-grey about 0.2."""
    photographic = rng.random() < PHOTOGRAPHIC_SHARE
    canvas = _view(rng, panorama, size) if photographic else _shapes(rng, size)
    return _out_of_focus(rng, canvas, size)


def photograph(rng: np.random.Generator, picture: NDArray[np.uint8], size: int) -> Array:
    """A part of a photograph, uint8 [H, W, 3], as often mirrored as not; as ``random_backdrop``."""
    height, width = picture.shape[:2]
    side = max(1, int(min(height, width) * rng.uniform(*PARTS)))
    top, left = (
        rng.integers(height - side, endpoint=True),
        rng.integers(width - side, endpoint=True),
    )
    cut = picture[top : top + side, left : left + side]
    if rng.random() < 0.5:
        cut = np.ascontiguousarray(cut[:, ::-1])
    smaller = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    cut = np.asarray(cv2.resize(cut, (size, size), interpolation=smaller), np.uint8)
    return _out_of_focus(rng, _levelled(rng, FROM_SRGB[cut]), size)


def _out_of_focus(rng: np.random.Generator, canvas: Array, size: int) -> Array:
    blur = size * rng.uniform(0.002, 0.03)
    if rng.random() < 0.7:
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), blur), np.float32)
    return np.maximum(canvas, 0)


def _view(rng: np.random.Generator, panorama: Array, size: int) -> Array:
    height, width = panorama.shape[:2]
    side = int(height * rng.uniform(0.22, 0.75))
    top = int(rng.integers(int(0.1 * height), max(int(0.1 * height) + 1, int(0.9 * height) - side)))
    left = int(rng.integers(width - side))
    cut = panorama[top : top + side, left : left + side]
    cut = _levelled(rng, cut)
    return np.asarray(cv2.resize(cut, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def _levelled(rng: np.random.Generator, cut: Array) -> Array:
    """As bright as the camera would show it behind a face: the mean is one of ``LEVELS``."""
    mean = np.exp(np.log(np.maximum(cut, 1e-3)).mean())
    level = np.exp(rng.uniform(*np.log(LEVELS))) / mean
    return np.asarray(np.minimum(cut * np.float32(level), np.float32(2.0)), np.float32)


def _colour(rng: np.random.Generator) -> Array:
    """Mostly greyish, often dark."""
    colour = rng.uniform(0, 255, 3) * rng.uniform(0.25, 1)
    return linear(colour.mean() + rng.random() ** 2 * (colour - colour.mean()))


def _shapes(rng: np.random.Generator, size: int) -> Array:
    """A wall, furniture, leaves or lights."""
    down = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    top, bottom = _colour(rng), _colour(rng)
    canvas = np.ascontiguousarray(
        np.broadcast_to(top + (bottom - top) * down, (size, size, 3)), np.float32
    )
    kind = rng.random()
    for _ in range(rng.integers(0, 3) if kind < 0.3 else rng.integers(2, 14)):
        colour = _colour(rng).tolist()
        if kind < 0.6:
            sides = (size * rng.uniform(0.04, 0.8, 2)).tolist()
            centre = rng.uniform(0, size, 2).tolist()
            box = cv2.boxPoints((centre, sides, float(rng.uniform(-10, 10))))
            cv2.fillPoly(canvas, [box.astype(np.int32)], colour, cv2.LINE_AA)
        elif kind < 0.8:
            corners = rng.integers(-size // 4, size * 5 // 4, (rng.integers(3, 6), 2))
            cv2.fillPoly(canvas, [corners.astype(np.int32)], colour, cv2.LINE_AA)
        else:
            centre, radius = rng.integers(0, size, 2).tolist(), int(size * rng.uniform(0.02, 0.2))
            cv2.circle(canvas, centre, radius, colour, -1, cv2.LINE_AA)
    step = rng.uniform(0.3, 3)
    x, y = np.meshgrid(np.arange(size) / size * step, np.arange(size) / size * step)
    shift = rng.random()
    clouds = noise.read((x + shift).ravel().astype(np.float32), y.ravel().astype(np.float32))
    canvas *= np.maximum(1 + rng.uniform(0, 0.3) * clouds[:, 1].reshape(size, size, 1), 0.1)
    return np.asarray(canvas, np.float32)
