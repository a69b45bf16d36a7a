"""Which results of two sides are of one thing, and whether they may be compared at all."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asmnet_kit.base.errors import UsageError
from asmnet_kit.benchmarks.options import unflagged
from asmnet_kit.benchmarks.words import cpu_list
from asmnet_kit.results.machine import MACHINE_FACTS
from asmnet_kit.results.results import Result, fell_back, unlike_faces

STANDARD, SINGLE_STREAM = "standard", "single-stream"

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
    "options",
)
PROTOCOL_FACTS = ("mode", "timed", "input_shape")
ACROSS = {"accuracy": "data"}  # part of a result -> what --across calls it, where they differ


class UnlikeRuns(UsageError):
    """Two results that say nothing about one another."""


@dataclass(frozen=True)
class Matched:
    """The results of two sides.

    Attributes:
        pairs: what was measured, its results on the one side and on the other, the oldest first.
        missing, added: what was measured on the first, on the second side alone.
    """

    pairs: tuple[tuple[str, list[Result], list[Result]], ...]
    missing: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


def match(base: Sequence[tuple[Path, Result]], new: Sequence[tuple[Path, Result]]) -> Matched:
    """Match results by what was measured; a single one each, whatever the models are called.

    Raises:
        UsageError: nothing is on both sides, or two models have one name.
    """
    bases, news = _by_key(base), _by_key(new)
    if len(base) == len(new) == 1:
        (before,), (after,) = ([result for _, result in side] for side in (base, new))
        names = dict.fromkeys(result["model"]["name"] for result in (before, after))
        return Matched(((" -> ".join(names), [before], [after]),))
    common = [key for key in bases if key in news]
    if not common:
        raise UsageError(
            f"nothing to compare: {'; '.join(map(_title, bases))} on one side, "
            f"{'; '.join(map(_title, news))} on the other"
        )
    return Matched(
        tuple((_title(key), bases[key], news[key]) for key in common),
        missing=tuple(_title(key) for key in bases if key not in news),
        added=tuple(_title(key) for key in news if key not in bases),
    )


def refuse_unlike(
    pairs: Sequence[tuple[str, list[Result], list[Result]]], across: Sequence[str]
) -> None:
    """Refuse to compare unlike runs.

    Args:
        across: as ``compare`` has it.

    Raises:
        UnlikeRuns: every differing fact is named.
    """
    differing = [
        (name, difference)
        for name, before, after in pairs
        for difference in _differences(before, after, across)
    ]
    if differing:
        parts = dict.fromkeys(difference.partition(".")[0] for _, difference in differing)
        allowed = " ".join(f"--across {ACROSS.get(part, part)}" for part in parts)
        sentences = dict.fromkeys(f"{name}: {difference}" for name, difference in differing)
        raise UnlikeRuns(
            "unlike runs are not compared. Measure both in the same way, or allow it with "
            f"{allowed}:\n" + "\n".join(sentences)
        )


def refuse_fallbacks(results: Sequence[tuple[Path, Result]]) -> None:
    """The CPU's figures under an accelerator's name say nothing about the accelerator.

    Raises:
        UsageError: the model of a result fell back to the CPU.
    """
    fallen = [
        f"{path}: {target['requested']} was asked for, {target['actual']} ran the model"
        for path, target in ((path, result["target"]) for path, result in results)
        if fell_back(target)
    ]
    if fallen:
        raise UsageError(
            "results of models that fell back to the CPU are not compared. Measure them again, "
            "after asmnet-kit doctor said what is missing:\n" + "\n".join(fallen)
        )


def mode_of(result: Result) -> str:
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
        " ".join(f"{k}={v}" for k, v in unflagged(target.get("options") or {}).items()),
        "x".join(map(str, result["protocol"].get("input_shape") or ())),
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
    if fact == "options":  # the kit's own show in the delegate, or are paths
        return unflagged(value or {})
    return value or STANDARD if fact == "mode" else value
