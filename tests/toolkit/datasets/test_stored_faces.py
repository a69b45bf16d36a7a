"""Faces outside of memory are the faces that went in, and take little of it."""

import pickle
import tracemalloc
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest

from asmnet_kit.base import spool
from asmnet_kit.datasets import stored_faces
from asmnet_kit.datasets.base import Face, FileSlice, PictureFile, by_name, chosen, where
from asmnet_kit.datasets.folders import Reading
from asmnet_kit.datasets.stored_faces import FaceList, StoredFaces

POINTS = np.arange(136, dtype=np.float32).reshape(68, 2)


def face(number: int, **known: object) -> Face:
    about = {
        "name": f"train/{number:06d}.jpg",
        "picture": PictureFile(Path(f"/data/train/{number:06d}.jpg")),
        "landmarks": POINTS + number,
        "subsets": ("dark",) if number % 2 else (),
        "split": "train" if number % 3 else None,
    }
    return Face(**{**about, **known})


@dataclass(frozen=True)
class ElsewherePicture:
    name: str = "elsewhere"


UNLIKE = [
    {},
    {"pose": np.array([1, 2, 3], np.float32), "fitted_pose": np.array([3, 2, 1], np.float32)},
    {"detector_box": np.array([0, 1, 20, 30], np.float32)},
    {"visibility": np.where(POINTS[:, 0] > 9, np.float32(np.nan), 1).astype(np.float32)},
    {"landmarks": np.where(POINTS > 50, np.float32(np.nan), POINTS).astype(np.float32)},
    {"name": "ä/\udcff.jpg#2", "picture": PictureFile(Path("/data/ä/\udcff.jpg"))},
    {"picture": FileSlice(Path("/data/train.tfrecord"), 1 << 40, 12345)},
    {"picture": ElsewherePicture()},
    {"pose": np.array([1, 2, 3], np.float64)},
    {"subsets": ("a", "a", "ü")},
    {"picture": FileSlice(Path("/data/train.tfrecord"), 3, -1)},
    {"pose": np.array([[1, 2, 3]], np.float32)},
    {"detector_box": [1, 2, 3, 4]},
    {"landmarks": None},
    {"split": ["train"], "subsets": ["dark"]},
    {"name": "half \ud800", "picture": PictureFile(Path("/data/half \ud800.jpg"))},
]


def same(one: Face, other: Face) -> bool:
    for field in fields(Face):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            if a.dtype != b.dtype or not np.array_equal(a, b, equal_nan=True):
                return False
        elif a != b:
            return False
    return True


@pytest.fixture
def few_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_faces, "IN_MEMORY", 4)


@pytest.mark.usefixtures("few_in_memory")
def test_every_face_comes_back_as_it_was() -> None:
    faces = [face(number, **known) for number, known in enumerate(UNLIKE)]
    stored = FaceList(faces)
    assert isinstance(stored[:], StoredFaces)
    assert len(stored) == len(stored[:]) == len(faces)
    assert all(map(same, faces, stored))
    assert all(map(same, faces, stored[:]))
    assert same(stored[-1], faces[-1])
    stored += [faces[0]]
    assert len(stored) == len(faces) + 1
    again = stored[1]
    again.landmarks[0] = 0  # a copy, as any face's own labels are
    assert same(stored[1], faces[1])


@pytest.mark.usefixtures("few_in_memory")
def test_parts_of_them_are_chosen_without_making_them() -> None:
    stored = FaceList(face(number) for number in (3, 1, 2, 0, 5, 4))
    names = [f"train/{number:06d}.jpg" for number in range(6)]
    ordered = by_name(stored)
    assert [one.name for one in ordered] == names
    assert [one.name for one in ordered[4:1:-1]] == names[4:1:-1]
    assert [one.name for one in where(ordered, lambda one: "dark" in one.subsets)] == names[1::2]
    some = chosen(ordered, np.array([True, False, False, True, False, False]))
    assert [one.name for one in some] == [names[0], names[3]]
    assert all(isinstance(part, StoredFaces) for part in (ordered, ordered[2:], some))


@pytest.mark.usefixtures("few_in_memory")
def test_another_process_gets_the_faces_themselves() -> None:
    stored = FaceList(face(number) for number in range(6))[1:3]
    sent = pickle.loads(pickle.dumps(stored))
    assert [one.name for one in sent] == [one.name for one in stored]


def test_few_faces_stay_the_very_objects() -> None:
    faces = [face(number) for number in range(5)]
    reading = Reading(68)
    reading.faces.extend(faces)
    assert all(one is other for one, other in zip(reading.faces[:], faces, strict=True))
    assert isinstance(by_name(reading.faces), tuple)


def test_memory_hardly_grows_with_the_faces() -> None:
    """Less than 40 bytes for each of 20,000, whose labels alone have 544."""
    count = 20_000
    faces = FaceList(face(number) for number in range(stored_faces.IN_MEMORY + 1))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        faces.extend(replace(face(number), name=f"{number}.jpg") for number in range(count))
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 40 * count + 3 * spool.BLOCK  # and what is not yet in the file
