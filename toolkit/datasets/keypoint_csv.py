"""Keypoint CSV: one row per face, the simplest way to bring one's own labels.

    file,x0,y0,x1,y1,...,x67,y67
    a/b.jpg,31.2,40.0,33.8,52.5,...

- ``file`` (or ``image``, ``filename``, ``path`` ...; else the first column) is the picture's path
  relative to the CSV's own folder. A face that shares its picture with others gets ``#1``, ``#2``
  ... behind its name.
- ``x0,y0`` ... ``x67,y67`` (numbering may also start at 1) are pixels, 0-based: (0, 0) is the
  centre of the top-left pixel. Empty cells are a point without a label. As many pairs as a built-in
  scheme has points (5, 19, 21, 29, 68, 98, 106), or as the scheme that ``read`` is given.
- Optional columns, found by their names: ``v0`` ... (1 for a point that can be seen, 0 for one that
  is hidden, empty where it is not known; numbered as x and y are), ``yaw``, ``pitch``, ``roll``
  (degrees, signs: asmnet_kit.face.pose), ``box_x0``, ``box_y0``, ``box_x1``, ``box_y1`` (a
  detector's box), ``subset`` (several with ``;`` between them) and ``split``. Other columns are
  ignored.
- Without a header the columns are the path and the pairs, nothing else.
- Between the columns stand commas, semicolons or tabs, whichever the first line has most of; where
  they are no commas, a number may have one for its decimal point.
- Every ``*.csv`` below the folder is read; a file called like a split (train.csv, valid.csv) is in
  that split, as a folder of that name would be. A path of a single .csv file is a data set, too,
  whose own name alone may be a split's.
"""

import csv
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.base.reading import open_text
from asmnet_kit.datasets.base import Face, PictureFile, Problem
from asmnet_kit.datasets.folders import (
    SCHEME_FILE,
    SPLIT_FOLDERS,
    PictureFinder,
    Reading,
    ancestors_of,
    inside,
    is_file,
    numbered,
    require_folder,
    split_named,
    subset_below_split,
    walk,
)
from asmnet_kit.datasets.labels import FARTHEST, check_usable, points_of
from asmnet_kit.face.schemes import BUILT_IN, MAX_POINTS, Scheme

COORDINATE = re.compile(r"([xyv])_?(\d{1,4})")
FILE = (
    "file",
    "filename",
    "file_name",
    "image",
    "image_name",
    "image_path",
    "img",
    "picture",
    "path",
)
DELIMITERS = ",;\t"
SHOWN = 80  # characters of somebody's line in a message
DECIMAL_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")
POSE = ("yaw", "pitch", "roll")
BOX = ("box_x0", "box_y0", "box_x1", "box_y1")


@dataclass(frozen=True)
class _Columns:
    """Where in a row each thing is."""

    width: int
    coordinates: tuple[int, ...]  # x0, y0, x1, y1 ...
    file: int = 0
    visibility: tuple[int, ...] = ()  # v0, v1 ...
    pose: tuple[int, ...] = ()
    box: tuple[int, ...] = ()
    subset: int | None = None
    split: int | None = None

    @property
    def points(self) -> int:
        return len(self.coordinates) // 2


@dataclass(frozen=True)
class _Row:
    where: str
    cells: list[str]
    columns: _Columns
    folder: Path  # of the CSV
    picture: str  # relative to it
    name: str  # of the picture, relative to the root
    split: str | None
    subsets: tuple[str, ...]


def read(root: Path, *, scheme: Scheme | None = None) -> Reading:
    """All faces of the CSV files at or below ``root``.

    Args:
        scheme: what the points are; by default the built-in scheme with so many.

    Raises:
        DatasetError: no CSV there, a column is missing, or the files differ in their number of
            points. Rows that cannot be used are problems of the reading.
    """
    reading = Reading(points=0)
    ancestors: tuple[str, ...] = ()
    if root.is_file():
        files: list[tuple[Path, tuple[str, ...]]] = [(root, ())]
        root = root.parent
    else:
        require_folder(root)
        ancestors = ancestors_of(root)
        files = [
            (listing.folder / file, listing.parts)
            for listing in walk(root, reading.problems)
            for file in listing.files
            if file.lower().endswith(".csv")
        ]
    if not files:
        raise DatasetError(f"{root}: expected a .csv file at or below this folder, found none")
    rows: list[_Row] = []
    finder = PictureFinder()
    for path, parts in files:
        try:
            rows += _read_rows(path, root, ancestors, parts, reading, scheme)
        except OSError as error:
            name = path.relative_to(root).as_posix()
            reading.problems.append(Problem(name, f"cannot be read: {error.strerror}"))
    if not reading.points:
        unread = "; ".join(f"{problem.name}: {problem.reason}" for problem in reading.problems)
        raise DatasetError(f"{root}: no .csv file at or below this folder can be read: {unread}")
    for row, name in zip(rows, numbered([row.name for row in rows]), strict=True):
        try:
            reading.faces.append(_face(row, name, finder, scheme))
        except DatasetError as error:
            reading.problems.append(Problem(row.where, str(error)))
    return reading


def _read_rows(
    path: Path,
    root: Path,
    ancestors: tuple[str, ...],
    parts: tuple[str, ...],
    reading: Reading,
    scheme: Scheme | None,
) -> list[_Row]:
    file_split = SPLIT_FOLDERS.get(path.stem.lower()) or split_named((*ancestors, *parts))
    below = subset_below_split(ancestors, parts)
    rows: list[_Row] = []
    columns: _Columns | None = None
    with open_text(path, newline="") as file:
        delimiter = _delimiter(file)
        cells_of_rows = csv.reader(file, delimiter=delimiter)
        while True:
            first = cells_of_rows.line_num + 1
            try:
                cells = next(cells_of_rows, None)
            except csv.Error as error:
                raise DatasetError(
                    f"{path} line {first}: {error}; is a quotation mark not closed?"
                ) from error
            if cells is None:
                break
            if not any(cell.strip() for cell in cells):
                continue
            if delimiter != ",":
                cells = [_with_point(cell) for cell in cells]
            if columns is None:
                headless = _is_number_or_empty(cells[1:])
                columns_of = _plain_columns if headless else _named_columns
                columns = columns_of(path, cells, _counts(scheme))
                if reading.points not in (0, columns.points):
                    raise DatasetError(
                        f"{path}: expected {reading.points} points like the other files, "
                        f"got {columns.points}"
                    )
                reading.points = columns.points
                if not headless:
                    continue
            name = path.relative_to(root).as_posix()
            written = _cell(cells, columns.file)
            if first < cells_of_rows.line_num and (
                len(cells) != columns.width
                or (len(written.splitlines()) > 1 and not is_file(path.parent / written))
            ):
                # One by one: they are lost faces, whose share counts.
                reading.problems += [
                    Problem(
                        f"{name} line {line}", f"a quotation mark in line {first} is not closed"
                    )
                    for line in range(first, cells_of_rows.line_num + 1)
                ]
                continue
            where = f"{name} line {cells_of_rows.line_num}"
            picture = inside(written) if written else None
            if picture is None:
                reason = f"expected a path inside the folder, got {written[:SHOWN]!r}"
                reading.problems.append(Problem(where, reason))
                continue
            split_cell = _cell(cells, columns.split)
            split_cell = SPLIT_FOLDERS.get(split_cell.lower(), split_cell)
            subset_cell = _cell(cells, columns.subset)
            subsets = tuple(part.strip() for part in subset_cell.split(";") if part.strip())
            rows.append(
                _Row(
                    where=where,
                    cells=cells,
                    columns=columns,
                    folder=path.parent,
                    picture=picture,
                    name="/".join((*parts, picture)),
                    split=split_cell or file_split,
                    subsets=subsets or ((below,) if below else ()),
                )
            )
    if columns is None:
        raise DatasetError(f"{path}: expected a header or rows, the file is empty")
    return rows


def _delimiter(file: TextIO) -> str:
    """What stands between the columns; the file goes on behind Excel's line ``sep=;``, if any."""
    begin = file.tell()
    line = file.readline()
    while line and not line.strip():
        line = file.readline()
    if line.lower().startswith("sep=") and line[4:5] in tuple(DELIMITERS):
        return line[4]
    file.seek(begin)
    return max(DELIMITERS, key=line.count)  # of none at all: a comma


def _with_point(cell: str) -> str:
    """A number with a decimal comma as Python reads it; anything else as it is."""
    return cell.replace(",", ".") if DECIMAL_COMMA.fullmatch(cell.strip()) else cell


def _cell(cells: Sequence[str], index: int | None) -> str:
    return cells[index].strip() if index is not None and index < len(cells) else ""


def _is_number_or_empty(cells: Sequence[str]) -> bool:
    """Whether the cells are a row of numbers rather than a header."""
    try:
        [float(cell) for cell in cells if cell.strip()]
    except ValueError:
        return False
    return any(cell.strip() for cell in cells)


def _counts(scheme: Scheme | None) -> tuple[int, ...]:
    """How many points a face may have."""
    built_in = map(int, BUILT_IN)
    return tuple(built_in) if scheme is None else tuple(sorted({*built_in, scheme.points}))


def _scheme_advice(path: Path) -> str:
    """What to do about labels of points that no built-in scheme has."""
    beside = path.parent / SCHEME_FILE  # data convert writes it
    if beside.is_file():
        return f"Points of your own: try --scheme {shlex.quote(str(beside))}, which lies beside it"
    return "Points of your own: describe them in a file, --scheme FILE (docs/schemes.md)"


def _plain_columns(path: Path, cells: Sequence[str], counts: tuple[int, ...]) -> _Columns:
    points, odd = divmod(len(cells) - 1, 2)
    if odd or points not in counts:
        raise DatasetError(
            f"{path}: expected a header, or a path and {_pairs(counts)} pairs x,y; "
            f"got {len(cells)} columns. {_scheme_advice(path)}"
        )
    return _Columns(len(cells), tuple(range(1, len(cells))))


def _named_columns(path: Path, header: Sequence[str], counts: tuple[int, ...]) -> _Columns:
    at: dict[str, int] = {}
    numbers: set[int] = set()
    for index, cell in enumerate(header):
        name = cell.strip().lower()
        match = COORDINATE.fullmatch(name)
        if match:
            if match[1] != "v":
                numbers.add(int(match[2]))
            name = f"{match[1]}{int(match[2])}"
        if name and name in at:
            raise DatasetError(f"{path}: the column {name!r} appears twice")
        at[name] = index
    if not numbers:
        shown = ", ".join(header[:6])[:SHOWN]
        raise DatasetError(
            f"{path}: expected the columns x0, y0, x1, y1 ..., got {shown} ...; if it holds no "
            "labels, name the file that does: --data LABELS.csv"
        )
    if len(numbers) > MAX_POINTS:
        raise DatasetError(
            f"{path}: expected at most {MAX_POINTS} pairs of columns x, y, got {len(numbers)}"
        )
    first = min(1, *numbers)
    wanted = [f"{axis}{i}" for i in range(first, max(numbers) + 1) for axis in "xy"]
    visibility = tuple(f"v{i}" for i in range(first, max(numbers) + 1))
    file = next((at[name] for name in FILE if name in at), 0)
    if file in {at[name] for name in (*wanted, *visibility) if name in at}:
        raise DatasetError(f"{path}: expected a column of pictures, called {FILE[0]}; found none")
    for group in (wanted, visibility, POSE, BOX):
        missing = [name for name in group if name not in at]
        if missing and (group is wanted or len(missing) < len(group)):
            raise DatasetError(
                f"{path}: missing column {missing[0]!r}"
                + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
            )
    if len(wanted) // 2 not in counts:
        raise DatasetError(
            f"{path}: expected {_pairs(counts)} pairs of columns x, y, got {len(wanted) // 2}. "
            f"{_scheme_advice(path)}"
        )
    return _Columns(
        width=len(header),
        file=file,
        coordinates=tuple(at[name] for name in wanted),
        visibility=tuple(at[name] for name in visibility if name in at),
        pose=tuple(at[name] for name in POSE if name in at),
        box=tuple(at[name] for name in BOX if name in at),
        subset=at.get("subset"),
        split=at.get("split"),
    )


def _pairs(counts: tuple[int, ...]) -> str:
    return f"{', '.join(map(str, counts[:-1]))} or {counts[-1]}"


def _face(row: _Row, name: str, finder: PictureFinder, scheme: Scheme | None) -> Face:
    if len(row.cells) != row.columns.width:
        raise DatasetError(f"expected {row.columns.width} columns, got {len(row.cells)}")
    picture = finder.find(row.folder, row.picture)
    if picture is None:
        raise DatasetError(f"no picture {row.name}")
    pairs = _numbers([row.cells[index] for index in row.columns.coordinates]).reshape(-1, 2)
    half = np.flatnonzero(np.isfinite(pairs).sum(axis=1) == 1)
    if len(half):
        raise DatasetError(f"point {half[0]} has only one of x and y")
    landmarks = points_of(pairs)
    check_usable(landmarks, scheme)
    pose = _whole([row.cells[index] for index in row.columns.pose], "yaw, pitch, roll")
    box = _whole([row.cells[index] for index in row.columns.box], ", ".join(BOX))
    if box is not None and not (box[2] > box[0] and box[3] > box[1]):
        raise DatasetError("expected box_x0 < box_x1 and box_y0 < box_y1")
    return Face(
        name=name,
        picture=PictureFile(picture),
        landmarks=landmarks,
        subsets=row.subsets,
        pose=pose,
        detector_box=box,
        split=row.split,
        visibility=_visibility([row.cells[index] for index in row.columns.visibility]),
    )


def _visibility(cells: Sequence[str]) -> NDArray[np.float32] | None:
    """1 seen, 0 hidden, NaN unknown; None where nothing is known.

    Raises:
        DatasetError: another number.
    """
    numbers = _numbers(cells)
    known = numbers[np.isfinite(numbers)]
    if not np.isin(known, (0, 1)).all():
        raise DatasetError("expected 1 (seen), 0 (hidden) or an empty cell in v0, v1 ...")
    return numbers.astype(np.float32) if len(known) else None


def _numbers(cells: Sequence[str]) -> NDArray[np.float64]:
    """float64 [len(cells)], NaN for an empty cell.

    Raises:
        DatasetError: a cell is no finite number.
    """
    try:
        numbers = np.array([float(cell) if cell.strip() else np.nan for cell in cells])
    except ValueError as error:
        raise DatasetError(f"expected numbers or empty cells: {str(error)[:SHOWN]}") from error
    written = [bool(cell.strip()) for cell in cells]
    if not np.isfinite(numbers[written]).all():
        raise DatasetError("expected finite numbers or empty cells, got nan or inf")
    return numbers


def _whole(cells: Sequence[str], what: str) -> NDArray[np.float32] | None:
    """The numbers of an optional group: all of them or none."""
    numbers = _numbers(cells)
    if np.isnan(numbers).all():  # also without such columns
        return None
    if np.isnan(numbers).any():
        raise DatasetError(f"expected all of {what} or none")
    if (np.abs(numbers) > FARTHEST).any():
        raise DatasetError(f"expected {what} of at most {FARTHEST:.0f}")
    return numbers.astype(np.float32)
