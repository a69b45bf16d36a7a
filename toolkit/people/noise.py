"""Noise tiles for skin, irises, cloth and film, the same in every process."""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

SIZE = 256
OCTAVES = ((0.0, 0.5), (1.0, 0.35), (2.5, 0.3), (6.0, 0.3), (16.0, 0.25))  # blur, weight


def _octaves(seed: int, octaves: tuple[tuple[float, float], ...]) -> Array:
    white = np.random.default_rng(seed).normal(size=(SIZE, SIZE)).astype(np.float32)
    around = np.tile(white, (3, 3))
    total = np.zeros((SIZE, SIZE), np.float32)
    for blur, weight in octaves:
        layer = cv2.GaussianBlur(around, (0, 0), blur)[SIZE:-SIZE, SIZE:-SIZE] if blur else white
        total += weight * (layer - layer.mean()) / layer.std()
    return np.asarray(total / total.std(), np.float32)


@lru_cache(maxsize=1)
def tiles() -> Array:
    """float32 [SIZE, SIZE, 4], deviation 1, repeating: two of mixed size, its slopes along x, y."""
    pores = _octaves(1, OCTAVES)
    clouds = _octaves(2, ((3.0, 0.5), (8.0, 1.0), (24.0, 0.6)))
    bumps = _octaves(3, ((0.8, 0.5), (1.8, 0.7), (5.0, 0.5)))
    slopes = [np.roll(bumps, -1, axis) - np.roll(bumps, 1, axis) for axis in (1, 0)]
    return np.ascontiguousarray(
        np.stack([pores, clouds, *(slope / slope.std() for slope in slopes)], axis=-1), np.float32
    )


def read(u: Array, v: Array) -> Array:
    """The tiles at (u, v), in tiles; nearest pixel. [N, 4]."""
    column = (u * SIZE).astype(np.int32) & (SIZE - 1)
    row = (v * SIZE).astype(np.int32) & (SIZE - 1)
    found: Array = tiles().reshape(-1, 4)[row * SIZE + column]
    return found
