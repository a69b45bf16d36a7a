"""Models that say how sure they are and what can be seen: float to int8, with all four outputs."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tf_keras
from click.testing import CliRunner

from asmnet_kit.cli import main
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.measure.face_crops import face_crops
from asmnet_kit.predict.open_predictor import open_predictor
from asmnet_kit.quantize.source.float_model import open_float_model
from asmnet_kit.tflite.metadata import read_metadata
from asmnet_kit.tflite.runtime import open_runtime
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.networks.heads import EXTRA_OUTPUTS

SIZE = 64


@pytest.fixture(scope="module")
def sure_run(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``run_folder`` with two more outputs, whose values are as unlike as logits and logarithms."""
    run = tmp_path_factory.mktemp("sure") / "run"
    shutil.copytree(run_folder, run)
    model = tf_keras.models.load_model(run / "model.keras", compile=False)
    features = model.get_layer("landmarks").input
    outputs = dict(zip(model.output_names, model.outputs, strict=True))
    for name, spread in zip(EXTRA_OUTPUTS, (0.3, 3.0), strict=True):
        outputs[name] = tf_keras.layers.Dense(
            68, name=name, kernel_initializer=tf_keras.initializers.RandomNormal(0, spread, seed=1)
        )(features)
    tf_keras.Model(model.inputs, outputs, name=model.name).save(run / "model.keras")
    config = TrainConfig.load(run / "config.toml")
    values = {**vars(config), "uncertainty": True, "visibility": True, "loss": "smooth_l1"}
    TrainConfig(**values).save(run / "config.toml")
    return run


def run_kit(*words: object) -> str:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stdout


def quantized(run: Path, faces: Path, out: Path, recipe: str, *options: object) -> Path:
    source = ("--data", faces, "--format", "csv", "--out", out, "--calibration-faces", 12)
    run_kit("quantize", run, *source, "--recipe", recipe, *options)
    return out / f"small_68_64_{recipe}.tflite"


def check_file(path: Path, run: Path, faces: Path, *, close: bool) -> None:
    """All outputs are int8 with scales of their own, mapped, and say what the float model says."""
    metadata = read_metadata(path)
    assert metadata.schema_version == 2
    assert set(metadata.outputs) == {"landmarks", "pose", "uncertainty", "visibility"}
    runtime = open_runtime(path)
    assert {info.dtype for info in runtime.outputs.values()} == {np.dtype(np.int8)}
    scales = {name: info.scale for name, info in runtime.outputs.items()}
    assert len(set(scales.values())) == 4
    for target in ("edgetpu", "gpu"):
        checked = json.loads(run_kit("check", path, "--target", target, "--json"))
        assert checked["mapped"] == checked["total"] > 10, checked["first_blocking"]
    crops = face_crops(load_dataset(faces, "csv"), count=6, size=SIZE, scale=1.2).pixels
    real = open_float_model(run, mean=None, scale=None).predictor.predict(crops)
    found = open_predictor(path).predict(crops)
    if close:
        # The logarithms of sigma differ by some steps of their int8 scale.
        steps = np.abs(np.log(found.sigma / real.sigma)) / scales["uncertainty"]
        assert steps.mean() < 8
        assert np.abs(found.visible - real.visible).mean() < 0.1
    assert np.isfinite(found.sigma).all()


def test_all_outputs_are_int8_and_say_what_the_float_model_says(
    sure_run: Path, faces: Path, tmp_path: Path
) -> None:
    path = quantized(sure_run, faces, tmp_path, "ptq_w8a8")
    check_file(path, sure_run, faces, close=True)
    measured = json.loads(run_kit("evaluate", path, "--data", faces, "--format", "csv", "--json"))
    assert measured["uncertainty"]["points"] == 18 * 68
    assert measured["visibility"] is None  # these faces know nothing of it


@pytest.mark.slow
def test_fine_tuning_knows_the_extra_outputs_and_can_follow_the_float_models(
    sure_run: Path, faces: Path, tmp_path: Path
) -> None:
    options = ("--epochs", 1, "--distil", 0.5)
    path = quantized(sure_run, faces, tmp_path, "qat_w8a8", *options)
    check_file(path, sure_run, faces, close=False)


def test_a_keras_file_of_its_own_keeps_the_names_of_its_extra_outputs(
    sure_run: Path, faces: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.keras"
    shutil.copy(sure_run / "model.keras", own)
    model = open_float_model(own, mean=None, scale=None).model
    assert set(model.output_names) == {"landmarks", "pose", "uncertainty", "visibility"}
