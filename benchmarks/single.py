"""One measurement for a program: ``asmnet_kit.benchmark`` (asmnet_kit.api)."""

from collections.abc import Mapping
from pathlib import Path

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.files import require_writable
from asmnet_kit.base.model_kind import ModelKind, require_kind
from asmnet_kit.benchmarks.call import refuse_requests, refuse_unfollowed, requests_for
from asmnet_kit.benchmarks.protocol import Request, TargetError
from asmnet_kit.benchmarks.runner import (
    Data,
    add_accuracy,
    benchmark_model,
    measure_accuracy,
    result_file_name,
)
from asmnet_kit.benchmarks.targets.registry import problem_of
from asmnet_kit.results.results import Result, save_result

TFLITE: tuple[ModelKind, ...] = ("tflite",)


def measure_one(
    model: Path,
    *,
    target: str,
    threads: int,
    device: str,
    runs: int,
    min_seconds: float,
    options: Mapping[str, str],
    data: Path | None,
    format: str | None,
    split: str | None,
    out: Path | None,
) -> Result:
    """Measure one .tflite on one target, as ``asmnet-kit benchmark`` does.

    Args:
        data, format, split: of the accuracy; without data it is not measured.
        out: folder that gets the result's file; None for none.

    Raises:
        UsageError: what the target cannot follow, or a part of ``data`` and ``format`` alone.
        KitError: as ``benchmark_model`` and ``measure_accuracy``, and where the target does not
            work here.
    """
    if (data is None) != (format is None) or (split is not None and data is None):
        raise UsageError("expected data and format together, and split with them")
    require_kind(model, TFLITE)
    devices = [device] if device else []
    template = Request(
        model=model,
        runs=runs,
        min_seconds=min_seconds,
        max_seconds=max(Request.max_seconds, min_seconds),
        options=options,
        accuracy=data is not None,
    )
    refuse_unfollowed([target], options=options, devices=devices)
    (request,) = requests_for([model], [target], template, threads=[threads], devices=devices)
    refuse_requests([request])
    labelled = None if data is None or format is None else Data(data, format, split)
    if labelled is not None:
        labelled.check(model)
    if out is not None:
        require_writable(out)
    if problem := problem_of(target, request):
        raise TargetError(f"{model}: target {target}: {problem}")
    result = benchmark_model(request, on_progress=_silent, data=labelled)
    if labelled is not None:
        accuracy = measure_accuracy(
            request, labelled, on_progress=_silent, sha256=result["model"]["sha256"]
        )
        add_accuracy(result, accuracy, request)
    if out is not None:
        earlier = {path.name for path in out.glob("*.json")}
        save_result(out / result_file_name(result, taken=(), earlier=earlier), result)
    return result


def _silent(share: float, doing: str) -> None:
    """A program shows its own progress."""
