"""How often an epoch shows each picture: by subset, and one frame of each clip."""

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import UsageError
from asmnet_kit.datasets.base import Face, picture_of
from asmnet_kit.training.subset_options import OTHERS

FRAME = re.compile(r"\d(?=(\.\w+)?$)")  # the last digit of a picture's name: Ann_10, Ann_11.jpg
# Weights are added up in whole billionths. Sums of floats end an ulp low at times, and then a group
# of weight 2 is shown three times, or an epoch is a picture short.
PARTS = 10**9
FIRST = "#1"  # number of a picture's only face, where a second one is Ann_10.jpg#2


@dataclass(frozen=True, eq=False)
class Sampling:
    """What to draw in an epoch.

    Attributes:
        weights: float64 [G], how often a group is shown, on average; above 1 it repeats.
        groups: per group the indices of its pictures, one of which is shown each time: a single
            picture, or the frames of a clip. None where group g is picture g alone.
    """

    weights: NDArray[np.float64]
    groups: tuple[NDArray[np.int64], ...] | None = None

    @property
    def epoch_size(self) -> int:
        """Pictures of an epoch; the same for each."""
        return int(self._parts.sum() + self._slack) // PARTS

    def draw(self, random: np.random.Generator) -> NDArray[np.int64]:
        """int64 [epoch_size]: shuffled indices; one that stands there twice is shown twice.

        A group of weight w appears floor(w) or ceil(w) times (systematic sampling over a shuffled
        order, so that chance adds as little as it can).
        """
        order = random.permutation(len(self.weights))
        start = max(int(PARTS * random.random()), self._slack)
        times = np.diff((np.cumsum(self._parts[order]) + start) // PARTS, prepend=0)
        drawn = np.repeat(order, times)
        picked = drawn
        if self.groups is not None:
            picked = np.array([random.choice(self.groups[group]) for group in drawn], np.int64)
        return random.permutation(picked)[: self.epoch_size]

    @property
    def _parts(self) -> NDArray[np.int64]:
        """int64 [G], ``weights`` in billionths."""
        return np.rint(PARTS * self.weights).astype(np.int64)

    @property
    def _slack(self) -> int:
        """By how much rounding to parts may have lowered their sum."""
        return len(self.weights) // 2


def showings(faces: NDArray[np.int64]) -> NDArray[np.int64]:
    """How often each of ``faces`` was shown before: 4, 2, 4 gives 0, 0, 1.

    Args:
        faces: int64 [E], indices in the order in which an epoch shows them.
    """
    by_face = np.argsort(faces, kind="stable")
    firsts = np.flatnonzero(np.diff(faces[by_face], prepend=-1))
    times = np.diff(firsts, append=len(faces))
    numbers = np.empty_like(faces)
    numbers[by_face] = np.arange(len(faces)) - np.repeat(firsts, times)
    return numbers


def sampling_of(
    faces: Sequence[Face], *, weights: Mapping[str, float], clips: Sequence[str]
) -> Sampling:
    """How an epoch draws from ``faces``.

    Args:
        weights: subset -> how often each of its pictures is shown in an epoch; faces of none of
            them have the weight of ``OTHERS``, or 1.
        clips: subsets of clips, whose frames have names that differ in their last digit alone. An
            epoch counts a clip as one picture and shows one of its frames.

    Raises:
        UsageError: a subset that no face is in, or nothing left to show.
    """
    if not weights and not clips:
        return Sampling(np.ones(len(faces)))
    require_subsets(faces, weights, option="--sampling")
    require_subsets(faces, clips, option="--clips")
    members: dict[tuple[str | None, str], list[int]] = defaultdict(list)
    for index, face in enumerate(faces):
        clip, number = clip_of(face, clips), face.name.removeprefix(picture_of(face.name))
        key = (None, face.name) if clip is None else (clip, number or FIRST)
        members[key].append(index)
    group_weights = [
        value_of(faces[indices[0]], weights, default=1.0) for indices in members.values()
    ]
    sampling = Sampling(
        np.array(group_weights, np.float64),
        tuple(np.array(indices, np.int64) for indices in members.values()),
    )
    if sampling.epoch_size < 1:
        raise UsageError("expected sampling weights that leave something to show, got all zeros")
    return sampling


def clip_of(face: Face, clips: Sequence[str]) -> str | None:
    """The clip that a frame is of: its picture's name without the last digit; None for others."""
    if not any(subset in clips for subset in face.subsets):
        return None
    return FRAME.sub("", picture_of(face.name))


def value_of(face: Face, values: Mapping[str, float], *, default: float) -> float:
    """The largest of the values of a face's subsets; that of ``OTHERS`` where none is named."""
    named = (values[subset] for subset in face.subsets if subset in values)
    return max(named, default=values.get(OTHERS, default))


def require_subsets(faces: Sequence[Face], names: Collection[str], *, option: str) -> None:
    """Check that each of ``names`` is a subset of ``faces``.

    Raises:
        UsageError: it is not, so the option would do nothing.
    """
    if not names:
        return
    known = {subset for face in faces for subset in face.subsets}
    unknown = sorted({*names} - known - {OTHERS})
    if unknown:
        raise UsageError(
            f"{option}: expected subsets of the training data "
            f"({', '.join(sorted(known)) or 'it has none'}); got {', '.join(unknown)}"
        )
