"""Ways to change a .tflite file, for the tests of its reader."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from asmnet_kit.tflite.packing import pack_model, unpack_model

SHAPE = (1, 8, 8, 4)


@pytest.fixture
def conv() -> dict[str, Any]:
    """A 1 x 1 convolution of 4 channels, for ``make_op_model``."""
    return {
        "op": "CONV_2D",
        "into": SHAPE,
        "shape": SHAPE,
        "constants": [np.full((4, 1, 1, 4), 100, np.int8), np.arange(4, dtype=np.int32)],
        "scales": (0.5,) * 4,
        "options": ("Conv2DOptions", {"strideW": 1, "strideH": 1}),
    }


@pytest.fixture
def behind() -> Callable[[bytes], bytes]:
    """Moves each constant of a model behind the flatbuffer, where large files have it."""
    return _behind


def _behind(content: bytes) -> bytes:
    model = unpack_model(content)
    kept = [
        None if b.data is None else np.asarray(b.data, np.uint8).tobytes() for b in model.buffers
    ]

    def packed(start: int) -> bytes:
        place = start
        for buffer, data in zip(model.buffers, kept, strict=True):
            if data:
                # An offset of at least 2, so that the field is written in the first round, too.
                buffer.data, buffer.offset, buffer.size = None, max(place, 2), len(data)
                place += -(-len(data) // 16) * 16
        return pack_model(model)

    start = -(-len(packed(2)) // 16) * 16
    parts = [packed(start).ljust(start, b"\0")]
    parts += [data.ljust(-(-len(data) // 16) * 16, b"\0") for data in kept if data]
    return b"".join(parts)
