"""Light on a scene: sky and ground, a key light with soft shadows, a fill light, highlights."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.drawn_faces.head import Array, unit

SHADOW_CELLS = 44
SHADOW_EXTENT_MM = 145.0  # half the width of the shadow map around the face's middle
SHADOW_BIAS_MM = 7.0  # what lies less deep than this behind a lit point is lit too
SHADOW_SOFT_MM = 9.0
NEIGHBOURS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class ShadowMap:
    """The depth of the first surface that the key light meets, on a grid across its direction."""

    across: Array  # [2, 3]
    depth: Array  # [SHADOW_CELLS, SHADOW_CELLS]

    def lit(self, points: Array, towards: Array) -> Array:
        """0..1 for points [3, H, W]: the share of the key light that arrives."""
        across, down = (_cells(_dot(axis, points)) for axis in self.across)
        first = cv2.remap(
            self.depth, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        behind = -_dot(towards, points) - first
        return 1 - unit((behind - SHADOW_BIAS_MM) / SHADOW_SOFT_MM)


def _dot(direction: Array, vectors: Array) -> Array:
    """Scalar products of [3] with [3, ...]."""
    product = direction[0] * vectors[0] + direction[1] * vectors[1] + direction[2] * vectors[2]
    return np.asarray(product, np.float32)


def _cells(across: Array) -> Array:
    return np.asarray((across / SHADOW_EXTENT_MM + 1) / 2 * (SHADOW_CELLS - 1), np.float32)


@dataclass(frozen=True, eq=False)
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
        """What the key light sees of a surface [3, H, W]."""
        helper = np.array((0, 1, 0) if abs(self.key[1]) < 0.9 else (1, 0, 0), np.float32)
        first = np.cross(self.key, helper)
        first /= np.linalg.norm(first)
        across = np.stack([first, np.cross(self.key, first)]).astype(np.float32)
        points = surface.reshape(3, -1)
        column, row = (np.rint(_cells(_dot(axis, points))).astype(np.int32) for axis in across)
        depth = -_dot(self.key, points)
        seen = (column >= 0) & (column < SHADOW_CELLS) & (row >= 0) & (row < SHADOW_CELLS)
        column, row, depth = column[seen], row[seen], depth[seen]
        order = np.argsort(-depth)  # the nearest point of a cell is written last
        far = float(depth.max(initial=0.0))
        nearest = np.full((SHADOW_CELLS, SHADOW_CELLS), far, np.float32)
        nearest[row[order], column[order]] = depth[order]
        closed = cv2.erode(cv2.dilate(nearest, NEIGHBOURS), NEIGHBOURS)
        holes = nearest >= far
        nearest[holes] = cv2.erode(nearest, NEIGHBOURS)[holes]
        soft = cv2.blur(np.minimum(nearest, closed), (2, 2))
        return ShadowMap(across, np.asarray(soft, np.float32))

    def shade(
        self, points: Array, two_sided: NDArray[np.bool_], shadows: ShadowMap
    ) -> tuple[Array, Array]:
        """(light [3, H, W] that multiplies colours, highlight [H, W]) of a grid of points.

        Args:
            points: float32 [3, H, W].
            two_sided: bool [H, 1]; the rows whose normals are turned towards the camera.
        """
        normals = _normals(points)
        normals *= np.where(two_sided & (normals[2] > 0), np.float32(-1), np.float32(1))
        upwards = np.float32(0.5) - np.float32(0.5) * normals[1]
        lit = unit(_dot(self.key, normals))
        lit *= 1 - np.float32(self.hard) * (1 - shadows.lit(points, self.key))
        filled = np.float32(self.fill_strength) * unit(_dot(self.fill, normals))
        light = np.empty_like(points)
        for channel, plane in enumerate(light):
            np.multiply(upwards, self.sky[channel] - self.ground[channel], out=plane)
            plane += lit * self.colour[channel]
            plane += filled
            plane += self.ground[channel]
        halfway = self.key - np.array((0, 0, 1), np.float32)
        halfway = halfway / max(float(np.linalg.norm(halfway)), 1e-6)
        highlight = np.float32(0.35) * lit * unit(_dot(halfway, normals)) ** 24
        return light, highlight


def _normals(points: Array) -> Array:
    """Unit normals [3, H, W] of a grid, towards a camera that sees it from outside."""
    down, right = np.empty_like(points), np.empty_like(points)
    np.subtract(points[:, 2:], points[:, :-2], out=down[:, 1:-1])
    np.subtract(points[:, 1], points[:, 0], out=down[:, 0])
    np.subtract(points[:, -1], points[:, -2], out=down[:, -1])
    np.subtract(points[:, :, 2:], points[:, :, :-2], out=right[:, :, 1:-1])
    np.subtract(points[:, :, 1], points[:, :, 0], out=right[:, :, 0])
    np.subtract(points[:, :, -1], points[:, :, -2], out=right[:, :, -1])
    normals = np.empty_like(points)
    for axis, (first, second) in enumerate(((1, 2), (2, 0), (0, 1))):
        np.multiply(down[first], right[second], out=normals[axis])
        normals[axis] -= down[second] * right[first]
    normals /= np.sqrt(_dot(normals, normals)) + np.float32(1e-6)
    return normals


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
