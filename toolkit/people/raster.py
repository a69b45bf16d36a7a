"""Which triangle is seen at each pixel: a z-buffer in NumPy.

Triangles of a head are small, so they are grouped by the size of their bounding boxes and the
pixels of a whole group are tested at once. What is covered comes as a flat list of *fragments*;
the nearest of each pixel is found with one 64-bit key per fragment (depth above, number below).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Indices = NDArray[np.intp]

MIN_AREA = 1e-4  # twice the area of a triangle on the screen, pixels
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
NUMBER_BITS = np.uint64(32)


@dataclass(frozen=True)
class Fragments:
    """Where triangles cover pixel centres, F of them.

    Attributes:
        pixels: intp [F], row x size + column.
        triangles: intp [F], number of the triangle.
        second, third: float32 [F], weights of the triangle's second and third corner.
        depth: float32 [F], larger is further away.
    """

    pixels: Indices
    triangles: Indices
    second: Array
    third: Array
    depth: Array

    def __len__(self) -> int:
        return len(self.pixels)

    def chosen(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> "Fragments":
        """The fragments of an index or a mask."""
        return Fragments(
            self.pixels[which],
            self.triangles[which],
            self.second[which],
            self.third[which],
            self.depth[which],
        )

    def mixed(self, values: Array, triangles: NDArray[np.integer]) -> Array:
        """Values [V, ...] of the vertices, interpolated at the fragments: [F, ...]."""
        corners = triangles[self.triangles]
        shape = (-1,) + (1,) * (values.ndim - 1)
        second, third = self.second.reshape(shape), self.third.reshape(shape)
        first = values[corners[:, 0]]
        found: Array = (
            first
            + second * (values[corners[:, 1]] - first)
            + third * (values[corners[:, 2]] - first)
        )
        return found


def rasterise(
    x: Array,
    y: Array,
    depth: Array,
    triangles: NDArray[np.integer],
    size: int,
    *,
    two_sided: bool = False,
) -> Fragments:
    """Every pixel centre that a triangle covers.

    Args:
        x, y: float32 [V], pixels, 0-based, (0, 0) the centre of the top-left pixel.
        depth: float32 [V], positive.
        triangles: [T, 3] vertices; clockwise on the screen where the front is seen.
        size: side of the picture, pixels.
        two_sided: draw triangles seen from behind too.
    """
    corner_x, corner_y = x[triangles], y[triangles]  # [T, 3]
    ux, uy = corner_x[:, 1] - corner_x[:, 0], corner_y[:, 1] - corner_y[:, 0]
    vx, vy = corner_x[:, 2] - corner_x[:, 0], corner_y[:, 2] - corner_y[:, 0]
    area = ux * vy - uy * vx
    left = np.maximum(np.ceil(np.minimum(np.minimum(ux, vx), 0) + corner_x[:, 0]), 0)
    top = np.maximum(np.ceil(np.minimum(np.minimum(uy, vy), 0) + corner_y[:, 0]), 0)
    wide = np.minimum(np.maximum(np.maximum(ux, vx), 0) + corner_x[:, 0], size - 1) - left
    high = np.minimum(np.maximum(np.maximum(uy, vy), 0) + corner_y[:, 0], size - 1) - top
    seen = (np.abs(area) if two_sided else area) > MIN_AREA
    kept = np.nonzero(seen & (wide >= 0) & (high >= 0))[0]

    wide, high = wide[kept].astype(np.int32) + 1, high[kept].astype(np.int32) + 1
    # Half-powers of two: a group's box is at most 1.4 times as wide as its narrowest triangle's.
    group = np.ceil(2 * np.log2(np.maximum(wide, high))).astype(np.int32)
    order = np.argsort(group, kind="stable")
    kept, group = kept[order], group[order]
    wide, high = wide[order], high[order]
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    ends = np.append(starts[1:], len(group))

    inverse = (1 / area[kept]).astype(np.float32)
    left, top = left[kept], top[kept]
    dx, dy = left - corner_x[kept, 0], top - corner_y[kept, 0]
    # Corner weights are linear in the pixel: weight = at + across x column + down x row.
    second_across, second_down = vy[kept] * inverse, -vx[kept] * inverse
    third_across, third_down = -uy[kept] * inverse, ux[kept] * inverse
    second_at = dx * second_across + dy * second_down
    third_at = dx * third_across + dy * third_down

    numbers, rows, columns, seconds, thirds = [], [], [], [], []
    for start, end in zip(starts, ends, strict=True):
        part = slice(start, end)
        across = np.arange(wide[part].max(), dtype=np.float32)
        down = np.arange(high[part].max(), dtype=np.float32)
        second = _plane(second_at[part], second_across[part], second_down[part], across, down)
        third = _plane(third_at[part], third_across[part], third_down[part], across, down)
        inside = (second >= 0) & (third >= 0)
        inside &= second + third <= 1
        inside &= (across < wide[part][:, None])[:, None, :]
        inside &= (down < high[part][:, None])[:, :, None]
        number, row, column = np.nonzero(inside)
        numbers.append(number + start)
        rows.append(row)
        columns.append(column)
        seconds.append(second[inside])
        thirds.append(third[inside])
    if not numbers:
        nothing, none = np.zeros(0, np.intp), np.zeros(0, np.float32)
        return Fragments(nothing, nothing, none, none, none)
    number = np.concatenate(numbers)
    second, third = np.concatenate(seconds), np.concatenate(thirds)
    corner = (top * size + left).astype(np.intp)  # of each triangle's box
    pixels = corner[number] + np.concatenate(rows) * size + np.concatenate(columns)
    triangle = kept[number]
    corner_depth = depth[triangles[kept]]
    first = corner_depth[:, 0]
    found = (
        first[number]
        + second * (corner_depth[:, 1] - first)[number]
        + third * (corner_depth[:, 2] - first)[number]
    )
    return Fragments(pixels, triangle, second, third, found)


def _plane(at: Array, per_column: Array, per_row: Array, across: Array, down: Array) -> Array:
    """at + per_column x across + per_row x down: [N, rows, columns]."""
    rows = at[:, None] + per_row[:, None] * down
    plane: Array = rows[:, :, None] + (per_column[:, None] * across)[:, None, :]
    return plane


def nearest(fragments: Fragments, size: int) -> Fragments:
    """The nearest fragment of each pixel that has one, in the order of the pixels."""
    key = fragments.depth.view(np.uint32).astype(np.uint64) << NUMBER_BITS
    key |= np.arange(len(key), dtype=np.uint64)
    winners = np.full(size * size, EMPTY)
    np.minimum.at(winners, fragments.pixels, key)
    winners = winners[winners != EMPTY]
    return fragments.chosen((winners & np.uint64(0xFFFFFFFF)).astype(np.intp))


def vertex_normals(vertices: Array, triangles: NDArray[np.integer]) -> Array:
    """Unit normals [V, 3]: the mean of the neighbouring triangles', weighted by their area.

    They point out of a surface whose triangles run clockwise, seen from outside, where y points
    down.
    """
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    u, v = b - a, c - a
    normal = np.empty_like(u)
    for axis in range(3):
        one, two = (axis + 1) % 3, (axis + 2) % 3
        normal[:, axis] = u[:, two] * v[:, one] - u[:, one] * v[:, two]
    summed = np.empty_like(vertices)
    flat = triangles.T.reshape(-1)
    for axis in range(3):
        summed[:, axis] = np.bincount(flat, np.tile(normal[:, axis], 3), len(vertices))
    length = np.sqrt(np.einsum("ij,ij->i", summed, summed))
    summed /= np.maximum(length, 1e-9)[:, None]
    return summed
