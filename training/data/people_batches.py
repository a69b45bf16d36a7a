"""Batches of people who are drawn by other processes while the network learns from earlier ones."""

import itertools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from asmnet_kit.datasets.base import Dataset
from asmnet_kit.people.workers import Ahead, RenderWorkers
from asmnet_kit.training.data.augment import AugmentRanges, generator
from asmnet_kit.training.data.batches import FaceBatches, Showings, shares_of, show, targets_of
from asmnet_kit.training.data.people import PeopleStream

# People drawn ahead of the training at most, so that processes go on while an epoch is validated:
# 50 MB of pictures for an input of 112 pixels.
AHEAD = 1024


class PeopleBatches(FaceBatches):
    """Epochs of people whom no epoch before has shown, in the order of their numbers.

    They need no shuffling: each is drawn on its own. Augmentation and batches are as for any faces,
    and what a batch holds depends on the seed and the epoch alone, not on who drew it.
    """

    def __init__(
        self,
        stream: PeopleStream,
        known: Dataset,
        workers: RenderWorkers,
        *,
        size: int,
        batch_size: int,
        seed: int,
        ranges: AugmentRanges,
        crop_scale: float,
    ) -> None:
        """Batches of ``stream``, whose first people are ``known``.

        Args:
            workers: draw the people of ``stream``.
            size, batch_size, seed, ranges, crop_scale: as for ``FaceBatches``.

        Raises:
            UsageError: there are fewer people in an epoch than one batch holds.
        """
        self._stream = stream
        self._ahead = Ahead(workers, ahead=min(AHEAD, stream.faces_per_epoch))
        super().__init__(
            known.faces, known.scheme, size=size, batch_size=batch_size, seed=seed, ranges=ranges,
            crop_scale=crop_scale,
        )  # fmt: skip

    @property
    def epoch_size(self) -> int:
        return self._stream.faces_per_epoch

    def order(self, epoch: int) -> NDArray[np.int64]:
        """int64 [steps, batch, 2]: the people of each step, counted from the epoch's first."""
        numbers = np.arange(self.steps_per_epoch * self.batch_size)
        shown = np.stack([numbers, np.zeros_like(numbers)], axis=-1)
        return shown.reshape(self.steps_per_epoch, self.batch_size, 2)

    def epoch(self, index: int, *, replicas: range, replica_count: int) -> tf.data.Dataset:
        """As of ``FaceBatches``; the people of the next epochs are drawn after those of this one.

        Raises:
            UsageError: the batch does not divide into that many shares.
        """
        batches = super().epoch(index, replicas=replicas, replica_count=replica_count)

        def upcoming() -> Iterator[int]:
            for epoch in itertools.count(index):
                shares = shares_of(self.order(epoch), replicas, replica_count)
                yield from (self._first(epoch) + shares[..., 0].ravel()).tolist()

        self._ahead.follow(upcoming())
        return batches

    def _first(self, epoch: int) -> int:
        return epoch * self._stream.faces_per_epoch

    def _show(self, shown: NDArray[np.int64], epoch: int) -> Showings:
        numbers = shown[:, 0].tolist()
        faces = [self._ahead.take(self._first(epoch) + number) for number in numbers]
        targets = targets_of(faces, self.scheme, crop_scale=self.crop_scale)
        return Showings(
            [
                show(
                    face,
                    targets.of(row),
                    self.size,
                    self.ranges,
                    generator(self.seed, epoch, number),
                    crop_scale=self.crop_scale,
                )
                for row, (number, face) in enumerate(zip(numbers, faces, strict=True))
            ],
            *targets.labels(np.arange(len(faces))),
        )
