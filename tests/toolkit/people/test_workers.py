"""Processes that draw people: the same people on any number of them, and none that stay behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from asmnet_kit.base.errors import KitError
from asmnet_kit.datasets.base import Face
from asmnet_kit.face.pictures import decode_image
from asmnet_kit.people.render import draw
from asmnet_kit.people.workers import Ahead, RenderWorkers, Sitting
from wording import DRAWING_ENDED

SITTING = Sitting(seed=3, size=48, points=98)


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_draw_the_people_that_are_drawn_here(workers: int) -> None:
    with RenderWorkers(SITTING, workers=workers) as started:
        faces = list(started.faces(range(5, 8)))
    assert multiprocessing.active_children() == []
    for number, face in zip(range(5, 8), faces, strict=True):
        person = draw(3, number, 48)
        np.testing.assert_array_equal(face.picture.read(), person.image)
        np.testing.assert_array_equal(face.landmarks, person.landmarks98)
        np.testing.assert_array_equal(face.pose, person.pose)
        hidden = person.self_occluded98 | person.occluded98
        np.testing.assert_array_equal(face.visibility, np.where(hidden, 0, 1))
        png = face.picture.read_encoded()
        np.testing.assert_array_equal(decode_image(png, name="png"), person.image)
    assert len({face.name for face in faces}) == 3


def test_names_tell_people_of_other_seeds_and_sizes_apart() -> None:
    """A run is resumed only where the names are the same: they hold the renderer's version too."""
    sittings = (SITTING, Sitting(4, 48, 98), Sitting(3, 64, 98))
    assert len({sitting.name_of(5) for sitting in sittings}) == 3
    assert SITTING.name_of(5) == "people_v11/48px/seed_3/0000000005"


def test_a_process_that_is_killed_is_an_error() -> None:
    with RenderWorkers(SITTING, workers=1) as started:
        (process,) = multiprocessing.active_children()
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(KitError, match=rf"{DRAWING_ENDED} \(exit code -9"):
            list(started.faces(range(2)))
    assert multiprocessing.active_children() == []


def test_a_person_that_cannot_be_drawn_is_named() -> None:
    impossible = Sitting(seed=-1, size=48, points=68)  # NumPy's seeds are not negative
    with (
        RenderWorkers(impossible, workers=1) as started,
        pytest.raises(KitError, match=r"seed_-1/0000000000 cannot be drawn: ValueError"),
    ):
        list(started.faces(range(1)))


def test_an_error_of_the_caller_ends_the_processes() -> None:
    def fail() -> None:
        with RenderWorkers(SITTING, workers=1) as started:
            for number in range(100):
                started.submit(number)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert multiprocessing.active_children() == []


def test_processes_of_a_caller_that_is_killed_end(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, time\n"
        "from asmnet_kit.people.workers import RenderWorkers, Sitting\n"
        "if __name__ == '__main__':\n"
        "    with RenderWorkers(Sitting(3, 48, 68), workers=1) as workers:\n"
        "        list(workers.faces(range(1)))\n"
        "        print(multiprocessing.active_children()[0].pid, flush=True)\n"
        "        time.sleep(600)\n"
    )
    caller = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert caller.stdout is not None
    drawing = int(caller.stdout.readline())
    caller.kill()
    caller.wait()
    deadline = time.monotonic() + 60
    while is_running(drawing) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(drawing)


def is_running(pid: int) -> bool:
    """A process that ended, but that nobody has asked about yet (Z), is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


class Recorder:
    """Stands for ``RenderWorkers``: done at once, and tells what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def submit(self, number: int) -> "Future[Face]":
        self.asked.append(number)
        future: Future[Face] = Future()
        future.set_result(Face(str(number), None, np.zeros((68, 2), np.float32)))  # type: ignore[arg-type]
        return future


def evens() -> Iterator[int]:
    return count(0, 2)


def test_people_are_drawn_ahead_but_not_without_bound() -> None:
    workers = Recorder()
    ahead = Ahead(workers, ahead=3)  # type: ignore[arg-type]
    ahead.follow(evens())
    assert ahead.take(0).name == "0"
    assert workers.asked == [0, 2, 4]  # three wait until the first of them is taken
    assert [ahead.take(number).name for number in (2, 4)] == ["2", "4"]
    assert workers.asked == [0, 2, 4, 6, 8]


def test_people_may_be_taken_out_of_order_and_each_is_drawn_once() -> None:
    """As the threads that put batches together do."""
    workers = Recorder()
    ahead = Ahead(workers, ahead=2)  # type: ignore[arg-type]
    ahead.follow(evens())
    assert [ahead.take(number).name for number in (4, 0, 6, 2)] == ["4", "0", "6", "2"]
    assert len(workers.asked) == len(set(workers.asked))


def test_what_was_drawn_ahead_of_the_next_epoch_is_kept() -> None:
    workers = Recorder()
    ahead = Ahead(workers, ahead=4)  # type: ignore[arg-type]
    ahead.follow(evens())
    ahead.take(0)
    ahead.follow(count(4, 2))
    assert ahead.take(4).name == "4"
    assert workers.asked.count(4) == workers.asked.count(6) == 1
    ahead.follow(evens())  # an epoch from before
    assert ahead.take(0).name == "0"
