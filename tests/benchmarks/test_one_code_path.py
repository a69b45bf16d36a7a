"""Times and accuracy are of the same bytes, session and kernels (MLPerf Tiny's rule)."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asmnet_kit.benchmarks.protocol import Request
from asmnet_kit.benchmarks.targets import cpu, edgetpu, gpu
from asmnet_kit.benchmarks.timing import session_timing


class Opened(Exception):
    """Ends a measurement where the model would be opened; holds how."""


# The opener that a target must use for both, and the module that it is looked up in.
OPENERS = (
    (cpu.CPU, cpu, "open_runtime"),
    (gpu.GPU, gpu, "open_gpu"),
    (edgetpu.EDGETPU, edgetpu, "open_edgetpu"),
)


@pytest.mark.parametrize(
    ("target", "module", "opener"), OPENERS, ids=lambda v: getattr(v, "name", "")
)
def test_a_target_opens_a_model_in_one_way_for_times_and_for_accuracy(
    target: Any,
    module: Any,
    opener: str,
    make_tflite: Callable[..., Path],
    edgetpu_pair: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[dict[str, Any]] = []
    signature = inspect.signature(getattr(module, opener))

    def opened(*arguments: Any, **named: Any) -> Any:
        bound = signature.bind(*arguments, **named)
        bound.apply_defaults()
        calls.append(dict(bound.arguments))
        raise Opened

    monkeypatch.setattr(module, opener, opened)
    if target is edgetpu.EDGETPU:
        source, compiled = edgetpu_pair
        request = Request(source, options={"edgetpu_model": str(compiled)})
    else:
        request = Request(make_tflite(), threads=2, xnnpack=target is not cpu.CPU)
    with pytest.raises(Opened):
        target.measure(request, lambda *_: None)
    with pytest.raises(Opened):
        target.predictor(request)
    times, accuracy = calls
    assert times == accuracy


def test_timed_runs_and_frames_and_the_users_inputs_share_one_session(
    make_tflite: Callable[..., Path],
) -> None:
    """Whatever a measurement runs, it runs on the session that was timed."""
    model = make_tflite(size=32)
    opened = []

    def open_once() -> Any:
        opened.append(cpu.open_runtime(model))
        return opened[-1]

    request = Request(model, warmup_runs=1, runs=5, min_seconds=0.0)
    session, timed = session_timing.measure_session(open_once, request, lambda *_: None)
    assert opened == [session]
    assert timed.timings_ms["end_to_end"] is not None
    assert timed.output_check is not None and timed.output_check["passed"]
