"""Reading .npz files that may be missing, damaged or hostile: the one place that does.

NumPy's own reader allocates what a header claims. Here each array's header is read first, and its
claim compared with the bytes that follow, before memory is spent.
"""

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from asmnet_kit.base.errors import KitError, ModelError
from asmnet_kit.base.kinds import HEAD_BYTES, kind_of
from asmnet_kit.base.reading import MAX_BYTES, open_file

MAX_UNPACKED_BYTES = 2**30  # of all arrays together, in memory
_SUFFIX = ".npy"


class _Damaged(Exception):
    """What is wrong inside, in words for the message."""


def read_npz(
    path: Path, *, expected: str, error: type[KitError] = ModelError
) -> dict[str, NDArray[Any]]:
    """Every array of an .npz file; pickled objects are refused.

    Args:
        expected: what the file should be, for messages: "a shape model (.npz)".
        error: class of what is raised.

    Raises:
        KitError: of the class ``error``: no such file, another kind, a damaged file, one with
            pickled objects, or one that unpacks to more than ``MAX_UNPACKED_BYTES``.
    """
    try:
        with open_file(path, limit=MAX_BYTES) as file:
            head = file.read(HEAD_BYTES)
            if not head.startswith(b"PK"):
                raise _Damaged(f"got {kind_of(head)}")
            return _arrays(file)
    except FileNotFoundError as missing:
        raise error(f"{path}: no such file; expected {expected}") from missing
    except OSError as system:
        raise error(f"{path}: {system.strerror or 'cannot be read'}; expected {expected}") from (
            system
        )
    except _Damaged as damage:
        raise error(f"{path}: expected {expected}, {damage}") from damage
    except Exception as damage:  # whatever NumPy, zipfile, zlib and the tokenizer stumble on
        raise error(f"{path}: expected {expected}, got a damaged file") from damage


def _arrays(file: Any) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        claimed = sum(member.file_size for member in members)
        if claimed > MAX_UNPACKED_BYTES:
            raise _Damaged(
                f"got one that unpacks to {claimed >> 20} MiB, more than {MAX_UNPACKED_BYTES >> 20}"
            )
        for member in members:
            with archive.open(member) as packed:
                content = packed.read(member.file_size + 1)
            name = member.filename
            if not name.endswith(_SUFFIX):
                raise _Damaged(f"got one with {name!r} in it, which is no array")
            arrays[name.removesuffix(_SUFFIX)] = _array(name, content)
    return arrays


def _array(name: str, content: bytes) -> NDArray[Any]:
    stream = io.BytesIO(content)
    if not content.startswith(npy.MAGIC_PREFIX):
        raise _Damaged(f"got one whose {name} is {kind_of(content[:HEAD_BYTES])}, no array")
    version = npy.read_magic(stream)
    read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read_header(stream)
    if dtype.hasobject:
        raise _Damaged("got one with pickled objects, which are never loaded")
    data = content[stream.tell() :]
    if any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize != len(data):
        raise _Damaged(
            f"got one whose {name} claims {list(shape)} of {dtype} and holds {len(data)} bytes"
        )
    flat = np.frombuffer(bytearray(data), dtype) if dtype.itemsize else np.empty(shape, dtype)
    return flat.reshape(shape, order="F" if fortran else "C")
