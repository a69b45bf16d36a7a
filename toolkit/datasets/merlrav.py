"""MERL-RAV: AFLW's faces with 68 points and what hides them, ``.pts`` files beside the pictures.

A point is ``x y`` (visible), ``-x -y`` (behind hair, a hand or glasses: *externally occluded*, the
annotator's estimate of its position) or ``-1 -1`` (behind the head itself: *self-occluded*, no
position). The first two have a label here, the third has none; ``Face.visibility`` is 1 for the
first and 0 for the others. The public folders are
``{frontal,left,lefthalf,right,righthalf}/{trainset,testset}``; the head pose is the subset. In any
other layout the subset is the folder below the split. Source: Kumar et al., "LUVLi Face Alignment"
(CVPR 2020) and the data set's description.

A pair of negative numbers is always read as occluded, as the format says, so a visible point that
lies both left of and above the picture cannot be told from an occluded one.
"""

from pathlib import Path

from asmnet_kit.datasets.folders import Reading, split_named, subset_below_split
from asmnet_kit.datasets.pts import read_folder

POINTS = 68
SUFFIX = ".pts"
POSES = ("frontal", "left", "lefthalf", "right", "righthalf")


def split_and_subsets(
    ancestors: tuple[str, ...], parts: tuple[str, ...]
) -> tuple[str | None, tuple[str, ...]]:
    """The split and subsets of a folder (arguments: see ibug300w.split_and_subsets)."""
    folders = (*ancestors, *parts)
    split = split_named(folders)
    pose = next((part for part in folders if part in POSES), None)
    subset = pose or subset_below_split(ancestors, parts)
    return split, (subset,) if subset else ()


def split_of_folder(ancestors: tuple[str, ...], parts: tuple[str, ...]) -> str | None:
    """The split that the faces of a folder belong to."""
    return split_and_subsets(ancestors, parts)[0]


def read(root: Path) -> Reading:
    """All faces of MERL-RAV below ``root``; 1-based pixels become 0-based.

    Raises:
        DatasetError: ``root`` is no folder.
    """
    return read_folder(root, points=POINTS, rule=split_and_subsets, negative_is_occluded=True)
