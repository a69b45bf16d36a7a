"""AFLW2000-3D and 300W-LP: ``NAME.jpg`` with ``NAME.mat`` beside it, 68 points and a head pose.

The .mat holds ``pt3d_68`` [3, 68] (x, y in pixels of the picture, depth) and ``Pose_Para`` [1, 7]
(pitch, yaw, roll in radians, translation, scale). 300W-LP's files have no ``pt3d_68`` but ``pt2d``
[2, 68], which is read instead; its ``landmarks/`` folder repeats the points in ``NAME_pts.mat``
and is left out. Pixels are 1-based: both sets were made in MATLAB, and the script that ships with
AFLW2000-3D plots ``pt3d_68`` over ``imshow``, whose first pixel is at (1, 1). Source: Zhu et al.,
"Face Alignment Across Large Poses: A 3D Solution" (CVPR 2016).

Their rotation is R = Rx(-pitch) Ry(-yaw) Rz(-roll), right-handed turns with x right, y *up*, z
towards the camera (3DDFA's RotationMatrix.m). Seen with y down and z away, that is
Rx(-pitch) Ry(yaw) Rz(roll): factor by factor our pitch and roll and the opposite of our yaw, but
multiplied in the other order. So the matrix is built in their order and taken apart in ours; the
angles themselves agree for a turn about one axis only.

Subsets: the three ranges of the yaw's size that papers report (``yaw_0_30``, ``yaw_30_60``,
``yaw_60_90``), ``pose_99`` for faces whose three stored angles are all within 99 degrees (the usual
protocol for pose errors) and the folder's name (``afw``, ``afw_flip`` ... of 300W-LP).
"""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.base.reading import read_bytes
from asmnet_kit.datasets.base import Face, PictureFile, Problem
from asmnet_kit.datasets.folders import (
    Listing,
    Reading,
    ancestors_of,
    require_folder,
    split_named,
    stem_and_suffix,
    subset_below_split,
    walk,
)
from asmnet_kit.datasets.labels import check_usable, points_of
from asmnet_kit.datasets.mat_file import read_arrays
from asmnet_kit.datasets.yaw_ranges import yaw_subsets
from asmnet_kit.face.crop import Points
from asmnet_kit.face.pose import angles, rotation_matrix

POINTS = 68
SUFFIX = ".mat"
POSE_LIMIT = 99.0
LARGEST_TURN = 100.0  # radians: what says more is no angle


def split_of_folder(ancestors: tuple[str, ...], parts: tuple[str, ...]) -> str | None:
    """The split that the faces of a folder belong to."""
    return split_named((*ancestors, *parts))


def read(root: Path) -> Reading:
    """All faces below ``root``; 1-based pixels become 0-based, poses our degrees.

    Raises:
        DatasetError: ``root`` is no folder.
    """
    require_folder(root)
    reading = Reading(POINTS)
    ancestors = ancestors_of(root)
    for listing in walk(root, reading.problems):
        below = subset_below_split(ancestors, listing.parts)
        for file in listing.files:
            stem, suffix = stem_and_suffix(file)
            if suffix.lower() != SUFFIX or stem.endswith("_pts"):
                continue
            try:
                picture = listing.picture_of(stem)
                landmarks, stored = _read_mat(listing, file)
            except DatasetError as error:
                reading.problems.append(Problem(listing.name_of(file), str(error)))
                continue
            reading.faces.append(
                Face(
                    name=listing.name_of(picture),
                    picture=PictureFile(listing.folder / picture),
                    landmarks=landmarks,
                    subsets=(*_pose_subsets(stored), *((below.lower(),) if below else ())),
                    pose=pose_from_stored(*stored),
                    split=split_of_folder(ancestors, listing.parts),
                )
            )
    return reading


def pose_from_stored(pitch: float, yaw: float, roll: float) -> NDArray[np.float32]:
    """``Pose_Para``'s radians as float32 [3] yaw, pitch, roll in our degrees and signs."""
    rotation = (
        rotation_matrix(0.0, math.degrees(pitch), 0.0)
        @ rotation_matrix(-math.degrees(yaw), 0.0, 0.0)
        @ rotation_matrix(0.0, 0.0, math.degrees(roll))
    )
    return np.array(angles(rotation), np.float32)


def _pose_subsets(stored: tuple[float, float, float]) -> tuple[str, ...]:
    degrees = [abs(math.degrees(angle)) for angle in stored]
    subsets = yaw_subsets(degrees[1])
    return (*subsets, "pose_99") if max(degrees) <= POSE_LIMIT else subsets


def _read_mat(listing: Listing, file: str) -> tuple[Points, tuple[float, float, float]]:
    """Landmarks (0-based) and the stored pitch, yaw, roll in radians."""
    try:
        encoded = read_bytes(listing.folder / file)
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror}") from error
    content = read_arrays(encoded, ("pt3d_68", "pt2d", "Pose_Para"))
    points = content.get("pt3d_68", content.get("pt2d"))
    if points is None:
        raise DatasetError("expected the array pt3d_68 or pt2d, found neither")
    if points.ndim != 2 or points.shape[0] < 2 or points.shape[1] != POINTS:
        raise DatasetError(f"expected {POINTS} points in pt3d_68 or pt2d, got shape {points.shape}")
    if not np.isfinite(points[:2]).all():
        raise DatasetError("a landmark is not finite")
    landmarks = points_of(points[:2].T - 1)  # 1-based to 0-based
    check_usable(landmarks)
    if "Pose_Para" not in content:
        raise DatasetError("expected the array Pose_Para, found none")
    pose = content["Pose_Para"].ravel()
    if len(pose) < 3 or not (np.abs(pose[:3]) <= LARGEST_TURN).all():
        raise DatasetError(f"expected Pose_Para of 3 or more angles in radians, got {len(pose)}")
    return landmarks, (float(pose[0]), float(pose[1]), float(pose[2]))
