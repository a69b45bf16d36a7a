"""The landmarks of a generic adult face in 3-D, neutral expression, mouth closed, in millimetres.

Camera-like frame of a face seen from the front: x to the image's right, y down, z away from the
camera (the tip of the nose has the smallest z). The origin lies midway between the outer eye
corners.

The points were placed by hand from averages of adult faces, men and women together (Farkas,
"Anthropometry of the Head and Face", 2nd ed., 1994): outer eye corners 90 mm apart, inner ones 34,
pupils 63, cheekbones with the skin in front of the ears 140, nose base 33, mouth 52; mouth 21 below
the nose's base and the chin 43 below the mouth; nose 20 in front of its base, lips 17 tall. The jaw
line and the lids are smooth curves through such measures.
"""

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.face.schemes import SCHEME_68, SCHEME_98, Scheme

Point = tuple[float, float, float]


def _jaw_line(points: int) -> NDArray[np.float64]:
    """[points, 3], evenly spaced from beside the image's left eye to the chin.

    From the front it is a quarter of a superellipse 70 mm wide and 112 mm tall (a round jaw would
    have exponent 2); going back, it runs from 14 mm in front of the eye corners at the chin to
    64 mm behind them at the ear.
    """
    angle = np.linspace(0, np.pi / 2, 1000)
    half_width, height, exponent = 70.0, 112.0, 2.1
    x = -half_width * np.cos(angle) ** (2 / exponent)
    y = height * np.sin(angle) ** (2 / exponent)
    length = np.concatenate([[0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
    share = np.linspace(0, 1, points)
    x = np.interp(share, length / length[-1], x)
    y = np.interp(share, length / length[-1], y)
    ear_z, chin_z = 64.0, -14.0
    z = chin_z + (ear_z - chin_z) * np.cos(np.pi / 2 * share) ** 1.5
    return np.stack([x, y, z], axis=1)


def _lid(share: float, rise: float) -> Point:
    """A point of the lid of the image's left eye: ``share`` of the way from outer to inner corner.

    Between its corners a lid rises by ``rise`` mm (upper lid negative) and bulges with the eyeball.
    """
    outer, inner = np.array([-45.0, 0.0, 0.0]), np.array([-17.0, 1.8, -7.0])
    arch = np.sin(np.pi * share) ** 0.75  # a little fuller than half a sine wave
    x, y, z = outer + share * (inner - outer) + arch * np.array([0.0, rise, -7.3])
    return float(x), float(y), float(z)


_UPPER, _LOWER = -6.2, 4.2  # lids of a relaxed open eye: the opening is 10 mm tall

# The image's left half and the middle line; the other half is the mirror image.
_LEFT_HALF_98: dict[int, Point] = {
    # Jaw line from beside the eye, in front of the ear, to the chin.
    **{i: (float(x), float(y), float(z)) for i, (x, y, z) in enumerate(_jaw_line(17))},
    # Brow: the upper edge from the outer end to the inner one, then the lower edge back.
    33: (-59.0, -12.5, 11.0),
    34: (-50.5, -19.5, -3.0),
    35: (-38.0, -23.0, -13.5),
    36: (-25.0, -21.5, -19.5),
    37: (-12.5, -17.0, -22.8),
    38: (-13.0, -10.0, -22.0),
    39: (-25.0, -14.0, -19.0),
    40: (-38.0, -16.0, -12.5),
    41: (-50.5, -14.5, -2.0),
    # Nose: down its ridge to the tip, then its lower border from the nostril's outer edge.
    51: (0.0, -2.0, -20.5),
    52: (0.0, 11.0, -28.5),
    53: (0.0, 24.0, -37.5),
    54: (0.0, 37.0, -47.0),
    55: (-15.0, 44.5, -25.0),
    56: (-7.5, 47.0, -28.8),
    57: (0.0, 48.5, -31.0),
    # Eye, clockwise from the outer corner; points of the lids at its quarters.
    60: _lid(0.0, _UPPER),
    **{60 + i: _lid(i / 4, _UPPER) for i in (1, 2, 3)},
    64: _lid(1.0, _UPPER),
    **{68 - i: _lid(i / 4, _LOWER) for i in (1, 2, 3)},
    # Outer border of the lips, clockwise from the corner.
    76: (-26.0, 68.5, -21.5),
    77: (-16.0, 64.5, -29.5),
    78: (-6.5, 61.5, -33.5),
    79: (0.0, 63.0, -34.2),
    85: (0.0, 79.5, -31.0),
    86: (-7.5, 78.5, -30.2),
    87: (-16.5, 75.5, -27.2),
    # Inner border of the lips.
    88: (-22.5, 69.0, -22.8),
    89: (-7.5, 69.3, -32.2),
    90: (0.0, 69.8, -33.0),
    94: (0.0, 70.2, -32.4),
    95: (-7.5, 69.8, -31.6),
    96: (-31.5, -0.2, -12.4),  # pupil
}

# 300-W sets two points on a lid, at its thirds, where WFLW sets three, at its quarters.
_LEFT_LIDS_68: dict[int, Point] = {
    37: _lid(1 / 3, _UPPER),
    38: _lid(2 / 3, _UPPER),
    40: _lid(2 / 3, _LOWER),
    41: _lid(1 / 3, _LOWER),
}

_SAME_AS_98 = {
    **{i: 2 * i for i in range(17)},  # jaw
    **{17 + i: 33 + i for i in range(5)},  # brows, upper edge
    **{22 + i: 42 + i for i in range(5)},
    **{27 + i: 51 + i for i in range(9)},  # nose
    36: 60,  # eye corners
    39: 64,
    42: 68,
    45: 72,
    **{48 + i: 76 + i for i in range(20)},  # lips
}


def _mirrored_half(left_half: dict[int, Point], scheme: Scheme) -> NDArray[np.float64]:
    """Both halves of a face: [points, 3], NaN for points that are not in ``left_half``."""
    face = np.full((scheme.points, 3), np.nan)
    for index, point in left_half.items():
        face[scheme.mirror[index]] = np.multiply(point, (-1, 1, 1))
        face[index] = point
    return face


def _generic_68(generic_98: NDArray[np.float64]) -> NDArray[np.float64]:
    face = _mirrored_half(_LEFT_LIDS_68, SCHEME_68)
    for index, same in _SAME_AS_98.items():
        face[index] = generic_98[same]
    return face


GENERIC_FACE_98: NDArray[np.float64] = _mirrored_half(_LEFT_HALF_98, SCHEME_98)
"""float64 [98, 3], millimetres, x right, y down, z away from the camera."""

GENERIC_FACE_68: NDArray[np.float64] = _generic_68(GENERIC_FACE_98)
"""float64 [68, 3], millimetres; equal to the 98 points where both schemes mean the same place."""

GENERIC_FACE_98.flags.writeable = False
GENERIC_FACE_68.flags.writeable = False

SAME_POINTS: NDArray[np.int64] = np.array(sorted(_SAME_AS_98.items()))
"""int64 [K, 2]: pairs (index in 68, index in 98) of points that mean the same place."""
