"""Light on a scene: sky and ground, a key light with soft shadows, a fill light, highlights."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.faces3d.head import Array, unit

SHADOW_CELLS = 44
SHADOW_EXTENT_MM = 145.0  # half the width of the shadow map around the face's middle
SHADOW_BIAS_MM = 7.0  # what lies less deep than this behind a lit point is lit too
SHADOW_SOFT_MM = 9.0
NEIGHBOURS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class ShadowMap:
    """The depth of the first surface that the key light meets, on a grid across its direction."""

    across: Array  # [3, 2]
    depth: Array  # [SHADOW_CELLS, SHADOW_CELLS]

    def lit(self, points: Array, towards: Array) -> Array:
        """0..1 for points [H, W, 3]: the share of the key light that arrives."""
        place = _cells(points @ self.across)
        first = cv2.remap(
            self.depth,
            place[..., 0],
            place[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        behind = -(points @ towards) - first
        return np.asarray(1 - unit((behind - SHADOW_BIAS_MM) / SHADOW_SOFT_MM), np.float32)


def _cells(across: Array) -> Array:
    return np.asarray((across / SHADOW_EXTENT_MM + 1) / 2 * (SHADOW_CELLS - 1), np.float32)


@dataclass(frozen=True)
class Light:
    """Lights of one scene; directions are unit vectors towards the light, camera frame.

    Attributes:
        sky, ground: float32 [3], ambient light from above and below, 1 = full.
        key, colour: direction and colour of the main light.
        fill, fill_strength: the second light.
        hard: 0..1, how dark its shadows are.
    """

    sky: Array
    ground: Array
    key: Array
    colour: Array
    fill: Array
    fill_strength: float
    hard: float

    def shadow_map(self, surface: Array) -> ShadowMap:
        """What the key light sees of a surface [H, W, 3]."""
        helper = np.array((0, 1, 0) if abs(self.key[1]) < 0.9 else (1, 0, 0), np.float32)
        first = np.cross(self.key, helper)
        first /= np.linalg.norm(first)
        across = np.stack([first, np.cross(self.key, first)], axis=1).astype(np.float32)
        points = surface.reshape(-1, 3)
        cells = np.rint(_cells(points @ across)).astype(np.int32)
        depth = -(points @ self.key)
        seen = ((cells >= 0) & (cells < SHADOW_CELLS)).all(axis=1)
        cells, depth = cells[seen], depth[seen]
        order = np.argsort(-depth)  # the nearest point of a cell is written last
        far = float(depth.max(initial=0.0))
        nearest = np.full((SHADOW_CELLS, SHADOW_CELLS), far, np.float32)
        nearest[cells[order, 1], cells[order, 0]] = depth[order]
        closed = cv2.erode(cv2.dilate(nearest, NEIGHBOURS), NEIGHBOURS)
        holes = nearest >= far
        nearest[holes] = cv2.erode(nearest, NEIGHBOURS)[holes]
        soft = cv2.blur(np.minimum(nearest, closed), (2, 2))
        return ShadowMap(across, np.asarray(soft, np.float32))

    def shade(self, points: Array, two_sided: bool, shadows: ShadowMap) -> tuple[Array, Array]:
        """(light [H, W, 3] that multiplies colours, highlight [H, W]) of a grid of points."""
        normals = _normals(points)
        if two_sided:
            normals = np.where(normals[..., 2:] > 0, -normals, normals)
        upwards = (0.5 - 0.5 * normals[..., 1:2]).astype(np.float32)
        light: NDArray[Any] = self.ground + upwards * (self.sky - self.ground)
        facing = normals @ self.key
        lit = unit(facing) * (1 - self.hard * (1 - shadows.lit(points, self.key)))
        light = light + lit[..., None] * self.colour
        light = light + (self.fill_strength * unit(normals @ self.fill))[..., None]
        halfway = self.key - np.array((0, 0, 1), np.float32)
        halfway = halfway / max(float(np.linalg.norm(halfway)), 1e-6)
        highlight = unit(normals @ halfway) ** 24 * lit
        return np.asarray(light, np.float32), np.asarray(0.35 * highlight, np.float32)


def _normals(points: Array) -> Array:
    """Unit normals [H, W, 3] of a grid, towards a camera that sees it from outside."""
    down, right = np.empty_like(points), np.empty_like(points)
    down[1:-1], down[0], down[-1] = (
        points[2:] - points[:-2],
        points[1] - points[0],
        points[-1] - points[-2],
    )
    right[:, 1:-1] = points[:, 2:] - points[:, :-2]
    right[:, 0], right[:, -1] = points[:, 1] - points[:, 0], points[:, -1] - points[:, -2]
    x = down[..., 1] * right[..., 2] - down[..., 2] * right[..., 1]
    y = down[..., 2] * right[..., 0] - down[..., 0] * right[..., 2]
    z = down[..., 0] * right[..., 1] - down[..., 1] * right[..., 0]
    normals = np.stack([x, y, z], axis=2)
    length = np.sqrt((normals * normals).sum(axis=2, keepdims=True))
    return np.asarray(normals / np.maximum(length, 1e-6), np.float32)


def random_light(rng: np.random.Generator) -> Light:
    """Sun, window, lamp or flash: mostly from above, sometimes from the side or below."""
    side, height = rng.normal(0, 0.75), -rng.normal(0.45, 0.5)
    key = np.array((side, height, -rng.uniform(0.25, 1.1)), np.float32)
    key /= np.linalg.norm(key)
    warmth = rng.normal(0, 0.07)
    tint = np.array((1 + warmth, 1, 1 - warmth), np.float32)
    ambient = rng.uniform(0.25, 0.8)
    total = rng.uniform(0.85, 1.2)  # a surface facing the key light
    cool = np.array((1 - warmth / 2, 1, 1 + warmth / 2), np.float32)
    fill = np.array((-np.sign(side) * 0.8, rng.uniform(-0.4, 0.4), -0.5), np.float32)
    return Light(
        sky=(ambient * total * cool).astype(np.float32),
        ground=(ambient * total * rng.uniform(0.4, 0.9) * tint).astype(np.float32),
        key=key,
        colour=((1 - ambient) * 1.25 * total * tint).astype(np.float32),
        fill=fill / np.float32(np.linalg.norm(fill)),
        fill_strength=float(rng.uniform(0, 0.2)),
        hard=float(rng.uniform(0.3, 0.95)),
    )
