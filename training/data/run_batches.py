"""The batches that a run's settings ask for."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import UsageError
from asmnet_kit.datasets.base import Dataset, Face
from asmnet_kit.people.workers import RenderWorkers
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.data.augment import AugmentRanges, ranges_of
from asmnet_kit.training.data.batches import FaceBatches, is_believed, targets_of
from asmnet_kit.training.data.people import PeopleStream
from asmnet_kit.training.data.people_batches import PeopleBatches
from asmnet_kit.training.data.sampling import Sampling, require_subsets, sampling_of
from asmnet_kit.training.subset_options import subset_names


def require_visibility(config: TrainConfig, faces: Sequence[Face]) -> None:
    """Check that a run that is to learn visibility has faces to learn it from.

    Raises:
        UsageError: it has none, or the option names a subset that no face is in.
    """
    if not config.visibility:
        return
    names = subset_names(config.visibility_subsets)
    require_subsets(faces, names, option="--visibility-subsets")
    if all(face.visibility is None for face in faces if is_believed(face, names)):
        raise UsageError(
            "--visibility: no training face says which points can be seen. Rendered people do "
            "(--data people --format people, or asmnet-kit data synthesize --kind people), "
            "MERL-RAV's files, and CSV with the columns v0, v1 ...: add some, or leave it out"
        )


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
    ranges: AugmentRanges | None = None,
) -> Iterator[FaceBatches]:
    """The batches that a run's configuration asks for; processes draw people during the block.

    Args:
        ranges: by default ``ranges_of`` the configuration's augmentation.

    Raises:
        UsageError: fewer faces than one batch holds, or a subset that the data does not have.
    """
    ranges = ranges or ranges_of(config.augmentation, faces.scheme)
    if config.draws_people:
        stream = PeopleStream.of(config, seed=seed)
        with RenderWorkers(stream.sitting) as workers:
            yield PeopleBatches(
                stream, faces, workers, size=config.input_size, batch_size=batch_size, seed=seed,
                ranges=ranges, crop_scale=config.crop_scale,
            )  # fmt: skip
        return
    yield FaceBatches(
        faces.faces,
        faces.scheme,
        size=config.input_size,
        batch_size=batch_size,
        seed=seed,
        ranges=ranges,
        targets=targets_of(
            faces.faces,
            faces.scheme,
            label_weights,
            visibility_subsets=subset_names(config.visibility_subsets),
            crop_scale=config.crop_scale,
        ),
        crop_scale=config.crop_scale,
        sampling=_sampling(config, faces.faces),
    )
