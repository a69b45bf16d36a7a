"""How a model's figures went over time, and when they changed by more than noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np

from asmnet_kit.results.noise import MAX_NME_INCREASE, MAX_SLOWDOWN, clock_step, ratio_interval
from asmnet_kit.results.report import text
from asmnet_kit.results.report.charts import Axis, Plot, Series, line_plot
from asmnet_kit.results.report.rows import Row
from asmnet_kit.results.results import unlike_faces

MOST_POOLED = 8  # measurements of a stretch that a new one is held against, the first ones
DAY_S = 86400.0
# Facts that may explain a change: what they are called, and where a result has them.
EXPLANATIONS = {
    "another model file": ("model", "sha256"),
    "runtime": ("runtime", "version"),
    "kernels": ("runtime", "kernels"),
    "kit": ("kit_version", None),
    "system": ("machine", "os"),
    "kernel": ("machine", "kernel"),
    "libc": ("machine", "libc"),
    "Python": ("machine", "python"),
    "build": ("machine", "build"),
    "governor": ("machine", "governor"),
    "container": ("machine", "container"),
}


@dataclass(frozen=True)
class Change:
    """A change point: when, what changed in words, and whether it is for the worse."""

    when: str
    message: str
    worse: bool
    at: float  # percent of the plot's width


@dataclass(frozen=True)
class Past:
    """One model on one device over time, the oldest result first."""

    label: str
    count: int
    first: str
    last: str
    plot: Plot
    changes: list[Change]


def history_of(rows: Sequence[Row], *, seed: int = 0) -> list[Past]:
    """A line for each model name on each device that was measured twice or more.

    A change point is what ``compare`` would fail: the whole 95 % interval of the ratio of medians
    is beyond its limit, for the worse or the better, against the first measurements since the
    speed's last change point; or the NME moved by more than its limit since the first measurement
    after its own, on the same faces. The first ones, for what gets worse a little each time is
    never far from the last ones.

    Args:
        rows: that compete.
        seed: of the bootstrap.
    """
    lines: dict[str, list[Row]] = {}
    for row in sorted(rows, key=_seconds):
        lines.setdefault(row.label, []).append(row)
    rng = np.random.default_rng(seed)
    return [_past(label, line, rng) for label, line in lines.items() if len(line) > 1]


def _seconds(row: Row) -> float:
    """Since 1970; a result that does not say when it was measured is the oldest."""
    try:
        when = datetime.fromisoformat(str(row.result.get("measured_at", "")).replace("Z", "+00:00"))
    except ValueError:
        return 0.0
    return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()


def _past(label: str, rows: Sequence[Row], rng: np.random.Generator) -> Past:
    times = [_seconds(row) for row in rows]
    days = [(second - times[0]) / DAY_S for second in times]
    x_name = "days since the first"
    if len(set(days)) < len(days):  # several at one moment: draw them one after the other
        days, x_name = [float(number) for number in range(len(rows))], "measurements"
    x_axis = Axis.from_zero(days)
    series = Series(
        name=label,
        points=[(day, row.p50) for day, row in zip(days, rows, strict=True)],
        ends=[row.ends("p50") for row in rows],
    )
    plot = line_plot([series], x_name=x_name, y_name="p50, ms", x_axis=x_axis, dots=True)
    changes = [
        Change(_day(rows[index]), message, worse, x_axis.at(days[index]))
        for index, message, worse in change_points(rows, rng)
    ]
    return Past(label, len(rows), _day(rows[0]), _day(rows[-1]), plot, changes)


def _day(row: Row) -> str:
    return str(row.result.get("measured_at", "undated"))[:10]


def change_points(rows: Sequence[Row], rng: np.random.Generator) -> list[tuple[int, str, bool]]:
    """Where a line of results changed by more than noise: index, what changed, for the worse.

    Args:
        rows: of one model on one device, the oldest first.
    """
    found: list[tuple[int, str, bool]] = []
    speeds, errors = [rows[0]], [rows[0]]  # since the last change point of either
    for index, row in enumerate(rows[1:], start=1):
        speed, error = _speed_change(speeds, row, rng), _error_change(errors, row)
        speeds = [row] if speed else [*speeds, row]
        errors = [row] if error else [*errors, row]
        told = [change for change in (speed, error) if change]
        if told:
            why = _explained(rows[index - 1], row)
            message = "; ".join(sentence for sentence, _ in told) + (f" ({why})" if why else "")
            found.append((index, message, any(worse for _, worse in told)))
    return found


def _speed_change(
    stretch: Sequence[Row], row: Row, rng: np.random.Generator
) -> tuple[str, bool] | None:
    earlier = [one.result["timings_ms"]["invoke"] for one in stretch[:MOST_POOLED]]
    base = float(np.median(np.concatenate(earlier)))
    step = clock_step(*earlier, row.result["timings_ms"]["invoke"])
    ratio = max(row.p50, step) / max(base, step)
    if 1 / MAX_SLOWDOWN <= ratio <= MAX_SLOWDOWN:
        return None  # inside the limits, and inside its own interval: no resampling needed
    low, high = ratio_interval(earlier, [row.result["timings_ms"]["invoke"]], rng)
    if low <= MAX_SLOWDOWN and high >= 1 / MAX_SLOWDOWN:
        return None
    return (
        f"p50 {text.milliseconds(base)} → {text.milliseconds(row.p50)} ms, x{ratio:.2f} "
        f"(95 %: {low:.2f} to {high:.2f})",
        ratio > 1,
    )


def _error_change(stretch: Sequence[Row], row: Row) -> tuple[str, bool] | None:
    if row.nme is None:
        return None
    before = next((one for one in stretch if one.nme is not None and _alike(one, row)), None)
    if before is None or before.nme is None:
        return None
    if abs(row.nme - before.nme) <= MAX_NME_INCREASE:
        return None
    return f"NME {before.nme:.2f} → {row.nme:.2f} %", row.nme > before.nme


def _alike(one: Row, other: Row) -> bool:
    """Whether the accuracies of both are of the same faces."""
    return not unlike_faces([one.result["accuracy"], other.result["accuracy"]])


def _explained(before: Row, after: Row) -> str:
    """What else differs between two results: the change's cause, perhaps."""
    found = []
    for name, (part, key) in EXPLANATIONS.items():
        old, new = (
            side.result.get(part) if key is None else side.result[part].get(key)
            for side in (before, after)
        )
        if old != new:
            found.append(name if key == "sha256" else f"{name} {old} → {new}")
    return ", ".join(found)
