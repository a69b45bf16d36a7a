"""Does Google's ``litert-benchmark`` notice the faults of docs/trust.md?

Usage: make litert-faults [ARGS=MODEL.tflite]

Its ``run_by_name`` is replaced by one that does what a broken runtime would do, and its clock by a
broken one. Printed is how it ends: its exit code, its median and whatever warning it gives.
"""

import logging
import re
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import click
import numpy as np

Run = Callable[..., Any]
RUNS = 60


def _wrong_from(first: int) -> Callable[[Run], Run]:
    """Outputs are zeros from run ``first`` on."""

    def wrap(real: Run) -> Run:
        count = iter(range(10**6))

        def run(model: Any, key: str, inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
            real(model, key, inputs, outputs)
            if next(count) >= first:
                _spoil(outputs)

        return run

    return wrap


def _spoil(outputs: dict[str, Any]) -> None:
    """Another value in the first element of each output."""
    for buffer in outputs.values():
        for kind in (np.int8, np.float32):  # whichever it is; the other one is refused
            try:
                before = buffer.read(1, kind)
                buffer.write(np.asarray(before) + kind(1))
            except (RuntimeError, ValueError, TypeError):
                continue


def _once(real: Run) -> Run:
    """The first run writes the outputs, no later one does."""
    count = iter(range(10**6))
    return lambda *arguments: real(*arguments) if next(count) == 0 else None


def _never(real: Run) -> Run:
    return lambda *_: None


def _slow(seconds: Callable[[int], float]) -> Callable[[Run], Run]:
    def wrap(real: Run) -> Run:
        count = iter(range(10**6))

        def run(*arguments: Any) -> None:
            time.sleep(seconds(next(count)))
            real(*arguments)

        return run

    return wrap


def _clock(change: Callable[[float, int], float]) -> Any:
    count = iter(range(10**6))
    return SimpleNamespace(perf_counter=lambda: change(time.perf_counter(), next(count)))


# By the name of docs/trust.md's row: what runs in place of run_by_name, and the clock.
FAULTS: dict[str, tuple[Callable[[Run], Run], Any]] = {
    "none": (lambda real: real, None),
    "right once": (_wrong_from(1), None),
    "wrong late": (_wrong_from(15), None),
    "wrong always": (_wrong_from(0), None),
    "submission only": (_never, None),
    "frozen buffer": (_once, None),
    "warm-up too short": (_slow(lambda n: 0.02 if n < 15 else 0.002), None),
    "throttled": (_slow(lambda n: 0.002 if n < 50 else 0.008), None),
    "clock jumps ahead": (lambda real: real, lambda t, n: t + (5.0 if n > 60 else 0.0)),
    "clock jumps back": (lambda real: real, lambda t, n: t - (5.0 if n > 60 else 0.0)),
    "coarse clock": (_slow(lambda n: 0.005), lambda t, n: t // 0.0156 * 0.0156),
}


def ends(name: str, model: Path) -> str:
    """How litert-benchmark ends with a fault: ``exit 0, median 0.25 ms``."""
    from ai_edge_litert import compiled_model
    from ai_edge_litert.tools import benchmark_litert_model as tool

    wrap, clock = FAULTS[name]
    words = ["litert-benchmark", "--model", str(model), "--num_runs", str(RUNS)]
    real = compiled_model.CompiledModel.run_by_name
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    out = StringIO()
    code: object = 0
    with (
        patch.object(compiled_model.CompiledModel, "run_by_name", wrap(real)),
        patch.object(tool, "time", time if clock is None else _clock(clock)),
        patch.object(sys, "argv", [*words, "--warmup_runs", "10"]),
        redirect_stdout(out),
    ):
        try:
            tool.main()
        except SystemExit as ended:
            code = ended.code or 0
        except Exception as error:
            code = f"{type(error).__name__}: {error}"
    logging.getLogger().removeHandler(handler)
    times = re.findall(r"Inference \((median|max|min)\):\s+(\S+) ms", out.getvalue())
    figures = ", ".join(f"{kind} {value} ms" for kind, value in times)
    return f"exit {code}, {figures}, warnings: {'; '.join(said) or 'none'}"


@click.command()
@click.argument("model", required=False, type=click.Path(path_type=Path, exists=True))
def main(model: Path | None) -> None:
    """Print a line for each fault; MODEL is the kit's face detector by default."""
    from asmnet_kit.predict.blazeface import SHORT_RANGE

    for name in FAULTS:
        click.echo(f"{name}: {ends(name, model or SHORT_RANGE.path)}")


if __name__ == "__main__":
    main()
