"""The 68- and 98-point landmark schemes: which point mirrors which, eye corners, face parts.

68 points: Sagonas et al., "300 Faces in-the-Wild Challenge" (2013). 98 points: Wu et al., "Look at
Boundary" (CVPR 2018, WFLW). Indices are 0-based; *left* and *right* are the image's, so the left
eye is the person's right one. Point 36 (68) and 60 (98) are the outer corner of the image's left
eye.
"""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import UsageError


@dataclass(frozen=True, eq=False)
class Scheme:
    """A numbering of landmarks.

    Attributes:
        points: how many landmarks.
        mirror: int64 [points]; landmark i of a mirrored face is landmark ``mirror[i]`` of the face.
        outer_eye_corners: the two points whose distance normalises errors (NME).
        parts: name -> indices, in drawing order; ``closed`` names those that form a ring.
    """

    points: int
    mirror: NDArray[np.int64]
    outer_eye_corners: tuple[int, int]
    parts: MappingProxyType[str, tuple[int, ...]]
    closed: frozenset[str]

    @property
    def name(self) -> str:
        """The number of points as text: what files and options call the scheme."""
        return str(self.points)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scheme) and (
            self.points == other.points
            and self.outer_eye_corners == other.outer_eye_corners
            and self.parts == other.parts
            and self.closed == other.closed
            and np.array_equal(self.mirror, other.mirror)
        )

    def __hash__(self) -> int:
        return hash((self.points, self.outer_eye_corners, self.closed))


def _span(first: int, last: int) -> tuple[int, ...]:
    return tuple(range(first, last + 1))


def _mirror(points: int, pairs: list[tuple[int, int]]) -> NDArray[np.int64]:
    mirror = np.arange(points)
    for left, right in pairs:
        mirror[left], mirror[right] = right, left
    mirror.flags.writeable = False
    return mirror


SCHEME_68 = Scheme(
    points=68,
    mirror=_mirror(
        68,
        [(i, 16 - i) for i in range(8)]  # jaw
        + [(17 + i, 26 - i) for i in range(5)]  # brows
        + [(31, 35), (32, 34)]  # nostrils
        + [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]  # eyes
        + [(48, 54), (49, 53), (50, 52), (55, 59), (56, 58)]  # outer lip
        + [(60, 64), (61, 63), (65, 67)],  # inner lip
    ),
    outer_eye_corners=(36, 45),
    parts=MappingProxyType(
        {
            "jaw": _span(0, 16),
            "left_brow": _span(17, 21),
            "right_brow": _span(22, 26),
            "nose_bridge": _span(27, 30),
            "nostrils": _span(31, 35),
            "left_eye": _span(36, 41),
            "right_eye": _span(42, 47),
            "outer_lip": _span(48, 59),
            "inner_lip": _span(60, 67),
        }
    ),
    closed=frozenset({"left_eye", "right_eye", "outer_lip", "inner_lip"}),
)

SCHEME_98 = Scheme(
    points=98,
    mirror=_mirror(
        98,
        [(i, 32 - i) for i in range(16)]  # jaw
        + [(33 + i, 46 - i) for i in range(5)]  # brows, upper edge
        + [(38, 50), (39, 49), (40, 48), (41, 47)]  # brows, lower edge
        + [(55, 59), (56, 58)]  # nostrils
        + [(60, 72), (61, 71), (62, 70), (63, 69), (64, 68), (65, 75), (66, 74), (67, 73)]  # eyes
        + [(76, 82), (77, 81), (78, 80), (83, 87), (84, 86)]  # outer lip
        + [(88, 92), (89, 91), (93, 95)]  # inner lip
        + [(96, 97)],  # pupils
    ),
    outer_eye_corners=(60, 72),
    parts=MappingProxyType(
        {
            "jaw": _span(0, 32),
            "left_brow": _span(33, 41),
            "right_brow": _span(42, 50),
            "nose_bridge": _span(51, 54),
            "nostrils": _span(55, 59),
            "left_eye": _span(60, 67),
            "right_eye": _span(68, 75),
            "outer_lip": _span(76, 87),
            "inner_lip": _span(88, 95),
            "left_pupil": (96,),
            "right_pupil": (97,),
        }
    ),
    closed=frozenset(
        {"left_brow", "right_brow", "left_eye", "right_eye", "outer_lip", "inner_lip"}
    ),
)

SCHEMES = MappingProxyType({68: SCHEME_68, 98: SCHEME_98})


def scheme_of(points: int) -> Scheme:
    """The scheme with ``points`` landmarks.

    Raises:
        UsageError: no such scheme.
    """
    if points not in SCHEMES:
        raise UsageError(
            f"expected a scheme of {' or '.join(map(str, SCHEMES))} landmarks, got {points}"
        )
    return SCHEMES[points]


def mirrored(landmarks: NDArray[np.float32], width: float, scheme: Scheme) -> NDArray[np.float32]:
    """Landmarks of the mirrored picture: x becomes ``width - 1 - x`` and pairs swap.

    Args:
        landmarks: [..., points, 2], pixels, 0-based, (0, 0) the centre of the top-left pixel.
        width: of the picture, pixels; use 1 for fractions centred on 0.
    """
    swapped: NDArray[np.float32] = landmarks[..., scheme.mirror, :].copy()
    swapped[..., 0] = (width - 1) - swapped[..., 0]
    return swapped
