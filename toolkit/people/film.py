"""What a camera makes of a scene: exposure, tone, blur, noise, compression."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.people.camera_settings import DEFAULT_CAMERA, CameraSettings

Array = NDArray[np.float32]

MID = 0.35  # linear light of a well-lit face
SMALLEST = 28  # pixels: of a picture that is enlarged


def perfect(scene: Array, face: Array) -> NDArray[np.uint8]:
    """Develop a scene, always alike; arguments as of ``photograph``."""
    bright = _brightness(face)
    seen = scene * np.float32(0.55 * (bright / MID) ** 0.55 / bright)
    return np.asarray(_toned(seen, 2.2) * 255 + 0.5, np.uint8)


def photograph(
    scene: Array,
    face: Array,
    rng: np.random.Generator,
    camera: CameraSettings = DEFAULT_CAMERA,
) -> NDArray[np.uint8]:
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
    wanted = rng.uniform(*camera.exposure) * (bright / MID) ** 0.55
    night = rng.random() < camera.night_share
    if night:
        wanted *= rng.uniform(*camera.night_exposure)
    cast = np.exp(rng.normal(0, camera.cast, 3))
    seen = scene * (wanted / bright * cast).astype(np.float32)
    kind = rng.random()
    infrared = camera.infrared_share
    grey = infrared + camera.grey_share
    if kind < infrared:  # near infrared: light skin and hair, one channel
        seen = np.repeat(
            (seen @ np.array([0.9, 0.25, -0.15], np.float32))[..., None] ** 1.0, 3, axis=2
        )
        seen = np.maximum(seen, 0) ** np.float32(0.75)
    elif kind < grey:
        seen = np.repeat((seen @ np.array([0.3, 0.59, 0.11], np.float32))[..., None], 3, axis=2)
    elif kind < grey + camera.faded_share:
        share = np.float32(rng.uniform(0.2, 0.7))
        seen = seen + share * (seen.mean(axis=2, keepdims=True) - seen)
    seen = _toned(seen, rng.uniform(*camera.gamma))
    if rng.random() < camera.contrast_share:
        contrast = rng.uniform(*camera.contrast)
        seen = (seen - np.float32(0.45)) * np.float32(contrast) + np.float32(0.45)
    seen = _blurred(seen, rng, size, camera)
    grain = rng.choice([_within(rng, bounds) for bounds in camera.noise])
    grain = max(grain, rng.uniform(*camera.night_noise)) if night else grain
    if grain:
        seen = seen + rng.standard_normal(seen.shape, np.float32) * np.float32(grain)
    image = np.clip(seen * 255 + 0.5, 0, 255).astype(np.uint8)
    if rng.random() < camera.jpeg_share:
        quality = int(rng.integers(*camera.jpeg_quality, endpoint=True))
        _, encoded = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
        image = image if decoded is None else np.asarray(decoded[..., ::-1], np.uint8)
    return np.ascontiguousarray(image)


def _within(rng: np.random.Generator, bounds: tuple[float, float]) -> float:
    """Evenly drawn; nothing is drawn where there is but one number."""
    low, high = bounds
    return rng.uniform(low, high) if low < high else low


def _brightness(face: Array) -> float:
    return max(float(np.percentile(face.mean(axis=1), 80)), 1e-3) if len(face) else MID


def _toned(seen: Array, gamma: float) -> Array:
    """Linear light to 0..1: a shoulder instead of a cut where it is too bright."""
    over = np.maximum(seen - 0.6, 0)
    seen = np.minimum(seen, 0.6) + (1 - np.exp(-2.2 * over)) * np.float32(0.42)
    return np.asarray(np.clip(seen, 0, 1) ** np.float32(1 / gamma), np.float32)


def _blurred(picture: Array, rng: np.random.Generator, size: int, camera: CameraSettings) -> Array:
    """Enlarged from a small picture, out of focus, or moved."""
    seen: NDArray[Any] = picture
    if rng.random() < camera.low_resolution_share:
        small = max(SMALLEST, int(size * rng.uniform(*camera.low_resolution)))
        seen = cv2.resize(seen, (small, small), interpolation=cv2.INTER_AREA)
        seen = cv2.resize(seen, (size, size), interpolation=cv2.INTER_LINEAR)
    if rng.random() < camera.blur_share:
        seen = cv2.GaussianBlur(seen, (0, 0), rng.uniform(*camera.blur_px) * size / 112)
    if rng.random() < camera.motion_share:
        length, angle = size * rng.uniform(*camera.motion), rng.uniform(0, np.pi)
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
