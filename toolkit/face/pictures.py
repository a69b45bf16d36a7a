"""Reading pictures: every decoder's quirk is dealt with here."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError

Image = NDArray[np.uint8]  # [H, W, 3], RGB


def decode_image(encoded: bytes, *, name: str, upright: bool = False) -> Image:
    """An encoded picture (JPEG, PNG ...) as uint8 [H, W, 3], RGB.

    Args:
        name: appears in error messages.
        upright: follow EXIF rotation, as viewers of photographs do. Data sets are read without:
            their annotations refer to the stored pixels.

    Raises:
        DatasetError: the bytes are not a whole picture.
    """
    if encoded[:2] == b"\xff\xd8" and not _jpeg_ends(encoded):
        # libjpeg would fill the missing rest with grey and only print a warning.
        raise DatasetError(f"{name}: truncated JPEG (no end-of-image marker)")
    flags = cv2.IMREAD_COLOR | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)
    pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags) if encoded else None
    if pixels is None:
        raise DatasetError(f"{name}: expected a picture OpenCV can read, got {len(encoded)} bytes")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), np.uint8)


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


def decode_cutout(encoded: bytes, *, name: str) -> NDArray[np.uint8]:
    """An encoded picture with transparency as uint8 [H, W, 4], RGBA.

    Raises:
        DatasetError: as ``decode_image``, or a picture without alpha.
    """
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
    """A picture file as uint8 [H, W, 3], RGB; ``upright`` follows EXIF rotation.

    Raises:
        DatasetError: the file is missing, unreadable or cut off.
    """
    try:
        encoded = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror}") from error
    return decode_image(encoded, name=str(path), upright=upright)


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
