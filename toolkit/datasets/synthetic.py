"""Synthetic faces as ``data synthesize`` writes them (asmnet_kit.datasets.write_synthetic).

Folders ``train``, ``val`` and ``test`` hold ``NAME.jpg``, ``NAME.pts`` (68 landmarks),
``NAME.pts98`` and one ``pose.csv`` (name, yaw, pitch, roll in degrees; signs:
asmnet_kit.face.pose). Rendered people have ``NAME.vis.json`` too: which landmarks can be seen
(asmnet_kit.datasets.visibility). ``dataset.json`` says which landmarks were asked for, where these
are others that follow from the 68 or 98 (``data synthesize --scheme``).
Subsets: the range of the yaw's size (``yaw_0_30``, ``yaw_30_60``, ``yaw_60_90``).
"""

import csv
import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError, UsageError, one_line
from asmnet_kit.base.reading import open_text, read_json, read_text
from asmnet_kit.datasets.base import Face, PictureFile, Problem
from asmnet_kit.datasets.folders import Reading, split_named, walk
from asmnet_kit.datasets.pts import read_folder
from asmnet_kit.datasets.stored_faces import FaceList
from asmnet_kit.datasets.visibility import SUFFIX as VISIBILITY_SUFFIX
from asmnet_kit.datasets.visibility import parse_marks
from asmnet_kit.datasets.yaw_ranges import yaw_subsets
from asmnet_kit.face.schemes import Scheme, scheme_from, scheme_of

SUFFIX = ".pts"
SUFFIXES = {68: ".pts", 98: ".pts98"}
DEFAULT_POINTS = 68
LARGEST_ANGLE = 360.0  # degrees
POSE_FILE = "pose.csv"
POSE_COLUMNS = ("name", "yaw", "pitch", "roll")

Poses = dict[str, NDArray[np.float32]]


def split_of_folder(ancestors: tuple[str, ...], parts: tuple[str, ...]) -> str | None:
    """The split that the faces of a folder belong to."""
    return split_named((*ancestors, *parts))


def drawn_for(scheme: Scheme) -> Scheme | None:
    """Which of the drawn schemes, 68 and 98, a scheme's landmarks follow from; None of neither."""
    drawn = (scheme_of(points) for points in SUFFIXES)
    return next((source for source in drawn if source.leads_to(scheme)), None)


def read(root: Path, *, points: int | None = None, scheme: Scheme | None = None) -> Reading:
    """All synthetic faces below ``root``.

    Args:
        points: 68 or 98.
        scheme: the landmarks to give, where they follow from the 68 or 98; without it and without
            ``points`` those that the faces were made for, by default 68.

    Raises:
        DatasetError: ``root`` is no folder, or drawing it was interrupted.
    """
    made_for = _made_for(root)
    if points is not None:
        target = scheme_of(points)
    elif scheme is not None and drawn_for(scheme) is not None:
        target = scheme
    else:
        target = made_for or scheme_of(DEFAULT_POINTS)
    source = drawn_for(target)
    assert source is not None
    points = source.points
    reading = read_folder(
        root,
        points=points,
        rule=lambda ancestors, parts: (split_of_folder(ancestors, parts), ()),
        suffix=SUFFIXES[points],
    )
    poses: Poses = {}
    for listing in walk(root, []):  # read_folder has noted what cannot be listed
        if POSE_FILE in listing.files:
            try:
                of_folder = _read_poses(listing.folder / POSE_FILE)
            except DatasetError as error:
                reading.problems.append(Problem(listing.name_of(POSE_FILE), str(error)))
            else:
                poses |= {listing.name_of(name): pose for name, pose in of_folder.items()}
    found, reading.faces = reading.faces, FaceList()
    reading.points, reading.scheme = target.points, target
    for face in found:
        face = _with_visibility(_with_pose(face, poses.get(face.name)), points, reading)
        try:
            reading.faces.append(face if target == source else face.in_scheme(source, target))
        except DatasetError as error:
            reading.problems.append(Problem(face.name, str(error)))
    return reading


def _with_pose(face: Face, pose: NDArray[np.float32] | None) -> Face:
    if pose is None:
        return face
    return dataclasses.replace(face, pose=pose, subsets=(*face.subsets, *yaw_subsets(pose[0])))


def _with_visibility(face: Face, points: int, reading: Reading) -> Face:
    """``face`` with what the file beside its picture says, where there is one that can be read."""
    assert isinstance(face.picture, PictureFile)
    path = face.picture.path.with_suffix(VISIBILITY_SUFFIX)
    try:
        marks = parse_marks(read_text(path), points=points)
        return dataclasses.replace(face, visibility=marks)
    except FileNotFoundError:
        return face
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except DatasetError as error:
        problem = str(error)
    name = face.name.removesuffix(face.picture.path.suffix) + VISIBILITY_SUFFIX
    reading.problems.append(Problem(name, problem))
    return face


def _made_for(root: Path) -> Scheme | None:
    """The landmarks that a folder's ``dataset.json`` says it was made for; None for 68 and 98.

    Raises:
        DatasetError: it says that faces are missing, or no landmarks that follow from 68 or 98.
    """
    description = root / "dataset.json"
    if not description.is_file():
        return None
    try:
        content = read_json(description)
        complete, said = content.get("complete", True), content.get("scheme")
    except (OSError, ValueError, AttributeError) as error:
        raise DatasetError(f"{description}: expected a JSON object: {one_line(error)}") from error
    if not complete:
        raise DatasetError(
            f"{root}: drawing these faces was interrupted; "
            "run the same asmnet-kit data synthesize again to finish"
        )
    if said is None:
        return None
    try:
        scheme = scheme_from(said, where=str(description))
    except UsageError as error:
        raise DatasetError(str(error)) from error
    if drawn_for(scheme) is None:
        raise DatasetError(
            f"{description}: expected landmarks that follow from 68 or 98, got {scheme.name}"
        )
    return scheme


def _read_poses(path: Path) -> Poses:
    """Name -> float32 [3] yaw, pitch, roll in degrees.

    Raises:
        DatasetError: the reason, without the file's name.
    """
    poses: Poses = {}
    try:
        with open_text(path, newline="") as file:
            rows = csv.DictReader(file)
            missing = set(POSE_COLUMNS) - set(rows.fieldnames or ())
            if missing:
                raise DatasetError(f"expected the columns {', '.join(POSE_COLUMNS)}")
            for row in rows:
                pose = np.array([float(row[axis]) for axis in POSE_COLUMNS[1:]])
                if not (np.abs(pose) <= LARGEST_ANGLE).all():
                    raise DatasetError(f"line {rows.line_num}: expected finite angles in degrees")
                poses[row["name"]] = pose.astype(np.float32)
    except OSError as error:
        raise DatasetError(f"cannot be read: {error.strerror}") from error
    except (TypeError, ValueError, csv.Error) as error:
        raise DatasetError(f"line {rows.line_num}: expected three angles: {error}") from error
    return poses
