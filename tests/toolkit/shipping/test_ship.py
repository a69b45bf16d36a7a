"""What puts a model into the kit: measurements of that very file, words without figures."""

import hashlib
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from click.testing import CliRunner

from asmnet_kit.base.errors import KitError
from asmnet_kit.cli import main
from asmnet_kit.datasets.pts import write_pts
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.face.shape_model.file import save_shape_model
from asmnet_kit.face.shape_model.fit import ShapeAccumulator
from asmnet_kit.shipping import ship as shipping
from asmnet_kit.shipping.measurements import same_outputs
from asmnet_kit.shipping.ship import measure_again, reword, ship
from asmnet_kit.shipping.shipped import model_named, shipped_models
from asmnet_kit.shipping.words import Words
from asmnet_kit.tflite.metadata import ModelMetadata, read_metadata, with_metadata
from asmnet_kit.tflite.packing import pack_model

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


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


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
    result["model"]["sha256"] = sha256_of(model.read_bytes())
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
    assert card["model"]["sha256"] == sha256_of(model.path.read_bytes())
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
        text = text.replace(sha256_of(measured["model"].read_bytes()), sha256_of(first))
        measured[key][0].write_text(text)
    ship(folder / "constant_model.toml", **{**measured, "model": model.path}, folder=folder)
    assert model.path.read_bytes() == first
    (again,) = shipped_models(folder)
    assert all(again.card["model"][key] == trained[key] for key in ("macs", "trained"))


def test_a_new_calibration_keeps_what_is_known_of_the_training(
    folder, measured, make_tflite, tmp_path
) -> None:
    """Metadata alone changes; another network of the same name keeps nothing."""
    words, card = folder / "constant_model.toml", folder / "constant_model.json"
    ship(words, **measured, folder=folder)
    content = json.loads(card.read_text())
    content["model"] |= {"parameters": 278, "macs": 971, "trained": {"epochs": 32}}
    for change, known in ((True, True), (False, False)):
        card.write_text(json.dumps(content))
        model = tmp_path / "again.tflite"
        model.write_bytes(make_tflite(int8=change).read_bytes())
        about = replace(read_metadata(model), licence="another")
        model.write_bytes(with_metadata(model.read_bytes(), about))
        sha256 = sha256_of(model.read_bytes())
        (evaluation,), (result,) = measured["evaluations"], measured["benchmarks"]
        told = json.loads(evaluation.read_text()) | {"model_sha256": sha256}
        evaluation.write_text(json.dumps(told))
        timed = json.loads(result.read_text())
        timed["model"]["sha256"] = sha256
        result.write_text(json.dumps(timed))
        ship(words, **{**measured, "model": model}, folder=folder)
        (again,) = shipped_models(folder)
        assert (again.card["model"].get("trained") == {"epochs": 32}) == known


def test_the_times_of_a_card_are_measured_anew_and_nothing_else_changes(
    folder, measured, make_result, monkeypatch, capsys
) -> None:
    words = folder / "constant_model.toml"
    before = json.loads(ship(words, **measured, folder=folder).read_text())
    (result,) = measured["benchmarks"]
    monkeypatch.setattr(sys, "argv", ["ship", str(words), "--benchmark", str(result)])
    assert shipping.main() == 1  # the file as it was before its licence went in
    assert "expected a result of the model with SHA-256" in capsys.readouterr().err
    timed = make_result(p50=1.125)
    timed["model"]["sha256"] = before["model"]["sha256"]
    result.write_text(json.dumps(timed))
    assert shipping.main() == 0
    after = json.loads((folder / "constant_model.json").read_text())
    assert after["speed"][0]["p50_ms"] == 1.125
    assert {**after, "speed": None} == {**before, "speed": None}
    assert "1.12" in model_named("constant_model", folder).text()
    monkeypatch.setattr(sys, "argv", ["ship", str(words)])
    assert shipping.main() == 2
    assert "expected --evaluation or --benchmark" in capsys.readouterr().err


def test_new_words_go_into_a_card_and_no_figure_changes(
    folder, measured, monkeypatch, capsys
) -> None:
    words = folder / "constant_model.toml"
    before = json.loads(ship(words, **measured, folder=folder).read_text())
    words.write_text(WORDS.replace("Every face but one.", "All faces."))
    monkeypatch.setattr(sys, "argv", ["ship", str(words), "--words-only"])
    assert shipping.main() == 0
    after = json.loads((folder / "constant_model.json").read_text())
    assert after == {**before, "failures": ["All faces."]}
    assert "- All faces." in model_named("constant_model", folder).text()
    monkeypatch.setattr(sys, "argv", ["ship", str(words), "--words-only", "--benchmark", "a.json"])
    assert shipping.main() == 2
    assert "no model or measurement" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("LICENSE-WEIGHTS", "Apache-2.0", "expected the licence LICENSE-WEIGHTS"),
        ("default = true", 'default = true\nvariant = "people"', "and 'people'"),
        ("faces = ", "others = ", "expected faces in .sets."),
    ],
)
def test_words_that_do_not_fit_the_file_that_ships_are_refused(
    folder, measured, old, new, message
) -> None:
    path = ship(folder / "constant_model.toml", **measured, folder=folder)
    before = path.read_bytes()
    (folder / "constant_model.toml").write_text(WORDS.replace(old, new))
    with pytest.raises(KitError, match=message):
        reword(folder / "constant_model.toml", folder=folder)
    assert path.read_bytes() == before


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


def shipped_by_command(folder: Path, measured: dict[str, Any], limit: int | None = None) -> Any:
    """What ``make ship-model`` runs, by a process whose files end at ``limit`` bytes (EFBIG), as on
    a full disk."""
    command = [sys.executable, "-m", "asmnet_kit.shipping.ship"]
    command += [str(folder / "constant_model.toml"), "--model", str(measured["model"])]
    for option, key in (("--evaluation", "evaluations"), ("--benchmark", "benchmarks")):
        for path in measured[key]:
            command += [option, str(path)]

    def end_files() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=end_files
    )


@pytest.mark.parametrize("largest", ["the model", "the card"])
def test_a_full_disk_leaves_the_kit_with_its_model_and_card(
    folder, measured, make_tflite, largest
) -> None:
    """The old model is of another size, and so under another name. The new card, with words of
    540 kB, is larger than the new model, without them smaller: either write fails alone."""
    small = make_tflite("small.tflite", int8=True, size=16)
    remeasured(measured, measured["model"], small)
    assert shipped_by_command(folder, {**measured, "model": small}).returncode == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == {
        "constant_68_16_none.tflite",
        "constant_model.json",
        "constant_model.md",
        "constant_model.toml",
    }
    remeasured(measured, small, measured["model"])
    limit = len(measured["model"].read_bytes()) - 1
    if largest == "the card":
        limit += 20_000
        words = WORDS.replace('trained_on = "Nothing.', f'trained_on = "{"Nothing. " * 60_000}')
        before["constant_model.toml"] = words.encode()
        (folder / "constant_model.toml").write_text(words)
    failed = shipped_by_command(folder, measured, limit)
    assert failed.returncode == 1, failed.stderr
    assert "File too large" in failed.stderr and "Traceback" not in failed.stderr
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert shipped_by_command(folder, measured).returncode == 0
    assert [path.name for path in folder.glob("*.tflite")] == ["constant_68_32_none.tflite"]


def remeasured(measured: dict[str, Any], old: Path, new: Path) -> None:
    """Make the measurements of one file those of another: what they hold is not of interest."""
    for key in ("evaluations", "benchmarks"):
        for path in measured[key]:
            text = path.read_text()
            path.write_text(text.replace(sha256_of(old.read_bytes()), sha256_of(new.read_bytes())))


@pytest.mark.parametrize("dtype", ["int8", "int16", "float32"])
def test_other_weights_are_noticed_whatever_the_type_of_the_input(
    make_op_model: Callable[..., Path], tmp_path: Path, dtype: str
) -> None:
    """x and |x| agree at zero, so zeros for an input would hide that these are different models."""

    def model(op: str) -> Path:
        """One operator on the crop: 2 x 2 x 3, real value = raw / 2^(bits - 1)."""
        shape, options = (1, 2, 2, 3), {}
        if op == "RESHAPE":
            options = {"options": ("ReshapeOptions", {"newShape": shape})}
        path = make_op_model(
            {"op": op, "into": shape, "into_type": dtype, "shape": shape, "type": dtype, **options}
        )
        content = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
        image, out = content.subgraphs[0].tensors
        image.name = b"image"
        if dtype != "float32":
            scale = np.array([1 / (np.iinfo(dtype).max + 1)], np.float32)
            for tensor in (image, out):
                tensor.quantization = schema.QuantizationParametersT(scale=scale, zeroPoint=[0])
        named = tmp_path / f"{op}.tflite"
        named.write_bytes(pack_model(content))
        return named

    about = ModelMetadata(architecture="one", landmarks=68, input_size=2, recipe="none")
    same, other = model("RESHAPE"), model("ABS")
    assert same_outputs(same, same.read_bytes(), about)
    assert not same_outputs(same, other.read_bytes(), about)


def test_an_evaluation_that_leaves_missed_faces_out_is_refused(folder, measured) -> None:
    (path,) = measured["evaluations"]
    evaluation = json.loads(path.read_text())
    del evaluation["failure_rate_counts_misses"]
    path.write_text(json.dumps(evaluation))
    with pytest.raises(KitError, match=r"counts missed faces.*evaluate again"):
        ship(folder / "constant_model.toml", **measured, folder=folder)


def test_the_card_says_how_many_faces_the_detector_missed(folder, measured) -> None:
    """2 of 4 missed: half of the faces fail, and none of the two that were found."""
    (path,) = measured["evaluations"]
    counts = {"faces": 2, "faces_missed": 3, "failure_rate_faces": 4, "boxes": "detector"}
    evaluation = {**json.loads(path.read_text()), **counts}
    evaluation["failure_rate_percent"] = {"8": 50.0, "10": 50.0}
    path.write_text(json.dumps(evaluation))
    ship(folder / "constant_model.toml", **measured, folder=folder)
    text = model_named("constant_model", folder).text()
    assert "| faces | 4, 2 missed | detector | 0." in text
    assert "- Highest failure rate measured: 50.0 % of the 4 faces of faces/all" in text


def test_an_evaluation_of_a_card_is_measured_anew_and_the_others_stay(folder, measured) -> None:
    (path,) = measured["evaluations"]
    around_labels = json.loads(path.read_text())
    detected = {**around_labels, "boxes": "detector", "looks": 3, "nme_percent": 7.0}
    second = path.with_name("detector.json")
    second.write_text(json.dumps(detected))
    words = folder / "constant_model.toml"
    measured = {**measured, "evaluations": [path, second]}
    before = json.loads(ship(words, **measured, folder=folder).read_text())
    sha256 = before["model"]["sha256"]
    new = {**detected, "nme_percent": 6.5, "model_sha256": sha256}
    second.write_text(json.dumps(new))
    after = json.loads(measure_again(words, evaluations=[second], folder=folder).read_text())
    assert [scores["nme_percent"] for scores in after["accuracy"]] == [
        around_labels["nme_percent"],
        6.5,
    ]
    changed = [scores for scores in after["accuracy"] if scores not in before["accuracy"]]
    assert [scores["boxes"] for scores in changed] == ["detector"]
    assert {k: v for k, v in after.items() if k != "accuracy"} == {
        k: v for k, v in before.items() if k != "accuracy"
    }
    assert "6.50" in model_named("constant_model", folder).text()

    second.write_text(json.dumps({**new, "split": "val"}))
    with pytest.raises(KitError, match=r"split val.*with --model"):
        measure_again(words, evaluations=[second], folder=folder)
    second.write_text(json.dumps({**new, "scheme": "5"}))
    with pytest.raises(KitError, match=r"expected landmarks 68, .* got 5"):
        measure_again(words, evaluations=[second], folder=folder)
    del new["looks"]
    second.write_text(json.dumps(new))
    with pytest.raises(KitError, match=r"how often the model looked"):
        measure_again(words, evaluations=[second], folder=folder)


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
    sha256 = sha256_of(measured["model"].read_bytes())
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
