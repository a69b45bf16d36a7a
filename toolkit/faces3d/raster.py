"""Drawing grids of quads in 3-D: which quad is seen at each pixel, and where its texture is read.

Surfaces are grids of vertices. Their quads are drawn from far to near into a picture of quad
numbers (the painter's algorithm), then every pixel reads the texture through the affine map that
takes its quad on the screen to its cell of the grid. A surface's *cell coordinates* (column, row) are its
vertex indices; several surfaces share one atlas, each in its own band of rows.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# A screen quad is filled with its border pixels, so a pixel's centre may lie outside of it; further
# than this share of a cell from the cell's middle the affine map is not followed.
REACH = 0.75
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
    quads = np.stack([p[:-1, :-1], p[:-1, 1:], p[1:, 1:], p[1:, :-1]], axis=2).reshape(-1, 4, 2)
    depth = ((z[:-1, :-1] + z[1:, 1:] + z[:-1, 1:] + z[1:, :-1]) / 4).reshape(-1)
    diagonals = quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1]
    area = diagonals[0][:, 0] * diagonals[1][:, 1] - diagonals[0][:, 1] * diagonals[1][:, 0]
    low, high = quads.min(axis=1), quads.max(axis=1)
    inside = (high >= 0).all(axis=1) & (low < size).all(axis=1)
    visible = inside & ((area != 0) if surface.two_sided else (area > 0))
    column, row = np.meshgrid(np.arange(columns), np.arange(rows))
    cells = np.stack([column + 0.5, row + 0.5 + surface.first_row], axis=2).reshape(-1, 2)
    return visible, quads, cells.astype(np.float32), depth


def _read_cells(numbers: NDArray[np.int32], quads: Array, cells: Array, size: int) -> Raster:
    """Turn quad numbers into atlas coordinates by each quad's affine map screen -> cell."""
    middle = quads.mean(axis=1)
    along_column = (quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]) / 2
    along_row = (quads[:, 3] - quads[:, 0] + quads[:, 2] - quads[:, 1]) / 2
    determinant = along_column[:, 0] * along_row[:, 1] - along_column[:, 1] * along_row[:, 0]
    determinant = np.where(np.abs(determinant) < 1e-3, np.float32(np.inf), determinant)
    # Rows of the inverse of [along_column, along_row]: screen offset -> cell offset.
    to_cell = np.stack(
        [along_row[:, 1], -along_row[:, 0], -along_column[:, 1], along_column[:, 0]], axis=1
    )
    to_cell /= determinant[:, None]

    covered = numbers < len(quads)
    y, x = np.nonzero(covered)
    number = numbers[y, x]
    offset_x = x.astype(np.float32) - middle[number, 0]
    offset_y = y.astype(np.float32) - middle[number, 1]
    inverse = to_cell[number]
    found = np.full((size, size, 2), -9, np.float32)
    for axis in (0, 1):
        offset = inverse[:, 2 * axis] * offset_x + inverse[:, 2 * axis + 1] * offset_y
        found[y, x, axis] = cells[number, axis] + np.clip(offset, -REACH, REACH)
    return Raster(covered, found)
