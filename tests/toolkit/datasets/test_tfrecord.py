"""Reading TFRecord framing and tf.train.Example messages without TensorFlow."""

import struct
from pathlib import Path

import numpy as np
import pytest

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.datasets.tfrecord import (
    _CRC_TABLE,
    Span,
    bytes_at,
    crc32c,
    is_damaged,
    masked_crc32c,
    parse_example,
    record_spans,
)


def framed(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    crc, crc_of_data = (struct.pack("<I", masked_crc32c(part)) for part in (length, data))
    return length + crc + data + crc_of_data


def field(number: int, content: bytes) -> bytes:
    """A length-delimited field of fewer than 128 bytes."""
    return bytes([number << 3 | 2, len(content)]) + content


def example(**features: bytes) -> bytes:
    """An Example from serialized Feature messages."""
    entries = (field(1, field(1, key.encode()) + field(2, v)) for key, v in features.items())
    return field(1, b"".join(entries))


@pytest.mark.parametrize(
    ("content", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),  # the check value of CRC-32C
        (bytes(32), 0x8A9136AA),  # RFC 3720, B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_crc32c_has_its_published_values(content: bytes, crc: int) -> None:
    assert crc32c(content) == crc


@pytest.mark.parametrize("length", [255, 256, 257, 511, 512, 65536, 65537, 200_000])
def test_blocks_of_any_length_have_the_crc_of_their_bytes(length: int) -> None:
    """Byte by byte, as the polynomial is defined."""
    content = np.random.default_rng(length).bytes(length)
    expected = 0xFFFFFFFF
    for byte in content:
        expected = (expected >> 8) ^ int(_CRC_TABLE[(expected ^ byte) & 0xFF])
    assert crc32c(content) == expected ^ 0xFFFFFFFF


def test_a_flipped_bit_in_the_data_is_noticed() -> None:
    content = bytearray(framed(b"one") + framed(b"two"))
    content[19 + 13] ^= 0x01
    first, second = record_spans(Path("x"), bytes(content))
    assert not is_damaged(bytes(content), first)
    assert is_damaged(bytes(content), second)


def test_records_are_found_by_their_lengths() -> None:
    content = framed(b"one") + framed(b"") + framed(b"three")
    spans = list(record_spans(Path("x"), content))
    assert [bytes_at(content, span) for span in spans] == [b"one", b"", b"three"]
    assert spans[0] == Span(offset=12, length=3)


@pytest.mark.parametrize("kept", [1, 11, 12, 14, 18])
def test_a_cut_off_file_says_in_which_record(kept: int) -> None:
    """Cut inside the length, its checksum, the data and the checksum of the data."""
    content = framed(b"one") + framed(b"two")[:kept]
    with pytest.raises(DatasetError, match=r"x\.tfrecord: cut off in record 1"):
        list(record_spans(Path("x.tfrecord"), content))


def test_a_flipped_bit_in_a_length_is_noticed() -> None:
    content = bytearray(framed(b"one") + framed(b"two"))
    content[19 + 2] ^= 0x40  # the second record's length, now 4 MB
    with pytest.raises(DatasetError, match="record 1 at byte 19 is damaged"):
        list(record_spans(Path("x"), bytes(content)))


def test_an_example_written_out_by_hand_is_parsed() -> None:
    packed = struct.pack("<2f", 1.5, -2.0)
    content = b"junk" + example(
        name=field(1, field(1, b"face") + field(1, "ü".encode())),
        packed=field(2, field(1, packed)),
        single=field(2, b"\x0d" + packed[:4] + b"\x0d" + packed[4:]),
        empty=field(2, b""),
        nothing=b"",
        numbers=field(3, b"\x08\x96\x01"),  # an Int64List, as integers are not written: left out
    )
    features = parse_example(content, Span(4, len(content) - 4))
    assert [bytes_at(content, span) for span in features["name"]] == [b"face", "ü".encode()]
    assert features["packed"].tolist() == features["single"].tolist() == [1.5, -2.0]
    assert features["packed"].dtype == np.float32
    assert len(features["empty"]) == len(features["nothing"]) == 0
    assert "numbers" not in features


@pytest.mark.parametrize(
    "content",
    [
        b"\x0a\x05abc",  # longer than the message
        b"\x0a",  # no length
        b"\x0a" + b"\xff" * 12,  # a number without an end
        b"\x0f\x00",  # wire type 7 does not exist
        example(x=field(2, field(1, b"abc"))),  # 3 bytes of floats
    ],
)
def test_what_is_no_example_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_example(content, Span(0, len(content)))


def test_no_damage_leads_to_another_error() -> None:
    """Every single-byte change of a small message is parsed or refused, never an IndexError."""
    good = example(a=field(1, field(1, b"xyz")), b=field(2, field(1, struct.pack("<f", 1.0))))
    for place in range(len(good)):
        for value in range(0, 256, 5):
            bad = bytearray(good)
            bad[place] = value
            try:
                parse_example(bytes(bad), Span(0, len(bad)))
            except ValueError:
                continue
