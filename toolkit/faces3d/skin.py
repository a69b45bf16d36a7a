"""Painting the texture of a head: skin, lips, eyes, brows, beard and hair, in its (u, v) plane.

The texture has ``scale`` pixels per cell of the head's grid. What never changes (masks of face
parts) is made once per scale; a face mixes it with its own colours.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.faces3d.head import COLUMNS, GRID_U, GRID_V, ROWS, Array, controls, grid_position
from asmnet_kit.faces3d.look import Look
from asmnet_kit.faces3d.noise import strands, tile
from asmnet_kit.faces3d.shape import FaceShape

# Upper and lower borders of eye openings and mouth, as controls (98 landmarks + extra lid points).
LEFT_LIDS = ((60, 61, 98, 62, 99, 63, 64), (64, 65, 100, 66, 101, 67, 60))
RIGHT_LIDS = ((68, 69, 102, 70, 103, 71, 72), (72, 73, 104, 74, 105, 75, 68))
OUTER_LIP, INNER_LIP = tuple(range(76, 88)), tuple(range(88, 96))


@dataclass(frozen=True)
class _Plan:
    """What a texture of one scale always contains; masks are float32 [H, W] in 0..1."""

    width: int
    height: int
    u: Array
    v: Array
    points: Array  # [K, 2] texture pixels of the controls
    tints: Array  # [maps, H * W]
    brows: Array
    lips: Array
    beard: Array
    moustache: Array
    folds: Array
    eyes: tuple["_Opening", "_Opening"]
    mouth: "_Opening"


@dataclass(frozen=True)
class _Opening:
    """An eye's or the mouth's opening: a window of the texture and its mask."""

    x: int
    y: int
    mask: Array
    rim: tuple[NDArray[np.float32], NDArray[np.float32]]  # upper, lower border in the window


def _bump(u: Array, v: Array, cu: float, cv: float, ru: float, rv: float) -> Array:
    return np.exp(-(((np.abs(u) - cu) / ru) ** 2) - ((v - cv) / rv) ** 2).astype(np.float32)


def _polygon(height: int, width: int, points: Array, blur: float) -> Array:
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.rint(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return _blurred(mask.astype(np.float32) / 255, blur)


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
    return _blurred(mask.astype(np.float32) / 255, blur)


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
    shifted = tuple((rim - low).astype(np.float32) for rim in rims)
    return _Opening(int(low[0]), int(low[1]), mask, (shifted[0], shifted[1]))


@lru_cache(maxsize=4)
def _plan(scale: int) -> _Plan:
    height, width = (ROWS - 1) * scale + 1, (COLUMNS - 1) * scale + 1
    u_line = np.interp(np.arange(width) / scale, np.arange(COLUMNS), GRID_U)
    v_line = np.interp(np.arange(height) / scale, np.arange(ROWS), GRID_V)
    u, v = (a.astype(np.float32) for a in np.meshgrid(u_line, v_line))
    points = grid_position(controls().plane) * scale
    mm = scale / 4.75  # texture pixels per millimetre of the face's middle

    # Order of _TINTS: see _base_colour.
    tints = np.stack(
        [
            np.ones_like(u),
            _bump(u, v, 42, 38, 20, 20) + 0.8 * _bump(u, v, 0, 36, 12, 12),
            _bump(u, v, 32, 4, 17, 11),
            _bump(u, v, 0, -45, 40, 25) + 0.7 * _bump(u, v, 0, 20, 8, 20),
            0.8 * _bump(u, v, 0, 51, 17, 5)
            + 0.7 * _bump(u, v, 0, 99, 18, 5)
            + 0.6 * _bump(u, v, 20, 42, 5, 9)
            + 0.45 * _bump(u, v, 15, -3, 7, 10)
            + 0.5 * _bump(u, v, 33, 72, 6, 6)
            + 1.0 / (1 + np.exp(-(v - 142) / 7)),
        ]
    ).reshape(5, -1)

    brows = np.zeros_like(u)
    for upper, lower in (
        ((33, 34, 35, 36, 37), (38, 39, 40, 41)),
        ((46, 45, 44, 43, 42), (50, 49, 48, 47)),
    ):
        outline = np.concatenate([points[list(upper)], points[list(lower)]])
        brows += _polygon(height, width, outline, 1.1 * mm)
    outer = _polygon(height, width, points[list(OUTER_LIP)], 0.9 * mm)
    lips = outer

    beard = (
        1
        / (1 + np.exp(-(v - (62 - 34 * np.clip((np.abs(u) - 40) / 50, 0, 1.5))) / 4))
        / (1 + np.exp((v - 150) / 6))
        / (1 + np.exp((np.abs(u) - 104) / 5))
    )
    moustache = _bump(u, v, 9, 57, 15, 5.5)
    beard = np.maximum(beard * (1 - 0.9 * _bump(u, v, 0, 92, 9, 6)), moustache)
    not_lips = 1 - outer
    folds = np.zeros_like(u)
    for side in (-1, 1):
        crease = np.array([(-46, -7), (-39, -12.5), (-31, -14), (-23, -12), (-17, -6)], np.float32)
        nasolabial = np.array([(-17, 38), (-23, 46), (-29, 57), (-34, 68), (-35, 78)], np.float32)
        bag = np.array([(-19, 8), (-26, 13), (-34, 14), (-42, 11)], np.float32)
        for line, weight in ((crease, 1.0), (nasolabial, 0.55), (bag, 0.4)):
            at = grid_position(line * (side, 1)) * scale
            folds += weight * _curve(height, width, at, 1.1 * mm, 0.8 * mm)
    eyes = (
        _opening(points, *LEFT_LIDS, scale),
        _opening(points, *RIGHT_LIDS, scale),
    )
    mouth = _opening(points, (88, 89, 90, 91, 92), (92, 93, 94, 95, 88), scale)
    return _Plan(
        width,
        height,
        u,
        v,
        points,
        tints.astype(np.float32),
        np.minimum(brows, 1),
        lips,
        (beard * not_lips).astype(np.float32),
        (moustache * not_lips).astype(np.float32),
        np.minimum(folds, 1).astype(np.float32),
        eyes,
        mouth,
    )


def texture_columns(scale: int) -> Array:
    """u of each texture column, float32 [W]."""
    return _plan(scale).u[0]


def _blend(target: Array, colour: Array, mask: Array) -> None:
    """Mix a colour ([3] or [H, W, 3]) into ``target`` in place, by a mask [H, W]."""
    target += mask[..., None] * (colour - target)


def paint(look: Look, shape: FaceShape, rng: np.random.Generator, scale: int) -> Array:
    """The head's texture, float32 [H, W, 3], sRGB 0..255 without light or shadow."""
    plan = _plan(scale)
    texture = _base_colour(plan, look, rng, scale)
    _blend(texture, texture * 0.55, look.lines * plan.folds)
    _lips(texture, plan, look)
    _nostrils(texture, plan, look, scale)
    _mouth(texture, plan, shape, scale)
    for eye in (0, 1):
        _eye(texture, plan, look, shape, eye, scale)
    _hairs(texture, plan, look, rng)
    return texture


def _base_colour(plan: _Plan, look: Look, rng: np.random.Generator, scale: int) -> Array:
    dark = 1 - look.skin.mean() / 255
    weights = np.stack(
        [
            look.skin,
            look.flush * np.array((10, -16, -14), np.float32),
            -np.array((22, 26, 20), np.float32) * rng.uniform(0.2, 1.1),
            np.array((12, 11, 10), np.float32) * rng.uniform(0, 1),
            -look.skin * (0.24 + 0.1 * dark),
        ]
    ).astype(np.float32)
    texture = (plan.tints.T @ weights).reshape(plan.height, plan.width, 3)
    blotches = tile(rng, plan.height, plan.width, "coarse") * rng.uniform(3, 9)
    pores = tile(rng, plan.height, plan.width, "fine") * rng.uniform(2, 6)
    grain = blotches + pores
    if look.freckles > 0:
        spots = np.clip(tile(rng, plan.height, plan.width, "fine") - 1.2, 0, 1)
        grain = grain - 45 * look.freckles * spots * (plan.tints[1] + 0.2).reshape(spots.shape)
    texture += grain[..., None]
    return np.asarray(texture, np.float32)


def _lips(texture: Array, plan: _Plan, look: Look) -> None:
    _blend(texture, look.lip, 0.85 * plan.lips)


def _nostrils(texture: Array, plan: _Plan, look: Look, scale: int) -> None:
    mm = scale / 4.75
    for side in (-1, 1):
        at = grid_position(np.array([side * 7.6, 45.6], np.float32)) * scale
        reach = int(np.ceil(7 * mm))
        x, y = int(at[0]) - reach, int(at[1]) - reach
        window = texture[y : y + 2 * reach, x : x + 2 * reach]
        spot = np.zeros(window.shape[:2], np.uint8)
        centre = tuple(np.rint((at - (x, y)) * 16).astype(int).tolist())
        axes = (round(4.0 * mm * 16), round(2.0 * mm * 16))
        cv2.ellipse(spot, centre, axes, side * 18, 0, 360, 255, -1, cv2.LINE_AA, 4)
        _blend(window, look.skin * 0.18, 0.85 * _blurred(spot.astype(np.float32) / 255, 0.7 * mm))


def _window(texture: Array, opening: _Opening) -> Array:
    height, width = opening.mask.shape
    return texture[opening.y : opening.y + height, opening.x : opening.x + width]


def _gap(shape: FaceShape, upper: int, lower: int) -> float:
    return float(np.linalg.norm(shape.positions[lower] - shape.positions[upper]))


def _mouth(texture: Array, plan: _Plan, shape: FaceShape, scale: int) -> None:
    """The dark inside, a row of teeth below the upper lip, a tongue."""
    opening = plan.mouth
    window = _window(texture, opening)
    gap = _gap(shape, 90, 94)
    upper, lower = opening.rim
    plane_gap = float(lower[:, 1].max() - upper[:, 1].min())
    stretch = plane_gap / max(gap, 1.0)  # texture pixels per mm of the mouth as it is
    inside = np.empty_like(window)
    inside[:] = (52, 18, 20)
    rows = np.arange(window.shape[0], dtype=np.float32)
    tongue = np.clip((rows - upper[:, 1].mean() - 0.55 * plane_gap) / (0.3 * plane_gap), 0, 1)
    inside += tongue[:, None, None] * np.array((88, 34, 36), np.float32)
    teeth = np.zeros(window.shape[:2], np.uint8)
    tall = np.array((0, min(7.5 * stretch, 0.8 * plane_gap)))
    band = np.concatenate([upper, (upper + tall)[::-1]])
    cv2.fillPoly(teeth, [np.rint(band * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    show = np.clip(0.35 + 0.65 * shape.smile, 0.0, 1.0)
    _blend(
        inside, np.array((226, 218, 204), np.float32), np.float32(show) * teeth / np.float32(255)
    )
    _blend(window, inside, opening.mask)
    line = _curve(*window.shape[:2], upper, 0.35 * scale, 0.15 * scale)
    _blend(window, np.array((70, 28, 28), np.float32), 0.7 * line)


def iris_centre(shape: FaceShape, eye: int) -> Array:
    """(u, v) of an iris' middle in the head's plane, float32 [2]."""
    upper, lower, outer, inner = ((62, 66, 60, 64), (70, 74, 68, 72))[eye]
    plane = controls().plane
    middle = (plane[outer] + plane[inner] + plane[upper] + plane[lower]) / 4
    half = (abs(plane[inner, 0] - plane[outer, 0]) / 2, (plane[lower, 1] - plane[upper, 1]) / 2)
    return np.asarray(middle + np.multiply(shape.gaze, half), np.float32)


def _eye(texture: Array, plan: _Plan, look: Look, shape: FaceShape, eye: int, scale: int) -> None:
    """White, iris, pupil, highlight and lashes.

    A half-closed lid squeezes the plane, so the iris is painted as tall as the plane is squeezed
    and the lids cut it.
    """
    opening = plan.eyes[eye]
    window = _window(texture, opening)
    height, width = window.shape[:2]
    upper, lower = ((62, 66), (70, 74))[eye]
    plane_gap = float(opening.rim[1][:, 1].max() - opening.rim[0][:, 1].min())
    stretch_y = plane_gap / max(_gap(shape, upper, lower), 0.8)
    stretch_x = (opening.rim[0][-1, 0] - opening.rim[0][0, 0]) / 29.0
    eyeball = np.empty_like(window)
    eyeball[:] = (228, 222, 216)
    centre = grid_position(iris_centre(shape, eye)) * scale - (opening.x, opening.y)
    y, x = np.ogrid[:height, :width]
    radius = np.sqrt(((x - centre[0]) / stretch_x) ** 2 + ((y - centre[1]) / stretch_y) ** 2)
    radius = radius.astype(np.float32)
    edge = 0.9  # mm over which a border fades
    _blend(eyeball, look.iris * 0.45, np.clip((6.3 - radius) / edge, 0, 1))
    _blend(eyeball, look.iris, np.clip((5.3 - radius) / edge, 0, 1))
    _blend(eyeball, np.full(3, 12, np.float32), np.clip((2.6 - radius) / edge, 0, 1))
    glint = np.hypot((x - centre[0]) / stretch_x + 1.8, (y - centre[1]) / stretch_y + 2.0)
    _blend(eyeball, np.full(3, 250, np.float32), np.clip(1.5 - glint.astype(np.float32), 0, 1))
    # The upper lid shades the ball.
    lid = np.interp(np.arange(width), opening.rim[0][:, 0], opening.rim[0][:, 1])
    below = (np.arange(height)[:, None] - lid[None]) / stretch_y
    shade = np.clip(1 - below / 5, 0, 1).astype(np.float32)
    _blend(eyeball, eyeball * 0.45, shade)
    _blend(window, eyeball, opening.mask)
    dark = look.brow * 0.35
    thick = (0.18 + 0.25 * look.makeup) * scale
    _blend(window, dark, look.lashes * _curve(height, width, opening.rim[0], thick, 0.1 * scale))
    _blend(window, dark, 0.45 * look.lashes * _curve(height, width, opening.rim[1], 1, 0.1 * scale))
    for corner in (opening.rim[0][0], opening.rim[0][-1]):
        spot = (x - corner[0]) ** 2 + (y - corner[1]) ** 2
        soft = np.exp(-spot / (0.35 * scale) ** 2).astype(np.float32)
        _blend(window, look.skin * np.array((0.75, 0.5, 0.48), np.float32), 0.5 * soft)


def _hairs(texture: Array, plan: _Plan, look: Look, rng: np.random.Generator) -> None:
    """Brows, beard and hair, each a mask broken up by strands."""
    strand = strands(rng, plan.height, plan.width)
    _blend(texture, look.brow, np.clip(plan.brows * (look.brow_strength + 0.22 * strand), 0, 0.95))
    region = plan.moustache if look.moustache_only else plan.beard
    if look.stubble > 0:
        _blend(texture, look.hair * 0.6 + 15, look.stubble * region)
    if look.beard > 0:
        cover = np.clip((region * (1.35 + 0.25 * strand) - 0.3) * 1.8, 0, 1)
        _blend(texture, look.hair * 0.9 + 10 * strand[..., None], look.beard * cover)
    above = (look.hairline[None] - plan.v) / look.hair_soft
    cover = np.clip(above + 0.5 + 0.45 * strand, 0, 1)
    shade = 1 + look.hair_contrast * 0.35 * strand
    _blend(texture, look.hair * shade[..., None] + 4 * strand[..., None], cover)
    if look.mask_top is not None:
        _face_mask(texture, plan, look)


def _face_mask(texture: Array, plan: _Plan, look: Look) -> None:
    """A cloth from the nose to below the chin, pleated across, with straps to the ears."""
    top = np.float32(look.mask_top) + np.minimum(np.abs(plan.u) / 95, 1) ** 2 * 12
    inside = np.clip((plan.v - top) / 1.5, 0, 1) * np.clip((132 - plan.v) / 2, 0, 1)
    inside = inside * np.clip((70 - np.abs(plan.u)) / 2, 0, 1)
    pleats = 1 - 0.12 * (np.abs((plan.v - top) % 22 - 2) < 1.6)
    strap = (np.abs(plan.v - top - 4) < 1.3) & (np.abs(plan.u) < 100)
    cover = np.maximum(inside, strap * (plan.v > 0)).astype(np.float32)
    _blend(texture, look.mask * pleats[..., None].astype(np.float32), cover)
