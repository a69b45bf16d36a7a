"""Reading what annotation tools and public sets write, each in its true layout."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.datasets.base import Dataset
from asmnet_kit.datasets.registry import load_dataset, splits_of
from made_labels import MADE, Truth, put_picture, shape

BOXED = ("coco", "imglab", "cofw", "cvat", "label_studio", "labelme", "predictions")


def check(dataset: Dataset, truths: list[Truth], *, within: float = 0.005) -> None:
    assert dataset.problems == ()
    faces = {face.name: face for face in dataset.faces}
    assert sorted(faces) == sorted(truth.name for truth in truths)
    for truth in truths:
        face = faces[truth.name]
        expected = truth.landmarks.copy()
        expected[list(truth.unlabelled)] = np.nan
        np.testing.assert_allclose(face.landmarks, expected, atol=within, rtol=0)
        assert face.split == truth.split, truth.name
        assert set(face.subsets) == set(truth.subsets), truth.name
        assert face.read().shape == (100, 120, 3)


@pytest.mark.parametrize("format", MADE)
def test_every_format_is_read_in_its_tools_layout(tmp_path: Path, format: str) -> None:
    truths = MADE[format](tmp_path / "data")
    dataset = load_dataset(tmp_path / "data", format)
    check(dataset, truths)
    splits = {truth.split for truth in truths} - {None}
    assert set(splits_of(tmp_path / "data", format)) == splits


@pytest.mark.parametrize("format", BOXED)
def test_boxes_are_kept(tmp_path: Path, format: str) -> None:
    MADE[format](tmp_path / "data")
    for face in load_dataset(tmp_path / "data", format).faces:
        assert face.detector_box is not None
        expected = (20, 15, 100, 85) if format == "coco" else (20, 15, 99, 84)
        np.testing.assert_allclose(face.detector_box, expected, atol=1e-4)


@pytest.mark.parametrize(("word", "split"), [("training", "train"), ("testing", "test")])
def test_dlibs_words_for_a_split_are_known(tmp_path: Path, word: str, split: str) -> None:
    put_picture(tmp_path / "pictures/a.jpg", 0)
    parts = "".join(
        f"<part name='{i:02}' x='{x}' y='{y}'/>"
        for i, (x, y) in enumerate(np.round(shape(68, 0)).astype(int))
    )
    (tmp_path / f"{word}_with_face_landmarks.xml").write_text(
        "<dataset><images><image file='pictures/a.jpg'><box top='15' left='20' width='80' "
        f"height='70'>{parts}</box></image></images></dataset>"
    )
    assert splits_of(tmp_path, "imglab") == (split,)


def test_labels_of_no_known_scheme_name_the_option_that_describes_them(tmp_path: Path) -> None:
    put_picture(tmp_path / "a.jpg", 0)
    shapes = [
        {"label": name, "points": [[x, 20]], "shape_type": "point"}
        for name, x in (("whisker", 20), ("horn", 60), ("snout", 40))
    ]
    (tmp_path / "a.json").write_text(json.dumps({"imagePath": "a.jpg", "shapes": shapes}))
    with pytest.raises(DatasetError, match=r"got 3: horn, .*--scheme"):
        load_dataset(tmp_path, "labelme")


@pytest.mark.parametrize("format", ["cofw", "label_studio", "labelme", "predictions", "cvat"])
def test_points_that_a_tool_marks_are_hidden(tmp_path: Path, format: str) -> None:
    truths = {truth.name: truth for truth in MADE[format](tmp_path / "data")}
    known = 0
    for face in load_dataset(tmp_path / "data", format).faces:
        if face.visibility is None:
            continue
        known += 1
        hidden = tuple(np.flatnonzero(face.visibility == 0))
        assert hidden == truths[face.name].hidden
    assert known >= 3  # CVAT's shape of all points has no marks


def test_where_no_point_is_marked_nothing_is_known(tmp_path: Path) -> None:
    for format in ("coco", "imglab", "lapa", "pfld"):
        MADE[format](tmp_path / format)
        assert {f.visibility is None for f in load_dataset(tmp_path / format, format).faces} == {
            True
        }


@pytest.mark.parametrize("format", MADE)
def test_a_missing_picture_costs_one_face_and_is_told(tmp_path: Path, format: str) -> None:
    if format == "cofw":
        pytest.skip("its pictures are in the file")
    truths = MADE[format](tmp_path / "data")
    (tmp_path / "data" / truths[0].name).unlink()
    dataset = load_dataset(tmp_path / "data", format, max_bad_share=0.8)
    assert len(dataset.faces) == 3
    assert dataset.problems
    assert all("no picture" in problem.reason for problem in dataset.problems)


def resize_pictures(root: Path, width: int, height: int) -> None:
    for path in root.rglob("*.jpg"):
        assert cv2.imwrite(str(path), cv2.resize(cv2.imread(str(path)), (width, height)))


@pytest.mark.parametrize("format", ["coco", "imglab", "cvat", "labelme", "predictions"])
@pytest.mark.parametrize("sides", [(60, 50), (120, 120)])
def test_labels_of_a_picture_of_other_sides_are_refused(
    tmp_path: Path, format: str, sides: tuple[int, int]
) -> None:
    truths = MADE[format](tmp_path / "data")
    resize_pictures((tmp_path / "data" / truths[0].name).parent, *sides)
    dataset = load_dataset(tmp_path / "data", format, max_bad_share=0.9)
    assert truths[0].name not in {face.name for face in dataset.faces}
    assert dataset.problems
    for problem in dataset.problems:
        assert "120 x 100 pixels, got {} x {}".format(*sides) in problem.reason


def test_label_studios_percentages_hold_for_a_smaller_picture_of_the_same_shape(
    tmp_path: Path,
) -> None:
    truths = MADE["label_studio"](tmp_path)
    resize_pictures(tmp_path, 60, 50)
    faces = load_dataset(tmp_path, "label_studio").faces
    assert [face.name for face in faces] == [truth.name for truth in truths]
    for face, truth in zip(faces, truths, strict=True):
        np.testing.assert_allclose(face.landmarks, (truth.landmarks + 0.5) / 2 - 0.5, atol=1e-3)
        assert face.detector_box is not None
        np.testing.assert_allclose(face.detector_box, (9.75, 7.25, 49.25, 41.75), atol=1e-3)
    resize_pictures(tmp_path, 60, 60)
    with pytest.raises(DatasetError, match="120 x 100 pixels, got 60 x 60"):
        load_dataset(tmp_path, "label_studio")


@pytest.mark.parametrize("format", [format for format in MADE if format != "cofw"])
def test_labels_in_a_folder_below_are_of_the_pictures_there(tmp_path: Path, format: str) -> None:
    """Two batches name their files alike; one was put into a folder of the other."""
    above = MADE[format](tmp_path / "data")
    below = MADE[format](tmp_path / "data/later")
    faces = load_dataset(tmp_path / "data", format).faces
    expected = {*(truth.name for truth in above), *(f"later/{truth.name}" for truth in below)}
    assert {face.name for face in faces} == expected
    for face in faces:
        assert Path(face.picture.name) == tmp_path / "data" / face.name


@pytest.mark.parametrize("format", MADE)
def test_a_folder_without_such_files_says_what_was_expected(tmp_path: Path, format: str) -> None:
    (tmp_path / "other.md").write_text("nothing")
    with pytest.raises(DatasetError, match=r"expected .* found none"):
        load_dataset(tmp_path, format)


@pytest.mark.parametrize("format", ["coco", "label_studio", "labelme", "predictions"])
def test_a_broken_json_is_one_problem(tmp_path: Path, format: str) -> None:
    truths = MADE[format](tmp_path / "data")
    (tmp_path / "data" / "broken.json").write_text('{"images": [')
    dataset = load_dataset(tmp_path / "data", format, max_bad_share=0.5)
    assert len(dataset.faces) == len(truths)
    (problem,) = dataset.problems
    assert problem.name == "broken.json"
    assert problem.reason.startswith("expected JSON: ")


@pytest.mark.parametrize("format", ["imglab", "cvat"])
def test_a_document_type_is_refused_and_no_entity_expanded(tmp_path: Path, format: str) -> None:
    """The billion laughs: ten levels of ten entities each are 10 GB of text."""
    truths = MADE[format](tmp_path / "data")
    entities = "".join(
        f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha! ha! ha!"}">' for n in range(10)
    )
    bomb = f"<?xml version='1.0'?><!DOCTYPE lolz [{entities}]><images><image>&l9;</image></images>"
    (tmp_path / "data" / "bomb.xml").write_text(bomb)
    outside = tmp_path / "secret.txt"
    outside.write_text("secret")
    external = f"<!DOCTYPE a [<!ENTITY x SYSTEM '{outside}'>]><images><image>&x;</image></images>"
    (tmp_path / "data" / "external.xml").write_text(external)
    dataset = load_dataset(tmp_path / "data", format, max_bad_share=0.5)
    assert len(dataset.faces) == len(truths)
    assert [(p.name, p.reason) for p in dataset.problems] == [
        ("bomb.xml", "expected XML without a document type, got <!DOCTYPE lolz>"),
        ("external.xml", "expected XML without a document type, got <!DOCTYPE a>"),
    ]


def rewrite(root: Path, old: str, new: str) -> None:
    """Write another path of a picture into the annotation files."""
    changed = 0
    for path in root.rglob("*"):
        if path.suffix in (".json", ".jsonl", ".xml", ".txt") and old in path.read_text():
            path.write_text(path.read_text().replace(old, new))
            changed += 1
    assert changed


@pytest.mark.parametrize(
    ("format", "written"),
    [
        ("coco", "0--Parade/0.jpg"),
        ("imglab", "afw/1.jpg"),
        ("cvat", 'name="1.jpg"'),
        ("label_studio", "/data/upload/1/0f0f0f01-1.jpg"),
        ("labelme", '"imagePath": "1.jpg"'),
        ("pfld", "/home/ann/PFLD/data/train_data/imgs/0_a b_0.png"),
        ("predictions", "photos/train/1.jpg"),
    ],
)
def test_no_path_in_a_file_leaves_the_data_set(tmp_path: Path, format: str, written: str) -> None:
    truths = MADE[format](tmp_path / "data")
    secret = tmp_path / "secret.jpg"
    secret.write_bytes((tmp_path / "data" / truths[0].name).read_bytes())
    (tmp_path / "data" / truths[0].name).unlink()  # also not found by its own name
    for path in ("../secret.jpg", "../../secret.jpg", str(secret), f"a/../../../{secret.name}"):
        escaped = json.dumps(path)[1:-1]
        new = written.replace("1.jpg", escaped) if written[-1] == '"' else escaped
        rewrite(tmp_path / "data", written, new)
        dataset = load_dataset(tmp_path / "data", format, max_bad_share=0.8)
        root = (tmp_path / "data").resolve()
        for face in dataset.faces:
            assert Path(face.picture.name).resolve().is_relative_to(root)
        assert len(dataset.faces) == 3
        rewrite(tmp_path / "data", new, written)
