"""Writing files so that a crash or a full disk never leaves half of one."""

import errno
import fcntl
import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from asmnet_kit.base.errors import UsageError

# What NumPy, zipfile and zlib raise while they read an .npz that is empty, cut off or damaged.
DAMAGED_NPZ = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well.

    The temporary name keeps the suffix, since some writers choose the format by it. When the block
    raises, the temporary file is removed and what was at ``path`` stays as it was.

    Raises:
        OSError: it cannot be written; the error names ``path``, not the temporary file.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.filename in (None, temporary, str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make ``folder`` and those above it, where they are missing.

    Raises:
        OSError: it cannot be made; NotADirectoryError where a file is in the way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(
            errno.ENOTDIR, "expected a folder, found a file there", str(folder)
        ) from error


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep every other process that asks for the same out of ``folder`` while the block runs.

    The lock is the kernel's (flock on the folder itself), so it leaves no file and ends with its
    process, however that dies. Network file systems that lock no folder are let pass.

    Raises:
        UsageError: another process is in it.
        OSError: there is no such folder.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"{folder}: another process is writing there: wait for it, or stop it and use "
                "--resume"
            ) from error
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP):
                raise
        yield
    finally:
        os.close(descriptor)


def require_exists(path: Path, *, expected: str) -> None:
    """Refuse a path that is not there: who names a file that does not exist made a wrong call.

    Args:
        expected: what should be there, for the message.

    Raises:
        UsageError: there is nothing at ``path``.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; expected {expected}")


def require_writable(folder: Path) -> None:
    """Refuse a folder that files could not be written to, before minutes are spent on making them.

    Raises:
        UsageError: ``folder``, or what there is of its path, is a file or may not be written.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UsageError(f"{folder}: expected a folder to write to, but {existing} is a file")
    if not os.access(existing, os.W_OK):
        raise UsageError(f"{folder}: expected a folder to write to, {existing} is read-only")


def write_bytes(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write ``content`` to ``path`` as UTF-8, whole or not at all."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
