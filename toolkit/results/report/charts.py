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
# What a scatter's axis spans at least: times the widest interval, and a share of the middle.
LEAST_INTERVALS, LEAST_SHARE = 4.0, 0.25
TONES = 8  # colours of lines; a plot with more lines repeats them


@dataclass(frozen=True)
class Axis:
    """A scale from ``low`` to ``high``; ``ticks`` are values."""

    low: float
    high: float
    logarithmic: bool
    ticks: tuple[float, ...]

    @classmethod
    def over(cls, values: Sequence[float], *, pad: float = 0.04, least: float = 0.0) -> "Axis":
        """An axis that holds all values, which are positive, with a margin at both ends.

        Values below the greatest by more than WIDEST_RATIO are drawn at its lower end.

        Args:
            least: a linear axis spans at least this, so that noise does not look like a difference;
                on a logarithmic one the values differ by more.
        """
        low, high = min(values), max(values)
        if low > 0 and high / low > LOG_RATIO:
            low = max(low, high / WIDEST_RATIO)
            margin = (high / low) ** pad
            low, high = low / margin, high * margin
            return cls(low, high, True, _thinned(_log_ticks(low, high)))
        missing = max(0.0, least - (high - low)) / 2
        low, high = low - missing, high + missing
        if low < 0:
            low, high = 0.0, high - low
        margin = pad * (high - low) or 0.05 * abs(high) or 1.0
        low, high = max(0.0, low - margin), high + margin
        return cls(low, high, False, _linear_ticks(low, high))

    @classmethod
    def from_zero(cls, values: Sequence[float]) -> "Axis":
        """A linear axis from 0 that holds all values."""
        high = 1.04 * max(max(values, default=0.0), 1e-5)
        return cls(0.0, high, False, _linear_ticks(0.0, high))

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
    decades = [t for t in ticks if math.isclose(math.log10(t) % 1, 0, abs_tol=1e-9)]
    if len(decades) > 2:
        return decades
    return [t for t in ticks if not math.isclose(math.log10(t / 2) % 1, 0, abs_tol=1e-9)] or ticks


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
class Measured:
    """A figure and its 95 % interval; None where the result has none."""

    value: float
    ends: tuple[float, float] | None = None

    @property
    def low(self) -> float:
        return self.ends[0] if self.ends else self.value

    @property
    def high(self) -> float:
        return self.ends[1] if self.ends else self.value


FRONT, CLOSE, BEATEN = "front", "close", "beaten"


@dataclass(frozen=True)
class Dot:
    """A point of the scatter: percent of the chart, number in the legend, standing.

    Attributes:
        x_ends, y_ends: of its interval; both alike where there is none.
        standing: on the front; beaten, but by no more than noise (``close``); or beaten.
    """

    x: float
    y: float
    x_ends: tuple[float, float]
    y_ends: tuple[float, float]
    number: int
    standing: str

    @property
    def on_front(self) -> bool:
        return self.standing == FRONT


@dataclass(frozen=True)
class Scatter:
    """Accuracy over latency: down and left is better."""

    dots: tuple[Dot, ...]
    front: str  # SVG path through the points that no other beats in both
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


def scatter(points: Sequence[tuple[Measured, Measured]]) -> Scatter:
    """The chart of (latency in ms, NME in percent) pairs."""
    x_axis = _axis_of([x for x, _ in points], pad=0.08)
    y_axis = _axis_of([y for _, y in points], pad=0.12)
    dots = tuple(
        Dot(
            x=x_axis.at(x.value),
            y=_flipped(y_axis.at(y.value)),
            x_ends=(x_axis.at(x.low), x_axis.at(x.high)),
            y_ends=(_flipped(y_axis.at(y.high)), _flipped(y_axis.at(y.low))),
            number=number,
            standing=standing,
        )
        for number, ((x, y), standing) in enumerate(
            zip(points, standings(points), strict=True), start=1
        )
    )
    corners = sorted((dot.x, dot.y) for dot in dots if dot.on_front)
    return Scatter(
        dots=dots,
        front=_polyline(corners) if len(corners) > 1 else "",
        x_ticks=x_axis.labels(),
        y_ticks=[(_flipped(at), text) for at, text in y_axis.labels()],
    )


def _axis_of(figures: Sequence[Measured], *, pad: float) -> Axis:
    """An axis on which the widest interval takes a quarter at most, and a percent looks small."""
    widest = max(figure.high - figure.low for figure in figures)
    middle = float(np.median([figure.value for figure in figures]))
    ends = [end for figure in figures for end in (figure.low, figure.high)]
    least = max(LEAST_INTERVALS * widest, LEAST_SHARE * middle)
    return Axis.over([max(end, 1e-5) for end in ends], pad=pad, least=least)


def _flipped(at: float) -> float:
    """From the bottom to from the top."""
    return round(100 - at, 2)


def _polyline(points: Sequence[tuple[float, float]]) -> str:
    return "".join(f"{'M' if i == 0 else 'L'}{x:g} {y:g}" for i, (x, y) in enumerate(points))


def standings(points: Sequence[tuple[Measured, Measured]]) -> list[str]:
    """For each point FRONT, CLOSE or BEATEN; smaller is better in both figures.

    Beaten: another is no worse in both, and in one of them their intervals lie apart. A point that
    another beats, but by less than the intervals hold, is close. A latency without an interval is
    of too few runs to lie apart from another; an error without one is as it was recorded, and every
    difference counts.
    """
    front = pareto_front([(x.value, y.value) for x, y in points])
    return [
        FRONT if i in front else BEATEN if any(_beats(other, point) for other in points) else CLOSE
        for i, point in enumerate(points)
    ]


def _beats(first: tuple[Measured, Measured], second: tuple[Measured, Measured]) -> bool:
    (x, y), (other_x, other_y) = first, second
    quicker = bool(x.ends and other_x.ends) and x.high < other_x.low
    no_worse = x.value <= other_x.value and y.value <= other_y.value
    return no_worse and (quicker or y.high < other_y.low)


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


@dataclass(frozen=True)
class Series:
    """Values to be drawn as a line.

    Attributes:
        points: (x, y), x ascending; a None among the y breaks the line.
        ends: of the y, None where unknown.
    """

    name: str
    points: Sequence[tuple[float, float | None]]
    tone: int = 0
    dashed: bool = False
    ends: Sequence[tuple[float, float] | None] = ()


@dataclass(frozen=True)
class Line:
    """A series in percent of a plot: ``path``; ``bars`` are intervals (x, top, bottom)."""

    name: str
    path: str
    tone: int
    dashed: bool
    bars: tuple[tuple[float, float, float], ...]
    dots: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Plot:
    """Lines over two axes."""

    x_name: str
    y_name: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    lines: tuple[Line, ...]


def line_plot(
    series: Sequence[Series],
    *,
    x_name: str,
    y_name: str,
    x_axis: Axis | None = None,
    y_axis: Axis | None = None,
    dots: bool = False,
) -> Plot:
    """A plot of lines; by default both axes begin at 0, so that a percent looks like one.

    Args:
        dots: mark each value.
    """
    ys = [y for line in series for _, y in line.points if y is not None]
    ys += [end for line in series for ends in line.ends if ends for end in ends]
    x_axis = x_axis or Axis.from_zero([x for line in series for x, _ in line.points])
    y_axis = y_axis or Axis.from_zero(ys)
    return Plot(
        x_name=x_name,
        y_name=y_name,
        x_ticks=x_axis.labels(),
        y_ticks=[(_flipped(at), text) for at, text in y_axis.labels()],
        lines=tuple(_line(line, x_axis, y_axis, dots=dots) for line in series),
    )


def _line(series: Series, x_axis: Axis, y_axis: Axis, *, dots: bool) -> Line:
    path, begun, marks = [], False, []
    for x, y in series.points:
        if y is None:
            begun = False
            continue
        at = (x_axis.at(x), _flipped(y_axis.at(y)))
        marks.append(at)
        path.append(f"{'L' if begun else 'M'}{at[0]:g} {at[1]:g}")
        begun = True
    bars = [
        (x_axis.at(x), _flipped(y_axis.at(ends[1])), _flipped(y_axis.at(ends[0])))
        for (x, _), ends in zip(series.points, series.ends, strict=False)
        if ends
    ]
    return Line(
        name=series.name,
        path="".join(path),
        tone=series.tone % TONES,
        dashed=series.dashed,
        bars=tuple(bars),
        dots=tuple(marks) if dots else (),
    )
