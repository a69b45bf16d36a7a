"""All cores of a machine: processes that share out the items of one job.

Each process has a pipe of its own and does one item at a time, so there is no queue, lock or
semaphore that a killed process could leave behind, and a process whose caller is gone reads the
pipe's end and goes too. Of many items it has the next ones at hand before it is done with the last
ones, so it seldom waits for its caller. Answers come in the order of the items: which process gave
one, and how many there are, changes nothing.
"""

import multiprocessing
import os
import queue
import signal
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import islice
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from types import TracebackType
from typing import Any, Generic, TypeVar

from asmnet_kit.base.errors import KitError, without_frames
from asmnet_kit.base.taking_turns import Turn, end_turn, work_with

Item = TypeVar("Item")
Answer = TypeVar("Answer")

LAST_WORDS_S = 5.0  # how long a process that hung up may take until its exit code is known
ENDS_WITHIN_S = 10.0  # of one that is told to end; then it is killed
AHEAD = 3  # items of each process that are asked for before their answers are taken
AT_HAND = 2  # items that a process has got: the one that it does, and the next
# Read as a process starts, by NumPy and by glibc. A core each; and up to 64 MB of freed memory at
# the end of each heap are kept for the next picture: to get each one's anew from the system took
# 40 % of the time of looking at pictures of 512 pixels.
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
    "MALLOC_TOP_PAD_": str(16 << 20),
}


class Workers(Generic[Item, Answer]):
    """Processes that do items; a context manager, which ends them."""

    def __init__(
        self, begin: Callable[[], Callable[[Item], Answer]], *, workers: int, doing: str
    ) -> None:
        """Start them.

        Args:
            begin: called once in each process; what it gives does an item. A function of a module,
                or a partial one, so that the processes can import it.
            workers: how many processes.
            doing: what they do, for messages: ``draws people``.
        """
        self._doing = doing
        self._threads = ThreadPoolExecutor(workers, "workers")
        self._idle: queue.SimpleQueue[tuple[BaseProcess, Connection]] = queue.SimpleQueue()
        self._processes: list[tuple[BaseProcess, Connection]] = []
        # Of each process the batches of ``in_order`` that it has not answered yet, by their number.
        self._asked_of: dict[Connection, deque[int]] = {}
        # Fresh interpreters rather than forks: the caller may have threads, which a fork breaks.
        context = multiprocessing.get_context("spawn")
        turn = Turn()
        # Closed here in the end: the processes' own stay open.
        with closing(turn), _environment(), _ctrl_c_held_back(), _script_left_alone():
            for _ in range(workers):
                ours, theirs = context.Pipe()
                process = context.Process(target=_work, args=(begin, theirs, turn), daemon=True)
                process.start()
                theirs.close()  # else the end of the process would not be the end of the pipe
                self._processes.append((process, ours))
                self._idle.put((process, ours))

    def __enter__(self) -> "Workers[Item, Answer]":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process, _ in self._processes:
            process.terminate()  # whoever waits for an answer is told so
        self._threads.shutdown(cancel_futures=True)
        for process, pipe in self._processes:
            process.join(ENDS_WITHIN_S)
            process.kill()
            process.join()
            pipe.close()
            process.close()

    def submit(self, item: Item) -> "Future[Answer]":
        """Have an item done after those asked for before. Several threads may ask at once.

        The result raises KitError where the process ends, and else what doing the item raised.
        """
        return self._threads.submit(self._done, item)

    def in_order(self, items: Iterable[Item], *, at_once: int = 1) -> Iterator[Answer]:
        """The answers of some items, where none was submitted; few are asked for ahead.

        What an earlier call was not asked for any more is waited for, and dropped.

        Args:
            at_once: items that a process gets together: of short ones the way there and back would
                take longer than doing them.

        There are no threads here: Ctrl-C in the midst of Python's own locks breaks them.

        Raises:
            KitError: a process ended; and what doing an item raised.
        """
        process_of = {pipe: process for process, pipe in self._processes}
        for pipe, numbers in self._asked_of.items():
            with self._blames(process_of[pipe]):
                while numbers:
                    pipe.recv()
                    numbers.popleft()
        free = deque(list(process_of) * AT_HAND)
        asked_of = self._asked_of = {pipe: deque() for pipe in process_of}
        answers: dict[int, list[tuple[Answer, Exception | None]]] = {}
        waiting, asked, taken = iter(items), 0, 0
        exhausted = False
        while asked > taken or not exhausted:
            while free and not exhausted and asked - taken < AHEAD * len(self._processes):
                together = list(islice(waiting, at_once))
                if not together:
                    exhausted = True
                    break
                pipe = free.popleft()
                with self._blames(process_of[pipe]):
                    pipe.send(together)
                asked_of[pipe].append(asked)
                asked += 1
            if taken in answers:
                for answer, error in answers.pop(taken):
                    if error is not None:
                        raise error
                    yield answer
                taken += 1
            # The next answer is waited for; others are taken where they are there already.
            busy = [pipe for pipe, numbers in asked_of.items() if numbers]
            for ready in wait(busy, 0 if taken in answers else None) if busy else ():
                if isinstance(ready, Connection):
                    with self._blames(process_of[ready]):
                        answers[asked_of[ready].popleft()] = ready.recv()
                    free.append(ready)

    def _done(self, item: Item) -> Answer:
        """What a thread does: have the next free process do an item."""
        process, pipe = self._idle.get()
        try:
            with self._blames(process):
                pipe.send([item])
                ((answer, error),) = pipe.recv()
        finally:
            self._idle.put((process, pipe))  # dead, too: the others are told rather than wait
        if error is not None:
            raise error
        done: Answer = answer
        return done

    @contextmanager
    def _blames(self, process: BaseProcess) -> Iterator[None]:
        """The end of a pipe is that of its process."""
        try:
            yield
        except (EOFError, OSError) as error:
            process.join(LAST_WORDS_S)
            raise KitError(
                f"a process that {self._doing} ended (exit code {process.exitcode}; -9 is what the "
                "system does where memory runs out; fewer --workers take less): run the command "
                "again; a training goes on with --resume"
            ) from error


def answer_of(future: "Future[Answer]") -> Answer:
    """The result of ``Workers.submit``.

    Raises:
        KitError: its process ended, or was told to stop.
    """
    try:
        return future.result()
    except CancelledError as error:
        raise KitError("the processes were stopped") from error


@contextmanager
def ready_to_share(
    begin: Callable[[], Callable[[Item], Answer]], *, workers: int, doing: str, at_once: int = 1
) -> Iterator[Callable[[Iterable[Item]], Iterator[Answer]]]:
    """What gives the answers of some items, in their order, and may be called for more afterwards.

    Args:
        begin, doing: as for ``Workers``.
        workers: processes; 1 = this one alone, item by item.
        at_once: as for ``Workers.in_order``.
    """
    if workers == 1:
        yield partial(map, begin())
        return
    with Workers(begin, workers=workers, doing=doing) as started:
        yield partial(started.in_order, at_once=at_once)


@contextmanager
def shared_out(
    begin: Callable[[], Callable[[Item], Answer]],
    items: Sequence[Item],
    *,
    workers: int,
    doing: str,
    at_once: int = 1,
) -> Iterator[Iterator[Answer]]:
    """The answers of some items, in their order, by no more processes than have something to do.

    Arguments as for ``ready_to_share``.
    """
    needed = max(1, min(workers, -(-len(items) // at_once)))
    with ready_to_share(begin, workers=needed, doing=doing, at_once=at_once) as answers_of:
        yield answers_of(items)


def _work(begin: Callable[[], Callable[[Any], Any]], pipe: Connection, turn: Turn) -> None:
    """What a process does: an item in, an answer out, or the error that it came to."""
    work_with(turn)
    # One process a core: OpenCV's own threads would only get in each other's way.
    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGTERM, _end)  # which removes half-written files on its way out
    asked: queue.SimpleQueue[bytes | MemoryError | None] = queue.SimpleQueue()
    # Else both could wait for the other to read, each with a full pipe.
    threading.Thread(target=_listen, args=(pipe, asked), daemon=True).start()
    failure, work = None, None
    try:
        work = begin()
    except Exception as error:
        failure = _portable(error)
    with suppress(OSError):  # nobody wants it any more
        while (told := asked.get()) is not None:
            if isinstance(told, MemoryError):
                raise told
            together = ForkingPickler.loads(told)  # as Connection.recv does
            pipe.send([(None, failure) if work is None else _done(work, item) for item in together])


def _listen(pipe: Connection, asked: "queue.SimpleQueue[bytes | MemoryError | None]") -> None:
    """Take what is asked for as it comes; at the end of the pipe None."""
    try:
        while True:
            asked.put(pipe.recv_bytes())
    except (EOFError, OSError):
        asked.put(None)
    except MemoryError as error:
        asked.put(error)


def _done(work: Callable[[Any], Any], item: Any) -> tuple[Any, Exception | None]:
    try:
        return work(item), None
    except Exception as error:
        return None, _portable(error)
    finally:
        end_turn()


def _portable(error: Exception) -> Exception:
    """An error as another process can raise it; of a bug, with where it was."""
    if isinstance(error, (KitError, OSError, MemoryError)):
        return without_frames(error)
    return RuntimeError("".join(traceback.format_exception(error)))


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


@contextmanager
def _environment() -> Iterator[None]:
    """What new processes find in their environment."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_hidden = threading.Lock()


@contextmanager
def _script_left_alone() -> Iterator[None]:
    """Processes started in the block do not import the caller's script.

    They import what they need by name. multiprocessing would have them run the script too, which
    then needs ``if __name__ == "__main__":``; it finds the script by these two names.
    """
    script = sys.modules["__main__"]
    with _hidden:
        spec, file = script.__spec__, vars(script).pop("__file__", None)
        script.__spec__ = None
        try:
            yield
        finally:
            script.__spec__ = spec
            if file is not None:  # there is none in an interactive session
                script.__file__ = file


@contextmanager
def _ctrl_c_held_back() -> Iterator[None]:
    """Processes started in the block never see Ctrl-C, which reaches all of a terminal.

    A handler of theirs would come too late for one that is still importing; the parent ends them.
    """
    resource_tracker.ensure_running()  # starting it with the first process would undo the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    # The mask is this thread's: the system gives the signal to another one, and Python would raise
    # it here, in the midst of a start, whose process then finds half of what it is sent.
    pressed: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    handler = (
        signal.signal(signal.SIGINT, lambda number, _: pressed.append(number)) if is_main else None
    )
    try:
        yield
    finally:
        if is_main:
            signal.signal(signal.SIGINT, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if pressed:
            signal.raise_signal(signal.SIGINT)
