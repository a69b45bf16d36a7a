"""Light: a panorama's ambient part as spherical harmonics, one lamp with a soft shadow."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.people.assets import load
from asmnet_kit.people.raster import rasterise

Array = NDArray[np.float32]

SMALL = (64, 32)  # width and height of the panorama that the harmonics are taken of
MIRROR = (128, 64)  # of the one that shines in eyes and glasses
SUN = 6.0  # times the mean brightness: what is brighter is the lamp's business
SHADOW_SIZES = (96, 256)  # pixels: half the drawing, within these
SHADOW_WIDTH_MM = 380.0
SHADOW_MIDDLE = np.array([0.0, 25.0, 50.0], np.float32)


@dataclass(frozen=True, eq=False)
class Light:
    """Attributes:
    panorama: float32 [H, W, 3], linear, turned as it lies around the person.
    mirror: float32 [h, w, 3], the same, small and as bright as the harmonics.
    harmonics: float32 [9, 3], what a white surface reflects of it, by its normal.
    direction: float32 [3], unit, from the face to the lamp.
    colour: float32 [3], of the lamp.
    softness: radius of the blur of shadows, in 112ths of what the shadow map shows.
    """

    panorama: Array
    mirror: Array
    harmonics: Array
    direction: Array
    colour: Array
    softness: float

    def even(self) -> "Light":
        """As bright from everywhere, and no lamp."""
        grey = self.harmonics[:1].mean() + self.colour.mean() / 4 / FLAT
        harmonics = np.zeros_like(self.harmonics)
        harmonics[0] = grey
        return replace(self, harmonics=harmonics, colour=np.zeros_like(self.colour))

    def mirrored(self, directions: Array) -> Array:
        """What a mirror shows that reflects the view into directions [N, 3]: [N, 3]."""
        x, y, z = directions.T
        height, width = self.mirror.shape[:2]
        down = np.arccos(np.clip(-y, -1, 1)) * np.float32(height / np.pi)
        round_ = (np.arctan2(x, -z) + np.float32(np.pi)) * np.float32(width / (2 * np.pi))
        row = np.minimum(down.astype(np.intp), height - 1)
        found: Array = self.mirror[row, round_.astype(np.intp) % width]
        return found

    def ambient(self, normals: Array) -> Array:
        """Light [N, 3] that falls on surfaces with normals [N, 3] from all around."""
        found: Array = np.maximum(basis(normals) @ self.harmonics, np.float32(0.0))
        return found


FLAT = 0.282095  # the harmonic of order 0


def basis(directions: Array) -> Array:
    """Real spherical harmonics up to the second order, [N, 9]."""
    x, y, z = directions.T
    found = np.empty((len(directions), 9), np.float32)
    found[:, 0] = FLAT
    found[:, 1:4] = 0.488603 * directions
    found[:, 4] = 1.092548 * x * y
    found[:, 5] = 1.092548 * y * z
    found[:, 6] = 1.092548 * x * z
    found[:, 7] = 0.315392 * (3 * z * z - 1)
    found[:, 8] = 0.546274 * (x * x - y * y)
    return found


# A white surface gathers light over its half of the sky: per order (Ramamoorthi and Hanrahan 2001),
# divided by pi so that light 1 from everywhere gives 1.
GATHERED = np.array([1, 2 / 3, 2 / 3, 2 / 3, 1 / 4, 1 / 4, 1 / 4, 1 / 4, 1 / 4], np.float32)


@lru_cache(maxsize=1)
def _sky() -> tuple[Array, Array]:
    """Directions [2048, 3] of the small panorama's pixels and their solid angles [2048]."""
    width, height = SMALL
    down = (np.arange(height) + 0.5) / height * np.pi
    round_ = (np.arange(width) + 0.5) / width * 2 * np.pi - np.pi
    sin = np.sin(down)[:, None]
    # The middle of the panorama lies behind the camera: that is where the face looks.
    x, y, z = sin * np.sin(round_), -np.cos(down)[:, None] + 0 * round_, -sin * np.cos(round_)
    directions = np.stack([x, y, z], axis=-1).reshape(-1, 3).astype(np.float32)
    angles = np.broadcast_to(sin * (np.pi / height) * (2 * np.pi / width), (height, width))
    return directions, angles.reshape(-1).astype(np.float32)


def random_light(rng: np.random.Generator) -> Light:
    """A place to be photographed in."""
    panoramas = list(load().panoramas.values())
    panorama = panoramas[rng.integers(len(panoramas))]
    panorama = np.roll(panorama, rng.integers(panorama.shape[1]), axis=1)
    if rng.random() < 0.5:
        panorama = panorama[:, ::-1]
    panorama = np.ascontiguousarray(panorama)
    seen = cv2.resize(panorama, MIRROR, interpolation=cv2.INTER_AREA)
    small = np.asarray(cv2.resize(seen, SMALL, interpolation=cv2.INTER_AREA), np.float32)
    small = small.reshape(-1, 3)
    directions, angles = _sky()
    mean = float(np.average(small.mean(axis=1), weights=angles))
    small /= np.float32(mean)
    brightness = small.mean(axis=1)
    dim = small * np.minimum(1, SUN / np.maximum(brightness, 1e-3))[:, None]
    grey = rng.uniform(0.2, 0.7)  # walls and the camera's white balance take most of the colour
    dim = dim * (1 - grey) + dim.mean(axis=1, keepdims=True) * grey
    harmonics = (basis(directions) * angles[:, None]).T @ dim * GATHERED[:, None]
    flat = rng.uniform(0, 0.5)
    harmonics[1:] *= 1 - flat
    share = rng.uniform(0.15, 0.95)  # of the light that comes from all around
    direction, colour = _lamp(rng, small, directions, brightness)
    strength = np.exp(rng.uniform(np.log(0.25), np.log(1.9))) * (1.25 - share)
    return Light(
        panorama,
        np.asarray(np.minimum(seen * (share / mean), 2 * SUN), np.float32),
        (harmonics * share).astype(np.float32),
        direction,
        (colour * strength).astype(np.float32),
        float(rng.choice([0.7, 1.5, 3.0, 5.0])),
    )


def _lamp(
    rng: np.random.Generator, small: Array, directions: Array, brightness: Array
) -> tuple[Array, Array]:
    """Direction and colour: the panorama's brightest part, or a lamp of the photographer's."""
    noisy = brightness + 0.6 * rng.random(len(brightness))
    noisy[directions[:, 1] > 0.4] = 0
    brightest = int(noisy.argmax())
    direction = directions[brightest].astype(np.float64)
    if rng.random() < 0.6:
        direction = rng.normal(size=3) * (1, 0.6, 0.6) + (0, -0.6, -1.1)
    if rng.random() < 0.88:  # few are photographed against the light
        direction[2] = -(abs(direction[2]) * 0.7 + 0.15)
    direction /= np.linalg.norm(direction)
    colour = (small[brightest] / max(float(brightness[brightest]), 1e-3)) ** 0.35
    return direction.astype(np.float32), np.asarray(colour, np.float32)


class Shadow:
    """Depth of everything as the lamp sees it."""

    def __init__(
        self,
        light: Light,
        meshes: Sequence[tuple[Array, NDArray[np.integer], bool]],
        middle: Array,
        size: int,
    ) -> None:
        """Args:
        meshes: vertices [V, 3] in camera coordinates, triangles, and whether both sides count.
        middle: float32 [3], what the lamp aims at.
        size: of the drawing, pixels.
        """
        towards = light.direction
        up = np.array([0, 1, 0] if abs(towards[1]) < 0.9 else [1, 0, 0], np.float32)
        aside = np.cross(up, towards)
        aside /= np.linalg.norm(aside)
        self._view = np.stack([aside, np.cross(-towards, aside), -towards]).astype(np.float32)
        self._middle = middle
        self._size = int(np.clip(size // 2, *SHADOW_SIZES))
        self._scale = np.float32(self._size / SHADOW_WIDTH_MM)
        depth = np.full(self._size**2, np.float32(1e4))
        for vertices, triangles, two_sided in meshes:
            x, y, z = self._seen(vertices)
            found = rasterise(x, y, z, triangles, self._size, two_sided=two_sided)
            np.minimum.at(depth, found.pixels, found.depth)
        self._depth = depth.reshape(self._size, self._size)
        softness = light.softness * self._size / 112
        self._taps = [(0, 0)] + [
            (
                round(softness * reach * float(np.cos(angle))),
                round(softness * reach * float(np.sin(angle))),
            )
            for reach, first, steps in ((0.5, 0.8, 4), (1.0, 0.0, 6))
            for angle in np.arange(steps) * 2 * np.pi / steps + first
        ]

    def _seen(self, points: Array) -> tuple[Array, Array, Array]:
        turned = (points - self._middle) @ self._view.T
        half = np.float32((self._size - 1) / 2)
        return (
            turned[:, 0] * self._scale + half,
            turned[:, 1] * self._scale + half,
            turned[:, 2] + np.float32(1000),
        )

    def lit(self, points: Array, facing: Array) -> Array:
        """Share of the lamp, 0..1, that points [N, 3] see; ``facing`` [N]: cosine to the lamp."""
        x, y, z = self._seen(points)
        # A slanted surface lies at other depths under the outer taps: it must not shade itself.
        facing = np.clip(np.abs(facing), 0.3, 1)
        slope = np.sqrt(1 - facing * facing) / (facing * self._scale)
        column, row = np.rint(x).astype(np.int32), np.rint(y).astype(np.int32)
        lit = np.zeros(len(points), np.float32)
        flat, last = self._depth.reshape(-1), self._size - 1
        for dx, dy in self._taps:
            limit = z - (np.float32(2) + np.float32(0.7 + np.hypot(dx, dy)) * slope)
            at_x = np.clip(column + dx, 0, last)
            at_y = np.clip(row + dy, 0, last)
            lit += flat[at_y * self._size + at_x] > limit
        lit /= len(self._taps)
        return lit
