"""Rendered people as training data: new ones in each epoch, drawn while the network learns.

Epoch e of a run is people e N to (e + 1) N - 1 of its seed, N being ``--faces-per-epoch``. Only the
first of epoch 0 are drawn before the training begins: they stand for all where a training needs
faces beforehand, as for the shape model, the mean shape and the calibration of quantization.
"""

from dataclasses import dataclass
from typing import Any

from asmnet_kit.base.console import counting
from asmnet_kit.datasets.base import Dataset, Face
from asmnet_kit.datasets.formats import PEOPLE
from asmnet_kit.face.schemes import SCHEME_68, SCHEME_98, scheme_of
from asmnet_kit.people.fixed_sets import people_to_validate_on
from asmnet_kit.people.workers import RenderWorkers, Sitting
from asmnet_kit.people.write import PEOPLE as RENDERER
from asmnet_kit.training.config import TrainConfig

# Side of a picture, in sides of the network's input: 128 pixels for 112. Faces fill about half to
# three quarters of a picture, so crops are enlarged a little on average, and never by much.
RELATIVE_SIZE = 8 / 7
KNOWN = 1000  # people that are drawn beforehand, at most: enough for 30 components of a shape model


@dataclass(frozen=True)
class PeopleStream:
    """The people that a run is trained on.

    Attributes:
        sitting: which, and how they are drawn.
        faces_per_epoch: how many are new in each epoch.
    """

    sitting: Sitting
    faces_per_epoch: int

    @classmethod
    def of(cls, config: TrainConfig, *, seed: int) -> "PeopleStream":
        """Those that a run's settings ask for."""
        size = round(RELATIVE_SIZE * config.input_size)
        scheme = config.landmark_scheme() or SCHEME_68
        points = scheme.points if scheme in (SCHEME_68, SCHEME_98) else SCHEME_68.points
        return cls(Sitting(seed, size, points), config.faces_per_epoch)

    def known(self) -> Dataset:
        """The first people of epoch 0, at most ``KNOWN``, pictures in memory.

        Raises:
            KitError: a process that draws them ended.
        """
        numbers = range(min(KNOWN, self.faces_per_epoch))
        with RenderWorkers(self.sitting) as workers, counting("drawing people") as progress:
            return self._dataset(tuple(workers.faces(numbers, progress=progress)))

    def to_validate_on(self, count: int) -> Dataset:
        """``count`` people whom no run is trained on: the same for every seed.

        Raises:
            KitError: a process that draws them ended.
        """
        size, points = self.sitting.size, self.sitting.points
        return self._dataset(people_to_validate_on(count, size=size, points=points))

    def _dataset(self, faces: tuple[Face, ...]) -> Dataset:
        return Dataset(PEOPLE, PEOPLE, scheme_of(self.sitting.points), faces, origins=(PEOPLE,))

    def to_json(self) -> dict[str, Any]:
        """What the manifest notes: all that the people depend on."""
        return {
            "kind": RENDERER.kind,
            "renderer": RENDERER.version,
            "seed": self.sitting.seed,
            "size": self.sitting.size,
            "faces_per_epoch": self.faces_per_epoch,
        }
