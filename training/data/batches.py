"""Faces to batches: random access into the shards, one warp per picture, whole batches in parallel.

A batch depends on (seed, epoch, index) alone. Each is put together by one thread while others work
on the next ones (OpenCV releases Python's lock), so the step never waits for a picture.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError, KitError, UsageError
from asmnet_kit.datasets.base import Dataset, Face
from asmnet_kit.face.crop import CROP_SCALE, Crop
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.pose import pose_from_landmarks
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.data.augment import (
    AUGMENTATIONS,
    AugmentRanges,
    change_pixels,
    cut,
    draw_placement,
    generator,
)
from asmnet_kit.training.data.sampling import Sampling, sampling_of
from asmnet_kit.training.subset_options import subset_names

ORDER_STREAM = 2**32 - 1  # the "index" whose random numbers shuffle an epoch: no picture has it


@dataclass(frozen=True, eq=False)
class Targets:
    """What is known of each face before augmentation, computed once.

    Attributes:
        upright: float32 [F, N, 2], fractions of the un-augmented crop; 0 where there is no label.
        visible: float32 [F, N], 0 where there is no label, else what an error counts there.
        pose: float32 [F, 3] yaw, pitch, roll in degrees; NaN where it is not known.
    """

    upright: NDArray[np.float32]
    visible: NDArray[np.float32]
    pose: NDArray[np.float32]

    def mean_shape(self) -> NDArray[np.float32]:
        """float32 [N, 2]: each point's mean where it has a label, 0 where it never has one."""
        labelled = self.visible > 0
        counts = np.maximum(labelled.sum(axis=0), 1)
        return np.asarray(self.upright.sum(axis=0) / counts[:, None], np.float32)


def crop_of(face: Face, size: int) -> Crop:
    """The un-augmented crop of a face: the landmark box x CROP_SCALE."""
    return Crop.from_box(face.box, size=size, scale=CROP_SCALE)


def targets_of(
    faces: Sequence[Face], scheme: Scheme, weights: Mapping[str, NDArray[np.float32]] | None = None
) -> Targets:
    """Landmarks and poses of ``faces`` as training targets.

    The data set's pose label is used where there is one, else the pose that the landmarks imply.

    Args:
        weights: face's name -> float32 [N], what its labels count; 1 where it is not in it.

    Raises:
        DatasetError: a face has fewer than two labelled points.
    """
    upright = np.stack([crop_of(face, 1).to_fractions(face.landmarks) for face in faces])
    visible = np.asarray(np.isfinite(upright).all(axis=-1))
    upright[~visible] = 0.0
    pose = np.full((len(faces), 3), np.nan, np.float32)
    for index, face in enumerate(faces):
        known = face.pose
        if known is None:
            known = pose_from_landmarks(face.landmarks, scheme)
        if known is not None:
            pose[index] = known
    counts = visible.astype(np.float32)
    for index, face in enumerate(faces):
        if weights and face.name in weights:
            counts[index] *= weights[face.name]
    return Targets(upright=upright, visible=counts, pose=pose)


def require_batch(faces: int, batch_size: int) -> None:
    """Check that there is at least one whole batch.

    Raises:
        UsageError: there is not.
    """
    if faces < batch_size:
        raise UsageError(
            f"expected an epoch of at least one batch of {batch_size} training faces, got {faces}: "
            "use a smaller --batch-size or more data"
        )


class FaceBatches:
    """Augmented training batches (``asmnet_kit.training.fit.loop.TrainingData``).

    Elements are dictionaries: ``image`` uint8 [B, S, S, 3] RGB; ``upright`` float32 [B, N, 2] and
    ``visible`` float32 [B, N], in the order of the *un-mirrored* face; ``transform`` float32
    [B, 2, 3], upright to augmented crop fractions; ``flipped`` bool [B]; ``pose`` float32 [B, 3],
    degrees, of the augmented crop, NaN where unknown.
    """

    def __init__(
        self,
        faces: Sequence[Face],
        scheme: Scheme,
        *,
        size: int,
        batch_size: int,
        seed: int,
        ranges: AugmentRanges | None = None,
        targets: Targets | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        """Batches of ``faces``; the last, smaller part of a shuffled epoch is dropped.

        Without ``sampling`` an epoch shows each face once.

        Raises:
            UsageError: there are fewer faces in an epoch than one batch holds.
        """
        self._sampling = sampling or sampling_of(faces, weights={}, clips=())
        require_batch(self._sampling.epoch_size, batch_size)
        self.faces, self.scheme, self.size = faces, scheme, size
        self.seed, self.ranges = seed, ranges or AugmentRanges()
        self.targets = targets or targets_of(faces, scheme)
        self._batch_size = batch_size
        self._failure: KitError | None = None

    @property
    def batch_size(self) -> int:
        """Pictures of one step, over all replicas."""
        return self._batch_size

    @property
    def failure(self) -> KitError | None:
        """The first picture that could not be read, which ``tf.data`` reports as text alone."""
        return self._failure

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch."""
        return self._sampling.epoch_size // self._batch_size

    def order(self, epoch: int) -> NDArray[np.int64]:
        """int64 [steps, batch]: indices of the faces of each step."""
        shuffled = self._sampling.draw(generator(self.seed, epoch, ORDER_STREAM))
        whole = self.steps_per_epoch * self._batch_size
        return shuffled[:whole].reshape(self.steps_per_epoch, self._batch_size)

    def epoch(self, index: int, *, replicas: range, replica_count: int) -> tf.data.Dataset:
        """The batches of epoch ``index``, cut into ``replica_count`` equal shares.

        Raises:
            UsageError: the batch does not divide into that many shares.
        """
        if self._batch_size % replica_count:
            raise UsageError(
                f"expected a --batch-size that {replica_count} replicas can share equally, got "
                f"{self._batch_size}"
            )
        steps = self.order(index).reshape(self.steps_per_epoch, replica_count, -1)
        shares = steps[:, replicas.start : replicas.stop].reshape(-1, steps.shape[-1])

        def load(indices: tf.Tensor) -> dict[str, tf.Tensor]:
            # stateless: with deterministic ops tf.data would run a stateful map one by one
            values = tf.numpy_function(
                lambda chosen: self._assemble(chosen, index),
                [indices],
                [tf.uint8, tf.float32, tf.float32, tf.float32, tf.bool, tf.float32],
                stateful=False,
            )
            return self._with_shapes(values, shares.shape[1])

        dataset = tf.data.Dataset.from_tensor_slices(shares)
        dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        # Threads of its own: those of TensorFlow's operations are one (environment.SETTINGS).
        options = tf.data.Options()
        options.threading.private_threadpool_size = os.cpu_count() or 1
        return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)

    def sample(
        self, index: int, epoch: int
    ) -> tuple[Image, NDArray[np.float32], bool, NDArray[np.float32]]:
        """Picture ``index`` as epoch ``epoch`` sees it: image, transform, flipped, pose.

        Raises:
            DatasetError: the picture cannot be read.
        """
        face, random = self.faces[index], generator(self.seed, epoch, index)
        placement = draw_placement(self.ranges, random)
        image = cut(face.picture.read(), crop_of(face, self.size), placement.transform)
        image = change_pixels(image, self.ranges, random)
        pose = placement.pose(self.targets.pose[index])
        return image, placement.transform, placement.flipped, pose

    def _assemble(self, indices: NDArray[np.int64], epoch: int) -> tuple[NDArray[Any], ...]:
        try:
            samples = [self.sample(int(index), epoch) for index in indices]
        except KitError as error:
            self._failure = error
            raise
        except OSError as error:
            self._failure = DatasetError(f"{error.filename}: {error.strerror}")
            raise
        image, transform, flipped, pose = (
            np.stack(values) for values in zip(*samples, strict=True)
        )
        upright, visible = self.targets.upright[indices], self.targets.visible[indices]
        return image, upright, visible, transform, flipped, pose

    def _with_shapes(self, values: list[tf.Tensor], batch: int) -> dict[str, tf.Tensor]:
        points = self.scheme.points
        shapes = {
            "image": [batch, self.size, self.size, 3],
            "upright": [batch, points, 2],
            "visible": [batch, points],
            "transform": [batch, 2, 3],
            "flipped": [batch],
            "pose": [batch, 3],
        }
        return {
            name: tf.ensure_shape(value, shape)
            for (name, shape), value in zip(shapes.items(), values, strict=True)
        }


def run_sampling(config: TrainConfig, faces: Sequence[Face]) -> Sampling:
    """How a run's epochs draw from ``faces``.

    Raises:
        UsageError: a subset that no face is in, or nothing to show.
    """
    return sampling_of(faces, weights=config.sampling_weights(), clips=subset_names(config.clips))


def batches_for(
    config: TrainConfig,
    faces: Dataset,
    label_weights: Mapping[str, NDArray[np.float32]],
    *,
    batch_size: int,
    seed: int,
) -> FaceBatches:
    """The batches that a run's configuration asks for.

    Raises:
        UsageError: fewer faces than one batch holds, or a subset that the data does not have.
    """
    return FaceBatches(
        faces.faces,
        faces.scheme,
        size=config.input_size,
        batch_size=batch_size,
        seed=seed,
        ranges=AUGMENTATIONS[config.augmentation],
        targets=targets_of(faces.faces, faces.scheme, label_weights),
        sampling=run_sampling(config, faces.faces),
    )


class CachedBatch:
    """One batch of ``source`` again and again: how fast the step is when data costs nothing."""

    def __init__(self, source: FaceBatches, *, steps: int) -> None:
        self.batch_size, self.steps_per_epoch = source.batch_size, steps
        self.failure: KitError | None = None
        self._batch = next(iter(source.epoch(0, replicas=range(1), replica_count=1)))

    def epoch(self, index: int, *, replicas: range, replica_count: int) -> tf.data.Dataset:
        """The same batch ``steps`` times."""
        return tf.data.Dataset.from_tensors(self._batch).cache().repeat(self.steps_per_epoch)
