"""Everything of a person that is drawn: the meshes of head, eyes, mouth, hair and brows."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.face.pose import rotation_matrix
from asmnet_kit.people.assets import SKIN, Strands, load
from asmnet_kit.people.labels import HeadPoints, head_points
from asmnet_kit.people.look import Look
from asmnet_kit.people.raster import vertex_normals
from asmnet_kit.people.shape import Expression, Identity, proxy_scale, shaped

Array = NDArray[np.float32]
Ints = NDArray[np.intp]

EYE_RINGS, EYE_SECTORS, EYE_REACH = 10, 18, 0.62 * np.pi  # a dome: the back is never seen
CORNEA_HEIGHT, CORNEA_WIDTH = 0.05, 0.32  # share of the radius; radians
EYE_FIT = 0.985  # of the base mesh's eyeball: lids keep a little distance
LIPS_APART_MM = 1.0
TEETH_SIZE, TEETH_BACK_MM = 0.94, 3.5  # they would pierce the lips


@dataclass(frozen=True, eq=False)
class Part:
    """A mesh of the unposed person, mm.

    Attributes:
        vertices, triangles: float32 [N, 3], intp [T, 3].
        strands: the asset whose texture it wears, if it is one.
    """

    vertices: Array
    triangles: Ints
    strands: Strands | None = None


@dataclass(frozen=True, eq=False)
class Body:
    """Attributes:
    head: float32 [V, 3]; eyes: two domes; eye_directions: float32 [N, 3], each dome's.
    teeth: None behind closed lips; hair: None on bald heads.
    points: the landmarks.
    iris: float32 [2, 5, 3]: subject's right and left: middle, right, upper, left, lower end.
    """

    head: Array
    eyes: tuple[Part, Part]
    eye_directions: Array
    teeth: Part | None
    hair: Part | None
    brows: Part
    lashes: Part
    points: HeadPoints
    iris: Array


@lru_cache(maxsize=1)
def _dome() -> tuple[Array, Ints]:
    """Unit directions [N, 3] around (0, 0, -1), and triangles."""
    rings = np.linspace(0, 1, EYE_RINGS)[1:] ** 0.8 * EYE_REACH
    around = np.arange(EYE_SECTORS) * 2 * np.pi / EYE_SECTORS
    out, turn = (grid.reshape(-1) for grid in np.meshgrid(rings, around, indexing="ij"))
    circle = np.stack(
        [np.sin(out) * np.cos(turn), np.sin(out) * np.sin(turn), -np.cos(out)], axis=1
    )
    directions = np.concatenate([[[0, 0, -1]], circle]).astype(np.float32)
    triangles = []
    for sector in range(EYE_SECTORS):
        after = (sector + 1) % EYE_SECTORS
        triangles.append((0, 1 + sector, 1 + after))
        for ring in range(EYE_RINGS - 2):
            inner, outer = 1 + ring * EYE_SECTORS, 1 + (ring + 1) * EYE_SECTORS
            triangles.append((inner + sector, outer + sector, outer + after))
            triangles.append((inner + sector, outer + after, inner + after))
    return directions, np.array(triangles, np.intp)


def _eyeball(vertices: Array) -> tuple[Array, float]:
    """Middle and radius of the sphere that fits best."""
    points = vertices.astype(np.float64)
    rows = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    found = np.linalg.lstsq(rows, (points**2).sum(axis=1), rcond=None)[0]
    return found[:3].astype(np.float32), float(np.sqrt(found[3] + (found[:3] ** 2).sum()))


def build(identity: Identity, expression: Expression, look: Look) -> Body:
    """A person's meshes and landmarks before the head is turned."""
    assets = load()
    _, head = shaped(identity, expression)
    scale = proxy_scale(head)
    directions, triangles = _dome()
    bulge = np.exp(-1.2 * (np.arccos(np.clip(-directions[:, 2], -1, 1)) / CORNEA_WIDTH) ** 2)
    ball = directions * (1 + np.float32(CORNEA_HEIGHT) * bulge[:, None].astype(np.float32))
    eyes, pupils, iris = [], [], []
    right, up = expression.gaze
    for side, vertices in enumerate(assets.eyes):
        middle, radius = _eyeball(head[vertices])
        converging = 2.0 if side == 0 else -2.0
        turn = rotation_matrix(right + converging, up, 0).astype(np.float32)
        eyes.append(Part(middle + ball * np.float32(radius * EYE_FIT) @ turn.T, triangles))
        pupils.append(middle + radius * turn @ np.array([0, 0, -1], np.float32))
        iris.append(middle + np.float32(radius) * _iris_ring() @ turn.T)
    brow_vertices = look.brows.placed(head, scale)
    parts = {
        kind: Part(strands.placed(head, scale), strands.triangles, strands)
        for kind, strands in (("lashes", look.lashes), ("hair", look.hair))
        if strands is not None
    }
    return Body(
        head=head,
        eyes=(eyes[0], eyes[1]),
        eye_directions=directions,
        teeth=_teeth(head, scale, look.teeth),
        hair=parts.get("hair"),
        brows=Part(brow_vertices, look.brows.triangles, look.brows),
        lashes=parts["lashes"],
        points=head_points(head, look.brows, brow_vertices, np.stack(pupils)),
        iris=np.stack(iris).astype(np.float32),
    )


def _iris_ring() -> Array:
    """Directions [5, 3]: middle, image's right, upper, left and lower end of the iris."""
    from asmnet_kit.people.surface import IRIS_RADIUS

    sin, cos = np.sin(IRIS_RADIUS), -np.cos(IRIS_RADIUS)
    ring = [(0, 0, -1), (sin, 0, cos), (0, -sin, cos), (-sin, 0, cos), (0, sin, cos)]
    return np.array(ring, np.float32)


def _teeth(head: Array, scale: Array, teeth: Strands) -> Part | None:
    lips = head[load().inner_lip]
    half = len(lips) // 2
    gap = np.linalg.norm(lips[1:half] - lips[:half:-1][: half - 1], axis=1).max()
    if gap < LIPS_APART_MM:
        return None
    vertices = teeth.placed(head, scale)
    middle = vertices.mean(axis=0)
    vertices = (vertices - middle) * np.float32(TEETH_SIZE) + middle
    vertices[:, 2] += np.float32(TEETH_BACK_MM)
    return Part(vertices, teeth.triangles, teeth)


@lru_cache(maxsize=1)
def head_triangles() -> tuple[Ints, int]:
    """All triangles of the head mesh, the skin's first, and how many of them are skin."""
    assets = load()
    order = np.argsort(assets.parts != SKIN, kind="stable")
    return order.astype(np.intp), int((assets.parts == SKIN).sum())


def normals(vertices: Array, triangles: Ints) -> Array:
    return vertex_normals(vertices, triangles)
