"""A scheme of nine points of one's own, by the commands a user types: data to model to answers."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.cli import main
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.face.schemes import Scheme, scheme_named
from asmnet_kit.tflite.metadata import read_metadata

ROOT = Path(__file__).resolve().parents[1]
FOX = """
name = "fox"
title = "A fox, made up for a test"
points = 9
names = ["ear_l", "ear_r", "eye_l", "eye_r", "nose", "mouth_l", "mouth_r", "lip", "chin"]
mirror = [["ear_l", "ear_r"], ["eye_l", "eye_r"], ["mouth_l", "mouth_r"]]
normaliser = ["eye_l", "eye_r"]

[parts]
ears = { points = ["ear_l", "ear_r"], draw = "dots" }
eyes = { points = ["eye_l", "eye_r"], draw = "dots" }
nose = { points = ["nose"], draw = "dots" }
mouth = { points = ["mouth_l", "lip", "mouth_r", "chin"], draw = "ring" }

[maps]
5 = ["eye_l", "eye_r", "nose", "mouth_l", "mouth_r"]
"""
# Fractions of the head's side from its middle, x right, y down.
SHAPE = np.array(
    [
        *[(-0.4, -0.5), (0.4, -0.5), (-0.2, -0.1), (0.2, -0.1), (0, 0.15)],  # ears, eyes, nose
        *[(-0.2, 0.3), (0.2, 0.3), (0, 0.32), (0, 0.5)],  # mouth, lip, chin
    ]
)
SIZE = 96


def call(*arguments: object) -> str:
    """What a command prints on stdout; it must succeed."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def fox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scheme, and drawn foxes with their points in a CSV: 16 to train on, 6 to test."""
    folder = tmp_path_factory.mktemp("fox")
    (folder / "fox.toml").write_text(FOX)
    rng = np.random.default_rng(0)
    for split, count in (("train", 16), ("val", 4), ("test", 6)):
        (folder / "data" / split).mkdir(parents=True)
        rows = []
        for number in range(count):
            side, middle = rng.uniform(50, 60), rng.uniform(44, 52, 2)
            points = middle + side * (SHAPE + rng.normal(0, 0.02, SHAPE.shape))
            picture = np.full((SIZE, SIZE, 3), 90, np.uint8)
            hull = points[[0, 1, 8]].round().astype(np.int32)
            cv2.fillPoly(picture, [hull], (40, 120, 230))
            for x, y in points[2:8].round().astype(int).tolist():
                cv2.circle(picture, (x, y), 2, (20, 20, 20), -1)
            cv2.imwrite(str(folder / "data" / split / f"{number}.png"), picture)
            rows.append([f"{number}.png", *points.ravel().round(2).tolist()])
        with (folder / "data" / split / "points.csv").open("w", newline="") as file:
            header = [f"{axis}{i}" for i in range(9) for axis in "xy"]
            csv.writer(file).writerows([["file", *header], *rows])
    return folder


@pytest.fixture(scope="module")
def run(fox: Path) -> Path:
    out = fox / "run"
    result = CliRunner().invoke(
        main,
        ["train", "--data", str(fox / "data"), "--format", "csv", "--scheme", str(fox / "fox.toml"),
         "--arch", "asmnet_nano", "--input-size", "64", "--epochs", "1", "--batch-size", "8",
         "--out", str(out)],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (fox / "said.txt").write_text(result.stderr)
    return out


@pytest.fixture(scope="module")
def model(fox: Path, run: Path) -> Path:
    (fox / "fox.toml").rename(fox / "moved.toml")  # the run knows its scheme by itself
    try:
        call(
            "quantize", run, "--data", fox / "data", "--format", "csv", "--recipe", "ptq_w8a8",
            "--calibration-faces", "8", "--out", fox / "models",
        )  # fmt: skip
    finally:
        (fox / "moved.toml").rename(fox / "fox.toml")
    return fox / "models" / "asmnet_nano_9_64_ptq_w8a8.tflite"


def test_data_of_points_without_a_scheme_says_how_to_describe_them(fox: Path) -> None:
    arguments = ["data", "inspect", "--data", str(fox / "data"), "--format", "csv"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1 and "got 9" in result.output
    assert re.search(r"--scheme FILE \(docs/schemes.md\)", result.output.replace("\n", " "))


def test_data_is_inspected_and_drawn(fox: Path) -> None:
    report = call(
        "data", "inspect", "--data", fox / "data", "--format", "csv",
        "--scheme", fox / "fox.toml", "--sheet", fox / "sheet.png", "--json",
    )  # fmt: skip
    assert json.loads(report)["points"] == 9 and json.loads(report)["scheme"]["name"] == "fox"
    assert cv2.imread(str(fox / "sheet.png")) is not None


def test_shards_carry_the_scheme(fox: Path) -> None:
    call(
        "data", "prepare", "--data", fox / "data", "--format", "csv",
        "--scheme", fox / "fox.toml", "--out", fox / "shards",
    )  # fmt: skip
    assert load_dataset(fox / "shards", "records").scheme == scheme_named(fox / "fox.toml")


def test_a_run_says_its_scheme_has_a_shape_model_and_no_pose(fox: Path, run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    assert Scheme.from_json(manifest["scheme"]) == scheme_named(fox / "fox.toml")
    assert manifest["metrics"]["validation"]["pose_mae_deg"] is None
    with np.load(run / "shape_model.npz") as shape_model:
        assert shape_model["mean"].shape == (9, 2)


def test_training_without_a_pose_says_so(fox: Path, run: Path) -> None:
    said = " ".join((fox / "said.txt").read_text().split())
    assert "No head pose: the scheme fox has no 3-D positions and no face a pose label" in said


def test_a_resumed_run_keeps_its_scheme(fox: Path, run: Path) -> None:
    changed = fox / "changed.toml"
    changed.write_text(FOX.replace('normaliser = ["eye_l", "eye_r"]', 'normaliser = "box"'))
    result = CliRunner().invoke(
        main, ["train", "--resume", "--out", str(run), "--scheme", str(changed)]
    )
    assert result.exit_code == 2 and "scheme is not the one that" in result.output


def test_a_model_file_is_complete_in_itself(fox: Path, model: Path) -> None:
    metadata = read_metadata(model)
    assert metadata.scheme == scheme_named(fox / "fox.toml")
    assert (metadata.landmarks, metadata.schema_version) == (9, 3)
    assert set(metadata.outputs) == {"landmarks"}


@pytest.mark.slow
def test_fine_tuning_keeps_the_scheme_too(fox: Path, run: Path, model: Path) -> None:
    """One epoch of the recipe that most users take; it must be no worse than what it tunes."""
    call(
        "quantize", run, "--data", fox / "data", "--format", "csv", "--recipe", "qat_w8a8",
        "--calibration-faces", "8", "--epochs", "1", "--out", fox / "tuned",
    )  # fmt: skip
    (tuned,) = (fox / "tuned").glob("*.tflite")
    assert tuned.name == "asmnet_nano_9_64_qat_w8a8.tflite"
    assert read_metadata(tuned).scheme == scheme_named(fox / "fox.toml")
    data = ("--data", fox / "data", "--format", "csv", "--json")
    before, after = (json.loads(call("evaluate", path, *data)) for path in (model, tuned))
    assert (after["faces"], after["scheme"]) == (6, "fox")
    assert after["nme_percent"] <= before["nme_percent"] + 5
    picture = fox / "data" / "test" / "0.png"
    out = call("predict", picture, "--model", tuned, "--box", "20,20,76,76", "--json")
    assert len(json.loads(out)["faces"][0]["landmarks"]) == 9


def test_a_photograph_is_predicted(fox: Path, model: Path) -> None:
    picture = fox / "data" / "test" / "0.png"
    out = call(
        "predict", picture, "--model", model, "--box", "20,20,76,76", "--json",
        "--out", fox / "drawn.png",
    )  # fmt: skip
    (face,) = json.loads(out)["faces"]
    assert len(face["landmarks"]) == 9 and face["pose"] is None
    assert cv2.imread(str(fox / "drawn.png")) is not None


def test_accuracy_is_measured_by_the_schemes_own_pair_and_in_another_scheme(
    fox: Path, run: Path, model: Path
) -> None:
    data = ("--data", fox / "data", "--format", "csv", "--json")
    own = json.loads(call("evaluate", model, *data))
    assert (own["faces"], own["scheme"], own["landmarks"]) == (6, "fox", 9)
    assert own["normalised_by"] == "distance from eye_l to eye_r"
    five = json.loads(call("evaluate", model, *data, "--scheme", "5"))
    assert (five["faces"], five["scheme"], five["landmarks"]) == (6, "5", 9)
    of_run = json.loads(call("evaluate", run, *data))
    assert of_run["nme_percent"] == pytest.approx(own["nme_percent"], abs=5)


def test_a_keras_file_without_its_run_needs_the_scheme(fox: Path, run: Path) -> None:
    alone = fox / "alone.keras"
    alone.write_bytes((run / "model.keras").read_bytes())
    arguments = ["evaluate", str(alone), "--data", str(fox / "data"), "--format", "csv", "--json"]
    refused = CliRunner().invoke(main, arguments)
    assert refused.exit_code == 1 and "--scheme FILE" in " ".join(refused.output.split())
    assert json.loads(call(*arguments, "--scheme", fox / "fox.toml"))["faces"] == 6


def test_the_program_of_docs_integrate_runs_it(fox: Path, model: Path) -> None:
    page = (ROOT / "docs/integrate.md").read_text()
    program = fox / "landmarks.py"
    program.write_text(re.findall(r"```python\n(.*?)```", page, re.DOTALL)[0])
    picture = fox / "data" / "test" / "0.png"
    done = subprocess.run(
        [sys.executable, str(program), str(model), str(picture), "20", "20", "76", "76"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    printed = np.array([line.split() for line in done.stdout.splitlines()], float)
    out = call("predict", picture, "--model", model, "--box", "20,20,76,76", "--json")
    expected = np.array(json.loads(out)["faces"][0]["landmarks"])
    assert printed.shape == (9, 2)
    np.testing.assert_allclose(printed, expected, atol=0.02)


def test_a_98_point_model_is_measured_on_68_points_and_the_other_way_round(tmp_path: Path) -> None:
    """The drawn faces come with both: what is mapped is the same face."""
    faces = tmp_path / "faces"
    call("data", "synthesize", "--count", "24", "--out", faces, "--size", "96", "--workers", "1")
    shards = {}
    for points in ("68", "98"):
        shards[points] = tmp_path / points
        call(
            "data", "prepare", "--data", faces, "--format", "synthetic", "--scheme", points,
            "--split", "test", "--out", shards[points],
        )  # fmt: skip
    for model, data in (("asmnet_plus_people_98", "68"), ("asmnet_plus_people", "98")):
        arguments = ["evaluate", model, "--data", str(shards[data]), "--format", "records"]
        refused = CliRunner().invoke(main, arguments)
        assert refused.exit_code == 1
        assert "compare both as" in " ".join(refused.output.split())
        mapped = json.loads(call(*arguments, "--scheme", "68", "--json"))
        assert mapped["scheme"] == "68"
        same = json.loads(
            call(
                "evaluate", model, "--data", shards["98" if data == "68" else "68"], "--format",
                "records", "--scheme", "68", "--json",
            )
        )  # fmt: skip
        # Boxes and lids differ a little, and jaw points where a cheek is turned away.
        assert mapped["nme_percent"] == pytest.approx(same["nme_percent"], abs=1.5)
