"""Faces followed through the frames of a film: boxes from the last landmarks, smoothed landmarks.

A detector is slow and its boxes jump; a face's own landmarks tell where it will be in the next
frame. So the detector looks only

* in the first frame, and in every frame while nobody is followed,
* once a second, or every ``detect_every`` frames, for new faces and for those that left; while the
  time stamps stand still, every ``FROZEN_FRAMES`` frames,
* in a frame that comes more than ``STALE_SECONDS`` after the last: a face may have moved by its
  own size,
* in the very frame in which a face's confidence falls, that of the landmarks' uncertainty, else the
  shape's plausibility: when the odds of a good fit drop below half of what they were over the last
  second (a plausibility's value alone says little: docs/plausibility.md),
* in the very frame in which two faces that are followed end on one,
* in every frame while a face that is followed has not been confirmed.

A face that the detector misses is still told while its confidence speaks for it; without a
confidence for ``STALE_SECONDS``. Then, or when it ended on another's face, it is only remembered,
until the detector sees a face where this one was or was going. It is given up ``PATIENCE_SECONDS``
after the first look at which the detector missed it, unless it was seen again meanwhile.
"""

import math
from collections import deque
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import UsageError
from asmnet_kit.face.boxes import MIN_OVERLAP, Box, overlap
from asmnet_kit.face.crop import landmark_box
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.plausibility import Plausibility
from asmnet_kit.face.pose import POSE_UNIT_DEGREES, wrapped
from asmnet_kit.face.predictor import Predictor
from asmnet_kit.predict.detector import MIN_SCORE, Detection, detect_faces
from asmnet_kit.predict.one_euro import OneEuroFilter
from asmnet_kit.predict.picture import FacePrediction, predict_face

LOOK_SECONDS = 1.0  # between two looks for new faces
FROZEN_FRAMES = 30  # between them while the time stamps stand still
STALE_SECONDS = 0.25  # after which a box is too old to cut a face out by it unseen
PATIENCE_SECONDS = 1.0  # detectors miss a turned face for some frames
FALLEN_ODDS = 0.5  # of the median over the last second
LEAST_CONFIDENCE = 0.5  # below, a face that fell and that the detector misses is not told
MEMORY_SECONDS = 1.0
REACH = 1.0  # face sizes: so far off a face is the same after a pause or a jump
SIZE_RATIO = 1.5  # at most, of the same face after a pause or a jump
SPEED_SECONDS = 0.5  # time constant of a face's mean speed
MIN_SIDE = 16.0  # pixels: a smaller face has fewer pixels than the landmarks have coordinates
MAX_SIDE_SHARE = 1.5  # of the frame's longer side: a larger box has run away
ONE_FACE_OVERLAP = 0.6  # overlap of two boxes that follow one face
MAX_ODDS = 1e6

# Measured (docs/video.md). Speeds are in face sizes, and for the pose in quarter turns, a second.
MIN_CUTOFF_HZ = 1.0
BETA = 30.0
# A landmark that is less sure than most of its face is smoothed more: its cut-off falls as its
# sigma rises above the face's median, down to this share.
LEAST_TRUST = 0.25


@dataclass(frozen=True)
class TrackedFace:
    """A face of one frame.

    Attributes:
        track: the same number for the same face in every frame, from 1.
        face: smoothed unless the tracker was told not to; its ``box`` is what it was cut out by,
            its ``score`` the detector's when it last saw the face.
    """

    track: int
    face: FacePrediction

    def to_json(self) -> dict[str, Any]:
        """The keys of a picture's face, and the track."""
        return {"track": self.track, **self.face.to_json()}


class FaceTracker:
    """Follows the faces of one film; frames must come in order.

    Args:
        plausibility: judges the predictions; without it, and without a model that gives its own
            confidence, no face is looked for again because its confidence fell.
        smoothing: filter landmarks and pose (asmnet_kit.predict.one_euro).
        detect_every: frames; None = once a second of the film.
        min_score: of the detector.

    Raises:
        UsageError: ``detect_every`` below 1, or a shape model of other landmarks.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        plausibility: Plausibility | None = None,
        smoothing: bool = True,
        detect_every: int | None = None,
        min_score: float = MIN_SCORE,
        min_cutoff_hz: float = MIN_CUTOFF_HZ,
        beta: float = BETA,
    ) -> None:
        if detect_every is not None and detect_every < 1:
            raise UsageError(f"expected to detect every 1 or more frames, got {detect_every}")
        if plausibility is not None:
            plausibility = plausibility.for_scheme(predictor.scheme)
        self._predictor = predictor
        self._plausibility = plausibility
        self._detect_every = detect_every
        self._min_score = min_score
        self._settings = (min_cutoff_hz, beta) if smoothing else None
        self._tracks: list[_Track] = []
        self._seen = 0
        self._since_look = 0  # frames
        self._last_look = self._last_frame = -math.inf  # seconds
        self.detections = 0  # how often the detector looked

    def update(self, image: Image, seconds: float) -> list[TrackedFace]:
        """The faces of the next frame, oldest track first.

        Args:
            image: uint8 [H, W, 3], RGB.
            seconds: when it was taken.
        """
        for track in self._tracks:
            track.begin()
        looked = self._must_look(seconds)
        if looked:
            self._look(image, seconds)
        self._predict(image, seconds)
        unsure = self._unsure()
        if unsure and not looked:
            self._look(image, seconds)
        for track in unsure:
            track.restart_where_seen()
        self._predict(image, seconds)  # those that begin, return or are tried in another box
        told = {track: track.take(seconds) for track in self._believed(seconds)}
        self._tracks = [t for t in self._tracks if t.lost or t.inside(image)]
        self._since_look += 1
        self._last_frame = seconds
        return [TrackedFace(t.number, told[t]) for t in self._tracks if t in told]

    def _must_look(self, seconds: float) -> bool:
        if seconds - self._last_frame > STALE_SECONDS:
            return True
        if not self._tracks or any(track.doubted for track in self._tracks):
            return True
        if self._detect_every is not None:
            return self._since_look >= self._detect_every
        if seconds <= self._last_look and self._since_look >= FROZEN_FRAMES:
            return True
        return seconds - self._last_look >= LOOK_SECONDS

    def _look(self, image: Image, seconds: float) -> None:
        """Confirm tracks by detections, give up those without for too long, begin new ones."""
        self.detections += 1
        self._since_look = 0
        self._last_look = seconds
        left = detect_faces(image, min_score=self._min_score)
        pairs = [
            (track.lost, distance, track, detection)
            for track in self._tracks
            for detection in left
            if (distance := track.distance(detection, seconds)) < math.inf
        ]
        # Nearest first; where a lost face was going, one that is followed may pass.
        for _, _, track, detection in sorted(pairs, key=lambda pair: pair[:2]):
            if track.seen is None and any(d is detection for d in left):
                left = [d for d in left if d is not detection]
                track.confirm(detection, seconds)
        for track in self._tracks:
            track.miss(seconds)
        self._tracks = [t for t in self._tracks if t.doubted_for(seconds) <= PATIENCE_SECONDS]
        for detection in left:
            # Of a face that is followed already the detector may give two boxes.
            if all(overlap(detection.box, t.box) < MIN_OVERLAP for t in self._tracks):
                self._seen += 1
                self._tracks.append(_Track(self._seen, detection, self._settings))

    def _predict(self, image: Image, seconds: float) -> None:
        """Of the tracks that may be told and have not been predicted in their box yet."""
        for track in self._tracks:
            if not track.lost and track.face is None:
                track.judge(
                    predict_face(
                        image, self._predictor, track.box, track.score, self._plausibility
                    ),
                    seconds,
                )

    def _unsure(self) -> list["_Track"]:
        """The tracks whose confidence fell, and those that ended on one face."""
        shown = [track for track in self._tracks if not track.lost]
        unsure = {track for track in shown if track.unsure}
        for pair in combinations(shown, 2):
            if _on_one_face(*pair):
                unsure.update(pair)
        return [track for track in shown if track in unsure]

    def _believed(self, seconds: float) -> list["_Track"]:
        """The tracks to tell; the others are lost, or, where they have just begun, forgotten."""
        kept: list[_Track] = []
        shown = [track for track in self._tracks if not track.lost]
        for track in sorted(shown, key=lambda t: (t.seen is None, t.misfit(seconds))):
            if track.collapsed(seconds) or any(_on_one_face(track, other) for other in kept):
                track.lose(seconds)
            else:
                kept.append(track)
        self._tracks = [track for track in self._tracks if not (track.lost and track.is_new)]
        return kept


class _Track:
    """One face: where to look for it next, and what it was like so far."""

    def __init__(
        self,
        number: int,
        detection: Detection,
        settings: tuple[float, float] | None,
    ) -> None:
        self.number = number
        self.box: Box = detection.box
        self.score = detection.score
        self.lost = False  # remembered, not told
        self._known: tuple[Box, float] | None = None  # its last sure box, and when
        self._speed = np.zeros(2)  # pixels a second
        self._doubted_since: float | None = None  # the detector looked and did not see it
        self._odds: deque[tuple[float, float]] = deque()
        self._filters = None if settings is None else _Filters(*settings)
        self.seen: Detection | None = None  # by the detector in this frame
        self.begin()
        self.seen = detection

    def begin(self) -> None:
        """Another frame."""
        self._seen_before = self.seen is not None
        self.seen = None
        self.face: FacePrediction | None = None  # of this frame
        self.around = self.box  # its landmarks
        self.fallen = False  # its confidence fell
        self._confidence: float | None = None

    @property
    def is_new(self) -> bool:
        """Whether it has never been told."""
        return self._known is None

    @property
    def doubted(self) -> bool:
        """Whether the detector missed it when it looked last."""
        return self._doubted_since is not None

    def collapsed(self, seconds: float) -> bool:
        """Whether the detector missed it, and its confidence does not speak for it either."""
        if self.seen is not None or not self.doubted:
            return False
        stale = self._stale(seconds)
        if self._confidence is None:  # detectors miss a turned face for some frames
            return stale or self.doubted_for(seconds) > STALE_SECONDS
        return self._weak and (self.fallen or stale)

    @property
    def unsure(self) -> bool:
        """Whether the detector should look for it: a face that it just saw may be a little worse
        in the next frame, too."""
        return self.fallen and (self._weak or not self._seen_before)

    @property
    def _weak(self) -> bool:
        return self._confidence is not None and self._confidence < LEAST_CONFIDENCE

    def doubted_for(self, seconds: float) -> float:
        """How long before ``seconds`` the detector missed it first; 0 where it saw it last."""
        if self.seen is not None or self._doubted_since is None:
            return 0.0
        return seconds - self._doubted_since

    def miss(self, seconds: float) -> None:
        """The detector looked; it may not have seen it."""
        if self.seen is None and self._doubted_since is None:
            self._doubted_since = seconds

    def lose(self, seconds: float) -> None:
        """It is not where it was followed to, or there is another."""
        self.lost = True
        if self._known is not None:
            self.box, _ = self._known
        if self._doubted_since is None:
            self._doubted_since = seconds

    def distance(self, detection: Detection, seconds: float) -> float:
        """From where it was or was going, in face sizes; infinite where it is another face."""
        ahead = self._expected(seconds)
        places = self.box, ahead
        side, other = _side(self.box), _side(detection.box)
        distance = min(float(np.hypot(*(_middle(detection.box) - _middle(p)))) for p in places)
        distance /= max(side, 1.0)
        near = max(overlap(detection.box, place) for place in places) >= MIN_OVERLAP
        if (self.fallen or self._stale(seconds)) and distance <= REACH:
            near = near or max(side, other) <= SIZE_RATIO * min(side, other)
        return distance if near else math.inf

    def confirm(self, detection: Detection, seconds: float) -> None:
        """The detector saw it; where it was lost, the detector's box is the better one."""
        self.seen, self.score = detection, detection.score
        if self.lost or self._stale(seconds):
            self._restart(detection.box)
            self.lost = False

    def restart_where_seen(self) -> None:
        """Try again in the detector's box what went wrong in its own."""
        if self.seen is None or self.face is None:
            return
        if self.fallen or overlap(self.seen.box, self.around) < ONE_FACE_OVERLAP:
            self._restart(self.seen.box)

    def judge(self, face: FacePrediction, seconds: float) -> None:
        """This frame's prediction in its box."""
        self.face, self.around = face, landmark_box(face.landmarks)
        self._confidence = face.plausibility if face.confidence is None else face.confidence
        self.fallen = self._fell(self._confidence, seconds)

    def misfit(self, seconds: float) -> float:
        """How far its landmarks are from where it was going, in face sizes."""
        if self.is_new:
            return math.inf
        away = _middle(self.around) - _middle(self._expected(seconds))
        return float(np.hypot(*away)) / max(_side(self.box), 1.0)

    def take(self, seconds: float) -> FacePrediction:
        """Learn from this frame's prediction, and smooth it."""
        face = self.face
        assert face is not None
        if self.seen is not None:
            self._doubted_since = None
        self.box = self.around
        if not self._weak or self.is_new or self._stale(seconds):
            self._know(seconds)
        if self._filters is None:
            return face
        return self._filters.smooth(face, self.box, seconds)

    def inside(self, image: Image) -> bool:
        """Whether the box is one that a face in this picture can have."""
        height, width = image.shape[:2]
        x, y = _middle(self.box)
        largest = MAX_SIDE_SHARE * max(width, height)
        return bool(0 <= x < width and 0 <= y < height and MIN_SIDE <= _side(self.box) <= largest)

    def _know(self, seconds: float) -> None:
        """Learn where it is and how fast; half hidden by another face it would seem to turn."""
        if self._known is not None and seconds > self._known[1]:
            box, then = self._known
            elapsed = seconds - then
            speed = (_middle(self.around) - _middle(box)) / elapsed
            self._speed += (1 - math.exp(-elapsed / SPEED_SECONDS)) * (speed - self._speed)
        self._known = self.around, seconds

    def _restart(self, box: Box) -> None:
        self.box, self.face = box, None
        self._odds.clear()

    def _expected(self, seconds: float) -> Box:
        """Its last sure box, moved on by its speed."""
        if self._known is None:
            return self.box
        box, then = self._known
        return box + np.tile(self._speed * (seconds - then), 2).astype(np.float32)

    def _stale(self, seconds: float) -> bool:
        return self._known is not None and seconds - self._known[1] > STALE_SECONDS

    def _fell(self, confidence: float | None, seconds: float) -> bool:
        if confidence is None:
            return False
        odds = min(confidence / max(1 - confidence, 1 / MAX_ODDS), MAX_ODDS)
        # The newest stays, however old: without any, no fall would be seen.
        while len(self._odds) > 1 and self._odds[0][0] < seconds - MEMORY_SECONDS:
            self._odds.popleft()
        usual = float(np.median([value for _, value in self._odds])) if self._odds else odds
        self._odds.append((seconds, odds))
        return odds < FALLEN_ODDS * usual


class _Filters:
    """Of the landmarks and the pose of one face."""

    def __init__(self, min_cutoff_hz: float, beta: float) -> None:
        self._landmarks = OneEuroFilter(min_cutoff_hz=min_cutoff_hz, beta=beta)
        self._pose = OneEuroFilter(min_cutoff_hz=min_cutoff_hz, beta=beta)
        self._box: Box | None = None
        self._last_pose: NDArray[np.float32] | None = None

    def smooth(self, face: FacePrediction, box: Box, seconds: float) -> FacePrediction:
        if self._box is not None and overlap(box, self._box) < MIN_OVERLAP:
            self._landmarks.reset()  # it jumped: to another face, or after having been lost
            self._pose.reset()
        self._box = box
        size = max(_side(box), 1.0)
        trust = 1.0 if face.sigma is None else trust_of(face.sigma)[:, None]
        landmarks = self._landmarks.update(face.landmarks, seconds, scale=size, trust=trust)
        return replace(face, landmarks=landmarks, pose=self._smooth_pose(face.pose, seconds))

    def _smooth_pose(
        self, pose: NDArray[np.float32] | None, seconds: float
    ) -> NDArray[np.float32] | None:
        """Angles go the short way round: from 179 to -179 degrees it is 2."""
        if pose is None:
            return None
        if self._last_pose is not None:
            pose = self._last_pose + wrapped(pose - self._last_pose).astype(np.float32)
        self._last_pose = self._pose.update(pose, seconds, scale=POSE_UNIT_DEGREES)
        return wrapped(self._last_pose).astype(np.float32)


def trust_of(sigma: NDArray[np.floating]) -> NDArray[np.float64]:
    """How far the 1 € filter follows each landmark [N]: 1 for the surer half of them."""
    usual = np.median(sigma)
    trust: NDArray[np.float64] = np.clip(usual / np.maximum(sigma, 1e-9), LEAST_TRUST, 1.0)
    return trust


def _on_one_face(first: _Track, second: _Track) -> bool:
    return overlap(first.around, second.around) >= ONE_FACE_OVERLAP


def _middle(box: Box) -> NDArray[np.float64]:
    return (box[:2].astype(np.float64) + box[2:]) / 2


def _side(box: Box) -> float:
    return float((box[2:] - box[:2]).max())
