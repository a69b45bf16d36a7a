"""Results that the phone app's tests wrote are results of the kit (after ``make android-test``)."""

from pathlib import Path

import pytest

from asmnet_kit.results import load_result

ROOT = Path(__file__).resolve().parents[2]
WRITERS = {
    "core": "the core's JUnit tests",
    "benchmark": "the core's benchmark, run on this machine's JVM",
    "activity": "the benchmark activity under Robolectric",
}


@pytest.mark.parametrize("name", WRITERS)
def test_the_schema_accepts_what_the_app_writes(name: str) -> None:
    path = ROOT / "build" / "android" / "reports" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"{WRITERS[name]} did not run: make android-test")
    result = load_result(path)
    assert result["target"]["requested"].startswith("android:")
    assert result["run_id"]
