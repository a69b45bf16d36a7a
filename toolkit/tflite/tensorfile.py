"""Raw inputs or outputs of many runs of a model in one file, which other languages read too.

The first line is JSON: ``{"format": "asmnet-kit tensors", "version": 1, "records": 2, "tensors":
[{"name": "image", "type": "int8", "shape": [1, 112, 112, 3]}]}``. After its newline comes one
record for each run: of each tensor, in the header's order, all values, little-endian.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import KitError
from asmnet_kit.base.files import write_bytes
from asmnet_kit.base.reading import open_file, parse_json

FORMAT = "asmnet-kit tensors"
VERSION = 1
SUFFIX = ".tensors"
TYPES = ("int8", "uint8", "int16", "int32", "int64", "float16", "float32", "bool")
MAX_FILE_BYTES = 2**40  # its values stay on the disk
MAX_HEADER_BYTES = 65_536  # a hundred tensors stay far below

Tensors = dict[str, NDArray[Any]]  # name -> [runs, *shape of the tensor]


class TensorFileError(KitError):
    """A file of tensors that cannot be read."""


def pack_tensors(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of a file.

    Args:
        tensors: name -> raw values [runs, *shape of the tensor]; as many runs of each.

    Raises:
        TensorFileError: a tensor of a type without numbers.
    """
    for name, values in tensors.items():
        if values.dtype.name not in TYPES:
            raise TensorFileError(
                f"{name}: expected a type of {', '.join(TYPES)}, got {values.dtype.name}"
            )
    record = _record([(name, values.dtype, values.shape[1:]) for name, values in tensors.items()])
    records = np.empty(len(next(iter(tensors.values()))), record)
    for name, values in tensors.items():
        records[name] = values
    header = {
        "format": FORMAT,
        "version": VERSION,
        "records": len(records),
        "tensors": [
            {"name": name, "type": values.dtype.name, "shape": list(values.shape[1:])}
            for name, values in tensors.items()
        ],
    }
    return json.dumps(header).encode() + b"\n" + records.tobytes()


def unpack_tensors(content: bytes | NDArray[np.uint8], *, name: str) -> Tensors:
    """The tensors in a file's bytes, as views into them.

    Args:
        name: of the file, for messages.

    Raises:
        TensorFileError: no such file, or one that was cut off.
    """
    raw = np.frombuffer(content, np.uint8) if isinstance(content, bytes) else content
    line, newline, _ = raw[:MAX_HEADER_BYTES].tobytes().partition(b"\n")
    try:
        count, record = _parsed(parse_json(line if newline else b""))
    except (ValueError, KeyError, TypeError) as error:
        raise TensorFileError(
            f"{name}: expected a file of tensors (a first line with the format {FORMAT!r}, "
            f"version {VERSION}), got {line[:80]!r}"
        ) from error
    body = raw[len(line) + 1 :]
    wanted = count * record.itemsize
    if body.size != wanted:
        raise TensorFileError(
            f"{name}: expected {wanted} bytes of {count} records after the first line, "
            f"got {body.size}: it was cut off on its way, write it again"
        )
    records = body.view(record)
    return {field: records[field] for field in record.names or ()}


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write a file whole or not at all."""
    write_bytes(path, pack_tensors(tensors))


def read_tensors(path: Path) -> Tensors:
    """The tensors of a file; their values stay on the disk until they are looked at.

    Raises:
        TensorFileError: it cannot be read, or is no such file.
    """
    try:
        with open_file(path, limit=MAX_FILE_BYTES) as file:
            content = np.memmap(file, np.uint8, mode="r")
    except (OSError, ValueError) as error:  # ValueError: an empty file
        reason = error.strerror if isinstance(error, OSError) else "the file is empty"
        raise TensorFileError(f"{path}: expected a file of tensors, but {reason}") from error
    return unpack_tensors(content, name=str(path))


def _parsed(header: dict[str, Any]) -> tuple[int, np.dtype[Any]]:
    """Records and their type; ValueError, KeyError or TypeError where ``header`` is none."""
    records, tensors = header["records"], header["tensors"]
    if header["format"] != FORMAT or header["version"] != VERSION or not tensors:
        raise ValueError("another format")
    sizes = [records, *(size for tensor in tensors for size in tensor["shape"])]
    if any(type(size) is not int or size < 0 for size in sizes):
        raise ValueError("sizes")
    if any(tensor["type"] not in TYPES for tensor in tensors):
        raise ValueError("types")
    record = _record([(str(t["name"]), np.dtype(t["type"]), tuple(t["shape"])) for t in tensors])
    if record.itemsize == 0:
        raise ValueError("no values")
    return records, record


def _record(tensors: list[tuple[str, np.dtype[Any], tuple[int, ...]]]) -> np.dtype[Any]:
    return np.dtype([(name, dtype.newbyteorder("<"), shape) for name, dtype, shape in tensors])
