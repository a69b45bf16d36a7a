"""A face with its surroundings, cut out of its picture: what prepared data keep of it.

Large photographs are cut and shrunk to what training can use.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError, without_frames
from asmnet_kit.datasets.base import Face
from asmnet_kit.face.crop import Points, Window
from asmnet_kit.face.pictures import decode_image

WINDOW_SCALE = 2.0  # side of the window kept, in longer sides of the landmark box
JPEG_QUALITY = 95
# A second JPEG compression costs quality, so a picture is only cut when that halves its area.
CUT_BELOW = 0.5

MAGIC = {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png"}


@dataclass(frozen=True, eq=False)
class Surroundings:
    """A face's picture as a record stores it; points are in its pixels, 0-based."""

    encoded: bytes
    format: str  # "jpeg" or "png"
    landmarks: Points
    detector_box: NDArray[np.float32] | None


def surroundings(face: Face, size: int, window_scale: float = WINDOW_SCALE) -> Surroundings:
    """A face's window of its picture, at most ``size`` pixels on a side.

    The window is the square of window_scale x the landmark box's longer side around the box's
    centre, as far as the picture reaches. Where it holds at least half of the picture and needs no
    shrinking, the picture's own bytes are kept; else the window becomes a JPEG.

    Raises:
        DatasetError: the picture cannot be decoded, or the face lies outside it.
    """
    encoded = face.picture.read_encoded()
    image = decode_image(encoded, name=face.picture.name)
    face.check_picture(image)
    window = Window.cut(image, face.box, scale=window_scale, size=size)
    own_format = next((MAGIC[magic] for magic in MAGIC if encoded.startswith(magic)), None)
    covered = window.image.size / image.size
    if own_format is not None and window.shrink == (1.0, 1.0) and covered >= CUT_BELOW:
        return Surroundings(encoded, own_format, face.landmarks, face.detector_box)
    bgr = cv2.cvtColor(window.image, cv2.COLOR_RGB2BGR)
    done, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not done:
        raise DatasetError(f"cannot be encoded as a JPEG of {bgr.shape[1]} x {bgr.shape[0]}")
    box = face.detector_box
    return Surroundings(
        encoded=jpeg.tobytes(),
        format="jpeg",
        landmarks=window.inside(face.landmarks),
        detector_box=None if box is None else window.inside(box.reshape(2, 2)).reshape(4),
    )


def cutter(
    size: int, window_scale: float
) -> Callable[[Face], Surroundings | DatasetError | OSError]:
    """What cuts out the surroundings of a face, for ``base.workers``; or says why it cannot."""
    return partial(_cut_out, size, window_scale)


def _cut_out(size: int, window_scale: float, face: Face) -> Surroundings | DatasetError | OSError:
    try:
        return surroundings(face, size, window_scale)
    except (DatasetError, OSError) as error:
        return without_frames(error)
