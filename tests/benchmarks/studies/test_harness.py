"""The comparison with Google's own benchmark."""

import subprocess
from pathlib import Path

import pytest

from asmnet_kit.benchmarks.studies import harness
from asmnet_kit.benchmarks.studies.harness import (
    Round,
    _median,
    compare_harness,
    is_settled,
    rounding,
    spread,
    summary,
)


def test_the_verdict_is_on_the_median_ratio_of_the_rounds():
    rounds = [Round(1.0, 1.0), Round(2.2, 2.0), Round(1.05, 1.0)]
    median, best = summary(rounds)
    assert median == pytest.approx(1.05)
    assert best == pytest.approx(1.0)
    assert spread(rounds) == pytest.approx(0.05)  # quartiles 1.025 and 1.075


def test_a_busy_machine_is_measured_until_the_best_rounds_are_not_alone():
    quiet = [Round(2.0, 2.0), Round(2.02, 2.0), Round(2.0, 2.01)]
    busy = [Round(2.0, 3.1), Round(3.0, 2.0), Round(2.01, 2.9), Round(3.3, 2.01)]
    assert is_settled(quiet)
    assert not is_settled(busy)
    assert is_settled([*busy, Round(2.0, 4.0), Round(3.0, 2.0)])


def test_rounds_end_where_they_must_on_a_machine_that_never_settles(make_tflite, monkeypatch):
    times = iter([1.0, 9.0, 3.0, 7.0, 5.0, 11.0, 2.0, 8.0, 4.0, 13.0])
    monkeypatch.setattr(harness, "_ours", lambda *_: next(times))
    monkeypatch.setattr(harness, "_theirs", lambda *_: next(times))
    assert len(compare_harness(make_tflite(), rounds=2, most_rounds=5)) == 5


def test_their_rounding_to_a_hundredth_counts_most_for_the_quickest_model():
    assert rounding([Round(0.26, 0.25), Round(2.0, 2.0)]) == pytest.approx(0.02)  # 0.005 / 0.25


def test_their_median_is_found_at_any_depth():
    assert _median({"latency": {"avg_ms": 9, "median_ms": 3.5}}) == 3.5
    assert _median({"nothing": [1]}) == 0.0


def test_both_measure_a_real_model_in_the_same_unit(make_tflite):
    """The milliseconds of one would be the other's microseconds times 1000: far beyond noise."""
    (one,) = compare_harness(make_tflite(size=96), rounds=1, most_rounds=1, runs=20)
    assert 1 / 30 < one.ratio < 30


def test_who_begins_changes_from_round_to_round(make_tflite, monkeypatch):
    """Both are asked for the same threads and runs, and their medians are compared."""
    asked = []

    def ours(request, *, on_progress):
        asked.append(("ours", request.threads, request.runs))
        return {"summary": {"p50": 3.0}}

    def theirs(command, **options):
        asked.append(("theirs", *(int(after(command, f"--num_{x}")) for x in ("threads", "runs"))))
        Path(after(command, "--result_json")).write_text('{"latency": {"median_ms": 2.0}}')
        return subprocess.CompletedProcess(command, 0)

    def after(command, option):
        return command[command.index(option) + 1]

    monkeypatch.setattr(harness, "benchmark_model", ours)
    monkeypatch.setattr(harness.subprocess, "run", theirs)
    measured = compare_harness(make_tflite(), threads=2, rounds=3, runs=7)
    assert [name for name, *_ in asked] == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert {tuple(how) for _, *how in asked} == {(2, 7)}
    assert [one.ratio for one in measured] == [1.5, 1.5, 1.5]
