"""Reading pictures: every decoder's quirk is dealt with here, before and after it runs."""

import struct
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError, one_line
from asmnet_kit.base.kinds import HEAD_BYTES, kind_of
from asmnet_kit.base.reading import read_bytes
from asmnet_kit.base.taking_turns import end_turn, take_turn
from asmnet_kit.face.picture_headers import (
    FORMATS,
    TIFF_ORIENTATION,
    UPRIGHT,
    PictureHeader,
    read_header,
    unread_samples,
)

Image = NDArray[np.uint8]  # [H, W, 3], RGB

MAX_SIDE = 2**16 - 1  # pixels; JPEG ends there, too
# What decoding may take. A JPEG of 139 million pixels, as the best phones and cameras make them,
# fits; the whole command then stays below 2 GB.
MAX_DECODING_BYTES = 1_250_000_000
# Of several processes only one at a time decodes more than this (a JPEG of 14 million pixels), and
# keeps the picture until it is done with it: else each could take the whole of the above.
ORDINARY_DECODING_BYTES = 128_000_000
ORDINARY_FILE_BYTES = 32_000_000  # likewise: phones append films to pictures

# A cutout's bytes for each pixel, decoded and while its colours become floats: with them, too, the
# whole command stays below 2 GB.
CUTOUT_BYTES = 50

_CONVERT = {
    "a HEIC picture": "convert it to JPEG first (heif-convert, ImageMagick, or the phone's own "
    "setting 'Most Compatible')",
    "a JPEG XL picture": "convert it to JPEG first (djxl)",
}
_FILM = "predict takes a film by itself: asmnet-kit predict FILM"


def decode_image(encoded: bytes, *, name: str, upright: bool = False) -> Image:
    """An encoded picture (JPEG, PNG ...) as uint8 [H, W, 3], RGB.

    Args:
        name: appears in error messages.
        upright: follow the stored rotation (EXIF, TIFF's tag, AVIF's boxes), as viewers of
            photographs do. Data sets are read without: their annotations refer to the stored
            pixels.

    Raises:
        DatasetError: the bytes are not a whole picture of a format that is read, or one that would
            take more than ``MAX_DECODING_BYTES``.
    """
    header = read_header(encoded)
    if header is None:
        raise DatasetError(f"{name}: {_no_picture(encoded)}")
    if header.format == "JPEG" and not _jpeg_ends(encoded):
        # libjpeg would fill the missing rest with grey and only print a warning.
        raise DatasetError(f"{name}: truncated JPEG (no end-of-image marker): copy it anew")
    if header.format == "PNG" and not _png_chunks_fit(encoded):
        # libpng would take as much memory as a chunk claims, up to 2 GB.
        raise DatasetError(f"{name}: truncated PNG (a chunk is longer than the rest of the file)")
    _check_size(header, name)
    amount = header.width * header.height * header.decoding_bytes
    wait_for_room(amount)
    # The stored rotation is followed here, as the header has it: labels of the stored pixels rely
    # on the same number, and OpenCV reads EXIF in its own way, which differs with its versions.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    if header.format == "TIFF":
        encoded = _without_orientation(encoded)
    try:
        pixels: Any = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
        if pixels is None:
            raise DatasetError(f"{name}: {_unread(encoded, header)}")
        if upright and header.orientation != UPRIGHT:
            pixels = _upright(pixels, header.orientation)
        # In place: a second copy of a large picture would be what ends the memory.
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels), np.uint8)
    except (cv2.error, MemoryError) as error:
        raise DatasetError(
            f"{name}: OpenCV cannot read this {header.format} of {header.width} x {header.height} "
            f"pixels: {_reason(error)}"
        ) from error


def _unread(encoded: bytes, header: PictureHeader) -> str:
    samples = unread_samples(encoded) if header.format == "TIFF" else None
    if samples is not None:
        return f"expected a TIFF of 8 or 16 bits, got one of {samples}: convert it to 8 or 16 bits"
    return (
        f"expected a picture OpenCV can read, got a damaged {header.format} of {len(encoded)} bytes"
    )


def _no_picture(encoded: bytes) -> str:
    kind = kind_of(encoded[:HEAD_BYTES])
    cure = _CONVERT.get(kind, _FILM if "film" in kind else "")
    formats = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
    return f"expected a picture OpenCV can read ({formats}), got {kind} of {len(encoded)} bytes" + (
        f": {cure}" if cure else ""
    )


class _Room:
    """The memory in which threads decode pictures: for all together what one picture may take."""

    def __init__(self) -> None:
        self._taken = 0
        self._changed = threading.Condition()
        self._own = threading.local()

    @contextmanager
    def shared(self) -> Iterator[None]:
        self._own.taken = 0
        try:
            yield
        finally:
            with self._changed:
                self._taken -= self._own.taken
                if not self._taken:
                    end_turn()
                self._changed.notify_all()
            del self._own.taken

    def enter(self, amount: int) -> None:
        own = getattr(self._own, "taken", None)
        if own is None:  # a single reader
            return
        with self._changed:
            # Who has a picture already never waits: others may wait for it.
            self._changed.wait_for(
                lambda: own or not self._taken or self._taken + amount <= MAX_DECODING_BYTES
            )
            self._taken += amount
            self._own.taken += amount


_room = _Room()


def wait_for_room(amount: int) -> None:
    """Before this many bytes are taken for a picture: wait for other threads and processes."""
    _room.enter(amount)  # first: who leaves the room as its last ends the turn
    if amount > ORDINARY_DECODING_BYTES:
        take_turn()


def shared_room() -> AbstractContextManager[None]:
    """For each picture that one of several threads reads: large ones wait for one another.

    Until it ends, what this thread decodes counts towards ``MAX_DECODING_BYTES`` of all threads
    together. Drop the pixels before. Processes take turns with large ones, too.
    """
    return _room.shared()


def _check_size(header: PictureHeader, name: str) -> None:
    """Refuse what a header claims before a decoder believes it."""
    width, height = header.width, header.height
    if not width or not height:
        raise DatasetError(
            f"{name}: expected a picture OpenCV can read, got a damaged {header.format}: its "
            f"header says {width} x {height} pixels"
        )
    most = MAX_DECODING_BYTES // header.decoding_bytes
    if max(width, height) > MAX_SIDE or width * height > most:
        raise DatasetError(
            f"{name}: its header says {width} x {height} pixels; a {header.format} may have at "
            f"most {MAX_SIDE} on a side and {most / 1e6:.0f} million in all: shrink it first"
        )


def _reason(error: BaseException) -> str:
    """OpenCV's own reason, without its version and source file."""
    if isinstance(error, MemoryError):
        return "not enough memory"
    return one_line(error).rpartition("error: ")[2]


def _without_orientation(encoded: bytes) -> bytes:
    """A TIFF whose first page says that it is upright.

    OpenCV follows the tag for some kinds of TIFF and not for others, whatever it is asked for.
    """
    order = "<" if encoded[:2] == b"II" else ">"
    changed = bytearray(encoded)
    tag = struct.pack(order + "HHI", TIFF_ORIENTATION, 3, 1)
    position = changed.find(tag)
    while position >= 0:
        changed[position + 8 : position + 10] = struct.pack(order + "H", UPRIGHT)
        position = changed.find(tag, position + 8)
    return bytes(changed)


# EXIF orientation -> what makes the stored pixels upright: whether columns are reversed, whether
# rows are, whether rows and columns are exchanged thereafter.
TURNS: dict[int, tuple[bool, bool, bool]] = {
    UPRIGHT: (False, False, False),
    2: (True, False, False),
    3: (True, True, False),
    4: (False, True, False),
    5: (False, False, True),
    6: (False, True, True),
    7: (True, True, True),
    8: (True, False, True),
}


def _upright(pixels: Any, orientation: int) -> Any:
    """Mirrored in place: a third copy of a large picture would be more than decoding takes."""
    flip_x, flip_y, swap = TURNS[orientation]
    if flip_x or flip_y:
        cv2.flip(pixels, -1 if flip_x and flip_y else int(flip_x), dst=pixels)
    return cv2.transpose(pixels) if swap else pixels


def _jpeg_ends(encoded: bytes) -> bool:
    """Whether a JPEG's end-of-image marker follows its pixels.

    Phones append films and depth maps after it, and a thumbnail in the header has one of its own:
    so the header's segments are stepped over up to the pixels (SOS). Among these 0xff is never
    followed by 0xd9 but in the marker.
    """
    position = 2
    while position + 4 <= len(encoded) and encoded[position] == 0xFF:
        if encoded[position + 1] == 0xDA:
            return encoded.find(b"\xff\xd9", position) >= 0
        if encoded[position + 1] == 0xFF:  # padding before a marker
            position += 1
        else:
            position += 2 + int.from_bytes(encoded[position + 2 : position + 4], "big")
    return False


def _png_chunks_fit(encoded: bytes) -> bool:
    """Whether every chunk of a PNG up to its last (IEND) lies in the file."""
    position = 8
    while position + 8 <= len(encoded):
        end = position + 12 + int.from_bytes(encoded[position : position + 4], "big")
        if end > len(encoded):
            return False
        if encoded[position + 4 : position + 8] == b"IEND":
            break
        position = end
    return True


def decode_cutout(encoded: bytes, *, name: str) -> NDArray[np.uint8]:
    """An encoded picture with transparency as uint8 [H, W, 4], RGBA.

    Raises:
        DatasetError: as ``decode_image``, or a picture without alpha.
    """
    header = read_header(encoded)
    if header is not None:
        most = MAX_DECODING_BYTES // CUTOUT_BYTES
        if header.width * header.height > most:
            raise DatasetError(
                f"{name}: its header says {header.width} x {header.height} pixels; a picture with "
                f"transparency may have at most {most / 1e6:.0f} million: shrink it first"
            )
        wait_for_room(header.width * header.height * CUTOUT_BYTES)
    decode_image(encoded, name=name)  # refuses what is no whole picture
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 3 or pixels.shape[2] != 4:
        raise DatasetError(
            f"{name}: expected a picture with transparency (a PNG with alpha), got one without"
        )
    if pixels.dtype == np.uint16:
        pixels = pixels // 257
    return np.asarray(cv2.cvtColor(pixels.astype(np.uint8), cv2.COLOR_BGRA2RGBA), np.uint8)


def read_image(path: Path, *, upright: bool = False) -> Image:
    """A picture file as uint8 [H, W, 3], RGB; ``upright`` follows the stored rotation.

    Raises:
        DatasetError: the file is missing, unreadable, cut off or too large.
    """
    return decode_image(read_encoded(path), name=str(path), upright=upright)


def read_encoded(path: Path) -> bytes:
    """The bytes of a picture file.

    Raises:
        DatasetError: it is missing, unreadable or too large.
    """
    try:
        return read_in_turn(path)
    except FileNotFoundError as error:
        bare = Path(str(path).strip())
        hint = f": leave out the blanks around {bare}" if bare != path and bare.exists() else ""
        raise DatasetError(f"{path}: {error.strerror}{hint}") from error
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from error


def read_in_turn(path: Path) -> bytes:
    """``read_bytes`` of a picture file; of several processes only one at a time reads a large one.

    Raises:
        DatasetError, OSError: as ``read_bytes``.
    """
    if path.stat().st_size > ORDINARY_FILE_BYTES:
        take_turn()
    return read_bytes(path)


def encode_png(image: Image, *, name: str) -> bytes:
    """A picture as the bytes of a PNG, lossless.

    Args:
        image: uint8 [H, W, 3], RGB.
        name: appears in error messages.

    Raises:
        DatasetError: OpenCV cannot encode it.
    """
    done, png = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if not done:
        raise DatasetError(f"{name}: cannot be encoded as a PNG")
    return png.tobytes()


def encode_jpeg(image: Image, *, name: str, quality: int) -> bytes:
    """A picture as the bytes of a JPEG.

    Args:
        image: uint8 [H, W, 3], RGB.
        name: appears in error messages.
        quality: OpenCV's scale, 0 to 100.

    Raises:
        DatasetError: OpenCV cannot encode it.
    """
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise DatasetError(f"{name}: cannot be encoded as a JPEG")
    return jpeg.tobytes()
