"""Writing people as a folder: the renderer for asmnet_kit.datasets.write_synthetic."""

from collections.abc import Collection
from dataclasses import replace
from functools import partial

from asmnet_kit.datasets.visibility import marks_of
from asmnet_kit.datasets.write_synthetic import Renderer
from asmnet_kit.people.own import NOTHING, OwnData
from asmnet_kit.people.render import Person, draw, people, pose_of


def _draw(seed: int, index: int, size: int) -> Person:
    return draw(seed, index, size)


def _check(seed: int, size: int) -> None:
    people(0, seed=seed, size=size)


def marks_of_person(person: Person) -> dict[int, str]:
    """Which of its 68 and 98 landmarks can be seen, as ``visibility.marks_of`` writes it."""
    return {
        68: marks_of(person.self_occluded68, person.occluded68),
        98: marks_of(person.self_occluded98, person.occluded98),
    }


PEOPLE = Renderer(
    "people", version=11, draw=_draw, pose_of=pose_of, check=_check, marks_of=marks_of_person
)


def people_with(own: OwnData = NOTHING, *, without: Collection[str] = ()) -> Renderer:
    """The renderer of people with what a user brings, and without parts of their realism.

    Raises:
        UsageError: a name that is not of REALISM, or one that leaves out what ``own`` brings.
    """
    people(0, seed=0, without=without, own=own)
    options = own.to_json()
    if without:
        options["without"] = sorted(set(without))
    return replace(PEOPLE, draw=partial(draw, without=without, own=own), options=options)
