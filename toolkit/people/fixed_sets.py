"""People that no training sees: fixed sets to validate and to measure models on."""

from dataclasses import replace
from functools import lru_cache

from asmnet_kit.base.console import counting
from asmnet_kit.base.limits import MAX_PEOPLE
from asmnet_kit.datasets.base import Face
from asmnet_kit.people.workers import RenderWorkers, Sitting

# Trainings draw people of lower numbers, under seeds of their own; the sets are people of one seed,
# so that runs of different seeds are compared on the same faces.
FIRST_TO_VALIDATE_ON, FIRST_TO_MEASURE_ON = MAX_PEOPLE, MAX_PEOPLE + 2**30
FIXED_SEED = 0
MEASURED, MEASURED_SIZE = 500, 128  # people and pixels of the set that models are measured on


def people_to_validate_on(count: int, *, size: int, points: int) -> tuple[Face, ...]:
    """The first ``count`` people of the validation set, pictures in memory.

    Args:
        size: side of the pictures, pixels.
        points: landmarks, 68 or 98.

    Raises:
        KitError: a process that draws them ended.
    """
    first = FIRST_TO_VALIDATE_ON
    with (
        RenderWorkers(Sitting(FIXED_SEED, size, points)) as workers,
        counting("drawing people to validate on") as progress,
    ):
        return tuple(workers.faces(range(first, first + count), progress=progress))


@lru_cache(maxsize=1)  # a command may ask for the splits first: 25 MB
def people_to_measure_on(points: int) -> tuple[Face, ...]:
    """The split ``test`` of the format ``people``: what ``evaluate`` measures on.

    Args, Raises: as ``people_to_validate_on``.
    """
    first = FIRST_TO_MEASURE_ON
    with (
        RenderWorkers(Sitting(FIXED_SEED, MEASURED_SIZE, points)) as workers,
        counting("drawing people") as progress,
    ):
        faces = list(workers.faces(range(first, first + MEASURED), progress=progress))
    return tuple(replace(face, split="test") for face in faces)


def person_to_measure_on(number: int, *, size: int, points: int) -> Face:
    """Person ``number`` of that set, its picture of another size, drawn by this process.

    Args:
        size: side of the picture, pixels.
        points: landmarks, 68 or 98.
    """
    return Sitting(FIXED_SEED, size, points).face(FIRST_TO_MEASURE_ON + number)
