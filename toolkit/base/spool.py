"""Content outside of memory: it grows at its end, and any part can be read back.

It lies in a temporary file without a name (in ``TMPDIR``, by default /tmp), which the system
removes with the process. Where none can be written (no space, no folder for it) what follows stays
in memory; and so it does where that folder is a RAM disk, but for this process.
"""

import os
import tempfile
import weakref
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

BLOCK = 1 << 20  # bytes that are kept in memory before they are written together


class Spool:
    """Bytes; several threads may read at once while nobody appends."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._written = 0
        self._tail = bytearray()  # behind what is in the file
        self._stays = False

    def __len__(self) -> int:
        return self._written + len(self._tail)

    def append(self, content: bytes) -> None:
        """Add bytes at the end."""
        self._tail += content
        if len(self._tail) >= BLOCK and not self._stays:
            self._write()

    def read(self, start: int, length: int) -> bytes:
        """``length`` bytes from ``start`` on, all of which were appended before."""
        in_file = max(0, min(length, self._written - start))
        content = b""
        while len(content) < in_file:
            assert self._file is not None
            content += os.pread(self._file.fileno(), in_file - len(content), start + len(content))
        if in_file == length:
            return content
        begin = start + in_file - self._written
        return content + bytes(self._tail[begin : begin + length - in_file])

    def _write(self) -> None:
        done = 0
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (open as long as this)
                weakref.finalize(self, self._file.close)
            with memoryview(self._tail) as tail:
                while done < len(tail):
                    done += os.pwrite(self._file.fileno(), tail[done:], self._written + done)
        except OSError:
            self._stays = True
        del self._tail[:done]
        self._written += done


class Rows:
    """Rows of numbers, all of one kind and shape.

    Args:
        dtype: of the numbers, or of a structured row.
        shape: of a row.
    """

    def __init__(self, dtype: DTypeLike, shape: tuple[int, ...] = ()) -> None:
        self._dtype, self._shape = np.dtype(dtype), shape
        self._bytes = self._dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        self._spool = Spool()

    def __len__(self) -> int:
        return len(self._spool) // self._bytes

    def append(self, rows: NDArray[Any]) -> None:
        """Add [M, *shape] behind the others."""
        assert rows.shape[1:] == self._shape
        self._spool.append(np.ascontiguousarray(rows, self._dtype).tobytes())

    def row(self, number: int) -> NDArray[Any]:
        """A row, [*shape]; not to be written to, as those of ``part`` and ``all``."""
        return np.asarray(self.part(number, number + 1)[0])

    def part(self, start: int, stop: int) -> NDArray[Any]:
        """The rows from ``start`` to before ``stop``, [M, *shape]."""
        content = self._spool.read(start * self._bytes, (stop - start) * self._bytes)
        return np.frombuffer(content, self._dtype).reshape(stop - start, *self._shape)

    def all(self) -> NDArray[Any]:
        """All rows, [M, *shape]."""
        return self.part(0, len(self))

    def parts(self, at_once: int) -> Iterator[NDArray[Any]]:
        """All rows, ``at_once`` at a time."""
        for start in range(0, len(self), at_once):
            yield self.part(start, min(start + at_once, len(self)))
