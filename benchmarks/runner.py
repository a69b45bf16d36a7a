"""Measures models in processes of their own and turns what comes back into results."""

import hashlib
import json
import os
import queue
import shlex
import subprocess
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from typing import IO, Any

from asmnet_kit import __version__
from asmnet_kit.base.errors import KitError, ModelError
from asmnet_kit.base.own_process import script_command
from asmnet_kit.benchmarks import worker
from asmnet_kit.benchmarks.options import unflagged
from asmnet_kit.benchmarks.protocol import PATIENCE_S, OnProgress, Request, Target, refuse_fallback
from asmnet_kit.benchmarks.targets.registry import load_target
from asmnet_kit.benchmarks.timing.operator_times import TIMEOUT_S as PROFILE_PATIENCE_S
from asmnet_kit.benchmarks.words import cpu_list, request_words
from asmnet_kit.results.noise import intervals
from asmnet_kit.results.results import (
    SCHEMA_VERSION,
    Result,
    asks_for_accelerator,
    check_result,
    summarise,
)

DATA_PATIENCE_S = 2400.0  # reading a large data set, or a batch elsewhere, tells no progress
LOG_TAIL_CHARACTERS = 400
MAX_OPTION_CHARACTERS = 40  # of an option in a file's name, which file systems limit to 255 bytes
OLD_RUNTIME = "tflite-runtime"  # named in its files: they may lie beside those of the usual one
BUILTIN = "builtin"  # how the kernels' names begin where XNNPACK ran nothing
SAME_BITS = "the outputs are the CPU's to the last bit: suspicious for an accelerator"  # app's, too


@dataclass(frozen=True)
class Data:
    """A data set for measuring accuracy on the target."""

    path: Path
    format: str
    split: str | None = None

    def check(self, model: Path, *, adapter: str | None = None) -> None:
        """Read the annotations, so that a mistake in them is found before anything is measured.

        Args:
            model: a .tflite to be measured; its landmarks are what the data's are, where nothing in
                the data says it.
            adapter: by which it is used, whose landmarks these then are.

        Raises:
            DatasetError: there is no such data set.
            UsageError: it has no such split.
        """
        from asmnet_kit.adapters.adapter import read_adapter
        from asmnet_kit.base.errors import ModelError
        from asmnet_kit.datasets.registry import load_dataset
        from asmnet_kit.tflite.metadata import read_metadata

        try:
            scheme = read_adapter(adapter).scheme if adapter else read_metadata(model).scheme
        except ModelError:  # another kit's: refused where its accuracy would be measured
            scheme = None
        load_dataset(self.path, self.format, split=self.split, scheme=scheme)

    def to_json(self) -> dict[str, Any]:
        return {"path": str(self.path), "format": self.format, "split": self.split}


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
    """
    facts = model_facts(request.model, adapter=request.adapter)
    target = load_target(request.target)
    job = {"request": request.to_json(), "data": None}
    measured = run_worker(
        job,
        on_progress=on_progress,
        stall_seconds=stall_seconds or patience(request),
        crash_hint=target.abilities.crash_hint,
    )
    refuse_fallback(target, request, str(measured["target"].get("actual")))
    samples = measured["timings_ms"].get("invoke")
    if not samples:
        raise ModelError(f"{request.model}: target {request.target} measured no run of the model")
    result = {
        "schema_version": SCHEMA_VERSION,
        "kind": "benchmark",
        "kit_version": __version__,
        "command": command_line(request, data),
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
    return checked


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


def measure_accuracy(
    request: Request,
    data: Data,
    *,
    on_progress: OnProgress,
    stall_seconds: float = DATA_PATIENCE_S,
) -> dict[str, Any]:
    """How accurate a request's model is, run by its very target and kernels.

    Returns:
        The result's ``accuracy`` (the JSON of ``evaluate``) and, where another machine ran it,
        ``parity``: how far its landmarks are from this machine's CPU's, on the same faces.

    Raises:
        ModelError: the model cannot be used as a landmark model, or the runtime crashed or hung.
        KitError: the data cannot be read.
    """
    job = {"request": request.to_json(), "data": data.to_json()}
    measured = run_worker(
        job,
        on_progress=on_progress,
        stall_seconds=stall_seconds,
        crash_hint=load_target(request.target).abilities.crash_hint,
    )
    measured["accuracy"]["measured_with"] = {
        "target": request.target,
        "threads": request.threads,
        "xnnpack": request.xnnpack,
    }
    return measured


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
    if data is not None:
        words += ["--data", str(data.path), "--format", data.format]
        words += ["--split", data.split] if data.split else []
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
        ModelError: the worker crashed, hung or ended without a result.
        KitError: the worker reported a domain error.
    """
    model = job["request"]["model"]
    with tempfile.TemporaryFile() as log, _worker(log) as process:
        for line in _lines(process, json.dumps(job), model, stall_seconds):
            if "progress" in line:
                on_progress(float(line["progress"]), str(line["note"]))
            elif "error" in line:
                error = KitError(line["error"])
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
    raise ModelError(
        f"{model}: the runtime's process {how} without a result; "
        f"the model is damaged or the runtime cannot take it. {why}"
        f"Its last words: {tail or 'none'}"
    )


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
    try:
        yield process
    finally:
        process.kill()
        process.wait()
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
