"""Looking a data set over."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.datasets.inspection import TILE, draw_tile, inspect_dataset
from asmnet_kit.datasets.pts import write_pts
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.face.pictures import read_image
from wording import TRUNCATED_JPEG

GRID = np.stack(np.meshgrid(np.linspace(20, 70, 17), np.linspace(15, 55, 4)), axis=-1)
LANDMARKS = GRID.reshape(68, 2).astype(np.float32)  # a box of 50 x 40 pixels


def put(
    path: Path, landmarks: np.ndarray = LANDMARKS, *, size: tuple[int, int] = (60, 100)
) -> None:
    """A picture of ``size`` (height, width), different for each name, and its .pts file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(sum(path.name.encode())).integers(0, 255, (*size, 3), np.uint8)
    assert cv2.imwrite(str(path), pixels)
    write_pts(path.with_suffix(".pts"), landmarks)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "faces"
    for name in ("train/a/1.jpg", "train/a/2.jpg", "train/b/3.jpg", "test/a/4.jpg"):
        put(root / name)
    return root


def test_faces_are_counted_by_split_and_subset(folder: Path) -> None:
    report = inspect_dataset(folder, "300w")
    assert report.counts == {
        ("train", ""): 3,
        ("train", "a"): 2,
        ("train", "b"): 1,
        ("test", ""): 1,
        ("test", "a"): 1,
    }
    assert (report.faces, report.pictures, report.incomplete, report.with_pose) == (4, 4, 0, 0)
    assert report.problems == () and report.bad_share == 0
    assert len(inspect_dataset(folder, "300w", split="test").dataset.faces) == 1


def test_sizes_are_those_of_pictures_and_landmark_boxes(folder: Path) -> None:
    put(folder / "train/a/large.png", LANDMARKS * 2, size=(200, 300))
    sizes = inspect_dataset(folder, "300w").to_json()
    assert sizes["picture_width"] == {"min": 100.0, "median": 100.0, "max": 300.0}
    assert sizes["picture_height"] == {"min": 60.0, "median": 60.0, "max": 200.0}
    assert sizes["face_size"] == {"min": 50.0, "median": 50.0, "max": 100.0}


def test_each_bad_picture_has_its_reason(folder: Path) -> None:
    cut = folder / "train/a/1.jpg"
    cut.write_bytes(cut.read_bytes()[:300])
    (folder / "train/a/2.jpg").write_bytes(b"no picture at all")
    (folder / "train/b/3.jpg").write_bytes(b"")
    (folder / "test/a/4.pts").write_text("{ 1 2 }")
    report = inspect_dataset(folder, "300w")
    reasons = {problem.name: problem.reason for problem in report.problems}
    assert TRUNCATED_JPEG in reasons["train/a/1.jpg"]
    assert "expected a picture" in reasons["train/a/2.jpg"]
    assert "got an empty file" in reasons["train/b/3.jpg"]
    assert "expected 68 points" in reasons["test/a/4.pts"]
    assert report.faces == 0 and report.bad_share == 1
    assert report.to_json()["face_size"] is None


def test_only_points_beyond_the_outer_pixels_edge_are_out_of_the_picture(folder: Path) -> None:
    """The last pixel of 100 is 99 and reaches to 99.5."""
    landmarks = LANDMARKS.copy()
    landmarks[0] = (99.4, 30)
    landmarks[1] = (-0.4, 30)
    landmarks[2] = (99.6, 30)
    landmarks[3] = (40, 59.6)
    landmarks[4] = np.nan
    put(folder / "train/a/5.jpg", landmarks)
    report = inspect_dataset(folder, "300w")
    assert [(found.name, found.points) for found in report.out_of_picture] == [("train/a/5.jpg", 2)]
    assert report.incomplete == 1


def test_pictures_with_the_same_content_are_duplicates_and_leaks_are_named(folder: Path) -> None:
    copy = (folder / "train/a/1.jpg").read_bytes()
    (folder / "test/a/4.jpg").write_bytes(copy)
    (duplicate,) = inspect_dataset(folder, "300w").duplicates
    assert duplicate.pictures == ("test/a/4.jpg", "train/a/1.jpg")
    assert duplicate.across_splits
    (folder / "test/a/4.jpg").write_bytes((folder / "train/b/3.jpg").read_bytes() + b"x")
    (folder / "train/a/2.jpg").write_bytes(copy)
    same, stored_anew = inspect_dataset(folder, "300w").duplicates
    assert (same.kind, same.across_splits) == ("same", False)
    assert (stored_anew.kind, stored_anew.across_splits) == ("pixels", True)


def test_a_picture_with_two_faces_is_one_picture_and_no_duplicate(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((60, 100, 3), np.uint8))
    row = "a.png," + ",".join(f"{v:g}" for v in LANDMARKS.ravel())
    (tmp_path / "faces.csv").write_text(f"{row}\n{row}\n")
    report = inspect_dataset(tmp_path, "csv")
    assert (report.faces, report.pictures, report.duplicates) == (2, 1, ())


def test_the_contact_sheet_shows_every_face_of_a_small_set(folder: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    steps: list[tuple[int, int]] = []
    inspect_dataset(
        folder, "300w", sheet=sheet, progress=lambda done, total: steps.append((done, total))
    )
    assert read_image(sheet).shape == (TILE, 4 * TILE, 3)
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_landmarks_are_drawn_where_they_are(folder: Path) -> None:
    """On a black picture all colour is ink. Box 50 px, tile 160 px, scale 1.5: 2.13 px per px."""
    cv2.imwrite(str(folder / "train/a/1.jpg"), np.zeros((60, 100, 3), np.uint8))
    face = next(f for f in load_dataset(folder, "300w").faces if f.name == "train/a/1.jpg")
    tile = draw_tile(face, load_dataset(folder, "300w").scheme)
    ink = np.argwhere(tile[: TILE - 20].max(axis=2) > 128)  # above the caption
    top, left = ink.min(axis=0)
    bottom, right = ink.max(axis=0)
    # The box spans (160 / 75) * 50 = 106.7 px around the tile's centre 79.5; 1 px is the dot.
    np.testing.assert_allclose([left, right], [79.5 - 53.3, 79.5 + 53.3], atol=2)
    np.testing.assert_allclose([top, bottom], [79.5 - 42.7, 79.5 + 42.7], atol=2)


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no faces of format merlrav"):
        inspect_dataset(tmp_path, "merlrav")
