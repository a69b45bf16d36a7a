"""Where annotators put landmarks, beside where the mesh's own features are: a table of offsets.

A landmark scheme is a convention: 300-W's brow points lie on the upper edge of the hair, its jaw
starts below the eyes. The mixes of vertices in ``labels`` follow the published mark-up figures;
what was left of the difference was measured, once: a model was trained on people labelled without
this table and on portraits labelled through them, and its mean offset from each label was taken on
the 562 complete faces of the *validation* split of faces68 (median over the faces of each of its
two sources, in the frame of the eyes; the mean of the two; made symmetric). Offsets below 1 % of
the distance between the outer eye corners are left out. What remains is a statement about where
points go, made of 68 averages; no photograph and no label of that set trains a model.

Millimetres in the frame of the head (asmnet_kit.face.pose): x right, y down.
"""

import numpy as np
from numpy.typing import NDArray

# Of the 68, the image's left half and the middle; the right half mirrors it.
LEFT_OFFSETS_MM = {
    0: (-2.6, 9.6), 1: (-0.5, 10.8), 2: (2.2, 10.9), 3: (2.1, 5.8), 4: (1.7, 2.1), 5: (3.1, -0.5),
    6: (1.9, -3.5), 7: (0.0, -3.1), 8: (0.0, -1.3),
    17: (-3.1, -4.5), 18: (-3.6, -2.7), 19: (-3.6, -3.6), 20: (-3.7, -4.8), 21: (-4.3, -6.3),
    30: (0.0, -1.4), 31: (2.5, -1.2), 32: (1.1, -0.5), 33: (0.0, -0.9),
    36: (0.0, -1.0), 37: (-1.7, -2.4), 38: (-1.6, -2.3), 41: (1.5, -0.1),
    48: (2.5, -0.7), 49: (-0.2, 1.5), 50: (-0.7, 0.7),
    58: (0.2, -2.2), 59: (-1.0, -2.3), 57: (0.0, -1.2),
    60: (1.4, -0.1), 61: (1.2, -1.9), 62: (0.0, -2.7),
}  # fmt: skip


def offsets_68(mirror: NDArray[np.int64]) -> NDArray[np.float32]:
    """float32 [68, 3], mm in the frame of the head; z is 0.

    Args:
        mirror: int [68], ``Scheme.mirror``: the point that takes each one's place in a mirror.
    """
    offsets = np.zeros((68, 3), np.float32)
    for point, (x, y) in LEFT_OFFSETS_MM.items():
        offsets[point, :2] = x, y
        if mirror[point] != point:
            offsets[mirror[point], :2] = -x, y
    return offsets


def offsets_98(
    offsets68: NDArray[np.float32], in_68: NDArray[np.int64], of_98: NDArray[np.int64]
) -> NDArray[np.float32]:
    """float32 [98, 3]: where both schemes have a point the same, between two such points their
    mean; the lower edge of a brow moves as the upper one, lids as their eye's mean, pupils not.

    Args:
        offsets68: float32 [68, 3].
        in_68, of_98: points that both schemes have: numbers in the one and in the other.
    """
    offsets = np.zeros((98, 3), np.float32)
    offsets[of_98] = offsets68[in_68]
    offsets[1:32:2] = (offsets[0:31:2] + offsets[2:33:2]) / 2  # the jaw has every second point
    for upper, lower in ((range(34, 38), (41, 40, 39, 38)), (range(42, 46), (50, 49, 48, 47))):
        offsets[list(lower)] = offsets[list(upper)]
    for eye68, eye98 in ((range(36, 42), range(60, 68)), (range(42, 48), range(68, 76))):
        own = [point for point in eye98 if point not in of_98]
        offsets[own] = offsets68[list(eye68)].mean(axis=0)
    return offsets
