"""Keeps C++ libraries from writing notes into the terminal. Only the standard library is needed.

Their notes go to the file descriptor 2, which belongs to the whole process: it is pointed at
nothing while any thread is inside a block, and back when the last one leaves. What other threads
write by ``sys.stderr`` in the meantime, a progress bar for example, still reaches the terminal.
"""

import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STDERR = 2


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Send what C++ code of any thread, and what this thread, writes to stderr nowhere.

    Exceptions still come through. Blocks of several threads may overlap in any order. A process
    that is started meanwhile has no stderr either.
    """
    _SILENCE.enter()
    try:
        yield
    finally:
        _SILENCE.leave()


class _Silence:
    """What all blocks of the process share: descriptor 2, and how many of them are open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks = 0  # that are open, in all threads
        self._own = threading.local()
        self.terminal = STDERR  # where descriptor 2 leads outside of blocks
        self._stream: TextIO = io.TextIOWrapper(
            io.BufferedWriter(_PastTheSilence(self)), errors="backslashreplace", line_buffering=True
        )
        self._replaced: TextIO = self._stream

    @property
    def is_mine(self) -> bool:
        """Whether the running thread is inside a block of its own."""
        return getattr(self._own, "blocks", 0) > 0

    def enter(self) -> None:
        with self._lock:
            if not self._blocks:
                self._replace_stream()
                self.terminal = os.dup(STDERR)
                with Path(os.devnull).open("wb") as nowhere:
                    os.dup2(nowhere.fileno(), STDERR)
            self._blocks += 1
        self._own.blocks = getattr(self._own, "blocks", 0) + 1

    def leave(self) -> None:
        self._own.blocks -= 1
        with self._lock:
            self._blocks -= 1
            if not self._blocks:
                copy, self.terminal = self.terminal, STDERR
                os.dup2(copy, STDERR)
                os.close(copy)
                if sys.stderr is self._stream:
                    sys.stderr = self._replaced

    def _replace_stream(self) -> None:
        """Put a stream into ``sys.stderr`` that knows the way around the silence.

        Somebody who took hold of it during a block, as rich does, may keep it: it works outside,
        too. A stream that does not lead to descriptor 2 (of a test, a log) stays.
        """
        if sys.stderr is not self._stream and _leads_to_stderr(sys.stderr):
            sys.stderr.flush()
            self._replaced, sys.stderr = sys.stderr, self._stream


class _PastTheSilence(io.RawIOBase):
    """Writes to the terminal, or nowhere for a thread that is inside a block."""

    def __init__(self, silence: _Silence) -> None:
        self._silence = silence  # TextIOWrapper of Python 3.10 asks for ``fileno`` at once

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._silence.terminal

    def isatty(self) -> bool:
        return os.isatty(self.fileno())

    def write(self, content: "ReadableBuffer", /) -> int:
        if self._silence.is_mine:
            return memoryview(content).nbytes
        return os.write(self._silence.terminal, content)


def _leads_to_stderr(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.fileno() == STDERR
    except (OSError, ValueError, AttributeError):  # no descriptor, or closed
        return False


_SILENCE = _Silence()
