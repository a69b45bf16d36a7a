"""Whether landmarks can be those of a face, and of the picture that they come with.

Formats cannot tell a label in fractions from one in pixels, or a slip of the keyboard from a
point: these checks can. Every reader makes the first kind (``points_of``, ``check_usable``) while
it reads; the second needs the picture (``check_in_picture``) and is made wherever a face's picture
is read, by ``Face.read``.

The thresholds were set on 20,874 faces of five public sets, none of which they refuse: there the
farthest point was at most 3.8 times as far from the face's middle as the median one, the smallest
face 21 pixels, and no face fitted a mirrored one better than a face (the correlation with it was
lower by at least 0.61).
"""

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.face.crop import Points
from asmnet_kit.face.schemes import BUILT_IN, Scheme, scheme_of
from asmnet_kit.face.shape_model.align import generic_reference, likeness

FARTHEST = 2.0**20  # pixels: no picture is larger, and float32 still has an eighth of a pixel there
SMALLEST_FACE = 4.0  # pixels: a smaller one has several landmarks in each pixel
LARGEST_FRACTION = 2.0  # what labels in fractions of the picture's size stay below
FAR_POINT = 8.0  # times the median distance from the face's middle
ENOUGH_POINTS = 10  # labelled, for a judgement of the shape
# By how much a face must look more like a mirrored one than like a face, and how much like it.
MIRRORED_BY, MIRRORED_FACE = 0.2, 0.7


def points_of(pairs: NDArray[np.float64]) -> Points:
    """Coordinates as landmarks: float64 [N, 2] to float32 [N, 2]; NaN has no label.

    Raises:
        DatasetError: one is farther than any picture is large.
    """
    far = np.flatnonzero((np.abs(pairs) > FARTHEST).any(axis=1))  # of NaN it is false
    if len(far):
        x, y = pairs[far[0]]
        raise DatasetError(
            f"point {far[0]} is at {x:g}, {y:g}: expected pixels of the picture, at most "
            f"{FARTHEST:.0f}"
        )
    return pairs.astype(np.float32)


def check_usable(landmarks: Points, scheme: Scheme | None = None) -> None:
    """Check that the labelled points can be a face's.

    Args:
        landmarks: float32 [N, 2], pixels; NaN = no label.
        scheme: of the landmarks, where there are as many; else they are of the built-in one with so
            many.

    Raises:
        DatasetError: fewer than two labelled points, all of them in one place, a face of a few
            pixels (labels in fractions of the picture's size are), one point far from all others,
            or a face whose left and right are swapped.
    """
    labelled = landmarks[np.isfinite(landmarks).all(axis=-1)].astype(np.float64)
    if len(labelled) < 2:
        raise DatasetError(f"expected at least 2 points with a position, got {len(labelled)}")
    if (labelled == labelled[0]).all():
        raise DatasetError("all points are in one place")
    side = float(np.ptp(labelled, axis=0).max())
    if len(labelled) < ENOUGH_POINTS:
        return
    if side < SMALLEST_FACE:
        if np.abs(labelled).max() <= LARGEST_FRACTION:
            raise DatasetError(
                f"its points lie within {side:.2g} pixels: these look like fractions of the "
                "picture's size; expected pixels (multiply x by the width and y by the height)"
            )
        raise DatasetError(f"a face of {side:.2g} pixels: expected at least {SMALLEST_FACE:g}")
    _check_outliers(landmarks)
    _check_handedness(landmarks, scheme)


def _check_outliers(landmarks: Points) -> None:
    seen = np.isfinite(landmarks).all(axis=-1)
    middle = np.median(landmarks[seen], axis=0)
    distances = np.linalg.norm(landmarks.astype(np.float64) - middle, axis=1)
    usual = float(np.median(distances[seen]))
    farthest = int(np.nanargmax(distances))
    if distances[farthest] > FAR_POINT * usual:
        x, y = landmarks[farthest]
        raise DatasetError(
            f"point {farthest} is at {x:g}, {y:g}, {distances[farthest]:.0f} pixels from the "
            f"middle of the face, the median point {usual:.0f}: is it a slip?"
        )


def _check_handedness(landmarks: Points, scheme: Scheme | None) -> None:
    """Refuse labels of a mirrored copy whose numbers were not exchanged.

    What a face of the scheme looks like is known of the built-in ones that have 3-D positions.
    """
    points = len(landmarks)
    if scheme is None or scheme.points != points:
        scheme = scheme_of(points) if str(points) in BUILT_IN else None
    if scheme is None or not scheme.built_in or scheme.positions is None:
        return
    face = generic_reference(points)
    alike, mirrored = likeness(face, landmarks), likeness(face, landmarks * [-1, 1])
    if mirrored > max(alike + MIRRORED_BY, MIRRORED_FACE):
        raise DatasetError(
            "left and right are swapped: the points of a mirrored picture must be numbered anew "
            "(or x and y stand the other way round)"
        )


def check_in_picture(landmarks: Points, *, width: int, height: int, orientation: int = 1) -> None:
    """Check that a face can be that of a picture: a part of it may lie outside, not all, nor far.

    Args:
        landmarks: float32 [N, 2], pixels; NaN = no label.
        width, height: of the stored picture, pixels.
        orientation: EXIF's, 1 to 8, that the picture carries.

    Raises:
        DatasetError: the face lies outside the picture, or a point of it farther away than the
            picture is large, or its points fit the picture turned by EXIF alone.
    """
    labelled = landmarks[np.isfinite(landmarks).all(axis=-1)]
    size = np.array([width, height])
    low, high = labelled.min(axis=0), labelled.max(axis=0)
    if orientation >= 5 and not _inside(low, high, size) and _inside(low, high, size[::-1]):
        raise DatasetError(
            f"its points fit the picture turned by its EXIF rotation ({height} x {width} pixels), "
            f"not as it is stored ({width} x {height}), which is what labels refer to: store the "
            "picture upright (for example exiftran -a), or turn the labels"
        )
    if (high < -0.5).any() or (low > size - 0.5).any():
        raise DatasetError(
            f"the face lies outside the picture of {width} x {height} pixels: its points are at "
            f"{low[0]:.0f}, {low[1]:.0f} to {high[0]:.0f}, {high[1]:.0f}"
        )
    reach = max(width, height)
    if (low < -reach).any() or (high > size + reach).any():
        raise DatasetError(
            f"the face reaches from {low[0]:.0f}, {low[1]:.0f} to {high[0]:.0f}, {high[1]:.0f} in "
            f"a picture of {width} x {height} pixels: are these its labels?"
        )


def _inside(low: NDArray[np.float32], high: NDArray[np.float32], size: NDArray[np.int64]) -> bool:
    return bool((low >= -0.5).all() and (high <= size - 0.5).all())
