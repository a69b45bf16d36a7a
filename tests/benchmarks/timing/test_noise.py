"""What a list of latencies says."""

import numpy as np
import pytest

from asmnet_kit.benchmarks.timing.noise import instability, steady
from asmnet_kit.results.noise import intervals, runs_needed, too_few_runs
from asmnet_kit.results.results import PERCENTILES, summarise


def test_the_summary_of_eleven_known_samples():
    summary = summarise([float(v) for v in range(10, 21)])  # 10, 11 ... 20 ms
    assert summary["min"] == 10
    assert summary["p50"] == 15
    assert summary["p90"] == 19
    # Rank 0.99 x 10 = 9.9 lies between the samples 19 and 20.
    assert summary["p99"] == pytest.approx(19.9)
    assert summary["mean"] == 15
    assert summary["std"] == pytest.approx(np.sqrt(10))  # (2 x (1 + 4 + 9 + 16 + 25)) / 11
    assert summary["runs_per_second"] == pytest.approx(1000 / 15)


def test_one_sample_is_its_own_summary():
    summary = summarise([4.0])
    assert {summary[k] for k in ("min", "p50", "p90", "p99", "mean")} == {4.0}
    assert intervals([4.0]) == {"p50": None, "p90": None, "p99": None}


def test_the_ends_of_an_interval_are_the_samples_of_the_binomials_ranks():
    # Fewer than 2 of 10 runs below the median: (1 + 10) / 1024 = 1.1 %; fewer than 3: 5.5 %.
    assert intervals([float(v) for v in range(1, 11)])["p50"] == [2.0, 9.0]
    # All of 36 runs below p90: 0.9^36 = 2.25 %, which is at most 2.5 %; 0.9^35 = 2.50 % is not.
    assert intervals([float(v) for v in range(1, 37)])["p90"] == [29.0, 36.0]
    assert intervals([float(v) for v in range(1, 36)])["p90"] is None


def test_too_few_runs_are_told_with_the_number_that_it_takes():
    assert [runs_needed(percent) for percent in (50, 90, 99)] == [6, 36, 368]
    assert too_few_runs(100) == "not enough runs for an interval: p99 needs 368, got 100"
    assert too_few_runs(368) is None


@pytest.mark.parametrize("runs", [10, 30, 100, 1000])
def test_an_interval_holds_the_true_percentile_as_often_as_it_says(runs):
    """Of times as skewed as real ones; where there are too few runs, there is no interval."""
    trials = 2000
    rng = np.random.default_rng(runs)
    found = [intervals(rng.exponential(1.0, runs).tolist()) for _ in range(trials)]
    for name, percent in PERCENTILES.items():
        true = -np.log(1 - percent / 100)
        told = [ends[name] for ends in found]
        if runs < runs_needed(percent):
            assert told == [None] * trials
            continue
        held = np.mean([low <= true <= high for low, high in told])
        # Four standard deviations of 2,000 trials: 4 x sqrt(0.95 x 0.05 / 2000) = 0.019. Ranks are
        # whole numbers, so few runs hold more often: the median of 10 in 97.9 % of cases.
        assert 0.95 - 0.019 < held < 0.99, name


def test_the_warm_up_goes_on_until_two_medians_agree():
    assert steady([1.0] * 20)
    assert not steady([2.0] * 10 + [1.0] * 10)
    assert steady([9.0] * 30 + [1.0] * 20)


def test_steady_samples_are_not_called_unstable():
    assert instability([1.0, 1.01, 0.99] * 20) == []


def test_a_long_tail_is_called_unstable():
    (reason,) = instability([1.0] * 40 + [2.0] * 20)[:1]
    assert reason.startswith("unstable: p90 is 100 % above p50")


def test_a_slow_change_is_called_drift():
    reasons = instability(np.linspace(1.0, 1.2, 90).tolist())
    assert any(reason.startswith("drifting") and "+1" in reason for reason in reasons)
