"""Landmark schemes: how many points, their names, which mirrors which, what to draw, how to map.

A scheme is a TOML file (docs/schemes.md); those named in ``BUILT_IN`` lie beside this module.
Indices are 0-based; *left* and *right* are the image's, so the left eye of a face is the person's
right one.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.limits import SCHEME_NAMES
from asmnet_kit.base.reading import read_toml

FOLDER = Path(__file__).parent
BUILT_IN = SCHEME_NAMES
BOX = "box"  # of ``Scheme.normaliser``
DRAWN_AS = ("line", "ring", "dots")
OTHER = "other"  # the part of the points that a file puts into none

MAX_POINTS = 1000  # twice the largest face mesh in use, of 478 points
MAX_MILLIMETRES = 1e6
MIN_OUTLINE = 5  # points of a part called jaw that follows the face from side to side
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
KEYS = (
    *("name", "title", "points", "names", "mirror", "normaliser", "parts", "positions", "maps"),
    "from",
)
REQUIRED = ("name", "points", "normaliser")


@dataclass(frozen=True, eq=False)
class Scheme:
    """A numbering of landmarks.

    Attributes:
        name: what files and options call the scheme.
        points: how many landmarks.
        names: of the landmarks, all different.
        mirror: int64 [points]; landmark i of a mirrored face is landmark ``mirror[i]`` of the face.
        normaliser: the two points whose distance normalises errors (NME), or ``BOX``: the square
            root of the area of the box around the labelled points.
        parts: name -> indices, in drawing order; every point is in one of them. They are in the
            order of their first points.
        closed: the parts whose line is a ring.
        dots: the parts that are drawn without a line.
        positions: float64 [points, 3], millimetres, in the frame of ``face.pose``: x right, y down,
            z away from the camera. None where the scheme has none: no pose follows from landmarks.
        maps: name of another scheme -> for each of its landmarks those of this one whose mean it
            is; one that stands twice counts twice.
        title: the data sets that use it, in words.
        chosen: where the points are chosen from another scheme's: the name of that built-in scheme,
            and the number there of each point.
    """

    name: str
    points: int
    names: tuple[str, ...]
    mirror: NDArray[np.int64]
    normaliser: tuple[int, int] | str
    parts: MappingProxyType[str, tuple[int, ...]]
    closed: frozenset[str] = frozenset()
    dots: frozenset[str] = frozenset()
    positions: NDArray[np.float64] | None = None
    maps: MappingProxyType[str, tuple[tuple[int, ...], ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    title: str = ""
    chosen: tuple[str, tuple[int, ...]] | None = None

    @property
    def built_in(self) -> bool:
        """Whether its name is enough to find it."""
        return self.name in BUILT_IN

    @property
    def outlines_face(self) -> bool:
        """Whether its points span a whole face, from cheek to cheek and to the chin.

        Boxes around the landmarks of two such schemes are alike, so a model of the one can be
        measured in boxes of the other.
        """
        jaw = self.parts.get("jaw", ())
        if len(jaw) < MIN_OUTLINE or self.chosen is None:
            return len(jaw) >= MIN_OUTLINE
        source, numbers = self.chosen
        whole = _built_in(source).parts.get("jaw", ())
        if len(whole) < MIN_OUTLINE:
            return False
        left = {numbers[index] for index in jaw}
        middle, near = len(whole) // 2, len(whole) // 8
        chin = whole[middle - near : middle + near + 1]
        return {whole[0], whole[-1]} <= left and not left.isdisjoint(chin)

    @property
    def has_mirror_image(self) -> bool:
        """Whether a mirrored face has the same landmarks, so that two answers can be averaged.

        ``mirror`` may be left out of a scheme, and points may be chosen without their partners:
        then a point of one side would be taken for one of the other.
        """
        jaw = self.parts.get("jaw", ())
        return bool(jaw) and self.mirror[jaw[0]] == jaw[-1] and not self.is_one_sided

    @property
    def is_one_sided(self) -> bool:
        """Whether a point of one side is known to lack its partner: it is then its own mirror.

        In a mirrored picture it would lie where the partner is: the left eye on the right one. Of
        points that are not chosen from a built-in scheme only a jaw tells: its ends are a pair, so
        where ``mirror`` does not name them (or is left out) mirroring is not safe.
        """
        own = np.flatnonzero(self.mirror == np.arange(self.points)).tolist()
        if self.chosen is None:
            jaw = self.parts.get("jaw", ())
            return len(jaw) >= MIN_OUTLINE and not {jaw[0], jaw[-1]}.isdisjoint(own)
        source, numbers = self.chosen
        whole = _built_in(source).mirror
        return any(whole[numbers[point]] != numbers[point] for point in own)

    @property
    def names_no_mirror_pair(self) -> bool:
        """Whether a file of its own points leaves ``mirror`` out, or empty."""
        identity = np.array_equal(self.mirror, np.arange(self.points))
        return self.chosen is None and identity and self.points > 1

    @property
    def outer_eye_corners(self) -> tuple[int, int]:
        """The normaliser where it is a pair of points.

        Raises:
            UsageError: it is the box.
        """
        if isinstance(self.normaliser, str):
            raise UsageError(
                f"expected a scheme with a pair of points as normaliser, such as 68; "
                f"{self.name} has the {self.normaliser}"
            )
        return self.normaliser

    @property
    def normaliser_text(self) -> str:
        """What errors are divided by, in words."""
        if isinstance(self.normaliser, str):
            return "square root of the area of the landmarks' box"
        first, second = (self.names[index] for index in self.normaliser)
        return f"distance from {first} to {second}"

    def size_of(self, landmarks: NDArray[np.floating]) -> NDArray[np.float64]:
        """What errors of these faces are divided by: [...], in the landmarks' unit.

        Args:
            landmarks: [..., points, 2]; NaN where a point has no label.

        Returns:
            NaN where a point of the pair, or every point, has no label.
        """
        points = np.asarray(landmarks)
        if not isinstance(self.normaliser, str):
            first, second = self.normaliser
            apart = np.asarray(points[..., first, :] - points[..., second, :], np.float64)
            return np.asarray(np.linalg.norm(apart, axis=-1), np.float64)
        seen = np.isfinite(points).all(axis=-1, keepdims=True)
        low = np.where(seen, points, np.inf).min(axis=-2).astype(np.float64)
        high = np.where(seen, points, -np.inf).max(axis=-2).astype(np.float64)
        width, height = np.moveaxis(np.where(np.isfinite(low), high - low, np.nan), -1, 0)
        return np.asarray(np.sqrt(width * height), np.float64)

    def map_to(self, target: "Scheme") -> NDArray[np.float64]:
        """Weights [target.points, points] that make the target's landmarks from this scheme's.

        A target whose points are chosen from a third scheme's needs a map to that one only.

        Raises:
            UsageError: there is no map.
        """
        if target == self:
            return np.eye(self.points)
        rows = self.maps.get(target.name)
        if rows is None and target.chosen is not None:
            rows = self._rows_of_chosen(*target.chosen)
        if rows is None or len(rows) != target.points:
            known = f"its maps lead to {', '.join(self.maps)}" if self.maps else "it has no maps"
            if target.chosen is not None:
                known += f", and {target.name} is chosen from {target.chosen[0]}"
            raise UsageError(
                f"expected a scheme with a map to {target.name}, got {self.name}: {known}; "
                "add one to the scheme's file (docs/schemes.md)"
            )
        weights = np.zeros((target.points, self.points))
        for row, indices in zip(weights, rows, strict=True):
            for index in indices:
                row[index] += 1 / len(indices)
        return weights

    def leads_to(self, target: "Scheme") -> bool:
        """Whether there is a map (``map_to``)."""
        try:
            self.map_to(target)
        except UsageError:
            return False
        return True

    def _rows_of_chosen(
        self, source: str, numbers: tuple[int, ...]
    ) -> tuple[tuple[int, ...], ...] | None:
        """What these points of a built-in scheme are the means of; None without a map there."""
        if self.name == source:
            return tuple((number,) for number in numbers)
        if source in self.maps:
            return tuple(self.maps[source][number] for number in numbers)
        if self.chosen is not None and self.chosen[0] == source:
            own = {number: index for index, number in enumerate(self.chosen[1])}
            if own.keys() >= set(numbers):
                return tuple((own[number],) for number in numbers)
        return None

    def mapped(self, landmarks: NDArray[np.floating], target: "Scheme") -> NDArray[np.float32]:
        """The target's landmarks [..., target.points, 2] of [..., points, 2], same unit.

        A landmark is NaN where one of those that it is made of is.

        Raises:
            UsageError: there is no map.
        """
        if target == self:
            return np.asarray(landmarks, np.float32)
        weights = self.map_to(target)
        points = np.asarray(landmarks, np.float64)
        missing = ~np.asarray(np.isfinite(points).all(axis=-1))  # [..., points]
        values = np.asarray(weights @ np.where(missing[..., None], 0.0, points), np.float32)
        values[(missing[..., None, :] & (weights > 0)).any(axis=-1)] = np.nan
        return values

    def mapped_visibility(
        self, visibility: NDArray[np.float32], target: "Scheme"
    ) -> NDArray[np.float32]:
        """Which of the target's landmarks can be seen, [..., target.points].

        Args:
            visibility: [..., points], 1 seen, 0 hidden, NaN unknown. A landmark is unknown where
                one of those that it is made of is, else hidden where one of them is.

        Raises:
            UsageError: there is no map.
        """
        if target == self:
            return visibility
        used = self.map_to(target) > 0
        sources = np.where(used, visibility[..., None, :], np.float32(1))
        return np.asarray(sources.min(axis=-1), np.float32)

    def to_json(self) -> dict[str, Any]:
        """The scheme as JSON types, with the keys of its TOML file; ``from_json`` reads it."""
        pairs = [[i, int(m)] for i, m in enumerate(self.mirror) if i < m]
        return {
            "name": self.name,
            **({"title": self.title} if self.title else {}),
            "points": self.points,
            "names": list(self.names),
            "mirror": pairs,
            "normaliser": self.normaliser if isinstance(self.normaliser, str) else [
                *self.normaliser
            ],
            "parts": {
                part: {"points": list(indices), "draw": self.drawn_as(part)}
                for part, indices in self.parts.items()
            },
            **({} if self.positions is None else {"positions": self.positions.tolist()}),
            **(
                {"maps": {name: [list(row) for row in rows] for name, rows in self.maps.items()}}
                if self.maps
                else {}
            ),
            **(
                {"from": {"scheme": self.chosen[0], "points": list(self.chosen[1])}}
                if self.chosen
                else {}
            ),
        }  # fmt: skip

    def to_toml(self) -> str:
        """The scheme as the text of a file that ``read_scheme`` reads."""
        content = self.to_json()
        tables = {key: content.pop(key) for key in ("parts", "maps", "from") if key in content}
        lines = [f"{key} = {_toml(value)}" for key, value in content.items()]
        for key, table in tables.items():
            lines += ["", f"[{key}]", *(f"{_toml(k)} = {_toml(v)}" for k, v in table.items())]
        return "\n".join(lines) + "\n"

    @property
    def reference(self) -> str | dict[str, Any]:
        """What stands for the scheme in a manifest: its name, or all of it where that is not known.

        ``scheme_from`` reads it.
        """
        return self.name if self.built_in else self.to_json()

    def drawn_as(self, part: str) -> str:
        """How a part is drawn: one of ``DRAWN_AS``."""
        return "ring" if part in self.closed else "dots" if part in self.dots else "line"

    @classmethod
    def from_json(cls, content: Any, *, where: str = "scheme") -> "Scheme":
        """The scheme of a TOML file's or JSON object's content.

        Args:
            where: the file, for messages.

        Raises:
            UsageError: naming the key, what was expected and what came.
        """
        return _Content(content, where).scheme()

    def __reduce__(self) -> tuple[Callable[[dict[str, Any]], "Scheme"], tuple[dict[str, Any]]]:
        """For other processes: pickle does not take read-only mappings."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        views = {name: dict(values[name]) for name in ("parts", "maps")}
        return _sent, ({**values, **views},)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scheme) and (
            self.name == other.name
            and self.points == other.points
            and self.names == other.names
            and self.normaliser == other.normaliser
            and list(self.parts.items()) == list(other.parts.items())
            and (self.closed, self.dots) == (other.closed, other.dots)
            and self.maps == other.maps
            and self.chosen == other.chosen
            and np.array_equal(self.mirror, other.mirror)
            and _same_positions(self.positions, other.positions)
        )

    def __hash__(self) -> int:
        return hash((self.name, self.points, self.normaliser, self.closed))


def _same_positions(one: NDArray[np.float64] | None, other: NDArray[np.float64] | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def _toml(value: Any) -> str:
    """A value, or a key, as TOML writes it; of JSON's types but null."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    # TOML has JSON's texts and numbers, but no surrogates and no bare delete character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


class _Content:
    """Typed access to what a scheme's file says, with errors that name the key."""

    def __init__(self, content: Any, where: str) -> None:
        if not isinstance(content, dict):
            raise UsageError(f"{where}: expected a scheme's keys, got {type(content).__name__}")
        self.content = content
        self.where = where
        self.numbers: dict[str, int] = {}  # of the points, by name

    def scheme(self) -> Scheme:
        unknown = [key for key in self.content if key not in KEYS]
        if unknown:
            raise self.error(f"expected the keys {', '.join(KEYS)}; got {unknown[0]!r}")
        chosen = self.chosen() if "from" in self.content else None
        if chosen is not None:
            self.inherit(*chosen)
        missing = [key for key in REQUIRED if key not in self.content]
        if missing:
            raise self.error(f"expected a scheme with the key {missing[0]!r}; it is missing")
        name, points = self.name(), self.count()
        names = self.point_names(points)
        self.numbers = {text: index for index, text in enumerate(names)}
        parts, closed, dots = self.parts(points)
        return Scheme(
            name=name,
            points=points,
            names=names,
            mirror=self.mirror(points),
            normaliser=self.normaliser(),
            parts=MappingProxyType(parts),
            closed=closed,
            dots=dots,
            positions=self.positions(points),
            maps=MappingProxyType(self.maps(name)),
            title=self.text("title") if "title" in self.content else "",
            chosen=None if chosen is None else (chosen[0].name, chosen[1]),
        )

    def chosen(self) -> tuple[Scheme, tuple[int, ...]]:
        """The scheme that ``[from]`` names, and the numbers there of the points that are chosen."""
        table = self.content["from"]
        if not isinstance(table, dict) or not {"scheme"} <= set(table) <= {"scheme", "points"}:
            raise self.error(f"expected [from] with scheme and points, got {table!r}")
        if table["scheme"] not in BUILT_IN:
            raise self.error(
                f"expected from.scheme to be one of {', '.join(BUILT_IN)}; got {table['scheme']!r}"
            )
        source = _built_in(table["scheme"])
        self.numbers = {text: index for index, text in enumerate(source.names)}
        points = self.points_of(table.get("points", [*range(source.points)]), "from.points")
        twice = [number for index, number in enumerate(points) if number in points[:index]]
        if twice:
            raise self.error(f"expected different from.points, got {twice[0]} twice")
        if "points" in self.content and self.content["points"] != len(points):
            raise self.error(
                f"expected points = {len(points)}, as many as [from] chooses, or no such key; got "
                f"{self.content['points']!r}"
            )
        return source, points

    def inherit(self, source: Scheme, points: tuple[int, ...]) -> None:
        """Add what the file does not say of points that are chosen from ``source``."""
        own = {number: index for index, number in enumerate(points)}  # number there -> here
        alone = [number for number in points if int(source.mirror[number]) not in own]
        if alone and "mirror" not in self.content:
            left_out = source.names[int(source.mirror[alone[0]])]
            raise self.error(
                f"expected both points of each mirror pair in from.points, got "
                f"{source.names[alone[0]]} without {left_out}: add it, or give the key mirror"
            )
        pair = source.normaliser
        says_normaliser = isinstance(pair, str) or "normaliser" in self.content
        if not says_normaliser and not own.keys() >= {*pair}:
            both = " and ".join(source.names[number] for number in source.outer_eye_corners)
            raise self.error(
                f"expected the key normaliser: {source.name} has {both}, which are not both in "
                "from.points"
            )
        parts = {part: [n for n in numbers if n in own] for part, numbers in source.parts.items()}
        maps = {**source.maps, source.name: tuple((n,) for n in range(source.points))}
        inherited: dict[str, Any] = {
            "points": len(points),
            "names": [source.names[number] for number in points],
            "mirror": [
                [own[n], own[int(source.mirror[n])]]
                for n in points
                if n < source.mirror[n] and int(source.mirror[n]) in own
            ],
            "normaliser": pair if isinstance(pair, str) else [own.get(number) for number in pair],
            "parts": {
                part: {
                    "points": [own[number] for number in numbers],
                    # A line with gaps would cut across the face.
                    "draw": source.drawn_as(part) if len(numbers) == len(source.parts[part])
                    else "dots",
                }
                for part, numbers in parts.items()
                if numbers
            },
        }  # fmt: skip
        if source.positions is not None:
            inherited["positions"] = source.positions[list(points)].tolist()
        inherited["maps"] = {
            target: [[own[number] for number in row] for row in rows]
            for target, rows in maps.items()
            if target != self.content.get("name") and own.keys() >= {n for row in rows for n in row}
        }
        own_maps = self.content.get("maps", {})
        if isinstance(own_maps, dict):  # else it is refused as it is read
            own_maps = {**inherited["maps"], **own_maps}
        self.content = {**inherited, **self.content, "maps": own_maps}

    def error(self, message: str) -> UsageError:
        return UsageError(f"{self.where}: {message}; see docs/schemes.md")

    def text(self, key: str) -> str:
        value = self.content[key]
        if not isinstance(value, str):
            raise self.error(f"expected {key} to be text, got {value!r}")
        return value

    def name(self) -> str:
        name = self.text("name")
        if not NAME.fullmatch(name):
            raise self.error(
                f"expected a name of letters, digits, '_', '-' and '.', at most 64, got {name!r}"
            )
        return name

    def count(self) -> int:
        points = self.content["points"]
        if type(points) is not int or not 1 <= points <= MAX_POINTS:
            raise self.error(f"expected points to be a count, 1 to {MAX_POINTS}, got {points!r}")
        return points

    def point_names(self, points: int) -> tuple[str, ...]:
        names = self.content.get("names", [f"point_{index}" for index in range(points)])
        if not isinstance(names, list) or len(names) != points:
            got = len(names) if isinstance(names, list) else repr(names)
            raise self.error(f"expected names of all {points} points, got {got}")
        for name in names:
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise self.error(f"expected names of letters, digits, '_', '-', '.'; got {name!r}")
        twice = [name for index, name in enumerate(names) if name in names[:index]]
        if twice:
            raise self.error(f"expected different names, got {twice[0]!r} twice")
        return tuple(names)

    def point(self, value: Any, key: str) -> int:
        """The number of a point that is given by its number or name."""
        points = len(self.numbers)
        if isinstance(value, str) and value in self.numbers:
            return self.numbers[value]
        if type(value) is int and 0 <= value < points:
            return value
        raise self.error(
            f"expected {key} of points, each by its name or its number 0 to {points - 1}; "
            f"got {value!r}"
        )

    def points_of(self, value: Any, key: str) -> tuple[int, ...]:
        if not isinstance(value, list) or not value:
            raise self.error(f"expected {key} to be a list of points, got {value!r}")
        return tuple(self.point(one, key) for one in value)

    def pair(self, value: Any, key: str) -> tuple[int, int]:
        both = self.points_of(value, key)
        if len(both) != 2 or both[0] == both[1]:
            raise self.error(f"expected {key} of two different points, got {value!r}")
        return both[0], both[1]

    def mirror(self, points: int) -> NDArray[np.int64]:
        pairs = self.content.get("mirror", [])
        if not isinstance(pairs, list):
            raise self.error(f"expected mirror to be a list of pairs, got {pairs!r}")
        mirror, used = np.arange(points), set[int]()
        for value in pairs:
            left, right = self.pair(value, "mirror pairs")
            if used & {left, right}:
                raise self.error(f"expected each point in one mirror pair, got {value!r} beside it")
            used |= {left, right}
            mirror[left], mirror[right] = right, left
        mirror.flags.writeable = False
        return mirror

    def normaliser(self) -> tuple[int, int] | str:
        value = self.content["normaliser"]
        if value == BOX:
            return BOX
        if not isinstance(value, list):
            raise self.error(f"expected normaliser to be {BOX!r} or two points, got {value!r}")
        return self.pair(value, "a normaliser")

    def parts(
        self, points: int
    ) -> tuple[dict[str, tuple[int, ...]], frozenset[str], frozenset[str]]:
        tables = self.content.get("parts", {})
        if not isinstance(tables, dict):
            raise self.error(f"expected [parts] to be a table, got {tables!r}")
        parts: dict[str, tuple[int, ...]] = {}
        drawn: dict[str, str] = {}
        used = dict[int, str]()
        for part, table in tables.items():
            if not NAME.fullmatch(part):
                raise self.error(f"expected a part's name of letters and digits, got {part!r}")
            if not isinstance(table, dict) or not {"points"} <= set(table) <= {"points", "draw"}:
                raise self.error(f"expected parts.{part} with points and draw, got {table!r}")
            parts[part] = self.points_of(table["points"], f"parts.{part}")
            drawn[part] = table.get("draw", "line")
            if drawn[part] not in DRAWN_AS:
                raise self.error(
                    f"expected parts.{part}.draw to be {', '.join(DRAWN_AS)}; got {drawn[part]!r}"
                )
            for index in parts[part]:
                if index in used:
                    raise self.error(
                        f"expected each point in one part, got point {index} in {used[index]} "
                        f"and {part}"
                    )
                used[index] = part
        if rest := tuple(index for index in range(points) if index not in used):
            if OTHER in parts:
                raise self.error(f"expected every point in a part, got {rest[0]} in none")
            parts[OTHER], drawn[OTHER] = rest, "dots"
        return (
            # In the order of their points: a model's metadata has its keys sorted.
            dict(sorted(parts.items(), key=lambda item: min(item[1]))),
            frozenset(part for part, how in drawn.items() if how == "ring"),
            frozenset(part for part, how in drawn.items() if how == "dots"),
        )

    def positions(self, points: int) -> NDArray[np.float64] | None:
        rows = self.content.get("positions")
        if rows is None:
            return None
        numbers = isinstance(rows, list) and all(
            isinstance(row, list)
            and len(row) == 3
            and all(type(v) in (int, float) and abs(v) <= MAX_MILLIMETRES for v in row)
            for row in rows
        )
        if not numbers or len(rows) != points:
            raise self.error(f"expected positions [x, y, z] in millimetres of all {points} points")
        positions = np.array(rows, np.float64)
        positions.flags.writeable = False
        return positions

    def maps(self, name: str) -> dict[str, tuple[tuple[int, ...], ...]]:
        tables = self.content.get("maps", {})
        if not isinstance(tables, dict):
            raise self.error(f"expected [maps] to be a table, got {tables!r}")
        maps = {}
        for target, rows in tables.items():
            if not NAME.fullmatch(target) or target == name:
                raise self.error(f"expected [maps] to name another scheme, got {target!r}")
            if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_POINTS:
                raise self.error(f"expected maps.{target} to be a list of points, got {rows!r}")
            if target in BUILT_IN and len(rows) != int(target):
                raise self.error(
                    f"expected maps.{target} to have an entry for each of its {target} points, "
                    f"got {len(rows)}"
                )
            maps[target] = tuple(
                self.points_of(row if isinstance(row, list) else [row], f"maps.{target}")
                for row in rows
            )
        return maps


def _sent(values: dict[str, Any]) -> Scheme:
    """A scheme that came from another process."""
    views = {name: MappingProxyType(values[name]) for name in ("parts", "maps")}
    return Scheme(**{**values, **views})


@cache
def _built_in(name: str) -> Scheme:
    path = FOLDER / f"{name}.toml"
    return Scheme.from_json(read_toml(path), where=str(path))


def read_scheme(path: Path) -> Scheme:
    """The scheme of a TOML file.

    Raises:
        UsageError: it cannot be read, is no scheme, or is another scheme than the built-in one of
            its name.
    """
    try:
        content = read_toml(path)
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}; expected a scheme of {', '.join(BUILT_IN)}, or a .toml file"
        ) from error
    except ValueError as error:
        raise UsageError(f"{path}: expected a scheme in TOML: {error}") from error
    return checked(Scheme.from_json(content, where=str(path)), where=str(path))


def checked(scheme: Scheme, *, where: str) -> Scheme:
    """The scheme, once it is sure that no built-in scheme of the same name is another.

    Raises:
        UsageError: one is.
    """
    if scheme.built_in and scheme != _built_in(scheme.name):
        raise UsageError(
            f"{where}: expected a name of its own, got {scheme.name!r}, "
            "a built-in scheme that differs: rename it in its file"
        )
    return scheme


def scheme_from(said: Any, *, where: str) -> Scheme:
    """What ``Scheme.reference`` gave: a built-in scheme's name, or all of another one.

    Raises:
        UsageError: neither.
    """
    if isinstance(said, str) and said in BUILT_IN:
        return _built_in(said)
    return checked(Scheme.from_json(said, where=where), where=where)


def scheme_named(text: str | Path) -> Scheme:
    """A built-in scheme by its name, or that of a TOML file by its path.

    Raises:
        UsageError: neither, or a file that is no scheme.
    """
    return _built_in(str(text)) if str(text) in BUILT_IN else read_scheme(Path(text))


def scheme_of(points: int) -> Scheme:
    """The built-in scheme with ``points`` landmarks.

    Raises:
        UsageError: no such scheme.
    """
    if str(points) not in BUILT_IN:
        raise UsageError(
            f"expected a scheme of {_choice(BUILT_IN)} landmarks, got {points}: "
            "describe yours in a file and name it with --scheme FILE (docs/schemes.md)"
        )
    return _built_in(str(points))


def _choice(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


SCHEME_68 = _built_in("68")
SCHEME_98 = _built_in("98")


def mirrored(landmarks: NDArray[np.float32], width: float, scheme: Scheme) -> NDArray[np.float32]:
    """Landmarks of the mirrored picture: x becomes ``width - 1 - x`` and pairs swap.

    Args:
        landmarks: [..., points, 2], pixels, 0-based, (0, 0) the centre of the top-left pixel.
        width: of the picture, pixels; use 1 for fractions centred on 0.
    """
    swapped: NDArray[np.float32] = landmarks[..., scheme.mirror, :].copy()
    swapped[..., 0] = (width - 1) - swapped[..., 0]
    return swapped
