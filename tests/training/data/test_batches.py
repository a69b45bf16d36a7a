"""Batches: what they hold, that they repeat exactly, and how they are shared among replicas."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from watched_decoding import WatchedDecoding

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.datasets.base import Dataset, PictureFile
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.face.boxes import CROP_SCALE
from asmnet_kit.training.data.augment import NO_AUGMENTATION, generator
from asmnet_kit.training.data.batches import FaceBatches, targets_of
from asmnet_kit.training.data.sampling import sampling_of
from asmnet_kit.training.subset_options import OTHERS


@pytest.fixture(scope="module")
def dataset(drawn_faces: Callable[..., Path]) -> Dataset:
    return load_dataset(drawn_faces(10), "300w")


def batches_of(dataset: Dataset, **options: object) -> FaceBatches:
    settings = {"size": 64, "batch_size": 4, "seed": 0} | options
    return FaceBatches(dataset.faces, dataset.scheme, **settings)


def epoch(batches: FaceBatches, index: int, replicas: range = range(1), count: int = 1) -> list:
    return list(batches.epoch(index, replicas=replicas, replica_count=count).as_numpy_iterator())


def test_the_threads_of_a_training_decode_large_pictures_one_after_the_other(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each of them could take 1.25 GB."""
    decoding = WatchedDecoding(monkeypatch)
    epoch(batches_of(dataset, batch_size=2), 0)
    assert decoding.most > 1
    decoding.most = 0
    one_picture = 3 * dataset.faces[0].read().size
    monkeypatch.setattr("asmnet_kit.face.pictures.MAX_DECODING_BYTES", one_picture)
    epoch(batches_of(dataset, batch_size=2), 1)
    assert decoding.most == 1


def test_targets_are_fractions_of_the_landmark_boxs_crop(dataset: Dataset) -> None:
    """The box is 1 / CROP_SCALE of the crop, so its longer side spans -1/2.4 .. 1/2.4."""
    targets = targets_of(dataset.faces, dataset.scheme)
    half = 0.5 / CROP_SCALE
    longest = np.abs(targets.upright).max(axis=(1, 2))
    np.testing.assert_allclose(longest, half, atol=1e-6)
    assert targets.visible.all()


def test_a_missing_point_is_zero_and_not_visible(dataset: Dataset) -> None:
    face = dataset.faces[0]
    landmarks = face.landmarks.copy()
    landmarks[5] = np.nan
    targets = targets_of([replace(face, landmarks=landmarks)], dataset.scheme)
    assert targets.visible[0].sum() == 67
    assert targets.visible[0, 5] == 0
    np.testing.assert_array_equal(targets.upright[0, 5], [0, 0])


def test_the_data_sets_own_pose_wins_over_the_one_from_landmarks(dataset: Dataset) -> None:
    label = np.array([1.0, 2.0, 3.0], np.float32)
    faces = [replace(dataset.faces[0], pose=label), dataset.faces[0]]
    pose = targets_of(faces, dataset.scheme).pose
    np.testing.assert_array_equal(pose[0], label)
    assert np.abs(pose[1] - label).max() > 0.1
    assert np.isfinite(pose[1]).all()


def test_an_epoch_shows_faces_once_in_an_order_of_its_own(dataset: Dataset) -> None:
    """10 faces make two batches of 4; which two are dropped changes with the epoch."""
    batches = batches_of(dataset)
    assert batches.steps_per_epoch == 2
    first, second = batches.order(0), batches.order(1)
    assert len(set(first[..., 0].ravel())) == 8
    assert not first[..., 1].any()  # each is its face's first showing
    assert (first != second).any()
    np.testing.assert_array_equal(first, batches_of(dataset).order(0))


def test_batches_repeat_bit_for_bit(dataset: Dataset) -> None:
    for one, other in zip(
        epoch(batches_of(dataset), 3), epoch(batches_of(dataset), 3), strict=True
    ):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_a_face_shown_three_times_an_epoch_is_three_different_pictures(dataset: Dataset) -> None:
    """Six faces of weight 3 are 18 showings: mirrored, cropped, coloured anew each time."""
    faces = dataset.faces[:6]
    sampling = sampling_of(faces, weights={OTHERS: 3.0}, clips=())
    batches = FaceBatches(faces, dataset.scheme, size=64, batch_size=6, seed=0, sampling=sampling)
    seen: dict[bytes, set[bytes]] = defaultdict(set)
    for batch in epoch(batches, 0):
        for upright, image in zip(batch["upright"], batch["image"], strict=True):
            seen[upright.tobytes()].add(image.tobytes())
    assert [len(pictures) for pictures in seen.values()] == [3] * 6
    again = FaceBatches(faces, dataset.scheme, size=64, batch_size=6, seed=0, sampling=sampling)
    for one, other in zip(epoch(batches, 2), epoch(again, 2), strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])


def test_a_frame_shown_twice_for_its_clip_is_two_pictures(dataset: Dataset) -> None:
    """A clip of one frame with weight 2, and one of three with weight 4: six pictures."""
    names = ["Ann_10.jpg", "Bob_10.jpg", "Bob_11.jpg", "Bob_12.jpg"]
    faces = [
        replace(face, name=name, subsets=("v", "a" if name[0] == "A" else "b"))
        for face, name in zip(dataset.faces, names, strict=False)
    ]
    sampling = sampling_of(faces, weights={"a": 2.0, "b": 4.0}, clips=("v",))
    batches = FaceBatches(faces, dataset.scheme, size=64, batch_size=6, seed=0, sampling=sampling)
    (batch,) = epoch(batches, 0)
    assert len({image.tobytes() for image in batch["image"]}) == 6


def test_the_first_showing_has_the_pictures_of_an_epoch_without_weights(dataset: Dataset) -> None:
    """So a run without ``--sampling`` is what it was before showings were numbered."""
    numbers = generator(5, 3, 7).integers(0, 2**32, 8)
    first = np.random.Generator(np.random.SFC64([5, 3, 7]))
    np.testing.assert_array_equal(numbers, first.integers(0, 2**32, 8))
    assert (numbers != generator(5, 3, 7, 1).integers(0, 2**32, 8)).all()


def test_shapes_and_types_are_those_that_the_loss_expects(dataset: Dataset) -> None:
    spec = batches_of(dataset).epoch(0, replicas=range(1), replica_count=1).element_spec
    assert {name: (tuple(s.shape), s.dtype) for name, s in spec.items()} == {
        "image": ((4, 64, 64, 3), tf.uint8),
        "upright": ((4, 68, 2), tf.float32),
        "visible": ((4, 68), tf.float32),
        "transform": ((4, 2, 3), tf.float32),
        "flipped": ((4,), tf.bool),
        "pose": ((4, 3), tf.float32),
        "visibility": ((4, 68), tf.float32),
    }


def test_points_under_an_occluder_of_augmentation_are_hidden_where_visibility_is_known(
    dataset: Dataset,
) -> None:
    """Half of the points are said to be seen, the other half nothing is known of."""
    marks = np.where(np.arange(68) % 2, 1, np.nan).astype(np.float32)
    faces = [replace(face, visibility=marks) for face in dataset.faces]
    ranges = replace(NO_AUGMENTATION, flip=0.5, occlusion=1.0, occluder=(0.3, 0.3))
    plain = replace(ranges, occlusion=0.0)
    covered_points = 0
    for index in range(10):
        shown, clear = (
            FaceBatches(faces, dataset.scheme, size=64, batch_size=4, seed=0, ranges=each).sample(
                index, 0
            )
            for each in (ranges, plain)
        )
        np.testing.assert_array_equal(clear.visibility, marks)
        assert np.isnan(shown.visibility[::2]).all()
        hidden = shown.visibility == 0
        covered_points += hidden.sum()
        # Where something was put in front, pixels changed; where nothing was, none did.
        changed = (shown.image != clear.image).any(axis=-1)
        upright = targets_of(faces, dataset.scheme).upright[index]
        moved = upright @ shown.transform[:, :2].T + shown.transform[:, 2]
        column, row = np.rint(64 * moved + 31.5).astype(int).clip(0, 63).T
        assert not changed[row, column][shown.visibility == 1].any()
    assert covered_points > 20


def test_visibility_is_believed_in_the_subsets_that_are_named(dataset: Dataset) -> None:
    ones = np.ones(68, np.float32)
    faces = [
        replace(face, visibility=ones, subsets=("a" if index == 3 else "b",))
        for index, face in enumerate(dataset.faces)
    ]
    believed = targets_of(faces, dataset.scheme, visibility_subsets=("a",)).visibility
    assert np.isfinite(believed).all(axis=1).tolist() == [index == 3 for index in range(10)]
    assert (targets_of(faces, dataset.scheme).visibility == 1).all()


def test_landmarks_moved_by_the_transform_lie_on_their_dots(dataset: Dataset) -> None:
    """The drawn dots are bright: the moved landmarks are brighter than the picture's mean.

    Colours and occlusion stay off; dots have a radius of 2 px, so sampling a pixel next to the
    centre is bright too.
    """
    ranges = replace(NO_AUGMENTATION, flip=0.5, rotation=1.0, shift=0.05)
    batch = epoch(batches_of(dataset, batch_size=8, ranges=ranges), 0)[0]
    assert 0 < batch["flipped"].sum() < 8
    mirror = dataset.scheme.mirror
    for index in range(8):
        shape = batch["upright"][index]
        shape = shape[mirror] if batch["flipped"][index] else shape
        transform = batch["transform"][index]
        pixels = np.rint(64 * (shape @ transform[:, :2].T + transform[:, 2]) + 31.5).astype(int)
        inside = (pixels >= 0).all(axis=1) & (pixels < 64).all(axis=1)
        image = batch["image"][index].mean(axis=-1)
        assert inside.sum() > 50
        assert image[pixels[inside, 1], pixels[inside, 0]].mean() > 170 > image.mean()


@pytest.mark.parametrize("weight", [1.0, 1.5])
def test_replicas_share_each_batch_without_overlap(dataset: Dataset, weight: float) -> None:
    sampling = sampling_of(dataset.faces, weights={OTHERS: weight}, clips=())
    batches = batches_of(dataset, sampling=sampling)
    whole = epoch(batches, 0)
    shares = epoch(batches, 0, range(2), 2)
    other_worker = epoch(batches, 0, range(1, 2), 2)
    for step in range(2):
        joined = np.concatenate([shares[2 * step]["image"], shares[2 * step + 1]["image"]])
        np.testing.assert_array_equal(joined, whole[step]["image"])
        np.testing.assert_array_equal(other_worker[step]["image"], whole[step]["image"][2:])


def test_a_batch_that_replicas_cannot_share_is_refused(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="3 replicas can share equally, got 4"):
        batches_of(dataset).epoch(0, replicas=range(3), replica_count=3)


def test_fewer_faces_than_a_batch_are_refused(dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="one batch of 11 training faces, got 10"):
        batches_of(dataset, batch_size=11)


def test_an_unreadable_picture_is_named(dataset: Dataset, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 not a picture")
    faces = [replace(face, picture=PictureFile(broken)) for face in dataset.faces]
    batches = FaceBatches(faces, dataset.scheme, size=64, batch_size=4, seed=0)
    with pytest.raises(tf.errors.OpError):
        epoch(batches, 0)
    assert isinstance(batches.failure, DatasetError)
    assert "broken.jpg" in str(batches.failure)
