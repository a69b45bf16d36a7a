"""Reading keypoint CSV files."""

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.datasets.registry import load_dataset, splits_of
from wording import EXPECTED_CSV

HEADER = ["file", *(f"{axis}{i}" for i in range(68) for axis in "xy")]
VALUES = [f"{v}" for i in range(68) for v in (10 + i, 20 + i % 9)]


def put_csv(path: Path, rows: list[list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.jpg", "sub/b c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.zeros((50, 90, 3), np.uint8))
    return tmp_path


def test_coordinates_are_0_based_and_empty_cells_are_missing_points(root: Path) -> None:
    row = ["a.jpg", *VALUES]
    row[3] = row[4] = ""
    put_csv(root / "faces.csv", [HEADER, row])
    (face,) = load_dataset(root, "csv").faces
    assert face.landmarks[0].tolist() == [10.0, 20.0]
    assert np.isnan(face.landmarks[1]).all()
    assert (face.name, face.subsets, face.pose, face.split) == ("a.jpg", (), None, None)


MARKS = [f"v{i}" for i in range(68)]


def test_columns_of_visibility_say_what_can_be_seen(root: Path) -> None:
    known = ["a.jpg", *VALUES, "0", "", *["1"] * 66]
    unknown = ["sub/b c.png", *VALUES, *[""] * 68]
    put_csv(root / "faces.csv", [[*HEADER, *MARKS], known, unknown])
    first, second = load_dataset(root, "csv").faces
    assert first.visibility is not None and second.visibility is None
    assert first.visibility[0] == 0 and np.isnan(first.visibility[1])
    assert (first.visibility[2:] == 1).all()


def test_marks_go_with_pictures_in_any_column(root: Path) -> None:
    put_csv(root / "faces.csv", [[*MARKS, *HEADER[1:], "image"], [*"1" * 68, *VALUES, "a.jpg"]])
    (face,) = load_dataset(root, "csv").faces
    assert (face.name, face.visibility.sum()) == ("a.jpg", 68)


@pytest.mark.parametrize("first", [["x_0"], ["v_0", "x0"]])
def test_a_first_column_of_numbers_is_no_column_of_pictures(root: Path, first: list[str]) -> None:
    put_csv(root / "faces.csv", [[*first, *HEADER[2:], *MARKS[1:]], ["1"] * 300])
    with pytest.raises(DatasetError, match="expected a column of pictures, called file"):
        load_dataset(root, "csv")


def test_visibility_that_is_neither_0_nor_1_is_a_problem(root: Path) -> None:
    rows = [["a.jpg", *VALUES, *[mark] * 68] for mark in ("1", "0.5")]
    put_csv(root / "faces.csv", [[*HEADER, *MARKS], *rows])
    (problem,) = load_dataset(root, "csv", max_bad_share=0.5).problems
    assert "expected 1 (seen), 0 (hidden)" in problem.reason


def test_a_split_may_be_written_in_any_case(root: Path) -> None:
    """Else faces of Train would be measured on, as data without splits."""
    rows = [["a.jpg", *VALUES, split] for split in ("Train", "TEST", "valset", "private")]
    put_csv(root / "faces.csv", [[*HEADER, "split"], *rows])
    splits = [face.split for face in load_dataset(root, "csv").faces]
    assert splits == ["train", "test", "val", "private"]


WORDS = {"training": "train", "Valid": "val", "validation": "val", "TESTING": "test"}


@pytest.mark.parametrize("place", ["column", "file", "folder"])
@pytest.mark.parametrize(("word", "split"), WORDS.items())
def test_other_words_for_a_split_are_known_wherever_one_stands(
    root: Path, place: str, word: str, split: str
) -> None:
    """Else evaluate would measure on the faces of all splits."""
    (root / "sub").rename(root / word)
    rows = [["b c.png", *VALUES]]
    if place == "column":
        rows = [[*HEADER, "split"], [f"{word}/b c.png", *VALUES, word]]
    elif place == "file":
        rows = [[f"{word}/b c.png", *VALUES]]
    folder = root / word if place == "folder" else root
    put_csv(folder / (f"{word}.csv" if place == "file" else "faces.csv"), rows)
    assert splits_of(root, "csv") == (split,)


def test_optional_columns_are_found_by_name_in_any_order(root: Path) -> None:
    header = [*HEADER, "note", "roll", "yaw", "pitch", "box_x0", "box_y0", "box_x1", "box_y1"]
    header += ["subset", "split"]
    row = [
        "sub/b c.png",
        *VALUES,
        "hi",
        "3",
        "1",
        "-2",
        "5",
        "6",
        "70",
        "60",
        "blurred; dark",
        "val",
    ]
    put_csv(root / "faces.csv", [header, row])
    (face,) = load_dataset(root, "csv").faces
    assert face.pose is not None and face.pose.tolist() == [1.0, -2.0, 3.0]
    assert face.detector_box is not None and face.detector_box.tolist() == [5, 6, 70, 60]
    assert face.subsets == ("blurred", "dark")
    assert face.split == "val"


def test_a_file_without_a_header_is_a_path_and_pairs(root: Path) -> None:
    put_csv(root / "train.csv", [["a.jpg", *VALUES]])
    (face,) = load_dataset(root, "csv", split="train").faces
    assert face.landmarks[67].tolist() == [77.0, 24.0]


def test_numbering_may_start_at_1_and_a_byte_order_mark_is_ignored(root: Path) -> None:
    header = ["name", *(f"{axis}_{i}" for i in range(1, 69) for axis in "XY")]
    put_csv(root / "faces.csv", [header, ["a.jpg", *VALUES]])
    text = (root / "faces.csv").read_bytes()
    (root / "faces.csv").write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    dataset = load_dataset(root / "faces.csv", "csv")  # the file itself is a data set, too
    assert dataset.faces[0].landmarks[0].tolist() == [10.0, 20.0]


def test_98_points_and_faces_that_share_a_picture(root: Path) -> None:
    values = [f"{v}" for i in range(98) for v in (1 + i, 2 + i % 5)]
    put_csv(root / "faces.csv", [["a.jpg", *values], ["a.jpg", *values], ["sub/b c.png", *values]])
    dataset = load_dataset(root, "csv")
    assert dataset.scheme.points == 98
    assert [face.name for face in dataset.faces] == ["a.jpg#1", "a.jpg#2", "sub/b c.png"]


@pytest.mark.parametrize(
    ("drop", "message"),
    [("y17", "missing column 'y17'"), ("x67", "missing column 'x67'"), ("yaw", "column 'yaw'")],
)
def test_a_missing_column_is_an_error_that_names_it(root: Path, drop: str, message: str) -> None:
    header = [*HEADER, "yaw", "pitch", "roll"]
    row = ["a.jpg", *VALUES, "1", "2", "3"]
    at = header.index(drop)
    put_csv(root / "faces.csv", [header[:at] + header[at + 1 :], row[:at] + row[at + 1 :]])
    with pytest.raises(DatasetError, match=message):
        load_dataset(root, "csv")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["file", "left", "top"], ["a.jpg", "1", "2"]], "expected the columns x0, y0"),
        (
            [HEADER[:135], ["a.jpg", *VALUES[:134]]],
            "expected 5, 19.*98 or 106 pairs of columns x, y, got 67",
        ),
        (
            [["a.jpg", *VALUES[:100]]],
            "expected a header, or a path and 5, 19.*106 pairs",
        ),
        ([[*HEADER, "x5"], ["a.jpg", *VALUES, "1"]], "'x5' appears twice"),
        ([[]], "the file is empty"),
    ],
)
def test_a_table_of_another_shape_is_an_error(
    root: Path, rows: list[list[str]], message: str
) -> None:
    put_csv(root / "faces.csv", rows)
    with pytest.raises(DatasetError, match=message):
        load_dataset(root, "csv")


def test_bad_rows_are_problems_that_name_the_line(root: Path) -> None:
    half = ["a.jpg", *VALUES]
    half[1] = ""
    put_csv(
        root / "faces.csv",
        [
            HEADER,
            ["a.jpg", *VALUES],
            ["gone.jpg", *VALUES],
            ["../a.jpg", *VALUES],
            ["C:\\faces\\a.jpg", *VALUES],
            ["a.jpg", "nan", *VALUES[1:]],
            ["a.jpg", "left", *VALUES[1:]],
            ["a.jpg", *VALUES[:-1]],
            half,
        ],
    )
    dataset = load_dataset(root, "csv", max_bad_share=0.95)
    reasons = {p.name.removeprefix("faces.csv line "): p.reason for p in dataset.problems}
    assert len(dataset.faces) == 1
    assert "no picture gone.jpg" in reasons["3"]
    assert "inside the folder" in reasons["4"] and "inside the folder" in reasons["5"]
    assert "got nan or inf" in reasons["6"]
    assert "expected numbers or empty cells" in reasons["7"]
    assert "expected 137 columns, got 136" in reasons["8"]
    assert "only one of x and y" in reasons["9"]


def test_a_folder_without_csv_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=re.escape(EXPECTED_CSV)):
        load_dataset(tmp_path, "csv")
