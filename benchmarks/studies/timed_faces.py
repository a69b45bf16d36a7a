"""Draws the faces that the benchmark feeds to landmark models: benchmarks/timing/faces.npz.

Usage: python -m asmnet_kit.benchmarks.studies.timed_faces OUT.npz
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.people.render import draw

SEED, SIZE = 2026, 112
# Of this seed those in colour, half or more to the front: red and blue are told apart in them.
CHOSEN = (0, 1, 5, 6, 8)


def drawn_faces() -> NDArray[np.uint8]:
    """uint8 [5, SIZE, SIZE, 3], RGB."""
    return np.stack([draw(SEED, index, SIZE).image for index in CHOSEN])


if __name__ == "__main__":
    np.savez_compressed(Path(sys.argv[1]), faces=drawn_faces())
