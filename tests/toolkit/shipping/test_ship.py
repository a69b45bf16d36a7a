"""What puts a model into the kit: measurements of that very file, words without figures."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import KitError
from asmnet_kit.cli import main
from asmnet_kit.datasets.pts import write_pts
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.face.shape_model.file import save_shape_model
from asmnet_kit.face.shape_model.fit import ShapeAccumulator
from asmnet_kit.shipping.ship import Words, _sha256, ship
from asmnet_kit.shipping.shipped import model_named, shipped_models
from asmnet_kit.tflite.metadata import read_metadata

WORDS = """
summary = "A model of nothing"
default = true
licence = "LICENSE-WEIGHTS"
trained_on = "Nothing."
terms = "None."
use = "Tests."
failures = ["Every face but one."]
[sets]
faces = "Drawn faces"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "constant_model.toml").write_text(WORDS)
    return folder


@pytest.fixture
def measured(tmp_path, make_tflite, make_result) -> dict[str, Any]:
    """A model with an evaluation by the real command and a benchmark result of its hash."""
    model = make_tflite(int8=True)
    faces = tmp_path / "faces"
    faces.mkdir()
    for number in range(2):
        cv2.imwrite(str(faces / f"{number}.png"), np.full((100, 120, 3), 128, np.uint8))
        points = generic_reference(68) * (40 + 5 * number) + (60, 50)
        write_pts(faces / f"{number}.pts", points.astype(np.float32))
    run = CliRunner().invoke(
        main, ["evaluate", str(model), "--data", str(faces), "--format", "300w", "--json"]
    )
    assert run.exit_code == 0, run.output
    evaluation = tmp_path / "evaluation.json"
    evaluation.write_text(run.stdout)
    result = make_result(p50=3.25)
    result["model"]["sha256"] = _sha256(model.read_bytes())
    benchmark = tmp_path / "result.json"
    benchmark.write_text(json.dumps(result))
    return {"model": model, "evaluations": [evaluation], "benchmarks": [benchmark]}


def test_a_card_holds_what_was_measured_and_said(folder, measured) -> None:
    path = ship(folder / "constant_model.toml", **measured, folder=folder)
    model = model_named("constant_model", folder)
    assert model.path.name == "constant_68_32_none.tflite"
    assert read_metadata(model.path).licence == "LICENSE-WEIGHTS of asmnet-kit (research only)"
    evaluation = json.loads(measured["evaluations"][0].read_text())
    card = json.loads(path.read_text())
    assert card["accuracy"][0]["nme_percent"] == evaluation["nme_percent"]
    assert card["speed"][0]["p50_ms"] == 3.25
    assert card["model"]["sha256"] == _sha256(model.path.read_bytes())
    text = model.text()
    assert f"{evaluation['nme_percent']:.2f}" in text and "3.25" in text
    assert "research only" in text and "Every face but one." in text


def test_a_subset_without_an_eye_distance_has_dashes(folder, measured) -> None:
    """MERL-RAV's half profiles: an eye is hidden in each face, so there is no NME."""
    (path,) = measured["evaluations"]
    evaluation = json.loads(path.read_text())
    none = {"nme_percent": None, "failure_rate_percent": {"8": None, "10": None}}
    evaluation["per_subset"] = {"lefthalf": {**evaluation, **none, "per_subset": {}}}
    path.write_text(json.dumps(evaluation))
    card = json.loads(ship(folder / "constant_model.toml", **measured, folder=folder).read_text())
    assert card["nme_percent"] == {}
    text = model_named("constant_model", folder).text()
    (row,) = [line for line in text.splitlines() if "lefthalf" in line]
    assert row.split(" | ")[3:5] == ["–", "–"]  # NME and failures


def test_shipping_the_shipped_file_again_changes_nothing(folder, measured, tmp_path) -> None:
    """So a model can be measured anew where it is, also when its training run is gone."""
    run = tmp_path / "run"
    run.mkdir()
    about = {
        "architecture": {"parameters": 278, "macs": 971},
        "metrics": {"epochs": 32},
        "seed": 7,
        "dataset": {"counts": {"train": 64, "val": 8}, "sha256": "ab"},
        "finished_at": "2026-11-22T15:08:16+00:00",
    }
    (run / "manifest.json").write_text(json.dumps(about))
    ship(folder / "constant_model.toml", **measured, run=run, folder=folder)
    (model,) = shipped_models(folder)
    first = model.path.read_bytes()
    assert (model.card["model"]["macs"], model.card["model"]["trained"]["epochs"]) == (971, 32)
    trained = model.card["model"]
    for key in ("evaluations", "benchmarks"):
        text = measured[key][0].read_text()
        text = text.replace(_sha256(measured["model"].read_bytes()), _sha256(first))
        measured[key][0].write_text(text)
    ship(folder / "constant_model.toml", **{**measured, "model": model.path}, folder=folder)
    assert model.path.read_bytes() == first
    (again,) = shipped_models(folder)
    assert all(again.card["model"][key] == trained[key] for key in ("macs", "trained"))


def test_a_shape_model_goes_with_it(folder, measured, tmp_path) -> None:
    accumulator = ShapeAccumulator(68)
    accumulator.update(generic_reference(68) * [[[0.9, 1]], [[1, 1]], [[1.1, 1]]])
    save_shape_model(accumulator.fit(0.99), tmp_path / "shape.npz")
    ship(
        folder / "constant_model.toml",
        **measured,
        shape_model=tmp_path / "shape.npz",
        folder=folder,
    )
    (model,) = shipped_models(folder)
    assert model.path.with_suffix(".npz").read_bytes() == (tmp_path / "shape.npz").read_bytes()
    assert model.card["shape_model"] == "constant_68_32_none.npz"


def test_what_an_earlier_card_named_is_removed(folder, measured, tmp_path) -> None:
    """A model of another size under the same name, and a shape model that is no longer given."""
    path = ship(folder / "constant_model.toml", **measured, folder=folder)
    card = json.loads(path.read_text())
    old = {"file": "constant_model_68_16_none.tflite", "shape_model": "constant_model_68_16.npz"}
    path.write_text(json.dumps({**card, **old}))
    for name in old.values():
        (folder / name).write_bytes(b"old")
    ship(folder / "constant_model.toml", **measured, folder=folder)
    assert sorted(p.name for p in folder.iterdir()) == [
        "constant_68_32_none.tflite",
        "constant_model.json",
        "constant_model.md",
        "constant_model.toml",
    ]


def test_two_cards_cannot_have_the_same_file(folder, measured) -> None:
    ship(folder / "constant_model.toml", **measured, folder=folder)
    other = folder / "other_name.toml"
    words = (folder / "constant_model.toml").read_text()
    other.write_text(words.replace("default = true", "default = false"))
    with pytest.raises(KitError, match="is the file of constant_model"):
        ship(other, **measured, folder=folder)
    assert not (folder / "other_name.json").exists()


def test_a_shape_model_of_other_landmarks_is_refused_before_anything_is_written(
    folder, measured, tmp_path
) -> None:
    accumulator = ShapeAccumulator(98)
    accumulator.update(generic_reference(98) * [[[0.9, 1]], [[1, 1]], [[1.1, 1]]])
    save_shape_model(accumulator.fit(0.99), tmp_path / "shape.npz")
    with pytest.raises(KitError, match="shape model of 68 landmarks"):
        ship(
            folder / "constant_model.toml",
            **measured,
            shape_model=tmp_path / "shape.npz",
            folder=folder,
        )
    assert [p.name for p in folder.iterdir()] == ["constant_model.toml"]


@pytest.mark.parametrize(("key", "kind"), [("evaluations", "evaluation"), ("benchmarks", "result")])
def test_a_measurement_of_another_file_is_refused(folder, measured, key, kind) -> None:
    sha256 = _sha256(measured["model"].read_bytes())
    path = measured[key][0]
    path.write_text(path.read_text().replace(sha256, "0" * 64))
    with pytest.raises(KitError, match=f"{kind} of the model with SHA-256 {sha256[:16]}"):
        ship(folder / "constant_model.toml", **measured, folder=folder)
    assert shipped_models(folder) == []


def test_a_card_without_measurements_is_refused(folder, measured) -> None:
    for key in ("evaluations", "benchmarks"):
        with pytest.raises(KitError, match="at least one evaluation and one benchmark"):
            ship(folder / "constant_model.toml", **{**measured, key: []}, folder=folder)


def test_only_one_model_is_the_default(folder, measured) -> None:
    ship(folder / "constant_model.toml", **measured, folder=folder)
    (folder / "second.toml").write_text(WORDS)
    with pytest.raises(KitError, match="constant_model is the default"):
        ship(folder / "second.toml", **measured, folder=folder)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('use = "Tests."', "", "keys"),
        ("default = true", "default =", "TOML"),
        ('"LICENSE-WEIGHTS"', '"MIT"', "licence"),
        ("Every face but one.", "Misses 3 % of faces.", "3 %"),
        ("A model of nothing", "Takes 0.2 ms", "0.2 ms"),
        ('faces = "Drawn faces"', 'others = "Other faces"', "sets"),
    ],
)
def test_words_are_whole_and_without_figures(folder, measured, old, new, message) -> None:
    path = folder / "constant_model.toml"
    path.write_text(WORDS.replace(old, new))
    with pytest.raises(KitError, match=message):
        ship(path, **measured, folder=folder)


def test_words_that_name_numbers_of_points_and_pixels_are_no_figures(folder) -> None:
    path = folder / "constant_model.toml"
    path.write_text(WORDS.replace("Tests.", "68 points, pictures of 80 pixels, 300-W."))
    assert Words.read(path).use.startswith("68 points")
