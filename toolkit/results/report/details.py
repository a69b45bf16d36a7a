"""What some results hold besides times: operators, sustained runs, Edge TPU placement, parity."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asmnet_kit.results.report.charts import Axis
from asmnet_kit.results.results import Result

TOP_OPERATORS = 10


@dataclass(frozen=True)
class OperatorBar:
    """A row of a profile: ``share`` in percent of the whole, ``bar`` in percent of the longest."""

    name: str
    target: str
    microseconds: float
    share: float
    bar: float


@dataclass(frozen=True)
class Profile:
    """The slowest operators of one result; ``rest`` is what all others take together."""

    label: str
    total_us: float
    operators: list[OperatorBar]
    others: int
    rest: float


@dataclass(frozen=True)
class Sustained:
    """The curve of a sustained run: ``path`` in a 100 x 100 box."""

    label: str
    minutes: float
    slowdown: float
    path: str
    y_ticks: list[tuple[float, str]]
    x_ticks: list[tuple[float, str]]
    hottest: float | None


def profiles(labelled: Sequence[tuple[str, Result]]) -> list[Profile]:
    """The profiles among some results."""
    return [_profile(label, r["profile"]) for label, r in labelled if r["profile"]]


def _profile(label: str, entries: Sequence[dict[str, Any]]) -> Profile:
    total = sum(entry["microseconds"] for entry in entries) or 1.0
    slowest = sorted(entries, key=lambda entry: -entry["microseconds"])
    top, rest = slowest[:TOP_OPERATORS], slowest[TOP_OPERATORS:]
    longest = top[0]["microseconds"] or 1.0
    return Profile(
        label=label,
        total_us=total,
        operators=[
            OperatorBar(
                name=entry["name"],
                target=entry["target"],
                microseconds=entry["microseconds"],
                share=100 * entry["microseconds"] / total,
                bar=round(100 * entry["microseconds"] / longest, 2),
            )
            for entry in top
        ],
        others=len(rest),
        rest=100 * sum(entry["microseconds"] for entry in rest) / total,
    )


def sustained_runs(labelled: Sequence[tuple[str, Result]]) -> list[Sustained]:
    """The sustained runs among some results."""
    return [_sustained(label, r["sustained"]) for label, r in labelled if r.get("sustained")]


def _sustained(label: str, content: dict[str, Any]) -> Sustained:
    windows = content["windows"]
    # From zero: a drift of a percent should look like one.
    axis = Axis.over([0.0, *(max(w["p50"], 1e-5) for w in windows)])
    seconds = Axis(0.0, max(windows[-1]["seconds"], 1e-3), False, ())
    points = [(seconds.at(w["seconds"]), 100 - axis.at(w["p50"])) for w in windows]
    known = [w["temperature_celsius"] for w in windows if w.get("temperature_celsius") is not None]
    return Sustained(
        label=label,
        minutes=content["minutes"],
        slowdown=content["slowdown"],
        path="".join(f"{'M' if i == 0 else 'L'}{x:g} {y:g}" for i, (x, y) in enumerate(points)),
        y_ticks=[(round(100 - at, 2), label) for at, label in axis.labels()],
        x_ticks=[(0.0, "0"), (100.0, f"{windows[-1]['seconds']:.0f} s")],
        hottest=max(known) if known else None,
    )
