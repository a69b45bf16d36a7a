"""From a crop's bytes to what models take: (v - 128) / 128, in int8 v - 128."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # at run time it would bring OpenCV into memory that is measured
    from asmnet_kit.face.pictures import Image


MEAN = 128
SCALE = 128


def to_float_input(crops: "Image") -> NDArray[np.float32]:
    """(v - 128) / 128 for a float model; any shape."""
    values: NDArray[np.float32] = np.multiply(crops, np.float32(1 / SCALE), dtype=np.float32)
    values -= np.float32(MEAN / SCALE)  # exact: v / 128 has 8 bits
    return values


def to_int8_input(crops: "Image") -> NDArray[np.int8]:
    """v - 128 for a w8a8 model, whose input scale is exactly 1/128 and zero point 0."""
    return (crops ^ 128).view(np.int8)  # flipping the top bit of v is v - 128 in two's complement
