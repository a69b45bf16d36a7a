"""The commands of ``asmnet-kit data``."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from asmnet_kit.cli import main
from asmnet_kit.datasets.pts import write_pts
from asmnet_kit.datasets.registry import load_dataset
from made_labels import MADE
from wording import EXPECTED_CSV, TRUNCATED_JPEG

GRID = np.stack(np.meshgrid(np.linspace(20, 70, 17), np.linspace(15, 55, 4)), axis=-1)
LANDMARKS = GRID.reshape(68, 2).astype(np.float32)


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["data", *map(str, args)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "faces"
    for index, name in enumerate(("train/a/1.jpg", "train/a/2.jpg", "val/a/3.jpg")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / name), np.full((60, 100, 3), 50 * index, np.uint8))
        write_pts((root / name).with_suffix(".pts"), LANDMARKS)
    return root


def test_a_sheet_never_takes_the_place_of_a_picture_of_the_data(folder: Path) -> None:
    picture = folder / "val" / "a" / "3.png"
    picture.with_suffix(".jpg").unlink()
    cv2.imwrite(str(picture), np.zeros((60, 100, 3), np.uint8))
    before = picture.read_bytes()
    call = ("--data", folder, "--format", "300w", "--split", "train")
    result = run("inspect", *call, "--sheet", picture)
    assert result.exit_code == 2 and f"--sheet would overwrite {picture}" in result.stderr
    assert picture.read_bytes() == before


def test_inspect_prints_counts_and_what_to_do_next(folder: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    result = run("inspect", "--data", folder, "--format", "300w", "--sheet", sheet)
    assert result.exit_code == 0, result.output
    assert "faces: 3" in result.stdout
    assert "train" in result.stdout and "val" in result.stdout
    assert "bad files: 0" in result.stdout
    assert "Next: asmnet-kit train" in result.stderr
    assert sheet.read_bytes().startswith(b"\x89PNG")


FOX = 'name = "fox"\npoints = 3\nnormaliser = [0, 1]\n'


def test_the_next_command_keeps_a_scheme_of_ones_own(tmp_path: Path) -> None:
    scheme, data = tmp_path / "fox.toml", tmp_path / "foxes"
    scheme.write_text(FOX)
    data.mkdir()
    cv2.imwrite(str(data / "a.png"), np.zeros((60, 100, 3), np.uint8))
    (data / "a.csv").write_text("file,x0,y0,x1,y1,x2,y2\na.png,20,20,60,20,40,50\n")
    call = ("--data", data, "--format", "csv", "--scheme", scheme)
    inspected = run("inspect", *call)
    assert inspected.exit_code == 0, inspected.output
    assert "1 usable face. Next: asmnet-kit train" in inspected.stderr
    assert f"--format csv --scheme {scheme} --out RUN" in inspected.stderr
    converted = run("convert", *call, "--to", "csv", "--out", tmp_path / "out")
    assert converted.exit_code == 0, converted.output
    assert f"--format csv --scheme {tmp_path}/out/scheme.toml --sheet" in converted.stderr
    forgotten = run("inspect", "--data", tmp_path / "out", "--format", "csv")
    assert forgotten.exit_code == 1
    assert f"try --scheme {tmp_path}/out/scheme.toml" in " ".join(forgotten.stderr.split())


@pytest.mark.parametrize("format", ["300w", "merlrav", "csv", "synthetic"])
def test_inspect_shows_no_split_of_a_folder_in_somebodys_home(tmp_path: Path, format: str) -> None:
    """Called test, as his faces' folder is not; given directly, a split's folder is that split."""
    home = tmp_path / "home/test"
    for folder, split in ((home / "faces", "all"), (home / "train", "train")):
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "1.jpg"), np.full((60, 100, 3), 90, np.uint8))
        if format == "csv":
            columns = [f"{axis}{point}" for point in range(68) for axis in "xy"]
            numbers = [f"{value:.2f}" for value in LANDMARKS.ravel()]
            rows = [["file", *columns], ["1.jpg", *numbers]]
            (folder / "faces.csv").write_text("\n".join(map(",".join, rows)))
        else:
            write_pts(folder / "1.pts", LANDMARKS)
        result = run("inspect", "--data", folder, "--format", format, "--json")
        assert result.exit_code == 0, result.output
        assert list(json.loads(result.stdout)["splits"]) == [split]
    if format == "csv":  # a file that is given is a split by its own name alone
        (home / "1.jpg").write_bytes((home / "faces/1.jpg").read_bytes())
        for name, split in (("all", None), ("val", "val")):
            file = (home / "faces/faces.csv").rename(home / f"{name}.csv")
            (face,) = load_dataset(file, "csv").faces
            assert face.split == split
            file.rename(home / "faces/faces.csv")


def test_bad_annotations_of_one_split_do_not_count_against_a_smaller_one(folder: Path) -> None:
    """1 of 41 faces, 2 %: of the one face of val and the bad one it would be a half."""
    for number in range(10, 48):
        for ending in ("jpg", "pts"):
            source = folder / f"val/a/3.{ending}"
            (folder / f"train/a/{number}.{ending}").write_bytes(source.read_bytes())
    (folder / "train/a/47.pts").write_text("damaged")
    whole = run("inspect", "--data", folder, "--format", "300w")
    part = run("inspect", "--data", folder, "--format", "300w", "--split", "val")
    assert whole.exit_code == part.exit_code == 0, part.output
    strict = [*("inspect", "--data", folder, "--format", "300w"), "--max-bad-share", 0.02]
    assert "unusable faces: 1, 2% of all" in run(*strict, "--split", "val").stderr


def test_a_teacher_does_not_take_the_place_of_a_models_shape_model(
    folder: Path, make_tflite: Callable[..., Path]
) -> None:
    model = make_tflite()
    own = model.with_suffix(".npz")
    result = run("teacher", "--data", folder, "--format", "300w", "--model", model, "--out", own)
    assert result.exit_code == 2
    assert "is that model's own shape model" in result.stderr
    assert not own.exists()


def test_inspect_json_is_alone_on_stdout(folder: Path) -> None:
    result = run("inspect", "--data", folder, "--format", "300w", "--json")
    report = json.loads(result.stdout)
    assert report["faces"] == 3
    assert report["splits"]["train"] == {"faces": 2, "subsets": {"a": 2}}
    assert report["problems"] == []


def test_inspect_lists_bad_files_and_fails_when_they_are_too_many(folder: Path) -> None:
    cut = folder / "val/a/3.jpg"
    cut.write_bytes(cut.read_bytes()[:100])
    result = run("inspect", "--data", folder, "--format", "300w")
    assert result.exit_code == 1
    assert f"val/a/3.jpg: {TRUNCATED_JPEG}" in result.stdout
    assert "unusable faces: 1, 33% of all; at most 5% are accepted" in result.stderr
    accepted = run("inspect", "--data", folder, "--format", "300w", "--max-bad-share", 0.5)
    assert accepted.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["--format", "300w", "--split", "night"], 2, "no split 'night'; its splits: train, val"),
        (["--format", "600w"], 2, "'600w' is not one of"),
        (["--format", "wflw"], 1, "list_98pt_rect_attr_train.txt"),
        (["--format", "300w", "--sheet", "sheet.bmp"], 2, "expected a .png file"),
    ],
)
def test_wrong_calls_end_with_one_line_and_their_exit_code(
    folder: Path, arguments: list[str], exit_code: int, message: str
) -> None:
    result = run("inspect", "--data", folder, *arguments)
    assert result.exit_code == exit_code
    assert message in result.stderr
    assert "Traceback" not in result.output


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    result = run("inspect", "--data", tmp_path, "--format", "csv")
    assert result.exit_code == 1
    assert f"{EXPECTED_CSV} at or below this folder" in result.stderr


@pytest.mark.parametrize("format", ["coco", "imglab"])
def test_inspect_says_what_is_wrong_where_no_picture_is_found(tmp_path: Path, format: str) -> None:
    truths = MADE[format](tmp_path / "data")
    for truth in truths:
        (tmp_path / "data" / truth.name).unlink()
    result = run("inspect", "--data", tmp_path / "data", "--format", format)
    assert result.exit_code == 1
    assert "no usable face" in result.stderr
    assert truths[0].name.rsplit("/", 1)[-1] in result.stderr
    assert "got 0" not in result.stderr


def test_prepare_writes_shards_that_can_be_read(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    out = tmp_path / "shards"
    result = run("prepare", "--data", folder, "--format", "300w", "--out", out, "--split", "train")
    assert result.exit_code == 0, result.output
    assert "2 faces in 1 shard " in result.stderr and "--format records" in result.stderr
    assert [face.name for face in load_dataset(out, "records").faces] == [
        "train/a/1.jpg",
        "train/a/2.jpg",
    ]


def test_synthesized_faces_can_be_inspected_with_68_and_98_points(tmp_path: Path) -> None:
    out = tmp_path / "drawn"
    made = run("synthesize", "--count", 10, "--out", out, "--seed", 3, "--size", 64, "--workers", 1)
    assert made.exit_code == 0, made.output
    assert "--format synthetic" in made.stderr
    for points in (68, 98):
        shown = run("inspect", "--data", out, "--format", "synthetic", "--points", points, "--json")
        report = json.loads(shown.stdout)
        assert report["points"] == points
        assert report["faces"] == report["faces_with_pose"] == 10
        assert {split: entry["faces"] for split, entry in report["splits"].items()} == {
            "train": 8,
            "val": 1,
            "test": 1,
        }


def test_synthesize_refuses_a_folder_that_holds_something_else(folder: Path) -> None:
    result = run("synthesize", "--count", 2, "--out", folder, "--workers", 1)
    assert result.exit_code == 2
    assert "expected a new or empty folder" in result.stderr
