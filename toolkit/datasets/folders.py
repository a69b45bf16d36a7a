"""What every reader needs to know about folders: finding files, and which folder is which split."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.base.files import require_exists
from asmnet_kit.datasets.base import Face, Problem

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")

# Public sets (300-W, MERL-RAV) call a split's folder so, below the set's own: helen/testset.
PUBLIC_SPLITS = {"trainset": "train", "valset": "val", "testset": "test"}

# Folder names that are splits in every format.
SPLIT_FOLDERS = {"train": "train", "val": "val", "test": "test", **PUBLIC_SPLITS}


@dataclass
class Reading:
    """What a reader found below a folder: faces and unusable files, in the order of reading.

    Attributes:
        origins: formats that prepared data was prepared from.
    """

    points: int
    faces: list[Face] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    origins: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Listing:
    """The visible files of one folder.

    Attributes:
        folder: the folder.
        parts: its path relative to the root of the data set; empty for the root itself.
        files: names of its files, sorted.
    """

    folder: Path
    parts: tuple[str, ...]
    files: tuple[str, ...]

    def name_of(self, file: str) -> str:
        """The POSIX path of ``file`` relative to the root."""
        return "/".join((*self.parts, file))

    def pictures_by_stem(self) -> dict[str, str]:
        """Name without suffix -> file name, for the pictures; suffixes in any case."""
        pictures: dict[str, str] = {}
        for file in self.files:
            stem, suffix = stem_and_suffix(file)
            if suffix.lower() in PICTURE_SUFFIXES:
                pictures.setdefault(stem, file)
        return pictures


def picture_named(pictures: dict[str, str], stem: str) -> str:
    """The file name of the picture that an annotation of that stem belongs to.

    Args:
        pictures: from ``Listing.pictures_by_stem``.

    Raises:
        DatasetError: there is none.
    """
    if stem not in pictures:
        raise DatasetError(f"no picture {stem}.jpg (or .png, .bmp) beside it")
    return pictures[stem]


def stem_and_suffix(file: str) -> tuple[str, str]:
    """``a b.jpg`` is ("a b", ".jpg"). A Path would say the same ten times slower, file by file."""
    stem, dot, suffix = file.rpartition(".")
    return (stem, dot + suffix) if stem else (file, "")


def require_folder(root: Path) -> None:
    """Check that ``root`` is a folder.

    Raises:
        UsageError: it does not exist.
        DatasetError: it is a file.
    """
    require_exists(root, expected="the folder of a data set")
    if not root.is_dir():
        raise DatasetError(f"{root}: expected the folder of a data set, found a file there")


def walk(root: Path) -> Iterator[Listing]:
    """Every folder at and below ``root``, parents first, sorted.

    Hidden files and folders are left out (``._x.jpg`` of macOS archives is no picture). Links to
    folders are followed, each folder once, so that a link to a parent does not loop.
    """
    seen: set[tuple[int, int]] = set()
    stack: list[tuple[Path, tuple[str, ...]]] = [(root, ())]
    while stack:
        folder, parts = stack.pop()
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        files: list[str] = []
        folders: list[str] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                (folders if entry.is_dir() else files).append(entry.name)
        yield Listing(folder, parts, tuple(sorted(files)))
        stack += [(folder / name, (*parts, name)) for name in sorted(folders, reverse=True)]


def ancestors_of(root: Path) -> tuple[str, ...]:
    """What the path of a data set's folder says about its faces: folder names, outermost first.

    It is the folder's own name, and before it the name of the folder above where it is a public
    set's split (``helen/testset``). Folders further up are whoever's: the faces of
    ``/home/test/faces`` are in no split, and moving a data set does not change its splits.
    """
    parts = root.resolve().parts[1:]
    return parts[-2:] if parts and parts[-1].lower() in PUBLIC_SPLITS else parts[-1:]


def split_named(parts: tuple[str, ...]) -> str | None:
    """The split that the innermost folder with a split's name stands for, if there is one."""
    for part in reversed(parts):
        if part.lower() in SPLIT_FOLDERS:
            return SPLIT_FOLDERS[part.lower()]
    return None


def subset_below_split(ancestors: tuple[str, ...], parts: tuple[str, ...]) -> str | None:
    """The folder just below the split (``ytf`` of ``train/ytf/x.jpg``), or, where no folder is a
    split, the first folder below the root.

    Args:
        ancestors: from ``ancestors_of``, the root's own name last.
        parts: folders from the root to the file.
    """
    folders = (*ancestors, *parts)
    for index in reversed(range(len(folders))):
        if folders[index].lower() in SPLIT_FOLDERS:
            below = folders[index + 1 :]
            return below[0] if below else None
    return parts[0] if parts else None


def inside(name: str) -> str | None:
    """A path written in an annotation file, normalised; None where it leaves its folder."""
    # Windows' separators are accepted: lists are often made there. Drive letters are not relative.
    path = PurePosixPath(name.replace("\\", "/"))
    normal = os.path.normpath(path)
    escapes = normal == ".." or normal.startswith("../")
    if path.is_absolute() or escapes or normal == "." or ":" in path.parts[0]:
        return None
    return normal
