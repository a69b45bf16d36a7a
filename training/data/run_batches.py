"""The batches that a run's settings ask for."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.datasets.base import Dataset, Face
from asmnet_kit.people.workers import RenderWorkers
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.data.augment import AUGMENTATIONS
from asmnet_kit.training.data.batches import FaceBatches, targets_of
from asmnet_kit.training.data.people import PeopleStream
from asmnet_kit.training.data.people_batches import PeopleBatches
from asmnet_kit.training.data.sampling import Sampling, sampling_of
from asmnet_kit.training.subset_options import subset_names


def epoch_size(config: TrainConfig, faces: Sequence[Face]) -> int:
    """Pictures of an epoch of a run whose training faces these are.

    Raises:
        UsageError: a subset that no face is in, or nothing to show.
    """
    if config.draws_people:
        return config.faces_per_epoch
    return _sampling(config, faces).epoch_size


def _sampling(config: TrainConfig, faces: Sequence[Face]) -> Sampling:
    return sampling_of(faces, weights=config.sampling_weights(), clips=subset_names(config.clips))


@contextmanager
def batches_for(
    config: TrainConfig,
    faces: Dataset,
    label_weights: Mapping[str, NDArray[np.float32]],
    *,
    batch_size: int,
    seed: int,
) -> Iterator[FaceBatches]:
    """The batches that a run's configuration asks for; processes draw people during the block.

    Raises:
        UsageError: fewer faces than one batch holds, or a subset that the data does not have.
    """
    ranges = AUGMENTATIONS[config.augmentation]
    if config.draws_people:
        stream = PeopleStream.of(config, seed=seed)
        with RenderWorkers(stream.sitting) as workers:
            yield PeopleBatches(
                stream, faces, workers, size=config.input_size, batch_size=batch_size, seed=seed,
                ranges=ranges,
            )  # fmt: skip
        return
    yield FaceBatches(
        faces.faces,
        faces.scheme,
        size=config.input_size,
        batch_size=batch_size,
        seed=seed,
        ranges=ranges,
        targets=targets_of(faces.faces, faces.scheme, label_weights),
        sampling=_sampling(config, faces.faces),
    )
