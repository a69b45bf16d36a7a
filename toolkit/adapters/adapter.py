"""An adapter: a TOML file that says how to use a landmark .tflite that the kit did not make.

It names the crop that the model wants, the values of its input, the output that holds the points
and their unit, and how the points become the landmarks of a scheme (docs/adapters.md has every
key). The adapters that come with the kit lie beside this module.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.adapters.linear_map import MAX_POINTS, LinearMap
from asmnet_kit.base.errors import ModelError, UsageError, one_line
from asmnet_kit.base.limits import MAX_INPUT_SIZE
from asmnet_kit.base.reading import read_toml
from asmnet_kit.datasets.folders import inside
from asmnet_kit.face.schemes import BUILT_IN, Scheme, scheme_named
from asmnet_kit.tflite.metadata import MAX_CROP_SCALE
from asmnet_kit.tflite.runtime import TensorInfo, quantize

FOLDER = Path(__file__).parent
COLOURS = ("RGB", "BGR")
# Length of one unit in sides of a crop of S pixels, and where 0 lies, from the crop's centre.
UNITS = ("pixel", "side", "half side")
ORIGINS = ("corner", "first pixel", "centre")
MAX_PASSES = 8
MAX_SHIFT = 4.0  # sides of the crop


@dataclass(frozen=True, eq=False)
class Adapter:
    """How to use a landmark model.

    Attributes:
        name: of a built-in adapter, or of the file without its ending.
        path: of the file.
        content: what the file says, JSON types.
        scheme: of the landmarks that come out.
        size: side of the model's input, pixels.
        colour: order of its channels, RGB or BGR.
        mean, scale: float32 [3], by channel in that order: a value v of 0..255 is fed as
            (v - mean) / scale.
        crop_scale: side of the first crop as a multiple of the longer side of the landmarks' box.
        shift: (x, y) of the first crop's centre from the box's, sides of the crop.
        passes: how often the model looks at a face, each time at a crop around the points before.
        again: side of the later crops as a multiple of the longer side of the box of all points.
        turn_by: two of the model's points, left and right in the image, that later crops have on
            one level; None for crops that are not turned.
        output: name of the output with the points; None for the only one of their number.
        points: how many points the output has.
        values: numbers for each point, of which the first two are x and y.
        unit, origin: of x and y, of ``UNITS`` and ``ORIGINS``.
        choice: int64 [N, 2], for each landmark the two points whose middle it is (twice the same
            where it is that point); None for all points in their order or with ``linear``.
        linear: from the model's points to the landmarks; None without a map.
    """

    name: str
    path: Path
    content: Mapping[str, Any]
    scheme: Scheme
    size: int
    colour: str
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    crop_scale: float
    shift: tuple[float, float]
    passes: int
    again: float
    turn_by: tuple[int, int] | None
    output: str | None
    points: int
    values: int
    unit: str
    origin: str
    choice: NDArray[np.int64] | None
    linear: LinearMap | None

    @property
    def unit_sides(self) -> float:
        """Length of one unit of the output, sides of the crop."""
        return {"pixel": 1 / self.size, "side": 1.0, "half side": 0.5}[self.unit]

    def fractions(self, output: NDArray[np.float32]) -> NDArray[np.float32]:
        """The output's points, fractions of the crop's side from its centre.

        Args:
            output: real values, [B, ...], points x values numbers each.

        Returns:
            float32 [B, points, 2].
        """
        points = output.reshape(-1, self.points, self.values)[..., :2]
        zero = {"corner": -0.5, "first pixel": 0.5 / self.size - 0.5, "centre": 0.0}[self.origin]
        return np.asarray(points * self.unit_sides + zero, np.float32)

    def inputs(self, pixels: NDArray[np.uint8], info: TensorInfo) -> NDArray[np.generic]:
        """The model's raw input for each crop: [B, *shape of the input].

        Args:
            pixels: of the model's own crops, uint8 [B, size, size, 3], RGB.
            info: of the input.
        """
        if self.colour == "BGR":
            pixels = pixels[..., ::-1]
        real = (pixels.astype(np.float32) - self.mean) / self.scale
        if info.shape != (1, self.size, self.size, 3):
            real = real.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(quantize(real, info)[:, None])

    def landmarks(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """The scheme's landmarks [B, N, 2] of the model's points [B, points, 2], in one frame."""
        if self.linear is not None:
            with np.errstate(over="ignore"):  # infinity, which the predictor names
                return self.linear(points).astype(np.float32)
        if self.choice is None:
            return points
        return np.asarray(points[:, self.choice].mean(axis=2), np.float32)

    def to_json(self) -> dict[str, Any]:
        """Name and content, for results; of a scheme that is not built in, all of it."""
        scheme = self.scheme.name if self.scheme.built_in else self.scheme.to_json()
        return {"name": self.name, **self.content, "scheme": scheme}


def built_in() -> list[str]:
    """Names of the adapters that come with the kit."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_adapter(text: str | Path) -> Adapter:
    """A built-in adapter by its name, or an adapter file by its path.

    Raises:
        UsageError: no such adapter, no TOML, or a key that is missing, unknown or of a wrong value.
        ModelError: its linear map cannot be read or does not fit.
    """
    name = str(text)
    path = FOLDER / f"{name}.toml" if name in built_in() else Path(text)
    try:
        content = read_toml(path)
    except FileNotFoundError as error:
        raise UsageError(
            f"--adapter: expected one of {', '.join(built_in())}, or a .toml file; got {name!r}"
        ) from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; expected an adapter (.toml)") from error
    except ValueError as error:
        raise UsageError(
            f"{path}: expected an adapter (.toml), got a damaged one: {one_line(error)}"
        ) from error
    return _adapter(path, content)


def _adapter(path: Path, content: dict[str, Any]) -> Adapter:
    top = _Table(path, "", content)
    top.text("about", default="")
    scheme = _scheme(top)
    image, crop = top.table("input"), top.table("crop")
    output, landmarks = top.table("output"), top.table("landmarks", default={})
    points = output.whole("points", 1, MAX_POINTS)
    passes = crop.whole("passes", 1, MAX_PASSES, default=1)
    if passes == 1:
        crop.refuse("again", "turn_by", why="needs passes of 2 or more")
    crop_scale = crop.number("scale", 0, MAX_CROP_SCALE)
    turn_by = crop.indices("turn_by", points, default=None)
    if turn_by is not None and (len(turn_by) != 2 or turn_by[0] == turn_by[1]):
        raise crop.wrong("turn_by", "two different points, left and right in the image")
    indices = landmarks.indices("indices", points, pairs=True, default=None)
    if indices is not None:
        landmarks.refuse("map", why="and indices exclude each other: give one of them")
        if len(indices) != scheme.points:
            raise landmarks.wrong(
                "indices", f"{scheme.points}, one for each landmark of the scheme", len(indices)
            )
    mean = image.by_channel("mean", -1e6)
    adapter = Adapter(
        name=path.stem,
        path=path,
        content=content,
        scheme=scheme,
        size=image.whole("size", 1, MAX_INPUT_SIZE),
        colour=image.choice("colour", COLOURS),
        mean=mean,
        scale=image.by_channel("scale", 0),
        crop_scale=crop_scale,
        shift=crop.pair("shift", MAX_SHIFT, default=(0.0, 0.0)),
        passes=passes,
        again=crop.number("again", 0, MAX_CROP_SCALE, default=crop_scale),
        turn_by=None if turn_by is None else (turn_by[0], turn_by[1]),
        output=output.text("name", default="") or None,
        points=points,
        values=output.whole("values", 2, 16, default=2),
        unit=output.choice("unit", UNITS),
        origin=output.choice("origin", ORIGINS),
        choice=None if indices is None else np.array([_two(i) for i in indices], np.int64),
        linear=_linear(landmarks, points, scheme),
    )
    for table in (top, image, crop, output, landmarks):
        table.refuse_unknown()
    if adapter.choice is None and adapter.linear is None and points != scheme.points:
        raise UsageError(
            f"{path}: {points} points are no landmarks of the scheme {scheme.name}, which has "
            f"{scheme.points}: say in [landmarks] by indices or map which they are"
        )
    return adapter


def _scheme(top: "_Table") -> Scheme:
    name = top.text("scheme")
    return scheme_named(name if name in BUILT_IN else top.beside("scheme", name))


def _linear(landmarks: "_Table", points: int, scheme: Scheme) -> LinearMap | None:
    name = landmarks.text("map", default="")
    if not name:
        return None
    file = landmarks.beside("map", name)
    linear = LinearMap.load(file)
    if (linear.points, linear.landmarks) != (points, scheme.points):
        raise ModelError(
            f"{file}: expected a map from {points} points to {scheme.points} "
            f"landmarks, got one from {linear.points} to {linear.landmarks}"
        )
    return linear


def _two(index: Any) -> tuple[int, int]:
    return (index[0], index[1]) if isinstance(index, list) else (index, index)


class _Table:
    """One table of the file, whose keys must all be known and of the right kind."""

    _REQUIRED: Any = object()

    def __init__(self, path: Path, name: str, content: dict[str, Any]) -> None:
        self.path, self.name, self.content = path, name, content
        self.known: set[str] = set()

    def key(self, key: str) -> str:
        return f"{self.name}.{key}" if self.name else key

    def wrong(self, key: str, expected: str, got: Any = _REQUIRED) -> UsageError:
        value = self.content.get(key) if got is self._REQUIRED else got
        return UsageError(f"{self.path}: {self.key(key)}: expected {expected}, got {value!r}")

    def get(self, key: str, default: Any) -> Any:
        self.known.add(key)
        value = self.content.get(key, default)
        if value is self._REQUIRED:
            raise UsageError(f"{self.path}: {self.key(key)} is missing; docs/adapters.md has all")
        return value

    def refuse(self, *keys: str, why: str) -> None:
        for key in keys:
            if key in self.content:
                raise UsageError(f"{self.path}: {self.key(key)} {why}")

    def refuse_unknown(self) -> None:
        unknown = sorted(set(self.content) - self.known)
        if unknown:
            raise UsageError(
                f"{self.path}: {self.key(unknown[0])}: no such key; expected "
                f"{', '.join(map(self.key, sorted(self.known)))}"
            )

    def table(self, key: str, default: Any = _REQUIRED) -> "_Table":
        value = self.get(key, default)
        if not isinstance(value, dict):
            raise self.wrong(key, f"a table [{key}]")
        return _Table(self.path, key, value)

    def text(self, key: str, default: Any = _REQUIRED) -> str:
        value = self.get(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, "a text")
        return value

    def beside(self, key: str, name: str) -> Path:
        """The file that a key names, which lies in the adapter's folder or below."""
        relative = inside(name)
        if relative is None:
            raise self.wrong(key, "a path inside the adapter's folder", name)
        return self.path.parent / relative

    def choice(self, key: str, choices: tuple[str, ...]) -> str:
        value = self.get(key, self._REQUIRED)
        if value not in choices:
            raise self.wrong(key, f"one of {', '.join(map(repr, choices))}")
        return str(value)

    def whole(self, key: str, least: int, most: int, default: Any = _REQUIRED) -> int:
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(key, f"a whole number from {least} to {most}")
        return value

    def number(self, key: str, above: float, most: float, default: Any = _REQUIRED) -> float:
        value = self.get(key, default)
        if not _is_number(value) or not above < value <= most:
            raise self.wrong(key, f"a number above {above:g} and up to {most:g}")
        return float(value)

    def pair(self, key: str, most: float, default: tuple[float, float]) -> tuple[float, float]:
        value = self.get(key, list(default))
        if (
            not isinstance(value, list)
            or len(value) != 2
            or not all(_is_number(v) and abs(v) <= most for v in value)
        ):
            raise self.wrong(key, f"two numbers from -{most:g} to {most:g}, to the right and down")
        return float(value[0]), float(value[1])

    def by_channel(self, key: str, above: float) -> NDArray[np.float32]:
        """One number for all channels, or three."""
        value = self.get(key, self._REQUIRED)
        values = value if isinstance(value, list) else [value] * 3
        if len(values) != 3 or not all(_is_number(v) and above < v <= 1e6 for v in values):
            raise self.wrong(key, f"a number above {above:g} and up to 1e+06, or three of them")
        return np.array(values, np.float32)

    def indices(self, key: str, count: int, *, pairs: bool = False, default: Any) -> Any:
        """A list of numbers of points, with ``pairs`` also of pairs of them."""
        value = self.get(key, default)
        if value is default:
            return value
        flat = [
            point
            for item in (value if isinstance(value, list) else [None])
            for point in (item if pairs and isinstance(item, list) and len(item) == 2 else [item])
        ]
        for point in flat:
            if isinstance(point, bool) or not isinstance(point, int) or not 0 <= point < count:
                kinds = "points or pairs of them" if pairs else "points"
                raise self.wrong(key, f"a list of {kinds}, each from 0 to {count - 1}", point)
        return value


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 1e300 and math.isfinite(value)
