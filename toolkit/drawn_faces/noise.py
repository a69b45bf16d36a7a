"""Tiles of noise made once, from which faces and backgrounds cut random windows.

All tiles have mean 0 and standard deviation 1 and repeat at their borders.
"""

from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Kind = Literal["white", "fine", "coarse", "clouds", "strands", "skin"]

TILE = 512  # pixels; a window of at most this is cut from two tiles side by side
TILE_SEED = 20_201_107  # any constant: the tiles are part of the renderer, not of a face


@lru_cache(maxsize=8)
def _tile(kind: Kind) -> Array:
    """float32 [2 TILE, 2 TILE]: the tile, repeated."""
    rng = np.random.default_rng([TILE_SEED, sum(map(ord, kind))])
    white = rng.standard_normal((TILE, TILE), dtype=np.float32)
    sigmas: dict[Kind, tuple[tuple[float, float, float], ...]] = {  # (sigma x, sigma y, weight)
        "white": ((0.0, 0.0, 1.0),),
        "fine": ((1.0, 1.0, 1.0),),
        "coarse": ((4.0, 4.0, 1.0), (14.0, 14.0, 1.3)),
        "clouds": ((2.0, 2.0, 0.25), (5.0, 5.0, 0.5), (12.0, 12.0, 1.0), (30.0, 30.0, 1.5)),
        "skin": ((0.8, 0.8, 0.7), (4.0, 4.0, 0.8), (14.0, 14.0, 1.0)),
        "strands": ((0.7, 14.0, 1.0), (2.2, 24.0, 1.0), (6.0, 30.0, 0.8)),
    }
    total = np.zeros_like(white)
    for sigma_x, sigma_y, weight in sigmas[kind]:
        layer = white if sigma_x == 0 else _wrapped_blur(np.roll(white, 97, 1), sigma_x, sigma_y)
        total += weight * layer / layer.std()
    total = (total - total.mean()) / total.std()
    return np.tile(total, (2, 2)).astype(np.float32)


def _wrapped_blur(noise: Array, sigma_x: float, sigma_y: float) -> Array:
    wide = np.tile(noise, (3, 3))
    blurred = cv2.GaussianBlur(wide, (0, 0), sigma_x, sigmaY=sigma_y)
    return np.asarray(blurred[TILE : 2 * TILE, TILE : 2 * TILE], np.float32)


def tile(rng: np.random.Generator, height: int, width: int, kind: Kind) -> Array:
    """A random window [height, width] of a tile, repeated every ``TILE`` pixels; do not write."""
    y, x = rng.integers(0, TILE, 2)
    repeated = _tile(kind)
    times = -(-max(height, width) // TILE)
    if times > 1:  # two tiles side by side hold windows of one tile's size alone
        repeated = np.tile(repeated, (times, times))
    return repeated[y : y + height, x : x + width]


def strands(rng: np.random.Generator, height: int, width: int) -> Array:
    """Noise stretched along y, like hair hanging down."""
    return tile(rng, height, width, "strands")


def pick(rng: np.random.Generator, shares: tuple[float, ...]) -> int:
    """An index with probability proportional to its share (a fast ``rng.choice``)."""
    left = rng.random() * sum(shares)
    for index, share in enumerate(shares):
        left -= share
        if left < 0:
            return index
    return len(shares) - 1
