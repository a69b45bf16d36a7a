"""Does this harness measure what Google's own ``litert-benchmark`` measures?

Usage: make bench-harness [MODEL=model.tflite] [ARGS="--threads 2 --rounds 5"]

Both time the same file with as many threads on this machine, alternately, so that whatever the
machine is busy with hits both. The verdict is on the median over the rounds of the ratio of their
medians. On a busy machine, where rounds differ by far more than the limit, it is on the best round
of each, and rounds go on until the best of each is not alone: until three agree with it within 1 %.
litert-benchmark writes times with two decimals, which is 2 % of a quarter of a millisecond:
what rounding alone explains is not held against either.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asmnet_kit.base.errors import KitError, MissingDependency
from asmnet_kit.benchmarks.protocol import Request
from asmnet_kit.benchmarks.runner import benchmark_model

PROGRAM = "litert-benchmark"
LIMIT = 0.03  # of their p50
ROUNDED_MS = 0.005  # at most, by litert-benchmark
MAX_SPREAD = 0.05  # of the ratios; on a quiet machine they agree within 0.02
ROUNDS = 11
MAX_ROUNDS = 61  # on a busy machine, about four minutes
AGREEING = 3  # rounds with the best one, itself included, that make it more than luck
AGREES_WITHIN = 0.01
RUNS = 300
WARMUP_RUNS = 50
TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Round:
    """p50 of one round, milliseconds."""

    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


def compare_harness(
    model: Path,
    *,
    threads: int = 1,
    rounds: int = ROUNDS,
    most_rounds: int = MAX_ROUNDS,
    runs: int = RUNS,
) -> list[Round]:
    """Measure alternately; who begins changes from round to round.

    Args:
        rounds: at least; more, up to ``most_rounds``, until ``is_settled``.

    Raises:
        MissingDependency: there is no litert-benchmark.
        KitError: one of the two failed.
    """
    measured: list[Round] = []
    for number in range(max(rounds, most_rounds)):
        if number >= rounds and is_settled(measured):
            break
        if number % 2:
            theirs = _theirs(model, threads, runs)
            ours = _ours(model, threads, runs)
        else:
            ours = _ours(model, threads, runs)
            theirs = _theirs(model, threads, runs)
        measured.append(Round(ours, theirs))
    return measured


def is_settled(measured: list[Round]) -> bool:
    """Whether more rounds would change little: they agree, or several are as good as the best."""
    if spread(measured) <= MAX_SPREAD:
        return True
    sides = [r.ours for r in measured], [r.theirs for r in measured]
    return all(
        sum(time <= min(side) * (1 + AGREES_WITHIN) for time in side) >= AGREEING for side in sides
    )


def summary(measured: list[Round]) -> tuple[float, float]:
    """The median ratio of the rounds, and the ratio of the two best rounds."""
    median = float(np.median([r.ratio for r in measured]))
    best = min(r.ours for r in measured) / min(r.theirs for r in measured)
    return median, best


def rounding(measured: list[Round]) -> float:
    """By how much their rounding may move the ratio."""
    return ROUNDED_MS / min(r.theirs for r in measured)


def spread(measured: list[Round]) -> float:
    """The interquartile range of the rounds' ratios."""
    low, high = np.percentile([r.ratio for r in measured], [25, 75])
    return float(high - low)


def _ours(model: Path, threads: int, runs: int) -> float:
    request = Request(model, threads=threads, warmup_runs=WARMUP_RUNS, runs=runs, min_seconds=0.0)
    result = benchmark_model(request, on_progress=lambda done, note: None)
    return float(result["summary"]["p50"])


def _theirs(model: Path, threads: int, runs: int) -> float:
    beside = Path(sys.executable).with_name(PROGRAM)
    program = str(beside) if beside.exists() else shutil.which(PROGRAM)
    if program is None:
        raise MissingDependency(f"{PROGRAM} comes with ai-edge-litert 2.3: upgrade it with pip")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        command = [program, "--model", str(model), "--num_threads", str(threads)]
        command += ["--num_runs", str(runs), "--warmup_runs", str(WARMUP_RUNS)]
        done = subprocess.run(
            [*command, "--result_json", str(out)],
            capture_output=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        if done.returncode or not out.is_file():
            raise KitError(f"{PROGRAM} failed: {done.stderr.decode(errors='replace')[-300:]}")
        return _median(json.loads(out.read_text()))


def _median(content: object) -> float:
    """The median in their JSON, wherever the version put it."""
    if isinstance(content, dict):
        for key, value in content.items():
            if "median" in key and isinstance(value, (int, float)):
                return float(value)
        for value in content.values():
            found = _median(value)
            if found:
                return found
    return 0.0


def main() -> None:
    """Print a line for each round and the verdict; exit 1 when it is beyond the limit."""
    from asmnet_kit.predict.blazeface import SHORT_RANGE

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("model", nargs="?", type=Path, default=SHORT_RANGE.path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--most-rounds", type=int, default=MAX_ROUNDS)
    parser.add_argument("--runs", type=int, default=RUNS)
    chosen = parser.parse_args()
    try:
        measured = compare_harness(
            chosen.model,
            threads=chosen.threads,
            rounds=chosen.rounds,
            most_rounds=chosen.most_rounds,
            runs=chosen.runs,
        )
    except KitError as error:
        sys.exit(f"Error: {error}")
    for number, one in enumerate(measured, start=1):
        times = f"ours {one.ours:.4f} ms, {PROGRAM} {one.theirs:.4f} ms"
        print(f"round {number}: {times}, ratio {one.ratio:.3f}")
    median, best = summary(measured)
    print(f"{chosen.model.name}, {chosen.threads} thread(s), {len(measured)} rounds:")
    print(f"p50 ratio {median:.4f} (median of the rounds), {best:.4f} (best round of each)")
    judged = median
    if spread(measured) > MAX_SPREAD:
        print("the rounds differ too much (other programs run): the best rounds are judged")
        if not is_settled(measured):
            print("even the best ones were met once or twice: measure again on a quieter machine")
        judged = best
    limit = LIMIT + rounding(measured)
    allowed = f"{100 * LIMIT:.0f} % and the {100 * rounding(measured):.1f} % of their rounding"
    print(f"{'within' if abs(judged - 1) <= limit else 'beyond'} {allowed}")
    if abs(judged - 1) > limit:
        sys.exit(1)


if __name__ == "__main__":
    main()
