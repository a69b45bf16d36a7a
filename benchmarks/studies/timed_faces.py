"""Draws the faces that the benchmark feeds to landmark models: benchmarks/timing/faces.npz.

Usage: make timed-faces ARGS=benchmarks/timing/faces.npz
"""

from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.people.render import draw

SEED, SIZE = 2026, 112
# Of this seed those in colour, half or more to the front: red and blue are told apart in them.
CHOSEN = (0, 1, 5, 6, 8)


def drawn_faces() -> NDArray[np.uint8]:
    """uint8 [5, SIZE, SIZE, 3], RGB."""
    return np.stack([draw(SEED, index, SIZE).image for index in CHOSEN])


@click.command()
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
def main(out: Path) -> None:
    """Draw the faces into the .npz file OUT."""
    np.savez_compressed(out, faces=drawn_faces())


if __name__ == "__main__":
    main()
