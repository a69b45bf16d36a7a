"""Faces per second with several processes: what is counted, and every command that is measured."""

import sys

import pytest

from asmnet_kit.benchmarks.studies import worker_speed


def test_a_rate_is_of_what_comes_after_the_start(monkeypatch) -> None:
    """100 faces; the first 25 take 10 s, the other 75 take 5 s: 15 faces/s."""
    at = {0: 0.0, 24: 9.0, 25: 10.0, 60: 11.0, 100: 15.0}
    times = iter(at.values())
    monkeypatch.setattr(worker_speed.time, "perf_counter", lambda: next(times))
    clock = worker_speed.Clock()
    for done in at:
        clock(done, 100)
    assert clock.rate == 15


def test_rounds_alternate_and_each_is_kept() -> None:
    asked = []

    def work(workers, progress):
        asked.append(workers)
        for done in range(5):
            progress(done, 4)

    found = worker_speed.rates(work, [1, 2], rounds=3)
    assert asked == [1, 2, 2, 1, 1, 2]
    assert {count: len(rates) for count, rates in found.items()} == {1: 3, 2: 3}


def test_peak_memory_is_of_the_command_and_its_processes() -> None:
    assert worker_speed.peak_bytes(["models", "--json"]) > 5_000_000
    with pytest.raises(RuntimeError, match="ended with 2"):
        worker_speed.peak_bytes(["no-such-command"])


def test_every_command_with_workers_is_measured(monkeypatch, capsys) -> None:
    """Without prepare, which loads TensorFlow."""
    monkeypatch.setattr(sys, "argv", ["x", "--faces", "160", "--rounds", "1", "--workers", "1"])
    monkeypatch.setattr(worker_speed, "SIZE", 32)
    monkeypatch.setattr(worker_speed, "open_stage", lambda name: _counts)
    worker_speed.main()
    told = [line.split(", 1 workers: ")[0] for line in capsys.readouterr().out.splitlines()]
    assert told == [
        "data synthesize", "data synthesize --kind people", "data inspect", "data prepare",
        "data teacher", "evaluate",
    ]  # fmt: skip


def _counts(dataset, out, *, workers, progress):
    for done in range(len(dataset.faces) + 1):
        progress(done, len(dataset.faces))
