"""Real measurements of the kit's models, kept in the repository.

Usage: make reference [MODELS="a.tflite b.tflite"] [REFERENCE=DIR] [ARGS="--target gpu"]

Runs the CPU target with one and two threads, or with ``--target gpu`` the GPU, writes a result file
for each beside those that are there already, and an index of all of them. Every figure in the index
is read from a result file.
The machine should do nothing else: what disturbed a measurement is written into the index, too.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from asmnet_kit.benchmarks.studies.options import folder_option, models_argument
from asmnet_kit.results.results import Result

FOLDER = Path("benchmarks/reference")
THREADS = (1, 2)
RUNS = 1000  # a p99 stands on ten of them, and a result file stays below 40 KB
WARMUP_RUNS = 200

HEADER = """# Reference results

Written by `make reference`; every figure is read from the result files in this folder, which hold
the raw samples and the facts of the machine. They were measured on the machines below and on no
other.
To measure on yours: `make reference REFERENCE=somewhere`, the GPU with `ARGS='--target gpu'`
besides, then `asmnet-kit compare benchmarks/reference somewhere --across machine` (without the GPU
it ends with 1 and names what is missing).
"""


@click.command()
@models_argument
@folder_option("--out", FOLDER, "Folder of the results.")
@click.option(
    "--target",
    type=click.Choice(["cpu", "gpu"]),
    default="cpu",
    show_default=True,
    help="What runs the models; gpu without a GPU is measured in software and labelled so.",
)
@click.option(
    "--runs", type=click.IntRange(min=1), default=RUNS, show_default=True, help="Timed runs."
)
def main(models: tuple[Path, ...], out: Path, target: str, runs: int) -> None:
    """Measure MODELs on this machine's CPU, with 1 and 2 threads, or GPU, and write the index.

    Leave the machine alone meanwhile.

    \b
    Example:
      python -m asmnet_kit.benchmarks.studies.measure_reference toolkit/models/*.tflite
    """
    from asmnet_kit.base.console import stderr
    from asmnet_kit.base.files import write_text
    from asmnet_kit.results.results import load_results

    measure(models, out, target=target, runs=runs)
    index = out / "README.md"
    write_text(index, index_page(load_results([out])))
    stderr().print(f"{index}. Next: look at it, then commit {out}", markup=False)


def measure(models: Sequence[Path], out: Path, *, target: str = "cpu", runs: int = RUNS) -> None:
    """Write a result file for each model and number of threads.

    Raises:
        UsageError: ``out`` cannot be written to.
        ModelError: a model cannot be loaded or run.
        TargetError: something else than ``target`` ran it.
    """
    from asmnet_kit.base.console import stderr
    from asmnet_kit.base.files import require_writable
    from asmnet_kit.benchmarks.call import requests_for
    from asmnet_kit.benchmarks.protocol import Request
    from asmnet_kit.benchmarks.runner import benchmark_model, result_file_name
    from asmnet_kit.benchmarks.targets.registry import load_target
    from asmnet_kit.results.results import save_result

    require_writable(out)
    template = Request(
        models[0],
        warmup_runs=WARMUP_RUNS,
        runs=runs,
        min_seconds=0.0,
        profile=load_target(target).abilities.has_profiler,
    )
    taken: set[str] = set()
    messages = stderr()
    for request in requests_for(models, [target], template, threads=THREADS):
        result = benchmark_model(request, on_progress=lambda done, note: None)
        name = result_file_name(result, taken=taken)
        taken.add(name)
        save_result(out / name, result, replace=True)
        messages.print(f"{name}: p50 {result['summary']['p50']:.4f} ms", markup=False)
        for warning in result["warnings"]:
            messages.print(f"warning: {warning}", markup=False, style="yellow")


def index_page(results: Sequence[tuple[Path, Result]]) -> str:
    """The index, Markdown: a table for each machine and runtime, and what disturbed them."""
    parts = [HEADER]
    groups: dict[str, list[tuple[Path, Result]]] = {}
    for path, result in results:
        groups.setdefault(_place(result), []).append((path, result))
    for place, members in groups.items():
        parts.append(f"## {place}\n\n{_machine(members[0][1]['machine'])}\n\n{_table(members)}")
        disturbed = [
            f"- `{path.stem}`: {_plain(text)}"
            for path, result in members
            for text in result["warnings"]
        ]
        if disturbed:
            parts.append("Read these with care:\n\n" + "\n".join(disturbed) + "\n")
        proofs = [
            f"- `{path.stem}`: {_plain('; '.join(result['target']['proof']))}"
            for path, result in members
            if result["target"].get("adapter")
        ]
        if proofs:
            parts.append("Proof of where they ran:\n\n" + "\n".join(proofs) + "\n")
    return "\n".join(parts)


def _place(result: Result) -> str:
    """What must be alike for two results to stand in one table."""
    machine, runtime, target = result["machine"], result["runtime"], result["target"]
    adapter = f", {target['actual']}: {target['adapter']}" if target.get("adapter") else ""
    cores = f", {machine['cores']} cores" if machine.get("cores") else ""
    return _plain(f"{machine.get('cpu')}{cores}, {runtime['name']} {runtime['version']}{adapter}")


def _machine(machine: dict[str, Any]) -> str:
    sets = ", ".join(machine.get("instruction_sets") or []) or "unknown"
    kind = ", ".join(machine.get("container") or []) or "no virtual machine or container seen"
    return _plain(
        f"{machine.get('os')}, {machine.get('kernel')}; {kind}. Instruction sets: {sets}."
    )


def _table(members: Sequence[tuple[Path, Result]]) -> str:
    headings = "model | KB | threads | p50 ms (95 %) | p90 | p99 | pre | post | peak MB | runs | on"
    lines = [f"| {headings} |", "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|"]
    for path, result in members:
        model, summary, timings = result["model"], result["summary"], result["timings_ms"]
        low, high = (result.get("intervals_ms") or {}).get("p50") or (None, None)
        peak = result["memory"]["peak_rss_bytes"]
        cells = [
            f"[{_plain(model['name'])}]({path.name})",
            f"{model['size_bytes'] / 1000:.0f}",
            str(result["target"]["threads"] or "-"),
            f"{summary['p50']:.4f} ({_figure(low)} to {_figure(high)})",
            _figure(summary["p90"]),
            _figure(summary["p99"]),
            _figure(timings["pre"]),
            _figure(timings["post"]),
            "-" if peak is None else f"{peak / 1e6:.0f}",
            str(len(timings["invoke"])),
            str(result.get("measured_at", ""))[:10] or "-",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _figure(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:.4f}"


def _plain(text: str) -> str:
    """On one line, without a character that ends a table's cell."""
    return " ".join(text.split()).replace("|", "/")


if __name__ == "__main__":
    main()
