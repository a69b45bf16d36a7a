"""What a camera makes of a scene: exposure, tone, blur, noise, compression."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

MID = 0.35  # linear light of a well-lit face


def perfect(scene: Array, face: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Develop a scene, always alike; arguments as of ``photograph``."""
    bright = _brightness(face)
    seen = scene * np.float32(0.55 * (bright / MID) ** 0.55 / bright)
    return np.asarray(_toned(seen, 2.2) * 255 + 0.5, np.uint8)


def photograph(scene: Array, face: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Develop a scene.

    Args:
        scene: float32 [S, S, 3], linear light, RGB.
        face: float32 [N, 3], some of the face's colours, which the exposure goes by.

    Returns:
        uint8 [S, S, 3], RGB.
    """
    size = len(scene)
    bright = _brightness(face)
    # A camera does not lift dark skin to the brightness of light skin: only a part of the way.
    wanted = rng.uniform(0.28, 0.8) * (bright / MID) ** 0.55
    night = rng.random() < 0.07
    if night:
        wanted *= rng.uniform(0.15, 0.5)
    cast = np.exp(rng.normal(0, 0.07, 3))
    seen = scene * (wanted / bright * cast).astype(np.float32)
    kind = rng.random()
    if kind < 0.025:  # near infrared: light skin and hair, one channel
        seen = np.repeat(
            (seen @ np.array([0.9, 0.25, -0.15], np.float32))[..., None] ** 1.0, 3, axis=2
        )
        seen = np.maximum(seen, 0) ** np.float32(0.75)
    elif kind < 0.11:
        seen = np.repeat((seen @ np.array([0.3, 0.59, 0.11], np.float32))[..., None], 3, axis=2)
    elif kind < 0.25:
        share = np.float32(rng.uniform(0.2, 0.7))
        seen = seen + share * (seen.mean(axis=2, keepdims=True) - seen)
    seen = _toned(seen, rng.uniform(1.95, 2.5))
    if rng.random() < 0.3:
        contrast = rng.uniform(0.75, 1.25)
        seen = (seen - np.float32(0.45)) * np.float32(contrast) + np.float32(0.45)
    seen = _blurred(seen, rng, size)
    grain = rng.choice([0, rng.uniform(0, 0.015), rng.uniform(0.01, 0.05)])
    grain = max(grain, rng.uniform(0.02, 0.08)) if night else grain
    if grain:
        seen = seen + rng.standard_normal(seen.shape, np.float32) * np.float32(grain)
    image = np.clip(seen * 255 + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        quality = int(rng.integers(30, 95))
        _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        image = image if decoded is None else np.asarray(decoded[..., ::-1], np.uint8)
    return np.ascontiguousarray(image)


def _brightness(face: Array) -> float:
    return max(float(np.percentile(face.mean(axis=1), 80)), 1e-3) if len(face) else MID


def _toned(seen: Array, gamma: float) -> Array:
    """Linear light to 0..1: a shoulder instead of a cut where it is too bright."""
    over = np.maximum(seen - 0.6, 0)
    seen = np.minimum(seen, 0.6) + (1 - np.exp(-2.2 * over)) * np.float32(0.42)
    return np.asarray(np.clip(seen, 0, 1) ** np.float32(1 / gamma), np.float32)


def _blurred(picture: Array, rng: np.random.Generator, size: int) -> Array:
    """Enlarged from a small picture, out of focus, or moved."""
    seen: NDArray[Any] = picture
    if rng.random() < 0.2:
        small = max(28, int(size * rng.uniform(0.35, 0.9)))
        seen = cv2.resize(seen, (small, small), interpolation=cv2.INTER_AREA)
        seen = cv2.resize(seen, (size, size), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.4:
        seen = cv2.GaussianBlur(seen, (0, 0), rng.uniform(0.3, 1.1) * size / 112)
    if rng.random() < 0.1:
        length, angle = size * rng.uniform(0.02, 0.06), rng.uniform(0, np.pi)
        side = max(3, int(length) | 1)
        kernel = np.zeros((side, side), np.float32)
        middle, reach = (side - 1) / 2, (side - 1) / 2
        ends = [
            (round(middle + s * reach * np.cos(angle)), round(middle + s * reach * np.sin(angle)))
            for s in (-1, 1)
        ]
        cv2.line(kernel, ends[0], ends[1], 1.0, 1)
        seen = cv2.filter2D(seen, -1, kernel / kernel.sum())
    return np.asarray(seen, np.float32)
