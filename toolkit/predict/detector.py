"""Finds the faces in a photograph, offline.

Two networks of MediaPipe that ship with the kit (asmnet_kit.predict.blazeface, Apache-2.0, 1.3 MB)
must agree on a face:

1. *Search*: the short-range network looks at the whole picture and at windows of a half, a quarter
   and an eighth of its longer side, which overlap by a third: it finds faces that fill an eighth of
   a window or more. For a face that fills the picture it also looks at a window of twice that side.
2. *Confirm*: the full-range network looks at each candidate twice, in a window of four times its
   box, then in one of four times the box that it saw. Score and box of the face are the means of
   both looks: since it always sees the face at the same size, its boxes are consistent.

Measured on validation photographs pasted into 640 x 480 scenes (30 video frames and 29 web
photographs at each size; found = overlap above 0.5 with the landmarks' box):

    face, share of the longer side   4 %    6 %    10 %   30 %   60 %
    found, video frames              1.00   1.00   1.00   1.00   1.00
    found, web photographs           1.00   0.97   1.00   0.97   1.00

and no false face in 295 scenes. Boxes against the landmarks' own, 634 validation faces: the centre
is off by 2.5 % of the longer side in x and 2.0 % in y, the longer side by 4.8 % (mean absolute).

What the wide window and the second look bring: of 1,854 crops of 80 px, which the faces nearly
fill, 1 face is missed instead of 7, of 525 rendered people cut at their landmarks 32 instead of 60,
and 984 windows of 24 pictures without people hold 6 false faces instead of 27. In crowds of 20 the
faces near the limit change: of 60 one was lost and one gained. On one core of an EPYC a 640 x 480
picture with one face takes 28 to 37 ms instead of 26 to 30, one of 96 px that a face fills, which
both searches find, 10 ms instead of 3.
"""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import UsageError
from asmnet_kit.face.boxes import Box, area, overlaps
from asmnet_kit.face.pictures import Image
from asmnet_kit.predict.blazeface import (
    FULL_RANGE,
    KEY_POINTS,
    SHORT_RANGE,
    BlazeFace,
    Candidates,
)

MIN_SCORE = 0.5
SEARCH_SCORE = 0.4  # lower than MIN_SCORE: the second network decides
LOOK_SCORE = 0.3  # of each of its two looks; their mean decides

MIN_WINDOW = 160.0  # pixels: smaller windows would find faces of fewer than 20 pixels
MAX_LEVELS = 4  # windows down to an eighth of the picture's longer side; each level costs 4 times
WINDOW_OVERLAP = 1 / 3  # a face of up to a third of a window lies wholly in one of them

WIDE_WINDOW = 2.0  # x the picture's longer side: a face that fills the picture fills half of it
CONFIRM_WINDOW = 4.0  # x the candidate's longer side: where the full-range network is at its best
MERGE_OVERLAP = 0.3  # intersection over union; MediaPipe's own threshold

# From key points to the landmark box (landmark_boxes): least squares on 2,000 faces of four sets of
# development pictures, wide poses among them. Shares of the network's box.
SHIFT_X = np.array([0.08, 0.64], np.float32)  # nose x, middle of the ears x
# eyes y, mouth y, distance of the eyes, distance of the ears, 1:
SHIFT_Y = np.array([-0.64, 1.01, 0.17, -0.12, -0.23], np.float32)
WIDTH = np.array([3.25, -2.74, -4.28, 3.10, 1.25], np.float32)
HEIGHT = np.array([0.85, -1.54, -1.47, 0.92, 1.22], np.float32)
EXTENT_LIMITS = (0.6, 1.7)  # all 2,000 faces lie within; keeps an odd pose from making an odd box

NONE = Candidates(
    np.zeros((0, 4), np.float32),
    np.zeros(0, np.float32),
    np.zeros((0, KEY_POINTS, 2), np.float32),
)

Place = tuple[tuple[float, float], float]  # centre and side of a square window, pixels


@dataclass(frozen=True, eq=False)
class Detection:
    """One face.

    Attributes:
        box: float32 [4] x0, y0, x1, y1, pixels of the picture: about the smallest box around the
            68 landmarks, which is what the models' crops are cut around.
        score: 0..1.
    """

    box: Box
    score: float


def detect_faces(image: Image, *, min_score: float = MIN_SCORE) -> list[Detection]:
    """The faces in a picture, largest first.

    Args:
        image: uint8 [H, W, 3], RGB, any size.
        min_score: 0..1; lower finds more faces and more that are none.
    """
    if not 0 <= min_score <= 1:
        raise UsageError(f"expected a score from 0 to 1, got {min_score}")
    search, confirm = _networks()

    def found_in(places: Iterable[Place]) -> Candidates:
        least = min(SEARCH_SCORE, min_score)
        return _merged(
            _joined([search.find(image, centre=c, side=s, min_score=least) for c, s in places])
        )

    height, width = image.shape[:2]
    # Apart: merged with what the other windows saw of a face that fills the picture, cut off by
    # their border, the better box of the wide one would be spoilt.
    candidates = _joined([found_in([wide_window(width, height)]), found_in(windows(width, height))])
    faces = _merged(
        _joined([_confirmed(confirm, image, box, min_score) for box in candidates.boxes])
    )
    detections = [
        Detection(box, float(score))
        for box, score in zip(landmark_boxes(faces), faces.scores, strict=True)
    ]
    return sorted(detections, key=lambda face: -area(face.box))


def wide_window(width: int, height: int) -> Place:
    """The window for a face that fills the picture: the picture in its middle, black around it."""
    return ((width - 1) / 2, (height - 1) / 2), WIDE_WINDOW * max(width, height)


def windows(width: int, height: int) -> Iterator[Place]:
    """The square windows to search, (centre, side) in pixels: the whole picture, then ever smaller
    ones that together cover it."""
    longer = max(width, height)
    for level in range(MAX_LEVELS):
        side = longer / 2**level
        if level and side < MIN_WINDOW:
            return
        for y in _centres(height, side):
            for x in _centres(width, side):
                yield (x, y), side


def _centres(length: int, side: float) -> NDArray[np.float64]:
    """Middles of the windows along one axis, pixel centres at whole numbers."""
    if length <= side:
        return np.array([(length - 1) / 2])
    step = side * (1 - WINDOW_OVERLAP)
    count = int(np.ceil((length - side) / step)) + 1
    return np.linspace(side / 2 - 0.5, length - side / 2 - 0.5, count)


def _confirmed(confirm: BlazeFace, image: Image, candidate: Box, min_score: float) -> Candidates:
    """The face that the full-range network sees where the search saw one, in the mean of two looks:
    one or none."""
    least = min(LOOK_SCORE, min_score)
    first = _look(confirm, image, candidate, least)
    if not len(first):
        return first
    second = _look(confirm, image, first.boxes[0], least)
    if not len(second):
        return second
    score = np.float32(0.5) * (first.scores + second.scores)
    mean = _mean(_joined([first, second]), np.full(2, 0.5, np.float32), score)
    return _only(mean, np.flatnonzero(score >= min_score))


def _look(confirm: BlazeFace, image: Image, box: Box, min_score: float) -> Candidates:
    """The face that the full-range network sees around a box: one or none."""
    x0, y0, x1, y1 = (float(v) for v in box)
    # A box without extent would make an empty window; no face is smaller than a pixel.
    side = CONFIRM_WINDOW * max(x1 - x0, y1 - y0, 1.0)
    seen = confirm.find(
        image, centre=((x0 + x1) / 2, (y0 + y1) / 2), side=side, min_score=min_score
    )
    faces = _merged(seen)
    return _only(faces, np.flatnonzero(overlaps(box, faces.boxes) > MERGE_OVERLAP)[:1])


def landmark_boxes(faces: Candidates) -> NDArray[np.float32]:
    """The boxes that the 68 landmarks would have, [K, 4], from what the confirming network says.

    The network's own box starts on the forehead and does not follow the head's turn; key points
    tell where brows, chin and the visible cheek's outline are. With everything measured from the
    box's centre as a share of its side, the landmark box is a linear function of a few of them
    (``SHIFT_X``, ``SHIFT_Y``, ``WIDTH``, ``HEIGHT``), alike for a face and its mirror image.
    """
    low, high = faces.boxes[:, :2], faces.boxes[:, 2:]
    middle = (low + high) / 2
    side = (high - low).mean(axis=1, keepdims=True)
    points = (faces.key_points - middle[:, None]) / np.maximum(side, np.finfo(np.float32).tiny)[
        :, None
    ]
    eyes, nose, mouth, ears = points[:, :2], points[:, 2], points[:, 3], points[:, 4:]
    turn = np.stack([nose[:, 0], ears[:, :, 0].mean(axis=1)], axis=-1)
    spread = np.stack(
        [
            eyes[:, :, 1].mean(axis=1),
            mouth[:, 1],
            np.abs(eyes[:, 1, 0] - eyes[:, 0, 0]),
            np.abs(ears[:, 1, 0] - ears[:, 0, 0]),
            np.ones(len(faces)),
        ],
        axis=-1,
    )
    shift = np.stack([turn @ SHIFT_X, spread @ SHIFT_Y], axis=-1)
    half = np.clip(np.stack([spread @ WIDTH, spread @ HEIGHT], axis=-1), *EXTENT_LIMITS) / 2
    corners = [middle + side * (shift - half), middle + side * (shift + half)]
    return np.concatenate(corners, axis=-1).astype(np.float32)


def _only(faces: Candidates, index: NDArray[np.intp]) -> Candidates:
    return Candidates(faces.boxes[index], faces.scores[index], faces.key_points[index])


def _joined(parts: list[Candidates]) -> Candidates:
    parts = [NONE, *parts]  # no parts have no shape
    return Candidates(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.key_points for part in parts]),
    )


def _merged(faces: Candidates) -> Candidates:
    """One answer per face, best score first: the mean of those whose boxes overlap the best one,
    weighted by their scores (MediaPipe's weighted non-maximum suppression)."""
    merged = []
    left = np.argsort(-faces.scores, kind="stable")
    while len(left):
        same = overlaps(faces.boxes[left[0]], faces.boxes[left]) > MERGE_OVERLAP
        same[0] = True  # an empty box overlaps nothing, not even itself
        group = _only(faces, left[same])
        merged.append(_mean(group, group.scores / group.scores.sum(), group.scores[:1]))
        left = left[~same]
    return _joined(merged)


def _mean(
    faces: Candidates, weights: NDArray[np.float32], score: NDArray[np.float32]
) -> Candidates:
    """One face: the mean of several by weights whose sum is 1, with a score [1]."""
    return Candidates(
        np.einsum("k,kb->b", weights, faces.boxes)[None],
        score,
        np.einsum("k,kpc->pc", weights, faces.key_points)[None],
    )


_loaded = threading.local()


def _networks() -> tuple[BlazeFace, BlazeFace]:
    """The two networks, loaded once per thread: an interpreter must not be shared."""
    if not hasattr(_loaded, "networks"):
        _loaded.networks = (BlazeFace(SHORT_RANGE), BlazeFace(FULL_RANGE))
    networks: tuple[BlazeFace, BlazeFace] = _loaded.networks
    return networks
