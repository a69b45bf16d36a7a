"""How long a report of many results takes.

Usage: make bench-report [ARGS="--count 1000 --rounds 3"]

The results are copies of the reference results under other names, so as large as real ones. The
command runs as a user runs it, in a process of its own. Wall time means something on a quiet
machine; CPU time on any.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from asmnet_kit.base.errors import KitError
from asmnet_kit.results.results import Result, load_results, save_result

RESULTS = 1000


def write_results(folder: Path, originals: Sequence[Result], count: int) -> None:
    """Write ``count`` results: the originals in turn, each time as models of another name."""
    for index in range(count):
        original = originals[index % len(originals)]
        name = f"{original['model']['name']}_{index // len(originals)}"
        model = original["model"] | {"name": name, "sha256": f"{index:064x}"}
        save_result(folder / f"{index:06}.json", original | {"model": model})


def time_report(results: Path, out: Path) -> tuple[float, float]:
    """Wall and CPU seconds of ``asmnet-kit report``, from the start of Python to its end.

    Raises:
        KitError: the command failed.
    """
    before, started = os.times(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "asmnet_kit", "report", str(results), "--out", str(out)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    wall_s, after = time.perf_counter() - started, os.times()
    if done.returncode:
        raise KitError(f"asmnet-kit report ended with {done.returncode}: {done.stderr.strip()}")
    cpu_s = sum(after[2:4]) - sum(before[2:4])  # user and system time of child processes
    return wall_s, cpu_s


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("results", type=Path, help="results to copy: files or a folder")
    parser.add_argument("--count", type=int, default=RESULTS, help=f"(default: {RESULTS})")
    parser.add_argument("--rounds", type=int, default=3, help="(default: 3)")
    options = parser.parse_args()
    try:
        originals = [result for _, result in load_results([options.results])]
        with tempfile.TemporaryDirectory() as folder:
            results, out = Path(folder) / "results", Path(folder) / "report.html"
            write_results(results, originals, options.count)
            for _ in range(options.rounds):
                wall_s, cpu_s = time_report(results, out)
                print(
                    json.dumps(
                        {
                            "results": options.count,
                            "wall_s": round(wall_s, 2),
                            "cpu_s": round(cpu_s, 2),
                            "html_mb": round(out.stat().st_size / 1e6, 2),
                        }
                    )
                )
    except KitError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
