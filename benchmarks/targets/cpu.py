"""This machine's CPU through ai-edge-litert (or tflite-runtime): XNNPACK or the builtin kernels."""

import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.benchmarks.machine import CpuUse, disturbances, machine_facts, peak_rss_bytes
from asmnet_kit.benchmarks.statistics import instability
from asmnet_kit.benchmarks.targets.protocol import Measurement, OnProgress, Request
from asmnet_kit.errors import MissingDependency, ModelError
from asmnet_kit.runtime import Runtime, TensorInfo, installed_runtime, open_runtime

if TYPE_CHECKING:  # at run time it would bring OpenCV into the measured memory
    from asmnet_kit.predictor import Predictor

REPORT_EVERY_S = 0.1  # how often progress is told; each telling costs some microseconds
SAMPLE_DIGITS = 5  # of milliseconds: 10 ns, finer than the clock's own overhead
MIN_WARMUP_S = 0.2  # caches, page tables and the clock settle at least this long


class CpuTarget:
    """``--target cpu``."""

    name = "cpu"

    def problem(self) -> str | None:
        try:
            installed_runtime()
        except MissingDependency as error:
            return str(error)
        return None

    def measure(self, request: Request, on_progress: OnProgress) -> Measurement:
        machine = machine_facts()
        on_progress(0.0, "load")
        installed_runtime()  # importing the runtime is not loading the model
        before_load = peak_rss_bytes()
        started = time.perf_counter()
        runtime = open_runtime(request.model, threads=request.threads, xnnpack=request.xnnpack)
        load_ms = 1e3 * (time.perf_counter() - started)
        inputs = {name: random_input(info) for name, info in runtime.inputs.items()}
        started = time.perf_counter()
        runtime.run(inputs)
        first_ms = 1e3 * (time.perf_counter() - started)

        warmup_runs = _warm_up(runtime, inputs, request, on_progress)
        before = CpuUse.now(time.perf_counter())
        samples = _timed_runs(runtime, inputs, request, on_progress)
        after = CpuUse.now(time.perf_counter())
        peak = peak_rss_bytes()  # before the stages: they bring OpenCV into this process

        on_progress(1.0, "frames")
        stages, missing = _stages(runtime, request)
        warnings = [*runtime.notes, *instability(samples)]
        warnings += disturbances(before, after, threads=request.threads)
        if len(samples) < request.runs:
            warnings.append(
                f"stopped after {request.max_seconds:.0f} s with {len(samples)} of "
                f"{request.runs} runs"
            )
        return Measurement(
            target={
                "actual": "cpu",
                "threads": request.threads,
                "delegate": "XNNPACK" if runtime.delegated_ops else None,
                "delegated_ops": runtime.delegated_ops,
                "total_ops": runtime.total_ops,
                "proof": _proof(runtime, before, after),
            },
            machine=machine,
            runtime={"name": runtime.name, "version": runtime.version, "kernels": runtime.kernels},
            protocol={
                "warmup_runs": warmup_runs,
                "runs": len(samples),
                "min_seconds": request.min_seconds,
                "requested_runs": request.runs,
                "input": "random values over the input's range, seed 0",
                "timed": "copy the input in, invoke, copy every output out",
                "load": "read and check the file, prepare the kernels; without imports",
            },
            timings_ms={"load": load_ms, "first": first_ms, "invoke": samples, **stages},
            memory={
                "peak_rss_bytes": peak,
                "rss_before_load_bytes": before_load,
                "model_arena_bytes": None,
            },
            warnings=warnings,
            notes=missing,
        )

    def predictor(self, request: Request) -> "Predictor":
        from asmnet_kit.predictor import TflitePredictor

        return TflitePredictor(request.model, threads=request.threads, xnnpack=request.xnnpack)


CPU = CpuTarget()


def random_input(info: TensorInfo) -> NDArray[Any]:
    """Values an input may meet: the whole range of an integer type, -1..1 for floats; seed 0.

    Raises:
        ModelError: an input of text or of another type without numbers.
    """
    rng = np.random.default_rng(0)
    if info.dtype.kind == "f":
        return rng.uniform(-1, 1, info.shape).astype(info.dtype)
    if info.dtype.kind == "b":
        return rng.integers(0, 2, info.shape).astype(info.dtype)
    if info.dtype.kind in "iu" and info.dtype.itemsize <= 2:
        limits = np.iinfo(info.dtype)
        return rng.integers(limits.min, limits.max, info.shape, info.dtype, endpoint=True)
    if info.dtype.kind in "iu":
        # Wide integers are mostly indices or lengths: zero is valid for all of them.
        return np.zeros(info.shape, info.dtype)
    raise ModelError(
        f"expected inputs of numbers, got {info.name!r} of {info.dtype}: "
        f"this model cannot be fed with made-up values"
    )


def _warm_up(
    runtime: Runtime, inputs: dict[str, NDArray[Any]], request: Request, on_progress: OnProgress
) -> int:
    """Run until both the asked runs and a minimum time are over; how many runs that were."""
    if not request.warmup_runs:
        return 0
    started = told = time.perf_counter()
    runs = 0
    while runs < request.warmup_runs or time.perf_counter() - started < MIN_WARMUP_S:
        runtime.run(inputs)
        runs += 1
        now = time.perf_counter()
        if now - told > REPORT_EVERY_S:
            on_progress(0.0, "warm-up")
            told = now
        if now - started > request.max_seconds:
            break
    return runs


def _timed_runs(
    runtime: Runtime, inputs: dict[str, NDArray[Any]], request: Request, on_progress: OnProgress
) -> list[float]:
    """Milliseconds of each run, in order, none left out."""
    samples: list[float] = []
    started = told = time.perf_counter()
    while True:
        before = time.perf_counter()
        runtime.run(inputs)
        after = time.perf_counter()
        samples.append(round(1e3 * (after - before), SAMPLE_DIGITS))
        elapsed = after - started
        if elapsed >= request.max_seconds:
            return samples
        if len(samples) >= request.runs and elapsed >= request.min_seconds:
            return samples
        if after - told > REPORT_EVERY_S:
            shares = [len(samples) / request.runs]
            if request.min_seconds:
                shares.append(elapsed / request.min_seconds)
            on_progress(min(1.0, *shares), "runs")
            told = after


def _stages(runtime: Runtime, request: Request) -> tuple[dict[str, float | None], list[str]]:
    """Times of the frame stages, or why they were not measured."""
    from asmnet_kit.benchmarks.stages import FrameStages, time_stages

    nothing: dict[str, float | None] = {"pre": None, "post": None, "end_to_end": None}
    try:
        stages = FrameStages.of(runtime, request.model)
    except ModelError:
        return nothing, ["pre- and post-processing not measured: the model carries no metadata"]
    return {**nothing, **time_stages(stages)}, []


def _proof(runtime: Runtime, before: CpuUse, after: CpuUse) -> list[str]:
    """Evidence that the CPU ran it, and with which kernels."""
    wall = max(after.wall_s - before.wall_s, 1e-9)
    cores = (after.process_s - before.process_s) / wall
    proof = [f"this process kept {cores:.2f} CPU cores busy during the timed runs"]
    if runtime.delegated_ops:
        proof.append(
            f"execution plan: {runtime.delegated_ops} of {runtime.total_ops} operators were "
            f"replaced by XNNPACK delegate nodes"
        )
    else:
        proof.append(f"execution plan: {runtime.total_ops} operators, no delegate node")
    return proof
