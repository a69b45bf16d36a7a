"""Crops as the raw values of a model's input."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.face.input_values import to_float_input, to_int8_input
from asmnet_kit.tflite.int8_rules import INPUT_SCALE
from asmnet_kit.tflite.runtime import TensorInfo, quantize

if TYPE_CHECKING:  # at run time it would bring OpenCV into memory that is measured
    from asmnet_kit.face.pictures import Image


def input_values(crops: "Image", info: TensorInfo) -> NDArray[np.generic]:
    """Crops as the raw values of a model's input; the shape stays.

    Args:
        crops: uint8 [..., S, S, 3], RGB.
        info: of the input, which stands for (v - 128) / 128 of a value v in 0..255.
    """
    if info.dtype == np.int8 and info.scale == INPUT_SCALE and info.zero_point == 0:
        return to_int8_input(crops)
    real = to_float_input(crops)
    return real if info.dtype == np.float32 else quantize(real, info)
