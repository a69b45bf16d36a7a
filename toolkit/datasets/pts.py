"""The ``.pts`` landmark file of 300-W and MERL-RAV, and the folders of pictures beside such files.

    version: 1
    n_points: 68
    {
    212.716603 499.771793
    ...
    }

Coordinates are 1-based (the annotation tools were MATLAB's; menpo's importer subtracts 1 likewise),
so a point at 1 1 is the centre of the top-left pixel: (0, 0) here. ``-1 -1`` is a point that has no
position.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.base.files import write_text
from asmnet_kit.base.reading import read_text
from asmnet_kit.datasets.base import Face, PictureFile, Problem
from asmnet_kit.datasets.folders import (
    Listing,
    Reading,
    ancestors_of,
    require_folder,
    stem_and_suffix,
    walk,
)
from asmnet_kit.datasets.labels import check_usable, points_of
from asmnet_kit.face.crop import Points
from asmnet_kit.face.schemes import Scheme

DEFAULT_POINTS = 68  # of a folder without a file
LOOKED_AT = 20  # files, for how many points a folder's have

# A file name's folders -> its split and subsets.
Rule = Callable[[tuple[str, ...], tuple[str, ...]], tuple[str | None, tuple[str, ...]]]


def parse_pts(text: str, *, points: int, negative_is_occluded: bool = False) -> Points:
    """The landmarks of a ``.pts`` file.

    Args:
        text: of the file.
        points: how many there must be.
        negative_is_occluded: a pair of negative numbers other than ``-1 -1`` is a position whose
            sign says "externally occluded" (MERL-RAV); without it the numbers are taken as they
            are (a point left of and above the picture).

    Returns:
        float32 [points, 2], pixels, 0-based; NaN where the file says ``-1 -1``.

    Raises:
        DatasetError: the reason, without the file's name.
    """
    opening, closing = text.find("{"), text.rfind("}")
    if opening < 0 or closing < opening:
        raise DatasetError("expected the points between { and }, found no such block")
    declared = _declared_points(text[:opening])
    tokens = text[opening + 1 : closing].split()
    if declared is not None and declared != points:
        raise DatasetError(f"expected n_points: {points}, got n_points: {declared}")
    if len(tokens) != 2 * points:
        raise DatasetError(f"expected {points} points of 2 numbers, got {len(tokens) / 2:g} points")
    try:
        pairs = np.array([float(token) for token in tokens]).reshape(points, 2)
    except ValueError as error:
        raise DatasetError(f"expected numbers between {{ and }}: {error}") from error
    if not np.isfinite(pairs).all():
        first = int(np.flatnonzero(~np.isfinite(pairs).all(axis=1))[0])
        raise DatasetError(
            f"point {first} is {pairs[first, 0]:g} {pairs[first, 1]:g}; expected finite numbers, "
            "or -1 -1 for a point without a position"
        )
    missing = (pairs == -1).all(axis=1)
    if negative_is_occluded:
        occluded = (pairs < 0).all(axis=1)
        pairs[occluded] = -pairs[occluded]
    pairs -= 1  # 1-based to 0-based
    pairs[missing] = np.nan
    return points_of(pairs)


def parse_visibility(text: str) -> NDArray[np.float32]:
    """Which points of a MERL-RAV ``.pts`` file can be seen: float32 [N], 1 seen, 0 hidden.

    A negative pair is hidden: ``-1 -1`` by the head itself, another one by something else.

    Args:
        text: of a file that ``parse_pts`` accepts.
    """
    tokens = text[text.find("{") + 1 : text.rfind("}")].split()
    pairs = np.array([float(token) for token in tokens]).reshape(-1, 2)
    return np.asarray((pairs >= 0).any(axis=1), np.float32)


def _declared_points(header: str) -> int | None:
    """The number behind ``n_points:``, or None where the header has none (some files do not)."""
    for line in header.splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() == "n_points":
            try:
                return int(value)
            except ValueError:
                raise DatasetError(f"expected n_points: NUMBER, got {line.strip()!r}") from None
    return None


def format_pts(landmarks: Points) -> str:
    """The text of a ``.pts`` file: 1-based, three decimals, ``-1 -1`` for NaN.

    Args:
        landmarks: float32 [N, 2], pixels, 0-based.
    """
    rows = [
        f"{x + 1:.3f} {y + 1:.3f}" if np.isfinite(x) and np.isfinite(y) else "-1 -1"
        for x, y in landmarks.astype(np.float64)
    ]
    return "\n".join(["version: 1", f"n_points: {len(rows)}", "{", *rows, "}", ""])


def write_pts(path: Path, landmarks: Points, *, durable: bool = True) -> None:
    """Write ``landmarks`` (float32 [N, 2], 0-based pixels) as a ``.pts`` file, all or nothing.

    ``durable`` is that of ``asmnet_kit.base.files.replacing``.
    """
    write_text(path, format_pts(landmarks), durable=durable)


def read_folder(
    root: Path,
    *,
    points: int | None,
    rule: Rule,
    suffix: str = ".pts",
    negative_is_occluded: bool = False,
    skip_stem: Callable[[str], bool] = lambda stem: False,
    scheme: Scheme | None = None,
) -> Reading:
    """Every ``NAME.pts`` below ``root`` with the picture ``NAME.*`` beside it.

    Args:
        points: landmarks that each file must have; None = those that most of the first files have.
        rule: (ancestors of the root, folders below it) -> (split, subsets).
        suffix: of the landmark files, lower case.
        negative_is_occluded: as for ``parse_pts``; the faces then know which points can be seen.
        skip_stem: names (without suffix) that are no faces of their own.
        scheme: of the landmarks, where there are as many.

    Raises:
        DatasetError: ``root`` is no folder.
    """
    require_folder(root)
    if points is None:
        points = _points_of_most(root, suffix) or DEFAULT_POINTS
    reading = Reading(points)
    ancestors = ancestors_of(root)
    for listing in walk(root, reading.problems):
        split, subsets = rule(ancestors, listing.parts)
        for file in listing.files:
            stem, found_suffix = stem_and_suffix(file)
            if found_suffix.lower() != suffix or skip_stem(stem):
                continue
            try:
                picture = listing.picture_of(stem)
                text = _read_text(listing, file)
                landmarks = parse_pts(
                    text, points=points, negative_is_occluded=negative_is_occluded
                )
                check_usable(landmarks, scheme)
            except DatasetError as error:
                reading.problems.append(Problem(listing.name_of(file), str(error)))
                continue
            reading.faces.append(
                Face(
                    name=listing.name_of(picture),
                    picture=PictureFile(listing.folder / picture),
                    landmarks=landmarks,
                    subsets=subsets,
                    split=split,
                    visibility=parse_visibility(text) if negative_is_occluded else None,
                )
            )
    return reading


def _points_of_most(root: Path, suffix: str) -> int | None:
    """The number of points that most of the first files below ``root`` have; None without one."""
    counts: Counter[int] = Counter()
    for listing in walk(root, []):
        for file in listing.files:
            if stem_and_suffix(file)[1].lower() != suffix:
                continue
            try:
                text = _read_text(listing, file)
                count = _declared_points(text[: max(0, text.find("{"))])
            except DatasetError:
                continue
            if count is None:
                count = len(text[text.find("{") + 1 : text.rfind("}")].split()) // 2
            counts[count] += 1
            if counts.total() == LOOKED_AT:
                return counts.most_common(1)[0][0]
    return counts.most_common(1)[0][0] if counts else None


def _read_text(listing: Listing, file: str) -> str:
    try:
        return read_text(listing.folder / file)
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror}") from error
