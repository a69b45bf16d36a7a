"""``benchmark`` and ``parity`` on data with other landmarks than the model's (``--scheme``)."""

import json
from pathlib import Path

import pytest
from chosen_points import put_seven
from click.testing import CliRunner, Result

from asmnet_kit.cli import main
from asmnet_kit.results.results import load_result
from wording import DETECTOR_BOXES

QUICK = ["--warmup", "1", "--runs", "5", "--seconds", "0"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


@pytest.fixture
def seven(tmp_path: Path) -> Path:
    """Three faces with seven points, in a detector's boxes around all 68; their scheme's file."""
    put_seven(tmp_path)
    return tmp_path


def test_the_benchmark_of_a_68_point_model_is_judged_on_seven(seven: Path, make_tflite) -> None:
    data = ("--data", seven / "data", "--format", "csv", "--scheme", seven / "seven.toml")
    call = ("benchmark", make_tflite(), *QUICK, *data, "--boxes", "detector", "--out", seven / "r")
    done = run(*call, "--max-nme", 0.1)  # the model says the generic face, whatever it is shown
    assert done.exit_code == 0, done.output
    result = load_result(seven / "r/constant_cpu_1t.json")
    accuracy = result["accuracy"]
    assert (accuracy["scheme"], accuracy["faces"], accuracy["boxes"]) == ("seven", 3, "detector")
    assert accuracy["nme_percent"] == pytest.approx(0, abs=0.1)
    assert f"--scheme {seven / 'seven.toml'} {DETECTOR_BOXES}" in result["command"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--scheme", "seven.toml"), DETECTOR_BOXES),
        (("--boxes", "detector"), "try --scheme data/scheme.toml"),
        (("--scheme", "29", "--boxes", "detector"), "29"),
    ],
)
def test_other_landmarks_are_refused_before_anything_is_measured(
    seven: Path, make_tflite, monkeypatch, options, expected
) -> None:
    monkeypatch.chdir(seven)
    (seven / "data/scheme.toml").write_text((seven / "seven.toml").read_text())
    data = ("--data", "data", "--format", "csv", *options)
    done = run("benchmark", make_tflite(), *QUICK, *data, "--out", "r")
    assert done.exit_code in (1, 2) and expected in done.stderr, done.output
    assert not [*seven.glob("r/*")]


@pytest.mark.parametrize("options", [("--scheme", "68"), ("--boxes", "detector")])
def test_what_is_about_data_needs_data(make_tflite, tmp_path: Path, options) -> None:
    done = run("benchmark", make_tflite(), *QUICK, *options, "--out", tmp_path / "r")
    assert done.exit_code == 2 and f"{options[0]} is" in done.stderr


def test_parity_measures_the_kernels_errors_on_seven(seven: Path, make_tflite) -> None:
    data = ("--data", seven / "data", "--format", "csv", "--scheme", seven / "seven.toml")
    done = run("parity", make_tflite(), *data, "--boxes", "detector", "--json")
    assert done.exit_code == 0, done.output
    first = json.loads(done.stdout)["rows"][0]
    assert first["nme_percent"] == pytest.approx(0, abs=0.1)
    refused = run("parity", make_tflite(), *data)
    assert refused.exit_code == 2 and DETECTOR_BOXES in refused.stderr
