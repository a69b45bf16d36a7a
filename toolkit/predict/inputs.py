"""Which pictures are meant: files, folders with all below them, a list of paths."""

import os
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.files import real_path
from asmnet_kit.base.kinds import HEAD_BYTES, known_binary
from asmnet_kit.base.reading import lines_of
from asmnet_kit.datasets.base import Problem
from asmnet_kit.datasets.folders import PICTURE_SUFFIXES, stem_and_suffix, walk

# HEIC and JPEG XL are not read, but are photographs: reading them tells how to convert them.
PHOTOGRAPH_SUFFIXES = (*PICTURE_SUFFIXES, ".heic", ".heif", ".jxl")


@dataclass
class Inputs:
    """The pictures that were named, each once, in the order of the call.

    Attributes:
        paths: as they were named, or below the folder that was.
        root: the deepest folder that all that was named lies in.
        problems: folders that cannot be listed.
        repeated: how many were named once more.
    """

    paths: list[Path] = field(default_factory=list)
    root: Path = Path()
    problems: list[Problem] = field(default_factory=list)
    repeated: int = 0


def photographs_in(
    folder: Path, problems: list[Problem], *, leave_out: Path | None = None
) -> list[Path]:
    """The photographs below ``folder`` by their endings, in the order of their paths.

    Hidden files and folders are left out, and links to folders are followed, each folder once.

    Args:
        problems: gets the folders that cannot be listed.
        leave_out: a folder whose files are none of them: that of the results.

    Raises:
        DatasetError: there is none.
    """
    apart = None if leave_out is None else real_path(leave_out)
    found = sorted(
        listing.folder / file
        for listing in walk(folder, problems)
        if apart is None or not real_path(listing.folder).is_relative_to(apart)
        for file in listing.files
        if stem_and_suffix(file)[1].lower() in PHOTOGRAPH_SUFFIXES
    )
    if not found and not problems:
        raise DatasetError(
            f"{folder}: expected pictures ({', '.join(PICTURE_SUFFIXES)}) in it, found none"
        )
    return found


def gather(named: Iterable[Path], *, leave_out: Path | None = None) -> Inputs:
    """The pictures that files and folders stand for.

    Args:
        named: files, taken whatever their names and whether they are there or not, and folders.
        leave_out: as for ``photographs_in``.

    Raises:
        DatasetError: a folder without pictures, or nothing was named.
        OSError: a folder that cannot be listed.
    """
    inputs = Inputs()
    seen: set[str] = set()
    roots: list[str] = []
    for path in named:
        is_folder = path.is_dir()
        roots.append(str((path if is_folder else path.parent).absolute()))
        found = photographs_in(path, inputs.problems, leave_out=leave_out) if is_folder else [path]
        for picture in found:
            place = os.path.abspath(picture)  # noqa: PTH100 - a/../b is b; links stay
            if place in seen:
                inputs.repeated += 1
            else:
                seen.add(place)
                inputs.paths.append(picture)
    if not roots:
        raise DatasetError("expected a picture's path on each line of stdin, got nothing")
    inputs.root = Path(os.path.commonpath(map(os.path.normpath, roots)))
    return inputs


def paths_of_list(lines: BinaryIO) -> Iterator[Path]:
    """Paths, one a line, as they arrive; a path's bytes need be no UTF-8. Empty lines are none.

    A byte order mark before a path is no part of it.

    Raises:
        UsageError: a line that no path can be: a file's content, or paths that end with a NUL.
        DatasetError: a line that is too long for any list of paths.
    """
    if isinstance(lines, BufferedReader):
        _refuse_no_path(lines.peek(HEAD_BYTES))
    try:
        for line in lines_of(lines):
            _refuse_no_path(line)
            name = line.removesuffix(b"\n").removesuffix(b"\r").removeprefix(BOM_UTF8)
            if name:
                yield Path(os.fsdecode(name))
    except ValueError as error:
        raise DatasetError(f"stdin: {error}; expected a picture's path on each line") from error


def _refuse_no_path(text: bytes) -> None:
    """Refuse what holds a NUL, which no path has.

    Raises:
        UsageError: it does; the message says what it is instead.
    """
    if b"\0" not in text:
        return
    expected = "stdin: expected one path on a line, got"
    binary = known_binary(text[:HEAD_BYTES])
    if binary is not None:
        raise UsageError(f"{expected} {binary}: give the file's name")
    if text.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise UsageError(f"{expected} text in UTF-16: save the list as UTF-8")
    raise UsageError(
        f"{expected} one with a NUL byte: paths end with a line feed here, leave out -print0"
    )
