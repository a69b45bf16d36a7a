"""TFRecord files and tf.train.Example messages, read without TensorFlow.

A file is a row of records: uint64 length, uint32 masked CRC-32C of those 8 bytes, ``length`` bytes,
uint32 masked CRC-32C of the bytes; all little-endian. The mask is rotate-right(crc, 15) +
0xa282ead8 (tensorflow/core/lib/io/record_writer.h, tsl/lib/hash/crc32c.h). Both CRCs are checked: a
wrong length would lead astray, and wrong landmarks would be trained on.

A CRC without its start value is linear: that of a block is the XOR of what each byte contributes at
its place. NumPy looks these up in a table for a whole row of blocks at once, at hundreds of
megabytes a second, where a loop over the bytes takes ten.

A record holds an Example, of whose protocol buffer only this much is needed:

    message Example  { Features features = 1; }
    message Features { map<string, Feature> feature = 1; }     // entries {key = 1, value = 2}
    message Feature  { oneof { BytesList = 1; FloatList = 2; Int64List = 3; } }  // each: value = 1
"""

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError

HEADER = struct.Struct("<QI")  # length, masked CRC of the length
FOOTER = struct.Struct("<I")  # masked CRC of the data
MASK_DELTA = 0xA282EAD8
POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), bits reversed
BLOCK_BYTES = 256  # the table of contributions, 1 KiB a byte, then stays in a processor's cache
ROW_BYTES = 256 * BLOCK_BYTES  # looked up at once: the places take eight times as much memory

# Wire types of protocol buffers, and the length of the fixed ones.
VARINT, FIXED64, LENGTH_DELIMITED, FIXED32 = 0, 1, 2, 5
FIXED_BYTES = {FIXED64: 8, FIXED32: 4}

BYTES_LIST, FLOAT_LIST = 1, 2  # field numbers in Feature


def _crc_table() -> NDArray[np.uint32]:
    """uint32 [256]: what a byte makes of a CRC."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> 1) ^ np.where(table & 1, np.uint32(POLYNOMIAL), np.uint32(0))
    return table


def _contributions() -> NDArray[np.uint32]:
    """uint32 [BLOCK_BYTES, 256]: what a byte's value contributes at its place in a block."""
    table = np.empty((BLOCK_BYTES, 256), np.uint32)
    table[-1] = _CRC_TABLE
    for place in range(BLOCK_BYTES - 2, -1, -1):
        table[place] = _a_byte_later(table[place + 1])
    return table


def _a_byte_later(crc: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """CRCs after one more byte of 0."""
    later: NDArray[np.uint32] = _CRC_TABLE[crc & 0xFF] ^ (crc >> 8)
    return later


def _a_block_later() -> list[list[int]]:
    """[4][256]: what each byte of a CRC, lowest first, is after one more block of zeros."""
    crcs = np.arange(256, dtype=np.uint32) << np.array([[0], [8], [16], [24]], np.uint32)
    for _ in range(BLOCK_BYTES):
        crcs = _a_byte_later(crcs)
    rows: list[list[int]] = crcs.tolist()
    return rows


_CRC_TABLE = _crc_table()
_BYTES_CRC: list[int] = _CRC_TABLE.tolist()
_CONTRIBUTIONS = _contributions().ravel()
_PLACES = np.arange(BLOCK_BYTES, dtype=np.intp) * 256
_LATER = _a_block_later()


def crc32c(content: bytes) -> int:
    """CRC-32C (Castagnoli) of ``content``; 0xe3069283 for b"123456789"."""
    if len(content) < BLOCK_BYTES:
        crc = 0xFFFFFFFF
        for byte in content:
            crc = (crc >> 8) ^ _BYTES_CRC[(crc ^ byte) & 0xFF]
        return crc ^ 0xFFFFFFFF
    # Whole blocks, with zeros in front: they change nothing, as a linear CRC starts at 0. The real
    # one starts at 0xffffffff, as if the first four bytes were inverted.
    padded = np.zeros(-(-len(content) // BLOCK_BYTES) * BLOCK_BYTES, np.uint8)
    own = padded[len(padded) - len(content) :]
    own[:] = np.frombuffer(content, np.uint8)
    own[:4] ^= 0xFF
    crc = 0
    for row in range(0, len(padded), ROW_BYTES):
        blocks = padded[row : row + ROW_BYTES].reshape(-1, BLOCK_BYTES)
        contributed = _CONTRIBUTIONS.take(blocks + _PLACES)
        for block in np.bitwise_xor.reduce(contributed, axis=1).tolist():
            crc = (
                _LATER[0][crc & 0xFF]
                ^ _LATER[1][crc >> 8 & 0xFF]
                ^ _LATER[2][crc >> 16 & 0xFF]
                ^ _LATER[3][crc >> 24]
                ^ block
            )
    return int(crc) ^ 0xFFFFFFFF


def masked_crc32c(content: bytes) -> int:
    """The CRC as TFRecord files store it."""
    crc = crc32c(content)
    return (((crc >> 15) | (crc << 17)) + MASK_DELTA) & 0xFFFFFFFF


@dataclass(frozen=True)
class Span:
    """A piece of a file."""

    offset: int
    length: int


def is_damaged(content: bytes | mmap.mmap, record: Span) -> bool:
    """Whether the checksum of a record's data, from ``record_spans``, does not match."""
    (stored,) = FOOTER.unpack_from(content, record.offset + record.length)
    return bool(masked_crc32c(bytes_at(content, record)) != stored)


def record_spans(path: Path, content: bytes | mmap.mmap) -> Iterator[Span]:
    """Where each record's data is in a TFRecord file; ``is_damaged`` says whether it is whole.

    Raises:
        DatasetError: the file is cut off or damaged; the message says at which record.
    """
    position = 0
    record = 0
    while position < len(content):
        if position + HEADER.size > len(content):
            raise _cut_off(path, record)
        length, crc = HEADER.unpack_from(content, position)
        if masked_crc32c(content[position : position + 8]) != crc:
            raise DatasetError(
                f"{path}: record {record} at byte {position} is damaged: the checksum of its "
                "length does not match; remove the file and run data prepare again"
            )
        start = position + HEADER.size
        position = start + length + FOOTER.size
        if position > len(content):
            raise _cut_off(path, record)
        yield Span(start, length)
        record += 1


def _cut_off(path: Path, record: int) -> DatasetError:
    return DatasetError(
        f"{path}: cut off in record {record}; remove the file and run data prepare again"
    )


# A bytes list is where its values are, so that a picture is not copied to find it.
Feature = tuple[Span, ...] | NDArray[np.float32]


def parse_example(content: bytes | mmap.mmap, span: Span) -> dict[str, Feature]:
    """The features of the Example at ``span``.

    Returns:
        name -> where each value of a bytes list is, or the float32 [n] of a float list; a feature
        without values is an empty tuple. Integer lists, which the kit does not write, are left out.

    Raises:
        ValueError: the bytes are no Example.
    """
    features: dict[str, Feature] = {}
    for example_field, message in _messages(content, span):
        if example_field != 1:
            continue
        for _, entry in _messages(content, message):
            parts = dict(_messages(content, entry))
            key = bytes_at(content, parts[1]).decode("utf-8") if 1 in parts else ""
            values = dict(_messages(content, parts[2])) if 2 in parts else {}
            if BYTES_LIST in values:
                features[key] = tuple(piece for _, piece in _messages(content, values[BYTES_LIST]))
            elif FLOAT_LIST in values:
                features[key] = _floats(content, values[FLOAT_LIST])
            elif not values:
                features[key] = ()
    return features


def bytes_at(content: bytes | mmap.mmap, span: Span) -> bytes:
    """The bytes at ``span``."""
    return content[span.offset : span.offset + span.length]


def _floats(content: bytes | mmap.mmap, span: Span) -> NDArray[np.float32]:
    """A FloatList: packed into one field (what TensorFlow writes) or one field per number."""
    packed = b"".join(
        bytes_at(content, piece)
        for number, piece in _fields(content, span, {LENGTH_DELIMITED, FIXED32})
        if number == 1
    )
    if len(packed) % 4:
        raise ValueError(f"a list of floats has {len(packed)} bytes")
    return np.frombuffer(packed, "<f4").astype(np.float32)


def _messages(content: bytes | mmap.mmap, span: Span) -> Iterator[tuple[int, Span]]:
    """(field number, content) of the fields that hold bytes, text or messages."""
    return _fields(content, span, {LENGTH_DELIMITED})


def _fields(content: bytes | mmap.mmap, span: Span, wanted: set[int]) -> Iterator[tuple[int, Span]]:
    """(field number, content) of the fields of a message whose wire type is ``wanted``."""
    position, end = span.offset, span.offset + span.length
    while position < end:
        tag, position = _varint(content, position, end)
        number, wire = tag >> 3, tag & 7
        if wire == LENGTH_DELIMITED:
            length, position = _varint(content, position, end)
        elif wire in FIXED_BYTES:
            length = FIXED_BYTES[wire]
        elif wire == VARINT:
            start = position
            _, position = _varint(content, position, end)
            length, position = position - start, start
        else:
            raise ValueError(f"unknown wire type {wire} at byte {position}")
        if position + length > end:
            raise ValueError(f"a field at byte {position} is longer than its message")
        if wire in wanted:
            yield number, Span(position, length)
        position += length


def _varint(content: bytes | mmap.mmap, position: int, end: int) -> tuple[int, int]:
    """A variable-length integer and the position behind it."""
    value = 0
    for shift in range(0, 70, 7):  # at most 10 bytes
        if position >= end:
            break
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError(f"expected a number before byte {position}")
