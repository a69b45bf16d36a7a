"""The landmarks of a generic adult face in 3-D: the positions of the schemes 68 and 98.

Their files say where the numbers come from. Camera-like frame of a face seen from the front: x to
the image's right, y down, z away from the camera (the tip of the nose has the smallest z). The
origin lies midway between the outer eye corners.
"""

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import UsageError
from asmnet_kit.face.schemes import SCHEME_68, SCHEME_98, Scheme


def positions_of(scheme: Scheme) -> NDArray[np.float64]:
    """The 3-D positions of a scheme's landmarks: float64 [N, 3], millimetres.

    Raises:
        UsageError: the scheme has none.
    """
    if scheme.positions is None:
        raise UsageError(
            f"expected a scheme with 3-D positions, which a head pose from landmarks needs; "
            f"{scheme.name} has none: add them to its file (docs/schemes.md)"
        )
    return scheme.positions


GENERIC_FACE_98: NDArray[np.float64] = positions_of(SCHEME_98)
"""float64 [98, 3], millimetres, x right, y down, z away from the camera."""

GENERIC_FACE_68: NDArray[np.float64] = positions_of(SCHEME_68)
"""float64 [68, 3], millimetres; equal to the 98 points where both schemes mean the same place."""

SAME_POINTS: NDArray[np.int64] = np.array(
    [(index, row[0]) for index, row in enumerate(SCHEME_98.maps["68"]) if len(row) == 1]
)
"""int64 [K, 2]: pairs (index in 68, index in 98) of points that mean the same place."""
