"""Points that have labels instead of an order, as annotation tools keep them.

A label means a landmark by a scheme's name for it, or by its number. Names are compared without
regard to case, and with blank, ``-``, ``.`` and ``_`` alike. Numbers
stand at the label's end (``12``, ``p12``, ``kpt-12``) and count from 0 or from 1, whichever fills a
scheme.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.datasets.base import PictureFile, Problem
from asmnet_kit.datasets.folders import Reading
from asmnet_kit.datasets.picture_sides import Sides, turn_of
from asmnet_kit.datasets.records import Exported, Record, known_visibility
from asmnet_kit.face.orientation import StoredPicture
from asmnet_kit.face.schemes import BUILT_IN, Scheme, scheme_named

NUMBERED = re.compile(r"(?P<prefix>.*?)(?P<number>\d{1,4})", re.DOTALL)
SHOWN = 40  # characters of a label in a message


@dataclass(eq=False)
class LabelledFace:
    """A face as a tool describes it.

    Attributes:
        where, name, picture, split, subsets, box: as of ``Record``.
        points: label -> x, y, pixels, 0-based; NaN for a point that is outside of the picture.
        hidden: labels of the points that cannot be seen.
        knows_hidden: whether the tool has a mark for that.
        in_order: x, y of all points where they have no labels and stand in their scheme's order.
        shown: width and height of the picture that points and box are of, where the tool says so.
        turns: whether the tool shows pictures upright, as EXIF says.
        address, exported: as of ``Record``.
    """

    where: str
    name: str
    picture: PictureFile
    points: dict[str, tuple[float, float]] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    knows_hidden: bool = False
    split: str | None = None
    subsets: tuple[str, ...] = ()
    box: NDArray[np.float32] | None = None
    in_order: Sequence[tuple[float, float]] = ()
    shown: Sides | None = None
    turns: bool = True
    address: str = ""
    exported: Exported | None = None

    def add(self, label: str, x: float, y: float) -> None:
        """Add a point.

        Raises:
            DatasetError: there is one with that label.
        """
        if label in self.points:
            raise DatasetError(
                f"two points are called {label[:SHOWN]!r}: two faces of one picture must be told "
                "apart by a group, or each be one shape"
            )
        self.points[label] = (x, y)


def known_schemes(scheme: Scheme | None) -> list[Scheme]:
    """The schemes that labels may be of: the one that is named, if any, then those built in."""
    built_in = [scheme_named(name) for name in BUILT_IN]
    return built_in if scheme is None else [scheme, *(one for one in built_in if one != scheme)]


def records_of(
    faces: Sequence[LabelledFace], reading: Reading, scheme: Scheme | None
) -> list[Record]:
    """The faces with their points in the order of the scheme that their labels are of.

    Args:
        scheme: one that they may be of, beside those that are built in.

    A label that means none of its landmarks is a problem of the reading, told once.

    Raises:
        DatasetError: the labels fit no scheme.
    """
    labels = Counter(label for face in faces for label in face.points)
    names = PointNames(labels, scheme) if labels else None
    if names is not None:
        reading.guess = names.guess
        reading.points = names.scheme.points
        reading.scheme = names.scheme
        for label in labels.keys() - names.number.keys():
            where = next(face.where for face in faces if label in face.points)
            count = f" ({labels[label]} points)" if labels[label] > 1 else ""
            reading.problems.append(Problem(where, names.unmatched(label) + count))
    marks = known_visibility([_visibility(face, names) for face in faces])
    records = []
    for face, one in zip(faces, marks, strict=True):
        record = Record(
            where=face.where,
            name=face.name,
            picture=face.picture,
            pairs=_pairs(face, names),
            split=face.split,
            subsets=face.subsets,
            box=face.box,
            visibility=one,
            address=face.address,
            exported=face.exported,
        )
        try:
            records.append(_of_stored_picture(record, face, names, scheme))
        except (DatasetError, OSError) as error:
            reading.problems.append(Problem(face.where, str(error)))
    return records


def _of_stored_picture(
    record: Record, face: LabelledFace, names: "PointNames | None", scheme: Scheme | None
) -> Record:
    """The record in pixels of the picture as it is stored, which the tool may have turned (EXIF).

    Raises:
        DatasetError: it is not the picture that was labelled; or it is stored turned, and the
            points' scheme is not known.
        OSError: the picture cannot be read.
    """
    if face.shown is None:
        return record
    own = [names.scheme] if names is not None and not face.in_order else known_schemes(scheme)
    return in_stored_pixels(record, turn_of(face.picture, face.shown, turns=face.turns), own)


def in_stored_pixels(
    record: Record, turned: StoredPicture | None, schemes: Sequence[Scheme]
) -> Record:
    """A record of the upright picture in pixels of the stored one.

    Args:
        turned: how the picture lies in its file; None where the record is of the stored one.
        schemes: that the points may be of.

    Raises:
        DatasetError: none of the schemes has as many points.
    """
    if turned is None:
        return record
    count = len(record.pairs)
    order = next((one for one in schemes if one.points == count), None)
    if order is None:
        raise DatasetError(f"expected points of a known scheme, got {count}: name it with --scheme")
    visibility = record.visibility
    return replace(
        record,
        pairs=turned.points(record.pairs.astype(np.float32), order).astype(np.float64),
        pose=None if record.pose is None else turned.pose(record.pose),
        box=None if record.box is None else turned.box(record.box),
        visibility=None if visibility is None else turned.of_each_point(visibility, order),
    )


def _pairs(face: LabelledFace, names: "PointNames | None") -> NDArray[np.float64]:
    if names is None or face.in_order:
        return np.array(face.in_order, np.float64).reshape(-1, 2)
    pairs = np.full((names.scheme.points, 2), np.nan)
    for label, point in face.points.items():
        if label in names.number:
            pairs[names.number[label]] = point
    return pairs


def _visibility(face: LabelledFace, names: "PointNames | None") -> NDArray[np.float32] | None:
    """1 for points that can be seen, 0 for hidden ones, NaN for those without a label."""
    if names is None or face.in_order or not face.knows_hidden:
        return None
    marks = np.full(names.scheme.points, np.nan, np.float32)
    for label, point in face.points.items():
        if label in names.number and np.isfinite(point).all():
            marks[names.number[label]] = label not in face.hidden
    return marks


class PointNames:
    """The landmarks that the labels of a data set mean.

    A scheme that has every label comes first, then the one that is asked for, if it has half of
    them or more, then the one that has most.

    Args:
        labels: all of them, and how often each is there.
        asked: a scheme that may be meant, beside those that are built in.

    Attributes:
        scheme: the one that is.
        number: label -> landmark, 0-based; a label that means none is not in it.
        guess: what the labels were taken for, as of ``Reading``; "" where they are all points of
            the scheme and no others.

    Raises:
        DatasetError: the labels fit none of the schemes.
    """

    def __init__(self, labels: Mapping[str, int], asked: Scheme | None) -> None:
        schemes = known_schemes(asked)
        named = [(scheme, _by_name(labels, scheme)) for scheme in schemes]

        def rank(fit: tuple[Scheme, dict[str, int]]) -> tuple[bool, bool, int, int]:
            scheme, meant = fit
            half = 2 * len(meant) >= len(labels)
            return len(meant) == len(labels), half and scheme == asked, len(meant), -scheme.points

        found: tuple[Scheme, dict[str, int]] | None
        found = max(named, key=rank)
        how = "name"
        if 2 * len(found[1]) < len(labels):
            found = _by_number(labels, schemes)
            how = "number"
        if found is None:
            shown = ", ".join(sorted(labels)[:4])[: 2 * SHOWN]
            known = ", ".join(scheme.name for scheme in schemes)
            raise DatasetError(
                f"expected labels with the names or the numbers of a scheme's points ({known}); "
                f"got {len(labels)}: {shown}" + (" ..." if len(labels) > 4 else "") + ". Points of "
                "your own: describe them in a file, --scheme FILE (docs/schemes.md)"
            )
        self.scheme, self.number = found
        meant = len(set(self.number.values()))
        self.guess = ""
        if len(self.number) < len(labels) or meant < self.scheme.points:
            about = f" ({self.scheme.title})" if self.scheme.title else ""
            self.guess = (
                f"{len(self.number)} of {len(labels)} labels are taken, by {how}, for {meant} of "
                f"the {self.scheme.points} points of scheme {self.scheme.name}{about}"
            )

    def unmatched(self, label: str) -> str:
        """Why a label that means no landmark is left out."""
        return f"no point of scheme {self.scheme.name} is called {label[:SHOWN]!r}: left out"


def _by_name(labels: Collection[str], scheme: Scheme) -> dict[str, int]:
    names = {_key(name): index for index, name in enumerate(scheme.names)}
    return {label: names[_key(label)] for label in labels if _key(label) in names}


def _key(label: str) -> str:
    return re.sub(r"[\s.-]", "_", label.strip()).casefold()


def _by_number(
    labels: Mapping[str, int], schemes: Collection[Scheme]
) -> tuple[Scheme, dict[str, int]] | None:
    """The scheme that the numbers behind the most usual prefix fill, and what they mean."""
    with_prefix: dict[str, dict[str, int]] = {}
    for label in labels:
        if match := NUMBERED.fullmatch(label.strip()):
            with_prefix.setdefault(_key(match["prefix"]), {})[label] = int(match["number"])
    if not with_prefix:
        return None
    numbers = max(with_prefix.values(), key=len)
    # A slip in one face must not hide which scheme the others are of.
    often = max(labels[label] for label in numbers) / 2
    usual = {number for label, number in numbers.items() if labels[label] >= often}
    for candidates in (set(numbers.values()), usual):
        for first in (0,) if 0 in candidates else (1, 0):
            for scheme in schemes:
                if scheme.points == max(candidates) + 1 - first:
                    last = first + scheme.points
                    return scheme, {
                        label: number - first
                        for label, number in numbers.items()
                        if first <= number < last
                    }
    return None
