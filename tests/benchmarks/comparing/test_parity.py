"""Every kernel on the same file: what agrees, what differs, what is missing."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import made_models
from asmnet_kit.benchmarks.comparing import parity as parity_module
from asmnet_kit.benchmarks.comparing import parity_worker
from asmnet_kit.benchmarks.comparing.parity import compare_kernels
from asmnet_kit.benchmarks.targets.gpu import GPU
from asmnet_kit.cli import main
from asmnet_kit.face.schemes import scheme_of
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.measure.face_crops import FaceCrops


def faces(count: int = 2) -> FaceCrops:
    """The generic face as truth, which the constant model predicts for every crop."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)
    truth = np.stack([generic_reference(68)] * count).astype(np.float32)
    return FaceCrops(pixels, truth, scheme_of(68))


def call(model: Path, data: Path, *options: str) -> Result:
    arguments = ["parity", str(model), "--data", str(data), "--format", "300w"]
    return CliRunner().invoke(main, [*arguments, *options])


@pytest.mark.parametrize("int8", [True, False])
def test_the_kernels_of_one_runtime_agree(make_tflite: Callable[..., Path], int8: bool) -> None:
    outcome = compare_kernels(make_tflite(int8=int8), faces())
    rows = {row.kernels: row for row in outcome.rows}
    for name in ("xnnpack", "builtin", "reference"):
        assert rows[name].agrees, rows[name]
        # Rounded to levels of 1/256 of the side, at 32 pixels: half a level is 0.06 pixels.
        assert rows[name].max_px == pytest.approx(0, abs=32 / 256)
        assert rows[name].nme_percent == pytest.approx(0, abs=1.0)
    assert rows["xnnpack"].max_levels == (0.0 if int8 else None)
    assert outcome.tolerance_mean_px == pytest.approx(32 / 256 if int8 else 0.032)


def test_the_other_outputs_are_compared_too(
    make_tflite: Callable[..., Path],
    make_pts_faces: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_tflite(sure=True, int8=True)
    rows = {row.kernels: row for row in compare_kernels(model, faces()).rows}
    for name in ("xnnpack", "builtin", "reference"):
        assert rows[name].agrees, rows[name]
        assert set(rows[name].outputs) == {"pose", "uncertainty", "visibility"}
        assert all(found["max"] <= 1 for found in rows[name].outputs.values())
    assert rows["xnnpack"].outputs["uncertainty"] == {"mean": 0.0, "max": 0.0}

    def wrong(self: Any, name: str, raw: Any) -> dict[str, float]:
        return {"mean": 5.0 if name == "uncertainty" else 0.0, "max": 20.0}

    monkeypatch.setattr(parity_module._Comparison, "_difference", wrong)
    result = call(model, make_pts_faces())
    assert result.exit_code == 1
    assert "the output uncertainty differs by 5.00 levels" in " ".join(result.output.split())


def test_another_output_that_is_not_finite_is_no_agreement(
    make_tflite: Callable[..., Path],
    make_pts_faces: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(made_models, "POINT_UNCERTAINTY", np.full(98, np.nan))
    model = make_tflite(sure=True)
    result = call(model, make_pts_faces())
    assert result.exit_code == 1
    assert "its output uncertainty is NaN or infinity" in " ".join(result.output.split())


def test_what_cannot_run_says_what_is_missing(make_tflite: Callable[..., Path]) -> None:
    rows = {row.kernels: row for row in compare_kernels(make_tflite(), faces(1)).rows}
    assert "pip install 'tflite-runtime==2.14.0' 'numpy<2'" in rows["tflite-runtime"].problem
    assert rows["tf_keras float"].problem == "give --run RUN"
    without = compare_kernels(make_tflite(), faces(1), tflite_runtime=Path(sys.executable))
    problem = next(row.problem for row in without.rows if row.kernels == "tflite-runtime")
    assert "no tflite-runtime there" in problem


SHADOWS = ("statistics.py", "profile.py", "numbers.py", "random.py", "inspect.py")


def put_shadows(folder: Path) -> None:
    """Files of anybody's, called as modules of the standard library that NumPy imports."""
    for name in SHADOWS:
        (folder / name).write_text(f"raise SystemExit('the {name} beside it was imported')\n")


def test_no_file_beside_the_worker_or_in_the_current_folder_takes_the_place_of_a_module(
    make_tflite: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    beside = tmp_path / "beside"
    beside.mkdir()
    copied = Path(shutil.copy(parity_worker.__file__, beside))
    put_shadows(beside)
    put_shadows(tmp_path)
    monkeypatch.setattr(parity_worker, "__file__", str(copied))
    monkeypatch.chdir(tmp_path)
    rows = {row.kernels: row for row in compare_kernels(make_tflite(), faces(1)).rows}
    assert [rows[name].problem for name in ("xnnpack", "builtin", "reference")] == [""] * 3


def test_the_gpu_runs_or_says_why_not(make_tflite: Callable[..., Path]) -> None:
    row = next(r for r in compare_kernels(make_tflite(), faces(1)).rows if r.kernels == "gpu")
    missing = GPU.problem()
    if missing is None:
        assert row.agrees, row
    else:
        assert row.problem, row


def test_the_command_fails_when_a_kernel_differs_beyond_rounding(
    make_tflite: Callable[..., Path],
    make_pts_faces: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, data = make_tflite(int8=True), make_pts_faces()
    result = call(model, data, "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert (content["schema_version"], content["kind"], content["faces"]) == (1, "parity", 3)
    assert content["output_scale"] == 1 / 256
    assert "agrees" in call(model, data).stdout
    monkeypatch.setattr(parity_module, "MEAN_LEVELS", -1.0)
    result = call(model, data)
    assert result.exit_code == 1 and "rounding explains" in " ".join(result.output.split())


def test_a_model_of_other_landmarks_is_refused(
    make_tflite: Callable[..., Path], make_pts_faces: Callable[[], Path]
) -> None:
    result = call(make_tflite(points=98), make_pts_faces())
    assert result.exit_code == 1 and "predicts 98 landmarks" in " ".join(result.output.split())
