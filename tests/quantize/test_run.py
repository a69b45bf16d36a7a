"""``asmnet-kit quantize`` from a run folder to a file, with real faces, losses and runtimes."""

import dataclasses
import json
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import tf_keras
from click.testing import CliRunner, Result

from asmnet_kit.base.install import install_command
from asmnet_kit.cli import main
from asmnet_kit.datasets.base import Dataset
from asmnet_kit.face.generic_face import GENERIC_FACE_68, GENERIC_FACE_98
from asmnet_kit.face.predictor import Predictor
from asmnet_kit.measure.evaluate import Evaluation
from asmnet_kit.quantize import run as run_module
from asmnet_kit.quantize.rounding.rounded_tensors import rounded_layers
from asmnet_kit.quantize.source.fold import deployable
from asmnet_kit.tflite.metadata import read_metadata

SIZE = 64  # pixels of the network's input, see conftest
NAME = "small_68_64_{}.tflite"


def call(run: Path, data: Path, out: Path, *options: str) -> Result:
    arguments = ["quantize", str(run), "--data", str(data), "--format", "csv", "--out", str(out)]
    return CliRunner().invoke(main, [*arguments, *options])


def refused(result: Result, code: int) -> str:
    """The message of a call that must end with ``code`` and no traceback."""
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


def test_ptq_writes_a_named_file_that_says_what_it_is(
    run_folder: Path, faces: Path, tmp_path: Path
) -> None:
    options = ("--recipe", "ptq_w8a8", "--calibration-faces", "16", "--json")
    result = call(run_folder, faces, tmp_path, *options)
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    path = tmp_path / NAME.format("ptq_w8a8")
    assert content["file"] == str(path) and content["size_bytes"] == path.stat().st_size
    metadata = read_metadata(path)
    assert (metadata.architecture, metadata.landmarks, metadata.input_size) == ("small", 68, SIZE)
    assert metadata.licence == "for tests alone"
    measured = metadata.metrics["validation"]
    assert measured["faces"] == 6
    assert measured["nme_percent"] == content["nme_percent"] == content["quantized"]["nme_percent"]
    assert measured["float_nme_percent"] == content["float_nme_percent"]
    assert len(metadata.source["model_sha256"]) == 64

    before = path.read_bytes()
    assert call(run_folder, faces, tmp_path, *options).exit_code == 0
    assert path.read_bytes() == before  # same run, recipe and seed: same file


@pytest.mark.slow
def test_qat_fine_tunes_with_the_runs_losses_and_leaves_the_run_as_it_was(
    run_folder: Path, faces: Path, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()}
    options = ("--epochs", "2", "--calibration-faces", "16", "--learning-rate", "0.001")
    result = call(run_folder, faces, tmp_path, "--recipe", "qat_w8a8", *options)
    assert result.exit_code == 0, result.output
    assert f"{NAME.format('qat_w8a8')}" in result.stdout
    assert "ranges: in the last epoch the farthest moved by" in result.stdout
    assert {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()} == before
    metadata = read_metadata(tmp_path / NAME.format("qat_w8a8"))
    assert metadata.source["settings"]["epochs"] == 2
    measured = metadata.metrics["validation"]
    # An untrained network gains by any training: rounding must not have stopped it.
    assert measured["nme_percent"] < measured["float_nme_percent"]


def test_a_missed_gate_keeps_the_file_under_another_name_and_what_was_there(
    run_folder: Path, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The conversion is made to look one percentage point worse than it is."""
    measure = run_module.evaluate

    def worse(predictor: Predictor, dataset: Dataset) -> Evaluation:
        evaluation = measure(predictor, dataset)
        worsened = 1.0 if predictor.name.endswith(".tflite") else 0.0
        nme = evaluation.scores.nme_percent + worsened
        return dataclasses.replace(
            evaluation, scores=dataclasses.replace(evaluation.scores, nme_percent=nme)
        )

    monkeypatch.setattr(run_module, "evaluate", worse)
    earlier = tmp_path / NAME.format("fp32")
    earlier.write_bytes(b"earlier")
    gate = ("--recipe", "fp32", "--max-nme-increase")
    message = refused(call(run_folder, faces, tmp_path, *gate, "0.5"), 1)
    assert "1.000 percentage points" in message and "--max-nme-increase allows 0.5" in message
    assert earlier.read_bytes() == b"earlier"
    assert [path.name for path in tmp_path.glob("*.tflite")] == [earlier.name]
    assert (tmp_path / f"{earlier.name}.rejected").exists()
    assert call(run_folder, faces, tmp_path, *gate, "1.5").exit_code == 0
    assert read_metadata(earlier).recipe == "fp32"


def test_data_with_another_number_of_landmarks_is_refused(
    run_folder: Path, draw_faces: Callable[..., Path], tmp_path: Path
) -> None:
    other = draw_faces(tmp_path / "other", GENERIC_FACE_98, {"train": 8, "val": 4})
    message = refused(call(run_folder, other, tmp_path / "out", "--recipe", "fp32"), 1)
    assert "predicts 68 landmarks" in message and "has 98" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--recipe", "int4"), 2, "'int4' is not one of"),
        (("--recipe", "fp32", "--epochs", "3"), 2, "no use for --epochs"),
        (("--recipe", "fp16", "--calibration-faces", "9"), 2, "no use for --calibration-faces"),
        (("--recipe", "fp32", "--split", "test"), 2, "test split is refused"),
    ],
)
def test_calls_that_make_no_sense_are_refused(
    options: tuple[str, ...], code: int, message: str, run_folder: Path, faces: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert message in refused(call(run_folder, faces, out, *options), code)
    assert not out.exists()


def test_a_folder_that_is_no_run_is_named(faces: Path, tmp_path: Path) -> None:
    message = refused(call(tmp_path, faces, tmp_path / "out", "--recipe", "fp32"), 1)
    assert "got a folder without model.keras" in message


def test_a_damaged_model_is_named(run_folder: Path, faces: Path, tmp_path: Path) -> None:
    broken = tmp_path / "run"
    broken.mkdir()
    for path in run_folder.iterdir():
        content = path.read_bytes()
        half = len(content) // 2 if path.name == "model.keras" else len(content)
        (broken / path.name).write_bytes(content[:half])
    message = refused(call(broken, faces, tmp_path / "out", "--recipe", "fp32"), 1)
    assert "model.keras: not a .keras file, or a truncated one" in message


def test_without_the_extra_the_command_says_what_to_install(
    run_folder: Path, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow_model_optimization", None)
    message = refused(call(run_folder, faces, tmp_path, "--recipe", "fp32"), 1)
    assert install_command("train") in message


def test_a_file_says_how_far_its_landmarks_moved_and_what_went_in(
    run_folder: Path, faces: Path, tmp_path: Path
) -> None:
    options = ("--recipe", "ptq_w8a8", "--calibration-faces", "16", "--json")
    content = json.loads(call(run_folder, faces, tmp_path, *options).stdout)
    drift = content["pixel_drift"]
    assert 0 < drift["p50"] <= drift["p99"] <= drift["largest"] < SIZE
    assert drift["faces"] == 6
    assert content["audit"]["verdicts"]["edgetpu"]["verdict"] == "full"
    metadata = read_metadata(Path(content["file"]))
    assert metadata.runs_on == ("cpu", "edgetpu")
    assert metadata.metrics["validation"]["pixel_drift"] == drift
    assert metadata.source["settings"] == {
        "recipe": "ptq_w8a8",
        "calibration_faces": 16,
        "seed": 0,
    }
    assert metadata.source["packages"]["tensorflow"] == version("tensorflow")


def test_a_drift_beyond_the_gate_names_the_layer_that_costs_most(
    run_folder: Path, faces: Path, tmp_path: Path
) -> None:
    gate = ("--recipe", "ptq_w8a8", "--calibration-faces", "16", "--max-pixel-drift", "0.001")
    message = refused(call(run_folder, faces, tmp_path, *gate), 1)
    assert "--max-pixel-drift allows 0.001" in message
    layer = message.split("--keep-float ")[1].split(")")[0]
    assert layer in rounded_layers(
        deployable(tf_keras.models.load_model(run_folder / "model.keras"))
    )
    assert list(tmp_path.glob("*.tflite")) == []
    assert call(run_folder, faces, tmp_path, *gate[:-1], "50").exit_code == 0


def test_a_layer_kept_float_leaves_the_edge_tpu_to_others(
    run_folder: Path, faces: Path, tmp_path: Path
) -> None:
    """The first projection: what reads it is float, too, up to the next rounded output."""
    options = ("--recipe", "ptq_w8a8", "--calibration-faces", "16", "--keep-float")
    result = call(run_folder, faces, tmp_path, *options, "project", "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["runs_on"] == ["cpu"]
    assert read_metadata(Path(content["file"])).runs_on == ("cpu",)
    assert content["audit"]["verdicts"]["edgetpu"]["verdict"] == "partial"
    assert {f["kind"] for f in content["audit"]["findings"]} >= {"float_island"}
    check = CliRunner().invoke(main, ["check", content["file"], "--target", "edgetpu", "--json"])
    assert json.loads(check.stdout)["verdict"] != "full"
    message = refused(call(run_folder, faces, tmp_path, *options, "projekt"), 2)
    assert "got 'projekt'" in message and "project" in message.split("got 'projekt'")[1]


def test_more_processors_than_a_runtime_takes_threads_cost_no_file(
    run_folder: Path, faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is measured with all threads, after everything else is done."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1000)
    result = call(run_folder, faces, tmp_path, "--recipe", "fp32")
    assert result.exit_code == 0, result.output


def test_other_faces_than_the_runs_are_warned_of(
    run_folder: Path, faces: Path, draw_faces: Callable[..., Path], tmp_path: Path
) -> None:
    """Faces that were trained on may be among those that the gates are measured on."""
    other = draw_faces(tmp_path / "other", GENERIC_FACE_68, {"train": 10, "val": 4})
    warning = "that it was trained on may be among the validation faces"
    result = call(run_folder, other, tmp_path / "out", "--recipe", "fp32")
    assert result.exit_code == 0 and warning in result.stderr
    assert warning not in call(run_folder, faces, tmp_path / "out", "--recipe", "fp32").stderr


@pytest.mark.slow
def test_fine_tuning_may_follow_the_float_model(
    run_folder: Path, faces: Path, tmp_path: Path
) -> None:
    """Towards the labels an untrained network moves far; towards itself it hardly does."""
    options = ("--recipe", "qat_w8a8", "--epochs", "2", "--calibration-faces", "16", "--json")
    options = (*options, "--learning-rate", "0.001")
    moved = [
        json.loads(call(run_folder, faces, tmp_path, *options, *more).stdout)["pixel_drift"]["p50"]
        for more in ((), ("--distil", "1"))
    ]
    assert moved[1] < moved[0] / 2


def test_sensitivity_tells_what_each_layer_costs(
    run_folder: Path, faces: Path, tmp_path: Path
) -> None:
    arguments = ["sensitivity", str(run_folder), "--data", str(faces), "--format", "csv"]
    result = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content == json.loads((tmp_path / "run_sensitivity.json").read_text())
    assert (tmp_path / "run_sensitivity.png").stat().st_size > 1000
    names = [row["layer"] for row in content["layers"]]
    assert names == ["stem", "depthwise", "project", "branch", "add", "late", "late_project",
                     "taps", "landmarks", "pose"]  # fmt: skip
    assert content["float"]["pixel_drift"]["largest"] == 0
    by_name = {row["layer"]: row for row in content["layers"]}
    assert by_name["pose"]["only_int8"]["pixel_drift"]["largest"] == 0  # no landmark reads it
    assert by_name["stem"]["only_int8"]["pixel_drift"]["p50"] > 0
    assert content["int8"]["pixel_drift"]["p50"] > 0


@pytest.mark.slow
def test_the_file_agrees_with_the_model_that_it_was_converted_from(
    run_folder: Path, faces: Path, tmp_path: Path
) -> None:
    """After fine-tuning, from the weights that were kept for it."""
    options = ("--epochs", "1", "--calibration-faces", "16", "--keep-emulated")
    assert call(run_folder, faces, tmp_path, "--recipe", "qat_w8a8", *options).exit_code == 0
    path = tmp_path / NAME.format("qat_w8a8")
    kept = path.with_name(f"{path.name}.emulated.npz")
    arguments = ["parity", str(path), "--data", str(faces), "--format", "csv", "--json"]
    arguments += ["--run", str(run_folder), "--emulated", str(kept)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    rows = {row["kernels"]: row for row in json.loads(result.stdout)["rows"]}
    assert rows["tf_keras emulated"]["agrees"]
    assert rows["tf_keras emulated"]["mean_levels"] < 0.25  # see test_convert
    assert rows["tf_keras float"]["agrees"] is None  # another model: fine-tuning moved it

    kept.write_bytes(kept.read_bytes()[:1000])
    message = refused(CliRunner().invoke(main, arguments), 1)
    assert f"{kept.name}: expected what quantize --keep-emulated wrote" in message
