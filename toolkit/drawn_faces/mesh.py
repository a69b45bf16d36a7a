"""Joining the parts of a portrait into one grid, so that all vertices are moved and lit at once.

Each part occupies a band of rows. Bands are separated by rows that continue the parts in a straight
line, so that differences between neighbours (normals) are right at a part's border too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.drawn_faces.head import COLUMNS, Array
from asmnet_kit.drawn_faces.parts import Part


@dataclass(frozen=True, eq=False)
class Mesh:
    """Parts in bands of one grid of H x COLUMNS vertices; the head comes first, in rows 0, 1 ...

    Attributes:
        vertices: float32 [3, H, COLUMNS], unposed head's frame, mm.
        follows_head: float32 [H, COLUMNS], 1 turns with the head, 0 with the body.
        towards_camera: float32 [H, 1], mm by which a part is drawn nearer than it is.
        shine: float32 [H, 1].
        two_sided: bool [H, 1], seen from behind too: everything but the head.
        quads: bool [H - 1, COLUMNS - 1], which cells are part of a surface.
        paint: uint8 [H * scale, COLUMNS * scale, 3]; the vertex in row r and column c is at pixel
            (c * scale, r * scale).
    """

    vertices: Array
    follows_head: Array
    towards_camera: Array
    shine: Array
    two_sided: NDArray[np.bool_]
    quads: NDArray[np.bool_]
    paint: NDArray[np.uint8]


def join(head: Part, belongings: Sequence[Part], *, scale: int) -> Mesh:
    """Put a head and what belongs to it into one grid, with ``scale`` texture pixels per cell."""
    rows = sum(len(part.vertices) + 2 for part in (head, *belongings))
    vertices = np.zeros((3, rows, COLUMNS), np.float32)
    follows_head = np.zeros((rows, COLUMNS), np.float32)
    per_row = np.zeros((2, rows, 1), np.float32)  # towards_camera, shine
    quads = np.zeros((rows - 1, COLUMNS - 1), np.bool_)
    paint = np.zeros((rows * scale, COLUMNS * scale, 3), np.uint8)
    first = 0
    for part in (head, *belongings):
        height, width = part.vertices.shape[:2]
        last = first + height - 1
        band = vertices[:, first : last + 1]
        band[:, :, :width] = part.vertices.transpose(2, 0, 1)
        if width < COLUMNS:
            band[:, :, width] = 2 * band[:, :, width - 1] - band[:, :, width - 2]
        vertices[:, last + 1] = 2 * vertices[:, last] - vertices[:, last - 1]
        if first > 0:
            vertices[:, first - 1] = 2 * vertices[:, first] - vertices[:, first + 1]
        across, down = (width - 1) * scale + 1, (height - 1) * scale + 1
        stretched = part.paint
        if stretched.shape[:2] != (down, across):
            stretched = np.asarray(cv2.resize(stretched, (across, down)), np.uint8)
        paint[first * scale : first * scale + down, :across] = stretched
        follows_head[first : last + 1, :width] = part.follows_head[..., 0]
        per_row[0, first : last + 1], per_row[1, first : last + 1] = part.towards_camera, part.shine
        quads[first:last, : width - 1] = True
        first = last + 3
    two_sided = np.arange(rows)[:, None] >= len(head.vertices)
    return Mesh(vertices, follows_head, per_row[0], per_row[1], two_sided, quads, paint)
