"""Drawing a grid of quads in 3-D: which quad is seen at each pixel, where its texture is read.

The quads between vertices are drawn from far to near into a picture of quad numbers (the painter's
algorithm), then every pixel reads the texture through the affine map that takes its quad on the
screen to its cell of the grid. *Cell coordinates* (column, row) are vertex indices.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# A screen quad is filled with its border pixels, so a pixel's centre may lie outside of it. Where a
# quad is seen edge-on, one pixel would be many cells: no map moves further than this per pixel.
REACH = 1.0
# Twice a quad's area, pixels; what is smaller is covered by its neighbours' border pixels.
MIN_AREA = 0.2
SUBPIXEL_BITS = 4  # of the fixed-point corners that OpenCV fills


@dataclass(frozen=True, eq=False)
class Grid:
    """A grid of vertices on the screen.

    Attributes:
        x, y: float32 [H, W], pixels of the picture that is drawn.
        depth: float32 [H, W], larger is further away.
        quads: bool [H - 1, W - 1], which cells are drawn.
        two_sided: bool [H, 1], rows of vertices below which a quad is drawn from behind too; others
            are drawn where the corners (row, column), (row, column + 1), (row + 1, column + 1) ...
            run clockwise.
    """

    x: Array
    y: Array
    depth: Array
    quads: NDArray[np.bool_]
    two_sided: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Raster:
    """What is seen at each pixel.

    Attributes:
        covered: bool [size, size].
        cells: float32 [size, size, 2], cell coordinates (column, row); (-9, -9) uncovered.
    """

    covered: NDArray[np.bool_]
    cells: Array


def rasterise(grid: Grid, size: int) -> Raster:
    """Draw a grid's quads over each other, far to near, on ``size`` x ``size`` pixels."""
    first, cells = _visible(grid, size)
    columns = grid.x.shape[1]
    corner = first + np.array([[0], [1], [columns + 1], [columns]])  # [4, K], clockwise
    depth = grid.depth.reshape(-1)[corner]
    order = np.argsort(-(depth[0] + depth[1] + depth[2] + depth[3]))
    corner, cells = corner[:, order], cells[:, order]
    x, y = grid.x.reshape(-1)[corner], grid.y.reshape(-1)[corner]

    numbers = np.full((size, size), len(order), np.int32)
    quads = np.stack([x.T, y.T], axis=2)  # [K, 4, 2]
    fixed_point = np.rint(quads * np.float32(1 << SUBPIXEL_BITS)).astype(np.int32)
    fill = cv2.fillConvexPoly
    for number, quad in enumerate(list(fixed_point)):
        fill(numbers, quad, number, 8, SUBPIXEL_BITS)
    return _read_cells(numbers, x, y, cells)


def _visible(grid: Grid, size: int) -> tuple[NDArray[np.int64], Array]:
    """Flat index [K] of the first corner of each quad that can be seen, and cell middles [2, K]."""
    x, y = grid.x, grid.y
    ax, bx, cx, dx = x[:-1, :-1], x[:-1, 1:], x[1:, 1:], x[1:, :-1]
    ay, by, cy, dy = y[:-1, :-1], y[:-1, 1:], y[1:, 1:], y[1:, :-1]
    area = (cx - ax) * (dy - by) - (cy - ay) * (dx - bx)
    visible = np.where(grid.two_sided[:-1], np.abs(area), area) > MIN_AREA
    visible &= grid.quads
    # A quad is far smaller than the picture, so one whose diagonal lies outside is left out.
    visible &= (np.maximum(ax, cx) >= 0) & (np.minimum(ax, cx) < size)
    visible &= (np.maximum(ay, cy) >= 0) & (np.minimum(ay, cy) < size)
    row, column = np.nonzero(visible)
    cells = np.stack([column, row]).astype(np.float32) + np.float32(0.5)
    return row * x.shape[1] + column, cells


def _read_cells(numbers: NDArray[np.int32], x: Array, y: Array, cells: Array) -> Raster:
    """Turn quad numbers into cell coordinates by each quad's affine map screen -> cell.

    Args:
        numbers: int32 [size, size]; K where there is no quad.
        x, y: float32 [4, K], corners on the screen, clockwise from the cell's first vertex.
        cells: float32 [2, K], (column, row) of the cells' middles.
    """
    size, count = len(numbers), x.shape[1]
    corners = np.stack([x, y])  # [2, 4, K]
    a, b, c, d = corners.transpose(1, 0, 2)
    middle = (a + b + c + d) / 4
    along_column, along_row = (b - a + c - d) / 2, (d - a + c - b) / 2
    determinant = along_column[0] * along_row[1] - along_column[1] * along_row[0]
    determinant = np.where(np.abs(determinant) < 1e-3, np.float32(np.inf), determinant)
    # Rows of the inverse of [along_column, along_row]: screen offset -> cell offset.
    column_step = np.stack([along_row[1], -along_row[0]]) / determinant
    row_step = np.stack([-along_column[1], along_column[0]]) / determinant

    # [quads + 1, 6]: column = a x + b y + c and row = d x + e y + f; the last is the background.
    maps = np.full((count + 1, 6), (0, 0, -9, 0, 0, -9), np.float32)
    for first, step, cell in ((0, column_step, cells[0]), (3, row_step, cells[1])):
        step /= np.maximum(1, (np.abs(step[0]) + np.abs(step[1])) / REACH)
        maps[:-1, first] = step[0]
        maps[:-1, first + 1] = step[1]
        maps[:-1, first + 2] = cell - step[0] * middle[0] - step[1] * middle[1]
    read = np.take(maps, numbers.reshape(-1), axis=0).reshape(size, size, 6)
    across = np.arange(size, dtype=np.float32)
    down = across[:, None]
    found = np.empty((size, size, 2), np.float32)
    for axis, first in ((0, 0), (1, 3)):
        along = read[..., first] * across
        along += read[..., first + 1] * down
        np.add(along, read[..., first + 2], out=found[..., axis])
    return Raster(numbers < count, found)
