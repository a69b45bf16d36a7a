"""Reading WFLW's lists."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.datasets.registry import load_dataset, splits_of

LISTS = "WFLW_annotations/list_98pt_rect_attr_train_test"
POINTS = [float(v) for i in range(98) for v in (10 + i, 20.5 + i % 9)]


def line(
    picture: str,
    *,
    points: list[float] = POINTS,
    box: tuple[int, int, int, int] = (8, 18, 110, 32),
    flags: str = "0 0 0 0 0 0",
) -> str:
    numbers = " ".join(f"{v:.6f}" for v in points)
    return f"{numbers} {' '.join(map(str, box))} {flags} {picture}\n"


def put_picture(root: Path, name: str) -> None:
    path = root / "WFLW_images" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.zeros((60, 120, 3), np.uint8))


def put_list(root: Path, split: str, lines: list[str]) -> None:
    path = root / LISTS / f"list_98pt_rect_attr_{split}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))


@pytest.fixture
def wflw(tmp_path: Path) -> Path:
    root = tmp_path / "WFLW"
    for name in ("0--Parade/a.jpg", "1--Hand shaking/b c.jpg", "2--Demo/d.jpg"):
        put_picture(root, name)
    put_list(
        root,
        "train",
        [line("0--Parade/a.jpg", flags="1 0 0 0 1 0"), line("1--Hand shaking/b c.jpg")],
    )
    put_list(
        root,
        "test",
        [
            line("2--Demo/d.jpg", flags="0 1 1 1 0 1"),
            line("2--Demo/d.jpg", box=(0, 0, 0, 0)),
        ],
    )
    return root


def test_a_line_is_98_points_a_box_attributes_and_a_path(wflw: Path) -> None:
    face = load_dataset(wflw, "wflw", split="train").faces[0]
    assert face.name == "0--Parade/a.jpg"
    assert face.landmarks.shape == (98, 2)
    assert face.landmarks[0].tolist() == [10.0, 20.5]  # 0-based as they stand
    assert face.subsets == ("pose", "occlusion")
    assert face.detector_box is not None
    assert face.detector_box.tolist() == [8, 18, 110, 32]
    assert face.picture.read().shape == (60, 120, 3)


def test_splits_are_the_lists_and_subsets_the_attributes(wflw: Path) -> None:
    assert splits_of(wflw, "wflw") == ("train", "test")
    assert len(load_dataset(wflw, "wflw").faces) == 4
    blurred = load_dataset(wflw, "wflw", split="test", subset="blur").faces
    assert [face.subsets for face in blurred] == [("expression", "illumination", "make-up", "blur")]
    assert load_dataset(wflw, "wflw").scheme.points == 98


def test_faces_of_one_picture_are_numbered_and_an_empty_box_is_none(wflw: Path) -> None:
    faces = load_dataset(wflw, "wflw", split="test").faces
    assert [face.name for face in faces] == ["2--Demo/d.jpg#1", "2--Demo/d.jpg#2"]
    assert faces[1].detector_box is None


def test_bad_lines_are_problems_that_name_the_line(wflw: Path) -> None:
    put_list(
        wflw,
        "test",
        [
            line("2--Demo/d.jpg"),
            line("2--Demo/absent.jpg"),
            line("../../secret.jpg"),
            line("/etc/secret.jpg"),
            line("2--Demo/d.jpg", points=[float("nan"), *POINTS[1:]]),
            line("2--Demo/d.jpg", points=POINTS[:-2]),
            "one two three\n",
        ],
    )
    dataset = load_dataset(wflw, "wflw", max_bad_share=0.9)
    prefix = f"{LISTS}/list_98pt_rect_attr_test.txt line "
    reasons = {p.name.removeprefix(prefix): p.reason for p in dataset.problems}
    assert sorted(reasons) == ["2", "3", "4", "5", "6", "7"]
    assert "no picture 2--Demo/absent.jpg" in reasons["2"]
    assert "leaves the folder" in reasons["3"] and "leaves the folder" in reasons["4"]
    assert "point 0 is not finite" in reasons["5"]
    assert "expected 206 numbers" in reasons["6"]
    assert "got 3 fields" in reasons["7"]


def test_a_folder_without_lists_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"expected list_98pt_rect_attr_train\.txt"):
        load_dataset(tmp_path, "wflw")
