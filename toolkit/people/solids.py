"""Simple meshes in millimetres: grids, tubes, boxes, ellipsoids."""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float32]
Ints = NDArray[np.intp]
Mesh = tuple[Array, Ints]


@lru_cache(maxsize=32)
def grid_triangles(rows: int, columns: int, closed: bool = False) -> Ints:
    """Triangles [T, 3] between the vertices of a grid, row by row; ``closed``: the last column
    joins the first."""
    row, column = np.mgrid[: rows - 1, : columns - (0 if closed else 1)]
    after = (column + 1) % columns
    a, b = row * columns + column, row * columns + after
    c, d = a + columns, b + columns
    return np.stack([a, b, d, a, d, c], axis=-1).reshape(-1, 3).astype(np.intp)


def joined(*meshes: Mesh) -> Mesh:
    starts = np.cumsum([0] + [len(vertices) for vertices, _ in meshes[:-1]])
    return (
        np.concatenate([vertices for vertices, _ in meshes]),
        np.concatenate([faces + start for (_, faces), start in zip(meshes, starts, strict=True)]),
    )


def tube(path: ArrayLike, radii: ArrayLike, sectors: int = 8, flat: float = 1.0) -> Mesh:
    """A round bar along a path [P, 3] with a radius at each point and round ends.

    Args:
        flat: thickness over width; the width lies across the path and the z axis.
    """
    points, radius = np.asarray(path, np.float64), np.asarray(radii, np.float64)
    along = np.gradient(points, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    # Half-round ends: two narrower rings beyond each.
    first, last = points[0], points[-1]
    ends = ((0.98, 0.2), (0.75, 0.66))
    points = np.concatenate([
        [first - along[0] * radius[0] * out for out, _ in ends], points,
        [last + along[-1] * radius[-1] * out for out, _ in ends[::-1]],
    ])  # fmt: skip
    radius = np.concatenate([
        [radius[0] * share for _, share in ends], radius,
        [radius[-1] * share for _, share in ends[::-1]],
    ])  # fmt: skip
    along = np.concatenate([along[:1], along[:1], along, along[-1:], along[-1:]])
    across = np.cross(along, (0, 0, 1))
    steep = np.linalg.norm(across, axis=1) < 0.1
    across[steep] = np.cross(along[steep], (0, 1, 0))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    other = np.cross(along, across) * flat
    turn = np.arange(sectors) * 2 * np.pi / sectors
    rings = points[:, None] + radius[:, None, None] * (
        np.cos(turn)[:, None] * across[:, None] + np.sin(turn)[:, None] * other[:, None]
    )
    return rings.reshape(-1, 3).astype(np.float32), grid_triangles(len(points), sectors, True)


def ellipsoid(middle: ArrayLike, radii: ArrayLike, rows: int = 9, sectors: int = 14) -> Mesh:
    down = np.linspace(0.02, np.pi - 0.02, rows)
    turn = np.arange(sectors) * 2 * np.pi / sectors
    sphere = np.stack(
        [
            np.sin(down)[:, None] * np.cos(turn),
            np.repeat(-np.cos(down)[:, None], sectors, axis=1),
            np.sin(down)[:, None] * np.sin(turn),
        ],
        axis=-1,
    )
    vertices = np.asarray(middle) + sphere * np.asarray(radii)
    return vertices.reshape(-1, 3).astype(np.float32), grid_triangles(rows, sectors, True)


def box(middle: ArrayLike, sides: ArrayLike) -> Mesh:
    """Six faces with corners of their own, so that edges stay sharp; each of 5 x 5 vertices."""
    steps = np.linspace(-0.5, 0.5, 5)
    u, v = np.meshgrid(steps, steps, indexing="ij")
    meshes = []
    for axis in range(3):
        for sign in (-0.5, 0.5):
            face = np.empty((5, 5, 3))
            face[..., axis] = sign
            face[..., (axis + 1) % 3], face[..., (axis + 2) % 3] = u, v
            vertices = np.asarray(middle) + face * np.asarray(sides)
            meshes.append((vertices.reshape(-1, 3).astype(np.float32), grid_triangles(5, 5)))
    return joined(*meshes)


def strip(path: ArrayLike, width: ArrayLike) -> Mesh:
    """A band along a path [P, 3]; ``width`` [3] leads from one edge to the other."""
    points = np.asarray(path, np.float64)
    half = np.asarray(width, np.float64) / 2
    vertices = np.stack([points - half, points + half], axis=1).reshape(-1, 3)
    return vertices.astype(np.float32), grid_triangles(len(points), 2)


def ring(middle: ArrayLike, outline: NDArray[np.float64], width: float) -> Mesh:
    """A flat frame along a closed outline [P, 2] about a middle, facing -z."""
    outwards = outline / np.maximum(np.linalg.norm(outline, axis=1, keepdims=True), 1e-9)
    edges = np.stack([outline - outwards * width / 2, outline + outwards * width / 2])
    vertices = np.concatenate([edges, np.zeros((*edges.shape[:2], 1))], axis=2)
    vertices = vertices.reshape(-1, 3) + np.asarray(middle)
    return vertices.astype(np.float32), grid_triangles(2, len(outline), True)


def disc(middle: ArrayLike, outline: NDArray[np.float64]) -> Mesh:
    """A flat plate within an outline [P, 2] about a middle, facing -z."""
    rim = np.concatenate([outline, np.zeros((len(outline), 1))], axis=1)
    vertices = np.concatenate([[(0.0, 0.0, 0.0)], rim]) + np.asarray(middle)
    number = np.arange(len(outline))
    after = (number + 1) % len(outline)
    triangles = np.stack([np.zeros_like(number), number + 1, after + 1], axis=1)
    return vertices.astype(np.float32), triangles.astype(np.intp)
