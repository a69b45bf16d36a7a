"""Where the skin carries what: lips, beard, scalp, make-up, as weights of the mesh's vertices.

Areas are drawn once on the mean head (mm, frame of asmnet_kit.people.assets) and stay with their
vertices, so they follow every shape and expression.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.people.assets import load
from asmnet_kit.people.look import Look
from asmnet_kit.people.shape import mean_head

Array = NDArray[np.float32]

AREAS = ("lips", "beard", "moustache", "goatee", "scalp", "lids", "cheeks", "furrows")
# Upper edge of a full beard by the distance from the middle, mm.
BEARD_X = (0, 15, 28, 45, 58, 66, 74)
BEARD_Y = (86, 84, 80, 70, 52, 30, 4)


def _step(value: Array, start: float, end: float) -> Array:
    """0 at ``start`` to 1 at ``end``, smooth."""
    share = np.clip((value - start) / (end - start), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


@lru_cache(maxsize=1)
def areas() -> Array:
    """float32 [V, len(AREAS)], 0..1."""
    x, y, z = mean_head().T
    aside = np.abs(x)
    lips = _lips()
    edge = np.interp(aside, BEARD_X, BEARD_Y).astype(np.float32)
    neck = _step(y - 0.55 * z, 118, 104)  # ends under the jaw
    beard = _step(y - edge, -5, 5) * neck * _step(z, 66, 54)
    moustache = _step(y - 0.35 * np.maximum(aside - 8, 0), 42, 47) * _step(y, 80, 72)
    moustache *= _step(aside, 34, 27) * _step(z, 0, -10)
    goatee = _step(aside, 24, 17) * _step(y, 76, 82) * neck * _step(z, 25, 10)
    bare = 1 - np.clip(lips * 1.5, 0, 1)
    front = _step(y + 0.12 * z, -62, -74)
    side = _step(z - 0.6 * np.maximum(y, 0), 40, 55) * _step(y, 30, 18)
    back = _step(z, 85, 100) * _step(y, 75, 60)
    scalp = np.maximum(np.maximum(front, side), back)
    lids = np.exp(-(((aside - 32) / 15) ** 2) - ((y + 6) / 7) ** 2) * _step(z, 15, 5)
    cheeks = np.exp(-(((aside - 46) / 16) ** 2) - ((y - 34) / 14) ** 2)
    furrows = np.exp(-(((y + 34) / 16) ** 2)) * _step(aside, 50, 30) * _step(z, 20, 0)
    columns = (
        lips, beard * bare, moustache * bare, goatee * bare, scalp, lids, cheeks, furrows,
    )  # fmt: skip
    return np.stack(columns, axis=1).astype(np.float32)


def painted(look: Look) -> Array:
    """What a person's skin carries at each vertex, float32 [V, 6]: lips, scalp, lids, cheeks, hair
    of the face, furrows; all but lips and furrows times the look's amount."""
    lips, beard, moustache, goatee, scalp, lids, cheeks, furrows = areas().T
    hairy = np.max(np.stack([beard, moustache, goatee]) * look.stubble[:, None], axis=0)
    columns = (
        lips, scalp * look.scalp, lids * look.lid_amount, cheeks * look.blush, hairy, furrows,
    )  # fmt: skip
    return np.stack(columns, axis=1).astype(np.float32)


def _lips() -> Array:
    """1 within the vermilion border, half on it."""
    assets = load()
    head = mean_head()
    border = np.ascontiguousarray(head[assets.vermilion][:, :2])
    lips = np.zeros(len(head), np.float32)
    low, high = border.min(axis=0), border.max(axis=0)
    near = (head[:, :2] >= low - 1).all(axis=1) & (head[:, :2] <= high + 1).all(axis=1)
    for vertex in np.flatnonzero(near & (head[:, 2] < 10)):
        point = (float(head[vertex, 0]), float(head[vertex, 1]))
        inside = cv2.pointPolygonTest(border.reshape(-1, 1, 2), point, False)
        lips[vertex] = 1.0 if inside > 0 else 0.0
    lips[assets.vermilion] = 0.5
    return lips
