"""Compares two sets of benchmark results and decides, with the noise counted in, what got worse.

The ratio of two medians (of two p90 where both are single-stream) comes with a 95 % interval.
Something is slower only when the whole interval is beyond the limit; when the limit lies inside,
the measurements cannot tell and say so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from asmnet_kit.base.errors import UsageError
from asmnet_kit.benchmarks.comparing.matching import (
    SINGLE_STREAM,
    STANDARD,
    match,
    mode_of,
    refuse_fallbacks,
    refuse_unlike,
)
from asmnet_kit.results.noise import MAX_NME_INCREASE, MAX_SLOWDOWN, clock_step, ratio_interval
from asmnet_kit.results.results import Result

MAX_POSE_INCREASE = 0.2  # degrees of an angle's mean absolute error
MAX_PARITY_INCREASE = 0.1  # pixels of the crop, of the mean difference from the CPU

FEW_RUNS = 30  # below this an interval of a median is hardly one
SLACK = 1e-9  # of adding decimal fractions in binary

PERCENTILES = {STANDARD: 50.0, SINGLE_STREAM: 90.0}  # what a mode is judged by

OK, SLOWER, UNCLEAR = "ok", "slower", "unclear"
NME, POSE, PARITY = "NME", "pose", "parity"  # kinds of figures that should not rise
WORSE = {NME: "less accurate", POSE: "less exact pose", PARITY: "further from the CPU"}
GONE = {NME: "no accuracy", POSE: "no pose", PARITY: "no parity"}  # measured before, and not now
ALLOWS = {NME: "data", POSE: "data", PARITY: "target"}  # of --across
UNITS = {NME: "%", POSE: "degrees", PARITY: "pixels"}

Figures = dict[tuple[str, str], float]  # by kind and name


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
        return bool({SLOWER, *WORSE.values(), *GONE.values()} & set(self.verdicts))

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
    refuse_fallbacks([*base, *new])
    matched = match(base, new)
    refuse_unlike(matched.pairs, across)
    rng = np.random.default_rng(seed)
    comparisons = tuple(
        _compared(name, before, after, max_slowdown, rises, across, rng)
        for name, before, after in matched.pairs
    )
    limits = {
        "max_slowdown": max_slowdown,
        "max_nme_increase": max_nme_increase,
        "max_pose_increase": max_pose_increase,
        "max_parity_increase": max_parity_increase,
    }
    return Outcome(comparisons, matched.missing, matched.added, limits)


def _compared(
    name: str,
    base: Sequence[Result],
    new: Sequence[Result],
    max_slowdown: float,
    rises: Mapping[str, float],
    across: Sequence[str],
    rng: np.random.Generator,
) -> Comparison:
    samples = [[r["timings_ms"]["invoke"] for r in side] for side in (base, new)]
    p50 = [float(np.median(np.concatenate(side))) for side in samples]
    modes = {mode_of(r) for r in (*base, *new)}
    percentile = PERCENTILES[SINGLE_STREAM if modes == {SINGLE_STREAM} else STANDARD]
    judged = [float(np.percentile(np.concatenate(side), percentile)) for side in samples]
    step = clock_step(*samples[0], *samples[1])
    ratio = max(judged[1], step) / max(judged[0], step)
    low, high = ratio_interval(samples[0], samples[1], rng, percentile=percentile)
    verdicts, messages = [], []
    span = (
        f"p{percentile:g} {judged[0]:.3f} -> {judged[1]:.3f} ms, x{ratio:.3f} "
        f"(95 %: {low:.3f} to {high:.3f})"
    )
    if not all(judged) and max(judged) <= step:
        verdicts.append(UNCLEAR)
        messages.append(
            f"the clock is too coarse for it, p{percentile:g} {judged[0]:.3f} -> {judged[1]:.3f} "
            "ms: time many runs at once"
        )
    elif low > max_slowdown:
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
    for kind, gone in _gone(before, after, across).items():
        verdicts.append(GONE[kind])
        messages.append(
            f"measured before and not now: {', '.join(gone)}; measure it again, or allow it with "
            f"--across {ALLOWS[kind]}"
        )
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


def _gone(before: Figures, after: Figures, across: Sequence[str]) -> dict[str, list[str]]:
    """By kind, names of figures that only the first side has: a gate on them would be off.

    A parity over other inputs, or from something else, is another figure, and none is missing.
    """
    gone: dict[str, list[str]] = {}
    for kind, name in before.keys() - after.keys():
        another = kind == PARITY and any(k == PARITY for k, _ in after)
        if not another and ALLOWS[kind] not in across:
            gone.setdefault(kind, []).append(name)
    return {kind: sorted(gone[kind]) for kind in WORSE if kind in gone}


def _warnings(
    base: Sequence[Result], new: Sequence[Result], before: Figures, after: Figures
) -> list[str]:
    """Why a verdict should be taken with care."""
    found = []
    for side, results in (("base", base), ("new", new)):
        found += [f"{side}: {text}" for r in results for text in r["warnings"]]
        if sum(len(r["timings_ms"]["invoke"]) for r in results) < FEW_RUNS:
            found.append(f"{side}: fewer than {FEW_RUNS} runs: the interval means little")
    codes = {str(r["kit_code"]) for r in (*base, *new) if r.get("kit_code")}
    if len(codes) > 1:
        found.append(
            f"measured by different code of the kit ({', '.join(sorted(codes))}): what differs may "
            f"be the harness; measure both sides with one commit"
        )
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
