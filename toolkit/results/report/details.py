"""What some results hold besides times: operators, how sure a model is, what int8 cost it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asmnet_kit.base.console import clean
from asmnet_kit.results.report.rows import Row
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


def profiles(labelled: Sequence[tuple[str, Result]], *, most: int) -> list[Profile]:
    """The first ``most`` profiles among some results, whose operators may bear any names."""
    profiled = [(label, result["profile"]) for label, result in labelled if result["profile"]]
    return [_profile(label, clean(entries)) for label, entries in profiled[:most]]


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


@dataclass(frozen=True)
class Gate:
    """The verdict on the outputs of one result's timed runs.

    Attributes:
        cause: why they did not pass; None where they did.
        runs: how many were compared.
        outputs: (name, largest difference, what it may be, unit); None is no number.
    """

    label: str
    passed: bool
    cause: str | None
    runs: int
    outputs: list[tuple[str, float | None, float, str]]
    reference: str


def gates(labelled: Sequence[tuple[str, Result]]) -> list[Gate]:
    """Of the results whose outputs were compared, those that did not pass first."""
    found = [
        Gate(
            label=label,
            passed=check["passed"],
            cause=check["cause"],
            runs=len(check["runs"]),
            outputs=[
                (name, output["max"], output["limit"], output["unit"])
                for name, output in check["outputs"].items()
            ],
            reference=check["reference"],
        )
        for label, result in labelled
        if (check := result.get("output_check"))
    ]
    return sorted(found, key=lambda gate: gate.passed)


@dataclass(frozen=True)
class Drift:
    """What quantization cost a model file, as measured when it was made.

    Attributes:
        float_nme, nme: of the float model and of the file, percent of the validation set.
        pixels: median, 99th percentile and largest distance of a face's landmarks from the float
            model's, pixels of the crop.
    """

    model: str
    float_nme: float | None
    nme: float | None
    pixels: list[float | None]
    faces: float | None


def drifts(rows: Sequence[Row]) -> list[Drift]:
    """Of the model files whose metadata tells it."""
    found: dict[tuple[str, str], Drift] = {}
    for row in rows:
        metadata = row.result["model"].get("metadata") or {}
        metrics = metadata.get("metrics") if isinstance(metadata, dict) else None
        validation = metrics.get("validation") if isinstance(metrics, dict) else None
        if not isinstance(validation, dict):
            continue
        drift = validation.get("pixel_drift")
        pixels = drift if isinstance(drift, dict) else {}
        told = Drift(
            model=row.model,
            float_nme=_figure(validation.get("float_nme_percent")),
            nme=_figure(validation.get("nme_percent")),
            pixels=[_figure(pixels.get(key)) for key in ("p50", "p99", "largest")],
            faces=_figure(pixels.get("faces") or validation.get("faces")),
        )
        if told.float_nme is not None or any(value is not None for value in told.pixels):
            found.setdefault(row.key, told)
    return list(found.values())


def _figure(value: Any) -> float | None:
    """Metadata is foreign: what is no number is not shown as one."""
    return float(value) if isinstance(value, (int, float)) and value == value else None
