"""Writing people as a folder: the renderer for asmnet_kit.datasets.write_synthetic."""

from asmnet_kit.datasets.visibility import marks_of
from asmnet_kit.datasets.write_synthetic import Renderer
from asmnet_kit.people.render import Person, draw, people, pose_of


def _draw(seed: int, index: int, size: int) -> Person:
    return draw(seed, index, size)


def _check(seed: int, size: int) -> None:
    people(0, seed=seed, size=size)


def _marks_of(person: Person) -> dict[int, str]:
    return {
        68: marks_of(person.self_occluded68, person.occluded68),
        98: marks_of(person.self_occluded98, person.occluded98),
    }


PEOPLE = Renderer(
    "people", version=8, draw=_draw, pose_of=pose_of, check=_check, marks_of=_marks_of
)
