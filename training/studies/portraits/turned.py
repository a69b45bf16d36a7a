"""More pictures from one: a portrait turned in depth, given another's proportions, or blended.

The face mesh has a depth, so a face can be turned as a solid by up to 28 degrees. A thin-plate
spline carries the picture along, and the landmarks with it: wherever a landmark was marked, it
stays on the same bit of the picture, but for what annotators move because a head is turned
(asmnet_kit.people.placement).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.face.pictures import Image
from asmnet_kit.face.pose import angles, rotation_matrix
from asmnet_kit.people.labels import turn_moves
from asmnet_kit.training.studies.portraits.face_mesh import (
    CHIN,
    FOREHEAD,
    INNER_LIPS,
    OUTER_EYES,
    OVAL,
    POINTS,
)

Array = NDArray[np.float64]
Spline = Callable[[Array], Array]

SIZE = 176  # pixels
STEP = 8  # pixels between the places at which the spline is evaluated
YAW, PITCH = (15.0, 28.0), (8.0, 16.0)  # degrees: standard deviation, largest
OTHER_SHAPE_SHARE, BLEND_SHARE, POOR_SHARE = 0.75, 0.3, 0.5
MOUTH_TOLERANCE = 0.02  # eye distances: blended mouths are about as open
NEAREST = 1.5  # pixels: of two vertices that fall closer together, the front one leads
SMOOTHING = 0.002
UNIT = 100.0  # pixels that the spline counts as one
EYES_MM = 90.0  # between the outer eye corners of the generic face
# The spline's handles: every second vertex and those that a landmark scheme looks at.
HANDLES = np.union1d(
    np.arange(0, POINTS, 2),
    [33, 133, 263, 362, 61, 291, 78, 308, 0, 17, 13, 14, 152, 10, 234, 454, 1, 2, 98, 327],
)


@dataclass(frozen=True, eq=False)
class Portrait:
    """A labelled picture.

    Attributes:
        image: uint8 [H, W, 3].
        mesh: float64 [468, 3], pixels.
        landmarks: float64 [166, 2], pixels: the 68 and the 98.
    """

    image: Image
    mesh: Array
    landmarks: Array


class Proportions:
    """Meshes without their place, size and turn, so that one's can be given to another."""

    def __init__(self, meshes: list[Array]) -> None:
        self._mean = _frontal(_mean_mesh(meshes))
        self._poses = [_aligned(self._mean, mesh) for mesh in meshes]
        self._shapes = np.stack(
            [
                (mesh - shift) @ turn / scale
                for mesh, (turn, scale, shift) in zip(meshes, self._poses, strict=True)
            ]
        )
        upper, lower = INNER_LIPS
        self._mouths = np.linalg.norm(self._shapes[:, upper] - self._shapes[:, lower], axis=1)

    def like(self, which: int, rng: np.random.Generator) -> int:
        """Another whose mouth is about as open."""
        near = np.abs(self._mouths - self._mouths[which]) < MOUTH_TOLERANCE
        return int(rng.choice(np.flatnonzero(near)))

    def moves(self, mesh: Array) -> Array:
        """How far annotators move the 68 and the 98 because a mesh is turned: [166, 2] pixels."""
        turn, scale, _ = _aligned(self._mean, mesh)
        moved = np.concatenate(list(turn_moves(*angles(turn)).values()))
        return np.asarray(moved * scale / EYES_MM)

    def varied(self, which: int, other: int, rng: np.random.Generator) -> Array:
        """A mesh [468, 3] in the picture of ``which``: turned, and partly shaped as ``other``."""
        turn, scale, shift = self._poses[which]
        share = rng.uniform(0, 0.8) * (rng.random() < OTHER_SHAPE_SHARE)
        shape = self._shapes[which] + share * (self._shapes[other] - self._shapes[which])
        shape = shape * np.exp([rng.normal(0, 0.03), rng.normal(0, 0.04), 0])
        yaw, pitch = (np.clip(rng.normal(0, spread), -most, most) for spread, most in (YAW, PITCH))
        further = rotation_matrix(yaw, pitch, 0) @ turn
        middle = scale * turn @ self._shapes[which].mean(axis=0) + shift
        return np.asarray(scale * (shape - shape.mean(axis=0)) @ further.T + middle)


def varied(
    portrait: Portrait,
    other: Portrait,
    mesh: Array,
    proportions: Proportions,
    rng: np.random.Generator,
) -> tuple[Image, Array]:
    """The portrait with another mesh: picture uint8 [SIZE, SIZE, 3], landmarks [166, 2] in it."""
    image = _carried(portrait.image, portrait.mesh, mesh)
    height, width = portrait.image.shape[:2]
    if rng.random() < BLEND_SHARE:
        their = cv2.resize(other.image, (width, height), interpolation=cv2.INTER_AREA)
        zoom = np.array([width, height]) / other.image.shape[1::-1]
        flat = (other.mesh[:, :2] + 0.5) * zoom - 0.5
        blend = _carried(np.asarray(their), np.c_[flat, other.mesh[:, 2]], mesh)
        image = _blended(image, blend, mesh[OVAL, :2] * SIZE / [width, height], rng)
    border = _border(width, height)
    follow = _spline(
        np.concatenate([portrait.mesh[HANDLES, :2], border]),
        np.concatenate([mesh[HANDLES, :2], border]),
    )
    on_face = follow(portrait.landmarks - proportions.moves(portrait.mesh))
    landmarks = (on_face + proportions.moves(mesh) + 0.5) * SIZE / [width, height] - 0.5
    return _poorer(image, rng) if rng.random() < POOR_SHARE else image, landmarks


def _carried(image: Image, source: Array, target: Array) -> Image:
    """The picture, scaled to SIZE, with what is at ``source`` moved to ``target`` (meshes)."""
    height, width = image.shape[:2]
    border = _border(width, height)
    handles = HANDLES[_front(target[HANDLES])]
    back = _spline(
        np.concatenate([target[handles, :2], border]),
        np.concatenate([source[handles, :2], border]),
    )
    steps = np.arange(0, SIZE + STEP, STEP)
    places = np.stack(np.meshgrid(steps * width / SIZE, steps * height / SIZE), axis=2)
    coarse = back(places.reshape(-1, 2)).reshape(places.shape).astype(np.float32)
    fine = cv2.resize(coarse, None, fx=STEP, fy=STEP, interpolation=cv2.INTER_LINEAR)
    # Node k of the coarse grid lies in the middle of its block of STEP pixels.
    start = (STEP - 1) // 2
    fine = fine[start : start + SIZE, start : start + SIZE]
    return np.asarray(
        cv2.remap(
            image,
            fine[..., 0],
            fine[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        ),
        np.uint8,
    )


def _front(mesh: Array) -> NDArray[np.intp]:
    """Which vertices lead the spline: of those that a turn folds together, the front one."""
    kept: list[int] = []
    for vertex in np.argsort(mesh[:, 2]):
        apart = np.linalg.norm(mesh[kept, :2] - mesh[vertex, :2], axis=1)
        if (apart > NEAREST).all():
            kept.append(int(vertex))
    return np.array(kept)


def _border(width: int, height: int) -> Array:
    """Places on the picture's border that stay where they are."""
    share = np.linspace(0, 1, 6)
    return np.array([(x * width, y * height) for x in share for y in share if {x, y} & {0.0, 1.0}])


def _spline(source: Array, target: Array) -> Spline:
    """Thin-plate spline, source [N, 2] to target [N, 2] (Bookstein 1989), slightly smoothed."""
    count, source = len(source), source / UNIT
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _kernel(source, source) + SMOOTHING * np.eye(count)
    system[:count, count:] = np.c_[np.ones(count), source]
    system[count:, :count] = system[:count, count:].T
    weights = np.linalg.solve(system, np.concatenate([target, np.zeros((3, 2))]))

    def carry(points: Array) -> Array:
        scaled = points / UNIT
        bent = _kernel(scaled, source) @ weights[:count]
        return np.asarray(bent + np.c_[np.ones(len(scaled)), scaled] @ weights[count:])

    return carry


def _kernel(a: Array, b: Array) -> Array:
    square = ((a[:, None] - b[None]) ** 2).sum(axis=2)
    return np.asarray(0.5 * square * np.log(np.maximum(square, 1e-18)))


def _blended(image: Image, other: Image, oval: Array, rng: np.random.Generator) -> Image:
    """Another's face over this one, as bright, inside the oval."""
    mask = np.zeros((SIZE, SIZE), np.float32)
    cv2.fillConvexPoly(mask, cv2.convexHull(oval.astype(np.int32)), 1.0)
    inside = mask > 0
    if not inside.any():
        return image
    own, their = (picture[inside].mean(axis=0) for picture in (image, other))
    share = cv2.GaussianBlur(mask, (0, 0), 5)[..., None] * np.float32(rng.uniform(0.3, 1.0))
    matched = np.clip(other * (own / np.maximum(their, 8)), 0, 255)
    return np.asarray(image * (1 - share) + matched * share, np.uint8)


def _poorer(image: Image, rng: np.random.Generator) -> Image:
    """As if it had been small, and mostly compressed, once."""
    share = rng.uniform(0.35, 0.9)
    small: Any = cv2.resize(image, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    if rng.random() < 0.6:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(30, 90))]
        small = cv2.imdecode(cv2.imencode(".jpg", small, quality)[1], cv2.IMREAD_COLOR)
    return np.asarray(cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), np.uint8)


def _aligned(shape: Array, mesh: Array) -> tuple[Array, float, Array]:
    """Rotation, scale and shift that take a shape nearest to a mesh (Umeyama 1991)."""
    mean_shape, mean_mesh = shape.mean(axis=0), mesh.mean(axis=0)
    u, values, v = np.linalg.svd((mesh - mean_mesh).T @ (shape - mean_shape))
    signs = np.array([1, 1, np.sign(np.linalg.det(u @ v))])
    turn = u @ np.diag(signs) @ v
    scale = float((values * signs).sum() / ((shape - mean_shape) ** 2).sum())
    return turn, scale, mean_mesh - scale * turn @ mean_shape


def _mean_mesh(meshes: list[Array]) -> Array:
    mean = meshes[0]
    for _ in range(4):
        moved = []
        for mesh in meshes:
            turn, scale, shift = _aligned(mesh, mean)
            moved.append(scale * mesh @ turn.T + shift)
        mean = np.mean(moved, axis=0)
    return mean


def _frontal(mesh: Array) -> Array:
    """Turned so that x runs along the eyes and y towards the chin; the eye distance is 1."""
    left, right = (mesh[corner] for corner in OUTER_EYES)
    unit = np.linalg.norm(right - left)
    across = (right - left) / unit
    down = mesh[CHIN] - mesh[FOREHEAD]
    down = down - across * (down @ across)
    down /= np.linalg.norm(down)
    turned = mesh @ np.stack([across, down, np.cross(across, down)]).T / unit
    return np.asarray(turned - turned.mean(axis=0))
