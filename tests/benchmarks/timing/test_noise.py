"""What a list of latencies says."""

import numpy as np
import pytest

from asmnet_kit.benchmarks.timing.noise import instability, steady
from asmnet_kit.results.noise import intervals
from asmnet_kit.results.results import summarise


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
    assert intervals([4.0])["p50"] == [4.0, 4.0]


def test_the_interval_of_the_median_has_the_ranks_of_the_binomial():
    # 100 samples 0..99: ranks 50 -+ 1.96 x sqrt(25) = 40.2 and 59.8, outwards to whole ranks.
    assert intervals([float(v) for v in range(100)])["p50"] == [40.0, 60.0]


def test_the_interval_holds_the_true_median_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        low, high = intervals(rng.exponential(1.0, 101).tolist())["p50"]
        hits += low <= np.log(2) <= high
    # 95 % of 400 is 380; four standard deviations are 4 x sqrt(400 x 0.05 x 0.95) = 17.
    assert hits >= 380 - 17


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
