"""Fingerprints: what a change of a data set changes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asmnet_kit.datasets.base import Dataset, Face, PictureFile
from asmnet_kit.datasets.fingerprints import changed_faces, fingerprints
from asmnet_kit.face.schemes import SCHEME_68

POINTS = np.arange(136, dtype=np.float32).reshape(68, 2)


@pytest.fixture
def face(tmp_path: Path) -> Face:
    (tmp_path / "a.jpg").write_bytes(b"123")
    return Face(
        "a.jpg",
        PictureFile(tmp_path / "a.jpg"),
        POINTS,
        subsets=("dark", "blurred"),
        pose=np.array([1, 0, 3], np.float32),
        detector_box=np.array([0, 0, 10, 10], np.float32),
        split="train",
    )


def dataset(*faces: Face) -> Dataset:
    return Dataset("faces", "csv", SCHEME_68, faces)


@pytest.mark.parametrize(
    "change",
    [
        {"pose": np.array([1, 0, 3.5], np.float32)},
        {"pose": None},
        {"split": "val"},
        {"split": None},
        {"subsets": ("dark",)},
        {"subsets": ()},
        {"detector_box": np.array([0, 0, 10, 11], np.float32)},
        {"detector_box": None},
        {"pose": None, "detector_box": np.array([1, 0, 3, 0], np.float32)},
    ],
    ids=lambda change: " ".join(f"{name}={value}" for name, value in change.items()),
)
def test_a_change_of_a_label_changes_the_fingerprint_of_labels_alone(face, change) -> None:
    before, after = dataset(face), dataset(replace(face, **change))
    assert before.labels_fingerprint() != after.labels_fingerprint()
    assert before.fingerprint() == after.fingerprint()


def test_known_visibility_is_part_of_a_fingerprint_of_its_own_version(face) -> None:
    """What knew nothing of visibility is not taken for changed by what does."""
    plain = dataset(face)
    seen = dataset(replace(face, visibility=np.ones(68, np.float32)))
    hidden = dataset(replace(face, visibility=np.zeros(68, np.float32)))
    assert plain.labels_fingerprint().startswith("v1:")
    assert seen.labels_fingerprint().startswith("v2:")
    assert seen.labels_fingerprint() != hidden.labels_fingerprint()
    assert changed_faces(fingerprints(plain, plain), fingerprints(seen, seen)) is None
    assert changed_faces(fingerprints(seen, seen), fingerprints(hidden, seen)) == (
        "training", "poses, splits, subsets, boxes or visibility",
    )  # fmt: skip


def test_other_landmarks_or_pictures_change_the_fingerprint_alone(face) -> None:
    before = dataset(face)
    faces, labels = before.fingerprint(), before.labels_fingerprint()
    moved = dataset(replace(face, landmarks=POINTS + 1))
    assert (moved.fingerprint() != faces, moved.labels_fingerprint()) == (True, labels)
    Path(face.picture.name).write_bytes(b"1234")
    assert (before.fingerprint() != faces, before.labels_fingerprint()) == (True, labels)


def test_neither_order_nor_the_sign_of_zero_changes_the_fingerprint_of_labels(face) -> None:
    other = replace(face, name="b.jpg", pose=None)
    same = replace(face, subsets=("blurred", "dark"), pose=np.array([1, -0.0, 3], np.float32))
    assert dataset(face, other).labels_fingerprint() == dataset(other, same).labels_fingerprint()
    swapped = (replace(face, name="b.jpg"), replace(other, name="a.jpg"))
    assert dataset(face, other).labels_fingerprint() != dataset(*swapped).labels_fingerprint()


def test_the_fingerprint_of_labels_names_its_version(face) -> None:
    version, _, digest = dataset(face).labels_fingerprint().partition(":")
    assert version == "v1" and len(digest) == 64


def test_what_changed_of_which_faces_is_told_in_words(face) -> None:
    train, val = dataset(face), dataset(replace(face, name="b.jpg"))
    before = fingerprints(train, val)
    assert changed_faces(before, fingerprints(train, val)) is None
    turned = dataset(replace(face, pose=None))
    assert changed_faces(before, fingerprints(turned, val)) == (
        "training",
        "poses, splits, subsets, boxes or visibility",
    )
    moved = dataset(replace(face, name="b.jpg", landmarks=POINTS + 1))
    assert changed_faces(before, fingerprints(turned, moved)) == (
        "training and validation",
        "poses, splits, subsets, boxes or visibility, files, sizes or landmarks",
    )


def test_a_manifest_that_noted_no_labels_says_nothing_of_them(face) -> None:
    now = fingerprints(dataset(face), dataset(face))
    before = {key: value for key, value in now.items() if "labels" not in key}
    assert changed_faces(before, now) is None
    assert changed_faces({**before, "sha256": "0"}, now) == (
        "training",
        "files, sizes or landmarks",
    )
    assert changed_faces({}, now) is not None
