"""Results that the phone app's tests wrote are results of the kit (after ``make android-test``)."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from asmnet_kit.cli import main
from asmnet_kit.results.results import load_result
from asmnet_kit.tflite.tensorfile import read_tensors

ROOT = Path(__file__).resolve().parents[2]
REPORTS = ROOT / "build" / "android" / "reports"
WRITERS = {
    "core": "the core's JUnit tests",
    "benchmark": "the core's benchmark, run on this machine's JVM",
    "activity": "the benchmark activity under Robolectric",
    "not-finite": "the core's JUnit tests",
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_schema_accepts_what_the_app_writes(name: str) -> None:
    path = REPORTS / f"{name}.json"
    if not path.exists():
        pytest.skip(f"{WRITERS[name]} did not run: make android-test")
    result = load_result(path)
    assert result["target"]["requested"].startswith("android:")
    assert result["run_id"]


@pytest.mark.parametrize("name", ["comparison", "shared"])
def test_what_a_phone_shares_makes_a_report(name: str, tmp_path: Path) -> None:
    """``comparison``: of the core; ``shared``: by the buttons of the app's screen."""
    path = REPORTS / f"{name}.zip"
    if not path.exists():
        pytest.skip("the app's tests did not run: make android-test")
    out = tmp_path / "report.html"
    done = CliRunner().invoke(main, ["report", str(path), "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "android:gpu" in out.read_text(encoding="utf-8")


def test_the_outputs_that_the_apps_benchmark_writes_are_read() -> None:
    path = REPORTS / "outputs.tensors"
    if not path.exists():
        pytest.skip("the core's benchmark did not run on this machine's JVM: make android-test")
    outputs = read_tensors(path)
    assert {name: values.shape for name, values in outputs.items()} == {
        "landmarks": (8, 1, 136),
        "pose": (8, 1, 3),
        "uncertainty": (8, 1, 68),
        "visibility": (8, 1, 68),
    }
    assert len({values.tobytes() for values in outputs["landmarks"]}) == 8  # of eight crops
