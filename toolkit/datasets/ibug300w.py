"""300-W: pictures with ``.pts`` files beside them, in the public folders.

| folder | split | subsets |
|---|---|---|
| ``helen/trainset``, ``lfpw/trainset``, ``afw`` | train (3,148 faces) | the set's name |
| ``helen/testset``, ``lfpw/testset`` | test | common (554), full, the set's name |
| ``ibug`` | test | challenging (135), full (689), ibug |
| ``01_Indoor``, ``02_Outdoor`` | private | private (600), indoor or outdoor |

A folder called ``train``, ``val`` or ``test`` decides the split before these names do. Mirrored
copies (``NAME_mirror.*``), which some archives contain, are left out. In any other layout the
subset is the folder below the split. 300-W has 68 points; files of another scheme's points are
read, too. Source: Sagonas et al., "300 Faces in-the-Wild Challenge: database and results" (Image
and Vision Computing, 2016).
"""

from pathlib import Path

from asmnet_kit.datasets.folders import Reading, split_named, subset_below_split
from asmnet_kit.datasets.pts import read_folder
from asmnet_kit.face.schemes import Scheme

POINTS = 68  # of 300-W itself
SUFFIX = ".pts"
PRIVATE = {"01_indoor": "indoor", "02_outdoor": "outdoor"}
SETS = ("helen", "lfpw", "afw", "ibug")


def split_and_subsets(
    ancestors: tuple[str, ...], parts: tuple[str, ...]
) -> tuple[str | None, tuple[str, ...]]:
    """The public rule for a folder.

    Args:
        ancestors: from ``ancestors_of``: the root's own name, before it perhaps the set's.
        parts: folders below the root.

    Returns:
        The split (None: not split) and the subsets.
    """
    folders = tuple(part.lower() for part in (*ancestors, *parts))
    split = split_named(folders)
    private = next((PRIVATE[part] for part in folders if part in PRIVATE), None)
    if private is not None:
        return split or "private", ("private", private)
    name = next((part for part in reversed(folders) if part in SETS), None)
    if name is None:
        below = subset_below_split(ancestors, parts)
        return split, (below,) if below else ()
    split = split or {"afw": "train", "ibug": "test"}.get(name)
    if split == "test":
        return split, ("challenging" if name == "ibug" else "common", "full", name)
    return split, (name,)


def split_of_folder(ancestors: tuple[str, ...], parts: tuple[str, ...]) -> str | None:
    """The split that the faces of a folder belong to."""
    return split_and_subsets(ancestors, parts)[0]


def read(root: Path, *, scheme: Scheme | None = None) -> Reading:
    """All faces of 300-W below ``root``, or of any folder laid out like it.

    Args:
        scheme: of the points, where it has as many as most files: the files do not say it.

    Landmarks are moved from the files' 1-based pixels to 0-based ones; ``-1 -1`` has no label.

    Raises:
        DatasetError: ``root`` is no folder.
    """
    return read_folder(
        root,
        points=None,
        rule=split_and_subsets,
        skip_stem=is_mirrored,
        scheme=scheme,
    )


def is_mirrored(stem: str) -> bool:
    """Whether a picture's name (without suffix) is that of a mirrored copy."""
    return stem.lower().endswith("_mirror")
