"""Faces to batches: random access into the shards, one warp per picture, whole batches in parallel.

A batch holds pictures that augmentation has moved, and labels that it has *not* moved: ``upright``
landmarks, with the ``transform`` and ``flipped`` that take them after their picture. The loss does
that (``asmnet_kit.training.batch``), since a shape model smooths upright faces alone.

A picture depends on (seed, epoch, face, showing) alone: shown several times in an epoch, a face is
another picture each time. Each batch is put together by one thread while others work on the next
ones (OpenCV releases Python's lock), so the step never waits for a picture.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError, KitError, UsageError
from asmnet_kit.datasets.base import Face
from asmnet_kit.datasets.face_table import FaceTable
from asmnet_kit.face.boxes import CROP_SCALE
from asmnet_kit.face.crop import Crop, Points, crop_fractions
from asmnet_kit.face.pictures import Image, shared_room
from asmnet_kit.face.pose import pose_from_landmarks
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.training.batch import Batch
from asmnet_kit.training.data.augment import (
    AugmentRanges,
    change_pixels,
    cut,
    draw_transform,
    generator,
)
from asmnet_kit.training.data.sampling import Sampling, sampling_of, showings

MOST_SHAPES = 100_000  # of a mean
ORDER_STREAM = 2**32 - 1  # the "face" whose random numbers shuffle an epoch: no face has it


class Target(NamedTuple):
    """What is known of one face before augmentation: a row of ``Targets``."""

    upright: NDArray[np.float32]
    visible: NDArray[np.float32]
    pose: NDArray[np.float32]
    visibility: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Targets:
    """What is known of each face before augmentation, computed once.

    Attributes:
        upright: float32 [F, N, 2], fractions of the un-augmented crop; 0 where there is no label.
        visible: float32 [F, N], 0 where there is no label, else what an error counts there.
        pose: float32 [F, 3] yaw, pitch, roll in degrees; NaN where it is not known.
        visibility: float32 [F, N], 1 where a point can be seen, 0 where it is hidden; NaN where it
            is not known.
    """

    upright: NDArray[np.float32]
    visible: NDArray[np.float32]
    pose: NDArray[np.float32]
    visibility: NDArray[np.float32]

    def of(self, index: int) -> Target:
        """What is known of face ``index``."""
        rows = (self.upright, self.visible, self.pose, self.visibility)
        return Target(*(row[index] for row in rows))

    def labels(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """``upright`` and ``visible`` of these faces."""
        return self.upright[indices], self.visible[indices]

    def mean_shape(self) -> NDArray[np.float32]:
        """float32 [N, 2]: each point's mean where it has a label, 0 where it never has one."""
        labelled = self.visible > 0
        counts = np.maximum(labelled.sum(axis=0), 1)
        return np.asarray(self.upright.sum(axis=0) / counts[:, None], np.float32)


@dataclass(frozen=True, eq=False)
class TableTargets:
    """``Targets`` of faces in a table: rows are computed when they are asked for.

    Attributes:
        faces: the table.
        believed: bool [F], whose visibility counts.
        crop_scale: as for ``targets_of``.
    """

    faces: FaceTable
    believed: NDArray[np.bool_]
    crop_scale: float

    def of(self, index: int) -> Target:
        """What is known of face ``index``."""
        part = self._rows(slice(index, index + 1))
        return Target(part.upright[0], part.visible[0], part.pose[0], part.visibility[0])

    def labels(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """``upright`` and ``visible`` of these faces."""
        return _upright(self.faces.landmarks(indices), self.crop_scale)

    def mean_shape(self) -> NDArray[np.float32]:
        """float32 [N, 2]: each point's mean where it has a label, 0 where it never has one."""
        total, counts = 0.0, 0.0
        faces = self.faces[:: -(-len(self.faces) // MOST_SHAPES)]  # a first guess needs no more
        for part in faces.parts():
            upright, visible = _upright(faces.landmarks(part), self.crop_scale)
            total, counts = total + upright.sum(axis=0, dtype=np.float64), counts + visible.sum(0)
        return np.asarray(total / np.maximum(counts, 1)[:, None], np.float32)

    def _rows(self, part: slice) -> Targets:
        upright, visible = _upright(self.faces.landmarks(part), self.crop_scale)
        pose, fitted = self.faces.column("pose", part), self.faces.column("fitted_pose", part)
        pose = np.where(np.isnan(pose).any(axis=1, keepdims=True), fitted, pose)
        marks = self.faces.column("visibility", part).astype(np.float32)
        known = self.faces.column("knows_visibility", part) & self.believed[part]
        visibility = np.where(known[:, None] & (marks >= 0), marks, np.float32(np.nan))
        return Targets(upright, visible, pose.astype(np.float32), visibility.astype(np.float32))


def _upright(
    landmarks: Points, crop_scale: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``Targets.upright`` and, where there is a label, 1."""
    upright = crop_fractions(landmarks, crop_scale)
    labelled = np.asarray(np.isfinite(upright).all(axis=-1))
    upright[~labelled] = 0.0
    return upright, labelled.astype(np.float32)


def crop_of(face: Face, size: int, scale: float = CROP_SCALE) -> Crop:
    """The un-augmented crop of a face: the landmark box x ``scale``."""
    return Crop.from_box(face.box, size=size, scale=scale)


def pose_of(face: Face, scheme: Scheme) -> NDArray[np.float32] | None:
    """The data set's pose label of a face, else the pose that its landmarks imply.

    Returns:
        float32 [3], yaw, pitch, roll in degrees; None where too few points are labelled.
    """
    if face.pose is not None:
        return face.pose
    if face.fitted_pose is not None:
        return face.fitted_pose
    return pose_from_landmarks(face.landmarks, scheme)


def targets_of(
    faces: Sequence[Face],
    scheme: Scheme,
    weights: Mapping[str, NDArray[np.float32]] | None = None,
    *,
    visibility_subsets: Collection[str] = (),
    crop_scale: float = CROP_SCALE,
) -> "Targets | TableTargets":
    """Landmarks and poses of ``faces`` as training targets.

    Args:
        weights: face's name -> float32 [N], what its labels count; 1 where it is not in it.
        visibility_subsets: whose faces' visibility is believed; that of every face by default.
        crop_scale: side of the crop as a multiple of the landmark box's longer side.

    Raises:
        DatasetError: a face has fewer than two labelled points.
    """
    if isinstance(faces, FaceTable) and not weights:
        return TableTargets(faces, _believed(faces, visibility_subsets), crop_scale)
    upright, counts = _upright(np.stack([face.landmarks for face in faces]), crop_scale)
    pose = np.full((len(faces), 3), np.nan, np.float32)
    for index, face in enumerate(faces):
        known = pose_of(face, scheme)
        if known is not None:
            pose[index] = known
    for index, face in enumerate(faces):
        if weights and face.name in weights:
            counts[index] *= weights[face.name]
    visibility = np.full(counts.shape, np.nan, np.float32)
    for index, face in enumerate(faces):
        if face.visibility is not None and is_believed(face, visibility_subsets):
            visibility[index] = face.visibility
    return Targets(upright=upright, visible=counts, pose=pose, visibility=visibility)


def _believed(faces: FaceTable, visibility_subsets: Collection[str]) -> NDArray[np.bool_]:
    """bool [F]: ``is_believed`` of each."""
    if not visibility_subsets:
        return np.ones(len(faces), np.bool_)
    bits = sum(1 << n for n, name in enumerate(faces.subsets) if name in visibility_subsets)
    return np.asarray(faces.column("subsets") & np.uint64(bits) != 0)


def is_believed(face: Face, visibility_subsets: Collection[str]) -> bool:
    """Whether what a face says of its points' visibility counts; see ``targets_of``."""
    return not visibility_subsets or not set(face.subsets).isdisjoint(visibility_subsets)


class AugmentedFace(NamedTuple):
    """One showing of a face.

    Attributes:
        image: uint8 [S, S, 3], RGB.
        transform: float32 [2, 3], fractions of the upright crop to fractions of this one.
        flipped: whether it is mirrored.
        pose: float32 [3], yaw, pitch, roll in degrees of this crop; NaN where unknown.
        visibility: float32 [N], as in ``Targets``, after what augmentation put in front.
    """

    image: Image
    transform: NDArray[np.float32]
    flipped: bool
    pose: NDArray[np.float32]
    visibility: NDArray[np.float32]


class Showings(NamedTuple):
    """Showings of faces, and the labels of these before augmentation: rows of ``Targets``."""

    samples: list[AugmentedFace]
    upright: NDArray[np.float32]
    visible: NDArray[np.float32]


def show(
    face: Face,
    target: Target,
    size: int,
    ranges: AugmentRanges,
    random: np.random.Generator,
    *,
    crop_scale: float = CROP_SCALE,
) -> AugmentedFace:
    """A face as augmentation shows it.

    Args:
        target: what is known of it before.
        size: side of the crop, pixels.
        crop_scale: as for ``targets_of``.

    Raises:
        DatasetError: the picture cannot be read.
    """
    moved = draw_transform(ranges, random)
    with shared_room():
        image = cut(face.read(), crop_of(face, size, crop_scale), moved.matrix)
    covered = np.zeros((size, size), np.bool_)
    return AugmentedFace(
        image=change_pixels(image, ranges, random, covered),
        transform=moved.matrix,
        flipped=moved.flipped,
        pose=moved.pose(target.pose),
        visibility=_visibility(target, moved.matrix, covered),
    )


def _visibility(
    target: Target, transform: NDArray[np.float32], covered: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """What is known of a face's points, 0 for those under a ``covered`` pixel of the crop."""
    known = target.visibility
    if not covered.any() or np.isnan(known).all():
        return known
    moved = target.upright @ transform[:, :2].T + transform[:, 2]
    size = len(covered)
    pixels = np.rint(size * moved + (size - 1) / 2).astype(int)
    inside = ((pixels >= 0) & (pixels < size)).all(axis=1)
    column, row = np.where(inside[:, None], pixels, 0).T
    under = inside & covered[row, column]
    hidden = under & (target.visible > 0) & np.isfinite(known)
    return np.asarray(np.where(hidden, np.float32(0), known), np.float32)


def shares_of(order: NDArray[np.int64], replicas: range, replica_count: int) -> NDArray[np.int64]:
    """int64 [shares, share, 2]: what ``replicas`` of all ``replica_count`` see of an ``order``."""
    steps, batch, _ = order.shape
    shares = order.reshape(steps, replica_count, batch // replica_count, 2)
    return shares[:, replicas.start : replicas.stop].reshape(-1, batch // replica_count, 2)


def require_batch(faces: int, batch_size: int, *, replicas: int = 1) -> None:
    """Check that there is at least one whole batch, and that devices can share it.

    Raises:
        UsageError: there is not, or they cannot.
    """
    if faces < batch_size:
        raise UsageError(
            f"expected an epoch of at least one batch of {batch_size} training faces, got {faces}: "
            "use a smaller --batch-size or more data"
        )
    if batch_size % replicas:
        raise UsageError(
            f"expected a --batch-size that {replicas} replicas can share equally, got {batch_size}"
        )


class FaceBatches:
    """Augmented training batches (``asmnet_kit.training.fit.loop.TrainingData``) of ``Batch``."""

    def __init__(
        self,
        faces: Sequence[Face],
        scheme: Scheme,
        *,
        size: int,
        batch_size: int,
        seed: int,
        ranges: AugmentRanges | None = None,
        targets: Targets | TableTargets | None = None,
        sampling: Sampling | None = None,
        crop_scale: float = CROP_SCALE,
    ) -> None:
        """Batches of ``faces``; the last, smaller part of a shuffled epoch is dropped.

        Without ``sampling`` an epoch shows each face once. ``targets`` are of the same
        ``crop_scale``; see ``targets_of``.

        Raises:
            UsageError: there are fewer faces in an epoch than one batch holds.
        """
        self._sampling = sampling or sampling_of(faces, weights={}, clips=())
        require_batch(self.epoch_size, batch_size)
        self.faces, self.scheme, self.size = faces, scheme, size
        self.seed, self.ranges = seed, ranges or AugmentRanges()
        self.crop_scale = crop_scale
        self.targets = targets or targets_of(faces, scheme, crop_scale=crop_scale)
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
    def epoch_size(self) -> int:
        """Pictures of an epoch, those of a last, smaller part included."""
        return self._sampling.epoch_size

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch."""
        return self.epoch_size // self._batch_size

    def order(self, epoch: int) -> NDArray[np.int64]:
        """int64 [steps, batch, 2]: the faces of each step, and which showing of each it is."""
        faces = self._sampling.draw(generator(self.seed, epoch, ORDER_STREAM))
        shown = np.stack([faces, showings(faces)], axis=-1)
        whole = self.steps_per_epoch * self._batch_size
        return shown[:whole].reshape(self.steps_per_epoch, self._batch_size, 2)

    def epoch(self, index: int, *, replicas: range, replica_count: int) -> tf.data.Dataset:
        """The batches of epoch ``index``, cut into ``replica_count`` equal shares.

        Raises:
            UsageError: the batch does not divide into that many shares.
        """
        require_batch(self.epoch_size, self._batch_size, replicas=replica_count)
        share = self._batch_size // replica_count
        shares = shares_of(self.order(index), replicas, replica_count)

        def load(shown: tf.Tensor) -> Batch:
            # stateless: with deterministic ops tf.data would run a stateful map one by one
            values = tf.numpy_function(
                lambda chosen: self._assemble(chosen, index),
                [shown],
                [tf.uint8, *[tf.float32] * 3, tf.bool, *[tf.float32] * 2],
                stateful=False,
            )
            return self._with_shapes(values, share)

        dataset = tf.data.Dataset.from_tensor_slices(shares)
        dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        # Threads of its own: those of TensorFlow's operations are one (environment.SETTINGS).
        options = tf.data.Options()
        options.threading.private_threadpool_size = os.cpu_count() or 1
        return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)

    def sample(
        self, index: int, epoch: int, showing: int = 0, *, face: Face | None = None
    ) -> AugmentedFace:
        """Face ``index`` as epoch ``epoch`` shows it for the ``showing``-th time, from 0.

        Args:
            face: the same, where its picture was fetched already.

        Raises:
            DatasetError: the picture cannot be read.
        """
        random = generator(self.seed, epoch, index, showing)
        return show(
            face or self.faces[index], self.targets.of(index), self.size, self.ranges, random,
            crop_scale=self.crop_scale,
        )  # fmt: skip

    def _assemble(self, shown: NDArray[np.int64], epoch: int) -> tuple[NDArray[Any], ...]:
        """The values of a ``Batch``, in its order; ``shown`` is [B, 2], as in ``order``."""
        try:
            samples, upright, visible = self._show(shown, epoch)
        except KitError as error:
            self._failure = error
            raise
        except OSError as error:
            self._failure = DatasetError(f"{error.filename}: {error.strerror}")
            raise
        image, transform, flipped, pose, visibility = (
            np.stack(values) for values in zip(*samples, strict=True)
        )
        return image, upright, visible, transform, flipped, pose, visibility

    def _show(self, shown: NDArray[np.int64], epoch: int) -> Showings:
        indices = shown[:, 0]
        faces: Sequence[Face | None] = [None] * len(indices)
        if isinstance(self.faces, FaceTable):
            faces = self.faces.with_pictures(indices.tolist())
        samples = [
            self.sample(int(index), epoch, int(showing), face=face)
            for (index, showing), face in zip(shown, faces, strict=True)
        ]
        return Showings(samples, *self.targets.labels(indices))

    def _with_shapes(self, values: list[tf.Tensor], batch: int) -> Batch:
        points = self.scheme.points
        image, upright, visible, transform, flipped, pose, visibility = values
        return Batch(
            image=tf.ensure_shape(image, [batch, self.size, self.size, 3]),
            upright=tf.ensure_shape(upright, [batch, points, 2]),
            visible=tf.ensure_shape(visible, [batch, points]),
            transform=tf.ensure_shape(transform, [batch, 2, 3]),
            flipped=tf.ensure_shape(flipped, [batch]),
            pose=tf.ensure_shape(pose, [batch, 3]),
            visibility=tf.ensure_shape(visibility, [batch, points]),
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
