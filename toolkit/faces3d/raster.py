"""Drawing grids of quads in 3-D: which quad is seen at each pixel, and where its texture is read.

Surfaces are grids of vertices. Their quads are drawn from far to near into a picture of quad
numbers (the painter's algorithm), then every pixel reads the texture through the affine map that
takes its quad on the screen to its cell of the grid. A surface's *cell coordinates* (column, row)
are its vertex indices; several surfaces share one atlas, each in its own band of rows.
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


@dataclass(frozen=True)
class Surface:
    """A grid of vertices on the screen.

    Attributes:
        screen: float32 [H, W, 2], pixels of the picture that is drawn.
        depth: float32 [H, W], larger is further away.
        two_sided: drawn from behind too; a closed surface is drawn where its corners
            (row, column), (row, column + 1), (row + 1, column + 1) ... run clockwise.
        first_row: of its band in the atlas, cells.
    """

    screen: Array
    depth: Array
    two_sided: bool
    first_row: int


@dataclass(frozen=True)
class Raster:
    """What is seen at each pixel.

    Attributes:
        covered: bool [size, size].
        cells: float32 [size, size, 2], atlas cell coordinates (column, row); (-9, -9) uncovered.
    """

    covered: NDArray[np.bool_]
    cells: Array


def rasterise(surfaces: list[Surface], size: int) -> Raster:
    """Draw surfaces over each other, far to near, on ``size`` x ``size`` pixels."""
    corners, middles, depths = [], [], []
    for surface in surfaces:
        visible, quads, cells, depth = _quads(surface, size)
        corners.append(quads[visible])
        middles.append(cells[visible])
        depths.append(depth[visible])
    quads, cells, depth = np.concatenate(corners), np.concatenate(middles), np.concatenate(depths)
    order = np.argsort(-depth)
    quads, cells = quads[order], cells[order]

    numbers = np.full((size, size), len(quads), np.int32)
    fixed_point = np.rint(quads * (1 << SUBPIXEL_BITS)).astype(np.int32)
    fill = cv2.fillConvexPoly
    for number, corner in enumerate(list(fixed_point)):
        fill(numbers, corner, number, 8, SUBPIXEL_BITS)
    return _read_cells(numbers, quads, cells, size)


def _quads(surface: Surface, size: int) -> tuple[NDArray[np.bool_], Array, Array, Array]:
    """(visible [K], corners [K, 4, 2], cell middles [K, 2], depth [K]) of a surface's quads."""
    p, z = surface.screen, surface.depth
    rows, columns = z.shape[0] - 1, z.shape[1] - 1
    a, b, c, d = p[:-1, :-1], p[:-1, 1:], p[1:, 1:], p[1:, :-1]  # the corners, clockwise
    quads = np.stack([a, b, c, d], axis=2).reshape(-1, 4, 2)
    depth = (z[:-1, :-1] + z[1:, 1:] + z[:-1, 1:] + z[1:, :-1]).reshape(-1) / 4
    first, second = c - a, d - b
    area = (first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]).reshape(-1)
    low = np.minimum(np.minimum(a, b), np.minimum(c, d))
    high = np.maximum(np.maximum(a, b), np.maximum(c, d))
    inside = (high[..., 0] >= 0) & (high[..., 1] >= 0)
    inside &= (low[..., 0] < size) & (low[..., 1] < size)
    visible = inside.reshape(-1) & ((np.abs(area) if surface.two_sided else area) > MIN_AREA)
    column, row = np.meshgrid(np.arange(columns), np.arange(rows))
    cells = np.stack([column + 0.5, row + 0.5 + surface.first_row], axis=2).reshape(-1, 2)
    return visible, quads, cells.astype(np.float32), depth.astype(np.float32)


def _read_cells(numbers: NDArray[np.int32], quads: Array, cells: Array, size: int) -> Raster:
    """Turn quad numbers into atlas coordinates by each quad's affine map screen -> cell."""
    middle = (quads[:, 0] + quads[:, 1] + quads[:, 2] + quads[:, 3]) / 4
    along_column = (quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]) / 2
    along_row = (quads[:, 3] - quads[:, 0] + quads[:, 2] - quads[:, 1]) / 2
    determinant = along_column[:, 0] * along_row[:, 1] - along_column[:, 1] * along_row[:, 0]
    determinant = np.where(np.abs(determinant) < 1e-3, np.float32(np.inf), determinant)
    # Rows of the inverse of [along_column, along_row]: screen offset -> cell offset.
    column_step = np.stack([along_row[:, 1], -along_row[:, 0]]) / determinant
    row_step = np.stack([-along_column[:, 1], along_column[:, 0]]) / determinant

    # [quads + 1, 6]: column = a x + b y + c and row = d x + e y + f; the last is the background.
    maps = np.full((len(quads) + 1, 6), (0, 0, -9, 0, 0, -9), np.float32)
    for first, step, cell in ((0, column_step, cells[:, 0]), (3, row_step, cells[:, 1])):
        step /= np.maximum(1, np.abs(step).sum(axis=0) / REACH)
        maps[:-1, first : first + 2] = step.T
        maps[:-1, first + 2] = cell - (step * middle.T).sum(axis=0)
    read = np.take(maps, numbers.reshape(-1), axis=0).reshape(size, size, 6)
    x = np.arange(size, dtype=np.float32)
    y = x[:, None]
    found = np.empty((size, size, 2), np.float32)
    for axis, first in ((0, 0), (1, 3)):
        along = read[..., first] * x
        along += read[..., first + 1] * y
        np.add(along, read[..., first + 2], out=found[..., axis])
    return Raster(numbers < len(quads), found)
