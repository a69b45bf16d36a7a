"""``asmnet-kit data convert``: any format becomes CSV, COCO keypoints and 300-W's folders."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from asmnet_kit.cli import main
from asmnet_kit.datasets.base import Dataset, Face
from asmnet_kit.datasets.ibug300w import split_and_subsets
from asmnet_kit.datasets.pts import write_pts
from asmnet_kit.datasets.registry import load_dataset
from made_labels import HEIGHT, MADE, WIDTH, coco_json, put, put_picture, shape

OUTPUTS = ("csv", "coco", "300w")


def convert(data: Path, format: str, to: str, out: Path, *more: object) -> Result:
    arguments = ["--data", data, "--format", format, "--to", to, "--out", out, *more]
    return CliRunner().invoke(main, ["data", "convert", *map(str, arguments)])


def by_picture(dataset: Dataset) -> dict[tuple[bytes, int], Face]:
    """Faces by their picture's bytes, and their number in it from left to right."""
    together: dict[bytes, list[Face]] = {}
    for face in dataset.faces:
        together.setdefault(face.picture.read_encoded(), []).append(face)
    return {
        (encoded, number): face
        for encoded, faces in together.items()
        for number, face in enumerate(sorted(faces, key=lambda f: float(np.nanmin(f.landmarks))))
    }


@pytest.mark.parametrize("to", OUTPUTS)
@pytest.mark.parametrize("format", MADE)
def test_every_format_comes_back_from_every_output(tmp_path: Path, format: str, to: str) -> None:
    MADE[format](tmp_path / "data")
    result = convert(tmp_path / "data", format, to, tmp_path / "out")
    assert result.exit_code == 0, result.output
    before = by_picture(load_dataset(tmp_path / "data", format))
    read = load_dataset(tmp_path / "out", to)
    after = by_picture(read)
    assert read.problems == ()
    assert before.keys() == after.keys()
    for key, face in before.items():
        back = after[key]
        np.testing.assert_allclose(back.landmarks, face.landmarks, atol=0.01, rtol=0)
        assert back.split == face.split
        if to == "300w":  # one folder says the subsets
            assert set(back.subsets) <= set(face.subsets)
            assert bool(back.subsets) == bool(face.subsets)
            continue
        assert set(back.subsets) == set(face.subsets)
        if face.detector_box is not None:
            assert back.detector_box is not None
            np.testing.assert_allclose(back.detector_box, face.detector_box, atol=0.01)
        if face.pose is not None:
            assert back.pose is not None
            np.testing.assert_allclose(back.pose, face.pose, atol=0.01)
        if face.visibility is not None:
            assert back.visibility is not None
            np.testing.assert_array_equal(back.visibility, face.visibility)


@pytest.mark.parametrize("to", ["csv", "coco"])
def test_every_points_visibility_comes_back(tmp_path: Path, to: str) -> None:
    """Hidden without a position, and unknown among known ones: COCO's v says neither."""
    put_picture(tmp_path / "data" / "a.jpg", 0)
    points = [f"{value:.2f}" for value in shape(68).ravel()]
    points[20] = points[21] = ""  # point 10, hidden
    marks = ["1"] * 10 + ["0", "0", "", ""] + ["1"] * 54
    header = ["file", *(f"{axis}{i}" for i in range(68) for axis in "xy")]
    header += [f"v{i}" for i in range(68)]
    rows = [",".join(row) for row in (header, ["a.jpg", *points, *marks])]
    (tmp_path / "data" / "labels.csv").write_text("\n".join(rows) + "\n")
    result = convert(tmp_path / "data", "csv", to, tmp_path / "out")
    assert result.exit_code == 0, result.output
    (face,) = load_dataset(tmp_path / "out", to).faces
    assert not face.labelled[10] and face.labelled[11:].all()
    assert face.visibility is not None
    assert face.visibility[9:15].tolist() == pytest.approx(
        [1, 0, 0, np.nan, np.nan, 1], nan_ok=True
    )


@pytest.mark.parametrize("to", ["csv", "coco"])
def test_a_box_around_landmarks_does_not_come_back_as_a_detectors(
    tmp_path: Path, make_tflite: Callable[..., Path], to: str
) -> None:
    """The detector finds nothing in grey pictures: with boxes of its own every face is a miss.

    One face came with a box: before and after it is the one that is measured.
    """
    corners = ",".join(f"x{i},y{i}" for i in range(68))
    lines = [f"file,{corners},box_x0,box_y0,box_x1,box_y1"]
    for index, name in enumerate("abc"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((HEIGHT, WIDTH, 3), 128, np.uint8))
        cells = ",".join(f"{value:.2f}" for value in shape(68, index).ravel())
        lines.append(f"{name}.png,{cells},{'20,15,99,84' if name == 'b' else ',,,'}")
    put(tmp_path / "labels.csv", "\n".join(lines))
    out = tmp_path / "out" / "faces"
    assert convert(tmp_path / "labels.csv", "csv", to, out).exit_code == 0
    model = make_tflite()
    found = []
    for data, format in ((tmp_path / "labels.csv", "csv"), (out, to)):
        words = ["evaluate", model, "--data", data, "--format", format, "--boxes", "detector"]
        run = CliRunner().invoke(main, [*map(str, words), "--json"])
        assert run.exit_code == 0, run.output
        found.append(json.loads(run.stdout))
    before, after = found
    assert before["boxes"] == after["boxes"] == "detector"
    assert before["faces_missed"] == after["faces_missed"] == 2
    assert after["nme_percent"] == pytest.approx(before["nme_percent"], abs=0.05)
    if to == "coco":
        (path,) = out.rglob("*.json")
        annotations = json.loads(path.read_text())["annotations"]
        assert [a.get("bbox_from_landmarks") for a in annotations] == [True, None, True]
        assert all(len(a["bbox"]) == 4 and a["area"] > 0 for a in annotations)  # for COCO's tools


def test_the_public_subsets_of_300w_come_back(tmp_path: Path) -> None:
    MADE["imglab"](tmp_path / "data")
    assert convert(tmp_path / "data", "imglab", "300w", tmp_path / "out").exit_code == 0
    subsets = {face.subsets for face in load_dataset(tmp_path / "out", "300w", split="test").faces}
    assert subsets == {("common", "full", "lfpw"), ("challenging", "full", "ibug")}


def test_the_private_set_comes_back(tmp_path: Path) -> None:
    for index, name in enumerate(("01_Indoor/indoor_001.png", "02_Outdoor/outdoor_001.png")):
        put_picture(tmp_path / "300W" / name, index)
        write_pts((tmp_path / "300W" / name).with_suffix(".pts"), shape(68).astype(np.float32))
    for to in OUTPUTS:
        out = tmp_path / f"as_{to}"
        assert convert(tmp_path / "300W", "300w", to, out).exit_code == 0
        faces = load_dataset(out, to).faces
        assert {(face.split, face.subsets) for face in faces} == {
            ("private", ("private", "indoor")),
            ("private", ("private", "outdoor")),
        }
    assert split_and_subsets((), ("01_Indoor",)) == ("private", ("private", "indoor"))


def test_faces_of_one_picture_stay_together_or_get_a_copy_each(tmp_path: Path) -> None:
    put_picture(tmp_path / "data/images/two.jpg", 0)
    content = json.loads(coco_json([("two.jpg", shape(68) * 0.5), ("two.jpg", shape(68) * 0.6)]))
    content["annotations"][1]["image_id"] = 7
    put(tmp_path / "data/annotations/all.json", json.dumps(content))
    pictures = {"csv": 1, "coco": 1, "300w": 2}
    for to, count in pictures.items():
        out = tmp_path / f"as_{to}"
        assert convert(tmp_path / "data", "coco", to, out).exit_code == 0
        assert len(list(out.rglob("*.jpg"))) == count
        assert len(load_dataset(out, to).faces) == 2


def test_98_points_become_68(tmp_path: Path) -> None:
    truths = MADE["coco"](tmp_path / "data")
    out = tmp_path / "out"
    assert convert(tmp_path / "data", "coco", "300w", out, "--scheme", "68").exit_code == 0
    dataset = load_dataset(out, "300w")
    assert dataset.scheme.points == 68
    jaw = sorted(float(face.landmarks[1, 0]) for face in dataset.faces)
    # Every second point of WFLW's jaw is one of 300-W's: its point 2 is point 1.
    expected = sorted(truth.landmarks[2, 0] for truth in truths)
    np.testing.assert_allclose(jaw, expected, atol=0.01)


def test_a_bad_record_and_a_bad_picture_cost_one_face_each_and_are_told(tmp_path: Path) -> None:
    names = [f"{index}.png" for index in range(50)]
    for index, name in enumerate(names):
        put_picture(tmp_path / "data/images" / name, index % 5)
    content = json.loads(coco_json([(name, shape(68)) for name in names]))
    content["annotations"][3]["keypoints"] = [1, 2]
    put(tmp_path / "data/all.json", json.dumps(content))
    (tmp_path / "data/images/7.png").write_bytes(b"no picture")
    result = convert(tmp_path / "data", "coco", "csv", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["faces"], report["pictures"]) == (48, 48)
    assert [problem["name"] for problem in report["problems"]] == [
        "all.json annotation 3",
        "images/7.png",
    ]
    assert "left out: all.json annotation 3: expected keypoints x, y, v" in result.stderr
    assert "left out: images/7.png: " in result.stderr


def test_what_300w_cannot_hold_is_told(tmp_path: Path) -> None:
    MADE["predictions"](tmp_path / "data")
    result = convert(tmp_path / "data", "predictions", "300w", tmp_path / "out", "--json")
    assert json.loads(result.stdout)["notes"] == [
        ".pts files hold no head pose: 4 faces",
        ".pts files hold no box: 4 faces",
        ".pts files of 300-W hold no visibility: 4 faces",
    ]


def test_an_output_that_would_be_misread_is_refused(tmp_path: Path) -> None:
    MADE["lapa"](tmp_path / "data")
    for out in ("test", "helen"):
        result = convert(tmp_path / "data", "lapa", "csv", tmp_path / out)
        assert result.exit_code == 2
        assert "name of a split or a public set" in result.output
    result = convert(tmp_path / "data", "lapa", "csv", tmp_path / "data" / "out")
    assert result.exit_code == 2
    assert "lies in --data" in result.output
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    result = convert(tmp_path / "data", "lapa", "csv", tmp_path / "full")
    assert result.exit_code == 2
    assert "expected a new or empty folder" in result.output
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_names_that_a_format_cannot_hold_are_changed(tmp_path: Path) -> None:
    odd = [" blank .jpg", "b?.jpg", "x_mirror.jpg", "Ä.jpg", "same.jpg", "same.png"]
    for index, name in enumerate(odd):
        picture = np.full((HEIGHT, WIDTH, 3), 30 * index, np.uint8)
        path = tmp_path / "data" / str(index) / name
        path.parent.mkdir(parents=True)
        cv2.imwrite(str(path), picture)
        content = coco_json([(name, shape(68))])
        put(path.parent / "labels.json", content)
    for to in OUTPUTS:
        out = tmp_path / f"as_{to}"
        result = convert(tmp_path / "data", "coco", to, out)
        assert result.exit_code == 0, result.output
        assert len(load_dataset(out, to).faces) == len(odd)


@pytest.fixture
def predicted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes predictions of one picture, named so, into res of the current folder."""
    MADE["predictions"](tmp_path / "photos")
    said = json.loads((tmp_path / "photos" / "one.json").read_text())
    place = tmp_path / "place"
    (place / "res").mkdir(parents=True)
    monkeypatch.chdir(place)

    def write(path: str) -> None:
        said["image"]["path"] = path
        put(place / "res" / "faces.jsonl", json.dumps(said) + "\n")

    return write


@pytest.mark.parametrize("typed", ["photos", "{here}/photos"])
def test_predictions_find_their_pictures_from_the_current_folder(
    typed: str, predicted: Callable[[str], None], tmp_path: Path
) -> None:
    """As they were typed there; a picture beside the file that shares their end is another."""
    here = tmp_path / "place"
    put_picture(here / "photos" / "a.jpg", 1)
    put_picture(here / "res" / "a.jpg", 2)
    predicted(f"{typed.format(here=here)}/a.jpg")
    result = convert(Path("res/faces.jsonl"), "predictions", "csv", Path("out"))
    assert result.exit_code == 0, result.output
    (face,) = load_dataset(Path("out"), "csv").faces
    assert face.picture.read_encoded() == (here / "photos" / "a.jpg").read_bytes()


@pytest.mark.parametrize("path", ["../photos/test/4.jpg", "{above}/photos/test/4.jpg"])
def test_predictions_find_no_picture_outside_and_name_each_place_once(
    path: str, predicted: Callable[[str], None], tmp_path: Path
) -> None:
    predicted(path.format(above=tmp_path))
    result = convert(Path("res/faces.jsonl"), "predictions", "csv", Path("out"))
    assert result.exit_code == 1
    assert f"(looked in res, {tmp_path / 'place'})" in result.stderr
