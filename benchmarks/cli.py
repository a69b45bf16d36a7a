"""``asmnet-kit benchmark``: measure .tflite models and write one result file for each."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asmnet_kit.errors import GateError, KitError, UsageError
from asmnet_kit.options import data_options, json_option, out_option

if TYPE_CHECKING:
    from rich.progress import TaskID

    from asmnet_kit.benchmarks.runner import Data
    from asmnet_kit.benchmarks.targets.protocol import Request
    from asmnet_kit.results import Result


@click.command(short_help="Measure a .tflite model's speed on a target.")
@click.argument(
    "models",
    metavar="MODEL...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    default=["cpu"],
    show_default=True,
    help="Where to run; may be given several times.",
)
@click.option(
    "--threads",
    multiple=True,
    default=[1],
    show_default=True,
    type=click.IntRange(min=1),
    help="CPU threads; may be given several times.",
)
@click.option(
    "--warmup",
    default=20,
    show_default=True,
    type=click.IntRange(min=0),
    help="Runs before the timed ones, at least.",
)
@click.option(
    "--runs",
    default=200,
    show_default=True,
    type=click.IntRange(min=1),
    help="Timed runs, at least.",
)
@click.option(
    "--seconds",
    default=2.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Timed runs go on at least this long.",
)
@click.option(
    "--max-seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="Timed runs end after this long, whatever their number.  [default: 300]",
)
@click.option(
    "--xnnpack/--no-xnnpack",
    default=True,
    show_default=True,
    help="Let the CPU target use the XNNPACK kernels, or the builtin ones alone.",
)
@data_options(required=False)
@click.option("--split", help="Folder of the data set to take (train, val, test); all by default.")
@json_option
@out_option("Folder for the result files, one JSON for each model, target and number of threads.")
def benchmark(
    models: tuple[Path, ...],
    targets: tuple[str, ...],
    threads: tuple[int, ...],
    warmup: int,
    runs: int,
    seconds: float,
    max_seconds: float | None,
    xnnpack: bool,
    data: Path | None,
    data_format: str | None,
    split: str | None,
    as_json: bool,
    out: Path,
) -> None:
    """Measure the speed of .tflite MODELs: any model, each in a process of its own.

    With --data the accuracy through the very same runtime and kernels is measured too. Each result
    holds the raw times, the machine, the runtime and the evidence of where the model ran.

    \b
    Examples:
      asmnet-kit benchmark models/*.tflite --threads 1 --threads 2 --out results
      asmnet-kit benchmark m.tflite --data faces --format 300w --split test --out results
    """
    from asmnet_kit.benchmarks.runner import Data, requests_for
    from asmnet_kit.benchmarks.targets.protocol import Request, load_target
    from asmnet_kit.datasets.registry import load_dataset
    from asmnet_kit.files import require_writable

    if (data is None) != (data_format is None):
        raise UsageError("expected --data and --format together, got one of them")
    if split is not None and data is None:
        raise UsageError("--split chooses a part of --data, which is not given")
    # A mistake is refused before anything is measured.
    require_writable(out)
    for name in targets:
        load_target(name)
    if data is not None and data_format is not None:
        load_dataset(data, data_format, split=split)
    limit = max(Request.max_seconds, seconds) if max_seconds is None else max_seconds
    template = Request(
        model=models[0],
        warmup_runs=warmup,
        runs=runs,
        min_seconds=seconds,
        max_seconds=limit,
        xnnpack=xnnpack,
    )
    dataset = Data(data, data_format, split) if data and data_format else None
    requests = requests_for(list(models), list(targets), list(threads), template)
    written, failures = _measure_all(requests, dataset, out)
    _print(written, out, as_json=as_json)
    if failures:
        reasons = "\n".join(dict.fromkeys(failures))
        raise GateError(f"{len(failures)} of {len(requests)} measurements failed:\n{reasons}")


def _measure_all(
    requests: "list[Request]", data: "Data | None", out: Path
) -> "tuple[dict[Path, Result], list[str]]":
    """Measure, write each result as soon as it is there; what was written and what failed."""
    from asmnet_kit.benchmarks.runner import benchmark_model, measure_accuracy, result_file_name
    from asmnet_kit.benchmarks.targets.protocol import load_target
    from asmnet_kit.console import progress
    from asmnet_kit.results import save_result

    written: dict[Path, Result] = {}
    failures: list[str] = []
    accuracies: dict[tuple[Path, str], dict[str, object] | str] = {}
    with progress() as bar:
        for request in requests:
            title = f"{request.model.name}, {request.target}, {request.threads} thread(s)"
            task = bar.add_task(title, total=100, note="")

            def on_progress(done: float, note: str, task: "TaskID" = task) -> None:
                bar.update(task, completed=100 * done, note=note)

            problem = load_target(request.target).problem()
            if problem:
                failures.append(f"{request.model}: target {request.target}: {problem}")
                continue
            try:
                result = benchmark_model(request, on_progress=on_progress)
            except KitError as error:
                failures.append(str(error))
                bar.update(task, note="failed")
                continue
            if data is not None:
                # Threads change no output: one measurement for each target is enough.
                key = (request.model, request.target)
                if key not in accuracies:
                    try:
                        accuracies[key] = measure_accuracy(request, data, on_progress=on_progress)
                    except KitError as error:
                        accuracies[key] = str(error)
                        failures.append(str(error))
                accuracy = accuracies[key]
                if isinstance(accuracy, str):
                    result["warnings"].append(f"accuracy not measured: {accuracy}")
                else:
                    result["accuracy"] = accuracy
            path = out / result_file_name(result, taken={p.name for p in written})
            save_result(path, result)
            written[path] = result
            bar.update(task, completed=100, note=f"p50 {result['summary']['p50']:.2f} ms")
    return written, failures


def _print(written: "dict[Path, Result]", out: Path, *, as_json: bool) -> None:
    """The results as a table or JSON on stdout; warnings and the next step on stderr."""
    from rich.table import Table

    from asmnet_kit.console import print_json, stderr, stdout
    from asmnet_kit.reports.text import grouped

    if as_json:
        print_json({"results": {str(path): result for path, result in written.items()}})
    elif written:
        table = Table()
        table.add_column("model", overflow="fold")
        table.add_column("target")
        headings = ("p50 ms", "p90 ms", "p99 ms", "runs/s", "peak MB", "size KB")
        for heading in (*headings, "NME %"):
            table.add_column(heading, justify="right")
        for result in written.values():
            summary, target = result["summary"], result["target"]
            peak = result["memory"]["peak_rss_bytes"]
            nme = (result["accuracy"] or {}).get("nme_percent")
            table.add_row(
                result["model"]["name"],
                f"{target['actual']} x{target['threads']} {target['delegate'] or 'builtin'}",
                *(f"{summary[name]:.2f}" for name in ("p50", "p90", "p99")),
                f"{summary['runs_per_second']:.0f}",
                "-" if peak is None else f"{peak / 1e6:.0f}",
                f"{result['model']['size_bytes'] / 1000:.0f}",
                "-" if nme is None else f"{nme:.2f}",
            )
        stdout().print(table)
    messages = stderr()
    warnings = [(text, path.name) for path, r in written.items() for text in r["warnings"]]
    for text, names in grouped(warnings):
        whose = names[0] if len(names) == 1 else f"{len(names)} of {len(written)} results"
        messages.print(f"warning: {text} ({whose})", markup=False, style="yellow")
    if written:
        messages.print(
            f"{len(written)} result(s) in {out}. Next: asmnet-kit report {shlex.quote(str(out))} "
            "--out report.html",
            markup=False,
        )
