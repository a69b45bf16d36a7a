"""Writing files so that a crash, a power cut or a full disk never leaves half of one."""

import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.places import url_in

# What writing to an open file raises, without a file name. A failing read has other numbers (EIO,
# EISDIR) and is about another file.
_WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_TEMPORARY_FOLDER = "asmnet_kit_"
# tempfile ends a name with eight letters: a folder that somebody named so is not one of these.
_MADE_BY = re.compile(rf"{_TEMPORARY_FOLDER}(\d+)_[a-z0-9_]{{8}}")
_LONGEST_NAME = 220  # bytes; file systems take 255, and a temporary name is longer
_TEMPORARY = re.compile(r"\.(?P<stem>.+)\.(?P<process>\d+)\.part(?P<suffix>\.[^.]*)?", re.DOTALL)


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well.

    The temporary name keeps the suffix, since some writers choose the format by it. When the block
    raises, the temporary file is removed and what was at ``path`` stays as it was.

    Args:
        durable: a power cut leaves the old file or the new one, too: the content is on the disk
            before it gets its name, and the name before the call returns. That takes a disk
            milliseconds; for thousands of small files call ``os.sync`` once at their end instead.

    Raises:
        OSError: it cannot be written. An error about the temporary file, or one of a full disk that
            names no file, names ``path`` instead.
    """
    make_folder(path.parent)
    stem = _short_stem(path)
    temporary = path.with_name(f".{stem}.{os.getpid()}.part{path.suffix}")
    if durable:
        _remove_remains(path, stem)
    try:
        yield temporary
        if durable:
            _flush_to_disk(temporary)
        temporary.replace(path)
        if durable:
            _flush_to_disk(path.parent)
    except OSError as error:
        is_unnamed_write = error.filename is None and error.errno in _WRITE_ERRORS
        if is_unnamed_write or error.filename in (temporary, str(temporary)):
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        # What fails here (a read-only disk) must not take the place of the error that is raised.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _remove_remains(path: Path, stem: str) -> None:
    """Remove what processes that were killed left while they wrote the same file."""
    with suppress(OSError):
        for found in path.parent.iterdir():
            match = _TEMPORARY.fullmatch(found.name)
            is_of_path = match and (match["stem"], match["suffix"] or "") == (stem, path.suffix)
            if match and is_of_path and not _is_running(int(match["process"])):
                found.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _short_stem(path: Path) -> str:
    """The stem of ``path``, or a digest of it where a longer name would be no file's name."""
    name = os.fsencode(path.name)
    if len(name) <= _LONGEST_NAME:
        return path.stem
    return hashlib.sha256(name).hexdigest()[:16]


def _flush_to_disk(path: Path) -> None:
    """Wait until the content of a file, or the list of names of a folder, is on the disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # a folder may be written to and not read
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot
            raise
    finally:
        os.close(descriptor)


def leftovers(folder: Path) -> list[Path]:
    """Temporary files of ``replacing`` in ``folder`` whose process was killed."""
    return [path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name)]


def is_unused(folder: Path, *, except_for: Collection[str] = ()) -> bool:
    """Whether ``folder`` is missing, or holds at most what a killed process left half-written.

    Args:
        except_for: names in it that do not count.
    """
    if not folder.exists():
        return True
    if not folder.is_dir():
        return False
    found = {path for path in folder.iterdir() if path.name not in except_for}
    return found <= set(leftovers(folder))


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
        take_lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def take_lock(descriptor: int, path: Path) -> None:
    """Lock an open file or folder for this process until ``descriptor`` is closed.

    Network file systems that lock nothing are let pass.

    Args:
        path: of it, for the message.

    Raises:
        UsageError: another process has it.
        OSError: it cannot be locked for another reason.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UsageError(
            f"{path}: another process is writing there: wait for it, or stop it and go on "
            "from there (train, quantize and predict: with --resume)"
        ) from error
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOTSUP):
            raise


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder in $TMPDIR that is gone after the block.

    ``kill -9`` leaves it there: what killed processes of this user left goes first. A folder's name
    holds its process, and that keeps a lock on it: a process of another container, whose number
    means nothing here, still has its lock. What cannot be removed after the block, since another
    program still writes there, is left in the same way: the block's result is not lost for it.

    Raises:
        OSError: it cannot be made.
    """
    _remove_temporary_remains(Path(tempfile.gettempdir()))
    with (
        tempfile.TemporaryDirectory(
            prefix=f"{_TEMPORARY_FOLDER}{os.getpid()}_", ignore_cleanup_errors=True
        ) as name,
        alone_in(Path(name)),
    ):
        yield Path(name)


def _remove_temporary_remains(parent: Path) -> None:
    with suppress(OSError):
        for found in parent.glob(f"{_TEMPORARY_FOLDER}*_*"):
            made = _MADE_BY.fullmatch(found.name)
            with suppress(OSError):
                is_own = found.lstat().st_uid == os.getuid() and not found.is_symlink()
                if made and is_own and not _is_running(int(made[1])):
                    _remove_unless_locked(found)


def _remove_unless_locked(folder: Path) -> None:
    """Raises: OSError: a process keeps its lock on it, or nothing can be locked there."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def real_home(path: str | Path) -> Path:
    """``path`` with ~ and ~USER replaced; as it is where there is no such user."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises there


def real_path(path: Path) -> Path:
    """``path`` from the root, without links; as far as it goes where links lead to themselves."""
    return Path(os.path.realpath(path))  # Path.resolve raises there


def require_exists(path: Path, *, expected: str) -> None:
    """Refuse a path that is not there: a call that names a missing file is a wrong call.

    Args:
        expected: what should be there, for the message.

    Raises:
        UsageError: there is nothing at ``path``.
    """
    if path.exists():
        return
    url = url_in(path)
    if url is not None:
        raise UsageError(
            f"{url}: expected {expected} on this machine, got an address: download it "
            "first (only train --data reads from a server)"
        )
    raise UsageError(f"{path}: no such file or folder; expected {expected}")


def refuse_overwriting(out: Path, read: Iterable[Path], *, option: str) -> None:
    """Refuse an output that would take the place of a file that the same call reads.

    Args:
        read: files, in any number: they are looked at only where there is something at ``out``.
        option: that names ``out``, for the message.

    Raises:
        UsageError: it is one of them, by whatever links.
    """
    if not out.exists():
        return
    status, place = out.stat(), real_path(out)
    for path in read:
        with suppress(OSError):  # not there: the command says so, or does without
            if os.path.samestat(path.stat(), status) and real_path(path) == place:
                raise UsageError(
                    f"{option} would overwrite {path}, which is read: choose another name"
                )


def require_writable(folder: Path) -> None:
    """Refuse a folder that files could not be written to, before minutes are spent on making them.

    Raises:
        UsageError: ``folder``, or the part of its path that exists, is a file or read-only.
    """
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UsageError(f"{folder}: expected a folder to write to, but {existing} is a file")
    if not os.access(existing, os.W_OK):
        raise UsageError(f"{folder}: expected a folder to write to, {existing} is read-only")


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write ``content`` to ``path`` whole or not at all; ``durable`` as for ``replacing``."""
    with replacing(path, durable=durable) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str, *, durable: bool = True) -> None:
    """Write ``content`` to ``path`` as UTF-8, whole or not at all.

    The names of files in it keep their bytes, those that are no UTF-8 as well.
    """
    write_bytes(path, content.encode("utf-8", "surrogateescape"), durable=durable)


def write_json(path: Path, content: Any) -> None:
    """Write ``content`` as indented JSON; NaN is refused, since JSON has none."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
