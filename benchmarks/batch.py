"""Measures many requests: machines side by side, what shares a machine one after the other."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asmnet_kit.base.console import counted
from asmnet_kit.base.errors import KitError
from asmnet_kit.benchmarks.protocol import OnProgress, Request, WrongNumbers
from asmnet_kit.benchmarks.runner import (
    Data,
    add_accuracy,
    benchmark_model,
    measure_accuracy,
    result_file_name,
)
from asmnet_kit.benchmarks.targets.registry import load_target, problem_of
from asmnet_kit.results.results import Result, save_result

if TYPE_CHECKING:
    from rich.progress import Progress


class Batch:
    """Requests of one call, whose results are written as soon as they are there.

    Args:
        data: what the accuracy of each is measured on, too; None for none.
        out: folder of the result files.

    Attributes:
        written: the results by the path of their files.
        failures: why the others have none, or no accuracy.
    """

    def __init__(self, requests: Sequence[Request], data: Data | None, out: Path) -> None:
        self.requests, self.data, self.out = requests, data, out
        self.written: dict[Path, Result] = {}
        self.failures: list[str] = []
        self._accuracies: dict[tuple[str, str, str], dict[str, Any] | str] = {}
        self._lock = threading.Lock()

    def run(self, bar: "Progress") -> None:
        """Measure them all; a failure of one ends none of the others."""
        lanes: dict[str, list[Request]] = {}
        for request in self.requests:
            elsewhere = load_target(request.target).abilities.elsewhere
            lanes.setdefault(request.device if elsewhere else "", []).append(request)

        def run_lane(lane: list[Request]) -> None:
            for request in lane:
                self._run(request, bar)

        with ThreadPoolExecutor(max_workers=len(lanes)) as pool:
            list(pool.map(run_lane, lanes.values()))
        self.written = dict(sorted(self.written.items()))

    def _run(self, request: Request, bar: "Progress") -> None:
        title = f"{request.model.name}, {request.target}, {request.device or request.threads}"
        task = bar.add_task(title, total=100, note="")

        def on_progress(done: float, note: str) -> None:
            bar.update(task, completed=100 * done, note=note)

        problem = problem_of(request.target, request)
        if problem:
            self.failures.append(f"{request.model}: target {request.target}: {problem}")
            return
        try:
            result = benchmark_model(request, on_progress=on_progress, data=self.data)
        except KitError as error:
            self.failures.append(str(error))
            bar.update(task, note="failed")
            return
        try:
            self._add_accuracy(result, request, on_progress)
        except WrongNumbers as error:
            self.failures.append(str(error))
            bar.update(task, note="failed")
            return
        self._write(result)
        bar.update(task, completed=100, note=f"p50 {result['summary']['p50']:.2f} ms")

    def _add_accuracy(self, result: Result, request: Request, on_progress: OnProgress) -> None:
        if self.data is None:
            return
        # Threads change no output: one measurement for each target is enough.
        sha256 = result["model"]["sha256"]
        key = (sha256, request.target, request.device)
        if key not in self._accuracies:
            try:
                found = measure_accuracy(request, self.data, on_progress=on_progress, sha256=sha256)
                self._accuracies[key] = found
            except KitError as error:
                self._accuracies[key] = str(error)
                self.failures.append(str(error))
        accuracy = self._accuracies[key]
        if isinstance(accuracy, str):
            result["warnings"].append(f"accuracy not measured: {accuracy}")
        else:
            add_accuracy(result, accuracy, request)
            result["warnings"] += _unread(accuracy["accuracy"])

    def _write(self, result: Result) -> None:
        with self._lock:
            taken = {path.name for path in self.written}
            earlier = {path.name for path in self.out.glob("*.json")} - taken
            path = self.out / result_file_name(result, taken=taken, earlier=earlier)
            save_result(path, result)
            self.written[path] = result


def _unread(accuracy: dict[str, Any]) -> list[str]:
    """A warning where pictures were left out of the accuracy."""
    problems = accuracy["problems"]
    if not problems:
        return []
    first = f"{problems[0]['name']}: {problems[0]['reason']}"
    return [f"{counted(len(problems), 'face')} left out of the accuracy, first {first}"]
