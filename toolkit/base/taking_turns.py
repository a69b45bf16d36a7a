"""What only one of a job's processes may have at a time, such as the memory of a giant picture.

The lock is the kernel's (a POSIX record lock on a file without a name), so it leaves no file and
ends with its process, however that dies. A process that waits for nothing else while it has the
turn cannot make the others wait for ever.
"""

import fcntl
import os
import tempfile
from multiprocessing.reduction import DupFd
from typing import Any


class Turn:
    """One turn for all the processes that it is handed to as they start."""

    def __init__(self, descriptor: int | None = None) -> None:
        """Make a new one; ``descriptor`` is an open one's, in another process.

        Raises:
            OSError: no file can be opened.
        """
        self._descriptor = _nameless_file() if descriptor is None else descriptor

    def __reduce__(self) -> tuple[object, ...]:
        return _handed_over, (DupFd(self._descriptor),)

    def take(self) -> None:
        """Wait until no other process has it. Taking it twice is taking it once."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)

    def give_back(self) -> None:
        """Let the next process have it. Nothing happens where this one did not take it."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._descriptor)


_own: Turn | None = None  # of the job that this process works for


def work_with(turn: Turn) -> None:
    """For a process of a job: ``take_turn`` and ``end_turn`` are about ``turn`` from now on."""
    global _own
    _own = turn


def take_turn() -> None:
    """Wait until no other process of the job has the turn; alone, do nothing."""
    if _own is not None:
        _own.take()


def end_turn() -> None:
    """Let the next process of the job have the turn, where this one has it."""
    if _own is not None:
        _own.give_back()


def _handed_over(duplicate: Any) -> Turn:
    return Turn(duplicate.detach())


def _nameless_file() -> int:
    """A file of nobody else: in memory where the system can, since no disk may be writable."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("asmnet_kit_turn")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
