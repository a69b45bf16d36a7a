"""What C++ code in this process writes to stderr: runtimes give their reasons there."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def captured_stderr() -> Iterator[Callable[[], str]]:
    """Send what is written to descriptor 2 into a file for the block; yields what reads it.

    The file can be read in the block and after it.
    """
    sys.stderr.flush()
    log = tempfile.TemporaryFile()  # noqa: SIM115 - read after the block, too
    kept = os.dup(2)
    os.dup2(log.fileno(), 2)

    def read() -> str:
        log.seek(0)
        return log.read().decode(errors="replace")

    try:
        yield read
    finally:
        os.dup2(kept, 2)
        os.close(kept)
