"""What TensorFlow Lite's ``benchmark_model`` program prints, and the flags it takes.

Its lines have kept their form since 2019 (tensorflow/lite/tools/benchmark/benchmark_model.cc and
benchmark_tflite_model.cc); newer versions put ``INFO: `` before them and add ``p5``, ``median`` and
``p95``. It prints a summary of its runs and no single times.
"""

import math
import re
from dataclasses import dataclass

from asmnet_kit.base.errors import KitError

# count=50 first=31520 curr=31478 min=31127 max=32130 avg=31473.6 std=200 p5=31200 median=31470 ...
RUNS = re.compile(r"\bcount=(\d+) ((?:\w+=\S+ ?)+)")
FIGURE = re.compile(r"(\w+)=(\S+)")
TIMINGS = re.compile(r"\bInference timings in us: (.+)")
TIMING = re.compile(r"(Init|First inference|Warmup \(avg\)|Inference \(avg\)): ([^\s,]+)")
# Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate.
# (Of one that runs nothing it says: Though GPU delegate is explicitly applied, ... will not be ...)
APPLIED = re.compile(
    r"Explicitly applied (\w+) delegate, and the model graph will be (?:comple|partial)\w+ executed"
)
REPLACED = re.compile(r"Replacing (\d+) out of (\d+) node\(s\) with delegate \((\w+)\)")
ACCELERATORS = re.compile(r"NNAPI accelerators available: \[([^\]\n]*)\]")
MEMORY = re.compile(r"Memory footprint delta from the start of the tool \(MB\): \S+ overall=(\S+)")

MAX_CHARACTERS = 1_000_000  # its real output is a few thousand
MAX_MICROSECONDS = 3.6e9  # an hour
MAX_COUNT = 10**9


class OutputError(KitError):
    """The program printed something else than a finished benchmark."""


@dataclass(frozen=True)
class Replaced:
    """``ops`` of ``total`` operators run on ``delegate``, a class such as TfLiteXNNPackDelegate."""

    ops: int
    total: int
    delegate: str


@dataclass(frozen=True)
class Outcome:
    """A finished run of the program; times in milliseconds.

    Attributes:
        runs: timed ones, and ``warmup_runs`` before them.
        middle_ms: the runs' median where this version prints it, else their mean.
        is_median: which of the two it is.
        load_ms: making the interpreter and its delegate; ``first_ms``: the first run.
        replaced: what each delegate took of the operators, in the log's order.
        applied: delegates that run the model in whole or in part, in capitals: ``GPU``, ``NNAPI``.
        accelerators: of NNAPI; ``nnapi-reference`` is a CPU.
        memory_bytes: by how much the process grew, or None.
    """

    runs: int
    warmup_runs: int
    middle_ms: float
    is_median: bool
    load_ms: float
    first_ms: float
    replaced: tuple["Replaced", ...]
    applied: tuple[str, ...]
    accelerators: tuple[str, ...]
    memory_bytes: int | None


def parse_output(text: str) -> Outcome:
    """Read what the program printed on stdout and stderr.

    Raises:
        OutputError: no finished benchmark is in it, or figures that cannot be.
    """
    text = text[-MAX_CHARACTERS:]
    blocks = [(match[1], dict(FIGURE.findall(match[2]))) for match in RUNS.finditer(text)]
    timings = TIMINGS.findall(text)
    if not blocks or not timings:
        raise OutputError("expected 'count=...' and 'Inference timings in us: ...' of its output")
    named = dict(TIMING.findall(timings[-1]))
    count, figures = blocks[-1]
    if "Inference (avg)" not in named or not {"Init", "First inference"} <= named.keys():
        raise OutputError(
            f"expected Init, First inference and Inference (avg), got {timings[-1][:200]!r}"
        )
    warmup = [block for block, _ in blocks[:-1]]
    middle = figures.get("median") or named["Inference (avg)"]
    accelerators = ACCELERATORS.findall(text)
    memory = MEMORY.findall(text)
    return Outcome(
        runs=_count(count),
        warmup_runs=_count(warmup[-1]) if warmup else 0,
        middle_ms=_milliseconds(middle),
        is_median="median" in figures,
        load_ms=_milliseconds(named["Init"]),
        first_ms=_milliseconds(named["First inference"]),
        replaced=tuple(
            Replaced(_count(ops, least=0), _count(total), delegate)
            for ops, total, delegate in REPLACED.findall(text)
        ),
        applied=tuple(dict.fromkeys(name.upper() for name in APPLIED.findall(text))),
        accelerators=tuple(filter(None, accelerators[-1].split(","))) if accelerators else (),
        memory_bytes=_megabytes(memory[-1]) if memory else None,
    )


def _count(text: str, *, least: int = 1) -> int:
    if len(text) > len(str(MAX_COUNT)) or not least <= int(text) <= MAX_COUNT:
        raise OutputError(f"expected a number of {least} or more, got {text[:40]!r}")
    return int(text)


def _milliseconds(text: str) -> float:
    """Microseconds as printed (``31473.6``, ``9.99e+06``) in milliseconds."""
    try:
        microseconds = float(text)
    except ValueError:
        microseconds = math.nan
    if not 0 < microseconds <= MAX_MICROSECONDS:
        raise OutputError(f"expected microseconds, got {text[:40]!r}")
    return microseconds / 1000


def _megabytes(text: str) -> int | None:
    """The program's megabytes of 2^20 bytes in bytes; None for anything else."""
    try:
        megabytes = float(text)
    except ValueError:
        return None
    return round(megabytes * 2**20) if 0 <= megabytes < 1e6 else None
