"""The comparison with Google's own benchmark."""

import pytest

from asmnet_kit.benchmarks.studies.harness import Round, _median, compare_harness, spread, summary


def test_the_verdict_is_on_the_median_ratio_of_the_rounds():
    rounds = [Round(1.0, 1.0), Round(2.2, 2.0), Round(1.05, 1.0)]
    median, best = summary(rounds)
    assert median == pytest.approx(1.05)
    assert best == pytest.approx(1.0)
    assert spread(rounds) == pytest.approx(0.05)  # quartiles 1.025 and 1.075


def test_their_median_is_found_at_any_depth():
    assert _median({"latency": {"avg_ms": 9, "median_ms": 3.5}}) == 3.5
    assert _median({"nothing": [1]}) == 0.0


def test_both_measure_a_real_model(make_tflite):
    (one,) = compare_harness(make_tflite(size=96), rounds=1, runs=20)
    assert one.ours > 0
    assert one.theirs > 0
