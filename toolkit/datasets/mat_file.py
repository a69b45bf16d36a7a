"""MATLAB files: the numeric arrays of versions 4 and 5 to 7.2, read with bounds-checked Python.

SciPy's reader trusts a file's type codes and sizes: one changed byte can end the process. Here
every size is compared with the bytes that are there, and unpacking is bounded.

Source: MathWorks, "MAT-File Format" (R2019b).
"""

import math
import struct
import zlib
from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.base.kinds import HEAD_BYTES, kind_of

MAX_UNPACKED_BYTES = 2**28  # of one variable
MAX_VARIABLES = 10_000
_HEADER_BYTES = 128
_VERSION_5, _HDF5 = 0x0100, 0x0200

_MATRIX, _COMPRESSED = 14, 15
# Type of a data element -> NumPy's. Others (text) are no numbers.
_TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_NUMERIC_CLASSES = range(6, 16)  # double, single and the integers; below are cells, structs, text
_COMPLEX = 0x0800
# Of version 4: thousands of its header are the byte order, tens the type.
_TYPES_4 = {0: "f8", 1: "f4", 2: "i4", 3: "i2", 4: "u2", 5: "u1"}
_ORDERS_4 = {0: "<", 1: ">"}

Array = NDArray[np.float64]


def read_arrays(content: bytes, wanted: Collection[str]) -> dict[str, Array]:
    """The numeric arrays of a MATLAB file that have the ``wanted`` names, as float64.

    Raises:
        DatasetError: another kind of file, one of MATLAB 7.3, a damaged one, or a wanted variable
            that is no array of real numbers.
    """
    try:
        variables = _variables(content)
        found: dict[str, Array] = {}
        for number, (name, array) in enumerate(variables):
            if number >= MAX_VARIABLES:
                raise DatasetError(f"more than {MAX_VARIABLES} variables")
            if name in wanted and name not in found:
                if array is None:
                    raise DatasetError(f"expected numbers in {name}, got something else")
                found[name] = array
        return found
    except (struct.error, zlib.error, IndexError, ValueError, OverflowError) as error:
        raise DatasetError(
            f"expected a MATLAB file, got a damaged one ({error or type(error).__name__})"
        ) from error


def _variables(content: bytes) -> Iterator[tuple[str, Array | None]]:
    """Name and numbers of each variable; None for what is no array of real numbers."""
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is not None:
        version = struct.unpack_from(order + "H", content, 124)[0]
        if version == _VERSION_5:
            return _variables_5(content, order)
        if version == _HDF5:
            raise DatasetError(
                "expected a MATLAB file of version 5 to 7.2, got one of 7.3: save it with -v7"
            )
    if len(content) >= 20:
        for order in _ORDERS_4.values():
            if _is_version_4(content, order):
                return _variables_4(content, order)
    raise DatasetError(
        f"expected a MATLAB file (version 5 to 7.2), got {kind_of(content[:HEAD_BYTES])}"
    )


def _is_version_4(content: bytes, order: str) -> bool:
    kind, rows, columns, imaginary, length = struct.unpack_from(order + "5i", content)
    return (
        _ORDERS_4.get(kind // 1000) == order
        and kind // 100 % 10 == 0
        and kind // 10 % 10 in _TYPES_4
        and kind % 10 in (0, 1, 2)
        and min(rows, columns) >= 0
        and imaginary in (0, 1)
        and 0 < length <= 64
    )


def _variables_4(content: bytes, order: str) -> Iterator[tuple[str, Array | None]]:
    position = 0
    while position < len(content):
        if not _is_version_4(content[position : position + 20], order):
            raise ValueError(f"no variable at byte {position}")
        kind, rows, columns, imaginary, length = struct.unpack_from(order + "5i", content, position)
        start = position + 20 + length
        name = content[position + 20 : start].rstrip(b"\0").decode("latin-1")
        dtype = np.dtype(order + _TYPES_4[kind // 10 % 10])
        size = rows * columns * dtype.itemsize
        if start + size * (1 + imaginary) > len(content):
            raise ValueError(f"{name} ends behind the file")
        array = None
        if kind % 10 == 0 and not imaginary:
            flat = np.frombuffer(content, dtype, rows * columns, start)
            array = flat.reshape((rows, columns), order="F").astype(np.float64)
        yield name, array
        position = start + size * (1 + imaginary)


def _variables_5(content: bytes, order: str) -> Iterator[tuple[str, Array | None]]:
    for kind, data in _elements(content[_HEADER_BYTES:], order):
        if kind == _COMPRESSED:
            unpacker = zlib.decompressobj()
            unpacked = unpacker.decompress(data, MAX_UNPACKED_BYTES)
            if not unpacker.eof:
                raise ValueError("a variable that is cut off, or too large")
            for inner, matrix in _elements(unpacked, order):
                if inner == _MATRIX:
                    yield _matrix(matrix, order)
        elif kind == _MATRIX:
            yield _matrix(data, order)


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Type and data of each element, one after the other."""
    position = 0
    while position + 8 <= len(content):
        kind, length = struct.unpack_from(order + "II", content, position)
        if kind >> 16:  # a small element: type, length and up to 4 bytes in one
            kind, length, start = kind & 0xFFFF, kind >> 16, position + 4
            if length > 4:
                raise ValueError(f"a small element of {length} bytes")
            following = position + 8
        else:
            start = position + 8
            following = start + length + (-length % 8 if kind != _COMPRESSED else 0)
        if start + length > len(content):
            raise ValueError("an element that ends behind its file or variable")
        yield kind, content[start : start + length]
        position = following


def _matrix(content: bytes, order: str) -> tuple[str, Array | None]:
    parts = _elements(content, order)
    _, flags = next(parts, (0, b""))
    word = struct.unpack_from(order + "I", flags)[0]
    _, dimensions = next(parts, (0, b""))
    shape = np.frombuffer(dimensions, order + "i4").tolist()
    _, encoded = next(parts, (0, b""))
    name = encoded.decode("latin-1")
    if word & 0xFF not in _NUMERIC_CLASSES or word & _COMPLEX:
        return name, None
    kind, data = next(parts, (0, b""))
    if kind not in _TYPES:
        raise ValueError(f"{name} holds elements of type {kind}")
    dtype = np.dtype(order + _TYPES[kind])
    if any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"{name} claims {shape} and holds {len(data)} bytes")
    flat = np.frombuffer(data, dtype).astype(np.float64)
    return name, flat.reshape(shape, order="F")
