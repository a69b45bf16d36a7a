"""Landmarks: fixed mixes of the mesh's vertices, and where the visible contour runs.

Two conventions:

* *3-D*: a point is a place on the head, hidden or not (300W-LP, AFLW2000-3D);
* *visible contour*: as people mark photographs (300-W, WFLW). Where the cheek hides the jaw line, a
  jaw point lies on the outline of the face at the same height. Seventeen *parallels* run on each
  side of the head from the jaw line towards the middle of the face; of each the label is the point
  that lies outermost in the picture.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import UsageError
from asmnet_kit.face.pose import rotation_matrix
from asmnet_kit.face.schemes import SCHEME_68
from asmnet_kit.people.assets import Strands, load
from asmnet_kit.people.placement import in_head, offsets_68, offsets_98, turns_68

Array = NDArray[np.float32]
Project = Callable[[Array], Array]  # points [N, 3] of the head to [N, 3]: x, y pixels and depth

JAW = 33  # of the 98
RIGHT_BROW = (37, 36, 35, 34, 33, 38, 39, 40, 41)  # subject's right: inner to outer, then lower
LEFT_BROW = (42, 43, 44, 45, 46, 50, 49, 48, 47)
PUPILS = (96, 97)
# Landmarks of the 68 in the 98; the 68 have lid points of their own.
FROM_98 = (
    *range(0, JAW, 2), *range(33, 38), *range(42, 47), *range(51, 60),
    60, -1, -1, 64, -1, -1, 68, -1, -1, 72, -1, -1, *range(76, 96),
)  # fmt: skip
# The 68's own: [right, left eye], upper 1/3, 2/3, lower 1/3, 2/3 from the inner corner.
LIDS_68 = np.array([[38, 37, 40, 41], [43, 44, 47, 46]])
IN_68, OF_98 = (
    np.array(numbers)
    for numbers in zip(*((i, n) for i, n in enumerate(FROM_98) if n >= 0), strict=True)
)


@dataclass(frozen=True, eq=False)
class VertexScheme:
    """Landmarks as mixes of vertices: arguments of ``mesh_landmarks``."""

    vertices: NDArray[np.integer]
    weights: Array


@dataclass(frozen=True, eq=False)
class HeadPoints:
    """Landmarks on a head, mm, before it is turned.

    Attributes:
        all98: float32 [98, 3], 3-D convention.
        lids: float32 [2, 4, 3], the 68's own lid points.
        parallels: float32 [2, 17, A, 3], subject's right and left, from ear to chin; the first
            point of each is on the jaw line.
    """

    all98: Array
    lids: Array
    parallels: Array

    def as_marked(self, turned: tuple[float, float] | None = None) -> "HeadPoints":
        """Where annotators put them: moved by the tables of ``placement``.

        Args:
            turned: yaw and pitch in degrees, of a head that is marked in its picture; None for the
                places on the head itself (3-D convention).
        """
        offsets68, offsets98 = _offsets()
        if turned is not None:
            by_turn = in_head(turns_68(SCHEME_68.mirror, *turned), *turned)
            offsets68 = offsets68 + by_turn
            offsets98 = offsets98 + offsets_98(by_turn, IN_68, OF_98)
        return HeadPoints(
            self.all98 + offsets98,
            self.lids + offsets68[LIDS_68],
            self.parallels + _sides(offsets98[:JAW])[:, :, None],
        )


@lru_cache(maxsize=1)
def _offsets() -> tuple[Array, Array]:
    """Of the 68 and the 98, [N, 3] mm."""
    offsets = offsets_68(SCHEME_68.mirror)
    return offsets, offsets_98(offsets, IN_68, OF_98)


def turn_moves(yaw: float, pitch: float, roll: float) -> dict[int, Array]:
    """How far annotators move the 68 and the 98 because a head is turned, float32 [N, 2] each: mm
    in its picture, x right and y down.

    Args:
        yaw, pitch, roll: degrees.
    """
    upright = turns_68(SCHEME_68.mirror, yaw, pitch)
    turn = rotation_matrix(0, 0, roll)[:2, :2].astype(np.float32)
    return {68: upright @ turn.T, 98: offsets_98(upright, IN_68, OF_98) @ turn.T}


def _sides(jaw: Array) -> Array:
    """[33, C] along the jaw -> [2, 17, C], subject's right and left, each from ear to chin."""
    return np.stack([jaw[:17], jaw[:15:-1]])


def mesh_landmarks(head: Array, vertices: NDArray[np.integer], weights: Array) -> Array:
    """Points of any scheme that is given as mixes of vertices.

    Args:
        head: float32 [V, 3], a head of asmnet_kit.people.shape, or its vertices in the picture.
        vertices: [N, K] numbers in MakeHuman's base.obj, from 0; of the part above the shoulders.
        weights: [N, K]; each row sums to 1.

    Returns:
        float32 [N, 3].

    Raises:
        UsageError: a vertex that the packed head has not, or shapes that do not fit.
    """
    vertices, weights = np.asarray(vertices), np.asarray(weights, np.float32)
    if vertices.ndim != 2 or vertices.shape != weights.shape:
        raise UsageError(
            f"expected vertices and weights [N, K], got {vertices.shape} and {weights.shape}"
        )
    numbers = load().base_numbers
    at = np.minimum(np.searchsorted(numbers, vertices), len(numbers) - 1)
    missing = vertices[numbers[at] != vertices]
    if missing.size:
        raise UsageError(
            f"expected vertices of the head, neck and shoulders of MakeHuman's base.obj, got "
            f"{missing.flat[0]}, which is not packed"
        )
    return mixed(head, at, weights)


def mixed(values: Array, vertices: NDArray[np.integer], weights: Array) -> Array:
    """Values [V, 3] mixed: vertices and weights [..., K] -> [..., 3]."""
    found: Array = np.einsum("...kd,...k->...d", values[vertices], weights).astype(np.float32)
    return found


def jaw_mixed(values: Array) -> Array:
    """Values [V, 3] of the head's vertices at the jaw's 33 places on the mesh: [33, 3]."""
    assets = load()
    sides = mixed(values, assets.jaw_vertices[:, :, 0], assets.jaw_weights[None, :, 0])
    return np.concatenate([sides[0], sides[1, 15::-1]])


def head_points(head: Array, brows: Strands, brow_vertices: Array, pupils: Array) -> HeadPoints:
    """The landmarks of a head.

    Args:
        head: float32 [V, 3].
        brow_vertices: float32 [N, 3], where the brows lie on this head.
        pupils: float32 [2, 3], subject's right and left.
    """
    assets = load()
    parallels = mixed(head, assets.jaw_vertices, assets.jaw_weights[None])
    points = np.zeros((98, 3), np.float32)
    points[:17] = parallels[0, :, 0]
    points[16:JAW] = parallels[1, ::-1, 0]
    outline = mixed(brow_vertices, brows.point_vertices, brows.point_weights)
    points[list(RIGHT_BROW)], points[list(LEFT_BROW)] = outline
    points[assets.point_numbers] = mixed(head, assets.point_vertices, assets.point_weights)
    points[list(PUPILS)] = pupils
    lids = mixed(head, assets.lid_vertices, assets.lid_weights[None])
    return HeadPoints(points, lids, parallels)


def points_68(points98: Array, lids: Array) -> Array:
    """The 68 of a face whose 98 and own lid points are given, any number of coordinates."""
    points = np.empty((68, points98.shape[1]), np.float32)
    points[IN_68] = points98[OF_98]
    points[LIDS_68.reshape(-1)] = lids.reshape(8, -1)
    return points


def visible_contour(parallels: Array, roll: float) -> Array:
    """The jaw's 33 points as photographs are marked: float32 [33, C].

    Args:
        parallels: float32 [2, 17, A, C], in the picture: x, y and what else goes along.
        roll: degrees, clockwise, of the head in the picture.
    """
    turn = np.radians(roll)
    across = np.array([np.cos(turn), np.sin(turn)], np.float32)
    down = np.array([-np.sin(turn), np.cos(turn)], np.float32)
    slope = np.linspace(0, np.pi / 2, 17, dtype=np.float32)[:, None]
    contour = np.empty((2, 17, parallels.shape[3]), np.float32)
    for side, sign in enumerate((-1, 1)):
        outwards = np.cos(slope) * across * sign + np.sin(slope) * down  # [17, 2]
        outermost = np.einsum("iad,id->ia", parallels[side, ..., :2], outwards).argmax(axis=1)
        contour[side] = parallels[side, np.arange(17), outermost]
    return np.concatenate([contour[0], contour[1, 15::-1]])
