"""What some results hold besides times: operators, sustained runs, how sure a model is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asmnet_kit.results.report.charts import Axis
from asmnet_kit.results.results import Result

TOP_OPERATORS = 10
SHARES = ("0", "10", "20", "30")  # percent of the least sure that are dropped


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


@dataclass(frozen=True)
class Sure:
    """How right a model is about how sure it is; None where there was nothing to measure.

    Attributes:
        covered: percent of the points within their 50 and 90 % circles.
        sharpness: mean sigma, percent of the eye distance.
        points, faces: mean error, percent of the eye distance, without the least sure 0, 10, 20 and
            30 %.
        auroc: for an NME above 8 %; ``visibility``: for a hidden point.
    """

    label: str
    covered: list[float | None]
    sharpness: float | None
    points: list[float | None]
    faces: list[float | None]
    auroc: float | None
    visibility: float | None


def sure_models(labelled: Sequence[tuple[str, dict[str, Any]]]) -> list[Sure]:
    """Of the accuracies, those of models that say how sure they are or what can be seen."""
    return [
        _sure(label, accuracy)
        for label, accuracy in labelled
        if accuracy.get("uncertainty") or accuracy.get("visibility")
    ]


def _sure(label: str, accuracy: dict[str, Any]) -> Sure:
    found = accuracy.get("uncertainty") or {}
    kept = found.get("sparsification_percent") or {}
    return Sure(
        label=label,
        covered=[(found.get("coverage_percent") or {}).get(level) for level in ("50", "90")],
        sharpness=found.get("sharpness_percent"),
        points=[(kept.get("points") or {}).get(share) for share in SHARES],
        faces=[(kept.get("faces") or {}).get(share) for share in SHARES],
        auroc=found.get("auroc"),
        visibility=(accuracy.get("visibility") or {}).get("auroc"),
    )


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
