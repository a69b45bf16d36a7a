"""``asmnet-kit benchmark``: measure .tflite models and write one result file for each."""

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from asmnet_kit.base.errors import GateError, Interrupted, UsageError
from asmnet_kit.base.limits import MAX_THREADS
from asmnet_kit.benchmarks.options import (
    BENCHMARK_MODEL,
    EDGETPU_COMPILER,
    EDGETPU_LIBRARY,
    EDGETPU_MODEL,
    FLAGS,
    GPU_PRECISION,
    NPU_LIBRARIES,
    RUNTIME,
    Option,
    parse_named_options,
)
from asmnet_kit.commands.options import (
    TFLITE,
    InputPath,
    ModelPath,
    NumberRange,
    OnceCommand,
    adapter_option,
    boxes_option,
    compared_scheme_option,
    data_options,
    given_scheme,
    input_shape_option,
    is_given,
    json_option,
    measured_split_option,
    out_option,
)

if TYPE_CHECKING:
    from asmnet_kit.benchmarks.protocol import Request
    from asmnet_kit.benchmarks.runner import Data
    from asmnet_kit.face.schemes import Scheme
    from asmnet_kit.results.results import Result

Command = TypeVar("Command", bound=Callable[..., Any])

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


def _flag(option: Option) -> Callable[[Command], Command]:
    """The flag of an option that single targets follow."""
    kind: Any = str
    if option.choices:
        kind = click.Choice(option.choices)
    elif option.file:
        kind = InputPath(option.file)
    return click.option(option.flag, option.name, type=kind, help=option.help)


@click.command(cls=OnceCommand, short_help="Measure a .tflite model's speed on a target.")
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
    help="Where to run: cpu, gpu, edgetpu, android, android:gpu, android:nnapi, android:npu, "
    "linux, linux:gpu, linux:edgetpu, browser (an installed Chromium: WebAssembly, one thread), "
    "browser:wasm-threads, browser:webgpu, tflm (TensorFlow Lite Micro on this machine) or another "
    "package's target; may be given several times.",
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
    help="Pin the process to these CPUs, for example 0,2 or 4-7 (cpu and linux).",
)
@click.option(
    "--warmup",
    "warmup_runs",
    default=20,
    show_default=True,
    type=click.IntRange(min=0),
    help="Minimum number of warm-up runs.",
)
@click.option(
    "--runs",
    default=200,
    show_default=True,
    type=click.IntRange(min=1),
    help="Minimum number of timed runs.",
)
@click.option(
    "--seconds",
    "min_seconds",
    default=2.0,
    show_default=True,
    type=NumberRange(min=0),
    help="Minimum duration of the timed runs, in seconds.",
)
@click.option(
    "--max-seconds",
    type=NumberRange(min=0, min_open=True),
    help="Stop the timed runs after this many seconds, whatever their number.  [default: 300]",
)
@click.option(
    "--xnnpack/--no-xnnpack",
    default=True,
    show_default=True,
    help="Use the XNNPACK kernels on the CPU, or only the builtin ones.",
)
@_flag(RUNTIME)
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
    type=NumberRange(min=0),
    help=(
        "Keep running for this many minutes without a pause and record the curve, which shows "
        "throttling."
    ),
)
@click.option(
    "--profile", is_flag=True, help="Also measure the time of each operator (CPU with XNNPACK)."
)
@click.option(
    "--max-nme",
    type=NumberRange(min=0, min_open=True),
    help="Exit with 1 if the NME on the target is above this; needs --data.",
)
@click.option(
    "--max-parity",
    metavar="PX",
    type=NumberRange(min=0, min_open=True),
    help=(
        "Maximum distance between an accelerator's landmarks and those of this machine's CPU, "
        "in pixels of the crop; for a model without landmarks, in the unit of each output's "
        "scale.  [default: what the output's scale and the target's arithmetic allow]"
    ),
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    help=(
        "Which device, if the target has several (usb:0, pci:0 for edgetpu; a serial number "
        "for android; user@host for linux); may be given several times. With several kinds of "
        "targets write TARGET=DEVICE. With --devices: a name in that file."
    ),
)
@click.option(
    "--devices",
    "shelf",
    type=InputPath("a file of devices (TOML)"),
    help="TOML file that names devices, their targets, options and cool-down, in place of "
    "--target; docs/scale.md has an example.",
)
@click.option(
    "--retries",
    default=1,
    show_default=True,
    type=click.IntRange(0, 100),
    help=(
        "How often to try again when a device does not answer or a process is killed. Wrong "
        "outputs and missed limits are never tried again."
    ),
)
@click.option(
    "--entry-temperature",
    metavar="C",
    type=NumberRange(-40, 150),
    help=(
        "Before each measurement, wait until the device is at most this warm, in degrees "
        "Celsius. If a device does not report its temperature, the result has a warning."
    ),
)
@click.option(
    "--entry-minutes",
    default=15.0,
    show_default=True,
    type=NumberRange(min=0),
    help="Maximum wait for --entry-temperature, in minutes; after that the device is given up.",
)
@click.option(
    "--cool-down",
    metavar="SECONDS",
    default=0.0,
    show_default=True,
    type=NumberRange(min=0),
    help="Pause between two measurements on a device.",
)
@_flag(GPU_PRECISION)
@_flag(EDGETPU_COMPILER)
@_flag(EDGETPU_LIBRARY)
@_flag(EDGETPU_MODEL)
@_flag(BENCHMARK_MODEL)
@_flag(NPU_LIBRARIES)
@click.option(
    "--option",
    "more_options",
    metavar="NAME=VALUE",
    multiple=True,
    callback=parse_named_options,
    help="An option of another package's target; may be given several times. The targets that "
    "have an option of that name get it.",
)
@click.option(
    "--inputs",
    type=InputPath("a file of raw inputs"),
    help="File of raw inputs that the measured model runs once each, after the timed runs.",
)
@click.option(
    "--outputs",
    type=click.Path(path_type=Path),
    help="File for the raw outputs of --inputs, in the same order.",
)
@input_shape_option
@adapter_option
@data_options(
    required=False,
    note="Measures the accuracy through each target, too, phones and boards included.",
)
@measured_split_option
@compared_scheme_option(" for the accuracy on --data")
@boxes_option
@json_option
@out_option("Folder for the result files, one JSON for each model, target and number of threads.")
def benchmark(
    models: tuple[Path, ...],
    targets: tuple[str, ...],
    threads: tuple[int, ...],
    devices: tuple[str, ...],
    shelf: Path | None,
    retries: int,
    entry_temperature: float | None,
    entry_minutes: float,
    cool_down: float,
    more_options: dict[str, str],
    single_stream: bool,
    data: Path | None,
    data_format: str | None,
    split: str | None,
    scheme: "Scheme | None",
    boxes: str,
    max_nme: float | None,
    as_json: bool,
    out: Path,
    **asked: Any,
) -> None:
    """Measure the speed of any .tflite MODELs. Instead of a path you can give the name of a model
    that comes with the kit. Each model runs in its own process.

    \b
    Examples:
      asmnet-kit benchmark models/*.tflite --threads 1 --threads 2 --out results
      asmnet-kit benchmark m.tflite --data faces --format 300w --split test --out results
      asmnet-kit benchmark m.tflite --devices devices.toml --entry-temperature 30 --out results

    With --data the accuracy is measured too, with the same runtime and kernels. A phone or a board
    gets the faces' crops, and its landmarks are compared with those of this machine's CPU. Each
    result holds the raw times, the machine, the runtime and the evidence of where the model ran.

    Phones, boards and this machine are measured at the same time, each one measurement after the
    other; a device that fails costs its own results alone.
    """
    from asmnet_kit.base.files import require_writable
    from asmnet_kit.benchmarks.batch import Batch
    from asmnet_kit.benchmarks.call import refuse_requests, refuse_unfollowed, requests_for
    from asmnet_kit.benchmarks.shelf import Care, Job, named_devices, read_devices

    options = _options({name: asked.pop(name) for name in FLAGS}, more_options)
    dataset = _data(data, data_format, split, given_scheme() if scheme else None, boxes, max_nme)
    template = _template(
        models[0], asked, options, single_stream=single_stream, accuracy=dataset is not None
    )
    chosen = threads if is_given("threads") else ()
    # A mistake is refused before anything is measured.
    require_writable(out)
    care = Care(entry_temperature, entry_minutes, cool_down)
    if shelf is None:
        refuse_unfollowed(targets, options=options, threads=chosen, devices=devices)
        requests = requests_for(models, targets, template, threads=chosen, devices=devices)
        jobs = [Job(request, care) for request in requests]
    else:
        if is_given("targets"):
            raise UsageError("--target and --devices both say where to measure: give one of them")
        wanted = named_devices(read_devices(shelf, care=care), devices, shelf)
        every = [target for device in wanted for target in device.targets]
        refuse_unfollowed(every, options=options, threads=chosen)
        jobs = [job for device in wanted for job in device.jobs(models, template, threads=chosen)]
    refuse_requests([job.request for job in jobs])
    if dataset is not None:
        dataset.check(models[0], adapter=template.adapter)
    batch = Batch(jobs, dataset, out, retries=retries)
    try:
        batch.run()
    except KeyboardInterrupt as error:
        raise Interrupted(
            f"interrupted: {len(batch.written)} of {len(jobs)} results are complete, in {out}"
        ) from error
    _print(batch.written, out, as_json=as_json)
    failures = [*batch.failures, *_above(max_nme, batch.written)]
    if failures:
        reasons = "\n".join(dict.fromkeys(failures))
        raise GateError(f"{len(failures)} of {len(jobs)} measurements failed:\n{reasons}")


def _options(flags: Mapping[str, Any], more: Mapping[str, str]) -> dict[str, str]:
    """The targets' own options, by name: those given by flags, and those by --option."""
    given = {name: str(value) for name, value in flags.items() if value is not None}
    for name in more.keys() & given.keys():
        raise UsageError(f"{FLAGS[name].flag} and --option {name} are the same: give one of them")
    return {**given, **more}


def _data(
    data: Path | None,
    format: str | None,
    split: str | None,
    scheme: str | None,
    boxes: str,
    max_nme: float | None,
) -> "Data | None":
    """What the accuracy is measured on.

    Raises:
        UsageError: only a part of it was given.
    """
    from asmnet_kit.benchmarks.runner import Data

    if max_nme is not None and data is None:
        raise UsageError("--max-nme is about accuracy: it needs --data and --format")
    if (data is None) != (format is None):
        raise UsageError("expected --data and --format together, got one of them")
    if split is not None and data is None:
        raise UsageError("--split chooses a part of --data, which is not given")
    if scheme is not None and data is None:
        raise UsageError("--scheme is what --data is compared in, which is not given")
    if data is None and is_given("boxes"):
        raise UsageError("--boxes is about the faces of --data, which is not given")
    if data is None or format is None:
        return None
    return Data(data, format, split, scheme, boxes)


def _template(
    model: Path,
    asked: dict[str, Any],
    options: dict[str, str],
    *,
    single_stream: bool,
    accuracy: bool,
) -> "Request":
    """What every request of the call has in common.

    Args:
        asked: the command's options that are called as the request's fields.
    """
    from asmnet_kit.benchmarks.protocol import Request

    if single_stream:
        for option, field in (("--runs", "runs"), ("--seconds", "min_seconds")):
            if is_given(field):
                raise UsageError(f"--single-stream sets {option} itself: give one of the two")
        asked |= {"runs": SINGLE_STREAM_RUNS, "min_seconds": SINGLE_STREAM_SECONDS}
        asked["mode"] = "single-stream"
    asked["input_shape"] = asked["input_shape"] or ()
    if asked["max_seconds"] is None:
        asked["max_seconds"] = max(Request.max_seconds, asked["min_seconds"])
    if asked["max_seconds"] < asked["min_seconds"]:
        raise UsageError(
            f"expected --max-seconds to be at least --seconds ({asked['min_seconds']:g} s), got "
            f"{asked['max_seconds']:g}"
        )
    return Request(model=model, options=options, accuracy=accuracy, **asked)


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


def _where(target: "dict[str, Any]") -> str:
    """For example ``cpu x1 XNNPACK``; a device by the name that its file gives it."""
    from asmnet_kit.benchmarks.words import cpu_list

    threads = f"x{target['threads']}" if target["threads"] else ""
    held = f"on CPUs {cpu_list(target['affinity'])}" if target.get("affinity") else ""
    kernels = target["delegate"] or "builtin"
    device = target.get("device_name") or target.get("device")
    words = (target["actual"], device, target.get("tool"), threads, held, kernels)
    return " ".join(word for word in words if word)


def _measured_on(accuracy: "dict[str, Any]") -> str:
    """For example ``NME over 488 faces of faces68 (test)``."""
    from asmnet_kit.base.console import counted

    split = f" ({accuracy['split']})" if accuracy["split"] else ""
    return f"NME over {counted(accuracy['faces'], 'face')} of {accuracy['dataset']}{split}"


def _print(written: "dict[Path, Result]", out: Path, *, as_json: bool) -> None:
    """The results as a table or JSON on stdout; warnings and the next step on stderr."""
    from rich.table import Table

    from asmnet_kit.base.console import counted, print_json, stderr, stdout
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
            f"{counted(len(written), 'result')} in {out}. Next: asmnet-kit report "
            f"{shlex.quote(str(out))} --out report.html",
            markup=False,
        )
