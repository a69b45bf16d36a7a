"""Face boxes and how much two of them overlap."""

import numpy as np
from numpy.typing import NDArray

# The kit's detector answers with about the landmarks' own box; one that holds the forehead, as most
# do, overlaps it by about 0.6 at its best. A neighbour's face overlaps by far less than this.
MIN_OVERLAP = 0.3
CROP_SCALE = 1.2  # side of a model's crop as a multiple of the box's longer side
Box = NDArray[np.float32]  # [4] x0, y0, x1, y1, pixels of the picture


def overlap(first: Box, second: Box) -> float:
    """Intersection over union of two boxes [4] x0, y0, x1, y1; 0 for empty ones."""
    size = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    shared = float(np.prod(np.maximum(size, 0)))
    both = float(np.prod(first[2:] - first[:2]) + np.prod(second[2:] - second[:2])) - shared
    return shared / both if both > 0 else 0.0


def area(box: Box) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def overlaps(box: Box, others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of one box with each of [K, 4]."""
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    union = area(box) + (others[:, 2:] - others[:, :2]).prod(axis=1) - shared
    ratio: NDArray[np.float32] = np.divide(
        shared, union, out=np.zeros_like(shared), where=union > 0
    )
    return ratio
