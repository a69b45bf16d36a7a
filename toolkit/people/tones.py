"""Colours: sRGB and linear light."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

GAMMA = 2.2
FROM_SRGB = ((np.arange(256) / 255) ** GAMMA).astype(np.float32)  # of a byte


def linear(srgb: object) -> Array:
    """sRGB 0..255 to linear light 0..1."""
    return np.asarray((np.asarray(srgb, np.float64) / 255) ** GAMMA, np.float32)
