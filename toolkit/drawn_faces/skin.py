"""Painting the texture of a head: skin, lips, eyes, brows, beard and hair, in its (u, v) plane.

The texture has ``scale`` pixels per cell of the head's grid. What never changes (masks of face
parts) is made once per scale; a face mixes it with its own colours.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.drawn_faces.head import (
    COLUMNS,
    GRID_U,
    GRID_V,
    ROWS,
    Array,
    controls,
    grid_position,
    unit,
)
from asmnet_kit.drawn_faces.look import Look
from asmnet_kit.drawn_faces.noise import strands, tile
from asmnet_kit.drawn_faces.shape import FaceShape

Pixel = TypeVar("Pixel", np.uint8, np.float32)

# Upper and lower borders of eye openings and mouth, as controls (98 landmarks + extra lid points).
LEFT_LIDS = ((60, 61, 98, 62, 99, 63, 64), (64, 65, 100, 66, 101, 67, 60))
RIGHT_LIDS = ((68, 69, 102, 70, 103, 71, 72), (72, 73, 104, 74, 105, 75, 68))
OUTER_LIP, INNER_LIP = tuple(range(76, 88)), tuple(range(88, 96))


@dataclass(frozen=True, eq=False)
class _Window:
    """A rectangle of the texture with masks of what is painted there, float32 [h, w] in 0..1."""

    y: int
    x: int
    masks: tuple[Array, ...]

    def of(self, texture: NDArray[Pixel]) -> NDArray[Pixel]:
        height, width = self.masks[0].shape
        return texture[self.y : self.y + height, self.x : self.x + width]


@dataclass(frozen=True, eq=False)
class _Plan:
    """What a texture of one scale always contains."""

    width: int
    height: int
    u: Array  # [W], of each column
    v: Array  # [H], of each row
    tints: Array  # [maps, h * w] at BASE_SCALE
    middle: _Window  # brows, lips, folds
    beard: _Window  # beard, moustache
    nostrils: _Window
    eyes: tuple["_Opening", "_Opening"]
    mouth: "_Opening"


BASE_SCALE = 2  # texture pixels per cell for what changes slowly


@dataclass(frozen=True, eq=False)
class _Opening:
    """An eye's or the mouth's opening: a window of the texture and its mask."""

    x: int
    y: int
    mask: Array
    rim: tuple[Array, Array]  # upper, lower border in the window
    upper_line: Array
    lower_line: Array
    corners: Array
    below_upper: Array  # how far each pixel lies below the upper border, pixels


def _bump(u: Array, v: Array, cu: float, cv: float, ru: float, rv: float) -> Array:
    return np.exp(-(((np.abs(u) - cu) / ru) ** 2) - ((v - cv) / rv) ** 2).astype(np.float32)


def _polygon(height: int, width: int, points: Array, blur: float) -> Array:
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.rint(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return _blurred(np.float32(1 / 255) * mask, blur)


def _blurred(mask: Array, sigma: float) -> Array:
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma), np.float32) if sigma > 0.3 else mask


def _curve(height: int, width: int, points: Array, thickness: float, blur: float) -> Array:
    mask = np.zeros((height, width), np.uint8)
    cv2.polylines(
        mask,
        [np.rint(points * 16).astype(np.int32)],
        False,
        255,
        max(1, round(thickness)),
        cv2.LINE_AA,
        4,
    )
    return _blurred(np.float32(1 / 255) * mask, blur)


def _smooth_rim(points: Array) -> Array:
    """A finer polyline through a rim's points (quadratic in x where the lid is curved)."""
    share = np.linspace(0, len(points) - 1, 4 * len(points))
    index = np.arange(len(points))
    fine = np.stack([np.interp(share, index, points[:, axis]) for axis in (0, 1)], axis=1)
    return fine.astype(np.float32)


def _opening(points: Array, upper: tuple[int, ...], lower: tuple[int, ...], scale: int) -> _Opening:
    rims = _smooth_rim(points[list(upper)]), _smooth_rim(points[list(lower)])
    outline = np.concatenate(rims)
    low = np.floor(outline.min(axis=0)).astype(int) - scale
    high = np.ceil(outline.max(axis=0)).astype(int) + scale + 1
    width, height = high - low
    mask = _polygon(int(height), int(width), outline - low, 0)
    above, below = ((rim - low).astype(np.float32) for rim in rims)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    corners = np.zeros_like(mask)
    for corner in (above[0], above[-1]):
        squared = (x - corner[0]) ** 2 + (y - corner[1]) ** 2
        corners += np.exp(-squared / np.float32(0.35 * scale) ** 2)
    order = np.argsort(above[:, 0])
    border = np.interp(x[0], above[order, 0], above[order, 1]).astype(np.float32)
    return _Opening(
        int(low[0]),
        int(low[1]),
        mask,
        (above, below),
        _curve(int(height), int(width), above, 0.35 * scale, 0.15 * scale),
        _curve(int(height), int(width), below, 1, 0.1 * scale),
        corners,
        y - border,
    )


def _axes(scale: int) -> tuple[Array, Array]:
    """u of each texture column and v of each row."""
    width, height = (COLUMNS - 1) * scale + 1, (ROWS - 1) * scale + 1
    u = np.interp(np.arange(width) / scale, np.arange(COLUMNS), GRID_U)
    v = np.interp(np.arange(height) / scale, np.arange(ROWS), GRID_V)
    return u.astype(np.float32), v.astype(np.float32)


def _cut(
    masks: tuple[Array, ...], v: Array, v_range: tuple[float, float], u: Array, u_max: float
) -> _Window:
    rows = np.flatnonzero((v >= v_range[0]) & (v <= v_range[1]))
    columns = np.flatnonzero(np.abs(u) <= u_max)
    cut = tuple(
        np.ascontiguousarray(mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], np.float32)
        for mask in masks
    )
    return _Window(int(rows[0]), int(columns[0]), cut)


def _tints() -> Array:
    """Where skin is tinted, float32 [maps, h * w] at BASE_SCALE; the order is that of _base."""
    u, v = np.meshgrid(*_axes(BASE_SCALE))
    shade = (
        0.8 * _bump(u, v, 0, 51, 17, 5)
        + 0.7 * _bump(u, v, 0, 99, 18, 5)
        + 0.6 * _bump(u, v, 20, 42, 5, 9)
        + 0.45 * _bump(u, v, 15, -3, 7, 10)
        + 0.5 * _bump(u, v, 33, 72, 6, 6)
        + 1.0 / (1 + np.exp(-(v - 142) / 7))
    )
    tints = [
        np.ones_like(u),
        _bump(u, v, 42, 38, 20, 20) + 0.8 * _bump(u, v, 0, 36, 12, 12),
        _bump(u, v, 32, 4, 17, 11),
        _bump(u, v, 0, -45, 40, 25) + 0.7 * _bump(u, v, 0, 20, 8, 20),
        shade,
        _beard_masks(u, v)[0],
    ]
    return np.stack(tints).reshape(len(tints), -1).astype(np.float32)


def _beard_masks(u: Array, v: Array) -> tuple[Array, Array]:
    """(beard with moustache, moustache alone), lips included."""
    cheek_line = 62 - 34 * np.clip((np.abs(u) - 40) / 50, 0, 1.5)
    beard = (
        1
        / (1 + np.exp(-(v - cheek_line) / 4))
        / (1 + np.exp((v - 150) / 6))
        / (1 + np.exp((np.abs(u) - 104) / 5))
    )
    moustache = _bump(u, v, 9, 57, 15, 5.5)
    beard = np.maximum(beard * (1 - 0.9 * _bump(u, v, 0, 92, 9, 6)), moustache)
    return beard.astype(np.float32), moustache


# Lines of a face that show with age and expression, image's right half: (points (u, v), strength).
_FOLDS = (
    (((46, -7), (39, -12.5), (31, -14), (23, -12), (17, -6)), 1.0),  # upper lid
    (((17, 38), (23, 46), (29, 57), (34, 68), (35, 78)), 0.55),  # nose to mouth
    (((19, 8), (26, 13), (34, 14), (42, 11)), 0.4),  # below the eye
)


@lru_cache(maxsize=4)
def _plan(scale: int) -> _Plan:
    u_line, v_line = _axes(scale)
    width, height = len(u_line), len(v_line)
    u, v = np.meshgrid(u_line, v_line)
    points = grid_position(controls().plane) * scale
    mm = scale / 4.75  # texture pixels per millimetre in the middle of the face

    brows = np.zeros_like(u)
    for brow in ((33, 34, 35, 36, 37, 38, 39, 40, 41), (46, 45, 44, 43, 42, 50, 49, 48, 47)):
        brows += _polygon(height, width, points[list(brow)], 1.1 * mm)
    lips = _polygon(height, width, points[list(OUTER_LIP)], 0.9 * mm)
    folds = np.zeros_like(u)
    for side in (-1, 1):
        for line, weight in _FOLDS:
            at = grid_position(np.array(line, np.float32) * (side, 1)) * scale
            folds += weight * _curve(height, width, at, 1.1 * mm, 0.8 * mm)
    beard, moustache = _beard_masks(u, v)
    nostrils = np.zeros((height, width), np.uint8)
    for side in (-1, 1):
        at = grid_position(np.array([side * 7.6, 45.6], np.float32)) * scale
        axes = (round(4.0 * mm * 16), round(2.0 * mm * 16))
        centre = np.rint(at * 16).astype(int).tolist()
        cv2.ellipse(nostrils, centre, axes, side * 18, 0, 360, 255, -1, cv2.LINE_AA, 4)
    nostril_mask = _blurred(np.float32(1 / 255) * nostrils, 0.7 * mm)
    return _Plan(
        width,
        height,
        u_line,
        v_line,
        _tints(),
        _cut((brows, lips, np.minimum(folds, 1)), v_line, (-30, 100), u_line, 66),
        _cut((beard * (1 - lips), moustache * (1 - lips)), v_line, (10, 170), u_line, 120),
        _cut((nostril_mask,), v_line, (36, 54), u_line, 18),
        (_opening(points, *LEFT_LIDS, scale), _opening(points, *RIGHT_LIDS, scale)),
        _opening(points, (88, 89, 90, 91, 92), (92, 93, 94, 95, 88), scale),
    )


def texture_columns(scale: int) -> Array:
    """u of each texture column, float32 [W]."""
    return _plan(scale).u


def _planes(pixels: NDArray[np.uint8]) -> Array:
    """uint8 [H, W, 3] as float32 [3, H, W]: NumPy is several times faster along long rows."""
    return np.stack(cv2.split(pixels)).astype(np.float32)


def _store(planes: Array, pixels: NDArray[np.uint8]) -> None:
    """Write planes [3, H, W] back into pixels [H, W, 3]."""
    np.clip(planes, 0, 255, out=planes)
    pixels[:] = cv2.merge(tuple(planes.astype(np.uint8)))


def _rgb(*colour: float) -> Array:
    """A colour as [3, 1, 1], to go with planes."""
    return np.array(colour, np.float32).reshape(3, 1, 1)


def _blend(target: Array, colour: Array, mask: Array) -> None:
    """Mix a colour ([3], [3, 1, 1] or [3, H, W]) into planes in place, by a mask [H, W]."""
    target += mask * (colour.reshape(3, 1, 1) if colour.ndim == 1 else colour) - mask * target


def paint(look: Look, shape: FaceShape, rng: np.random.Generator, scale: int) -> NDArray[np.uint8]:
    """A head's texture with ``scale`` pixels per cell of its grid, without light or shadow.

    Returns:
        uint8 [(ROWS - 1) * scale + 1, (COLUMNS - 1) * scale + 1, 3], sRGB; the vertex in row r and
        column c is at pixel (c * scale, r * scale).
    """
    plan = _plan(scale)
    planes = np.clip(_base(plan, look, rng), 0, 255).astype(np.uint8)
    base = cv2.merge(tuple(planes))
    texture = np.asarray(
        cv2.resize(base, (plan.width, plan.height), interpolation=cv2.INTER_LINEAR), np.uint8
    )
    strand = strands(rng, plan.height, plan.width)
    if look.beard > 0:
        _beard(texture, plan, look, strand)
    _features(texture, plan, look, shape, strand, scale)
    if look.mask_top is not None:
        _face_mask(texture, plan, look)
    return _with_hair(texture, plan, look, strand, rng)


def _with_hair(
    texture: NDArray[np.uint8], plan: _Plan, look: Look, strand: Array, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Hair above the hairline; strands and the skin's unevenness make brightness vary."""
    cover = strand * np.float32(0.45)
    cover += np.float32(0.5) + look.hairline / np.float32(look.hair_soft)
    cover -= (plan.v / np.float32(look.hair_soft))[:, None]
    cover = unit(cover)
    brightness = strand * cover
    brightness *= np.float32(0.3 * look.hair_contrast)
    uneven = tile(rng, plan.height, plan.width, "skin")
    brightness += 1 + np.float32(rng.uniform(0.015, 0.05)) * uneven
    planes = _planes(texture)
    for plane, hair in zip(planes, look.hair, strict=True):
        plane += cover * (hair - plane)
        plane *= brightness
    _store(planes, texture)
    return texture


def _base(plan: _Plan, look: Look, rng: np.random.Generator) -> Array:
    """Skin without features, float32 [3, h, w] at BASE_SCALE."""
    dark = 1 - look.skin.mean() / 255
    weights = np.stack(
        [
            look.skin,
            look.flush * np.array((10, -16, -14)),
            -np.array((22, 26, 20)) * rng.uniform(0.2, 1.1),
            np.array((12, 11, 10)) * rng.uniform(0, 1),
            -look.skin * (0.24 + 0.1 * dark),
            (look.beard_hair * 0.6 + 15 - look.skin) * look.stubble,
        ]
    ).astype(np.float32)
    u, v = _axes(BASE_SCALE)
    planes = np.einsum("tc,tp->cp", weights, plan.tints).reshape(3, len(v), len(u))
    if look.freckles > 0:
        spots = np.clip(tile(rng, len(v), len(u), "fine") - 1.0, 0, 1)
        where = (plan.tints[1] + 0.2).reshape(spots.shape)
        planes -= 40 * look.freckles * spots * where
    return np.asarray(planes, np.float32)


def _beard(colour: NDArray[np.uint8], plan: _Plan, look: Look, strand: Array) -> None:
    window = plan.beard.of(colour)
    strand_here = plan.beard.of(strand)
    region = plan.beard.masks[1 if look.moustache_only else 0]
    cover = unit((region * (1.35 + 0.25 * strand_here) - 0.3) * 1.8)
    painted = _planes(window)
    shade = _rgb(*look.beard_hair) * np.float32(0.9) + 10 * strand_here
    _blend(painted, shade, look.beard * cover)
    _store(painted, window)


def _features(
    colour: NDArray[np.uint8],
    plan: _Plan,
    look: Look,
    shape: FaceShape,
    strand: Array,
    scale: int,
) -> None:
    """Folds, lips, nostrils, mouth, eyes and brows."""
    brows, lips, folds = plan.middle.masks
    middle = plan.middle.of(colour)
    texture = _planes(middle)
    texture *= 1 - 0.45 * look.lines * folds
    _blend(texture, look.lip, 0.85 * lips)
    origin = (plan.middle.x, plan.middle.y)
    y, x = plan.nostrils.y - origin[1], plan.nostrils.x - origin[0]
    mask = plan.nostrils.masks[0]
    height, width = mask.shape
    _blend(texture[:, y : y + height, x : x + width], look.skin * 0.18, 0.85 * mask)
    _mouth(texture, origin, plan.mouth, shape, scale)
    for eye in (0, 1):
        _eye(texture, origin, plan.eyes[eye], look, shape, eye, scale)
    density = look.brow_strength + np.float32(0.22) * plan.middle.of(strand)
    _blend(texture, look.brow, np.clip(brows * density, 0, 0.95))
    _store(texture, middle)


def _window(texture: Array, origin: tuple[int, int], opening: _Opening) -> Array:
    """The opening's part of planes that start at ``origin`` (x, y)."""
    height, width = opening.mask.shape
    x, y = opening.x - origin[0], opening.y - origin[1]
    return texture[:, y : y + height, x : x + width]


def _gap(shape: FaceShape, upper: int, lower: int) -> float:
    return float(np.linalg.norm(shape.positions[lower] - shape.positions[upper]))


def _mouth(
    texture: Array, origin: tuple[int, int], opening: _Opening, shape: FaceShape, scale: int
) -> None:
    """The dark inside, a row of teeth below the upper lip, a tongue."""
    window = _window(texture, origin, opening)
    gap = _gap(shape, 90, 94)
    upper, lower = opening.rim
    plane_gap = float(lower[:, 1].max() - upper[:, 1].min())
    stretch = plane_gap / max(gap, 1.0)  # texture pixels per mm of the mouth as it is
    inside = np.empty_like(window)
    inside[:] = _rgb(52, 18, 20)
    rows = np.arange(window.shape[1], dtype=np.float32)
    tongue = np.clip((rows - upper[:, 1].mean() - 0.55 * plane_gap) / (0.3 * plane_gap), 0, 1)
    inside += tongue[:, None].astype(np.float32) * _rgb(88, 34, 36)
    teeth = np.zeros(opening.mask.shape, np.uint8)
    tall = np.array((0, min(7.5 * stretch, 0.8 * plane_gap)))
    band = np.concatenate([upper, (upper + tall)[::-1]])
    cv2.fillPoly(teeth, [np.rint(band * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    show = np.clip(0.35 + 0.65 * shape.smile, 0.0, 1.0)
    _blend(inside, _rgb(226, 218, 204), np.float32(show / 255) * teeth)
    _blend(window, inside, opening.mask)
    _blend(window, _rgb(70, 28, 28), 0.7 * opening.upper_line)


def iris_centre(shape: FaceShape, eye: int) -> Array:
    """(u, v) of an iris' middle in the head's plane, float32 [2]."""
    upper, lower, outer, inner = ((62, 66, 60, 64), (70, 74, 68, 72))[eye]
    plane = controls().plane
    middle = (plane[outer] + plane[inner] + plane[upper] + plane[lower]) / 4
    half = (abs(plane[inner, 0] - plane[outer, 0]) / 2, (plane[lower, 1] - plane[upper, 1]) / 2)
    return np.asarray(middle + np.multiply(shape.gaze, half), np.float32)


RINGS_PER_MM = 5  # of an eyeball's colours, by distance from the pupil's centre


def _eyeball_rings(iris: Array) -> Array:
    """float32 [3, rings]: pupil, iris, its dark rim, the white; borders fade over 0.9 mm."""
    radius = np.arange(9 * RINGS_PER_MM + 1, dtype=np.float32) / RINGS_PER_MM
    rings = np.empty((3, len(radius)), np.float32)
    rings[:] = np.array([[228], [222], [216]])
    for reach, colour in ((6.3, iris * 0.45), (5.3, iris), (2.6, np.full(3, 12.0))):
        rings += unit((reach - radius) / 0.9) * (colour[:, None] - rings)
    return rings


def _eye(
    texture: Array,
    origin: tuple[int, int],
    opening: _Opening,
    look: Look,
    shape: FaceShape,
    eye: int,
    scale: int,
) -> None:
    """White, iris, pupil, highlight and lashes.

    A half-closed lid squeezes the plane, so the iris is painted as tall as the plane is squeezed
    and the lids cut it.
    """
    window = _window(texture, origin, opening)
    height, width = opening.mask.shape
    upper, lower = ((62, 66), (70, 74))[eye]
    plane_gap = float(opening.rim[1][:, 1].max() - opening.rim[0][:, 1].min())
    stretch_y = plane_gap / max(_gap(shape, upper, lower), 0.8)
    stretch_x = (opening.rim[0][-1, 0] - opening.rim[0][0, 0]) / 29.0
    centre = grid_position(iris_centre(shape, eye)) * scale - (opening.x, opening.y)
    across = (np.arange(width, dtype=np.float32) - centre[0]) / np.float32(stretch_x)
    down = ((np.arange(height, dtype=np.float32) - centre[1]) / np.float32(stretch_y))[:, None]
    radius = np.sqrt(across**2 + down**2)
    ring = np.minimum(radius * RINGS_PER_MM, 9 * RINGS_PER_MM).astype(np.int32)
    eyeball = _eyeball_rings(look.iris)[:, ring]
    glint = np.sqrt((across + np.float32(1.8)) ** 2 + (down + np.float32(2.0)) ** 2)
    _blend(eyeball, _rgb(250, 250, 250), unit(np.float32(1.5) - glint))
    # The upper lid shades the first 5 mm of the ball.
    eyeball *= 1 - np.float32(0.55) * unit(1 - opening.below_upper / np.float32(5 * stretch_y))
    _blend(window, eyeball, opening.mask)
    dark = look.brow * 0.35
    thick = (0.18 + 0.25 * look.makeup) * scale
    _blend(window, dark, look.lashes * _curve(height, width, opening.rim[0], thick, 0.1 * scale))
    _blend(window, dark, 0.45 * look.lashes * opening.lower_line)
    _blend(window, _rgb(0.75, 0.5, 0.48) * _rgb(*look.skin), 0.5 * opening.corners)


def _face_mask(colour: NDArray[np.uint8], plan: _Plan, look: Look) -> None:
    """A cloth from the nose to below the chin, pleated across, with straps to the ears."""
    u, v = plan.u[None], plan.v[:, None]
    down = v - (np.float32(look.mask_top or 0) + np.minimum(np.abs(u) / 95, 1) ** 2 * 12)
    inside = unit(down / 1.5) * unit((132 - v) / 2)
    inside = inside * unit((70 - np.abs(u)) / 2)
    pleats = (1 - 0.12 * (np.abs(down % 22 - 2) < 1.6)).astype(np.float32)
    strap = (np.abs(down - 4) < 1.3) & (np.abs(u) < 100)
    cover = np.maximum(inside, strap).astype(np.float32)
    painted = _planes(colour)
    _blend(painted, _rgb(*look.mask) * pleats, cover)
    _store(painted, colour)
