"""Writes turned portraits, in processes of their own.

Apart from the command, which runs as a script: processes import what they are sent by the name of
its module, and a script has none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base import console
from asmnet_kit.base.cores import usable_cores
from asmnet_kit.base.files import write_bytes
from asmnet_kit.base.workers import shared_out
from asmnet_kit.face.pictures import Image, encode_jpeg, read_image
from asmnet_kit.training.studies.portraits.mesh_map import COUNTS
from asmnet_kit.training.studies.portraits.turned import SIZE, Portrait, Proportions, varied

Array = NDArray[np.float64]
Turned = tuple[str, dict[int, Array]]  # a picture's name, and its landmarks by their number

AT_ONCE = 20  # pictures that a process turns before it answers
MARGIN = 2  # pixels between a turned face's landmarks and the border
JPEG_QUALITY = 95


@dataclass(frozen=True, eq=False)
class Labelled:
    """A portrait that is kept.

    Attributes:
        file: its picture.
        mesh: float64 [468, 3], pixels of it.
        landmarks: float64 [N, 2], pixels of it, by their number.
    """

    file: Path
    mesh: Array
    landmarks: dict[int, Array]


def turned_pictures(
    portraits: Sequence[Labelled],
    folder: Path,
    count: int,
    *,
    seed: int,
    workers: int | None = None,
) -> list[Turned]:
    """Make pictures of labelled ones, by turning them in depth and reshaping them.

    Args:
        folder: where they are written.
        count: how many are made; those are left out whose landmarks leave the picture.
        workers: number of processes, by default all usable cores; the pictures do not depend on it.

    Returns:
        Name and landmarks of each, pixels, by their number (68, 98).
    """
    if not count:
        return []
    proportions = Proportions([face.mesh for face in portraits])
    begin = partial(_begin, list(portraits), proportions, folder, seed)
    made: list[Turned] = []
    with (
        shared_out(
            begin,
            range(count),
            workers=workers or usable_cores(),
            doing="turns portraits",
            at_once=AT_ONCE,
        ) as answers,
        console.counting("Turned portraits") as on_progress,
    ):
        for number, turned in enumerate(answers):
            if turned is not None:
                made.append(turned)
            on_progress(number + 1, count)
    return made


def write_picture(path: Path, image: Image) -> None:
    """Write a picture of the set as JPEG."""
    write_bytes(path, encode_jpeg(image, name=str(path), quality=JPEG_QUALITY), durable=False)


def _begin(
    portraits: list[Labelled], proportions: Proportions, folder: Path, seed: int
) -> Callable[[int], Turned | None]:
    """In a process of its own: makes and writes the picture of a number; None where its landmarks
    leave it."""

    def turned(index: int) -> Turned | None:
        rng = np.random.default_rng((seed, index))
        which = int(rng.integers(len(portraits)))
        other = proportions.like(which, rng)
        mesh = proportions.varied(which, other, rng)
        image, landmarks = varied(
            _portrait(portraits[which]), _portrait(portraits[other]), mesh, proportions, rng
        )
        if landmarks.min() < MARGIN or landmarks.max() > SIZE - 1 - MARGIN:
            return None
        name = f"turned_{index:06d}.jpg"
        write_picture(folder / name, image)
        return name, {68: landmarks[:68], 98: landmarks[68:]}

    return turned


def _portrait(face: Labelled) -> Portrait:
    return Portrait(
        read_image(face.file), face.mesh, np.concatenate([face.landmarks[n] for n in COUNTS])
    )
