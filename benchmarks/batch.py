"""Measures many requests: machines side by side, what shares a machine one after the other."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from asmnet_kit.base.console import counted
from asmnet_kit.base.errors import KitError
from asmnet_kit.benchmarks.devices import THIS_MACHINE, family, machine_of, temperature_of
from asmnet_kit.benchmarks.live import LiveTable, Row
from asmnet_kit.benchmarks.protocol import Request, Unreachable
from asmnet_kit.benchmarks.runner import (
    Data,
    Killed,
    add_accuracy,
    benchmark_model,
    end_workers,
    measure_accuracy,
    result_file_name,
)
from asmnet_kit.benchmarks.shelf import Job
from asmnet_kit.benchmarks.targets.registry import load_target, problem_of
from asmnet_kit.results.results import Result, save_result

RETRY_AFTER_S = 5.0  # a phone that was plugged in again, or a board that restarts its network
LOOK_EVERY_S = 10.0  # at the temperature of a device that cools
END_EVERY_S = 0.2

Found = TypeVar("Found")


class TooHot(KitError):
    """A device did not cool in the time that it was given."""


class Stopped(KitError):
    """The call was interrupted."""


class Batch:
    """The measurements of one call, whose results are written as soon as they are there.

    Args:
        data: what the accuracy of each is measured on, too; None for none.
        out: folder of the result files.
        retries: further tries of a measurement whose device did not answer, or whose process a
            signal ended. What was measured and found wrong is never tried again.

    Attributes:
        written: the results by the path of their files.
        failures: why the others have none, or no accuracy.
    """

    def __init__(
        self, jobs: Sequence[Job], data: Data | None, out: Path, *, retries: int = 1
    ) -> None:
        self.jobs, self.data, self.out, self.retries = jobs, data, out, retries
        self.written: dict[Path, Result] = {}
        self.failures: list[str] = []
        self._accuracies: dict[tuple[str, str, str], dict[str, Any] | str] = {}
        self._lost: dict[tuple[str, str], str] = {}  # devices that were given up, and why
        self._rested: dict[tuple[str, str], float] = {}  # since when, by time.monotonic
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._cpu = _OwnCpu(self._stopping)
        self._here: set[tuple[str, str]] = set()  # devices that are this machine

    def run(self) -> None:
        """Measure them all; a failure of one ends none of the others.

        Raises:
            KeyboardInterrupt: Ctrl-C; the results of what was finished are written.
        """
        by_machine = queues_of(self.jobs)
        self._here = {_device(job) for job in by_machine.get(THIS_MACHINE, ())}
        queues = list(by_machine.values())
        with LiveTable() as table, ThreadPoolExecutor(len(queues)) as pool:
            futures = [
                pool.submit(self._run_queue, queue, table.add(_names(queue), len(queue)))
                for queue in queues
            ]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                self._stopping.set()
                while wait(futures, timeout=END_EVERY_S).not_done:
                    end_workers()
                raise
            finally:
                self.written = dict(sorted(self.written.items()))

    def _run_queue(self, queue: Sequence[Job], row: Row) -> None:
        for job in queue:
            if self._stopping.is_set():
                return
            row.begin(job.request)
            try:
                self._run(job, row)
            except KitError as error:
                if self._stopping.is_set():
                    return
                self.failures.append(_told(job, error))
                row.event("failed", str(error))
            self._rested[_device(job)] = time.monotonic()
            row.done += 1
        row.state, row.share = "finished", 1.0

    def _run(self, job: Job, row: Row) -> None:
        request = job.request
        problem = problem_of(request.target, request) or self._lost.get(_device(job))
        if problem:
            raise KitError(f"{request.model}: target {request.target}: {problem}")
        failed: list[str] = []
        result = self._tried(job, row, lambda: self._measured(job, row), failed)
        if failed:
            result["failed_attempts"] = failed
            result["warnings"].append(f"measured at try {len(failed) + 1}, after: {failed[-1]}")
        self._add_accuracy(result, job, row)
        if self._stopping.is_set():
            return
        self._write(result)
        row.event("done", f"p50 {result['summary']['p50']:.2f} ms")

    def _tried(self, job: Job, row: Row, action: Callable[[], Found], failed: list[str]) -> Found:
        """What ``action`` gives, at one of the tries.

        Args:
            failed: gets the reasons of the tries before.

        Raises:
            KitError: what no try is good against, or came at the last one.
        """
        while True:
            try:
                return action()
            except (Unreachable, Killed) as error:
                if self._stopping.is_set() or len(failed) >= self.retries:
                    if isinstance(error, Unreachable):
                        self._give_up(job, str(error))
                    raise
                failed.append(str(error))
                row.event(f"retry {len(failed)} of {self.retries}", str(error))
                self._pause(RETRY_AFTER_S)
            except TooHot as error:
                self._give_up(job, str(error))
                raise

    def _give_up(self, job: Job, reason: str) -> None:
        self._lost[_device(job)] = f"not tried, since {reason}"

    def _measured(self, job: Job, row: Row) -> Result:
        request = job.request
        with self._cpu.own(alone=True, needed=_device(job) in self._here):
            entry = self._wait_until_ready(job, row)
            row.state = "measures"
            result = benchmark_model(request, on_progress=row.progress, data=self.data)
        if job.name:
            result["target"]["device_name"] = job.name
        if entry is not None:
            result["entry"] = entry
            if entry["temperature_celsius"] is None:
                result["warnings"].append(
                    "entry temperature not checked: the device does not tell its temperature"
                )
        return result

    def _wait_until_ready(self, job: Job, row: Row) -> dict[str, Any] | None:
        """Let the device rest and cool.

        Returns:
            The result's ``entry``; None where no temperature was asked for.

        Raises:
            TooHot: it is still too warm at the end of the time that it has.
            RemoteError: it does not answer.
        """
        care, started = job.care, time.monotonic()
        rest = self._rested.get(_device(job), -care.cool_down) + care.cool_down - started
        if rest > 0:
            row.state, row.note = "rests", f"{care.cool_down:g} s between two measurements"
            self._pause(rest)
        most, deadline = care.entry_temperature, time.monotonic() + 60 * care.entry_minutes
        while True:
            row.temperature = found = temperature_of(job.request)
            if most is None or found is None or found <= most:
                break
            left = deadline - time.monotonic()
            if left <= 0:
                raise TooHot(
                    f"{_names([job])} is still at {found:.1f} °C after {care.entry_minutes:g} "
                    f"minutes, at most {most:g} °C were asked for (--entry-temperature): cool it, "
                    f"or wait longer (--entry-minutes)"
                )
            if row.state != "cools":
                row.event("cools", f"{found:.1f} °C, waits for {most:g} °C")
            self._pause(min(LOOK_EVERY_S, left))
        if most is None:
            return None
        return {
            "asked_celsius": most,
            "temperature_celsius": found,
            "waited_seconds": round(time.monotonic() - started, 1),
        }

    def _pause(self, seconds: float) -> None:
        if self._stopping.wait(seconds):
            raise Stopped("stopped")

    def _add_accuracy(self, result: Result, job: Job, row: Row) -> None:
        if self.data is None:
            return
        request, data = job.request, self.data
        # Threads change no output: one measurement for each target is enough.
        sha256 = result["model"]["sha256"]
        key = (sha256, request.target, request.device)

        def measure() -> dict[str, Any]:
            row.state = "accuracy"
            # The crops are cut, and compared, on this machine's CPU, wherever the model runs.
            with self._cpu.own(alone=_device(job) in self._here):
                return measure_accuracy(request, data, on_progress=row.progress, sha256=sha256)

        if key not in self._accuracies:
            try:
                self._accuracies[key] = self._tried(job, row, measure, [])
            except KitError as error:
                self._accuracies[key] = str(error)
                if not self._stopping.is_set():
                    self.failures.append(_told(job, error))
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


def queues_of(jobs: Sequence[Job]) -> dict[str, list[Job]]:
    """The jobs by the machine that runs them, in their order: each machine does one at a time.

    This machine's CPU and GPU, boards that are names of the same machine, and phones over USB and
    over the network, are one machine each. Of one that does not answer its name counts.
    """
    asked = {_device(job): job.request for job in jobs}

    def machine(device: tuple[str, str]) -> str:
        try:
            return machine_of(asked[device])
        except KitError:  # whoever measures it is told
            return " ".join(device)

    with ThreadPoolExecutor(max(1, len(asked))) as pool:
        machines = dict(zip(asked, pool.map(machine, asked), strict=True))
    queues: dict[str, list[Job]] = {}
    for job in jobs:
        queues.setdefault(machines[_device(job)], []).append(job)
    return queues


class _OwnCpu:
    """This machine's CPU: one measures on it alone, or several work there for other machines."""

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self._changed = threading.Condition()
        self._users = 0  # -1: one that is alone

    @contextmanager
    def own(self, *, alone: bool, needed: bool = True) -> Iterator[None]:
        """
        Args:
            alone: nobody else uses it in the block.
            needed: False for a block that does not use it.
        """
        if not needed:
            yield
            return
        with self._changed:
            while self._users < 0 or (alone and self._users):
                self._changed.wait(END_EVERY_S)
                if self._stopping.is_set():
                    raise Stopped("stopped")
            self._users = -1 if alone else self._users + 1
        try:
            yield
        finally:
            with self._changed:
                self._users = 0 if alone else self._users - 1
                self._changed.notify_all()


def _is_here(request: Request) -> bool:
    return not load_target(request.target).abilities.elsewhere


def _device(job: Job) -> tuple[str, str]:
    """What is given up as a whole when it is gone or stays hot."""
    request = job.request
    here = _is_here(request)
    return (THIS_MACHINE, "") if here else (family(request.target), request.device)


def _names(queue: Sequence[Job]) -> str:
    """The devices of a queue, for people."""

    def name(job: Job) -> str:
        own = "this machine" if _is_here(job.request) else family(job.request.target)
        return job.name or (job.request.device if not _is_here(job.request) else "") or own

    return ", ".join(dict.fromkeys(map(name, queue)))


def _told(job: Job, error: KitError) -> str:
    """A failure with the name that the file of devices gives it."""
    return f"{job.name}: {error}" if job.name else str(error)


def _unread(accuracy: dict[str, Any]) -> list[str]:
    """A warning where pictures were left out of the accuracy."""
    problems = accuracy["problems"]
    if not problems:
        return []
    first = f"{problems[0]['name']}: {problems[0]['reason']}"
    return [f"{counted(len(problems), 'face')} left out of the accuracy, first {first}"]
