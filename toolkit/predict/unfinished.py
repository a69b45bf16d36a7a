"""A file of lines that a later call can go on with: it gets its name when it is complete."""

import errno
import io
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.files import make_folder, take_lock
from asmnet_kit.base.reading import MAX_LINE_BYTES, open_file, parse_json

UNFINISHED = ".unfinished"


def unfinished(path: Path) -> Path:
    """Where the lines of ``path`` are until all are there."""
    return path.with_name(path.name + UNFINISHED)


def finished_lines(path: Path, pictures: Sequence[Path], about: Mapping[str, Any]) -> int:
    """How many of ``pictures`` have a whole line of JSON in what there is of ``path``.

    That is its unfinished file, or else ``path`` itself. The lines are those of the first pictures,
    in the order of the call; a finished file that has all may have them in any order, and others.

    Args:
        about: what each line says of the model (``picture.about_model``).

    Raises:
        UsageError: its lines are of other pictures or of another model.
        OSError: it cannot be read.
    """
    file = unfinished(path) if unfinished(path).exists() else path
    if not file.exists():
        return 0
    missing = {str(picture) for picture in pictures}
    in_order, number = 0, 0
    for number, line in enumerate(_whole_lines(file), start=1):
        found = _picture_of(line, about)
        if in_order == number - 1 < len(pictures) and found == str(pictures[in_order]):
            in_order = number
        elif found is None or file != path:
            raise UsageError(
                f"{file}: line {number} is of another picture or model than this call's: "
                "repeat the call that started it, or start again without --resume"
            )
        missing.discard(found)
    if not missing:
        return len(pictures)
    if in_order < number:
        raise UsageError(
            f"{file}: its lines are not of this call's first pictures, in their order, so the "
            f"other {len(missing)} cannot follow: choose another --out for them, or start again "
            "without --resume"
        )
    return in_order


def is_complete(path: Path, pictures: Sequence[Path], done: int) -> bool:
    """Whether ``path`` has all pictures, of which ``finished_lines`` found ``done``."""
    return done == len(pictures) > 0 and not unfinished(path).exists()


def _whole_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file but for one that is cut off at its end."""
    with open_file(path, limit=sys.maxsize) as file:
        for line in iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""):
            if not line.endswith(b"\n") and len(line) <= MAX_LINE_BYTES:
                break
            yield line


def _picture_of(line: bytes, about: Mapping[str, Any]) -> str | None:
    """The picture's path in a line that this model wrote; None in any other line."""
    try:
        record = parse_json(line)
        path = record["image"]["path"]
        is_same = {key: record[key] for key in about} == about
    except (ValueError, KeyError, TypeError):
        return None
    return path if is_same and isinstance(path, str) else None


@contextmanager
def growing(path: Path, *, keep: int = 0) -> Iterator[TextIO]:
    """A text file that takes the place of ``path`` when the block ends well.

    Whatever ends the block before, what was written stays ``unfinished``, and so does what an
    earlier call wrote; but where no picture can be used (DatasetError) there is nothing to go on
    with. An empty file is removed. No other process can write the same file until the block ends.

    Args:
        keep: go on behind so many of the lines that are there; those of ``path`` itself, which
            stays as it is until the block ends, where nothing is unfinished.

    Raises:
        UsageError: another process is writing it.
        OSError: it cannot be written; the error names ``path``.
    """
    make_folder(path.parent)
    begun = unfinished(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    from_finished = keep > 0 and not begun.exists()
    try:
        with os.fdopen(_locked(begun, anew=from_finished or not keep), "rb+") as raw:
            if from_finished:
                with path.open("rb") as finished:
                    shutil.copyfileobj(finished, raw)
                raw.seek(0)
            for _ in range(keep):
                raw.readline()
            raw.truncate()
            try:
                with io.TextIOWrapper(raw, encoding="utf-8", newline="\n") as file:
                    yield file
                    file.flush()
                    os.fsync(file.fileno())
                    begun.replace(path)
            except DatasetError:
                if not keep:
                    begun.unlink(missing_ok=True)
                raise
            except BaseException:
                _remove_empty(begun)
                raise
    except OSError as error:
        if error.filename in (None, begun, str(begun)):
            error.filename, error.filename2 = str(path), None
        raise


def _locked(begun: Path, *, anew: bool) -> int:
    """Open the file of lines for this process alone; a descriptor that keeps the lock.

    Args:
        anew: make it where it is missing. A link would lead to somebody's file, a pipe never opens:
            they are removed.

    Raises:
        UsageError: another process is writing it.
        OSError: it cannot be opened.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    while True:
        if anew and not _is_own(begun):
            begun.unlink(missing_ok=True)
        descriptor = os.open(begun, flags | (os.O_CREAT if anew else 0), 0o666)
        try:
            take_lock(descriptor, begun)
            # The other process may have ended in between, and given the file its name.
            if begun.exists() and os.path.samestat(os.fstat(descriptor), begun.stat()):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_own(begun: Path) -> bool:
    """Whether there is a regular file of that name alone."""
    try:
        status = begun.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def _remove_empty(begun: Path) -> None:
    with suppress(OSError):
        if not begun.stat().st_size:
            begun.unlink()
