"""How a script that opens a stranger's file says what is the matter with it: ``child`` reads it."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

REFUSED = 3  # the exit code; the last line of stdout says why


class Refused(Exception):
    """What is the matter with the file, in words that follow its name."""


@contextmanager
def telling(expected: str, *, memory_bytes: int | None = None) -> Iterator[None]:
    """End the process with ``REFUSED`` and a line where the block cannot read a file.

    Args:
        expected: what the file should be, for the message.
        memory_bytes: of addresses, at most; TensorFlow reserves more than it uses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    try:
        yield
    except Refused as error:
        words = str(error)
    except Exception as error:  # whatever a library makes of a damaged file
        first = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        words = f"expected {expected}, got a damaged one or another file ({first[:200]})"
    else:
        return
    print(" ".join(words.split()), flush=True)
    sys.exit(REFUSED)
