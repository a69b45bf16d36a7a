"""The time of each operator on the CPU, from the profiler inside ai-edge-litert's own library.

It runs in a process of its own: this file, as a program.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asmnet_kit.base.errors import KitError
from asmnet_kit.benchmarks.timing.litert_library import (
    CPU_ACCELERATOR,
    LibraryError,
    LiteRt,
    answer,
    ask,
)
from asmnet_kit.tflite.litert_private import LITERT

PACKAGE = LITERT.package  # whose profiler it is

RUNS = 50
WARMUP_RUNS = 10
TIMEOUT_S = 120.0

# Events of TensorFlow Lite's profiler: an operator's own kernel, and one inside of a delegate.
OPERATOR_EVENT, DELEGATE_EVENT = 2, 8


class ProfileError(KitError):
    """No profile; the message says why."""


def profile_model(
    model: Path, *, threads: int = 1, timeout_s: float = TIMEOUT_S
) -> list[dict[str, Any]]:
    """Usual time of each operator over some runs on the CPU, in the order of execution.

    Args:
        threads: of the kernels. The CPUs are those of this process, which the profiler inherits.

    Returns:
        Dicts of ``op`` (the kernel), ``name`` (kernel and number), ``microseconds``, ``share`` of
        the sum, ``target`` (``xnnpack`` or ``builtin``).

    Raises:
        ProfileError: there is no profile here; the message says why.
    """
    try:
        profile: list[dict[str, Any]] = ask(
            Path(__file__), model, str(threads), timeout_s=timeout_s
        )
    except LibraryError as error:
        raise ProfileError(str(error)) from error
    return profile


def summarised(events: Sequence[tuple[str, int, int, int]], runs: int) -> list[dict[str, Any]]:
    """Events as the result's ``profile``.

    A delegate numbers its operators anew in each part of the graph that it took: what stands there
    several times in a run is several operators. The interpreter's numbers are unique: an operator
    that comes several times in a run is in a loop, and its times are added.

    Args:
        events: (kernel, type, number of the operator, microseconds), in the order of execution.
        runs: how many runs they are of.
    """
    times: dict[tuple[str, int, int], list[tuple[int, int]]] = {}
    for place, (tag, kind, number, elapsed) in enumerate(events):
        delegate_node = kind == OPERATOR_EVENT and "delegate" in tag.lower()
        if kind in (OPERATOR_EVENT, DELEGATE_EVENT) and not delegate_node:
            times.setdefault((tag, kind, number), []).append((place, elapsed))
    rows: list[tuple[int, str, str, str, float]] = []  # the first is where it stands in a run
    for (tag, kind, number), found in times.items():
        elapsed_us = [elapsed for _, elapsed in found]
        calls = max(1, round(len(found) / runs))
        name, target = f"{tag} #{number}", "xnnpack" if kind == DELEGATE_EVENT else "builtin"
        if calls == 1 or kind == OPERATOR_EVENT:
            mean = calls * _middle_mean(elapsed_us)
            rows.append((found[0][0], tag, name, target, mean))
            continue
        for part in range(calls):
            name = f"{tag} #{number} of part {part + 1}"
            rows.append((found[part][0], tag, name, target, _middle_mean(elapsed_us[part::calls])))
    total = sum(mean for *_, mean in rows) or 1.0
    return [
        {
            "op": tag,
            "name": name,
            "microseconds": round(mean, 3),
            "share": round(mean / total, 5),
            "target": target,
        }
        for _, tag, name, target, mean in sorted(rows)
    ]


def _middle_mean(values: Sequence[int]) -> float:
    """The mean of the middle half.

    The profiler counts whole microseconds, so a median would be coarse; and a run during which
    another process had the CPU counts a thousand times what the operator takes.
    """
    ordered = sorted(values)
    quarter = len(ordered) // 4
    middle = ordered[quarter : len(ordered) - quarter]
    return sum(middle) / len(middle)


def _profile_here(model: Path, threads: str) -> list[dict[str, Any]]:
    """Profile in this process, which may not survive it."""
    compiled = LiteRt().compile(
        model,
        CPU_ACCELERATOR,
        runtime_options_string="enable_profiling = true",
        xnnpack=f"num_threads = {threads}",
    )
    return summarised(compiled.profile(warmup_runs=WARMUP_RUNS, runs=RUNS), RUNS)


if __name__ == "__main__":
    answer(_profile_here)
