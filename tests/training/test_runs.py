"""``asmnet-kit runs list``: what it finds, and what it says of the rest."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from asmnet_kit.cli import main
from asmnet_kit.tflite.metadata import read_metadata, with_metadata
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.manifest import write_manifest

COLUMNS = ("run", "data", "recipe", "network", "epochs", "NME %", "quantized", "KB", "finished")


def listed(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["runs", "list", *map(str, arguments)])


def write_run(folder: Path, *, nme: float = 4.5, validated: str = "f0", **changes: Any) -> Path:
    """A finished run as ``train`` leaves it, but for its weights; returns its model's path."""
    (folder / "checkpoints").mkdir(parents=True)
    TrainConfig(data="faces", format="300w", epochs=26).save(folder / "config.toml")
    validation = {"nme_percent": nme, "faces": 80, "dataset_fingerprint": validated}
    content = {
        "started_at": "2026-01-02T03:04:05+00:00",
        "finished_at": "2026-01-02T04:04:05+00:00",
        "dataset": {"name": "faces", "format": "300w"},
        "architecture": {"name": "asmnet_nano", "input_size": 112, "landmarks": 68},
        "metrics": {"epochs": 26, "best_epoch": 25, "validation": validation},
        "recipe": "asmnet_nano",
    }
    write_manifest(folder, content | changes)
    model = folder / "model.keras"
    model.write_bytes(str(folder).encode())
    return model


def quantized(model: bytes, source: Path, *, recipe: str, nme: float) -> bytes:
    """A .tflite as ``quantize`` makes it of the float model ``source``."""
    sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
    about = replace(
        read_metadata(model),
        recipe=recipe,
        source={"model_sha256": sha256},
        metrics={"validation": {"nme_percent": nme}},
    )
    return with_metadata(model, about)


@pytest.fixture
def place(tmp_path: Path, make_tflite: Callable[..., Path]) -> Path:
    """Two runs, one with two models; and a model whose run is not there."""
    folder = tmp_path / "place"
    first = write_run(folder / "runs" / "first")
    write_run(
        folder / "runs" / "second", nme=4.25, finished_at="2026-02-03T00:00:00+00:00", recipe=None
    )
    plain = make_tflite().read_bytes()
    (folder / "models").mkdir()
    for recipe, nme in (("fp32", 4.5), ("qat_w8a8", 4.61)):
        made = quantized(plain, first, recipe=recipe, nme=nme)
        (folder / "models" / f"nano_{recipe}.tflite").write_bytes(made)
    (folder / "models" / "orphan.tflite").write_bytes(plain)
    return folder


def test_the_table_has_every_run_with_its_models(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    done = listed("runs", "models")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert all(column in lines[1] for column in COLUMNS)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if "│" in line]
    kb = f"{(place / 'models' / 'nano_fp32.tflite').stat().st_size / 1000:.0f}"
    assert rows == [
        [
            "runs/first", "faces (300w)", "asmnet_nano", "asmnet_nano 112 px, asm", "26 of 26",
            "4.50", "fp32", "4.50", kb, "2026-01-02",
        ],
        ["", "", "", "", "", "", "qat_w8a8", "4.61", kb, ""],
        [
            "runs/second", "faces (300w)", "-", "asmnet_nano 112 px, asm", "26 of 26", "4.25",
            "-", "-", "-", "2026-02-03",
        ],
    ]  # fmt: skip
    assert "orphan.tflite" in done.stderr


def test_the_json_has_a_version_and_every_fact(place: Path) -> None:
    content = json.loads(listed(place / "runs", place / "models", "--json").stdout)
    assert content["schema_version"] == 1
    assert [Path(run["path"]).name for run in content["runs"]] == ["first", "second"]
    first = content["runs"][0]
    assert {k: first[k] for k in ("nme_percent", "val_faces", "epochs", "of_epochs", "loss")} == {
        "nme_percent": 4.5, "val_faces": 80, "epochs": 26, "of_epochs": 26, "loss": "asm",
    }  # fmt: skip
    assert [(m["recipe"], m["nme_percent"]) for m in first["models"]] == [
        ("fp32", 4.5),
        ("qat_w8a8", 4.61),
    ]
    assert [Path(m["path"]).name for m in content["models_without_run"]] == ["orphan.tflite"]
    assert content["validated_on_same_faces"] is True
    assert content["problems"] == []


def test_unlike_validation_faces_are_told(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", validated="other")
    done = listed(tmp_path)
    assert done.exit_code == 0
    assert "validated on different faces" in done.stderr
    assert json.loads(listed(tmp_path, "--json").stdout)["validated_on_same_faces"] is False


def test_a_run_that_goes_on_is_shown_as_unfinished(tmp_path: Path) -> None:
    write_run(tmp_path / "a", finished_at=None, metrics={}, architecture={})
    done = listed(tmp_path)
    assert done.exit_code == 0
    assert "no, begun 2026-01-02" in done.stdout
    assert "0 of 26" in done.stdout
    assert "asmnet ? px" not in done.stdout  # its settings say what its manifest does not yet


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda run: (run / "manifest.json").unlink(), "no such file"),
        (lambda run: (run / "manifest.json").write_text("{"), "not JSON"),
        (lambda run: (run / "manifest.json").write_text("[]"), "expected schema_version 1"),
        (
            lambda run: (run / "manifest.json").write_text('{"name": "app", "icons": []}'),
            "expected schema_version 1, got None",
        ),
        (
            lambda run: (run / "manifest.json").write_text('{"schema_version": 1}'),
            "is not one of asmnet-kit",
        ),
        (
            lambda run: (run / "manifest.json").write_text(
                '{"schema_version": 1, "kit_version": "1", "metrics": 3}'
            ),
            "expected metrics to be an object",
        ),
    ],
)
def test_a_damaged_or_foreign_folder_is_named_and_the_others_are_listed(
    place: Path, damage: Callable[[Path], Any], reason: str
) -> None:
    damage(place / "runs" / "first")
    done = listed(place)
    assert done.exit_code == 0, done.output
    told = " ".join(done.stderr.split())
    assert f"not listed: {place}/runs/first: " in told
    assert reason in told
    content = json.loads(listed(place, "--json").stdout)
    assert [Path(run["path"]).name for run in content["runs"]] == ["second"]
    (problem,) = content["problems"]
    assert problem["path"] == str(place / "runs" / "first")


def test_edited_figures_are_left_out_and_not_believed(tmp_path: Path) -> None:
    validation = {"nme_percent": "good", "faces": True, "dataset_fingerprint": ["x"]}
    write_run(
        tmp_path / "a",
        metrics={"epochs": 26, "best_epoch": 25, "validation": validation},
        dataset={"name": "\x1b[31mred", "format": 7},
    )
    (tmp_path / "a" / "config.toml").write_text("epochs = 'many'\n")
    done = listed(tmp_path)
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.output
    (run,) = json.loads(listed(tmp_path, "--json").stdout)["runs"]
    assert (run["nme_percent"], run["val_faces"], run["of_epochs"]) == (None, None, None)


def test_a_run_that_two_folders_hold_is_listed_once(place: Path) -> None:
    done = listed(place, place / "runs" / "first", place / "models" / "..", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert [Path(run["path"]).name for run in told["runs"]] == ["first", "second"]
    assert told["problems"] == []


def test_a_run_without_validation_does_not_make_the_others_unlike(tmp_path: Path) -> None:
    write_run(tmp_path / "whole")
    write_run(tmp_path / "begun", metrics={"epochs": 3}, finished_at=None)
    assert json.loads(listed(tmp_path, "--json").stdout)["validated_on_same_faces"]


def test_a_figure_too_large_for_a_float_is_left_out(tmp_path: Path) -> None:
    write_run(
        tmp_path / "edited",
        metrics={"epochs": 3, "best_epoch": 2, "validation": {"nme_percent": 10**400}},
    )
    done = listed(tmp_path)
    assert done.exit_code == 0, done.output


def test_a_tflite_that_is_no_model_of_the_kit_is_named(place: Path) -> None:
    (place / "models" / "foreign.tflite").write_bytes(b"nothing")
    done = listed(place)
    assert done.exit_code == 0
    assert f"not listed: {place}/models/foreign.tflite: " in " ".join(done.stderr.split())


def test_without_any_run_it_ends_with_1_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    done = listed(tmp_path / "runs")
    assert done.exit_code == 1
    assert "expected a training run at or below" in done.stderr
    assert json.loads(listed(tmp_path / "runs", "--json").stdout)["runs"] == []


def test_a_folder_without_anything_is_named_beside_others(place: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    done = listed(place, tmp_path / "nothing")
    assert done.exit_code == 0
    assert f"not listed: {tmp_path}/nothing: no run and no model" in " ".join(done.stderr.split())


def test_what_is_not_there_or_no_folder_is_a_wrong_call(place: Path, tmp_path: Path) -> None:
    assert listed(tmp_path / "gone").exit_code == 2
    assert listed(place / "runs" / "first" / "manifest.json").exit_code == 2


def test_models_in_a_runs_folder_and_below_another_tools_manifest_are_listed(
    tmp_path: Path, make_tflite: Callable[..., Path]
) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "app", "icons": []}')
    source = write_run(tmp_path / "runs" / "first")
    made = quantized(make_tflite().read_bytes(), source, recipe="fp32", nme=4.5)
    for folder in (source.parent, source.parent / "int8"):
        folder.mkdir(exist_ok=True)
        (folder / "nano.tflite").write_bytes(made)
    (source.parent / "checkpoints" / "last.tflite").write_bytes(b"not looked at")
    told = json.loads(listed(tmp_path, "--json").stdout)
    (run,) = told["runs"]
    assert [Path(model["path"]).parent.name for model in run["models"]] == ["first", "int8"]
    assert [problem["path"] for problem in told["problems"]] == [str(tmp_path)]
