"""A file of lines that a later call can go on with: it gets its name when it is complete."""

import errno
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from asmnet_kit.base.errors import Interrupted, KitError, UsageError
from asmnet_kit.base.files import make_folder
from asmnet_kit.base.reading import MAX_LINE_BYTES, open_file, parse_json

UNFINISHED = ".unfinished"


def unfinished(path: Path) -> Path:
    """Where the lines of ``path`` are until all are there."""
    return path.with_name(path.name + UNFINISHED)


def finished_lines(path: Path, pictures: Sequence[Path], about: Mapping[str, Any]) -> int:
    """How many of ``pictures`` have a whole line of JSON in the unfinished file of ``path``.

    Args:
        about: what each line says of the model (``picture.about_model``).

    Raises:
        UsageError: its lines are of other pictures or of another model.
        OSError: it cannot be read.
    """
    begun = unfinished(path)
    if not begun.exists():
        return 0
    count = 0
    with open_file(begun, limit=sys.maxsize) as file:
        for line in iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""):
            if not line.endswith(b"\n") and len(line) <= MAX_LINE_BYTES:
                break  # cut off
            if count == len(pictures) or not _is_of(line, pictures[count], about):
                raise UsageError(
                    f"{begun}: line {count + 1} is of another picture or model than this call's: "
                    "repeat the call that began it, or begin anew without --resume"
                )
            count += 1
    return count


def _is_of(line: bytes, picture: Path, about: Mapping[str, Any]) -> bool:
    try:
        record = parse_json(line)
        is_same = {key: record[key] for key in about} == about
        return is_same and bool(record["image"]["path"] == str(picture))
    except (ValueError, KeyError, TypeError):
        return False


@contextmanager
def growing(path: Path, *, keep: int = 0) -> Iterator[TextIO]:
    """A text file that takes the place of ``path`` when the block ends well.

    Where the block is interrupted, or the disk full, what was written stays ``unfinished``; any
    other KitError removes it.

    Args:
        keep: go on behind so many of the lines that are there.

    Raises:
        OSError: it cannot be written; the error names ``path``.
    """
    make_folder(path.parent)
    begun = unfinished(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not keep:
        begun.unlink(missing_ok=True)  # a link would lead to somebody's file, a pipe never opens
    try:
        with begun.open("rb+" if keep else "wb") as raw:
            for _ in range(keep):
                raw.readline()
            raw.truncate()
            with io.TextIOWrapper(raw, encoding="utf-8", newline="\n") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
        begun.replace(path)
    except Interrupted:
        raise
    except KitError:
        begun.unlink(missing_ok=True)
        raise
    except OSError as error:
        if error.filename in (None, begun, str(begun)):
            error.filename, error.filename2 = str(path), None
        raise
