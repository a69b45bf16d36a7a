"""Phones over adb with a ``benchmark_model`` binary that the user names, in place of the app.

The program is TensorFlow Lite's own (its nightly builds, or yours). It prints a summary and no
single times, so it is started several times: each start gives one sample, the median of its runs
(the mean where the version prints no median). The result says so. Newer versions write which
delegate took which operators (``runtime_info.pb``), and that counts as proof. The NPU needs
LiteRT's version of the program and the chip maker's libraries beside it.
"""

import hashlib
import math
import re
import shlex
import uuid
from pathlib import Path
from typing import Any

from asmnet_kit.base.errors import UsageError
from asmnet_kit.benchmarks.options import BENCHMARK_MODEL, GPU_PRECISION, NPU_LIBRARIES
from asmnet_kit.benchmarks.protocol import Measurement, OnProgress, RemoteError, Request
from asmnet_kit.benchmarks.targets.benchmark_tool import (
    Outcome,
    OutputError,
    Replaced,
    parse_output,
)
from asmnet_kit.benchmarks.targets.phone import Phone
from asmnet_kit.benchmarks.targets.remote import safe_name, tail
from asmnet_kit.benchmarks.targets.runtime_info import (
    FILE,
    FLAG,
    RuntimeInfo,
    RuntimeInfoError,
    parse_runtime_info,
)
from asmnet_kit.machine.cpu import cpu_model, instruction_sets

PROGRAM = "benchmark_model"
FOLDER = "/data/local/tmp"  # the one place where adb's shell may run programs
STARTS = 10  # of the program, one sample each: enough for a median and its interval
WARMUP_SECONDS = 0.2  # of each start: caches and the clock settle at least this long
START_SECONDS = 120.0  # beside the timed runs: loading, the GPU's shaders, the warm-up
ELF = b"\x7fELF"
REFERENCE = "nnapi-reference"  # NNAPI's accelerator that is the CPU
# Part of the name of each accelerator's delegate, in lower case. LiteRT's of an NPU is
# DispatchDelegate, whoever made the chip.
DELEGATES = {"cpu": "xnnpack", "gpu": "gpu", "nnapi": "nnapi", "npu": "dispatch"}
PROPERTIES = {
    "maker": "ro.product.manufacturer",
    "model": "ro.product.model",
    "soc_maker": "ro.soc.manufacturer",
    "soc": "ro.soc.model",
    "board": "ro.product.board",
    "abi": "ro.product.cpu.abi",
    "release": "ro.build.version.release",
    "sdk": "ro.build.version.sdk",
    "build": "ro.build.display.id",
}


def measure_with_binary(
    phone: Phone, request: Request, delegate: str, on_progress: OnProgress
) -> Measurement:
    """Push the program and the model, start it several times, read what it prints.

    Args:
        delegate: ``cpu``, ``gpu``, ``nnapi`` or ``npu``.

    Raises:
        UsageError: the program is not there, or no program for a phone.
        RemoteError: the phone, or the program on it, failed.
    """
    program = Path(request.options[BENCHMARK_MODEL.name])
    content = _program(program)
    folder = f"{FOLDER}/asmnet-kit-{uuid.uuid4().hex[:12]}"
    model = f"{folder}/{safe_name(request.model.name)}"
    on_progress(0.0, f"push to {phone.serial}")
    machine = _machine(phone)
    phone.shell("mkdir", "-p", folder, what="make a folder")
    try:
        phone.send(program, f"{folder}/{PROGRAM}", what=f"push {PROGRAM}")
        phone.send(request.model, model, what="push the model")
        phone.shell("chmod", "755", f"{folder}/{PROGRAM}", what=f"make {PROGRAM} executable")
        if NPU_LIBRARIES.name in request.options:
            for library in _libraries(Path(request.options[NPU_LIBRARIES.name])):
                phone.send(library, f"{folder}/{library.name}", what=f"push {library.name}")
        words = [*_flags(request, model, delegate), f"{FLAG}={folder}/{FILE}"]
        command = [f"{folder}/{PROGRAM}", *words]
        outcomes = []
        for number in range(STARTS):
            on_progress(number / STARTS, f"runs on {phone.serial}")
            outcomes.append(_start(phone, request, command, folder))
        written = phone.read_binary(f"{folder}/{FILE}", what=f"read {FILE}")
        info = None if written is None else _runtime_info(phone, written)
    finally:
        phone.discard(folder)
    return _measurement(
        outcomes,
        request,
        info,
        delegate=delegate,
        serial=phone.serial,
        machine=machine,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _program(path: Path) -> bytes:
    content = path.read_bytes() if path.is_file() else b""
    if not content.startswith(ELF):
        raise UsageError(f"{path}: expected TensorFlow Lite's {PROGRAM} for Android (an ELF file)")
    return content


def _libraries(folder: Path) -> list[Path]:
    """The files that the NPU needs: the dispatch library, the plugin, the chip maker's own.

    Raises:
        UsageError: there is none.
    """
    found = sorted(path for path in folder.glob("*.so*") if path.is_file())
    if not found:
        raise UsageError(f"{folder}: expected libraries of an NPU (*.so), found none")
    return found


def _runtime_info(phone: Phone, content: bytes) -> RuntimeInfo:
    try:
        return parse_runtime_info(content)
    except RuntimeInfoError as error:
        raise RemoteError(f"{phone.serial}: {PROGRAM}: {error}") from error


def _flags(request: Request, model: str, delegate: str) -> list[str]:
    folder = model.rpartition("/")[0]
    exact = request.options.get(GPU_PRECISION.name, "fp32") == "fp32"
    return [
        f"--graph={model}",
        f"--num_threads={request.threads}",
        f"--warmup_runs={max(1, request.warmup_runs)}",
        f"--warmup_min_secs={WARMUP_SECONDS:g}",
        f"--num_runs={_runs_of_a_start(request)}",
        f"--min_secs={request.min_seconds / STARTS:g}",
        f"--max_secs={max(1.0, request.max_seconds / STARTS):g}",
        *{
            "cpu": [f"--use_xnnpack={str(request.xnnpack).lower()}"],
            "gpu": ["--use_gpu=true", f"--gpu_precision_loss_allowed={str(not exact).lower()}"],
            "nnapi": ["--use_nnapi=true"],
            "npu": [
                "--use_npu=true",
                f"--dispatch_library_path={folder}",
                f"--compiler_plugin_library_path={folder}",
            ],
        }[delegate],
    ]


def _runs_of_a_start(request: Request) -> int:
    return math.ceil(request.runs / STARTS)


def _start(phone: Phone, request: Request, command: list[str], folder: str) -> Outcome:
    """One start of the program, its stderr included: that is where versions differ."""
    words = " ".join(map(shlex.quote, command))
    if NPU_LIBRARIES.name in request.options:  # where the chip maker's own libraries are found
        words = f"LD_LIBRARY_PATH={folder} ADSP_LIBRARY_PATH={folder} {words}"
    limit = START_SECONDS + request.max_seconds
    out, error, code = phone.run_line(f"{words} 2>&1", what=PROGRAM, timeout_s=limit)
    if code:
        raise RemoteError(
            f"{phone.serial}: {PROGRAM} ended with {code}: {tail(out, error)}; is it built for "
            f"this phone's processor, and does it take these flags? {words}"
        )
    try:
        return parse_output(out.decode(errors="replace"))
    except OutputError as failure:
        raise RemoteError(f"{phone.serial}: {PROGRAM}: {failure}; it said {tail(out)}") from failure


def _measurement(
    outcomes: list[Outcome],
    request: Request,
    info: RuntimeInfo | None,
    *,
    delegate: str,
    serial: str,
    machine: dict[str, Any],
    sha256: str,
) -> Measurement:
    last = outcomes[-1]
    logged = _replaced(last, delegate)
    taken = _taken(info, delegate) or logged
    proven = all(_ran_on(o, delegate, info) for o in outcomes)
    ran_on = delegate if delegate == "cpu" or proven else "cpu"
    what = "median" if all(outcome.is_median for outcome in outcomes) else "mean"
    runs = sum(outcome.runs for outcome in outcomes)
    ops = f" ({taken.ops} of {taken.total} ops)" if taken else ""
    grown = [outcome.memory_bytes for outcome in outcomes if outcome.memory_bytes is not None]
    return Measurement(
        target={
            "requested": f"android:{delegate}",
            "actual": f"android:{ran_on}",
            "tool": PROGRAM,
            "threads": request.threads,
            "delegate": taken.delegate if taken else None,
            "device": serial,
            "delegated_ops": taken.ops if taken else None,
            "total_ops": taken.total if taken else None,
            "proof": _proof(last, info, serial, sha256),
        },
        machine=machine,
        runtime={
            "name": PROGRAM,
            "version": f"sha256 {sha256[:12]}",
            "kernels": f"{taken.delegate if taken else 'not told'}{ops}",
        },
        protocol={
            "mode": request.mode,
            "warmup_runs": sum(outcome.warmup_runs for outcome in outcomes),
            "runs": runs,
            "min_seconds": request.min_seconds,
            "requested_runs": request.runs,
            "starts": len(outcomes),
            "sample": f"{what} of the runs of one start of {PROGRAM}",
            "input": f"random values, chosen by {PROGRAM}",
            "timed": f"invoke alone, by {PROGRAM}'s own clock; no copies in or out",
            "load": "make the interpreter and its delegate",
        },
        timings_ms={
            "load": last.load_ms,
            "first": last.first_ms,
            "invoke": [round(outcome.middle_ms, 6) for outcome in outcomes],
            "pre": None,
            "post": None,
            "end_to_end": None,
        },
        memory={"peak_rss_bytes": None, "model_arena_bytes": None,
                "growth_bytes": max(grown) if grown else None},
        warnings=[
            f"{PROGRAM} tells no single times: the percentiles are of {len(outcomes)} samples, "
            f"each the {what} of about {runs // len(outcomes)} runs, and hide slow single runs"
        ],
        notes=[
            f"pre- and post-processing not measured: {PROGRAM} runs the model alone",
        ],
    )  # fmt: skip


def _replaced(outcome: Outcome, delegate: str) -> Replaced | None:
    """What the asked delegate took (of the CPU's, XNNPACK), where the log tells."""
    kind = DELEGATES[delegate]
    return next((taken for taken in outcome.replaced if kind in taken.delegate.lower()), None)


def _taken(info: RuntimeInfo | None, delegate: str) -> Replaced | None:
    """What the asked delegate took by the file that the program wrote, where it wrote one."""
    found = info.taken_by(DELEGATES[delegate]) if info is not None else None
    return Replaced(found[1], info.total, found[0]) if info is not None and found else None


def _ran_on(outcome: Outcome, delegate: str, info: RuntimeInfo | None) -> bool:
    """Do the program's log and its file say that the delegate runs the model, or a part of it?

    The log alone does where the version writes no file; of an NPU it says nothing, so the file is
    asked for.
    """
    if delegate == "npu":
        return _taken(info, delegate) is not None
    if delegate == "nnapi" and set(outcome.accelerators) == {REFERENCE}:
        return False
    if info is not None and all(DELEGATES["cpu"] in name.lower() for name in info.delegated):
        return False  # the CPU's delegate alone, or none: the log is not to be believed
    return delegate.upper() in outcome.applied


def _proof(outcome: Outcome, info: RuntimeInfo | None, serial: str, sha256: str) -> list[str]:
    proof = [f"measured on {serial} by the {PROGRAM} of sha256 {sha256} over adb"]
    proof += [
        f"its log: {taken.ops} of {taken.total} operators were replaced by {taken.delegate}"
        for taken in outcome.replaced
    ]
    proof += [f"its log: the {name} delegate was applied" for name in outcome.applied]
    if info is not None:
        parts = [f"{name} took {count}" for name, count in info.delegated.items()]
        proof.append(
            f"its {FILE}: delegated {sum(info.delegated.values())} of {info.total} nodes"
            + (f" ({', '.join(parts)})" if parts else "")
        )
    if outcome.accelerators:
        proof.append(f"NNAPI's accelerators: {', '.join(outcome.accelerators)}")
    return proof


def _machine(phone: Phone) -> dict[str, Any]:
    """Facts of the phone; what it does not tell is None."""
    said, _, _ = phone.run_line("getprop", what="read its properties")
    known = dict(re.findall(r"^\[([\w.-]+)\]: \[(.*)\]\s*$", said.decode(errors="replace"), re.M))
    facts = {name: known.get(key, "").strip() for name, key in PROPERTIES.items()}
    out, _, _ = phone.run_line("cat /proc/cpuinfo", what="read its processor's facts")
    cpuinfo = out.decode(errors="replace")
    soc = " ".join(word for word in (facts["soc_maker"], facts["soc"]) if word)
    release = f"Android {facts['release']} (API {facts['sdk']})" if facts["release"] else None
    return {
        "cpu": soc or facts["board"] or (cpu_model(cpuinfo) if cpuinfo.strip() else None),
        "architecture": facts["abi"] or "unknown",
        "instruction_sets": instruction_sets(cpuinfo),
        "os": release,
        "device": " ".join(word for word in (facts["maker"], facts["model"]) if word) or None,
        "board": facts["board"] or None,
        "build": facts["build"] or None,
    }
