"""The shape of a head: control points that identity and expression move, and a skin over them.

A head is a closed surface over a flat parameter plane (u, v), in millimetres: u runs around the
head (the arc of an upright cylinder, 0 in the middle of the face), v down the face. Landmarks and
some more points placed by hand are *control points* with fixed (u, v); a thin-plate spline through
their 3-D positions gives the skin, so that the landmarks lie on the skin exactly whatever identity
and expression do. In the plane the eyes and the mouth are open, so that they can be painted there.

Frame and units: :mod:`asmnet_kit.face.generic_face`.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.face.generic_face import GENERIC_FACE_68, GENERIC_FACE_98
from asmnet_kit.face.schemes import SCHEME_98

Array = NDArray[np.float32]

LIDS_68 = (37, 38, 40, 41, 43, 44, 46, 47)
"""Points of the 68 that are not among the 98; controls 98..105 in this order."""

AXIS_Z = 75.0  # depth of the head's upright axis, behind the outer eye corners
ARC_RADIUS = 80.0  # of the cylinder whose arc u measures: near the face u is close to x
EQUATOR_Y, SKULL_RADII = (
    -30.0,
    (75.0, 86.0, 97.0),
)  # the upper skull is an ellipsoid above this height
PLANE_SCALE = 100.0  # mm; distances near 1 keep the spline's system well conditioned
CANONICAL_MOUTH_OPEN, CANONICAL_LIDS_OPEN = 0.42, 0.45
NECK_TOP_V, NECK_BASE_V = 128.0, 215.0  # between them the skin passes from the head to the body
NECK_PIVOT = np.array([0.0, 105.0, 85.0], np.float32)

# Between and around the landmarks: what a face's relief needs. The image's left half, x <= 0.
_RELIEF = (
    # forehead and glabella
    (0, -16, -24),
    (0, -36, -23),
    (-25, -36, -20),
    (-47, -34, -5),
    (-63, -32, 22),
    (-72, -30, 62),
    # temples and the side in front of the ear
    (-62, -5, 18),
    (-66.5, -12, 36),
    (-71, -10, 64),
    # eye socket
    (-14, -5, -16),
    (-32, -10.8, -13.2),
    (-46, -7.5, -3),
    (-20, 9, -9.5),
    (-32, 12, -8.6),
    (-46, 9, 1),
    (-53, 1, 6),
    # nose: root, side wall, wing, tip
    (-8, 2, -14),
    (-6, 13, -23.5),
    (-11, 13, -15),
    (-7.5, 25, -31),
    (-14, 26, -17.5),
    (-16.8, 38.5, -23),
    (-13, 37.5, -31),
    (-7.5, 37.5, -42),
    (-10.5, 43.5, -32.5),
    (-4, 44, -41),
    (0, 44.5, -42),
    (-22, 40, -16.5),
    # cheeks
    (-26, 22, -12.5),
    (-44, 24, -3.5),
    (-58, 22, 16),
    (-66, 18, 40),
    (-36, 40, -10.5),
    (-52, 42, 10),
    (-63, 40, 34),
    (-27, 54, -17),
    (-40, 60, -2.5),
    (-52, 62, 20),
    (-33, 76, -7),
    (-44, 76, 9),
    # around the mouth, chin
    (0, 55, -31.5),
    (-13, 55.5, -27.5),
    (0, 86.5, -25.5),
    (-15, 87, -21),
    (-26, 92, -9),
    (0, 99, -24.5),
    (-12, 101, -20),
    # behind the jaw, below the ear
    (-71, 10, 80),
    (-68, 38, 74),
    (-61, 62, 66),
)


def _plane(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(u, v) of points on the canonical head, [K, 3] -> [K, 2]."""
    u = ARC_RADIUS * np.arctan2(points[:, 0], AXIS_Z - points[:, 2])
    above = np.clip((EQUATOR_Y - points[:, 1]) / SKULL_RADII[1], 0, 1)
    v = np.where(above > 0, EQUATOR_Y - SKULL_RADII[1] * np.arcsin(above), points[:, 1])
    return np.stack([u, v], axis=1)


def _both_sides(points: NDArray[np.float64]) -> NDArray[np.float64]:
    mirrored = points[points[:, 0] != 0] * (-1, 1, 1)
    return np.concatenate([points, mirrored])


def _ring(
    azimuths: Array, y: float, radius_x: float, radius_z: float, z: float
) -> NDArray[np.float64]:
    radians = np.radians(azimuths)
    return np.stack(
        [
            radius_x * np.sin(radians),
            np.full_like(radians, y),
            z - radius_z * np.cos(radians),
        ],
        axis=1,
    )


def _frame_points() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Skull, back of the head, underside of the jaw and neck: positions [K, 3], plane [K, 2]."""
    around = np.arange(-180, 181, 30).astype(np.float32)
    behind = np.array([-180, -150, -120, 120, 150, 180], np.float32)
    radius_x, radius_y, radius_z = SKULL_RADII
    positions, plane = [], []
    for elevation in (24, 42, 60, 76, 90):
        shrink, rise = np.cos(np.radians(elevation)), np.sin(np.radians(elevation))
        ring = _ring(
            around, EQUATOR_Y - radius_y * rise, radius_x * shrink, radius_z * shrink, AXIS_Z
        )
        positions.append(ring)
        v = np.full(len(around), EQUATOR_Y - radius_y * np.radians(elevation))
        plane.append(np.stack([ARC_RADIUS * np.radians(around), v], axis=1))
    back = ((-30, 75, 97, 75), (5, 73, 92, 75), (40, 64, 72, 78), (75, 57, 52, 82))
    for y, half_width, half_depth, z in back:
        positions.append(_ring(behind, y, half_width, half_depth, z))
        plane.append(np.stack([ARC_RADIUS * np.radians(behind), np.full(6, y)], axis=1))
    neck = ((118, 158, 50, 46, 82), (150, 185, 51, 45, 86), (230, 250, 60, 48, 90))
    for y, row, half_width, half_depth, z in neck:
        positions.append(_ring(around, y, half_width, half_depth, z))
        plane.append(np.stack([ARC_RADIUS * np.radians(around), np.full(13, row)], axis=1))
    return np.concatenate(positions), np.concatenate(plane)


def _under_jaw(jaw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Points a little inside and below the jaw line's lower part: the jaw's underside."""
    under: NDArray[np.float64] = jaw * (0.78, 1, 1) + (0, 5, 15)
    return under


@dataclass(frozen=True, eq=False)
class Controls:
    """The control points of the generic head.

    Attributes:
        positions: float32 [K, 3] at rest; 0..97 are the 98 landmarks, 98..105 are ``LIDS_68``.
        plane: float32 [K, 2], their (u, v).
        mirror: int64 [K], the control on the face's other side.
    """

    positions: Array
    plane: Array
    mirror: NDArray[np.int64]


LANDMARK_CONTROLS = 106


@lru_cache(maxsize=1)
def controls() -> Controls:
    """The generic head's control points."""
    landmarks = np.concatenate([GENERIC_FACE_98, GENERIC_FACE_68[list(LIDS_68)]])
    relief = _both_sides(np.array(_RELIEF, np.float64))
    lower_jaw = np.arange(8, 25)
    under = _under_jaw(GENERIC_FACE_98[lower_jaw])
    frame, frame_plane = _frame_points()
    positions = np.concatenate([landmarks, relief, under, frame])

    # The plane sees the face with open mouth and eyes; the underside of the jaw unrolls below it.
    on_face = len(landmarks) + len(relief)
    opened = positions[:on_face].copy()
    opened += CANONICAL_MOUTH_OPEN * mouth_open_field(opened)
    opened += CANONICAL_LIDS_OPEN * lids_open_field(opened)
    plane = _plane(opened)
    under_plane = plane[lower_jaw] + (0, 15.0)
    plane = np.concatenate([plane, under_plane, frame_plane])

    reflected = positions * (-1, 1, 1)
    distance = np.linalg.norm(reflected[:, None] - positions[None], axis=2)
    distance += np.linalg.norm(plane[:, None] * (-1, 1) - plane[None], axis=2)
    mirror = distance.argmin(axis=1)
    mirror[:98] = SCHEME_98.mirror
    return Controls(positions.astype(np.float32), plane.astype(np.float32), mirror)


# Shares of the jaw's turn that lip landmarks follow: upper lip, corners, lower lip.
_LIP_FOLLOWS_JAW = {
    **dict.fromkeys((77, 78, 79, 80, 81, 89, 90, 91), 0.0),
    **dict.fromkeys((76, 82), 0.42),
    **dict.fromkeys((88, 92), 0.45),
    **dict.fromkeys((83, 84, 85, 86, 87, 93, 94, 95), 1.0),
}


def unit(values: NDArray[Any]) -> Array:
    """Values limited to 0..1, float32; on small arrays much faster than numpy.clip."""
    return np.asarray(np.minimum(np.maximum(values, 0), 1), np.float32)


def smoothstep(x: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    t = np.clip((x - low) / (high - low), 0, 1)
    eased: NDArray[np.float64] = t * t * (3 - 2 * t)
    return eased


def _jaw_follow(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """[K] 0..1, how far each point of the face turns with the lower jaw."""
    y, z = positions[:, 1], positions[:, 2]
    follow = smoothstep(y, 58, 92) * smoothstep(-z, -62, -18)
    follow = np.maximum(follow, 0.8 * smoothstep(y, 40, 100) * smoothstep(-z, -62, -30))
    for index, share in _LIP_FOLLOWS_JAW.items():
        follow[index] = share
    jaw_share = np.abs(np.arange(33) - 16) / 16  # 1 at the ears, 0 at the chin
    follow[:33] = 1 - smoothstep(jaw_share, 0.25, 0.95)
    return follow


def mouth_open_field(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Displacements [K, 3] of a wide open mouth: the jaw turns by 17 degrees about its joint."""
    joint = np.array([0.0, 8.0, 70.0])
    angle = np.radians(17)
    cos, sin = np.cos(angle), np.sin(angle)
    y, z = (positions - joint)[:, 1], (positions - joint)[:, 2]
    turned = np.stack([0 * y, cos * y - sin * z - y, sin * y + cos * z - z], axis=1)
    field: NDArray[np.float64] = _jaw_follow(positions)[:, None] * turned
    lower_face = np.exp(-((positions[:, 1] - 72) ** 2) / 500) * (np.abs(positions[:, 0]) < 40)
    field[:, 0] -= np.sign(positions[:, 0]) * 3.0 * lower_face  # the corners come together
    return field


def lids_open_field(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Displacements [K, 3] of eyes opening wide, lids apart by another 6 mm."""
    field = np.zeros_like(positions)
    for upper, lower in (((61, 62, 63), (65, 66, 67)), ((69, 70, 71), (73, 74, 75))):
        field[list(upper), 1] = (-3.0, -4.2, -3.2)
        field[list(lower), 1] = (1.6, 2.0, 1.6)
    lids = {37: -3.6, 38: -3.8, 40: 1.8, 41: 1.8, 43: -3.8, 44: -3.6, 46: 1.8, 47: 1.8}
    for offset, index in enumerate(LIDS_68):
        field[98 + offset, 1] = lids[index]
    return field


def _axis_lines(marks: tuple[tuple[float, int], ...]) -> NDArray[np.float64]:
    """Grid lines: ``(end, steps)`` pieces one after the other; the first piece only starts."""
    pieces = [np.array([marks[0][0]])]
    for (start, _), (end, steps) in pairwise(marks):
        pieces.append(np.linspace(start, end, steps + 1)[1:])
    return np.concatenate(pieces)


_HALF_TURN = ARC_RADIUS * np.pi
_TOP_V = EQUATOR_Y - SKULL_RADII[1] * np.pi / 2
# Grid lines are 5 to 7 mm apart where eyes and mouth move, further apart elsewhere.
GRID_U = _axis_lines(
    (
        (-_HALF_TURN, 0),
        (-130.0, 2),
        (-95.0, 2),
        (-48.0, 4),
        (48.0, 14),
        (95.0, 4),
        (130.0, 2),
        (_HALF_TURN, 2),
    )
)
GRID_V = _axis_lines(
    (
        (_TOP_V, 0),
        (-75.0, 4),
        (-27.0, 4),
        (-15.0, 2),
        (15.0, 6),
        (36.0, 3),
        (99.0, 10),
        (135.0, 4),
        (245.0, 3),
    )
)
ROWS, COLUMNS = len(GRID_V), len(GRID_U)


def grid_position(plane: NDArray[np.float32]) -> Array:
    """(u, v) [..., 2] to (column, row) of the grid, both fractional."""
    column = np.interp(plane[..., 0], GRID_U, np.arange(COLUMNS))
    row = np.interp(plane[..., 1], GRID_V, np.arange(ROWS))
    return np.stack([column, row], axis=-1).astype(np.float32)


def _kernel(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Thin-plate spline r² log r between two sets of plane points."""
    squared = ((a[:, None] - b[None]) ** 2).sum(axis=2)
    values: NDArray[np.float64] = np.where(
        squared > 0, 0.5 * squared * np.log(np.maximum(squared, 1e-12)), 0
    )
    return values


@lru_cache(maxsize=1)
def _spline() -> NDArray[np.float64]:
    """[K + 3, K]: spline coefficients = spline @ control positions."""
    plane: NDArray[np.float64] = np.asarray(controls().plane, np.float64) / PLANE_SCALE
    count = len(plane)
    affine = np.concatenate([np.ones((count, 1)), plane], axis=1)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _kernel(plane, plane)
    system[:count, count:] = affine
    system[count:, :count] = affine.T
    return np.asarray(np.linalg.inv(system)[:, :count], np.float64)


def skin_points(weights: Array, positions: Array) -> Array:
    """float32 [M, 3]: weights [M, K] times control positions [K, 3].

    einsum and not a matrix product: products of this size wake BLAS' threads, which costs more
    than it saves and may round differently on another machine.
    """
    product = np.einsum("mk,ck->mc", weights, np.ascontiguousarray(positions.T))
    return np.asarray(product, np.float32)


def weights_at(plane: NDArray[np.float32]) -> Array:
    """float32 [M, K]: points of the skin at (u, v) [M, 2] = weights @ control positions."""
    wanted = plane.astype(np.float64) / PLANE_SCALE
    known = controls().plane.astype(np.float64) / PLANE_SCALE
    basis = np.concatenate([_kernel(wanted, known), np.ones((len(wanted), 1)), wanted], axis=1)
    return np.ascontiguousarray(basis @ _spline(), np.float32)


@lru_cache(maxsize=1)
def skin_weights() -> Array:
    """float32 [ROWS * COLUMNS, K]: grid of the skin = weights @ control positions."""
    u, v = np.meshgrid(GRID_U, GRID_V)
    return weights_at(np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float32))


@lru_cache(maxsize=1)
def outwards() -> Array:
    """float32 [ROWS, COLUMNS, 3]: unit vectors away from the generic head's middle."""
    vertices = skin_points(skin_weights(), controls().positions).reshape(ROWS, COLUMNS, 3)
    away = vertices - np.array((0, 0, AXIS_Z), np.float32)
    return np.asarray(away / np.linalg.norm(away, axis=2, keepdims=True), np.float32)
