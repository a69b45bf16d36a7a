"""Reading .npz files that may be missing, damaged or hostile: the one place that does."""

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import KitError, ModelError

# What NumPy, zipfile and zlib raise while they read an .npz that is empty, cut off or damaged.
_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def read_npz(
    path: Path, *, expected: str, error: type[KitError] = ModelError
) -> dict[str, NDArray[Any]]:
    """Every array of an .npz file; pickled objects are refused.

    Args:
        expected: what the file should be, for messages: "a shape model (.npz)".
        error: class of what is raised.

    Raises:
        KitError: of the class ``error``: no such file, another kind, a damaged file, or one with
            pickled objects.
    """
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise error(f"{path}: expected {expected}, got a file of a single array")
        with archive:
            return {key: archive[key] for key in archive.files}
    except FileNotFoundError as missing:
        raise error(f"{path}: no such file; expected {expected}") from missing
    except _DAMAGED as damage:
        # NumPy's own words would advise to load it as a pickle.
        raise error(
            f"{path}: expected {expected}, got a file of another kind, a damaged one, or one with "
            "pickled objects, which are never loaded"
        ) from damage
