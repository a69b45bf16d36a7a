"""Which picture labels are of: its sides, as the labels state them and as its file has them.

Only the beginning of a file is read, where that says it.
"""

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.datasets.base import PictureFile
from asmnet_kit.face.orientation import StoredPicture
from asmnet_kit.face.picture_headers import (
    UPRIGHT,
    PictureHeader,
    read_header,
    stored_orientation,
)
from asmnet_kit.face.pictures import TURNS

START_BYTES = 2**16  # of a picture, in which most formats have its size

Sides = tuple[float, float]  # width and height, pixels


def stored_sides(picture: PictureFile) -> tuple[int, int] | None:
    """Width and height of a picture as it is stored; None where its file does not say them.

    Raises:
        OSError: it cannot be read.
    """
    header, _ = _read(picture)
    return None if header is None else (header.width, header.height)


def turn_of(picture: PictureFile, stated: Sides, *, turns: bool) -> StoredPicture | None:
    """How a picture lies in its file, where its labels are of the upright one.

    Args:
        stated: the sides of the picture that was labelled. Sides of 0 or less say nothing.
        turns: whether who wrote the labels shows pictures upright (EXIF). Otherwise labels are of
            the stored picture, unless only the upright one has these sides.

    Returns:
        None where the labels are of the stored picture already.

    Raises:
        DatasetError: neither the stored picture nor the upright one has these sides.
        OSError: the picture cannot be read.
    """
    header, content = _read(picture)
    if header is None or min(stated) <= 0:
        return None  # no picture: reading it says so
    stored = (header.width, header.height)
    if not turns and stated == stored:
        return None
    # JPEG's EXIF stands before its sides; that of PNG and WebP may be at their end.
    whole = content if header.format == "JPEG" else picture.read_encoded()
    orientation = stored_orientation(whole)
    upright = stored[::-1] if TURNS[orientation][2] else stored
    if stated == upright:
        return None if orientation == UPRIGHT else StoredPicture(orientation, *upright)
    if stated == stored:
        return None  # the tool did not turn it
    raise DatasetError(
        f"expected a picture of {stated[0]:g} x {stated[1]:g} pixels, got {stored[0]} x {stored[1]}"
        + (
            " without an EXIF rotation: its labels are of the picture before it was turned"
            if stated == stored[::-1]
            else ": its labels are of another picture, or another size of it; put that one there"
        )
    )


def sides_now(picture: PictureFile, stated: Sides) -> Sides:
    """The sides that a picture has now, where it has the shape of the one that was labelled.

    For labels that are fractions, which a picture of another size keeps; ``stated`` where the
    shape is another, too.

    Raises:
        OSError: the picture cannot be read.
    """
    stored = stored_sides(picture)
    if stored is None or stated in (stored, stored[::-1]):
        return stated

    def off(sides: Sides) -> float:
        return abs(stated[0] * sides[1] - stated[1] * sides[0])

    now = min((stored, stored[::-1]), key=off)
    return now if off(now) <= sum(stated) else stated  # sides are whole pixels


def _read(picture: PictureFile) -> tuple[PictureHeader | None, bytes]:
    """The header, and what was read for it; None without sides."""
    content = picture.read_start(START_BYTES)
    header = read_header(content)
    if header is None or not header.width:  # it stands further behind
        content = picture.read_encoded()
        header = read_header(content)
    return (header if header is not None and header.width and header.height else None), content
