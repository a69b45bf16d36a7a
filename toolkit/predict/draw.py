"""Draws predictions into a picture: landmarks by parts of the face, boxes, head axes."""

from collections.abc import Sequence
from itertools import cycle, pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.files import write_bytes
from asmnet_kit.face.crop import Points, landmark_box
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.pose import project_axes
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.predict.picture import FacePrediction

Colour = tuple[int, int, int]  # RGB

# Told apart by lightness as well as hue; the same part has one colour on both sides.
PART_COLOURS: dict[str, Colour] = {
    "jaw": (255, 255, 255),
    "brow": (255, 196, 0),
    "nose_bridge": (0, 220, 190),
    "nostrils": (0, 220, 190),
    "eye": (64, 200, 255),
    "outer_lip": (255, 96, 144),
    "inner_lip": (255, 170, 200),
    "pupil": (64, 200, 255),
}
# Of parts that bear another name, such as an ear's or a hand's, one after the other.
OTHER_COLOURS = tuple(dict.fromkeys(PART_COLOURS.values()))[1:]
OUTLINE: Colour = (16, 16, 16)  # under every line, so that it shows on skin and on dark hair
BOX_COLOUR: Colour = (160, 255, 96)
AXIS_COLOURS: tuple[Colour, Colour, Colour] = ((255, 64, 64), (80, 220, 80), (80, 128, 255))

MIN_FACE = 192.0  # pixels: smaller faces are enlarged, or lines would hide them ...
MAX_SIDE = 1920  # ... as long as the picture stays a screen's size
MAX_WIDTH = 100  # pixels, of lines: what is larger than that is no face
FACE_PER_LINE = 200.0  # lines are one pixel wide for each so many pixels of the face
AXIS_SHARE = 0.5  # of the face's longer side
SUBPIXEL_BITS = 4  # OpenCV draws at 1/16 pixel


def draw_faces(
    image: Image,
    faces: Sequence[FacePrediction],
    scheme: Scheme,
    *,
    factor: int | None = None,
) -> Image:
    """A copy of a picture with its faces drawn upon it.

    A picture with small faces is enlarged by a whole number first; lines grow with the face. The
    axes start on the nose, or in the landmarks' middle: red towards the face's side at the image's
    right, green to its chin, blue where the nose points. A point is a dot, or a ring where the
    model is unsure of it or says that it can rather not be seen.

    Args:
        image: uint8 [H, W, 3], RGB.
        faces: in pixels of ``image``.
        scheme: of their landmarks.
        factor: enlarge by this whole number instead; a film's frames must be of one size.
    """
    factor = _enlargement(image, faces) if factor is None else factor
    height, width = image.shape[:2]
    size = (factor * width, factor * height)
    canvas = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    for face in faces:
        _draw_face(canvas, face, factor, scheme)
    return canvas


def _enlargement(image: Image, faces: Sequence[FacePrediction]) -> int:
    smallest = min(
        (float(np.ptp(face.box.reshape(2, 2), axis=0).max()) for face in faces), default=MIN_FACE
    )
    wanted, allowed = np.ceil(MIN_FACE / smallest), MAX_SIDE // max(image.shape[:2])
    return max(1, int(min(wanted, allowed)))


def _draw_face(canvas: Image, face: FacePrediction, factor: int, scheme: Scheme) -> None:
    landmarks = _enlarged(face.landmarks, factor)
    x0, y0, x1, y1 = landmark_box(landmarks)
    size = float(max(x1 - x0, y1 - y0))
    width = max(1, round(min(size / FACE_PER_LINE, MAX_WIDTH)))
    left, top, right, bottom = _enlarged(face.box.reshape(2, 2), factor).ravel()
    box = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    _line(canvas, box, BOX_COLOUR, width, closed=True)
    colours = _colours(scheme)
    for part, indices in scheme.parts.items():
        if part not in scheme.dots:
            closed = part in scheme.closed
            _line(canvas, landmarks[list(indices)], colours[part], width, closed=closed)
    unsure = face.unsure
    for part, indices in scheme.parts.items():
        for index in indices:
            draw = _ring if unsure[index] else _dot
            draw(canvas, landmarks[index], colours[part], 1.5 * width)
    if face.pose is not None:
        _draw_axes(canvas, face.pose, landmarks, scheme, AXIS_SHARE * size, width + 1)


def _draw_axes(
    canvas: Image,
    pose: NDArray[np.float32],
    landmarks: Points,
    scheme: Scheme,
    length: float,
    width: int,
) -> None:
    nose = scheme.parts.get("nose_bridge")
    origin = (landmarks if nose is None else landmarks[list(nose)]).mean(axis=0)
    ends = project_axes(pose, origin, length)
    # The nose's axis last: it points towards the viewer.
    for end, colour in zip(ends, AXIS_COLOURS, strict=True):
        _line(canvas, np.stack([origin, end]), colour, width)


def _colours(scheme: Scheme) -> dict[str, Colour]:
    """The colour of each part; the same on both sides."""
    colours = dict(PART_COLOURS)
    others = cycle(OTHER_COLOURS)
    for part in map(_without_side, scheme.parts):
        if part not in colours:
            colours[part] = next(others)
    return {part: colours[_without_side(part)] for part in scheme.parts}


def _without_side(part: str) -> str:
    return part.removeprefix("left_").removeprefix("right_")


def _enlarged(points: Points, factor: int) -> Points:
    return ((points + 0.5) * factor - 0.5).astype(np.float32)


def _line(
    canvas: Image, points: Points, colour: Colour, width: int, *, closed: bool = False
) -> None:
    """Straight anti-aliased lines through [K, 2] points, dark-edged; unlabelled points break it."""
    ring = [*points, points[0]] if closed else list(points)
    segments = [(_fixed(a), _fixed(b)) for a, b in pairwise(ring) if np.isfinite([*a, *b]).all()]
    for tone, thickness in ((OUTLINE, width + 2), (colour, width)):
        for start, end in segments:
            cv2.line(canvas, start, end, tone, thickness, cv2.LINE_AA, SUBPIXEL_BITS)


def _dot(canvas: Image, point: Points, colour: Colour, radius: float) -> None:
    if not np.isfinite(point).all():
        return
    for tone, size in ((OUTLINE, radius + 1), (colour, radius)):
        cv2.circle(
            canvas,
            _fixed(point),
            round(size * 2**SUBPIXEL_BITS),
            tone,
            cv2.FILLED,
            cv2.LINE_AA,
            SUBPIXEL_BITS,
        )


def _ring(canvas: Image, point: Points, colour: Colour, radius: float) -> None:
    """A hollow dot, for a point that is unsure: the picture shows in its middle."""
    if not np.isfinite(point).all():
        return
    around, thickness = 2 * radius + 1, max(1, round(radius / 2))
    for tone, width in ((OUTLINE, thickness + 2), (colour, thickness)):
        cv2.circle(
            canvas,
            _fixed(point),
            round(around * 2**SUBPIXEL_BITS),
            tone,
            width,
            cv2.LINE_AA,
            SUBPIXEL_BITS,
        )


def _fixed(point: Points) -> tuple[int, int]:
    """Pixels as OpenCV's fixed-point numbers; far outside the picture is as good as at its rim."""
    limit = 2**15 - 1
    x, y = np.clip(point, -limit, limit) * 2**SUBPIXEL_BITS
    return round(float(x)), round(float(y))


def write_picture(path: Path, image: Image) -> None:
    """Write uint8 [H, W, 3], RGB, whole or not at all, in the format of the name's ending.

    Raises:
        UsageError: OpenCV writes no such format.
    """
    try:
        written, encoded = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    except cv2.error:
        written = False
    if not written:
        raise UsageError(f"{path}: expected a picture's ending such as .png, got {path.suffix!r}")
    write_bytes(path, encoded.tobytes())
