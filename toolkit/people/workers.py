"""Processes that draw people while the caller does something else.

Each process has a pipe of its own and draws one person at a time, so there is no queue, lock or
semaphore that a killed process could leave behind, and a process whose caller is gone reads the
pipe's end and goes too. Who draws a person changes nothing: it depends on (seed, number) alone.
"""

import contextlib
import itertools
import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from threading import Lock
from types import TracebackType

from asmnet_kit.base.errors import KitError, one_line
from asmnet_kit.datasets.base import Face
from asmnet_kit.datasets.visibility import visibility_of
from asmnet_kit.datasets.write_synthetic import begin_worker, one_blas_thread
from asmnet_kit.datasets.yaw_ranges import yaw_subsets
from asmnet_kit.face.pictures import Image, encode_png
from asmnet_kit.people.render import draw
from asmnet_kit.people.write import PEOPLE, marks_of_person

LAST_WORDS_S = 5.0  # how long a process that hung up may take until its exit code is known


@dataclass(frozen=True)
class Sitting:
    """Which people are drawn, and how.

    Attributes:
        seed: of the people.
        size: side of the pictures, pixels.
        points: landmarks, 68 or 98.
    """

    seed: int
    size: int
    points: int

    def name_of(self, number: int) -> str:
        """All that the person depends on, so that names tell different people apart."""
        return f"{PEOPLE.kind}_v{PEOPLE.version}/{self.size}px/seed_{self.seed}/{number:010d}"

    def face(self, number: int) -> Face:
        """Person ``number``, its picture in memory."""
        person = draw(self.seed, number, self.size)
        return Face(
            name=self.name_of(number),
            picture=DrawnPicture(self.name_of(number), person.image),
            landmarks=person.landmarks68 if self.points == 68 else person.landmarks98,
            pose=person.pose,
            subsets=yaw_subsets(float(person.pose[0])),
            visibility=visibility_of(marks_of_person(person)[self.points]),
        )


@dataclass(frozen=True, eq=False)
class DrawnPicture:
    """A picture in memory (``asmnet_kit.datasets.base.Picture``): uint8 [S, S, 3], RGB."""

    name: str
    image: Image

    def size_bytes(self) -> int:
        return int(self.image.nbytes)

    def read(self) -> Image:
        return self.image

    def read_encoded(self) -> bytes:
        return encode_png(self.image, name=self.name)


class RenderWorkers:
    """Processes that draw the people of one sitting; a context manager, which ends them."""

    def __init__(self, sitting: Sitting, *, workers: int | None = None) -> None:
        """Start them.

        Args:
            workers: how many; None = one per core.
        """
        self.sitting = sitting
        self._threads = ThreadPoolExecutor(workers or os.cpu_count() or 1, "people")
        self._idle: queue.SimpleQueue[tuple[BaseProcess, Connection]] = queue.SimpleQueue()
        self._processes: list[tuple[BaseProcess, Connection]] = []
        # Fresh interpreters rather than forks: the caller may have threads, which a fork breaks.
        context = multiprocessing.get_context("spawn")
        with one_blas_thread(), _ctrl_c_held_back():
            for _ in range(workers or os.cpu_count() or 1):
                ours, theirs = context.Pipe()
                process = context.Process(target=_draw_people, args=(sitting, theirs), daemon=True)
                process.start()
                theirs.close()  # else the end of the process would not be the end of the pipe
                self._processes.append((process, ours))
                self._idle.put((process, ours))

    def __enter__(self) -> "RenderWorkers":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for process, _ in self._processes:
            process.terminate()  # whoever waits for a person is told so
        self._threads.shutdown(cancel_futures=True)
        for process, pipe in self._processes:
            process.join()
            pipe.close()
            process.close()

    def submit(self, number: int) -> "Future[Face]":
        """Person ``number``, to be drawn after those asked for before.

        The result raises KitError where its process ends, or cannot draw it.
        """
        return self._threads.submit(self._drawn, number)

    def faces(
        self, numbers: Sequence[int], *, progress: Callable[[int, int], None] | None = None
    ) -> Iterator[Face]:
        """The people of these numbers, in this order.

        Args:
            progress: called with (done, in all).

        Raises:
            KitError: as ``submit``.
        """
        for done, future in enumerate([self.submit(number) for number in numbers], start=1):
            yield face_of(future)
            if progress is not None:
                progress(done, len(numbers))

    def _drawn(self, number: int) -> Face:
        """What a thread does: have the next free process draw a person."""
        process, pipe = self._idle.get()
        try:
            pipe.send(number)
            answer = pipe.recv()
        except (EOFError, OSError) as error:
            process.join(LAST_WORDS_S)
            self._idle.put((process, pipe))  # so that the others, too, are told rather than wait
            raise KitError(
                f"a process that draws people ended (exit code {process.exitcode}; -9 is what the "
                "system does where memory runs out): run the command again; a training goes on "
                "with --resume"
            ) from error
        self._idle.put((process, pipe))
        if isinstance(answer, Face):
            return answer
        raise KitError(f"{self.sitting.name_of(number)} cannot be drawn: {answer}")


@contextlib.contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Processes started in the block never see Ctrl-C, which reaches all of a terminal.

    ``begin_worker`` would come too late for one that is still importing; the parent ends them.
    """
    resource_tracker.ensure_running()  # starting it with the first process would undo the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def face_of(future: "Future[Face]") -> Face:
    """The result of ``RenderWorkers.submit``.

    Raises:
        KitError: its process ended, cannot draw it, or was told to stop.
    """
    try:
        return future.result()
    except CancelledError as error:
        raise KitError("drawing people was stopped") from error


def _draw_people(sitting: Sitting, pipe: Connection) -> None:
    """What a process does: a number in, a face out, or the reason why there is none."""
    begin_worker()
    try:
        while True:
            number = pipe.recv()
            try:
                answer: Face | str = sitting.face(number)
            except Exception as error:
                answer = f"{type(error).__name__}: {one_line(error)}"
            pipe.send(answer)
    except (EOFError, OSError):
        return  # nobody asks any more


class Ahead:
    """People in a known order, drawn before they are asked for: the bounded queue of a training.

    At most ``ahead`` people are drawn, or being drawn, whom nobody has taken.
    """

    def __init__(self, workers: RenderWorkers, *, ahead: int) -> None:
        self._workers, self._ahead = workers, ahead
        self._lock = Lock()
        self._waiting: dict[int, Future[Face]] = {}
        self._begin(iter(()))

    def _begin(self, order: Iterator[int]) -> None:
        self._order, self._front = order, -1

    def follow(self, order: Iterator[int]) -> None:
        """From now on draw what ``order`` gives, ascending numbers; what is there already is kept.

        People whom the order has passed are forgotten.
        """
        with self._lock:
            first = next(order)
            for number in [number for number in self._waiting if number < first]:
                self._waiting.pop(number).cancel()
            self._begin(itertools.chain([first], order))

    def take(self, number: int) -> Face:
        """Person ``number``; waits until it is drawn. Several threads may ask at once.

        Raises:
            KitError: as ``face_of``.
        """
        with self._lock:
            while self._front < number or len(self._waiting) < self._ahead:
                following = next(self._order, None)
                if following is None:
                    break
                self._front = following
                if following not in self._waiting:
                    self._waiting[following] = self._workers.submit(following)
            future = self._waiting.pop(number, None) or self._workers.submit(number)
        return face_of(future)
