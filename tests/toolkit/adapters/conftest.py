"""Landmark models as other projects make them, without the kit's metadata."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def make_points_model(make_op_model: Callable[..., Path]) -> Callable[..., Path]:
    """Writes a float model of [1, S, S, 3] that gives ``values`` for any crop, as one row.

    With ``by_colour`` the mean of the channels it is fed is added, times three weights, to the
    first value.
    """

    def make(values: Any, size: int, *, by_colour: Any = (0, 0, 0), name: str = "points.tflite"):
        bias = np.asarray(values, np.float32).ravel()
        weights = np.zeros((len(bias), 3), np.float32)
        weights[0] = by_colour
        mean = {
            "op": "MEAN",
            "into": (1, size, size, 3),
            "into_type": "float32",
            "type": "float32",
            "shape": (1, 3),
            "constants": [np.array([1, 2], np.int32)],
            "options": ("ReducerOptions", {}),
        }
        dense = {
            "op": "FULLY_CONNECTED",
            "type": "float32",
            "shape": (1, len(bias)),
            "constants": [weights, bias],
            "options": ("FullyConnectedOptions", {}),
        }
        return make_op_model(mean, dense, name=name)

    return make
