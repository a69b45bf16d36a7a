"""Faces followed through the frames of a film: boxes from the last landmarks, smoothed landmarks.

A detector is slow and its boxes jump; a face's own landmarks tell where it will be in the next
frame. So the detector looks only

* in the first frame, and in every frame while nobody is followed,
* every ``detect_every`` frames, for new faces and for those that left,
* when a face's confidence falls, that of the landmarks' uncertainty, else the shape's plausibility:
  when the odds of a good fit drop below half of what they were over the last second (a
  plausibility's value alone says little: docs/plausibility.md),
* in every frame while a face that is followed has not been confirmed.

A face is given up ``PATIENCE_SECONDS`` after the first look at which the detector missed it, unless
it was seen again meanwhile.
"""

from collections import deque
from dataclasses import dataclass, replace
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

DETECT_EVERY = 30  # frames: once a second of most films
PATIENCE_SECONDS = 1.0  # detectors miss a turned face for some frames
FALLEN_ODDS = 0.5  # of the median over the last second
MEMORY_SECONDS = 1.0
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
            confidence, faces are looked for again only every ``detect_every`` frames.
        smoothing: filter landmarks and pose (asmnet_kit.predict.one_euro).
        detect_every: frames.
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
        detect_every: int = DETECT_EVERY,
        min_score: float = MIN_SCORE,
        min_cutoff_hz: float = MIN_CUTOFF_HZ,
        beta: float = BETA,
    ) -> None:
        if detect_every < 1:
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
        self._since_detection = 0
        self._look = True
        self.detections = 0  # how often the detector looked

    def update(self, image: Image, seconds: float) -> list[TrackedFace]:
        """The faces of the next frame, oldest track first.

        Args:
            image: uint8 [H, W, 3], RGB.
            seconds: when it was taken.
        """
        if self._look or not self._tracks or self._since_detection >= self._detect_every:
            self._match(detect_faces(image, min_score=self._min_score), seconds)
        self._since_detection += 1
        faces = {track: self._follow(track, image, seconds) for track in self._tracks}
        self._tracks = _distinct([t for t in self._tracks if t.inside(image)])
        self._look = any(track.fallen or track.doubted for track in self._tracks)
        return [TrackedFace(track.number, faces[track]) for track in self._tracks]

    def _match(self, found: list[Detection], seconds: float) -> None:
        """Confirm tracks by detections, give up those without for too long, begin new ones."""
        self.detections += 1
        self._since_detection = 0
        left = list(found)
        for track in self._tracks:
            best = max(left, key=lambda d: overlap(d.box, track.box), default=None)
            if best is not None and overlap(best.box, track.box) >= MIN_OVERLAP:
                left = [detection for detection in left if detection is not best]
                track.confirm(best)
            else:
                track.miss(seconds)
        self._tracks = [t for t in self._tracks if t.doubted_for(seconds) <= PATIENCE_SECONDS]
        for detection in left:
            # Of a face that is followed already the detector may give two boxes.
            if all(overlap(detection.box, t.box) < MIN_OVERLAP for t in self._tracks):
                self._seen += 1
                self._tracks.append(_Track(self._seen, detection, self._settings))

    def _follow(self, track: "_Track", image: Image, seconds: float) -> FacePrediction:
        face = predict_face(image, self._predictor, track.box, track.score, self._plausibility)
        return track.take(face, seconds)


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
        self._doubted_since: float | None = None  # the detector looked and did not see it
        self.fallen = False  # its confidence fell
        self._odds: deque[tuple[float, float]] = deque()
        self._filters = None if settings is None else _Filters(*settings)

    @property
    def doubted(self) -> bool:
        """Whether the detector missed it when it looked last."""
        return self._doubted_since is not None

    def doubted_for(self, seconds: float) -> float:
        """How long before ``seconds`` the detector missed it first; 0 where it saw it last."""
        return 0.0 if self._doubted_since is None else seconds - self._doubted_since

    def miss(self, seconds: float) -> None:
        """The detector looked and did not see it."""
        if self._doubted_since is None:
            self._doubted_since = seconds

    def confirm(self, detection: Detection) -> None:
        """The detector saw it; where it was lost, the detector's box is the better one."""
        if self.fallen:
            self.box = detection.box
            self._odds.clear()
        self.score, self._doubted_since = detection.score, None

    def take(self, face: FacePrediction, seconds: float) -> FacePrediction:
        """Learn from this frame's prediction, and smooth it."""
        sure = face.plausibility if face.confidence is None else face.confidence
        self.fallen = self._fell(sure, seconds)
        self.box = landmark_box(face.landmarks)
        if self._filters is None:
            return face
        return self._filters.smooth(face, self.box, seconds)

    def inside(self, image: Image) -> bool:
        """Whether the box is one that a face in this picture can have."""
        height, width = image.shape[:2]
        x, y = (self.box[:2] + self.box[2:]) / 2
        side = float((self.box[2:] - self.box[:2]).max())
        largest = MAX_SIDE_SHARE * max(width, height)
        return bool(0 <= x < width and 0 <= y < height and MIN_SIDE <= side <= largest)

    def _fell(self, confidence: float | None, seconds: float) -> bool:
        if confidence is None:
            return False
        odds = min(confidence / max(1 - confidence, 1 / MAX_ODDS), MAX_ODDS)
        while self._odds and self._odds[0][0] < seconds - MEMORY_SECONDS:
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
        size = max(float((box[2:] - box[:2]).max()), 1.0)
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


def _distinct(tracks: list[_Track]) -> list[_Track]:
    """Without those that follow the face of an older track."""
    kept: list[_Track] = []
    for track in tracks:
        if all(overlap(track.box, other.box) < ONE_FACE_OVERLAP for other in kept):
            kept.append(track)
    return kept
