"""``asmnet-kit benchmark``: measure .tflite models and write one result file for each."""

import re
import shlex
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from asmnet_kit.base.errors import GateError, KitError, UsageError
from asmnet_kit.base.limits import MAX_THREADS
from asmnet_kit.commands.options import (
    TFLITE,
    InputPath,
    ModelPath,
    data_options,
    is_given,
    json_option,
    measured_split_option,
    out_option,
)

if TYPE_CHECKING:
    from asmnet_kit.benchmarks.protocol import Request
    from asmnet_kit.benchmarks.runner import Data
    from asmnet_kit.results.results import Result

OTHER_MACHINES = ("android", "linux")  # targets that do not use this one
GPUS_ELSEWHERE = ("android:gpu", "linux:gpu")

WITH_AFFINITY = ("cpu", "linux")  # targets whose process can be held to CPUs
RUNTIMES = ("ai-edge-litert", "tflite-runtime")  # of asmnet_kit.tflite.runtime, which imports NumPy
CPUS = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?")
MAX_CPUS = 4096  # more than any machine has

# MLPerf Mobile's single-stream scenario.
SINGLE_STREAM_RUNS = 1024
SINGLE_STREAM_SECONDS = 60.0


def _parse_cpus(ctx: click.Context, param: click.Parameter, value: str | None) -> tuple[int, ...]:
    """``0,2-3`` as (0, 2, 3)."""
    cpus: set[int] = set()
    for part in (value or "").split(",") if value is not None else ():
        found = CPUS.fullmatch(part.strip())
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if not first <= last < MAX_CPUS:
            raise click.BadParameter(f"expected numbers of CPUs such as 0,2 or 4-7, got {value!r}")
        cpus.update(range(first, last + 1))
    return tuple(sorted(cpus))


@click.command(short_help="Measure a .tflite model's speed on a target.")
@click.argument(
    "models",
    metavar="MODEL...",
    nargs=-1,
    required=True,
    type=ModelPath(TFLITE),
)
@click.option(
    "--target",
    "targets",
    multiple=True,
    default=["cpu"],
    show_default=True,
    help="Where to run: cpu, gpu, edgetpu, android, android:gpu, android:nnapi, linux, linux:gpu, "
    "linux:edgetpu or another package's target; may be given several times.",
)
@click.option(
    "--threads",
    multiple=True,
    default=[1],
    show_default=True,
    type=click.IntRange(min=1, max=MAX_THREADS),
    help="CPU threads; may be given several times.",
)
@click.option(
    "--affinity",
    metavar="CPUS",
    callback=_parse_cpus,
    help="Hold the process to these CPUs, for example 0,2 or 4-7 (cpu and linux).",
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
@click.option(
    "--runtime",
    type=click.Choice(RUNTIMES),
    help="Whose interpreter runs the model on the CPU target.  [default: the first one installed]",
)
@click.option(
    "--single-stream",
    is_flag=True,
    help="As MLPerf Mobile's single stream: at least 1,024 runs and 60 seconds, judged by p90.",
)
@click.option(
    "--sustained",
    "sustained_minutes",
    metavar="MINUTES",
    default=0.0,
    type=click.FloatRange(min=0),
    help="Run on for this long without a pause and record the curve: heat shows there.",
)
@click.option(
    "--profile", is_flag=True, help="Measure the time of each operator, too (CPU with XNNPACK)."
)
@click.option(
    "--max-nme",
    type=click.FloatRange(min=0, min_open=True),
    help="Accuracy target: end with 1 when the NME through the target is above it; needs --data.",
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    help="Which device, where the target has several (usb:0, pci:0 for edgetpu; a serial number "
    "for android; user@host for linux); may be given several times.",
)
@click.option(
    "--gpu-precision",
    type=click.Choice(["fp32", "fp16"]),
    help="Arithmetic of the GPU; fp16 is faster and less exact.  [default: fp32]",
)
@click.option(
    "--edgetpu-compiler",
    help="The program edgetpu_compiler (linux:edgetpu: on the board; without it this machine's, "
    "where there is one).  [default: $EDGETPU_COMPILER, then the PATH]",
)
@click.option(
    "--edgetpu-library",
    help="The library of the Edge TPU's delegate (linux:edgetpu: on the board).  "
    "[default: libedgetpu.so.1]",
)
@click.option(
    "--edgetpu-model",
    type=InputPath("MODEL as edgetpu_compiler compiled it"),
    help="MODEL as edgetpu_compiler compiled it on another machine: the compiler runs on x86-64 "
    "alone, most boards are Arm.",
)
@click.option(
    "--benchmark-model",
    type=InputPath("TensorFlow Lite's benchmark_model for Android"),
    help="Measure with this program in place of the app (android).",
)
@click.option(
    "--inputs",
    type=InputPath("a file of raw inputs"),
    help="File of raw inputs that the measured model runs once each, after the timed runs.",
)
@click.option(
    "--outputs",
    type=click.Path(path_type=Path),
    help="Where the raw outputs of --inputs go, in their order.",
)
@data_options(
    required=False,
    note="Measures the accuracy through each target, too, phones and boards included.",
)
@measured_split_option
@json_option
@out_option("Folder for the result files, one JSON for each model, target and number of threads.")
def benchmark(
    models: tuple[Path, ...],
    targets: tuple[str, ...],
    threads: tuple[int, ...],
    affinity: tuple[int, ...],
    warmup: int,
    runs: int,
    seconds: float,
    max_seconds: float | None,
    xnnpack: bool,
    runtime: str | None,
    single_stream: bool,
    sustained_minutes: float,
    profile: bool,
    max_nme: float | None,
    devices: tuple[str, ...],
    gpu_precision: str | None,
    edgetpu_compiler: str | None,
    edgetpu_library: str | None,
    edgetpu_model: Path | None,
    benchmark_model: Path | None,
    inputs: Path | None,
    outputs: Path | None,
    data: Path | None,
    data_format: str | None,
    split: str | None,
    as_json: bool,
    out: Path,
) -> None:
    """Measure the speed of .tflite MODELs: any model, each in a process of its own. The name of a
    model that comes with the kit will do for its path.

    With --data the accuracy through the very same runtime and kernels is measured too; a phone or a
    board gets the faces' crops, and its landmarks are compared with this machine's CPU's. Each
    result holds the raw times, the machine, the runtime and the evidence of where the model ran.

    \b
    Examples:
      asmnet-kit benchmark models/*.tflite --threads 1 --threads 2 --out results
      asmnet-kit benchmark m.tflite --data faces --format 300w --split test --out results
    """
    from asmnet_kit.base.files import require_writable
    from asmnet_kit.benchmarks.protocol import WITHOUT_THREADS, Request
    from asmnet_kit.benchmarks.runner import WITHOUT_DEVICES, Data, requests_for
    from asmnet_kit.benchmarks.targets.registry import load_target, refuse_request, refuse_unowned
    from asmnet_kit.datasets.registry import load_dataset
    from asmnet_kit.tflite.tensorfile import read_tensors

    if single_stream:
        for option in ("runs", "seconds"):
            if is_given(option):
                raise UsageError(f"--single-stream sets --{option} itself: give one of the two")
        runs, seconds = SINGLE_STREAM_RUNS, SINGLE_STREAM_SECONDS
    if max_nme is not None and data is None:
        raise UsageError("--max-nme is about accuracy: it needs --data and --format")
    if (data is None) != (data_format is None):
        raise UsageError("expected --data and --format together, got one of them")
    if data is not None and benchmark_model is not None:
        raise UsageError(
            "--data measures through the app, but --benchmark-model takes its place: leave one out"
        )
    if split is not None and data is None:
        raise UsageError("--split chooses a part of --data, which is not given")
    if affinity and not set(targets) <= set(WITH_AFFINITY):
        raise UsageError(f"--affinity is for the targets {' and '.join(WITH_AFFINITY)} alone")
    if devices and set(targets) <= set(WITHOUT_DEVICES):
        raise UsageError(
            f"--device chooses one of several, which the targets {' and '.join(WITHOUT_DEVICES)} "
            f"do not have: leave it out"
        )
    if is_given("threads") and set(targets) <= set(WITHOUT_THREADS):
        raise UsageError(
            f"--threads are the CPU's, which the targets {' and '.join(WITHOUT_THREADS)} do not "
            f"compute on: leave it out"
        )
    told = {
        "gpu_precision": gpu_precision,
        "edgetpu_compiler": edgetpu_compiler,
        "edgetpu_library": edgetpu_library,
        "edgetpu_model": None if edgetpu_model is None else str(edgetpu_model),
        "benchmark_model": None if benchmark_model is None else str(benchmark_model),
        "runtime": runtime,
    }
    options = {name: value for name, value in told.items() if value is not None}
    if edgetpu_model is not None and len(set(models)) > 1:
        raise UsageError(f"--edgetpu-model is of one MODEL, got {len(set(models))}")
    if (inputs is None) != (outputs is None):
        raise UsageError("expected --inputs and --outputs together, got one of them")
    # A mistake is refused before anything is measured.
    require_writable(out)
    if inputs is not None and outputs is not None:
        require_writable(outputs.parent)
        if outputs.is_dir():
            raise UsageError(
                f"{outputs}: expected the name of a file for the outputs, got a folder"
            )
    for name in targets:
        load_target(name)
    refuse_unowned(options, targets)
    limit = max(Request.max_seconds, seconds) if max_seconds is None else max_seconds
    template = Request(
        model=models[0],
        warmup_runs=warmup,
        runs=runs,
        min_seconds=seconds,
        max_seconds=limit,
        xnnpack=xnnpack,
        affinity=affinity,
        mode="single-stream" if single_stream else "standard",
        sustained_minutes=sustained_minutes,
        profile=profile,
        options=options,
        inputs=inputs,
        outputs=outputs,
    )
    requests = requests_for(
        list(models), list(targets), list(threads), template, devices=list(devices)
    )
    for request in requests:
        refuse_request(request)
    if inputs is not None:
        read_tensors(inputs)
    if data is not None and data_format is not None:
        load_dataset(data, data_format, split=split)
    dataset = Data(data, data_format, split) if data and data_format else None
    if inputs is not None and len(requests) > 1:
        raise UsageError(
            f"--outputs takes the outputs of one measurement, got {len(requests)}: name one model, "
            f"target, device and number of threads"
        )
    written, failures = _measure_all(requests, dataset, out)
    _print(written, out, as_json=as_json)
    failures += _above(max_nme, written)
    if failures:
        reasons = "\n".join(dict.fromkeys(failures))
        raise GateError(f"{len(failures)} of {len(requests)} measurements failed:\n{reasons}")


def _above(max_nme: float | None, written: "dict[Path, Result]") -> list[str]:
    """Results that miss the accuracy target."""
    if max_nme is None:
        return []
    missed = []
    for path, result in written.items():
        nme = (result["accuracy"] or {}).get("nme_percent")
        if nme is None or nme > max_nme:
            got = "none was measured" if nme is None else f"got {nme:.3f} %"
            missed.append(f"{path}: expected an NME of at most {max_nme:g} %, {got}")
    return missed


def _measure_all(
    requests: "list[Request]", data: "Data | None", out: Path
) -> "tuple[dict[Path, Result], list[str]]":
    """Measure, write each result as soon as it is there; what was written and what failed."""
    from asmnet_kit.base.console import progress
    from asmnet_kit.benchmarks.runner import benchmark_model, measure_accuracy, result_file_name
    from asmnet_kit.benchmarks.targets.registry import load_target
    from asmnet_kit.benchmarks.timing.session_timing import SAME_BITS
    from asmnet_kit.results.results import save_result

    written: dict[Path, Result] = {}
    failures: list[str] = []
    accuracies: dict[tuple[Path, str, str], dict[str, Any] | str] = {}
    lock = threading.Lock()

    def measure(request: "Request") -> None:
        title = f"{request.model.name}, {request.target}, {request.device or request.threads}"
        task = bar.add_task(title, total=100, note="")

        def on_progress(done: float, note: str) -> None:
            bar.update(task, completed=100 * done, note=note)

        problem = load_target(request.target).problem(request)
        if problem:
            failures.append(f"{request.model}: target {request.target}: {problem}")
            return
        try:
            result = benchmark_model(request, on_progress=on_progress, data=data)
        except KitError as error:
            failures.append(str(error))
            bar.update(task, note="failed")
            return
        if data is not None:
            # Threads change no output: one measurement for each target is enough.
            key = (request.model, request.target, request.device)
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
                result |= accuracy
                if request.target in GPUS_ELSEWHERE and result["parity"]["identical"]:
                    result["warnings"] = list(dict.fromkeys([*result["warnings"], SAME_BITS]))
        with lock:
            path = out / result_file_name(result, taken={p.name for p in written})
            save_result(path, result)
            written[path] = result
        bar.update(task, completed=100, note=f"p50 {result['summary']['p50']:.2f} ms")

    # Machines work side by side; what shares one goes one after the other.
    lanes: dict[str, list[Request]] = {}
    for request in requests:
        elsewhere = request.target.partition(":")[0] in OTHER_MACHINES
        lanes.setdefault(request.device if elsewhere else "", []).append(request)

    def measure_lane(lane: "list[Request]") -> None:
        for request in lane:
            measure(request)

    with progress() as bar, ThreadPoolExecutor(max_workers=len(lanes)) as pool:
        list(pool.map(measure_lane, lanes.values()))
    return dict(sorted(written.items())), failures


def _where(target: "dict[str, Any]") -> str:
    """For example ``cpu x1 XNNPACK``."""
    from asmnet_kit.benchmarks.protocol import cpu_list

    threads = f"x{target['threads']}" if target["threads"] else ""
    held = f"on CPUs {cpu_list(target['affinity'])}" if target.get("affinity") else ""
    kernels = target["delegate"] or "builtin"
    words = (target["actual"], target.get("device"), target.get("tool"), threads, held, kernels)
    return " ".join(word for word in words if word)


def _measured_on(accuracy: "dict[str, Any]") -> str:
    """For example ``NME over 488 faces of faces68 (test)``."""
    split = f" ({accuracy['split']})" if accuracy["split"] else ""
    return f"NME over {accuracy['faces']} faces of {accuracy['dataset']}{split}"


def _print(written: "dict[Path, Result]", out: Path, *, as_json: bool) -> None:
    """The results as a table or JSON on stdout; warnings and the next step on stderr."""
    from rich.table import Table

    from asmnet_kit.base.console import print_json, stderr, stdout
    from asmnet_kit.results.report.text import grouped

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
                _where(target),
                *(f"{summary[name]:.2f}" for name in ("p50", "p90", "p99")),
                f"{summary['runs_per_second']:.0f}",
                "-" if peak is None else f"{peak / 1e6:.0f}",
                f"{result['model']['size_bytes'] / 1000:.0f}",
                "-" if nme is None else f"{nme:.2f}",
            )
        stdout().print(table)
    messages = stderr()
    accuracies = [r["accuracy"] for r in written.values() if r["accuracy"] is not None]
    for text in dict.fromkeys(_measured_on(accuracy) for accuracy in accuracies):
        messages.print(text, markup=False)
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
