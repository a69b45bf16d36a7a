"""Geometry of the report's charts. Everything is in percent of a chart's width and height.

The templates draw it, so that every text goes through their escaping. y grows downwards.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asmnet_kit.results.report.text import tick

LOG_RATIO = 8.0  # values that span more than this share a logarithmic axis
WIDEST_RATIO = 1e15  # of a logarithmic axis; measured times never span as much
BINS = 72  # of a latency histogram: a bar is about 2 px wide on a phone
MAX_TICKS = 7
MANTISSAS = (1.0, 2.0, 5.0)  # of round numbers on an axis


@dataclass(frozen=True)
class Axis:
    """A scale from ``low`` to ``high``; ``ticks`` are values."""

    low: float
    high: float
    logarithmic: bool
    ticks: tuple[float, ...]

    @classmethod
    def over(cls, values: Sequence[float], *, pad: float = 0.04) -> "Axis":
        """An axis that holds all values, which are positive, with a margin at both ends.

        Values below the greatest by more than WIDEST_RATIO are drawn at its lower end.
        """
        low, high = min(values), max(values)
        if low > 0 and high / low > LOG_RATIO:
            low = max(low, high / WIDEST_RATIO)
            margin = (high / low) ** pad
            low, high = low / margin, high * margin
            return cls(low, high, True, _thinned(_log_ticks(low, high)))
        margin = pad * (high - low) or 0.05 * abs(high) or 1.0
        low, high = max(0.0, low - margin), high + margin
        return cls(low, high, False, _linear_ticks(low, high))

    def at(self, value: float) -> float:
        """Where a value is, 0..100; values outside are put on the end."""
        if self.logarithmic:
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return round(100 * min(1.0, max(0.0, share)), 2)

    def labels(self) -> list[tuple[float, str]]:
        """Position and text of each tick."""
        return [(self.at(value), tick(value)) for value in self.ticks]


def _round_numbers(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    return [m * 10.0**d for d in decades for m in MANTISSAS if low <= m * 10.0**d <= high]


def _log_ticks(low: float, high: float) -> list[float]:
    ticks = _round_numbers(low, high)
    if len(ticks) <= MAX_TICKS:
        return ticks
    return [t for t in ticks if math.isclose(math.log10(t) % 1, 0, abs_tol=1e-9)] or ticks


def _linear_ticks(low: float, high: float) -> tuple[float, ...]:
    raw = (high - low) / (MAX_TICKS - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (*MANTISSAS, 10.0) if m * power >= raw)
    first = math.ceil(low / step)
    return tuple(n * step for n in range(first, math.floor(high / step) + 1))


def _thinned(ticks: Sequence[float]) -> tuple[float, ...]:
    every = math.ceil(len(ticks) / MAX_TICKS)
    return tuple(ticks[::every])


def histogram_path(samples_ms: Sequence[float], axis: Axis) -> str:
    """An SVG path in a 100 x 100 box: the samples' histogram over an axis, as a stepped area.

    Heights are relative to the fullest bin, by their square root: a single slow run in a thousand
    stays visible.
    """
    values = np.clip(np.asarray(samples_ms, np.float64), axis.low, axis.high)
    if axis.logarithmic:
        shares = np.log(values / axis.low) / math.log(axis.high / axis.low)
    else:
        shares = (values - axis.low) / (axis.high - axis.low)
    counts = np.bincount(np.minimum((shares * BINS).astype(int), BINS - 1), minlength=BINS)
    heights = 100 * np.sqrt(counts / counts.max())
    width = 100 / BINS
    parts = []
    for index in np.flatnonzero(counts):
        left, top = index * width, 100 - heights[index]
        parts.append(f"M{left:.2f} 100V{top:.1f}h{width:.2f}V100z")
    return "".join(parts)


@dataclass(frozen=True)
class Dot:
    """A point of the scatter: percent of the chart, number in the legend, on the front or not."""

    x: float
    y: float
    number: int
    on_front: bool


@dataclass(frozen=True)
class Scatter:
    """Accuracy over latency: down and left is better."""

    dots: tuple[Dot, ...]
    front: str  # SVG path through the points that no other beats in both
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


def scatter(points: Sequence[tuple[float, float]]) -> Scatter:
    """The chart of (latency in ms, NME in percent) pairs."""
    x_axis = Axis.over([x for x, _ in points], pad=0.08)
    y_axis = Axis.over([y for _, y in points], pad=0.12)
    best = pareto_front(points)
    dots = tuple(
        Dot(x_axis.at(x), 100 - y_axis.at(y), number, number - 1 in best)
        for number, (x, y) in enumerate(points, start=1)
    )
    corners = sorted((dot.x, dot.y) for dot in dots if dot.on_front)
    front = "".join(f"{'M' if i == 0 else 'L'}{x} {y}" for i, (x, y) in enumerate(corners))
    return Scatter(
        dots=dots,
        front=front if len(corners) > 1 else "",
        x_ticks=x_axis.labels(),
        y_ticks=[(round(100 - at, 2), text) for at, text in y_axis.labels()],
    )


def pareto_front(points: Sequence[tuple[float, float]]) -> set[int]:
    """Indices of points that no other point equals or beats in both values, smaller being better.

    Equal points are all on the front.
    """
    front: set[int] = set()
    best = math.inf
    for x, y in sorted(set(points)):
        if y < best:
            best = y
            front |= {i for i, point in enumerate(points) if point == (x, y)}
    return front
