"""Times an opened model: load, first run, warm-up, timed runs, the stages of a frame, parity.

One way for every target whose model runs in this process; the targets say what ran it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import KitError, ModelError
from asmnet_kit.benchmarks.options import RUNTIME
from asmnet_kit.benchmarks.protocol import Measurement, OnProgress, Request, WrongNumbers
from asmnet_kit.benchmarks.timing.machine import (
    CpuUse,
    clock_step,
    disturbances,
    frequency_mhz,
    machine_facts,
    peak_rss_bytes,
    temperature_celsius,
)
from asmnet_kit.benchmarks.timing.noise import MAX_DRIFT, instability, steady
from asmnet_kit.benchmarks.timing.output_check import (
    KeptRun,
    Landmarks,
    OutputCheck,
    Outputs,
    steps_before_float,
)
from asmnet_kit.benchmarks.timing.timed_inputs import TimedInputs, timed_inputs
from asmnet_kit.tflite.reader import read_graph
from asmnet_kit.tflite.runtime import Session, TensorInfo, dequantize, open_runtime
from asmnet_kit.tflite.tensorfile import Tensors, read_tensors, write_tensors

REPORT_EVERY_S = 0.1  # how often progress is told; each telling costs some microseconds
SAMPLE_DIGITS = 5  # of milliseconds: 10 ns, finer than the clock's own overhead
MIN_WARMUP_S = 0.2  # caches, page tables and the clock settle at least this long
MAX_WARMUP_FACTOR = 5  # times that are not steady after this many times the asked runs never are
WINDOW_S = 5.0  # of the sustained curve; each point is the median of a window
MAX_FRESH = 2.0  # times the median: what an input may take that no run had before
MAX_AT_LIMITS = 0.05  # share of the landmarks at the ends of their integer type


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
    inputs: str = ""  # what the runs were fed, for people
    kernels: str | None = None  # as the session itself calls them, where it does
    output_check: dict[str, Any] | None = None
    parity: dict[str, Any] | None = None  # of the runs in it; for an accelerator's result
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
                "input": self.inputs,
                "kernels": self.kernels,
                "timed": timed,
                "load": load,
            },
            timings_ms=self.timings_ms,
            memory=self.memory,
            parity=parity,
            profile=profile,
            sustained=self.sustained,
            output_check=self.output_check,
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
    inputs = timed_inputs(session, request)
    started = time.perf_counter()
    outputs = session.run(inputs.of_run(0))
    first_ms = 1e3 * (time.perf_counter() - started)
    _refuse_handles(outputs)
    kept = [KeptRun("the first inference", None, inputs.of_run(0), _copied(outputs))]

    warmup_runs = _warm_up(session, inputs, request, on_progress)
    before = CpuUse.now(time.perf_counter)
    samples, timed_runs = _timed_runs(session, inputs, request, on_progress)
    after = CpuUse.now(time.perf_counter)
    kept += timed_runs
    peak = peak_rss_bytes()  # before the stages: they bring OpenCV into this process
    _refuse_times(samples, before, after)
    warnings = [*instability(samples), *disturbances(before, after, threads=request.threads)]
    if len(samples) < request.runs:
        warnings.append(
            f"stopped after {request.max_seconds:.0f} s with {len(samples)} of {request.runs} runs"
        )
    sustained, last = _sustained(session, inputs, request, on_progress)
    kept += last
    if sustained is not None and (sustained["slowdown"] or 1) > 1 + MAX_DRIFT:
        warnings.append(
            f"throttled: after {request.sustained_minutes:g} minutes a run takes "
            f"{100 * (sustained['slowdown'] - 1):.0f} % longer than at the start, and whatever is "
            f"faster at the start may be slower then"
        )
    fresh, cached = _fresh_runs(session, inputs, samples, on_progress)
    kept.append(fresh)
    on_progress(1.0, "frames")
    stages, missing = _stages(session, request, on_progress)
    if given is not None and request.outputs is not None:
        write_tensors(request.outputs, _run_all(session, given, on_progress))
    on_progress(1.0, "outputs")
    check, parity, found = check_outputs(session, kept, inputs, request)
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
        inputs=inputs.words,
        kernels=getattr(session, "kernels", None),
        output_check=check,
        parity=parity,
        warnings=[*warnings, *cached, *found],
        notes=missing,
    )


def check_outputs(
    session: Session, kept: Sequence[KeptRun], inputs: TimedInputs, request: Request
) -> tuple[dict[str, Any] | None, dict[str, Any] | None, list[str]]:
    """Kept runs beside this machine's CPU: ``output_check`` and ``parity``, and warnings.

    Args:
        session: what ran them, or one of the same tensors.
    """
    try:
        check = output_check(session, kept, inputs, request)
        found = {"input": inputs.words, **check.to_json()}
        landmarks = check.landmarks
        warnings = [] if landmarks is None else _at_limits(kept, session.outputs, landmarks)
        return found, check.parity(), warnings
    except KitError as error:
        return None, None, [f"the outputs were not compared with the CPU's: {error}"]


def output_check(
    session: Session, kept: Sequence[KeptRun], inputs: TimedInputs, request: Request
) -> OutputCheck:
    """Kept runs beside the request's model on this machine's CPU.

    Raises:
        KitError: the model cannot be opened there.
    """
    from asmnet_kit.predict.open_predictor import open_tflite

    chosen = request.options.get(RUNTIME.name)
    reference = open_runtime(request.model, xnnpack=request.xnnpack, runtime=chosen)
    try:
        predictor = open_tflite(request.model, session=reference, adapter=request.adapter)
        output = predictor.output_name
        landmarks = Landmarks(output, predictor.raw_size, predictor.unit_sides)
    except ModelError:
        landmarks = None
    return OutputCheck(
        session,
        kept,
        inputs,
        reference,
        reference_name=f"{reference.name} {reference.version} on this machine's CPU, "
        f"{reference.kernels}",
        landmarks=landmarks,
        max_parity=request.max_parity,
        steps=steps_before_float(read_graph(request.model)),
    )


def _at_limits(
    kept: Sequence[KeptRun], infos: Mapping[str, TensorInfo], landmarks: Landmarks
) -> list[str]:
    """A warning where landmarks are cut off at the ends of their integer type."""
    info = infos.get(landmarks.output)
    if info is None or info.scale is None:
        return []
    ends = np.iinfo(info.dtype)
    values = np.concatenate([run.outputs[landmarks.output].ravel() for run in kept])
    share = float(np.mean((values == ends.min) | (values == ends.max)))
    if share <= MAX_AT_LIMITS:
        return []
    return [
        f"{100 * share:.0f} % of the landmarks of the drawn faces are cut off at the ends of "
        f"{info.dtype.name}: was the model calibrated on other data than faces? asmnet-kit audit "
        f"shows where, and --data with --max-nme measures what it costs"
    ]


def _refuse_handles(outputs: Outputs) -> None:
    """Outputs that are fetched when they are read would be fetched after the clock stopped.

    Raises:
        WrongNumbers: they are no arrays in memory.
    """
    for name, values in outputs.items():
        # An array of no dimensions comes as NumPy's scalar.
        if type(values) is not np.ndarray and not isinstance(values, np.generic):
            raise WrongNumbers(
                f"the output {name!r} is a {type(values).__name__}, not an array in memory: a run "
                f"that does not wait for its outputs would be timed without its work"
            )


def _refuse_times(samples: Sequence[float], before: CpuUse, after: CpuUse) -> None:
    """Raise WrongNumbers where the clock cannot be believed."""
    if min(samples) <= 0:
        raise WrongNumbers(f"the clock stepped: a run took {min(samples):g} ms by it")
    stepped = clock_step(before, after)
    if stepped:
        raise WrongNumbers(stepped)


def _copied(outputs: Outputs) -> dict[str, NDArray[Any]]:
    """Now: a target may reuse the memory for its next run."""
    return {name: np.array(values) for name, values in outputs.items()}


def _fresh_runs(
    session: Session, inputs: TimedInputs, samples: Sequence[float], on_progress: OnProgress
) -> tuple[KeptRun, list[str]]:
    """The last of some runs with inputs that no run had, and a warning where they take longer."""
    times = []
    for one in inputs.fresh:
        on_progress(1.0, "new inputs")
        before = time.perf_counter()
        outputs = session.run(one)
        times.append(1e3 * (time.perf_counter() - before))
        last = KeptRun("a run with an input that no run had before", None, one, _copied(outputs))
    least, median = min(times), float(np.median(samples))
    if least <= MAX_FRESH * median:
        return last, []
    return last, [
        f"cached: an input that no run had before takes {least:.3g} ms at least, the timed ones in "
        f"turn {median:.3g} ms: their outputs were remembered, not computed"
    ]


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
    session: Session, inputs: TimedInputs, request: Request, on_progress: OnProgress
) -> int:
    """Run until the asked runs and a minimum time are over and the times are steady."""
    if not request.warmup_runs:
        return 0
    started = told = before = time.perf_counter()
    times: list[float] = []
    while True:
        session.run(inputs.of_run(len(times)))
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
    session: Session, inputs: TimedInputs, request: Request, on_progress: OnProgress
) -> tuple[list[float], list[KeptRun]]:
    """Milliseconds of each run, in order, none left out; the first, a middle and the last run."""
    samples: list[float] = []
    kept: dict[int, dict[str, NDArray[Any]]] = {}
    started = told = time.perf_counter()
    while True:
        number = len(samples)
        fed = inputs.of_run(number)
        before = time.perf_counter()
        outputs = session.run(fed)
        after = time.perf_counter()
        samples.append(round(1e3 * (after - before), SAMPLE_DIGITS))
        elapsed = after - started
        enough = len(samples) >= request.runs and elapsed >= request.min_seconds
        ended = enough or elapsed >= request.max_seconds
        # Which run is in the middle is not known yet: those of 0, 1, 2, 4, 8, ... are kept.
        if ended or number & (number - 1) == 0:
            kept[number] = _copied(outputs)
        if ended:
            return samples, _first_middle_last(kept, inputs)
        if after - told > REPORT_EVERY_S:
            shares = [len(samples) / request.runs]
            if request.min_seconds:
                shares.append(elapsed / request.min_seconds)
            on_progress(min(1.0, *shares), "runs")
            told = after


def _first_middle_last(
    kept: Mapping[int, dict[str, NDArray[Any]]], inputs: TimedInputs
) -> list[KeptRun]:
    last = max(kept)
    chosen = {"the first timed run": 0}
    between = [number for number in kept if 0 < number < last]
    if between:
        chosen["a timed run in the middle"] = min(between, key=lambda n: abs(n - last / 2))
    if last:
        chosen["the last timed run"] = last
    return [
        KeptRun(which, number + 1, inputs.of_run(number), kept[number])
        for which, number in chosen.items()
    ]


def _sustained(
    session: Session, inputs: TimedInputs, request: Request, on_progress: OnProgress
) -> tuple[dict[str, Any] | None, list[KeptRun]]:
    """Run without a pause for minutes: a curve of window medians, with clock and temperature; and
    the last run."""
    if not request.sustained_minutes:
        return None, []
    total = 60 * request.sustained_minutes
    width = min(WINDOW_S, total / 2)
    windows: list[dict[str, Any]] = []
    started = time.perf_counter()
    now = started
    number = 0
    while now - started < total:
        samples: list[float] = []
        begun = now
        while now - begun < width:
            number += 1
            fed = inputs.of_run(number)
            before = time.perf_counter()
            outputs = session.run(fed)
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
    curve = {"minutes": request.sustained_minutes, "windows": windows, **sustained_summary(windows)}
    return curve, [KeptRun("the last sustained run", None, fed, _copied(outputs))]


def sustained_summary(windows: list[dict[str, Any]]) -> dict[str, float | None]:
    """The median of the first and the last fifth of the windows, and how much slower that is: None
    where the clock is too coarse for the first."""
    fifth = max(1, len(windows) // 5)
    first = float(np.median([w["p50"] for w in windows[:fifth]]))
    last = float(np.median([w["p50"] for w in windows[-fifth:]]))
    return {"first_p50": first, "last_p50": last, "slowdown": last / first if first else None}


def _stages(
    session: Session, request: Request, on_progress: OnProgress
) -> tuple[dict[str, float | None], list[str]]:
    """Times of the frame stages, or why they were not measured.

    Raises:
        ModelError: the model is not what the request's adapter says.
    """
    from asmnet_kit.benchmarks.timing.frame_stages import stages_of, time_stages

    nothing: dict[str, float | None] = {"pre": None, "post": None, "end_to_end": None}
    try:
        stages = stages_of(session, request)
    except ModelError:
        if request.adapter is not None:
            raise
        return nothing, ["pre- and post-processing not measured: the model carries no metadata"]
    return {**nothing, **time_stages(stages, on_progress)}, list(stages.notes)
