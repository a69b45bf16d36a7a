"""Compares two sets of benchmark results and decides, with the noise counted in, what got worse.

The ratio of two medians (of two p90 where both are single-stream) comes with a 95 % interval.
Something is slower only when the whole interval is beyond the limit; when the limit lies inside,
the measurements cannot tell and say so.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import UsageError
from asmnet_kit.benchmarks.protocol import cpu_list
from asmnet_kit.results.results import Result, fell_back, unlike_faces

MAX_SLOWDOWN = 1.10  # new / base, of the judged percentile
MAX_NME_INCREASE = 0.1  # percentage points of NME
MAX_POSE_INCREASE = 0.2  # degrees of an angle's mean absolute error
MAX_PARITY_INCREASE = 0.1  # pixels of the crop, of the mean difference from the CPU

RESAMPLES = 1000
INTERVAL = (2.5, 97.5)  # percent
FEW_RUNS = 30  # below this an interval of a median is hardly one
SLACK = 1e-9  # of adding decimal fractions in binary

STANDARD, SINGLE_STREAM = "standard", "single-stream"
PERCENTILES = {STANDARD: 50.0, SINGLE_STREAM: 90.0}  # what a mode is judged by

# Facts that make it another machine. Clock, load and temperature are warnings in the results.
MACHINE_FACTS = ("cpu", "board", "architecture", "cores", "instruction_sets")
RUNTIME_FACTS = ("name", "version", "kernels")
TARGET_FACTS = (
    "requested",
    "actual",
    "device",
    "tool",
    "threads",
    "affinity",
    "delegate",
    "adapter",
)
PROTOCOL_FACTS = ("mode", "timed")
OK, SLOWER, UNCLEAR = "ok", "slower", "unclear"
NME, POSE, PARITY = "NME", "pose", "parity"  # kinds of figures that should not rise
WORSE = {NME: "less accurate", POSE: "less exact pose", PARITY: "further from the CPU"}
UNITS = {NME: "%", POSE: "degrees", PARITY: "pixels"}

Figures = dict[tuple[str, str], float]  # by kind and name


class UnlikeRuns(UsageError):
    """Two results that say nothing about one another."""


@dataclass(frozen=True)
class Comparison:
    """One model on one target, before and after.

    Attributes:
        name: model and target, for people.
        percentile: the one that is judged, 50 or 90.
        base_ms, new_ms: that percentile; ``ratio`` is new / base, and ``interval`` holds it with
            95 % confidence.
        nme: percent, or None where it was not measured.
        increases: of the figures that both sides have: percentage points, degrees, pixels.
        verdicts: ``ok``, or what is wrong; ``messages`` are sentences about it.
    """

    name: str
    base_p50: float
    new_p50: float
    percentile: float
    base_ms: float
    new_ms: float
    ratio: float
    interval: tuple[float, float]
    runs: tuple[int, int]
    nme: tuple[float | None, float | None]
    increases: Figures
    verdicts: tuple[str, ...]
    messages: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        return bool({SLOWER, *WORSE.values()} & set(self.verdicts))

    def increase(self, kind: str) -> dict[str, float] | None:
        """How much the figures of a kind rose, by name; None where there are none."""
        return {name: by for (k, name), by in self.increases.items() if k == kind} or None

    @property
    def nme_increase(self) -> float | None:
        """Percentage points, or None where one side was not measured."""
        return self.increases.get((NME, NME))

    def to_json(self) -> dict[str, Any]:
        pose, parity = self.increase(POSE), self.increase(PARITY)
        return {
            "name": self.name,
            "base_p50_ms": self.base_p50,
            "new_p50_ms": self.new_p50,
            "percentile": self.percentile,
            "base_ms": self.base_ms,
            "new_ms": self.new_ms,
            "ratio": self.ratio,
            "ratio_interval": list(self.interval),
            "runs": list(self.runs),
            "base_nme_percent": self.nme[0],
            "new_nme_percent": self.nme[1],
            "nme_increase": self.nme_increase,
            "pose_increase_deg": pose,
            "parity_increase_pixels": parity and max(parity.values()),
            "verdicts": list(self.verdicts),
            "messages": list(self.messages),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Outcome:
    """All comparisons; ``missing`` were measured before and are not any more."""

    comparisons: tuple[Comparison, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]
    limits: dict[str, float] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        return bool(self.missing) or any(c.failed for c in self.comparisons)

    def to_json(self) -> dict[str, Any]:
        return {
            "verdict": "regression" if self.failed else "ok",
            "limits": self.limits,
            "comparisons": [c.to_json() for c in self.comparisons],
            "missing": list(self.missing),
            "added": list(self.added),
        }


def compare(
    base: Sequence[tuple[Path, Result]],
    new: Sequence[tuple[Path, Result]],
    *,
    max_slowdown: float = MAX_SLOWDOWN,
    max_nme_increase: float = MAX_NME_INCREASE,
    max_pose_increase: float = MAX_POSE_INCREASE,
    max_parity_increase: float = MAX_PARITY_INCREASE,
    across: Sequence[str] = (),
    seed: int = 0,
) -> Outcome:
    """Compare results pairwise by model name, target, device, threads, affinity and delegate.

    Args:
        base, new: as ``asmnet_kit.results.results.load_results`` returns them; a single one each is
            compared whatever the models are called. Repeated measurements of one thing are pooled,
            and how they differ from one another widens the interval.
        max_slowdown: greatest new / base of p50, or of p90 where both sides are single-stream.
        max_nme_increase: percentage points; ``max_pose_increase``: degrees, of each angle;
            ``max_parity_increase``: pixels of the crop, of the mean difference from the CPU.
        across: of ``machine``, ``runtime``, ``target``, ``protocol``, ``data``: what may differ on
            purpose.
        seed: of the bootstrap.

    Raises:
        UnlikeRuns: results of another machine, runtime, target, protocol or data set; every
            differing fact is named.
        UsageError: nothing to compare, limits that make no sense, or a result whose model ran on
            the CPU although an accelerator was asked for.
    """
    rises = {NME: max_nme_increase, POSE: max_pose_increase, PARITY: max_parity_increase}
    if max_slowdown <= 0 or min(rises.values()) < 0:
        raise UsageError(
            f"expected a slowdown > 0 and increases >= 0, got {max_slowdown} and "
            f"{', '.join(map(str, rises.values()))}"
        )
    if not base or not new:
        raise UsageError("expected at least one result on each side")
    _refuse_fallbacks([*base, *new])
    bases, news = _by_key(base), _by_key(new)
    if len(base) == len(new) == 1:
        pairs = [(base[0][1]["model"]["name"], [base[0][1]], [new[0][1]])]
        missing: list[str] = []
        added: list[str] = []
    else:
        common = [key for key in bases if key in news]
        if not common:
            raise UsageError(
                f"nothing to compare: {'; '.join(map(_title, bases))} on one side, "
                f"{'; '.join(map(_title, news))} on the other"
            )
        pairs = [(_title(key), bases[key], news[key]) for key in common]
        missing = [_title(key) for key in bases if key not in news]
        added = [_title(key) for key in news if key not in bases]
    differing = [
        f"{name}: {difference}"
        for name, before, after in pairs
        for difference in _differences(before, after, across)
    ]
    if differing:
        raise UnlikeRuns(
            "unlike runs are not compared. Measure both in the same way, or allow it with "
            "--across:\n" + "\n".join(dict.fromkeys(differing))
        )
    rng = np.random.default_rng(seed)
    comparisons = tuple(
        _compared(name, before, after, max_slowdown, rises, rng) for name, before, after in pairs
    )
    limits = {
        "max_slowdown": max_slowdown,
        "max_nme_increase": max_nme_increase,
        "max_pose_increase": max_pose_increase,
        "max_parity_increase": max_parity_increase,
    }
    return Outcome(comparisons, tuple(missing), tuple(added), limits)


def _refuse_fallbacks(results: Sequence[tuple[Path, Result]]) -> None:
    """The CPU's figures under an accelerator's name say nothing about the accelerator."""
    fallen = [
        f"{path}: {target['requested']} was asked for, {target['actual']} ran the model"
        for path, target in ((path, result["target"]) for path, result in results)
        if fell_back(target["requested"], target["actual"])
    ]
    if fallen:
        raise UsageError(
            "results of models that fell back to the CPU are not compared. Measure them again, "
            "after asmnet-kit doctor said what is missing:\n" + "\n".join(fallen)
        )


def ratio_interval(
    base: Sequence[Sequence[float]],
    new: Sequence[Sequence[float]],
    rng: np.random.Generator,
    *,
    percentile: float = 50.0,
) -> tuple[float, float]:
    """95 % interval of the ratio new / base of a percentile, which is the median unless told.

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


def _compared(
    name: str,
    base: Sequence[Result],
    new: Sequence[Result],
    max_slowdown: float,
    rises: Mapping[str, float],
    rng: np.random.Generator,
) -> Comparison:
    samples = [[r["timings_ms"]["invoke"] for r in side] for side in (base, new)]
    p50 = [float(np.median(np.concatenate(side))) for side in samples]
    modes = {_mode(r) for r in (*base, *new)}
    percentile = PERCENTILES[SINGLE_STREAM if modes == {SINGLE_STREAM} else STANDARD]
    judged = [float(np.percentile(np.concatenate(side), percentile)) for side in samples]
    ratio = judged[1] / max(judged[0], 1e-9)
    low, high = ratio_interval(samples[0], samples[1], rng, percentile=percentile)
    verdicts, messages = [], []
    span = (
        f"p{percentile:g} {judged[0]:.3f} -> {judged[1]:.3f} ms, x{ratio:.3f} "
        f"(95 %: {low:.3f} to {high:.3f})"
    )
    if low > max_slowdown:
        verdicts.append(SLOWER)
        messages.append(f"slower than x{max_slowdown:g}: {span}")
    elif high > max_slowdown:
        verdicts.append(UNCLEAR)
        messages.append(
            f"the measurements cannot tell whether it is slower than x{max_slowdown:g}: {span}; "
            f"measure longer on a quiet machine"
        )
    before, after = _figures(base), _figures(new)
    increases = {key: after[key] - before[key] for key in before if key in after}
    for kind, limit in rises.items():
        risen = [
            f"{name} {before[kind, name]:.3f} -> {after[kind, name]:.3f} {UNITS[kind]}, "
            f"{increases[kind, name]:+.3f}, beyond {limit:+g}"
            for k, name in increases
            if k == kind and increases[kind, name] > limit + SLACK
        ]
        if risen:
            verdicts.append(WORSE[kind])
            messages.append("; ".join(risen))
    return Comparison(
        name=name,
        base_p50=p50[0],
        new_p50=p50[1],
        percentile=percentile,
        base_ms=judged[0],
        new_ms=judged[1],
        ratio=ratio,
        interval=(low, high),
        runs=(sum(map(len, samples[0])), sum(map(len, samples[1]))),
        nme=(before.get((NME, NME)), after.get((NME, NME))),
        increases=increases,
        verdicts=tuple(verdicts) or (OK,),
        messages=tuple(messages) or (span,),
        warnings=tuple(_warnings(base, new, before, after)),
    )


def _warnings(
    base: Sequence[Result], new: Sequence[Result], before: Figures, after: Figures
) -> list[str]:
    """Why a verdict should be taken with care."""
    found = []
    for side, results in (("base", base), ("new", new)):
        found += [f"{side}: {text}" for r in results for text in r["warnings"]]
        if sum(len(r["timings_ms"]["invoke"]) for r in results) < FEW_RUNS:
            found.append(f"{side}: fewer than {FEW_RUNS} runs: the interval means little")
    alone = {name for _, name in before.keys() ^ after.keys()}
    if alone:
        found.append(f"measured on one side only and not compared: {', '.join(sorted(alone))}")
    return list(dict.fromkeys(found))


def _figures(results: Sequence[Result]) -> Figures:
    """What should not rise, the newest of each; repeated measurements of one file give the same."""
    figures: dict[tuple[str, str], float | None] = {}
    for result in results:
        accuracy, parity = result["accuracy"] or {}, result["parity"]
        pose = accuracy.get("pose_mae_deg") or {}
        figures |= {(NME, NME): accuracy["nme_percent"]} if accuracy else {}
        figures |= {(POSE, angle): error for angle, error in pose.items()}
        if parity:
            # Differences over other inputs, or from something else, are other figures.
            inputs = f" over {parity['inputs']} inputs" if "inputs" in parity else ""
            whose = parity.get("reference", "the CPU")
            figures[PARITY, f"mean difference from {whose}{inputs}"] = parity["mean"]
    return {key: float(value) for key, value in figures.items() if value is not None}


def _mode(result: Result) -> str:
    """A result that names no mode is of the standard one."""
    return str(result["protocol"].get("mode") or STANDARD)


def _by_key(results: Sequence[tuple[Path, Result]]) -> dict[tuple[str, ...], list[Result]]:
    """The results of each thing that was measured, the oldest first.

    Raises:
        UsageError: two models of one name.
    """
    found: dict[tuple[str, ...], list[Result]] = {}
    for _, result in sorted(results, key=lambda item: str(item[1].get("measured_at"))):
        found.setdefault(_key(result), []).append(result)
    for key, same in found.items():
        if len({result["model"]["sha256"] for result in same}) > 1:
            raise UsageError(
                f"{_title(key)}: results of two different models of that name on one side: put "
                "each model's into a folder of its own"
            )
    return found


def _key(result: Result) -> tuple[str, ...]:
    """What the two sides are matched by; kernels matter where the user chose between them."""
    target = result["target"]
    threads = target["threads"]
    return (
        result["model"]["name"],
        target["requested"],
        str(target.get("device") or ""),
        "" if threads is None else f"{threads} thread{'s' if threads != 1 else ''}",
        str(target.get("tool") or ""),
        f"CPUs {cpu_list(target['affinity'])}" if target.get("affinity") else "",
        target["delegate"] or "builtin",
    )


def _title(key: tuple[str, ...]) -> str:
    return " · ".join(part for part in key if part)


def _differences(base: Sequence[Result], new: Sequence[Result], across: Sequence[str]) -> list[str]:
    """Facts in which the two sides, or two results of one side, differ: sentences."""
    everything = [*base, *new]
    first = everything[0]
    measured = next((r["accuracy"] for r in everything if r["accuracy"]), None)
    found = []
    for other in everything[1:]:
        for part, facts in (
            ("machine", MACHINE_FACTS),
            ("runtime", RUNTIME_FACTS),
            ("target", TARGET_FACTS),
            ("protocol", PROTOCOL_FACTS),
        ):
            if part not in across:
                found += _part_differences(part, facts, first[part], other[part])
        if "data" not in across and measured and other["accuracy"]:
            unlike = unlike_faces([measured, other["accuracy"]])
            found += _part_differences("accuracy", unlike, measured, other["accuracy"])
    return list(dict.fromkeys(found))


def _part_differences(
    part: str, facts: Sequence[str], a: dict[str, Any], b: dict[str, Any]
) -> list[str]:
    return [
        f"{part}.{fact}: {json.dumps(a.get(fact))} against {json.dumps(b.get(fact))}"
        for fact in facts
        if _comparable(fact, a.get(fact)) != _comparable(fact, b.get(fact))
    ]


def _comparable(fact: str, value: Any) -> Any:
    """Kernels name how many operators they took, which a new model may change."""
    if fact == "kernels":
        return re.sub(r"\d+ of \d+ ops|\d+ ops", "ops", str(value))
    return value or STANDARD if fact == "mode" else value
