"""Times an opened model: load, first run, warm-up, timed runs, the stages of a frame, parity.

One way for every target whose model runs in this process; the targets say what ran it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.benchmarks.protocol import Measurement, OnProgress, Request
from asmnet_kit.benchmarks.timing.machine import (
    CpuUse,
    disturbances,
    frequency_mhz,
    machine_facts,
    peak_rss_bytes,
    temperature_celsius,
)
from asmnet_kit.benchmarks.timing.noise import instability, steady
from asmnet_kit.tflite.runtime import Session, TensorInfo, dequantize
from asmnet_kit.tflite.tensorfile import Tensors, read_tensors, write_tensors

REPORT_EVERY_S = 0.1  # how often progress is told; each telling costs some microseconds
SAMPLE_DIGITS = 5  # of milliseconds: 10 ns, finer than the clock's own overhead
MIN_WARMUP_S = 0.2  # caches, page tables and the clock settle at least this long
MAX_WARMUP_FACTOR = 5  # times that are not steady after this many times the asked runs never are
WINDOW_S = 5.0  # of the sustained curve; each point is the median of a window
PARITY_INPUTS = 8


@dataclass(frozen=True)
class Timed:
    """What was measured, in the shapes of the result file's keys of the same names."""

    machine: dict[str, Any]
    warmup_runs: int
    timings_ms: dict[str, Any]
    memory: dict[str, Any]
    sustained: dict[str, Any] | None
    before: CpuUse
    after: CpuUse
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def measurement(
        self,
        request: Request,
        *,
        target: dict[str, Any],
        runtime: dict[str, Any],
        load: str,
        timed: str,
        parity: dict[str, Any] | None = None,
        profile: list[dict[str, Any]] | None = None,
        warnings: Sequence[str] = (),
        notes: Sequence[str] = (),
    ) -> Measurement:
        """These times with what the target says of itself.

        Args:
            load, timed: what the times of loading and of a run hold.
            warnings: before those of the timing; ``notes``: after.
        """
        return Measurement(
            target=target,
            machine=self.machine,
            runtime=runtime,
            protocol={
                "mode": request.mode,
                "warmup_runs": self.warmup_runs,
                "runs": len(self.timings_ms["invoke"]),
                "min_seconds": request.min_seconds,
                "requested_runs": request.runs,
                "input": "random values over the input's range, seed 0",
                "timed": timed,
                "load": load,
            },
            timings_ms=self.timings_ms,
            memory=self.memory,
            parity=parity,
            profile=profile,
            sustained=self.sustained,
            warnings=[*warnings, *self.warnings],
            notes=[*self.notes, *notes],
        )


def measure_session(
    open_session: Callable[[], Session], request: Request, on_progress: OnProgress
) -> tuple[Session, Timed]:
    """Load a model and time it.

    Args:
        open_session: loads the model; imports of the runtime should be done before.

    Raises:
        ModelError: the model cannot be loaded or run.
    """
    machine = machine_facts()
    on_progress(0.0, "load")
    before_load = peak_rss_bytes()
    started = time.perf_counter()
    session = open_session()
    load_ms = 1e3 * (time.perf_counter() - started)
    given = None if request.inputs is None else inputs_for(session, request.inputs)
    inputs = {name: random_input(info) for name, info in session.inputs.items()}
    started = time.perf_counter()
    session.run(inputs)
    first_ms = 1e3 * (time.perf_counter() - started)

    warmup_runs = _warm_up(session, inputs, request, on_progress)
    before = CpuUse.now(time.perf_counter())
    samples = _timed_runs(session, inputs, request, on_progress)
    after = CpuUse.now(time.perf_counter())
    peak = peak_rss_bytes()  # before the stages: they bring OpenCV into this process
    warnings = [*instability(samples), *disturbances(before, after, threads=request.threads)]
    if len(samples) < request.runs:
        warnings.append(
            f"stopped after {request.max_seconds:.0f} s with {len(samples)} of {request.runs} runs"
        )
    sustained = _sustained(session, inputs, request, on_progress)
    on_progress(1.0, "frames")
    stages, missing = _stages(session, request)
    if given is not None and request.outputs is not None:
        write_tensors(request.outputs, _run_all(session, given, on_progress))
    return session, Timed(
        machine=machine,
        warmup_runs=warmup_runs,
        timings_ms={"load": load_ms, "first": first_ms, "invoke": samples, **stages},
        memory={
            "peak_rss_bytes": peak,
            "rss_before_load_bytes": before_load,
            "model_arena_bytes": None,
        },
        sustained=sustained,
        before=before,
        after=after,
        warnings=warnings,
        notes=missing,
    )


def random_input(info: TensorInfo, seed: int = 0) -> NDArray[Any]:
    """Values an input may meet: the whole range of an integer type, -1..1 for floats.

    Raises:
        ModelError: an input of text or of another type without numbers.
    """
    rng = np.random.default_rng(seed)
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


def parity(session: Session, reference: Session, request: Request) -> dict[str, Any] | None:
    """How far a target's outputs are from the CPU's for the same inputs.

    Returns:
        ``max`` and ``mean`` difference of the landmarks in pixels of the crop, and ``identical``
        (every bit, which an accelerator hardly does); None for a model that is no landmark model.
    """
    from asmnet_kit.predict.open_predictor import open_tflite

    try:
        predictor = open_tflite(request.model, session=reference, adapter=request.adapter)
    except ModelError:
        return None
    name = predictor.output_name
    if name not in session.outputs:
        return None
    ours, theirs = [], []
    for seed in range(PARITY_INPUTS):
        inputs = {name: random_input(info, seed) for name, info in reference.inputs.items()}
        ours.append(session.run(inputs)[name])
        theirs.append(reference.run(inputs)[name])
    return landmark_parity(
        (np.stack(ours), session.outputs[name]),
        (np.stack(theirs), reference.outputs[name]),
        input_size=predictor.raw_size,
        reference="the same model on the CPU",
        unit_sides=predictor.unit_sides,
    )


def landmark_parity(
    ours: tuple[NDArray[Any], TensorInfo],
    theirs: tuple[NDArray[Any], TensorInfo],
    *,
    input_size: int,
    reference: str,
    unit_sides: float = 1.0,
) -> dict[str, Any]:
    """How far apart two ways of running a model are: a result's ``parity``.

    Args:
        ours, theirs: raw landmarks [inputs, ...] for the same inputs, and what they stand for.
        input_size: side of the crops, pixels.
        reference: what gave ``theirs``.
        unit_sides: length of one unit of the landmarks, sides of the crop.
    """
    a, b = dequantize(*ours), dequantize(*theirs)
    difference = input_size * unit_sides * np.abs(a.reshape(len(a), -1) - b.reshape(len(b), -1))
    return {
        "max": float(difference.max()),
        "mean": float(difference.mean()),
        "identical": bool(np.array_equal(ours[0], theirs[0])),
        "inputs": len(difference),
        "unit": f"pixels of the {input_size} px crop",
        "reference": reference,
    }


def inputs_for(session: Session, path: Path) -> Tensors:
    """The raw inputs in a file, which must be those of the session's model.

    Raises:
        TensorFileError: it cannot be read.
        ModelError: the model has inputs of other names, types or shapes.
    """
    given = read_tensors(path)
    expected = {name: _kind(info.dtype, info.shape) for name, info in session.inputs.items()}
    got = {name: _kind(values.dtype, values.shape[1:]) for name, values in given.items()}
    if expected != got:
        raise ModelError(f"{path}: expected the model's inputs {expected}, got {got}")
    return given


def _kind(dtype: np.dtype[Any], shape: tuple[int, ...]) -> str:
    return f"{dtype.name} {list(shape)}"


def _run_all(session: Session, inputs: Tensors, on_progress: OnProgress) -> Tensors:
    """Raw outputs by name, [runs, *shape], of raw inputs by name."""
    runs = len(next(iter(inputs.values())))
    outputs: Tensors = {
        name: np.empty((runs, *info.shape), info.dtype) for name, info in session.outputs.items()
    }
    told = time.perf_counter()
    for number in range(runs):
        one = {name: np.ascontiguousarray(values[number]) for name, values in inputs.items()}
        for name, values in session.run(one).items():
            if values.shape != outputs[name].shape[1:]:
                raise ModelError(
                    f"expected the output {name!r} of the shape {list(outputs[name].shape[1:])}, "
                    f"got {list(values.shape)}: outputs that change their shape cannot be written"
                )
            outputs[name][number] = values
        if time.perf_counter() - told > REPORT_EVERY_S:
            on_progress(number / runs, "inputs")
            told = time.perf_counter()
    return outputs


def _warm_up(
    session: Session, inputs: dict[str, NDArray[Any]], request: Request, on_progress: OnProgress
) -> int:
    """Run until the asked runs and a minimum time are over and the times are steady."""
    if not request.warmup_runs:
        return 0
    started = told = before = time.perf_counter()
    times: list[float] = []
    while True:
        session.run(inputs)
        now = time.perf_counter()
        times.append(now - before)
        before = now
        if now - started > request.max_seconds:
            break
        enough = len(times) >= request.warmup_runs and now - started >= MIN_WARMUP_S
        if enough and (steady(times) or len(times) >= MAX_WARMUP_FACTOR * request.warmup_runs):
            break
        if now - told > REPORT_EVERY_S:
            on_progress(0.0, "warm-up")
            told = now
    return len(times)


def _timed_runs(
    session: Session, inputs: dict[str, NDArray[Any]], request: Request, on_progress: OnProgress
) -> list[float]:
    """Milliseconds of each run, in order, none left out."""
    samples: list[float] = []
    started = told = time.perf_counter()
    while True:
        before = time.perf_counter()
        session.run(inputs)
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


def _sustained(
    session: Session, inputs: dict[str, NDArray[Any]], request: Request, on_progress: OnProgress
) -> dict[str, Any] | None:
    """Run without a pause for minutes: a curve of window medians, with clock and temperature."""
    if not request.sustained_minutes:
        return None
    total = 60 * request.sustained_minutes
    width = min(WINDOW_S, total / 2)
    windows: list[dict[str, Any]] = []
    started = time.perf_counter()
    now = started
    while now - started < total:
        samples: list[float] = []
        begun = now
        while now - begun < width:
            before = time.perf_counter()
            session.run(inputs)
            now = time.perf_counter()
            samples.append(1e3 * (now - before))
        on_progress(min(1.0, (now - started) / total), "sustained")
        windows.append(
            {
                "seconds": round(now - started, 2),
                "runs": len(samples),
                "p50": float(np.median(samples)),
                "p90": float(np.percentile(samples, 90)),
                "frequency_mhz": frequency_mhz(),
                "temperature_celsius": temperature_celsius(),
            }
        )
    return {"minutes": request.sustained_minutes, "windows": windows, **sustained_summary(windows)}


def sustained_summary(windows: list[dict[str, Any]]) -> dict[str, float]:
    """The median of the first and the last fifth of the windows, and how much slower that is."""
    fifth = max(1, len(windows) // 5)
    first = float(np.median([w["p50"] for w in windows[:fifth]]))
    last = float(np.median([w["p50"] for w in windows[-fifth:]]))
    return {"first_p50": first, "last_p50": last, "slowdown": last / first if first else 1.0}


def _stages(session: Session, request: Request) -> tuple[dict[str, float | None], list[str]]:
    """Times of the frame stages, or why they were not measured."""
    from asmnet_kit.benchmarks.timing.frame_stages import stages_of, time_stages

    nothing: dict[str, float | None] = {"pre": None, "post": None, "end_to_end": None}
    try:
        stages = stages_of(session, request)
    except ModelError as error:
        why = "the model carries no metadata" if request.adapter is None else str(error)
        return nothing, [f"pre- and post-processing not measured: {why}"]
    return {**nothing, **time_stages(stages)}, list(stages.notes)
