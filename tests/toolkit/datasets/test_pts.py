"""Reading .pts files, and the public rules of 300-W and MERL-RAV that hang on folder names."""

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.datasets import ibug300w, merlrav
from asmnet_kit.datasets.base import Dataset, Face
from asmnet_kit.datasets.pts import format_pts, parse_pts
from asmnet_kit.datasets.registry import load_dataset, load_to_measure, split_of_path, splits_of
from asmnet_kit.face.schemes import SCHEME_68

ROWS = [f"{10 + i} {20 + i % 7}" for i in range(68)]


def pts(rows: list[str] = ROWS, declared: int | None = 68) -> str:
    head = "version: 1\n" + (f"n_points: {declared}\n" if declared is not None else "")
    return head + "{\n" + "\n".join(rows) + "\n}\n"


def put(path: Path, text: str | None = None, *, picture: bool = True) -> None:
    """``path`` (a picture's name) and its annotation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if picture:
        assert cv2.imwrite(str(path), np.full((60, 100, 3), 90, np.uint8))
    path.with_suffix(".pts").write_text(pts() if text is None else text)


def counts(dataset: Dataset) -> Counter[tuple[str | None, tuple[str, ...]]]:
    return Counter((face.split, face.subsets) for face in dataset.faces)


def test_a_point_at_1_1_is_the_centre_of_the_top_left_pixel() -> None:
    """Checked on pixels: the brightest pixel of a picture, in MATLAB's numbers, is found again."""
    picture = np.zeros((5, 9), np.uint8)
    picture[3, 7] = 255  # row 4, column 8 in 1-based numbers: a .pts file says "8 4"
    landmarks = parse_pts(pts(["8 4", "1 1", *ROWS[2:]]), points=68)
    x, y = landmarks[0].astype(int)
    assert picture[y, x] == 255
    assert landmarks[1].tolist() == [0.0, 0.0]
    assert landmarks.dtype == np.float32 and landmarks.shape == (68, 2)


def test_minus_one_minus_one_is_a_missing_point() -> None:
    landmarks = parse_pts(pts(["-1 -1", "-1.000 -1.000", "-1 5", *ROWS[3:]]), points=68)
    assert np.isnan(landmarks[:2]).all()
    assert landmarks[2].tolist() == [-2.0, 4.0]  # left of the picture, but a position


def test_negative_pairs_are_occluded_positions_in_merl_rav_only() -> None:
    text = pts(["-31.5 -40", "-8.819 25.692", "-1 -1", *ROWS[3:]])
    merl = parse_pts(text, points=68, negative_is_occluded=True)
    assert merl[0].tolist() == [30.5, 39.0]
    np.testing.assert_allclose(merl[1], [-9.819, 24.692], rtol=1e-6)
    assert np.isnan(merl[2]).all()
    assert parse_pts(text, points=68)[0].tolist() == [-32.5, -41.0]


def test_merl_ravs_negative_pairs_are_hidden_points(tmp_path: Path) -> None:
    """-1 -1 behind the head itself, -31 -41 behind hair: both hidden, one without a position."""
    put(tmp_path / "frontal" / "trainset" / "a.jpg", pts(["-1 -1", "-31 -41", *ROWS[2:]]))
    (face,) = load_dataset(tmp_path / "frontal", "merlrav").faces
    assert face.visibility.tolist() == [0, 0] + [1] * 66
    assert np.isnan(face.landmarks[0]).all() and face.landmarks[1].tolist() == [30, 40]
    put(tmp_path / "300w" / "helen" / "trainset" / "a.jpg")
    (face,) = load_dataset(tmp_path / "300w", "300w").faces
    assert face.visibility is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (pts(ROWS[:67], 67), "expected n_points: 68, got n_points: 67"),
        (pts(ROWS[:67], 68), "expected 68 points of 2 numbers, got 67 points"),
        (pts(ROWS, 70), "expected n_points: 68, got n_points: 70"),
        (pts(["nan 4", *ROWS[1:]]), "point 0 is nan 4"),
        (pts([ROWS[0], "3 inf", *ROWS[2:]]), "point 1 is 3 inf"),
        (pts(["3,5 4", *ROWS[1:]]), "expected numbers"),
        (pts().replace("n_points: 68", "n_points: many"), "expected n_points: NUMBER"),
        (pts().replace("}", ""), "expected the points between { and }"),
        ("", "expected the points between { and }"),
    ],
)
def test_a_damaged_pts_file_has_a_reason(text: str, reason: str) -> None:
    with pytest.raises(DatasetError) as error:
        parse_pts(text, points=68)
    assert reason in str(error.value)


def test_a_file_without_n_points_is_read() -> None:
    assert parse_pts(pts(declared=None), points=68).shape == (68, 2)


def test_what_is_written_is_read_back() -> None:
    landmarks = np.array([[0.0, 0.0], [12.125, 7.5], [np.nan, np.nan]], np.float32)
    assert format_pts(landmarks).splitlines()[1:6] == [
        "n_points: 3",
        "{",
        "1.000 1.000",
        "13.125 8.500",
        "-1 -1",
    ]
    np.testing.assert_array_equal(parse_pts(format_pts(landmarks), points=3), landmarks)


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """One face in each public folder of 300-W, two in some, and files that do not count."""
    root = tmp_path / "300W"
    for name in (
        "helen/trainset/1.jpg",
        "helen/testset/2.jpg",
        "lfpw/trainset/image_0001.png",
        "lfpw/testset/image_0002.png",
        "afw/3 with a space.jpg",
        "ibug/image_003_1.JPG",
        "ibug/image 004.jpg",
        "01_Indoor/indoor_001.png",
        "02_Outdoor/outdoor_001.png",
    ):
        put(root / name)
    put(root / "helen/trainset/1_mirror.jpg")
    (root / "afw/._3.jpg").write_bytes(b"resource fork")
    (root / "afw/._3.pts").write_bytes(b"resource fork")
    return root


def test_the_public_folders_of_300w_are_its_splits_and_subsets(public: Path) -> None:
    dataset = load_dataset(public, "300w")
    assert counts(dataset) == {
        ("train", ("helen",)): 1,
        ("train", ("lfpw",)): 1,
        ("train", ("afw",)): 1,
        ("test", ("common", "full", "helen")): 1,
        ("test", ("common", "full", "lfpw")): 1,
        ("test", ("challenging", "full", "ibug")): 2,
        ("private", ("private", "indoor")): 1,
        ("private", ("private", "outdoor")): 1,
    }
    assert splits_of(public, "300w") == ("train", "test", "private")
    assert len(load_dataset(public, "300w", subset="full").faces) == 4
    assert len(load_dataset(public, "300w", split="train").faces) == 3
    names = [face.name for face in dataset.faces]
    assert names == sorted(names) and "afw/3 with a space.jpg" in names
    assert dataset.problems == ()


@pytest.mark.parametrize(
    ("below", "split", "subsets"),
    [
        ("helen", "test", ("common", "full", "helen")),
        ("helen/testset", "test", ("common", "full", "helen")),
        ("ibug", "test", ("challenging", "full", "ibug")),
        ("01_Indoor", "private", ("private", "indoor")),
    ],
)
def test_a_folder_of_300w_may_be_given_at_any_level(
    public: Path, below: str, split: str, subsets: tuple[str, ...]
) -> None:
    dataset = load_dataset(public / below, "300w", split=split)
    assert {face.subsets for face in dataset.faces} == {subsets}


def test_an_own_test_folder_decides_the_split_before_the_sets_name() -> None:
    rule = ibug300w.split_and_subsets
    assert rule(("data",), ("train", "ibug")) == ("train", ("ibug",))
    assert rule(("data",), ("test", "helen")) == ("test", ("common", "full", "helen"))
    assert rule(("data",), ("val", "mine", "deep")) == ("val", ("mine",))
    assert rule(("data",), ("mine",)) == (None, ("mine",))
    assert rule(("data",), ()) == (None, ())


def test_merl_ravs_public_folders_are_poses_and_splits() -> None:
    rule = merlrav.split_and_subsets
    assert rule(("merl",), ("lefthalf", "trainset")) == ("train", ("lefthalf",))
    assert rule(("merl", "frontal"), ("testset",)) == ("test", ("frontal",))
    assert rule(("data",), ("train", "ytf")) == ("train", ("ytf",))
    assert rule(("train", "ytf"), ()) == ("train", ("ytf",))


def test_the_folder_that_is_given_is_a_split_by_its_own_name(tmp_path: Path) -> None:
    assert split_of_path(tmp_path / "test") == "test"
    assert split_of_path(tmp_path / "helen/testset") == "test"
    assert split_of_path(tmp_path / "test/train") == "train"
    assert split_of_path(tmp_path / "tests") is None
    put(tmp_path / "DATA/test/ytf/1.jpg")
    (face,) = load_dataset(tmp_path / "DATA/test", "300w").faces
    assert (face.split, face.subsets) == ("test", ("ytf",))


@pytest.mark.parametrize("home", ["test", "train", "val", "testset", "ibug", "afw", "01_Indoor"])
def test_folders_above_the_given_one_say_nothing(tmp_path: Path, home: str) -> None:
    """Somebody may be called so. Where a data set lies must not change what is trained on."""
    for folder in ("faces", "faces/below"):
        put(tmp_path / home / folder / "1.jpg")
    for given in ("faces", "faces/below"):
        data = tmp_path / home / given
        assert {face.split for face in load_dataset(data, "300w").faces} == {None}
        assert splits_of(data, "300w") == ()
        assert split_of_path(data) is None
    moved = (tmp_path / home / "faces").rename(tmp_path / "faces")
    assert {face.split for face in load_dataset(moved, "300w").faces} == {None}


def test_a_folder_in_a_split_of_a_data_set_is_known_to_lie_there(tmp_path: Path) -> None:
    """So that DATA/test/ytf is not trained on, though it is read as faces of no split."""
    (tmp_path / "DATA/test/ytf").mkdir(parents=True)
    assert split_of_path(tmp_path / "DATA/test/ytf") is None
    (tmp_path / "DATA/train").mkdir()
    assert split_of_path(tmp_path / "DATA/test/ytf") == "test"
    assert split_of_path(tmp_path / "DATA/test/ytf/a/b/c") == "test"
    assert split_of_path(tmp_path / "DATA/train/ytf") == "train"
    assert split_of_path(tmp_path / "DATA") is None


def test_bad_files_are_problems_with_reasons_until_they_are_too_many(tmp_path: Path) -> None:
    for index in range(4):
        put(tmp_path / f"train/good{index}.jpg")
    put(tmp_path / "train/short.jpg", pts(ROWS[:67], 68))
    put(tmp_path / "train/lonely.jpg", picture=False)
    put(tmp_path / "train/empty.jpg", pts(["-1 -1"] * 68))
    put(tmp_path / "train/heap.jpg", pts(["5 5"] * 68))
    (tmp_path / "train/binary.pts").write_bytes(b"\xff\xfe\x00{1 2}")
    cv2.imwrite(str(tmp_path / "train/binary.jpg"), np.zeros((4, 4, 3), np.uint8))
    dataset = load_dataset(tmp_path, "300w", max_bad_share=0.6)
    reasons = {problem.name: problem.reason for problem in dataset.problems}
    assert len(dataset.faces) == 4
    assert "got 67 points" in reasons["train/short.pts"]
    assert "no picture lonely.jpg" in reasons["train/lonely.pts"]
    assert "at least 2 points" in reasons["train/empty.pts"]
    assert "in one place" in reasons["train/heap.pts"]
    assert "expected the points between" in reasons["train/binary.pts"]
    with pytest.raises(DatasetError, match="5 of 9 faces are unusable, more than 5%") as error:
        load_dataset(tmp_path, "300w")
    assert "train/short.pts: expected 68 points" in str(error.value)


def test_an_empty_or_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no faces of format 300w"):
        load_dataset(tmp_path, "300w")
    with pytest.raises(UsageError, match="no such file or folder"):
        load_dataset(tmp_path / "absent", "merlrav")
    file = tmp_path / "x.txt"
    file.write_text("x")
    with pytest.raises(DatasetError, match="found a file"):
        load_dataset(file, "300w")


def test_a_folder_of_bad_files_only_can_still_be_listed(tmp_path: Path) -> None:
    put(tmp_path / "a.jpg", "")
    with pytest.raises(DatasetError, match="no usable face, 1 bad file:"):
        load_dataset(tmp_path, "300w", max_bad_share=0.99)
    assert len(load_dataset(tmp_path, "300w", max_bad_share=1.0).problems) == 1


def test_accuracy_is_measured_on_the_test_split_unless_told(public: Path) -> None:
    """Also where a subset is named that the test split has none of: it may have been trained on."""
    dataset, split = load_to_measure(public, "300w", model_scheme=SCHEME_68)
    assert (len(dataset.faces), split) == (4, "test")
    dataset, split = load_to_measure(public, "300w", model_scheme=SCHEME_68, subset="helen")
    assert ([face.name for face in dataset.faces], split) == (["helen/testset/2.jpg"], "test")
    expected = "no subset 'afw' in its split 'test'; choose another with --split; its subsets: ch"
    with pytest.raises(UsageError, match=expected):
        load_to_measure(public, "300w", model_scheme=SCHEME_68, subset="afw")
    dataset, split = load_to_measure(
        public, "300w", model_scheme=SCHEME_68, split="train", subset="afw"
    )
    assert (len(dataset.faces), split) == (1, "train")


def test_a_subset_of_data_without_a_test_split_is_measured(tmp_path: Path) -> None:
    put(tmp_path / "afw/1.jpg")
    dataset, split = load_to_measure(tmp_path, "300w", model_scheme=SCHEME_68, subset="afw")
    assert (len(dataset.faces), split) == (1, None)


def test_unknown_names_are_usage_errors_that_say_what_there_is(public: Path) -> None:
    with pytest.raises(UsageError, match="expected a format of 300w, wflw"):
        load_dataset(public, "600w")
    with pytest.raises(UsageError, match="no split 'val'; its splits: private, test, train"):
        load_dataset(public, "300w", split="val")
    with pytest.raises(UsageError, match="no subset 'big'; its subsets: afw, challenging"):
        load_dataset(public, "300w", subset="big")
    with pytest.raises(UsageError, match="asked for 98 landmarks, format 300w has 68"):
        load_dataset(public, "300w", points=98)


def test_a_link_to_a_parent_folder_does_not_loop(tmp_path: Path) -> None:
    put(tmp_path / "train/a.jpg")
    (tmp_path / "train/again").symlink_to(tmp_path, target_is_directory=True)
    assert len(load_dataset(tmp_path, "300w").faces) == 1


def test_sets_below_splits_are_counted_and_a_part_is_read_by_itself(tmp_path: Path) -> None:
    for name in ("train/ytf/1", "train/ytf/2", "train/aflw/1", "val/aflw/1", "test/ytf/1"):
        put(tmp_path / f"{name}.jpg")
    put(tmp_path / "val/aflw/2.jpg", pts(["-1 -1", *ROWS[1:]]))
    assert counts(load_dataset(tmp_path, "300w")) == {
        ("train", ("ytf",)): 2,
        ("train", ("aflw",)): 1,
        ("val", ("aflw",)): 2,
        ("test", ("ytf",)): 1,
    }
    below = load_dataset(tmp_path / "val", "merlrav", split="val", subset="aflw")
    assert [face.complete for face in below.faces] == [True, False]


def test_the_development_data_has_the_faces_its_readme_counts(shared: Path) -> None:
    folder = shared / "data" / "faces68"
    by_set = Counter((face.split, face.subsets[0]) for face in load_dataset(folder, "300w").faces)
    assert by_set == {
        ("train", "ytf"): 2739,
        ("val", "ytf"): 417,
        ("test", "ytf"): 289,
        ("train", "aflw"): 1636,
        ("val", "aflw"): 218,
        ("test", "aflw"): 211,
        ("train", "mtfl"): 7505,
        ("train", "utk"): 4711,
    }
    below = load_dataset(folder / "val", "merlrav", split="val", subset="aflw")
    assert len(below.faces) == 218
    assert not all(face.complete for face in below.faces)


def mean_offset(folder: Path, faces: list[Face]) -> NDArray[np.float64]:
    """Landmarks minus the points of the teacher in ``teacher68.npz``, which count from 0."""
    teacher = np.load(folder / "teacher68.npz")
    named = zip(teacher["names"].tolist(), teacher["points"], strict=True)
    points = {name.rsplit(".", 1)[0]: values for name, values in named}
    stems = [(face, f"train/utk/{face.name}".rsplit(".", 1)[0]) for face in faces]
    offsets = [
        np.nanmean(face.landmarks - points[stem], axis=0) for face, stem in stems if stem in points
    ]
    assert len(offsets) > 0.5 * len(faces)
    return np.mean(offsets, axis=0)


def test_labels_lie_where_a_teacher_sees_them_that_counts_from_0(tmp_path: Path) -> None:
    """Read as 0-based, the 1-based .pts files would lie a pixel off."""
    random = np.random.default_rng(0)
    truth = random.uniform(10, 50, (5, 68, 2))
    for number, points in enumerate(truth):
        rows = [f"{x + 1:.3f} {y + 1:.3f}" for x, y in points]
        put(tmp_path / f"train/utk/{number}.jpg", pts(rows))
    names = [f"train/utk/{number}.jpg" for number in range(5)]
    np.savez(tmp_path / "teacher68.npz", names=names, points=truth)
    faces = load_dataset(tmp_path / "train" / "utk", "300w").faces
    np.testing.assert_allclose(mean_offset(tmp_path, faces), 0, atol=1e-3)


def test_labels_of_the_development_data_agree_with_its_teacher(shared: Path) -> None:
    """ "utk" was labelled by the same network."""
    folder = shared / "data" / "faces68"
    faces = load_dataset(folder / "train" / "utk", "300w").faces[:200]
    assert abs(mean_offset(folder, faces)).max() < 0.3
