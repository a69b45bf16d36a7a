"""A teacher's landmarks in the place of noisy and missing labels."""

from pathlib import Path

import numpy as np
import pytest

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.datasets.base import Dataset, Face, PictureFile
from asmnet_kit.face.schemes import scheme_of
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.training.data.teacher_labels import Teacher, relabel
from asmnet_kit.training.subset_options import OTHERS

N = 68


def dataset(*faces: Face, format: str = "300w") -> Dataset:
    return Dataset("faces", format, scheme_of(N), faces)


def face(name: str, subset: str, landmarks: np.ndarray) -> Face:
    return Face(name, PictureFile(Path(name)), landmarks.astype(np.float32), (subset,))


def ones() -> np.ndarray:
    return np.ones((N, 2), np.float32)


def test_labels_of_a_named_subset_are_averaged_others_kept() -> None:
    faces = dataset(face("t/a.jpg", "noisy", ones()), face("t/b.jpg", "clean", ones()))
    teacher = Teacher({"t/a": 5 * ones(), "t/b": 5 * ones()})
    taught = relabel(faces, teacher, shares={"noisy": 0.25}, fill_weight=0.2)
    assert (taught.dataset.faces[0].landmarks == 2.0).all()  # 0.75 x 1 + 0.25 x 5
    assert (taught.dataset.faces[1].landmarks == 1.0).all()
    assert (taught.averaged, taught.filled, taught.weights) == (1, 0, {})


def test_missing_points_are_filled_and_count_less() -> None:
    landmarks = ones()
    landmarks[3] = np.nan
    taught = relabel(
        dataset(face("a.jpg", "s", landmarks)),
        Teacher({"a": 7 * ones()}),
        shares={},
        fill_weight=0.2,
    )
    filled = taught.dataset.faces[0].landmarks
    assert (filled[3] == 7).all() and (np.delete(filled, 3, axis=0) == 1).all()
    weights = taught.weights["a.jpg"]
    assert weights[3] == np.float32(0.2) and (np.delete(weights, 3) == 1).all()
    assert taught.filled == 1


def test_without_a_weight_missing_points_stay_missing() -> None:
    landmarks = ones()
    landmarks[3] = np.nan
    taught = relabel(
        dataset(face("a.jpg", "s", landmarks)), Teacher({"a": ones()}), shares={}, fill_weight=0
    )
    assert np.isnan(taught.dataset.faces[0].landmarks[3]).all() and not taught.weights


def test_faces_that_the_teacher_does_not_know_are_kept() -> None:
    faces = dataset(face("a.jpg", "s", ones()), face("b.jpg", "s", ones()))
    taught = relabel(faces, Teacher({"a": 3 * ones()}), shares={"s": 1}, fill_weight=0)
    assert [f.landmarks[0, 0] for f in taught.dataset.faces] == [3, 1]


def test_a_teacher_of_other_pictures_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"knows none of the 1 faces .*'z'.*'a\.jpg'"):
        relabel(
            dataset(face("a.jpg", "s", ones())), Teacher({"z": ones()}), shares={}, fill_weight=0
        )


def test_a_share_without_a_subset_is_of_all_other_faces() -> None:
    faces = dataset(face("a.jpg", "s", ones()), face("b.jpg", "kept", ones()))
    teacher = Teacher({"a": 5 * ones(), "b": 5 * ones()})
    taught = relabel(faces, teacher, shares={OTHERS: 0.5, "kept": 0}, fill_weight=0)
    assert [f.landmarks[0, 0] for f in taught.dataset.faces] == [3, 1]  # (1 + 5) / 2


def test_a_share_of_a_subset_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--teacher-share: expected subsets .*\(s\); got t"):
        relabel(
            dataset(face("a.jpg", "s", ones())),
            Teacher({"a": ones()}),
            shares={"t": 1},
            fill_weight=0,
        )


def test_prepared_pictures_are_refused() -> None:
    faces = dataset(face("a.jpg", "s", ones()), format="records")
    with pytest.raises(UsageError, match="original data"):
        relabel(faces, Teacher({"a": ones()}), shares={}, fill_weight=0)


def test_a_file_is_read_with_and_without_file_endings(tmp_path: Path) -> None:
    path = tmp_path / "teacher.npz"
    np.savez(path, names=np.array(["t/a.jpg", "t/b.c"]), points=np.ones((2, N, 2)))
    teacher = Teacher.load(path)
    for known in ("t/a.jpg", "t/a.png", "t/a", "t/b.c", "t/b.c.JPEG"):
        assert teacher.of(face(known, "s", ones())) is not None, known
    for unknown in ("t/x.png", "t/b.png", "t/a.jpg#1", "t/b.d"):
        assert teacher.of(face(unknown, "s", ones())) is None, unknown


def test_each_face_of_a_picture_has_its_own_points(tmp_path: Path) -> None:
    path = tmp_path / "teacher.npz"
    names = ["a.jpg#1", "a.jpg#2", "clip.1.jpg", "clip.2.jpg", "b.jpg", "b.png"]
    points = np.arange(6.0)[:, None, None] * np.ones((1, N, 2))
    np.savez(path, names=np.array(names), points=points)
    teacher = Teacher.load(path)
    for number, name in enumerate(names):
        taught = teacher.of(face(name, "s", ones()))
        assert taught is not None and (taught == number).all(), name
    assert teacher.of(face("b.bmp", "s", ones())) is None  # which of the two?
    np.savez(path, names=np.array(["a.jpg", "a.jpg"]), points=points[:2])
    with pytest.raises(DatasetError, match=r"'a\.jpg' is there twice"):
        Teacher.load(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"names": np.array(["a"])}, "expected a teacher's .npz with arrays"),
        (
            {"names": np.array([1]), "points": np.ones((1, N, 2))},
            "expected names of text and points of floats",
        ),
        ({"names": np.array(["a"]), "points": np.ones((2, N, 2))}, r"expected names \[F\]"),
        ({"names": np.array(["a"]), "points": np.full((1, N, 2), np.nan)}, "finite"),
    ],
)
def test_another_layout_is_refused(tmp_path: Path, content: dict, message: str) -> None:
    path = tmp_path / "teacher.npz"
    np.savez(path, **content)
    with pytest.raises(DatasetError, match=message):
        Teacher.load(path)


def test_a_missing_or_damaged_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such file"):
        Teacher.load(tmp_path / "none.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 truncated")
    with pytest.raises(DatasetError, match="expected a teacher's"):
        Teacher.load(tmp_path / "bad.npz")


def test_a_teacher_takes_over_the_convention_of_the_labels() -> None:
    """The brows of labelled faces lie 5 px lower; then they do on a face without labels too."""
    random = np.random.default_rng(0)
    mean = 100 * generic_reference(N)
    shapes = mean + random.normal(0, 1, (152, N, 2))
    lower = np.zeros((N, 2))
    lower[17:27, 1] = 5
    teacher = Teacher({f"{i}": shape.astype(np.float32) for i, shape in enumerate(shapes)})
    faces = dataset(*(face(f"{i}.jpg", "manual", shapes[i] + lower) for i in range(150)))
    others = [face(f"{i}.jpg", kind, ones()) for i, kind in ((150, "soft"), (151, "none"))]
    faces = dataset(*faces.faces, *others)
    corrected = teacher.calibrated(faces, {"soft": "manual"})
    # Noise of 1 px, of which the 3 % that the components drop and the ridge leave a tenth.
    np.testing.assert_allclose(corrected.of(others[0]), shapes[150] + lower, atol=0.5)
    np.testing.assert_array_equal(corrected.of(others[1]), teacher.of(others[1]))
    np.testing.assert_array_equal(corrected.of(faces.faces[0]), teacher.of(faces.faces[0]))


def test_a_calibration_names_what_is_missing() -> None:
    faces = dataset(face("a.jpg", "s", ones()))
    with pytest.raises(UsageError, match=r"--teacher-calibrate: .* got manual"):
        Teacher({"a": ones()}).calibrated(faces, {"s": "manual"})
    with pytest.raises(DatasetError, match="knows no face of 's'"):
        Teacher({"b": ones()}).calibrated(faces, {"s": "s"})
