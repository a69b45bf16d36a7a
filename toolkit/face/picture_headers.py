"""What a picture's header claims, read before a decoder spends memory on it.

Decoders allocate what the header says: a file of 200 bytes may claim a billion pixels. They also
differ in which stored rotation they follow, and which they overlook: it is read here, for all.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from asmnet_kit.base.kinds import iso_brands

TIFF_WIDTH, TIFF_HEIGHT, TIFF_BITS, TIFF_ORIENTATION, TIFF_SAMPLES = 256, 257, 258, 274, 339
UPRIGHT = 1  # EXIF orientation: as stored

_DAMAGED = (struct.error, IndexError, ValueError, OverflowError)
_EXIF = b"Exif\0\0"  # before a TIFF that holds no picture, only tags


@dataclass(frozen=True)
class PictureHeader:
    """What a picture says of itself.

    Attributes:
        format: "JPEG", "PNG" ...
        width, height: pixels as stored; the largest that its header claims anywhere.
        decoding_bytes: for each pixel, at most, while OpenCV decodes the format: measured or read
            in the decoder, result included.
        orientation: EXIF's 1 to 8, wherever the format keeps it; 1 without.
    """

    format: str
    width: int
    height: int
    decoding_bytes: int
    orientation: int = UPRIGHT


def read_header(content: bytes) -> PictureHeader | None:
    """The header of an encoded picture; None for what is none of the formats that are read.

    A size of 0 x 0 stands for a header that is damaged or cut off.
    """
    for format, is_format, size_of, decoding_bytes in _FORMATS:
        if is_format(content):
            try:
                width, height = size_of(content)
            except _DAMAGED:
                return PictureHeader(format, 0, 0, decoding_bytes)
            turned = _orientation(format, content)
            return PictureHeader(format, width, height, decoding_bytes, turned)
    return None


def stored_orientation(content: bytes) -> int:
    """EXIF's orientation of an encoded picture, 1 to 8; 1 for what is no picture."""
    header = read_header(content)
    return UPRIGHT if header is None else header.orientation


def _orientation(format: str, content: bytes) -> int:
    try:
        turned = _ORIENTATIONS[format](content) if format in _ORIENTATIONS else UPRIGHT
    except _DAMAGED:  # a picture with damaged EXIF is still a picture
        return UPRIGHT
    return turned if 1 <= turned <= 8 else UPRIGHT


def _largest(sizes: Iterator[tuple[int, int]]) -> tuple[int, int]:
    """The largest of several claimed sizes: which one a decoder believes is its own affair."""
    return max(sizes, key=lambda size: size[0] * size[1], default=(0, 0))


def _jpeg(content: bytes) -> tuple[int, int]:
    return _largest(_jpeg_frames(content))


def _jpeg_frames(content: bytes) -> Iterator[tuple[int, int]]:
    """(width, height) of each frame header (SOF) before the pixels."""
    for marker, start, _ in _jpeg_segments(content):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", content, start + 1)
            yield width, height


def _jpeg_orientation(content: bytes) -> int:
    """Of the first APP1 with EXIF; what follows the pixels may be another picture with its own."""
    for marker, start, end in _jpeg_segments(content):
        if marker == 0xE1 and content.startswith(_EXIF, start, end):
            return _tiff_orientation(content[start + len(_EXIF) : end])
    return UPRIGHT


def _jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of what each segment before the pixels holds."""
    position = 2
    while True:
        position = content.find(b"\xff", position)  # libjpeg, too, skips what is between segments
        if position < 0 or position + 4 > len(content):
            return
        marker = content[position + 1]
        if marker == 0xDA:  # the pixels
            return
        if marker in (0x00, 0xFF) or 0xD0 <= marker <= 0xD9 or marker == 0x01:  # without a length
            position += 1 if marker == 0xFF else 2
            continue
        length = max(2, int.from_bytes(content[position + 2 : position + 4], "big"))
        yield marker, position + 4, position + 2 + length
        position += 2 + length


def _png(content: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", content, 16)
    return width, height


def _png_orientation(content: bytes) -> int:
    position = 8
    while position + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        if kind == b"eXIf":
            return _tiff_orientation(content[position + 8 : position + 8 + length])
        position += 12 + length
    return UPRIGHT


def _gif(content: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", content, 6)
    return width, height


def _bmp(content: bytes) -> tuple[int, int]:
    if struct.unpack_from("<I", content, 14)[0] == 12:  # the header of OS/2
        width, height = struct.unpack_from("<HH", content, 18)
    else:
        width, height = struct.unpack_from("<ii", content, 18)
    return abs(width), abs(height)


def _webp(content: bytes) -> tuple[int, int]:
    return _largest(_webp_sizes(content))


def _webp_sizes(content: bytes) -> Iterator[tuple[int, int]]:
    for kind, at, _ in _webp_chunks(content):
        if kind == b"VP8X":
            yield _24_bits(content, at + 4) + 1, _24_bits(content, at + 7) + 1
        elif kind == b"ANMF":
            yield _24_bits(content, at + 6) + 1, _24_bits(content, at + 9) + 1
        elif kind == b"VP8 " and len(content) >= at + 10:
            width, height = struct.unpack_from("<HH", content, at + 6)
            yield width & 0x3FFF, height & 0x3FFF
        elif kind == b"VP8L" and len(content) >= at + 5:
            bits = struct.unpack_from("<I", content, at + 1)[0]
            yield (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def _webp_orientation(content: bytes) -> int:
    for kind, start, end in _webp_chunks(content):
        if kind == b"EXIF":  # some programs write JPEG's introduction, too
            return _tiff_orientation(content[start:end].removeprefix(_EXIF))
    return UPRIGHT


def _webp_chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each chunk; those of an animation's frame follow it."""
    position = 12
    while position + 8 <= len(content):
        kind, length = struct.unpack_from("<4sI", content, position)
        at = position + 8
        yield kind, at, at + length
        position = at + (16 if kind == b"ANMF" else length + length % 2)


def _24_bits(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 3], "little")


def _tiff(content: bytes) -> tuple[int, int]:
    tags = _tiff_tags(content)
    return tags.get(TIFF_WIDTH, 0), tags.get(TIFF_HEIGHT, 0)


def _tiff_tags(content: bytes) -> dict[int, int]:
    """The first value of each whole-number tag of the first page."""
    order = "<" if content[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", content, 2)[0] == 43
    word = order + ("Q" if big else "I")
    offset = struct.unpack_from(word, content, 8 if big else 4)[0]
    count = struct.unpack_from(order + ("Q" if big else "H"), content, offset)[0]
    start, step, value_at = offset + (8 if big else 2), 20 if big else 12, 12 if big else 8
    kinds = {1: "B", 3: "H", 4: "I", 16: "Q"}
    tags: dict[int, int] = {}
    for entry in range(start, min(len(content), start + step * count), step):
        tag, kind = struct.unpack_from(order + "HH", content, entry)
        if kind not in kinds:
            continue
        values, at = struct.unpack_from(word, content, entry + 4)[0], entry + value_at
        size = struct.calcsize(order + kinds[kind])
        if values * size > struct.calcsize(word):  # they stand elsewhere
            at = struct.unpack_from(word, content, at)[0]
        if at + size <= len(content):
            tags.setdefault(tag, int(struct.unpack_from(order + kinds[kind], content, at)[0]))
    return tags


def unread_samples(content: bytes) -> str | None:
    """The type of a TIFF's samples where OpenCV makes no picture of them; None elsewhere."""
    try:
        tags = _tiff_tags(content)
    except _DAMAGED:
        return None
    bits, format = tags.get(TIFF_BITS, 1), tags.get(TIFF_SAMPLES, 1)
    kind = {1: "whole numbers", 2: "whole numbers", 3: "floats"}.get(format, "another kind")
    return f"{bits}-bit {kind}" if bits > 16 or format not in (1, 2) else None


def _tiff_orientation(content: bytes) -> int:
    return _tiff_tags(content).get(TIFF_ORIENTATION, UPRIGHT)


def _avif(content: bytes) -> tuple[int, int]:
    return _largest(
        struct.unpack_from(">II", content, at + 8) for at in _boxes(content, b"ispe", 12)
    )


def _avif_orientation(content: bytes) -> int:
    """The turn and the mirror (``irot``, then ``imir``, as MIAF has it) as an EXIF orientation.

    EXIF, should the file hold some, does not count beside them.
    """
    turns = next((content[at + 4] & 3 for at in _boxes(content, b"irot", 1)), 0)
    mirror = next((content[at + 4] & 1 for at in _boxes(content, b"imir", 1)), None)
    # Turned by quarters against the clock: EXIF calls these 1, 8, 3, 6.
    turned = (1, 8, 3, 6)[turns]
    if mirror is None:
        return turned
    # Mirrored afterwards, top to bottom (0) or left to right (1).
    return ({1: 4, 8: 5, 3: 2, 6: 7}, {1: 2, 8: 7, 3: 4, 6: 5})[mirror][turned]


def _boxes(content: bytes, name: bytes, length: int) -> Iterator[int]:
    """Where boxes of that name and at least ``length`` bytes are, in the part before the pixels."""
    end = content.find(b"mdat")
    end = len(content) if end < 0 else end
    position = content.find(name, 0, end)
    while position >= 0:
        if position + 4 + length <= len(content):
            yield position
        position = content.find(name, position + 4, end)


def _jpeg_2000(content: bytes) -> tuple[int, int]:
    return _largest(_jpeg_2000_sizes(content))


def _jpeg_2000_sizes(content: bytes) -> Iterator[tuple[int, int]]:
    box = content.find(b"ihdr")
    if box >= 0:
        height, width = struct.unpack_from(">II", content, box + 4)
        yield width, height
    stream = content.find(b"\xff\x4f\xff\x51")
    if stream >= 0:
        width, height = struct.unpack_from(">II", content, stream + 8)
        yield width, height


def _pnm(content: bytes) -> tuple[int, int]:
    numbers: list[int] = []
    for line in content[2:4096].split(b"\n"):
        for word in line.partition(b"#")[0].split():
            numbers.append(int(word[:10]))
            if len(numbers) == 2:
                return numbers[0], numbers[1]
    raise ValueError("no size")


_Test = Callable[[bytes], bool]
_SizeOf = Callable[[bytes], tuple[int, int]]

# Format, whether bytes are of it, its size, and the bytes for each pixel that decoding takes.
_FORMATS: tuple[tuple[str, _Test, _SizeOf, int], ...] = (
    ("JPEG", lambda c: c[:3] == b"\xff\xd8\xff", _jpeg, 9),  # progressive ones keep coefficients
    ("PNG", lambda c: c[:8] == b"\x89PNG\r\n\x1a\n", _png, 8),
    ("GIF", lambda c: c[:4] == b"GIF8", _gif, 8),
    ("BMP", lambda c: c[:2] == b"BM", _bmp, 4),
    ("WebP", lambda c: c[:4] == b"RIFF" and c[8:12] == b"WEBP", _webp, 8),
    ("TIFF", lambda c: c[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff, 8),
    ("AVIF", lambda c: "AVIF" in iso_brands(c), _avif, 12),
    (
        "JPEG 2000",
        lambda c: c[:4] == b"\xff\x4f\xff\x51" or c[4:12] == b"jP  \r\n\x87\n",
        _jpeg_2000,
        18,
    ),
    ("PNM", lambda c: c[:1] == b"P" and c[1:2] in b"123456" and c[2:3].isspace(), _pnm, 6),
)
FORMATS = tuple(format for format, *_ in _FORMATS)
_ORIENTATIONS: dict[str, Callable[[bytes], int]] = {
    "JPEG": _jpeg_orientation,
    "PNG": _png_orientation,
    "WebP": _webp_orientation,
    "TIFF": _tiff_orientation,
    "AVIF": _avif_orientation,
}
