"""Measures models in processes of their own and turns what comes back into results."""

import hashlib
import json
import os
import queue
import shlex
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from typing import IO, Any

import numpy as np

from asmnet_kit import __version__
from asmnet_kit.base.errors import KitError, ModelError
from asmnet_kit.base.files import temporary_folder
from asmnet_kit.base.own_process import script_command
from asmnet_kit.benchmarks import worker
from asmnet_kit.benchmarks.options import unflagged
from asmnet_kit.benchmarks.protocol import (
    PATIENCE_S,
    OnProgress,
    Request,
    Target,
    TargetError,
    WrongNumbers,
    refuse_fallback,
)
from asmnet_kit.benchmarks.targets.registry import load_target, refuse_check
from asmnet_kit.benchmarks.timing.kit_code import code_digest
from asmnet_kit.benchmarks.timing.operator_times import TIMEOUT_S as PROFILE_PATIENCE_S
from asmnet_kit.benchmarks.timing.output_check import (
    Landmarks,
    Ruler,
    landmark_limit,
    steps_before_float,
)
from asmnet_kit.benchmarks.words import cpu_list, request_words
from asmnet_kit.results.noise import intervals
from asmnet_kit.results.results import (
    SAME_BITS,
    SCHEMA_VERSION,
    Result,
    asks_for_accelerator,
    check_result,
    summarise,
)
from asmnet_kit.tflite.reader import read_graph
from asmnet_kit.tflite.runtime import TensorInfo, refuse_unsized

DATA_PATIENCE_S = 2400.0  # reading a large data set, or a batch elsewhere, tells no progress
LOG_TAIL_CHARACTERS = 400
MAX_OPTION_CHARACTERS = 40  # of an option in a file's name, which file systems limit to 255 bytes
OLD_RUNTIME = "tflite-runtime"  # named in its files: they may lie beside those of the usual one
BUILTIN = "builtin"  # how the kernels' names begin where XNNPACK ran nothing
TIDY_UP_S = 20.0  # of a worker that is told to end: a few commands over a slow link

_running: set[subprocess.Popen[str]] = set()


class Killed(ModelError):
    """A signal ended the runtime's process: a crash, or the system ran out of memory."""


@dataclass(frozen=True)
class Data:
    """A data set for measuring accuracy on the target.

    Attributes:
        scheme: name or .toml of the landmarks to compare in; None = the model's.
        boxes: that the crops are cut around, one of ``measure.comparable.BOXES``.
    """

    path: Path
    format: str
    split: str | None = None
    scheme: str | None = None
    boxes: str = "landmarks"

    def check(self, model: Path, *, adapter: str | None = None) -> None:
        """Read the annotations, so that a mistake in them is found before anything is measured.

        Args:
            model: a .tflite to be measured; its landmarks are what the data's are, where nothing in
                the data says it.
            adapter: by which it is used, whose landmarks these then are.

        Raises:
            DatasetError: there is no such data set.
            ModelError: the model predicts other landmarks than the data has.
            UsageError: it has no such split, or no map leads to ``scheme``.
        """
        from asmnet_kit.adapters.adapter import read_adapter
        from asmnet_kit.base.errors import ModelError
        from asmnet_kit.datasets.registry import load_dataset, load_to_measure
        from asmnet_kit.face.schemes import scheme_named
        from asmnet_kit.measure.comparable import compared_scheme, require_like_boxes
        from asmnet_kit.tflite.metadata import read_metadata

        asked = None if self.scheme is None else scheme_named(self.scheme)
        try:
            own = read_adapter(adapter).scheme if adapter else read_metadata(model).scheme
        except ModelError:  # another kit's: refused where its accuracy would be measured
            load_dataset(self.path, self.format, split=self.split)
            return
        dataset, _ = load_to_measure(
            self.path, self.format, split=self.split, model_scheme=own, compared=asked
        )
        compared_scheme(model.name, own, dataset, asked)
        if self.boxes == "landmarks":
            require_like_boxes(own, dataset)

    def to_json(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "format": self.format,
            "split": self.split,
            "scheme": self.scheme,
            "boxes": self.boxes,
        }


def benchmark_model(
    request: Request,
    *,
    on_progress: OnProgress,
    stall_seconds: float | None = None,
    data: Data | None = None,
) -> Result:
    """Measure one model on one target.

    Args:
        data: what the accuracy is measured on afterwards, for the result's ``command``.

    Returns:
        A result that the schema accepts, without accuracy.

    Raises:
        ModelError: the model cannot be loaded or run, or the runtime crashed or hung.
        ResultError: the target's measurement is none that the schema accepts.
        TargetError: another target than the requested one ran it (silent fallback).
        WrongNumbers: an accelerator's outputs are not the CPU's, the clock cannot be right, or the
            file changed while it was measured.
    """
    facts = model_facts(request.model, adapter=request.adapter)
    if not request.input_shape:  # here for all targets: LiteRT's GPU would run 1 x 1 pixels
        refuse_unsized(read_graph(request.model), request.model)
    started = time.monotonic()
    with _of_fixed_size(request, facts["sha256"]) as (ready, sha256):
        measured = run_worker(
            {"request": ready.to_json(), "data": None, "sha256": sha256},
            on_progress=on_progress,
            stall_seconds=stall_seconds or patience(ready),
            crash_hint=load_target(request.target).abilities.crash_hint,
        )
    if request.input_shape:
        measured["protocol"]["input_shape"] = list(request.input_shape)
    wall_s = time.monotonic() - started
    return result_of(request, facts, measured, wall_s=wall_s, command=command_line(request, data))


def result_of(
    request: Request,
    facts: dict[str, Any],
    measured: dict[str, Any],
    *,
    wall_s: float,
    command: str,
) -> Result:
    """A target's measurement as a result, once it can be believed.

    Args:
        facts: of the model (``model_facts``).
        measured: the keys of ``Measurement``.
        wall_s: seconds of the whole measurement by this process's clock.
        command: that measures it again.

    Raises:
        ModelError, ResultError, TargetError, WrongNumbers: as ``benchmark_model``.
    """
    target = load_target(request.target)
    refuse_fallback(target, request, str(measured["target"].get("actual")))
    refuse_nothing_delegated(target, request, measured["target"])
    samples = measured["timings_ms"].get("invoke")
    if not samples:
        raise ModelError(f"{request.model}: target {request.target} measured no run of the model")
    refuse_impossible_times(
        request, samples, wall_s=wall_s, batch=measured["protocol"].get("batch", 1)
    )
    result = {
        "schema_version": SCHEMA_VERSION,
        "kind": "benchmark",
        "kit_version": __version__,
        "kit_code": code_digest(),
        "command": command,
        "measured_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model": facts,
        **measured,
        "target": {
            "requested": request.target,
            **measured["target"],
            "accelerator": target.abilities.accelerator,
            "options": dict(request.options),
        },
        "summary": summarise(samples),
        "intervals_ms": intervals(samples),
        "accuracy": None,
    }
    checked = check_result(result, name=str(request.model))
    warn_of_same_bits(checked, target)
    warn_of_a_part(checked, target)
    refuse_wrong_outputs(checked, target, request)
    return checked


def check_on_target(request: Request, *, on_progress: OnProgress) -> dict[str, Any]:
    """What a request's target says of a model without a device, in a process of its own.

    Returns:
        The JSON of ``benchmarks.checking.check.Check``.

    Raises:
        MissingDependency: a program or a package is missing; the message says how to get it.
        ModelError: the model is refused, or the target's program crashed or hung.
        UsageError: no such target or option, or one that cannot tell anything without a device.
    """
    refuse_check(request)
    able = load_target(request.target).abilities
    with _of_fixed_size(request) as (ready, _):
        told = run_worker(
            {"request": ready.to_json(), "data": None, "check": True},
            on_progress=on_progress,
            stall_seconds=able.patience_s,
            crash_hint=able.crash_hint,
        )
    if request.input_shape:
        told |= {"model": str(request.model), "input_shape": list(request.input_shape)}
    return told


def patience(request: Request) -> float:
    """How long a request's worker may say nothing before it counts as hung, seconds."""
    able = load_target(request.target).abilities
    seconds = able.patience_s
    if able.elsewhere:
        seconds += request.max_seconds + 60 * request.sustained_minutes
    if request.inputs is not None:
        seconds += able.inputs_patience_s
    return seconds + (PROFILE_PATIENCE_S if request.profile else 0.0)


def warn_of_same_bits(result: Result, target: Target) -> None:
    """Add a warning where an accelerator that rounds differently gave the CPU's very outputs."""
    same = (result["parity"] or {}).get("identical")  # the schema does not ask for it
    if same and target.abilities.rounds_differently and SAME_BITS not in result["warnings"]:
        result["warnings"] = [*result["warnings"], SAME_BITS]


def refuse_nothing_delegated(target: Target, request: Request, ran: dict[str, Any]) -> None:
    """An accelerator that took no operator did not run the model, whatever it calls itself.

    Raises:
        TargetError: it took none.
    """
    taken, total = ran.get("delegated_ops"), ran.get("total_ops")
    if target.abilities.accelerator and taken == 0 and total:
        raise TargetError(
            f"{request.model}: {request.target} was asked for and {ran.get('actual')} is said to "
            f"have run the model, but it took none of its {total} operators: the CPU ran them"
        )


def refuse_impossible_times(
    request: Request, samples: Sequence[float], *, wall_s: float, batch: int = 1
) -> None:
    """Runs cannot take longer than the whole measurement, nor no time at all.

    Args:
        samples: milliseconds of each run, or the mean of each ``batch`` of them.
        wall_s: seconds of the measurement by this process's clock.

    Raises:
        WrongNumbers: the clock that timed the runs stepped, or counts no milliseconds.
    """
    total_s = batch * sum(samples) / 1000
    if total_s > wall_s or min(samples) < 0:
        raise WrongNumbers(
            f"{request.model}: target {request.target}: the clock of the runs cannot be right: "
            f"{batch * len(samples)} runs of {min(samples):.3g} to {max(samples):.3g} ms add up to "
            f"{total_s:.3g} s, the whole measurement took {wall_s:.3g} s"
        )


def refuse_wrong_outputs(result: Result, target: Target, request: Request) -> None:
    """Outputs that are not this machine's CPU's: a failure of an accelerator, else a warning.

    A target that compared nothing is judged by the largest difference of its ``parity``, where it
    has one.

    Raises:
        WrongNumbers: an accelerator's.
    """
    check = result.get("output_check")
    problem = _wrong_outputs(check) if check else _wrong_parity(result, request)
    if problem is None and check is None and target.abilities.accelerator:
        if not result["parity"]:
            unknown = "the outputs were not compared with the CPU's: nobody knows if they are right"
            if not any(text.startswith("the outputs were not") for text in result["warnings"]):
                result["warnings"] = [*result["warnings"], unknown]
        return
    if problem is None:
        return
    if target.abilities.accelerator:
        raise WrongNumbers(f"{request.model}: {request.target}: wrong outputs: {problem}")
    result["warnings"] = [*result["warnings"], f"outputs unlike the CPU's: {problem}"]


def _wrong_outputs(check: dict[str, Any]) -> str | None:
    if check["passed"]:
        return None
    worst, found = max(check["outputs"].items(), key=_excess, default=(None, None))
    if worst is None or found is None:  # other tensors: there was nothing to compare
        return str(check["cause"])
    return (
        f"{check['cause']}; {worst} up to {_figure(found['max'])} {found['unit']}, "
        f"{_figure(found['mean'])} on average in one run; allowed are {found['limit']:.3g} and "
        f"{found['mean_limit']:.3g} ({found['limit_from']})"
    )


def _excess(output: tuple[str, dict[str, Any]]) -> float:
    """How many times the limit an output's difference is."""
    found = output[1]
    if found["max"] is None or found["mean"] is None:
        return float("inf")
    shares = (found["max"] / found["limit"], found["mean"] / found["mean_limit"])
    return float(max(shares))


def _figure(value: float | None) -> str:
    return "without end" if value is None else f"{value:.3g}"


def _wrong_parity(result: Result, request: Request) -> str | None:
    """Of a target that looked at made-up values alone, on which the mean says little."""
    parity, limit = result["parity"], parity_limit(request)
    if not parity or limit is None or parity["max"] <= limit.limit:
        return None
    return (
        f"landmarks up to {parity['max']:.3g} {limit.unit} from the CPU's, {limit.limit:.3g} "
        f"allowed ({limit.source})"
    )


def parity_limit(request: Request) -> Ruler | None:
    """What the landmarks of a model of the kit may differ from the CPU's; None for any other."""
    from asmnet_kit.tflite.metadata import read_metadata

    try:
        size = read_metadata(request.model).input_size
    except ModelError:
        return None
    graph = read_graph(request.model)
    names = {public: own for own, public in graph.signature}
    wanted = names.get("landmarks", "landmarks")
    tensor = next((one for one in graph.outputs if one.name == wanted), None)
    if tensor is None:
        return None
    scale = tensor.scales[0] if tensor.scales else 0.0
    zero_point = tensor.zero_points[0] if tensor.zero_points else 0
    info = TensorInfo("landmarks", tensor.shape, np.dtype(tensor.type), scale or None, zero_point)
    step = steps_before_float(graph).get("landmarks")
    limit = landmark_limit(info, Landmarks("landmarks", size, 1.0), step=step)
    if request.max_parity is not None:
        limit = replace(limit, limit=request.max_parity, source="--max-parity")
    return limit


def warn_of_a_part(result: Result, target: Target) -> None:
    """Add a warning where an accelerator left operators to the CPU and did not say so."""
    taken, total = (result["target"].get(key) for key in ("delegated_ops", "total_ops"))
    if not target.abilities.accelerator or taken is None or total is None or taken >= total:
        return
    warning = f"{total - taken} operator(s) run on the CPU, not on"
    if not any(text.startswith(warning) for text in result["warnings"]):
        where = result["target"]["requested"]
        result["warnings"] = [*result["warnings"], f"{warning} {where}: these are times of both"]


def measure_accuracy(
    request: Request,
    data: Data,
    *,
    on_progress: OnProgress,
    stall_seconds: float = DATA_PATIENCE_S,
    sha256: str | None = None,
) -> dict[str, Any]:
    """How accurate a request's model is, run by its very target and kernels.

    Args:
        sha256: of the file whose times were measured, which this must be; None for any.

    Returns:
        The result's ``accuracy`` (the JSON of ``evaluate``) and, where another machine ran it,
        ``parity``: how far its landmarks are from this machine's CPU's, on the same faces.

    Raises:
        ModelError: the model cannot be used as a landmark model, or the runtime crashed or hung.
        KitError: the data cannot be read.
        WrongNumbers: the file is not the one that was timed.
    """
    with _of_fixed_size(request, sha256) as (ready, its_sha256):
        measured = run_worker(
            {"request": ready.to_json(), "data": data.to_json(), "sha256": its_sha256},
            on_progress=on_progress,
            stall_seconds=stall_seconds,
            crash_hint=load_target(request.target).abilities.crash_hint,
        )
    measured["accuracy"]["measured_with"] = {
        "target": request.target,
        "threads": request.threads,
        "xnnpack": request.xnnpack,
        "kernels": measured.pop("kernels", None),
    }
    return measured


@contextmanager
def _of_fixed_size(
    request: Request, sha256: str | None = None
) -> Iterator[tuple[Request, str | None]]:
    """The request as a target gets it, of a copy that has ``input_shape``, and its SHA-256.

    The size is worked out by the runtime, in a process of its own as all that runs a model.

    Args:
        sha256: what the model's file must be; None for any.

    Raises:
        ModelError: the model does not run at this size.
        WrongNumbers: the file is another one.
    """
    if not request.input_shape:
        yield request, sha256
        return
    with temporary_folder() as folder:
        copy = folder / request.model.name
        job = {"request": request.to_json(), "data": None, "sized": str(copy), "sha256": sha256}
        sized = run_worker(job, on_progress=lambda done, note: None)
        try:
            yield replace(request, model=copy, input_shape=()), sized["sha256"]
        except KitError as error:  # the user knows the model by its own path
            error.args = (str(error).replace(str(copy), str(request.model)),)
            raise


def add_accuracy(result: Result, found: dict[str, Any], request: Request) -> None:
    """Put what ``measure_accuracy`` found into the result of the same request.

    Raises:
        WrongNumbers: it is of other kernels than the times, or an accelerator's landmarks of the
            faces are not the CPU's.
    """
    kernels = found["accuracy"]["measured_with"].get("kernels")
    timed = result["protocol"].get("kernels")
    target = load_target(request.target)
    if None not in (kernels, timed) and not target.abilities.elsewhere and kernels != timed:
        raise WrongNumbers(
            f"{request.model}: {request.target}: the times are of {timed}, the accuracy is of "
            f"{kernels}"
        )
    parity, limit = found.get("parity"), parity_limit(request)
    if not target.abilities.accelerator or not parity or limit is None:
        pass
    elif parity["mean"] > limit.mean_limit:
        raise WrongNumbers(
            f"{request.model}: {request.target}: wrong outputs: the landmarks of the faces are "
            f"{parity['mean']:.3g} {limit.unit} from the CPU's on average, {limit.mean_limit:.3g} "
            f"allowed ({limit.source})"
        )
    result |= found
    warn_of_same_bits(result, target)


def model_facts(path: Path, *, adapter: str | None = None) -> dict[str, Any]:
    """The result's ``model``: name, sha256, size and, where the file has it, its metadata.

    Args:
        adapter: by which it is used, which the facts then hold, too.

    Raises:
        ModelError: the file cannot be read.
    """
    from asmnet_kit.tflite.metadata import read_metadata
    from asmnet_kit.tflite.reader import read_model_bytes

    content = read_model_bytes(path)
    try:
        metadata = read_metadata(content).to_json()
    except ModelError:
        metadata = None  # any .tflite may be measured
    adapted = {}
    if adapter is not None:
        from asmnet_kit.adapters.adapter import read_adapter

        adapted = {"adapter": read_adapter(adapter).to_json()}
    return {
        "name": path.stem,
        "file": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
        "recipe": metadata and metadata["recipe"],
        "architecture": metadata and metadata["architecture"],
        "metadata": metadata,
        **adapted,
    }


def command_line(request: Request, data: Data | None = None) -> str:
    """The command that measures this again, in the folder of the model."""
    words = ["asmnet-kit", "benchmark", request.model.name]
    words += request_words(request, load_target(request.target).abilities)
    words += ["--adapter", request.adapter] if request.adapter else []
    if request.input_shape:
        words += ["--input-shape", _size(request.input_shape)]
    if data is not None:
        words += ["--data", str(data.path), "--format", data.format]
        words += ["--split", data.split] if data.split else []
        words += ["--scheme", data.scheme] if data.scheme else []
        words += ["--boxes", data.boxes] if data.boxes != "landmarks" else []
    return shlex.join([*words, "--out", "results"])


def result_file_name(
    result: Result, *, taken: Collection[str], earlier: Collection[str] = ()
) -> str:
    """A file name for a result, which no other has.

    Args:
        taken: by other results of the same call; part of the model's hash is then added.
        earlier: names of results that are there already, which are never overwritten; when it was
            measured is then added.
    """
    model, target = result["model"], result["target"]
    words = [model["name"], target["requested"].replace(":", "-")]
    if target.get("device"):
        words.append(_in_a_file_name(target["device"]))
    if target["threads"]:
        words.append(f"{target['threads']}t")
    if target.get("tool"):
        words.append(target["tool"])
    if target.get("affinity"):
        words.append(f"cpus{cpu_list(target['affinity'])}".replace(",", "-"))
    if not asks_for_accelerator(target):
        runtime = result["runtime"]
        words += [BUILTIN] if runtime["kernels"].startswith(BUILTIN) else []
        words += [OLD_RUNTIME] if runtime["name"] == OLD_RUNTIME else []
    # What the same model, target and threads may be measured with in turn.
    protocol = result["protocol"]
    if protocol.get("input_shape"):
        words.append(_size(protocol["input_shape"]))
    if protocol.get("mode") == "single-stream":
        words.append("single-stream")
    if result.get("sustained"):
        words.append("sustained")
    if "fp16" in str(target["delegate"]):
        words.append("fp16")
    for name, value in unflagged(target.get("options") or {}).items():
        words.append(_option_in_a_file_name(f"{name}-{value}"))
    plain = "_".join(words)
    if f"{plain}.json" in taken:
        plain = f"{plain}_{model['sha256'][:8]}"
    if f"{plain}.json" not in {*taken, *earlier}:
        return f"{plain}.json"
    dated = f"{plain}_{_in_a_file_name(result['measured_at'].partition('+')[0])}"
    names = (f"{dated}.json" if n == 1 else f"{dated}-{n}.json" for n in count(1))
    return next(name for name in names if name not in {*taken, *earlier})


def _size(input_shape: Sequence[int]) -> str:
    """``112x96``."""
    return "x".join(map(str, input_shape))


def _in_a_file_name(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-." else "-" for c in text)


def _option_in_a_file_name(text: str) -> str:
    """The same, with part of its hash where something is lost: values that differ keep apart."""
    name = _in_a_file_name(text)[:MAX_OPTION_CHARACTERS]
    return name if name == text else f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def run_worker(
    job: dict[str, Any],
    *,
    on_progress: OnProgress,
    stall_seconds: float = PATIENCE_S,
    crash_hint: str = "",
) -> dict[str, Any]:
    """Start a worker, feed it ``job``, follow its progress and return its result.

    Args:
        stall_seconds: without a line of the worker's, after which it is stopped.
        crash_hint: of the target, for the message when the worker dies.

    Raises:
        Killed: a signal ended the worker.
        ModelError: the worker hung or ended without a result.
        KitError: the worker reported a domain error.
    """
    model = job["request"]["model"]
    with tempfile.TemporaryFile() as log, _worker(log) as process:
        for line in _lines(process, json.dumps(job), model, stall_seconds):
            if "progress" in line:
                on_progress(float(line["progress"]), str(line["note"]))
            elif "error" in line:
                error = worker.KINDS.get(line.get("kind", ""), KitError)(line["error"])
                error.exit_code = int(line["exit_code"])
                raise error
            elif "result" in line:
                result: dict[str, Any] = line["result"]
                return result
        code = process.wait()
        log.seek(0)
        tail = log.read().decode(errors="replace").strip()[-LOG_TAIL_CHARACTERS:]
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    why = f"{crash_hint} " if crash_hint else ""
    raise (Killed if code < 0 else ModelError)(
        f"{model}: the runtime's process {how} without a result; "
        f"the model is damaged or the runtime cannot take it. {why}"
        f"Its last words: {tail or 'none'}"
    )


def end_workers() -> None:
    """End the workers of all threads, each of whose ``run_worker`` then raises.

    They get a moment to remove what they left on phones and boards.
    """
    asked = list(_running)
    for process in asked:
        process.terminate()
    deadline = time.monotonic() + TIDY_UP_S
    for process in asked:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def _worker(log: IO[bytes]) -> Iterator[subprocess.Popen[str]]:
    """A worker process that does not outlive the block."""
    process = subprocess.Popen(
        script_command(Path(worker.__file__)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    _running.add(process)
    try:
        yield process
    except KeyboardInterrupt:
        end_workers()
        raise
    finally:
        process.kill()
        process.wait()
        _running.discard(process)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                _quietly(stream.close)


def _lines(
    process: subprocess.Popen[str], job: str, model: str, stall_seconds: float
) -> Iterator[dict[str, Any]]:
    """The worker's JSON lines until its stdout ends.

    Raises:
        ModelError: nothing came for ``stall_seconds``.
    """
    received: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        if process.stdout is not None:
            for text in process.stdout:
                received.put(text)
        received.put(None)

    threading.Thread(target=read, daemon=True).start()
    if process.stdin is not None:
        stdin = process.stdin
        _quietly(lambda: stdin.write(job))
        _quietly(stdin.close)
    while True:
        try:
            text = received.get(timeout=stall_seconds)
        except queue.Empty as error:
            raise ModelError(
                f"{model}: the runtime did nothing for {stall_seconds:.0f} s and was stopped; "
                f"the model is damaged or far too large for this machine"
            ) from error
        if text is None:
            return
        line = _parsed(text)
        if line is not None:
            yield line


def _parsed(text: str) -> dict[str, Any] | None:
    """A worker's line, or None for the runtime's own chatter."""
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None


def _quietly(action: Callable[[], object]) -> None:
    """Talk to a process that may be gone already; its exit code tells what happened."""
    try:
        action()
    except (BrokenPipeError, ValueError):
        return
