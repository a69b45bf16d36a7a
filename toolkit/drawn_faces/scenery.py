"""Everything flat: backgrounds behind the head, things held before it, and the camera's flaws."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.drawn_faces.noise import tile
from asmnet_kit.face.pictures import Image

Array = NDArray[np.float32]


MID_GREY = 115.0  # sRGB around which contrast turns


def _colour(rng: np.random.Generator, vivid: float) -> Array:
    """A random sRGB colour; ``vivid`` 0 is grey, 1 up to anything."""
    colour = rng.uniform(0, 255, 3)
    vivid = vivid * rng.random()  # most surfaces are near grey
    grey = (colour[0] + colour[1] + colour[2]) / 3
    return np.asarray(grey + vivid * (colour - grey), np.float32)


def background(rng: np.random.Generator, size: int) -> Array:
    """An out-of-focus room, wall, sky or bush, float32 [size, size, 3] sRGB 0..255."""
    small = size // 2
    top, bottom = _colour(rng, 0.7), _colour(rng, 0.7)
    down = np.linspace(0, 1, small, dtype=np.float32)[:, None, None]
    canvas = np.broadcast_to(top + (bottom - top) * down, (small, small, 3)).copy()
    kind = rng.random()
    if kind < 0.3:
        _clouds(canvas, rng)
    elif kind < 0.75:
        _furniture(canvas, rng)
    elif kind < 0.9:
        _lights(canvas, rng)
    grain = tile(rng, small, small, "clouds") * np.float32(rng.uniform(0, 14))
    canvas += cv2.merge((grain, grain, grain))
    sigma = (0.0, 1.0, 2.5, 5.0)[rng.integers(4)] * small / 84
    if sigma > 0:
        canvas = cv2.GaussianBlur(canvas, (0, 0), sigma)
    return np.asarray(cv2.resize(canvas, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def _clouds(canvas: Array, rng: np.random.Generator) -> None:
    """Leaves, stone, a crowd: two colours mixed by noise."""
    mix = tile(rng, canvas.shape[0], canvas.shape[1], "clouds") * rng.uniform(0.3, 2.5)
    share = 1 / (1 + np.exp(-mix))
    canvas += share[..., None] * (_colour(rng, 0.7) - canvas)


def _furniture(canvas: Array, rng: np.random.Generator) -> None:
    """Straight-edged areas: windows, shelves, door frames, and some lines."""
    size = len(canvas)
    tilt = rng.uniform(-8, 8)
    for _ in range(rng.integers(2, 9)):
        centre = tuple(rng.uniform(0, size, 2).tolist())
        sides = tuple((size * rng.uniform(0.04, 0.7, 2)).tolist())
        box = cv2.boxPoints((centre, sides, tilt + (45 if rng.random() < 0.25 else 0)))
        cv2.fillPoly(canvas, [box.astype(np.int32)], _colour(rng, 0.6).tolist(), cv2.LINE_AA)
    for _ in range(rng.integers(0, 4)):
        ends = rng.uniform(-0.2 * size, 1.2 * size, (2, 2)).astype(int)
        colour = _colour(rng, 0.4).tolist()
        cv2.line(canvas, ends[0].tolist(), ends[1].tolist(), colour, int(rng.integers(1, 4)))


def _lights(canvas: Array, rng: np.random.Generator) -> None:
    """Blurred round lights and people-sized blobs."""
    size = len(canvas)
    for _ in range(rng.integers(4, 20)):
        centre = rng.integers(0, size, 2).tolist()
        radius = int(size * rng.uniform(0.02, 0.2))
        cv2.circle(canvas, centre, radius, _colour(rng, 0.8).tolist(), -1, cv2.LINE_AA)


def occlude(picture: Array, rng: np.random.Generator, face: Array, skin: Array) -> None:
    """Hold something before the face, drawn into ``picture`` in place.

    Args:
        picture: float32 [S, S, 3].
        face: float32 [4] x0, y0, x1, y1 of the face's landmarks, pixels.
        skin: float32 [3], for hands.
    """
    if rng.random() < 0.45:
        _hand(picture, rng, face, skin)
    else:
        _object(picture, rng, face)


def _over(picture: Array, mask: NDArray[np.uint8], colour: Array, blur: float) -> None:
    soft = cv2.GaussianBlur(mask, (0, 0), blur).astype(np.float32)[..., None] / 255
    picture += soft * (colour - picture)


def _hand(picture: Array, rng: np.random.Generator, face: Array, skin: Array) -> None:
    """A palm and four fingers from one side, shaded along each finger."""
    size = len(picture)
    extent = float(max(face[2] - face[0], face[3] - face[1]))
    low = face[:2] + extent * np.array((-0.1, 0.35))
    tip = low + rng.uniform(0, 1, 2) * (face[2:] - low)
    direction = rng.uniform(-0.9, 0.9) + (
        np.pi / 2 if rng.random() < 0.6 else rng.choice([0, np.pi])
    )
    away = np.array((np.cos(direction), np.sin(direction)))
    across = np.array((-away[1], away[0]))
    thick = extent * rng.uniform(0.075, 0.11)
    tone = np.clip(skin * rng.uniform(0.7, 1.05), 0, 255).astype(np.float32)
    canvas = picture.copy()
    mask = np.zeros((size, size), np.uint8)
    palm = tip + away * extent * 0.62 + across * thick * 1.5
    curl = rng.uniform(0.1, 0.3)
    cv2.circle(mask, palm.astype(int).tolist(), int(thick * 2.3), 255, -1, cv2.LINE_AA)
    cv2.circle(canvas, palm.astype(int).tolist(), int(thick * 2.3), tone.tolist(), -1)
    wrist = palm + away * extent
    cv2.line(mask, palm.astype(int).tolist(), wrist.astype(int).tolist(), 255, int(thick * 3.4))
    cv2.line(
        canvas,
        palm.astype(int).tolist(),
        wrist.astype(int).tolist(),
        tone.tolist(),
        int(thick * 3.4),
    )
    for finger in range(4):
        start = (
            tip + across * thick * finger * 1.02 + away * extent * curl * abs(finger - 1.4) * 0.35
        )
        end = palm + across * thick * (finger - 1.5) * 0.9
        for width, brightness in ((1.0, 0.62), (0.8, 0.85), (0.5, 1.0)):
            ends = start.astype(int).tolist(), end.astype(int).tolist()
            cv2.line(
                canvas, *ends, (tone * brightness).tolist(), max(1, int(thick * width)), cv2.LINE_AA
            )
        cv2.line(
            mask,
            start.astype(int).tolist(),
            end.astype(int).tolist(),
            255,
            max(1, int(thick)),
            cv2.LINE_AA,
        )
    canvas += 5 * tile(rng, size, size, "fine")[..., None]
    _over(picture, mask, cv2.GaussianBlur(canvas, (0, 0), max(0.4, 0.12 * thick)), 0.6)


def _object(picture: Array, rng: np.random.Generator, face: Array) -> None:
    """A stick, microphone, telephone, cup or sheet: rounded shapes with a light gradient."""
    size = len(picture)
    extent = float(max(face[2] - face[0], face[3] - face[1]))
    mask = np.zeros((size, size), np.uint8)
    centre = face[:2] + rng.uniform(0, 1, 2) * (face[2:] - face[:2])
    kind = rng.random()
    if kind < 0.35:  # a bar right across or coming in from a border
        direction = rng.uniform(0, 2 * np.pi)
        end = centre + 2 * size * np.array((np.cos(direction), np.sin(direction)))
        thick = max(1, int(extent * rng.uniform(0.02, 0.12)))
        cv2.line(
            mask, centre.astype(int).tolist(), end.astype(int).tolist(), 255, thick, cv2.LINE_AA
        )
        if kind < 0.2:
            cv2.circle(mask, centre.astype(int).tolist(), int(1.4 * thick), 255, -1, cv2.LINE_AA)
    else:
        sides = tuple((extent * rng.uniform(0.15, 0.5, 2)).tolist())
        tilt = float(rng.uniform(-90, 90))
        if kind < 0.7:
            box = cv2.boxPoints((tuple(centre.tolist()), sides, tilt))
            cv2.fillPoly(mask, [box.astype(np.int32)], 255, cv2.LINE_AA)
        else:
            cv2.ellipse(mask, (tuple(centre.tolist()), sides, tilt), 255, -1, cv2.LINE_AA)
    slope = np.linspace(-1, 1, size, dtype=np.float32) * rng.uniform(-45, 45)
    colour = (
        _colour(rng, 0.7) + slope[None, :, None] + 5 * tile(rng, size, size, "coarse")[..., None]
    )
    _over(picture, mask, np.clip(colour, 0, 255), rng.uniform(0.4, 1.5))


def photograph(picture: Array, rng: np.random.Generator, size: int) -> Image:
    """What a camera makes of a scene: exposure, cast, blur, noise, compression.

    Args:
        picture: float32 [S, S, 3], S >= size, sRGB 0..255.

    Returns:
        uint8 [size, size, 3].
    """
    seen: NDArray[Any] = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.25:  # enlarged from a small picture
        small = max(24, int(size * rng.uniform(0.35, 0.9)))
        seen = cv2.resize(seen, (small, small), interpolation=cv2.INTER_AREA)
        seen = cv2.resize(seen, (size, size), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.4:
        sigma = rng.uniform(0.3, 1.1) * size / 112
        seen = cv2.GaussianBlur(seen, (0, 0), sigma)
    if rng.random() < 0.1:
        length = max(2, int(size * rng.uniform(0.02, 0.05)))
        kernel = np.zeros((length, length), np.float32)
        steep = rng.random() < 0.5
        kernel[length // 2] = 1 / length
        seen = cv2.filter2D(seen, -1, kernel.T.copy() if steep else kernel)
    exposure = rng.normal(1, 0.06, 3) * rng.uniform(0.8, 1.15)
    contrast = rng.normal(1, 0.13)
    level = (1 - contrast) * MID_GREY + rng.normal(0, 10)
    grain = np.float32(rng.uniform(0, 1) ** 2 * 13)
    planes = list(cv2.split(seen))
    if rng.random() < 0.08:
        planes = [(planes[0] + planes[1] + planes[2]) / 3] * 3
        exposure[:] = exposure.mean()
    planes = [
        np.float32(cast * contrast) * plane
        + np.float32(level)
        + grain * tile(rng, size, size, "white")
        for cast, plane in zip(exposure, planes, strict=True)
    ]
    exposed = np.clip(cv2.merge(planes), 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        quality = int(rng.integers(30, 96))
        _, encoded = cv2.imencode(".jpg", exposed, [cv2.IMWRITE_JPEG_QUALITY, quality])
        exposed = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)
    return exposed
