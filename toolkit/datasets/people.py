"""Rendered people as a data set that has no folder: ``--data people --format people``.

They are a fixed set of faces to measure models on, the same for everybody: the split ``test``,
drawn as they are asked for and held in memory. Training does not read them: it draws people of its
own, new ones in each epoch (asmnet_kit.training.data.people).
Subsets: the range of the yaw's size, as of the format ``synthetic``.
"""

from pathlib import Path

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.openers import open_stage
from asmnet_kit.datasets.folders import Reading
from asmnet_kit.datasets.formats import PEOPLE
from asmnet_kit.datasets.synthetic import DEFAULT_POINTS


def read(root: Path, *, points: int | None = None) -> Reading:
    """The people that models are measured on, with 68 (the default) or 98 landmarks.

    Raises:
        UsageError: ``root`` is not the word people.
        KitError: a process that draws them ended.
    """
    if root != Path(PEOPLE):
        raise UsageError(
            f"--format {PEOPLE} draws its own faces: expected --data {PEOPLE}, got {root}"
        )
    points = points or DEFAULT_POINTS
    return Reading(points, list(open_stage("people to measure on")(points)))
