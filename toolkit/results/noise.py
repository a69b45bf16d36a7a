"""How far two measurements differ by noise alone: what ``compare`` and a report's history go by."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.results.results import PERCENTILES

MAX_SLOWDOWN = 1.10  # new / base, of the judged percentile
MAX_NME_INCREASE = 0.1  # percentage points of NME

CONFIDENCE_Z = 1.96  # two-sided 95 % of a normal distribution
RESAMPLES = 1000
INTERVAL = (2.5, 97.5)  # percent
TAIL = 0.025  # what may lie beyond either end of a 95 % interval


def ratio_interval(
    base: Sequence[Sequence[float]],
    new: Sequence[Sequence[float]],
    rng: np.random.Generator,
    *,
    percentile: float = 50.0,
) -> tuple[float, float]:
    """95 % interval of the ratio new / base of a percentile, by default the median.

    By a bootstrap of blocks and measurements.

    Runs that follow one another are alike, so blocks of about sqrt(n) runs are drawn, not single
    ones (Kuensch 1989). Where there are several measurements, these are drawn first.
    """
    before, after = (_resampled(side, rng, percentile) for side in (base, new))
    step = clock_step(*base, *new)
    ratios = np.maximum(after, step) / np.maximum(before, step)
    low, high = np.percentile(ratios, INTERVAL)
    return float(low), float(high)


def clock_step(*samples_ms: Sequence[float]) -> float:
    """The shortest time above 0 among samples: what a 0 of a coarse clock may be at most."""
    values = np.concatenate([np.asarray(samples, np.float64) for samples in samples_ms])
    return float(values[values > 0].min(initial=np.inf)) if (values > 0).any() else 1.0


def _resampled(
    measurements: Sequence[Sequence[float]], rng: np.random.Generator, percentile: float
) -> NDArray[np.float64]:
    """The percentile of ``RESAMPLES`` drawn sets of runs."""
    arrays = [np.asarray(m, np.float64) for m in measurements]
    found = np.empty(RESAMPLES)
    for index in range(RESAMPLES):
        chosen = rng.integers(len(arrays), size=len(arrays))
        drawn = [_blocks(arrays[i], rng) for i in chosen]
        found[index] = np.percentile(np.concatenate(drawn), percentile)
    return found


def _blocks(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """As many values as there are, drawn in blocks; the end continues at the beginning."""
    size = max(1, round(len(values) ** 0.5))
    starts = rng.integers(len(values), size=-(-len(values) // size))
    indices = (starts[:, None] + np.arange(size)) % len(values)
    drawn: NDArray[np.float64] = values[indices.ravel()[: len(values)]]
    return drawn


def intervals(samples_ms: Sequence[float]) -> dict[str, list[float] | None]:
    """95 % intervals of the percentiles, [low, high] in milliseconds; None of too few runs.

    The ends are samples whose ranks the binomial distribution gives, so they hold whatever the
    distribution of the times is (David and Nagaraja, Order Statistics, 2003, section 7.1). Runs
    that follow one another are not quite independent: the true interval is wider.
    """
    values = np.sort(np.asarray(samples_ms, np.float64))
    return {name: _interval(values, percent) for name, percent in PERCENTILES.items()}


def median_interval(samples_ms: Sequence[float]) -> tuple[float, float] | None:
    """The interval of the median alone; None of too few runs."""
    found = _interval(np.sort(np.asarray(samples_ms, np.float64)), PERCENTILES["p50"])
    return None if found is None else (found[0], found[1])


def runs_needed(percent: float) -> int:
    """The fewest runs of which a percentile has an interval: 6 of p50, 36 of p90, 368 of p99."""
    rarest = max(percent, 100 - percent) / 100
    return math.ceil(math.log(TAIL) / math.log(rarest))


def too_few_runs(runs: int) -> str | None:
    """Which percentiles have no interval, in a sentence; None where all have one."""
    needed = {name: runs_needed(percent) for name, percent in PERCENTILES.items()}
    short = [f"{name} needs {least}" for name, least in needed.items() if runs < least]
    return f"not enough runs for an interval: {', '.join(short)}, got {runs}" if short else None


def _interval(values: NDArray[np.float64], percent: float) -> list[float] | None:
    found = _ranks(len(values), percent)
    return None if found is None else [float(values[rank]) for rank in found]


@cache
def _ranks(runs: int, percent: float) -> tuple[int, int] | None:
    """The ranks, from 0, of the samples between which a percentile lies in 95 % of cases.

    The number of runs below the percentile is binomial, so it is less than the lower rank plus one
    with a probability of at most ``TAIL``, and so on at the other end. None where even the smallest
    or the largest sample is not far enough.
    """
    q = percent / 100
    below = np.arange(1, runs + 1)
    # Logarithms of the binomial's probabilities, each from the one before; small ones vanish.
    steps = np.log((runs + 1 - below) / below * (q / (1 - q)))
    logs = np.concatenate([[0.0], np.cumsum(steps)])
    shares = np.exp(logs - logs.max())
    shares /= shares.sum()
    low = int(np.searchsorted(np.cumsum(shares), TAIL, side="right")) - 1
    high = runs - int(np.searchsorted(np.cumsum(shares[::-1]), TAIL, side="right"))
    return (low, high) if low >= 0 and high < runs else None
