"""What belongs to a portrait besides the head's skin: ears, body, long hair, hats, glasses.

A part is a grid of vertices in the unposed head's frame (millimetres, see
:mod:`asmnet_kit.face.generic_face`) with the colours of its cells.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.drawn_faces.head import Array
from asmnet_kit.drawn_faces.noise import tile


@dataclass(frozen=True, eq=False)
class Part:
    """A grid of vertices and its paint.

    Attributes:
        vertices: float32 [H, W, 3].
        paint: uint8 [h, w, 3] sRGB, stretched over the part's cells.
        follows_head: float32 [H, W, 1]: 1 turns with the head, 0 with the body.
        towards_camera: mm by which the part is drawn as if it were nearer than it is, so that thin
            things lying on the skin stay visible.
        shine: strength of its highlights, 0..1.
    """

    vertices: Array
    paint: NDArray[np.uint8]
    follows_head: Array
    towards_camera: float = 0.0
    shine: float = 0.0


def _grid(*axes: NDArray[np.float64]) -> Array:
    shape: tuple[int, ...] = np.broadcast(*axes).shape
    vertices: Array = np.empty([*shape, len(axes)], np.float32)
    for number, axis in enumerate(axes):
        vertices[..., number] = axis
    return vertices


def _pixels(colours: NDArray[Any]) -> NDArray[np.uint8]:
    return np.asarray(np.minimum(np.maximum(colours, 0), 255), np.uint8)


def _plain(colour: NDArray[Any]) -> NDArray[np.uint8]:
    return _pixels(colour).reshape(1, 1, 3)


def _with_head(vertices: Array, share: float = 1.0) -> Array:
    return np.full((*vertices.shape[:2], 1), share, np.float32)


def ears(width: float, skin: Array, rng: np.random.Generator) -> list[Part]:
    """Two shells standing off the head; ``width`` is half the head's width at the ears, mm."""
    size, lean, flare = rng.normal(1, 0.09), rng.uniform(0.05, 0.3), rng.uniform(8, 19)
    down, across = np.meshgrid(np.linspace(-1, 1, 7), np.linspace(0, 1, 5), indexing="ij")
    outline = np.sqrt(np.clip(1 - 0.93 * down**2, 0.02, 1)) * np.where(down > 0, 1 - 0.25 * down, 1)
    depth = 24 * size * across * outline
    y = 12 + 31 * size * down - 2 * across
    z = 74 + depth + lean * 15 * down
    out = width - 3 + flare * across**0.7 * outline
    shell = np.linspace(0.55, 1.0, 5)[None, :, None] * np.ones((7, 1, 1))
    shell[2:5, 1:4] *= 0.8
    paint = _pixels(skin * shell + np.array((10, -6, -6)))
    parts = []
    for side in (-1, 1):
        vertices = _grid(side * out, y, z)
        parts.append(Part(vertices, paint, _with_head(vertices)))
    return parts


def body(rng: np.random.Generator) -> Part:
    """Shoulders and chest in a garment."""
    # Rings from the neck's base down: half width, half depth, y, drop of the ring's ends, mm.
    wide = rng.uniform(0.88, 1.15)
    collar = rng.uniform(0, 1) ** 2 * 45
    rings = np.array(
        [
            (60, 50, 165 - collar, 0),
            (74, 56, 190 - 0.5 * collar, 4),
            (125 * wide, 70, 205, 22),
            (185 * wide, 85, 225, 30),
            (205 * wide, 100, 290, 0),
            (200 * wide, 110, 430, 0),
        ]
    )
    azimuth = np.radians(np.linspace(-115, 115, 15))[None]
    half_width, half_depth, y, drop = (column[:, None] for column in rings.T)
    vertices = _grid(
        half_width * np.sin(azimuth),
        y + drop * np.abs(np.sin(azimuth)) ** 2,
        88 - half_depth * np.cos(azimuth),
    )
    base = rng.uniform(15, 235, 3).astype(np.float32)
    if rng.random() < 0.5:  # most garments are near grey
        base = base.mean() + 0.25 * (base - base.mean())
    paint = np.empty((24, 56, 3), np.float32)
    paint[:] = base
    pattern = rng.random()
    other = rng.uniform(10, 245, 3).astype(np.float32)
    period = int(rng.integers(3, 12))
    if pattern < 0.15:
        paint[(np.arange(24) % period) < period / 2] = other
    elif pattern < 0.3:
        paint[:, (np.arange(56) % period) < period / 2] = other
    elif pattern < 0.4:  # an open jacket over something else
        paint[:, 22:34] = other
    paint += 7 * tile(rng, 24, 56, "coarse")[..., None]
    return Part(vertices, _pixels(paint), _with_head(vertices, 0.0))


def long_hair(colour: Array, head_width: float, rng: np.random.Generator) -> Part:
    """A curtain of hair hanging behind and beside the face."""
    length = rng.uniform(60, 270)
    front = rng.uniform(62, 105)  # azimuth where the curtain's edges hang, degrees from the face
    azimuth = np.radians(np.linspace(front, 360 - front, 19))[None]
    down = np.linspace(0, 1, 9)[:, None]
    wave = rng.uniform(0, 6) * np.sin(down * rng.uniform(4, 14) + azimuth * 3)
    volume = head_width + rng.uniform(7, 15) + rng.uniform(0, 28) * np.sin(np.pi * down**0.8) + wave
    volume = volume * np.clip(0.62 + 2.2 * down, 0, 1)  # closes over the skull
    sides, back = np.sin(azimuth), np.cos(azimuth)
    y = -88 + (length + 88) * down + 10 * np.abs(sides) * (down > 0.9)
    vertices = _grid(volume * sides, y, 78 - volume * 1.12 * back)
    streaks = tile(rng, 40, 60, "coarse") * 0.12 + tile(rng, 1, 60, "white") * 0.1
    paint = _pixels(colour * (1 + streaks[..., None]))
    follows = np.clip(1.1 - 0.6 * np.clip((y - 60) / 150, 0, 1), 0, 1) + 0 * azimuth
    return Part(vertices, paint, follows[..., None].astype(np.float32), shine=0.2)


def cap_brim(colour: Array, rng: np.random.Generator) -> Part:
    """The peak of a cap."""
    azimuth = np.radians(np.linspace(-58, 58, 11))[None]
    outwards = np.linspace(0, 1, 4)[:, None]
    reach = rng.uniform(45, 70) * np.cos(azimuth) ** 0.7
    droop = rng.uniform(-4, 22)
    vertices = _grid(
        (77 + 4 * outwards) * np.sin(azimuth),
        rng.uniform(-52, -40) + droop * outwards**1.5 + 9 * outwards * np.sin(azimuth) ** 2,
        76 - 100 * np.cos(azimuth) - reach * outwards,
    )
    return Part(vertices, _plain(colour * 0.9), _with_head(vertices), towards_camera=4)


def glasses(landmarks: Array, rng: np.random.Generator) -> list[Part]:
    """Frames before the eyes, with dark or clear lenses.

    Args:
        landmarks: float32 [98, 3] of the unposed head.
    """
    half_width, half_height = rng.uniform(22, 29), rng.uniform(14, 25)
    thick = rng.uniform(1.2, 4.5)
    square = rng.uniform(2, 5)  # exponent of the rims' superellipse
    dark = rng.random() < 0.35
    grey = rng.uniform(10, 90) if rng.random() < 0.7 else rng.uniform(90, 200)
    colour = np.clip(grey + rng.normal(0, 18, 3), 0, 255).astype(np.float32)
    angle = np.linspace(0, 2 * np.pi, 23)[None]
    power = 2 / square
    unit_x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power
    unit_y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power
    front_z = landmarks[[60, 64, 68, 72], 2].min() - 12
    parts = []
    for side, (outer, inner) in ((-1, (60, 64)), (1, (72, 68))):
        middle = (landmarks[outer] + landmarks[inner]) / 2 + (side * 2, 3, 0)
        ring = np.array([[0.0], [thick]])
        x = middle[0] + (half_width + ring) * unit_x
        y = middle[1] + (half_height + ring) * unit_y
        rim = _grid(x, y, front_z + 0.22 * np.abs(x) - 3)
        parts.append(Part(rim, _plain(colour), _with_head(rim), towards_camera=10, shine=0.5))
        if dark:
            disc = np.linspace(0.02, 1, 4)[:, None]
            x, y = middle[0] + half_width * disc * unit_x, middle[1] + half_height * disc * unit_y
            lens = _grid(x, y, front_z + 0.22 * np.abs(x) - 2)
            tint = np.clip(rng.uniform(8, 60) + rng.normal(0, 8, 3), 0, 255)
            parts.append(Part(lens, _plain(tint), _with_head(lens), towards_camera=9, shine=0.9))
        along = np.linspace(0, 1, 6)[None]
        edge = middle[0] + side * half_width
        arm = _grid(
            edge + (side * 76 - edge) * along**0.5,
            middle[1] - 4 + np.array([[0.0], [max(2.0, thick)]]) + 2 * along,
            front_z + 0.22 * abs(edge) + (84 - front_z) * along,
        )
        parts.append(Part(arm, _plain(colour), _with_head(arm), towards_camera=8, shine=0.5))
    left, right = (landmarks[[60, 64]].mean(axis=0), landmarks[[68, 72]].mean(axis=0))
    along = np.linspace(0, 1, 5)[None]
    start, end = left[0] - 2 + half_width, right[0] + 2 - half_width
    bridge = _grid(
        start + (end - start) * along,
        left[1] - 4 - 2 * np.sin(np.pi * along) + np.array([[0.0], [max(1.5, thick)]]),
        np.full_like(along, front_z - 1),
    )
    parts.append(Part(bridge, _plain(colour), _with_head(bridge), towards_camera=11, shine=0.5))
    return parts
