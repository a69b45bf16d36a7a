"""Where annotators put landmarks, beside where the mesh's own features are: a table of offsets.

A landmark scheme is a convention: 300-W's brow points lie on the upper edge of the hair, its jaw
starts below the eyes. The mixes of vertices in ``labels`` follow the published mark-up figures;
what was left of the difference was measured on the 562 complete faces of the *validation* split of
faces68, in three steps:

1. A model was trained on people labelled without a table, and on portraits labelled through them.
   Its median offset per point from the labels, in the frame of the eyes, is what every face has
   (the mean over the two sources of that split).
2. Annotators work in the picture, not on the head: where a head is turned, the chin's points move
   the way the nose does, the end of the jaw that is nearer to the camera up and the other down. So
   the mean of two labellers that know the first table alone (a model trained with it and a public
   face mesh) was fitted against the labels by yaw, pitch and the size of yaw, robustly, AFLW's
   faces counted three times as much as YouTube Faces', whose marks differ. Cross-validated, this
   lowers that mean's error from 4.62 to 4.32 % (AFLW) and from 5.01 to 5.01 % (YouTube Faces), the
   model's own from 4.85 to 4.55 and from 5.21 to 5.17. With equal weights: 4.70 and 4.86.
3. The same again for all faces, with a model trained on both steps: what it still missed on average
   (robustly, 538 faces with less than 35 degrees of yaw, AFLW's counted six times) was added to the
   first table, at most 1.2 mm. Cross-validated, this moves its error from 4.39 to about 4.37 %
   (AFLW) and from 4.95 to 4.89 % (YouTube Faces).

Terms below 1 % of the distance between the outer eye corners are left out, in the third step those
below 0.3 %, and both halves of the face are made symmetric. What remains is a statement about where
points go; no photograph and no label of that set trains a model.
"""

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.face.pose import rotation_matrix

# Millimetres in the frame of the head (asmnet_kit.face.pose): x right, y down. Of the 68, the
# image's left half and the middle; the right half mirrors it.
LEFT_OFFSETS_MM = {
    0: (-2.9, 9.6), 1: (0.1, 11.3), 2: (2.5, 13.0), 3: (2.7, 9.1), 4: (2.5, 4.0), 5: (4.1, 1.2),
    6: (3.6, -1.4), 7: (2.0, -1.3), 8: (0.0, -1.0), 17: (-3.4, -4.3), 18: (-4.1, -2.4),
    19: (-3.6, -3.2), 20: (-3.7, -4.4), 21: (-3.6, -5.6), 27: (0.0, -1.3), 28: (0.0, -1.6),
    29: (0.0, -0.5), 30: (0.0, -1.4), 31: (1.2, -1.2), 32: (0.8, 0.3), 33: (0.0, 0.1),
    36: (-0.3, -0.6), 37: (-1.7, -3.0), 38: (-0.9, -2.9), 39: (0.5, 0.6), 40: (0.8, 0.4),
    41: (1.5, 0.3), 48: (1.8, -0.6), 49: (-0.2, 2.3), 50: (-1.0, 1.8), 51: (0.0, 1.6),
    57: (0.0, -1.2), 58: (-1.1, -3.1), 59: (0.0, -3.1), 60: (0.8, 0.3), 61: (1.2, -1.1),
    62: (0.0, -1.6), 66: (0.0, -0.3), 67: (0.6, -0.3),
}  # fmt: skip

# What a turned head adds, in the picture of the head without its roll, mm: (x, y) for each YAW_UNIT
# of yaw, for each PITCH_UNIT of pitch, and for each YAW_UNIT of the size of yaw.
LEFT_TURNS_MM = {
    0: ((-2.4, -6.4), (0.3, -3.4), (-1.0, 3.3)),
    1: ((1.2, -3.2), (0.5, -4.2), (-2.8, 1.6)),
    2: ((-0.1, -2.4), (0.2, -2.3), (-2.6, -0.6)),
    3: ((0.8, 1.3), (0.3, -2.2), (-2.1, -2.3)),
    4: ((2.2, 4.6), (0.9, -0.9), (-2.1, -1.9)),
    5: ((4.7, 4.3), (1.5, -1.1), (-1.4, -2.1)),
    6: ((5.1, 3.0), (1.1, -1.1), (-2.0, -2.7)),
    7: ((4.4, 1.5), (0.0, 0.0), (-2.9, -2.8)),
    8: ((3.8, 0.0), (0.0, 0.0), (0.0, -1.0)),
    17: ((-0.4, 1.4), (1.5, -0.6), (0.0, 0.0)),
    18: ((-1.3, 1.0), (0.0, 0.0), (0.0, 0.0)),
    19: ((-1.4, 0.6), (0.0, 0.0), (0.0, 0.0)),
    21: ((1.1, 0.1), (0.0, 0.0), (-0.6, -0.8)),
    27: ((2.5, 0.0), (0.0, 1.6), (0.0, 2.0)),
    28: ((3.0, 0.0), (0.0, 0.0), (0.0, 2.4)),
    29: ((3.0, 0.0), (0.0, 0.0), (0.0, 2.3)),
    30: ((0.0, 0.0), (0.0, 0.9), (0.0, 1.7)),
    31: ((1.7, 0.3), (0.0, 0.0), (1.2, 0.8)),
    32: ((1.2, 0.0), (0.0, 0.0), (0.0, 0.0)),
    36: ((-0.4, 0.9), (1.6, 0.3), (0.0, 0.0)),
    37: ((-0.4, 0.9), (0.7, 0.9), (0.0, 1.5)),
    38: ((0.0, 0.0), (0.0, 0.0), (-1.0, 1.2)),
    39: ((0.9, 0.4), (0.0, 0.0), (-1.5, -0.2)),
    40: ((0.0, 0.0), (0.9, 0.3), (0.0, 0.0)),
    41: ((0.0, 0.0), (1.7, 0.4), (0.0, 0.0)),
    48: ((-1.1, 0.1), (0.0, 0.0), (0.0, 0.0)),
    49: ((-1.6, 0.1), (-0.7, 0.7), (0.0, 0.0)),
    50: ((-1.0, -0.1), (0.0, 0.0), (0.0, 0.0)),
    51: ((-1.2, 0.0), (0.0, 0.0), (0.0, 0.0)),
    58: ((0.0, 0.0), (0.0, 0.0), (1.1, 1.4)),
    59: ((0.0, 0.0), (0.0, 0.0), (1.0, 1.5)),
    61: ((1.2, 0.0), (0.0, 0.0), (0.0, 0.0)),
    62: ((1.2, 0.0), (0.0, 0.0), (0.0, 0.0)),
    67: ((1.0, 0.1), (0.0, 0.0), (0.0, 0.0)),
}  # fmt: skip
YAW_UNIT, PITCH_UNIT = 30.0, 20.0  # degrees
# Degrees. The faces measured hardly go further; towards profiles the moves fade to nothing.
MAX_YAW, MAX_PITCH, PROFILE = 45.0, 30.0, 75.0


def offsets_68(mirror: NDArray[np.int64]) -> NDArray[np.float32]:
    """What every face has: float32 [68, 3], mm in the frame of the head; z is 0.

    Args:
        mirror: int [68], ``Scheme.mirror``: the point that takes each one's place in a mirror.
    """
    offsets = np.zeros((68, 3), np.float32)
    for point, (x, y) in LEFT_OFFSETS_MM.items():
        offsets[point, :2] = x, y
        if mirror[point] != point:
            offsets[mirror[point], :2] = -x, y
    return offsets


def turns_68(mirror: NDArray[np.int64], yaw: float, pitch: float) -> NDArray[np.float32]:
    """What a turned head adds: float32 [68, 2], mm, x right and y down in the picture of the head
    without its roll.

    Args:
        mirror: int [68], ``Scheme.mirror``.
        yaw, pitch: degrees; beyond MAX_PITCH as there.
    """
    share = float(np.clip((PROFILE - abs(yaw)) / (PROFILE - MAX_YAW), 0, 1))
    yaw = float(np.clip(yaw, -MAX_YAW, MAX_YAW)) / YAW_UNIT
    pitch = float(np.clip(pitch, -MAX_PITCH, MAX_PITCH)) / PITCH_UNIT
    moved = np.zeros((68, 2), np.float32)
    for point, terms in LEFT_TURNS_MM.items():
        by = np.array(terms)
        moved[point] = np.array([yaw, pitch, abs(yaw)]) @ by
        if mirror[point] != point:  # a mirrored face turns the other way
            moved[mirror[point]] = np.array([-yaw, pitch, abs(yaw)]) @ by * [-1, 1]
    return share * moved


def in_head(moved: NDArray[np.float32], yaw: float, pitch: float) -> NDArray[np.float32]:
    """Moves [N, 2] in the picture of a head without roll, as moves [N, 3] in the head's frame."""
    flat = np.c_[moved, np.zeros(len(moved))]
    return np.asarray(flat @ rotation_matrix(yaw, pitch, 0), np.float32)


def offsets_98(
    offsets68: NDArray[np.float32], in_68: NDArray[np.int64], of_98: NDArray[np.int64]
) -> NDArray[np.float32]:
    """float32 [98, C]: where both schemes have a point the same, between two such points their
    mean; the lower edge of a brow moves as the upper one, lids as their eye's mean, pupils not.

    Args:
        offsets68: float32 [68, C].
        in_68, of_98: points that both schemes have: numbers in the one and in the other.
    """
    offsets = np.zeros((98, offsets68.shape[1]), np.float32)
    offsets[of_98] = offsets68[in_68]
    offsets[1:32:2] = (offsets[0:31:2] + offsets[2:33:2]) / 2  # the jaw has every second point
    for upper, lower in ((range(34, 38), (41, 40, 39, 38)), (range(42, 46), (50, 49, 48, 47))):
        offsets[list(lower)] = offsets[list(upper)]
    for eye68, eye98 in ((range(36, 42), range(60, 68)), (range(42, 48), range(68, 76))):
        own = [point for point in eye98 if point not in of_98]
        offsets[own] = offsets68[list(eye68)].mean(axis=0)
    return offsets
