"""What every reader needs to know about folders: finding files, and which folder is which split."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.base.files import require_exists
from asmnet_kit.datasets.base import Face, Problem
from asmnet_kit.datasets.stored_faces import FaceList
from asmnet_kit.face.schemes import Scheme

# Of every format that is read (face/picture_headers.py).
PICTURE_SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".bmp", ".jpe", ".jfif", ".dib", ".webp", ".tif", ".tiff", ".avif",
    ".jp2", ".j2k", ".gif", ".pbm", ".pgm", ".ppm", ".pnm",
)  # fmt: skip
# Where both are beside an annotation, the first kind is its picture: a .tif may be a mask.
USUAL_SUFFIXES = PICTURE_SUFFIXES[:4]

UNREAD_SUFFIXES = (".heic", ".heif", ".jxl", ".psd", ".svg", ".pdf", ".raw", ".dng", ".cr2")

# Words for a split, alike for folders, names of files and tables.
SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}

# Public sets (300-W, MERL-RAV) call a split's folder so, below the set's own: helen/testset.
PUBLIC_SPLITS = {"trainset": "train", "valset": "val", "testset": "test"}

# The landmark scheme that data convert writes beside labels that cannot say it.
SCHEME_FILE = "scheme.toml"

# Folder names that are splits in every format.
SPLIT_FOLDERS = {**SPLIT_WORDS, **PUBLIC_SPLITS}


@dataclass
class Reading:
    """What a reader found below a folder: faces and unusable files, in the order of reading.

    Attributes:
        points: landmarks of each face.
        origins: formats that prepared data was prepared from.
        scheme: of the landmarks, where the data says it; None = asked for, or the built-in one
            with so many points.
        guess: what its words were taken for, where they leave that open; a sentence without its
            full stop.
        notes: what else of its faces is worth a line but is no problem; sentences like ``guess``.
    """

    points: int
    faces: FaceList | list[Face] = field(default_factory=FaceList)
    problems: list[Problem] = field(default_factory=list)
    origins: set[str] = field(default_factory=set)
    scheme: Scheme | None = None
    guess: str = ""
    notes: list[str] = field(default_factory=list)


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

    def picture_of(self, stem: str) -> str:
        """The file name of the picture that an annotation of that stem belongs to.

        Raises:
            DatasetError: there is none, or several.
        """
        beside = self._by_stem.get(name_key(stem), [])
        pictures = [file for file in beside if _suffix(file) in PICTURE_SUFFIXES]
        for narrower in (
            [file for file in pictures if stem_and_suffix(file)[0] == stem],
            [file for file in pictures if _suffix(file) in USUAL_SUFFIXES],
        ):
            pictures = [file for file in pictures if file in narrower] or pictures
        if len(pictures) > 1:
            raise DatasetError(
                f"{' and '.join(pictures)} are beside it: keep the one it belongs to"
            )
        if pictures:
            return pictures[0]
        unread = [file for file in beside if _suffix(file) in UNREAD_SUFFIXES]
        but = f"; {unread[0]} is, but is not read: convert it to JPEG" if unread else ""
        raise DatasetError(
            f"no picture {stem}.jpg (or {', '.join(PICTURE_SUFFIXES[2:])}) beside it{but}"
        )

    @cached_property
    def _by_stem(self) -> dict[str, list[str]]:
        """``name_key`` of a name without suffix -> file names."""
        found: dict[str, list[str]] = {}
        for file in self.files:
            found.setdefault(name_key(stem_and_suffix(file)[0]), []).append(file)
        return found


def _suffix(file: str) -> str:
    return stem_and_suffix(file)[1].lower()


def name_key(name: str) -> str:
    """What spellings of one file name share: composed (NFC) or not (macOS), UTF-8 or Latin-1."""
    if name.isascii():
        return name
    try:
        encoded = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # half a character, which JSON can hold and no file's name
        return name
    try:
        text = encoded.decode()
    except UnicodeDecodeError:
        text = encoded.decode("latin-1")
    return unicodedata.normalize("NFC", text)


class PictureFinder:
    """Finds pictures by the names in lists, however list and file system spell them."""

    def __init__(self) -> None:
        self._listed: dict[Path, dict[str, str]] = {}

    def find(self, folder: Path, name: str) -> Path | None:
        """The picture ``name``, a path below ``folder``; None where there is none."""
        path = folder / name
        if is_file(path):
            return path
        for part in name.split("/"):
            spelt = self._names(folder).get(name_key(part))
            if spelt is None:
                return None
            folder /= spelt
        return folder if is_file(folder) else None

    def _names(self, folder: Path) -> dict[str, str]:
        if folder not in self._listed:
            try:
                self._listed[folder] = {name_key(path.name): path.name for path in folder.iterdir()}
            except (OSError, ValueError):
                self._listed[folder] = {}
        return self._listed[folder]


def is_file(path: Path) -> bool:
    """Whether there is a regular file; False for a name that no file can have."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that is too long, for example
        return False


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


def walk(root: Path, problems: list[Problem]) -> Iterator[Listing]:
    """Every folder at and below ``root``, parents first, sorted.

    A folder below ``root`` that cannot be listed is left out and noted in ``problems``.

    Hidden files and folders are left out (``._x.jpg`` of macOS archives is no picture). Links to
    folders are followed, each folder once, so that a link to a parent does not loop.
    """
    seen: set[tuple[int, int]] = set()
    stack: list[tuple[Path, tuple[str, ...]]] = [(root, ())]
    while stack:
        folder, parts = stack.pop()
        files: list[str] = []
        folders: list[str] = []
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                for entry in entries:
                    if not entry.name.startswith("."):
                        (folders if _is_folder(entry) else files).append(entry.name)
        except OSError as error:
            if not parts:
                raise
            problems.append(Problem("/".join(parts), f"cannot be listed: {error.strerror}"))
            continue
        yield Listing(folder, parts, tuple(sorted(files)))
        stack += [(folder / name, (*parts, name)) for name in sorted(folders, reverse=True)]


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, for example: reading it says so
        return False


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


def numbered(names: Sequence[str]) -> list[str]:
    """A name of its own for each face, from its picture's: of several ``#1``, ``#2`` ..."""
    of_picture = Counter(names)
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(f"{name}#{seen[name]}" if of_picture[name] > 1 else name)
    return numbered


def inside(name: str) -> str | None:
    """A path written in an annotation file, normalised; None where it leaves its folder."""
    # Windows' separators are accepted: lists are often made there. Drive letters are not relative.
    path = PurePosixPath(name.replace("\\", "/"))
    normal = os.path.normpath(path)
    escapes = normal == ".." or normal.startswith("../")
    if path.is_absolute() or escapes or normal == "." or ":" in path.parts[0]:
        return None
    return normal
