"""A COCO export of WFLW's layout: trained one epoch on, and measured as 98 and as 68 points."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from asmnet_kit.cli import main
from asmnet_kit.datasets.registry import load_dataset
from made_labels import coco_json, put

FACES = 24


def kit(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.slow
def test_a_coco_export_of_wflw_is_trained_on_and_measured_in_both_schemes(tmp_path: Path) -> None:
    people, wflw, run = tmp_path / "people", tmp_path / "wflw", tmp_path / "run"
    kit("data", "synthesize", "--kind", "people", "--count", FACES, "--size", 96,
        "--workers", 1, "--out", people)  # fmt: skip
    drawn = load_dataset(people, "synthetic", points=98).faces
    for split in ("train", "test"):
        listed = []
        chosen = [face for face in drawn if (face.split == "test") == (split == "test")]
        for number, face in enumerate(chosen):
            picture = f"{number % 3}--People/{Path(face.picture.name).name}"
            (wflw / "images" / picture).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(face.picture.name, wflw / "images" / picture)
            listed.append((picture, face.landmarks.astype(float)))
        put(
            wflw / "annotations" / f"face_landmarks_wflw_{split}.json",
            coco_json(listed, sides=(96, 96)),
        )
    data = ("--data", wflw, "--format", "coco")
    kit("train", *data, "--arch", "asmnet_nano", "--input-size", 64, "--batch-size", 8,
        "--epochs", 1, "--out", run)  # fmt: skip
    as_98 = json.loads(kit("evaluate", run, *data, "--json"))
    as_68 = json.loads(kit("evaluate", run, *data, "--scheme", "68", "--json"))
    # Faces of the list called test alone, with the points of each scheme.
    measured = sum(face.split == "test" for face in drawn)
    assert (as_98["faces"], as_68["faces"]) == (measured, measured)
    assert (as_98["scheme"], as_68["scheme"]) == ("98", "68")
    assert (as_98["split"], as_68["split"]) == ("test", "test")
    for report in (as_98, as_68):
        assert 0 < report["nme_percent"] < 100
    assert as_98["nme_percent"] != as_68["nme_percent"]
