"""Processes that share out a job: order, errors, ends; and how many cores there are to use."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import pairwise

import pytest

from asmnet_kit.base import cores
from asmnet_kit.base.cores import cpu_quota, usable_cores
from asmnet_kit.base.errors import DatasetError, KitError
from asmnet_kit.base.taking_turns import Turn, take_turn
from asmnet_kit.base.workers import AHEAD, Workers, shared_out


def begin_squares(offset):
    return partial(square, offset)


def square(offset, item):
    """The later the item the sooner its answer."""
    if item == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "bad":
        raise DatasetError("a bad item")
    if item == "full":
        raise OSError(28, "No space left on device", "/there")
    if item == "bug":
        raise ZeroDivisionError
    time.sleep(0.02 * (item % 3 == 0))
    return offset + item**2, os.getpid()


@pytest.mark.parametrize(("workers", "at_once"), [(1, 1), (3, 1), (3, 4)])
def test_answers_come_in_the_order_of_the_items(workers, at_once):
    with shared_out(
        partial(begin_squares, 1), range(30), workers=workers, doing="squares", at_once=at_once
    ) as answers:
        found = list(answers)
    assert [value for value, _ in found] == [1 + item**2 for item in range(30)]
    here = {os.getpid()}
    assert ({pid for _, pid in found} == here) == (workers == 1)
    assert multiprocessing.active_children() == []


def test_few_more_items_are_asked_for_than_answers_taken():
    asked = []

    def items():
        for item in range(1000):
            asked.append(item)
            yield item

    with Workers(partial(begin_squares, 0), workers=2, doing="squares") as workers:
        next(workers.in_order(items()))
        assert len(asked) <= 2 * AHEAD + 1
    assert multiprocessing.active_children() == []


def begin_echo():
    return echo


def echo(item):
    return item


def test_neither_side_waits_for_the_other_to_read():
    """More than a pipe holds goes both ways at once."""
    items = [bytes([number]) * 4_000_000 for number in range(12)]
    with shared_out(begin_echo, items, workers=2, doing="echoes") as answers:
        assert [answer == item for answer, item in zip(answers, items, strict=True)] == [True] * 12


class NotThere:
    """An item that other processes cannot make."""

    def __reduce__(self):
        return (absent, ())


def absent():
    raise ImportError("not there")


def memory_runs_out():
    raise MemoryError


class TooLarge:
    def __reduce__(self):
        return (memory_runs_out, ())


@pytest.mark.parametrize("item", [NotThere(), TooLarge()])
def test_an_item_that_cannot_be_read_ends_its_process(item):
    with (
        pytest.raises(KitError, match=r"a process that echoes ended \(exit code 1"),
        shared_out(begin_echo, [item] * 3, workers=2, doing="echoes") as answers,
    ):
        list(answers)
    assert multiprocessing.active_children() == []


def test_answers_that_nobody_took_are_not_those_of_later_items():
    with Workers(begin_echo, workers=2, doing="echoes") as workers:
        next(workers.in_order(range(20)))
        later = range(100, 120)
        assert list(workers.in_order(later)) == list(later)


def begin_environment():
    return os.environ.get


def test_processes_keep_freed_memory_and_have_a_core_each(monkeypatch):
    names = ["MALLOC_TRIM_THRESHOLD_", "OMP_NUM_THREADS"]
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_", raising=False)
    with shared_out(begin_environment, names, workers=2, doing="looks") as answers:
        assert list(answers) == [str(64 << 20), "1"]
    assert list(map(os.environ.get, names)) == [None, "7"]


def begin_touching(folder):
    return partial(touch, folder)


def touch(folder, item):
    (folder / str(item)).touch()


def test_a_process_goes_on_while_its_answer_is_looked_at(tmp_path):
    with Workers(partial(begin_touching, tmp_path), workers=1, doing="touches") as workers:
        next(workers.in_order(range(10)))
        # The one that was at hand, and the one asked for instead of the first.
        ends = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < 3:
            assert time.monotonic() < ends
            time.sleep(0.01)


@pytest.mark.parametrize(
    ("item", "kind", "words"),
    [
        ("bad", DatasetError, "^a bad item$"),
        ("full", OSError, "No space left on device: '/there'"),
        ("bug", RuntimeError, "ZeroDivisionError"),
        ("die", KitError, r"a process that squares ended \(exit code -9"),
    ],
)
def test_an_error_there_is_one_here(item, kind, words):
    with (
        pytest.raises(kind, match=words),
        shared_out(
            partial(begin_squares, 0), [1, 2, item, 4], workers=2, doing="squares"
        ) as answers,
    ):
        list(answers)
    assert multiprocessing.active_children() == []


def failing_begin():
    raise KitError("no model there")


def test_what_cannot_begin_says_why():
    with (
        pytest.raises(KitError, match="no model there"),
        Workers(failing_begin, workers=2, doing="squares") as workers,
    ):
        list(workers.in_order(range(4)))


@pytest.mark.parametrize(
    ("text", "quota"), [("150000 100000\n", 1.5), ("max 100000\n", None), ("", None)]
)
def test_a_containers_cpu_quota(text, quota):
    assert cpu_quota(text) == quota


def test_the_smallest_limit_above_a_process_counts(tmp_path, monkeypatch):
    """A scheduler's: this process is in a group within the group that has the limit."""
    inner = tmp_path / "job" / "step"
    inner.mkdir(parents=True)
    (inner / "cpu.max").write_text("max 100000\n")
    (tmp_path / "job" / "cpu.max").write_text("250000 100000\n")
    own = tmp_path / "own"
    own.write_text("0::/job/step\n")
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    monkeypatch.setattr(cores, "OWN_CGROUP", own)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert usable_cores() == 2
    (tmp_path / "job" / "cpu.max").write_text("50000 100000\n")
    assert usable_cores() == 1
    (tmp_path / "job" / "cpu.max").unlink()
    assert usable_cores() == 8
    (tmp_path / "cpu").mkdir()  # version 1
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("300000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores() == 3


def begin_turns():
    return turned


def turned(item):
    """When it was this item's turn."""
    take_turn()
    began = time.monotonic()
    time.sleep(0.05)
    return began, time.monotonic()


def test_processes_take_turns():
    with Workers(begin_turns, workers=3, doing="takes turns") as workers:
        spans = sorted(workers.in_order(range(6)))
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def take_and_die(turn):
    turn.take()
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_turn_ends_with_its_process():
    turn = Turn()
    process = multiprocessing.get_context("spawn").Process(target=take_and_die, args=(turn,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    turn.take()  # and waits for nobody
    turn.close()


def test_a_script_without_a_guard_is_not_run_again(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import operator\n"
        "from functools import partial\n"
        "from asmnet_kit.base.workers import Workers\n"
        "with Workers(partial(partial, operator.neg), workers=2, doing='counts') as workers:\n"
        "    print(list(workers.in_order([1, 2])), __file__.rpartition('/')[2], __spec__)\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[-1, -2] script.py None\n"
