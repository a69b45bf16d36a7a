"""The time of each operator, from the runtime's own profiler, and what happens without it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from asmnet_kit.base.errors import MissingDependency
from asmnet_kit.base.own_process import script_command
from asmnet_kit.benchmarks.protocol import Request
from asmnet_kit.benchmarks.runner import benchmark_model
from asmnet_kit.benchmarks.timing import operator_times
from asmnet_kit.benchmarks.timing.litert_library import LibraryError, LiteRt
from asmnet_kit.benchmarks.timing.operator_times import ProfileError, profile_model, summarised
from asmnet_kit.results.results import check_result


def test_each_operator_of_a_real_model_has_a_time(make_tflite):
    entries = profile_model(make_tflite(size=64, int8=True))
    dense = [entry for entry in entries if "Fully Connected" in entry["op"]]
    assert len(dense) == 2
    assert {entry["target"] for entry in entries} == {"xnnpack"}
    assert sum(entry["share"] for entry in entries) == pytest.approx(1, abs=1e-4)


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_the_profiler_has_as_many_threads_as_it_is_told(make_tflite, monkeypatch, tmp_path):
    """The kernels' pool counts the thread that calls it; what else the library starts is alike."""
    script = tmp_path / "python"  # the profiler, which tells of itself before it ends
    script.write_text(
        f"#!{sys.executable}\n"
        "import os, sys\n"
        "from pathlib import Path\n"
        "from asmnet_kit.benchmarks.timing import operator_times as profile\n"
        "sys.argv[:4] = []\n"
        "sys.argv.insert(0, 'profile')\n"
        "here = profile._profile_here\n"
        "def told(*a, **k):\n"
        "    found = here(*a, **k)\n"
        f"    Path({str(tmp_path / 'n')!r}).write_text(str(len(os.listdir('/proc/self/task'))))\n"
        "    return found\n"
        "profile.answer(told)\n"
    )
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    counts = {}
    for threads in (1, 3):
        assert profile_model(make_tflite(size=64), threads=threads)
        counts[threads] = int((tmp_path / "n").read_text())
    assert counts[3] - counts[1] == 2


def test_the_benchmark_keeps_the_profile(make_tflite):
    request = Request(make_tflite(size=64), warmup_runs=1, runs=5, min_seconds=0.0, profile=True)
    result = benchmark_model(request, on_progress=lambda *_: None)
    assert any("Fully Connected" in entry["op"] for entry in result["profile"])
    assert "--profile" in result["command"]
    check_result(result, name="r")


def test_builtin_kernels_are_said_not_to_be_profiled(make_tflite):
    request = Request(
        make_tflite(), warmup_runs=1, runs=5, min_seconds=0.0, profile=True, xnnpack=False
    )
    result = benchmark_model(request, on_progress=lambda *_: None)
    assert result["profile"] is None
    assert any("not profiled" in note for note in result["notes"])


def test_events_are_averaged_without_the_runs_that_were_disturbed():
    events = [("Conv", 8, 0, elapsed) for elapsed in (4, 4, 6, 100_000)]
    events += [("Conv", 8, 1, 10)] * 4
    events += [("Invoke", 1, 0, 999), ("XNNPackDelegate", 2, 0, 999), ("SPLIT", 2, 3, 5)]
    first, second, split = summarised(events, runs=4)
    assert (first["name"], first["microseconds"]) == ("Conv #0", 5)  # the mean of 4 and 6
    assert second["microseconds"] == 10
    assert (split["target"], split["share"]) == ("builtin", 5 / 20)


def test_operators_of_several_parts_of_a_graph_are_told_apart_and_loops_are_added():
    """Two convolutions, each the first of its part, with a CUMSUM that XNNPACK leaves between."""
    one_run = [("Conv", 8, 0, 7), ("CUMSUM", 2, 1, 3), ("Conv", 8, 0, 20), ("ADD", 2, 9, 1)]
    profile = summarised([*one_run, ("ADD", 2, 9, 1)] * 6, runs=6)
    assert [(row["name"], row["microseconds"]) for row in profile] == [
        ("Conv #0 of part 1", 7), ("CUMSUM #1", 3), ("Conv #0 of part 2", 20), ("ADD #9", 2),
    ]  # fmt: skip


def test_another_minor_version_is_not_asked_and_the_profile_says_why(make_tflite, tmp_path):
    """Its structs may have another layout, which no error would show."""
    info = tmp_path / "site" / "ai_edge_litert-9.9.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ai-edge-litert\nVersion: 9.9.9\n")
    script = Path(operator_times.__file__)
    done = subprocess.run(
        script_command(script, str(make_tflite()), "1"),
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    error = json.loads(done.stdout)["error"]
    assert "needs ai-edge-litert 2.3.x, got 9.9.9" in error
    assert "pip install 'ai-edge-litert==2.3.0'" in error


def test_a_missing_function_and_a_failing_call_are_messages():
    litert = LiteRt()
    with pytest.raises(MissingDependency, match=r"has no LiteRtNothing.*Tried with"):
        litert.call("LiteRtNothing")
    with pytest.raises(LibraryError, match="failed with status"):
        litert.handle("LiteRtCreateModelFromFile", None, b"/nowhere.tflite")


@pytest.mark.parametrize("content", [b"", b"text", b"\0" * 200])
def test_what_is_no_model_is_a_message(tmp_path, content):
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    with pytest.raises(ProfileError, match=r"expected a \.tflite"):
        profile_model(path)


def test_a_crash_of_the_profiler_is_a_message(make_tflite, monkeypatch, tmp_path):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nkill -SEGV $$\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    with pytest.raises(ProfileError, match="ended with signal 11"):
        profile_model(make_tflite())
