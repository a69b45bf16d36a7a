"""Which triangle is seen at each pixel: a z-buffer in NumPy.

Triangles of a head are small, so they are grouped by the size of their bounding boxes and the
pixels of a whole group are tested at once. What is covered comes as a flat list of *fragments*;
the nearest of each pixel is found with one 64-bit key per fragment (depth above, number below).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Indices = NDArray[np.intp]

GROUPS_PER_DOUBLING = 1.5  # of a box's longer side
PART_PIXELS = 65_536
MIN_AREA = 1e-4  # twice the area of a triangle on the screen, pixels
EMPTY = np.uint64(0xFFFFFFFFFFFFFFFF)
NUMBER_BITS = np.uint64(32)


@dataclass(frozen=True, eq=False)
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
        number = np.flatnonzero(which) if which.dtype == np.bool_ else which
        return Fragments(
            self.pixels.take(number),
            self.triangles.take(number),
            self.second.take(number),
            self.third.take(number),
            self.depth.take(number),
        )

    def mixed(self, values: Array, triangles: NDArray[np.integer]) -> Array:
        """Values [V, ...] of the vertices, interpolated at the fragments: [F, ...]."""
        corners = triangles[self.triangles]
        shape = (-1,) + (1,) * (values.ndim - 1)
        second, third = self.second.reshape(shape), self.third.reshape(shape)
        found: Array = values.take(corners[:, 0], axis=0)
        found *= 1 - second - third
        for weight, corner in ((second, 1), (third, 2)):
            part = values.take(corners[:, corner], axis=0)
            part *= weight
            found += part
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

    longer = np.maximum(wide[kept], high[kept]) + 1
    group = np.ceil(np.log2(longer) * GROUPS_PER_DOUBLING).astype(np.int32)
    order = np.argsort(group, kind="stable")
    kept, group = kept[order], group[order]
    wide, high, left, top = wide[kept], high[kept], left[kept], top[kept]
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    ends = np.append(starts[1:], len(group))[: len(starts)]  # none where nothing is in view

    inverse = 1 / area[kept]
    dx, dy = left - corner_x[kept, 0], top - corner_y[kept, 0]
    # A corner's weight is linear in the pixel: across x column + down x row + at.
    second = np.stack([vy[kept] * inverse, -vx[kept] * inverse, np.zeros_like(dx)], axis=1)
    third = np.stack([-uy[kept] * inverse, ux[kept] * inverse, np.zeros_like(dx)], axis=1)
    for weight in (second, third):
        weight[:, 2] = dx * weight[:, 0] + dy * weight[:, 1]
    corner = (top * size + left).astype(np.intp)  # of each triangle's box, as a pixel

    pixels, numbers, seconds, thirds = [], [], [], []
    for start, end in _parts(starts, ends, group):
        columns, rows = int(wide[start:end].max()) + 1, int(high[start:end].max()) + 1
        row, column = np.divmod(np.arange(rows * columns), columns)
        place = np.stack([column, row, np.ones_like(row)]).astype(np.float32)
        of_second, of_third = second[start:end] @ place, third[start:end] @ place  # [n, places]
        inside = np.minimum(of_second, of_third) >= 0
        inside &= of_second + of_third <= 1
        found = np.flatnonzero(inside)
        number = np.repeat(np.arange(start, end), np.count_nonzero(inside, axis=1))
        at = found - (number - start) * len(row)
        seconds.append(of_second.reshape(-1)[found])
        thirds.append(of_third.reshape(-1)[found])
        numbers.append(number)
        pixels.append(corner[number] + (row * size + column)[at])
        # Only a box that the picture's border cuts can hold pixels of the triangle beyond it.
        outer = (column[at] > wide[number]) | (row[at] > high[number])
        if outer.any():
            for flat in (seconds, thirds, numbers, pixels):
                flat[-1] = flat[-1][~outer]
    if not numbers:
        nothing, none = np.zeros(0, np.intp), np.zeros(0, np.float32)
        return Fragments(nothing, nothing, none, none, none)
    number = np.concatenate(numbers)
    weights = np.concatenate(seconds), np.concatenate(thirds)
    corner_depth = depth[triangles[kept]]
    away = corner_depth[:, 0][number]
    for weight, other in zip(weights, (1, 2), strict=True):
        away += weight * (corner_depth[:, other] - corner_depth[:, 0])[number]
    return Fragments(np.concatenate(pixels), kept[number], *weights, away)


def _parts(
    starts: NDArray[np.intp], ends: NDArray[np.intp], group: NDArray[np.int32]
) -> Iterator[tuple[int, int]]:
    """Groups cut into parts whose boxes have about ``PART_PIXELS`` pixels: these stay in cache."""
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        longest = np.exp2(group[start] / GROUPS_PER_DOUBLING)
        step = max(1, int(PART_PIXELS / (longest * longest)))
        for first in range(start, end, step):
            yield first, min(first + step, end)


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
