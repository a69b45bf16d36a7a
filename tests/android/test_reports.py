"""Results that the phone app's tests wrote are results of the kit (after ``make android-test``)."""

from pathlib import Path

import pytest

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


def test_the_outputs_that_the_apps_benchmark_writes_are_read() -> None:
    path = REPORTS / "outputs.tensors"
    if not path.exists():
        pytest.skip("the core's benchmark did not run on this machine's JVM: make android-test")
    outputs = read_tensors(path)
    assert {name: values.shape for name, values in outputs.items()} == {
        "landmarks": (8, 1, 136),
        "pose": (8, 1, 3),
    }
    assert len({values.tobytes() for values in outputs["landmarks"]}) == 8  # of eight crops
