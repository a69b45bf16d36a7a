"""Compares two sets of benchmark results and decides, with the noise counted in, what got worse.

The ratio of two medians comes with a 95 % interval. Something is slower only when the whole
interval is beyond the limit; when the limit lies inside, the measurements cannot tell and say so.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.benchmarks.targets.protocol import cpu_list
from asmnet_kit.errors import UsageError
from asmnet_kit.results import Result

MAX_SLOWDOWN = 1.10  # new / base, of p50
MAX_NME_INCREASE = 0.1  # percentage points of NME

RESAMPLES = 1000
INTERVAL = (2.5, 97.5)  # percent
FEW_RUNS = 30  # below this an interval of a median is hardly one
NME_SLACK = 1e-9  # of adding decimal fractions in binary

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
ACCURACY_FACTS = (
    "dataset",
    "dataset_format",
    "dataset_fingerprint",
    "boxes",
    "complete_only",
    "faces",
)
ALLOWED = ("machine", "runtime", "target", "data")  # what --across may let differ

OK, SLOWER, WORSE, UNCLEAR, MISSING = "ok", "slower", "less accurate", "unclear", "missing"


class UnlikeRuns(UsageError):
    """Two results that say nothing about one another."""


@dataclass(frozen=True)
class Comparison:
    """One model on one target, before and after.

    Attributes:
        name: model and target, for people.
        ratio: new p50 / base p50; ``interval`` holds it with 95 % confidence.
        nme_increase: percentage points, or None where one of them was not measured.
        verdicts: ``ok``, or what is wrong; ``messages`` are sentences about it.
    """

    name: str
    base_p50: float
    new_p50: float
    ratio: float
    interval: tuple[float, float]
    runs: tuple[int, int]
    nme: tuple[float | None, float | None]
    nme_increase: float | None
    verdicts: tuple[str, ...]
    messages: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        return bool({SLOWER, WORSE} & set(self.verdicts))

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "base_p50_ms": self.base_p50,
            "new_p50_ms": self.new_p50,
            "ratio": self.ratio,
            "ratio_interval": list(self.interval),
            "runs": list(self.runs),
            "base_nme_percent": self.nme[0],
            "new_nme_percent": self.nme[1],
            "nme_increase": self.nme_increase,
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
    across: Sequence[str] = (),
    seed: int = 0,
) -> Outcome:
    """Compare results pairwise by model name, target, device, threads, affinity and delegate.

    Args:
        base, new: as ``asmnet_kit.results.load_results`` returns them; a single one each is
            compared whatever the models are called. Repeated measurements of one thing are pooled,
            and how they differ from one another widens the interval.
        across: of ``machine``, ``runtime``, ``target``, ``data``: what may differ on purpose.
        seed: of the bootstrap.

    Raises:
        UnlikeRuns: results of another machine, runtime, target or data set; every differing fact
            is named.
        UsageError: nothing to compare, or limits that make no sense.
    """
    if max_slowdown <= 0 or max_nme_increase < 0:
        raise UsageError(
            f"expected a slowdown > 0 and an NME increase >= 0, got {max_slowdown} and "
            f"{max_nme_increase}"
        )
    if not base or not new:
        raise UsageError("expected at least one result on each side")
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
        _compared(name, before, after, max_slowdown, max_nme_increase, rng)
        for name, before, after in pairs
    )
    limits = {"max_slowdown": max_slowdown, "max_nme_increase": max_nme_increase}
    return Outcome(comparisons, tuple(missing), tuple(added), limits)


def ratio_interval(
    base: Sequence[Sequence[float]], new: Sequence[Sequence[float]], rng: np.random.Generator
) -> tuple[float, float]:
    """95 % interval of median(new) / median(base), by a bootstrap of blocks and measurements.

    Runs that follow one another are alike, so blocks of about sqrt(n) runs are drawn, not single
    ones (Kuensch 1989). Where there are several measurements, these are drawn first.
    """
    medians = [_resampled_medians(side, rng) for side in (base, new)]
    ratios = medians[1] / np.maximum(medians[0], 1e-9)
    low, high = np.percentile(ratios, INTERVAL)
    return float(low), float(high)


def _resampled_medians(
    measurements: Sequence[Sequence[float]], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Medians of ``RESAMPLES`` drawn sets of runs."""
    arrays = [np.asarray(m, np.float64) for m in measurements]
    medians = np.empty(RESAMPLES)
    for index in range(RESAMPLES):
        chosen = rng.integers(len(arrays), size=len(arrays))
        drawn = [_blocks(arrays[i], rng) for i in chosen]
        medians[index] = np.median(np.concatenate(drawn))
    return medians


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
    max_nme_increase: float,
    rng: np.random.Generator,
) -> Comparison:
    samples = [[r["timings_ms"]["invoke"] for r in side] for side in (base, new)]
    p50 = [float(np.median(np.concatenate(side))) for side in samples]
    ratio = p50[1] / max(p50[0], 1e-9)
    low, high = ratio_interval(samples[0], samples[1], rng)
    verdicts, messages = [], []
    span = f"{p50[0]:.3f} -> {p50[1]:.3f} ms, x{ratio:.3f} (95 %: {low:.3f} to {high:.3f})"
    if low > max_slowdown:
        verdicts.append(SLOWER)
        messages.append(f"slower than x{max_slowdown:g}: {span}")
    elif high > max_slowdown:
        verdicts.append(UNCLEAR)
        messages.append(
            f"the measurements cannot tell whether it is slower than x{max_slowdown:g}: {span}; "
            f"measure longer on a quiet machine"
        )
    nme = (_nme(base), _nme(new))
    increase = None if nme[0] is None or nme[1] is None else nme[1] - nme[0]
    if increase is not None and increase > max_nme_increase + NME_SLACK:
        verdicts.append(WORSE)
        messages.append(
            f"NME {nme[0]:.3f} -> {nme[1]:.3f} %, {increase:+.3f}, beyond {max_nme_increase:+g}"
        )
    return Comparison(
        name=name,
        base_p50=p50[0],
        new_p50=p50[1],
        ratio=ratio,
        interval=(low, high),
        runs=(sum(map(len, samples[0])), sum(map(len, samples[1]))),
        nme=nme,
        nme_increase=increase,
        verdicts=tuple(verdicts) or (OK,),
        messages=tuple(messages) or (span,),
        warnings=tuple(_warnings(base, new, nme)),
    )


def _warnings(
    base: Sequence[Result], new: Sequence[Result], nme: tuple[float | None, float | None]
) -> list[str]:
    """Why a verdict should be taken with care."""
    found = []
    for side, results in (("base", base), ("new", new)):
        found += [f"{side}: {text}" for r in results for text in r["warnings"]]
        if sum(len(r["timings_ms"]["invoke"]) for r in results) < FEW_RUNS:
            found.append(f"{side}: fewer than {FEW_RUNS} runs: the interval means little")
    if (nme[0] is None) != (nme[1] is None):
        found.append("accuracy was measured on one side only and is not compared")
    return list(dict.fromkeys(found))


def _nme(results: Sequence[Result]) -> float | None:
    """The newest accuracy; repeated measurements of one file give the same."""
    for result in reversed(results):
        value = (result["accuracy"] or {}).get("nme_percent")
        if value is not None:
            return float(value)
    return None


def _by_key(results: Sequence[tuple[Path, Result]]) -> dict[tuple[str, ...], list[Result]]:
    found: dict[tuple[str, ...], list[Result]] = {}
    for _, result in results:
        found.setdefault(_key(result), []).append(result)
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
    found = []
    for other in everything[1:]:
        for part, facts in (
            ("machine", MACHINE_FACTS),
            ("runtime", RUNTIME_FACTS),
            ("target", TARGET_FACTS),
        ):
            if part not in across:
                found += _part_differences(part, facts, first[part], other[part])
        both = first["accuracy"], other["accuracy"]
        if "data" not in across and all(both):
            found += _part_differences("accuracy", ACCURACY_FACTS, *both)
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
    return re.sub(r"\d+ of \d+ ops|\d+ ops", "ops", str(value)) if fact == "kernels" else value
