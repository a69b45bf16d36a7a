"""How far two measurements differ by noise alone: what ``compare`` and a report's history go by."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.results.results import PERCENTILES

MAX_SLOWDOWN = 1.10  # new / base, of the judged percentile
MAX_NME_INCREASE = 0.1  # percentage points of NME

CONFIDENCE_Z = 1.96  # two-sided 95 % of a normal distribution
RESAMPLES = 1000
INTERVAL = (2.5, 97.5)  # percent


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
    ratios = after / np.maximum(before, 1e-9)
    low, high = np.percentile(ratios, INTERVAL)
    return float(low), float(high)


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


def intervals(samples_ms: Sequence[float]) -> dict[str, list[float]]:
    """95 % intervals of the percentiles, [low, high] in milliseconds.

    The percentile bootstrap of a sample quantile q has a closed form: its ends are the samples of
    rank n q -+ 1.96 sqrt(n q (1 - q)) (normal approximation of the binomial), so nothing is drawn
    at random. Runs that follow one another are not quite independent: the true interval is wider.
    """
    values = np.sort(np.asarray(samples_ms, np.float64))
    return {name: _interval(values, q / 100) for name, q in PERCENTILES.items()}


def _interval(values: NDArray[np.float64], q: float) -> list[float]:
    n = len(values)
    half = CONFIDENCE_Z * np.sqrt(n * q * (1 - q))
    low = int(np.clip(np.floor(n * q - half), 0, n - 1))
    high = int(np.clip(np.ceil(n * q + half), 0, n - 1))
    return [float(values[low]), float(values[high])]
