"""Measures models in processes of their own and turns what comes back into result files."""

import hashlib
import json
import os
import queue
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from asmnet_kit import __version__
from asmnet_kit.base.errors import KitError, ModelError
from asmnet_kit.benchmarks.protocol import (
    WITHOUT_THREADS,
    OnProgress,
    Request,
    cpu_list,
    option_words,
    protocol_words,
    refuse_fallback,
)
from asmnet_kit.benchmarks.timing.noise import intervals
from asmnet_kit.machine.edgetpu_library import LIBEDGETPU_BUILDS
from asmnet_kit.results.results import SCHEMA_VERSION, Result, check_result, summarise

# A worker that says nothing for this long hangs. One run of the slowest model on the slowest board
# takes seconds, loading and compiling some tens of seconds.
STALL_SECONDS = 120.0
COMPILE_SECONDS = 200.0
PROFILE_SECONDS = 120.0
REMOTE = ("android", "linux")  # kinds of targets on other machines
REMOTE_SECONDS = 600.0  # copying a model over a slow link, starting Python or an app there
REMOTE_INPUTS_SECONDS = 1500.0  # running a file of inputs, copying it and its outputs
DATA_STALL_SECONDS = 2400.0  # reading a large data set, or a batch elsewhere, tells no progress
LOG_TAIL_CHARACTERS = 400
OLD_RUNTIME = "tflite-runtime"  # named in its files: they may lie beside those of the usual one

WITHOUT_DEVICES = ("cpu", "gpu")  # targets of which this machine has one


@dataclass(frozen=True)
class Data:
    """A data set for measuring accuracy on the target."""

    path: Path
    format: str
    split: str | None = None

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
        TargetError: another target than the requested one ran it (silent fallback).
    """
    facts = model_facts(request.model)
    job = {"request": request.to_json(), "data": None}
    measured = run_worker(
        job, on_progress=on_progress, stall_seconds=stall_seconds or patience(request)
    )
    refuse_fallback(request, measured["target"]["actual"])
    samples = measured["timings_ms"]["invoke"]
    result = {
        "schema_version": SCHEMA_VERSION,
        "kind": "benchmark",
        "kit_version": __version__,
        "command": command_line(request, data),
        "measured_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model": facts,
        **measured,
        "target": {"requested": request.target, **measured["target"]},
        "summary": summarise(samples),
        "intervals_ms": intervals(samples),
        "accuracy": None,
    }
    return check_result(result, name=str(request.model))


def patience(request: Request) -> float:
    """How long a worker may say nothing: compiling, profiling and other machines tell nothing."""
    seconds = STALL_SECONDS
    if request.target.startswith("edgetpu"):
        seconds += COMPILE_SECONDS
    if request.target.startswith(REMOTE):
        seconds += REMOTE_SECONDS + request.max_seconds + 60 * request.sustained_minutes
        seconds += REMOTE_INPUTS_SECONDS if request.inputs is not None else 0.0
    return seconds + (PROFILE_SECONDS if request.profile else 0.0)


def measure_accuracy(
    request: Request,
    data: Data,
    *,
    on_progress: OnProgress,
    stall_seconds: float = DATA_STALL_SECONDS,
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
    measured = run_worker(job, on_progress=on_progress, stall_seconds=stall_seconds)
    measured["accuracy"]["measured_with"] = {
        "target": request.target,
        "threads": request.threads,
        "xnnpack": request.xnnpack,
    }
    return measured


def model_facts(path: Path) -> dict[str, Any]:
    """The result's ``model``: name, sha256, size and, where the file has it, its metadata.

    Raises:
        ModelError: the file cannot be read.
    """
    from asmnet_kit.tflite.metadata import read_metadata

    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    try:
        metadata = read_metadata(content).to_json()
    except ModelError:
        metadata = None  # any .tflite may be measured
    return {
        "name": path.stem,
        "file": path.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
        "recipe": metadata and metadata["recipe"],
        "architecture": metadata and metadata["architecture"],
        "metadata": metadata,
    }


def command_line(request: Request, data: Data | None = None) -> str:
    """The command that measures this again, in the folder of the model."""
    words = ["asmnet-kit", "benchmark", request.model.name, "--target", request.target]
    words += protocol_words(request, request.target)
    if request.max_seconds != max(Request.max_seconds, request.min_seconds):
        words += ["--max-seconds", f"{request.max_seconds:g}"]
    if request.device:
        words += ["--device", request.device]
    if request.affinity:
        words += ["--affinity", cpu_list(request.affinity)]
    if request.profile:
        words.append("--profile")
    if request.sustained_minutes:
        words += ["--sustained", f"{request.sustained_minutes:g}"]
    if not request.xnnpack:
        words.append("--no-xnnpack")
    words += option_words(request, request.target.split(":"))
    if request.inputs is not None:
        words += ["--inputs", str(request.inputs), "--outputs", str(request.outputs)]
    if data is not None:
        words += ["--data", str(data.path), "--format", data.format]
        words += ["--split", data.split] if data.split else []
    return shlex.join([*words, "--out", "results"])


def result_file_name(result: Result, *, taken: set[str]) -> str:
    """A file name for a result; part of the hash is added when ``taken`` has the plain one."""
    model, target = result["model"], result["target"]
    words = [model["name"], target["requested"].replace(":", "-")]
    if target.get("device"):
        words.append("".join(c if c.isalnum() or c in "-." else "-" for c in target["device"]))
    if target["threads"]:
        words.append(f"{target['threads']}t")
    if target.get("tool"):
        words.append(target["tool"])
    if target.get("affinity"):
        words.append(f"cpus{cpu_list(target['affinity'])}".replace(",", "-"))
    if target["requested"] == "cpu" and target["delegate"] is None:
        words.append("builtin")
    if target["requested"] == "cpu" and result["runtime"]["name"] == OLD_RUNTIME:
        words.append(OLD_RUNTIME)
    # What the same model, target and threads may be measured with in turn.
    protocol = result["protocol"]
    if protocol.get("mode") == "single-stream":
        words.append("single-stream")
    if result.get("sustained"):
        words.append("sustained")
    if "fp16" in str(target["delegate"]):
        words.append("fp16")
    plain = "_".join(words)
    return f"{plain}_{model['sha256'][:8]}.json" if f"{plain}.json" in taken else f"{plain}.json"


def requests_for(
    models: list[Path],
    targets: list[str],
    threads: list[int],
    template: Request,
    *,
    devices: Sequence[str] = (),
) -> list[Request]:
    """One request for each model x target x device x number of threads, in that order.

    Devices are of the targets that have some: ``cpu`` and ``gpu`` are measured once.
    """
    return [
        replace(template, model=model, target=target, device=device, threads=count)
        for model in dict.fromkeys(models)
        for target in dict.fromkeys(targets)
        for device in ([""] if target in WITHOUT_DEVICES else dict.fromkeys(devices or [""]))
        for count in (threads[:1] if target in WITHOUT_THREADS else dict.fromkeys(threads))
    ]


def run_worker(
    job: dict[str, Any], *, on_progress: OnProgress, stall_seconds: float = STALL_SECONDS
) -> dict[str, Any]:
    """Start a worker, feed it ``job``, follow its progress and return its result.

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
    if code < 0 and job["request"].get("target") == "edgetpu":
        how += f" (is the library built for the runtime? {LIBEDGETPU_BUILDS})"
    raise ModelError(
        f"{model}: the runtime's process {how} without a result; "
        f"the model is damaged or the runtime cannot take it. Its last words: {tail or 'none'}"
    )


@contextmanager
def _worker(log: IO[bytes]) -> Iterator[subprocess.Popen[str]]:
    """A worker process that does not outlive the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "asmnet_kit.benchmarks.worker"],
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
