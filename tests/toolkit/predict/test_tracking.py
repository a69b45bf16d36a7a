"""Faces in films: one number each, followed without a detector, given up when they are gone."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

import asmnet_kit
from asmnet_kit.base.errors import UsageError
from asmnet_kit.drawn_faces.film import film
from asmnet_kit.face.metrics import per_face_nme
from asmnet_kit.face.plausibility import Plausibility, own_plausibility
from asmnet_kit.face.pose import wrapped
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.face.shape_model.fit import ShapeAccumulator
from asmnet_kit.predict.detector import detect_faces
from asmnet_kit.predict.open_predictor import open_predictor
from asmnet_kit.predict.picture import FacePrediction, predict_face, predict_image
from asmnet_kit.predict.tracking import FaceTracker, _Filters, _Track
from asmnet_kit.shipping.shipped import default_model, model_named

FPS = 10.0  # few frames make a second


@pytest.fixture(scope="module")
def frames():
    """A drawn face that turns, 160 x 160 pixels, with exact landmarks."""
    return list(film(14, seed=3, size=160, fps=FPS, motion=0.5))


@pytest.fixture(scope="module")
def predictor():
    return open_predictor(default_model().path)


@pytest.fixture(scope="module")
def plausibility():
    return own_plausibility(default_model().path)


def follow(tracker, images):
    return [tracker.update(image, index / FPS) for index, image in enumerate(images)]


def test_a_face_keeps_its_number_and_the_detector_looks_once(frames) -> None:
    predictor = open_predictor(model_named("asmnet_plus").path)  # says nothing of how sure it is
    tracker = FaceTracker(predictor, detect_every=30)
    found = follow(tracker, [frame.image for frame in frames])
    assert [[face.track for face in faces] for faces in found] == [[1]] * len(frames)
    assert tracker.detections == 1
    landmarks = np.stack([faces[0].face.landmarks for faces in found])
    truth = np.stack([frame.landmarks68 for frame in frames])
    assert per_face_nme(landmarks, truth, predictor.scheme).max() < 12


def test_without_smoothing_a_frame_is_what_predict_gives_for_the_last_landmarks_box(
    frames, predictor, plausibility
) -> None:
    tracker = FaceTracker(predictor, plausibility=plausibility, smoothing=False)
    found = follow(tracker, [frame.image for frame in frames[:3]])
    (face,) = found[2]
    last = found[1][0].face.landmarks
    box = np.concatenate([last.min(axis=0), last.max(axis=0)])
    assert np.array_equal(face.face.box, box)
    (expected,) = predict_image(frames[2].image, predictor, boxes=[box], plausibility=plausibility)
    assert np.array_equal(face.face.landmarks, expected.landmarks)
    assert face.face.plausibility == expected.plausibility


def test_smoothed_landmarks_tremble_less(frames, predictor) -> None:
    still = [frames[0].image + noise for noise in noises(frames[0].image.shape, 12)]
    trembling = []
    for smoothing in (False, True):
        found = follow(FaceTracker(predictor, smoothing=smoothing), still)
        points = np.stack([faces[0].face.landmarks for faces in found])
        trembling.append(np.diff(points[2:], n=2, axis=0).std())
    assert trembling[1] < 0.7 * trembling[0]


def noises(shape, count):
    rng = np.random.default_rng(0)
    return rng.integers(0, 6, (count, *shape), np.uint8)


def test_a_face_that_leaves_is_given_up_and_looked_for(frames, predictor) -> None:
    """The detector looks at frame 0, at 3 as told, then at every frame while it sees none; a second
    after frame 3 the face is gone."""
    images = [frames[0].image] * 3 + [np.full_like(frames[0].image, 90)] * 13
    tracker = FaceTracker(predictor, detect_every=3)
    found = follow(tracker, images)
    assert all(len(faces) == 1 for faces in found[:3])
    assert all(faces == [] for faces in found[14:])
    assert tracker.detections >= 1 + 8


@pytest.mark.parametrize("fps", [24, 25, 29.97, 60])
def test_one_missed_look_does_not_end_a_track(frames, predictor, monkeypatch, fps) -> None:
    """A look every 30 frames comes more than a second after the last at 24 frames a second, and
    half a second after it at 60; either way the next look finds the face again."""
    looks = 0

    def misses_the_second_look(image, **options):
        nonlocal looks
        looks += 1
        return [] if looks == 2 else detect_faces(image, **options)

    monkeypatch.setattr("asmnet_kit.predict.tracking.detect_faces", misses_the_second_look)
    tracker = FaceTracker(predictor, detect_every=30)
    found = [tracker.update(frames[0].image, index / fps) for index in range(33)]
    assert [[face.track for face in faces] for faces in found] == [[1]] * 33
    assert looks == 3  # frame 0, frame 30, which missed, and frame 31


def test_two_faces_have_two_numbers_and_a_third_a_new_one(frames, predictor) -> None:
    first, empty = frames[0].image, np.full_like(frames[0].image, 90)
    pair = np.concatenate([first, frames[8].image, empty], axis=1)
    three = np.concatenate([first, frames[8].image, frames[4].image], axis=1)
    tracker = FaceTracker(predictor, detect_every=2)
    found = follow(tracker, [pair, pair, three, three])
    assert [sorted(face.track for face in faces) for faces in found] == [[1, 2]] * 2 + [
        [1, 2, 3]
    ] * 2
    for faces in found[1:]:
        middles = {face.track: face.face.landmarks[:, 0].mean() for face in faces}
        before = {face.track: face.face.landmarks[:, 0].mean() for face in found[0]}
        assert all(abs(middles[track] - x) < 10 for track, x in before.items())


def scene(*placed, width: int = 420):
    """uint8 [160, width, 3]: pictures of 160 x 160 pixels on grey, the first behind the others."""
    canvas = np.full((160, width, 3), 90, np.uint8)
    for image, x in placed:
        left, right = max(0, round(x)), min(width, round(x) + 160)
        canvas[:, left:right] = image[:, left - round(x) : right - round(x)]
    return canvas


def told(tracker, images, fps):
    """Per frame, the tracks that it tells and where each is, x in pixels."""
    return [
        {face.track: float(face.face.landmarks[:, 0].mean()) for face in found}
        for found in (tracker.update(image, index / fps) for index, image in enumerate(images))
    ]


@pytest.mark.parametrize("gap", [0.04, 0.5, 1.1, 3.0])
def test_after_a_cut_the_old_face_is_not_told_and_the_new_one_is(frames, gap) -> None:
    first, second = scene((frames[0].image, 0)), scene((frames[8].image, 250))
    found = told(asmnet_kit.Tracker(), [first] * 3 + [second] * 3, 1 / gap)
    assert [list(tracks) for tracks in found] == [[1]] * 3 + [[2]] * 3


def test_after_a_cut_to_a_scene_without_faces_none_is_told(frames) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (160, 420, 3), np.uint8)
    for empty in (np.full_like(noise, 90), cv2.GaussianBlur(noise, (0, 0), 6)):
        found = told(asmnet_kit.Tracker(), [scene((frames[0].image, 100))] * 10 + [empty] * 10, 25)
        assert [list(tracks) for tracks in found] == [[1]] * 10 + [[]] * 10


def test_faces_that_cross_keep_their_numbers_and_return_at_once(frames) -> None:
    steps = range(64)
    left, right = [4.0 * step for step in steps], [250 - 4.0 * step for step in steps]
    behind, front = frames[0].image, frames[8].image
    images = [scene((behind, a), (front, b)) for a, b in zip(left, right, strict=True)]
    found = told(asmnet_kit.Tracker(), images, 30)
    first, last = found[0], found[-1]
    for track, x in first.items():
        went = 252 if x < 200 else -252
        assert last[track] - x == pytest.approx(went, abs=15)
    assert all(1 in tracks or 2 in tracks for tracks in found)
    missing = [step for step in steps if len(found[step]) < 2]
    assert all(abs(left[step] - right[step]) < 90 for step in missing)  # one hides the other


@pytest.mark.parametrize("fps", [5, 6, 30])
def test_a_face_that_jumps_most_of_its_size_keeps_its_number(frames, fps) -> None:
    face = frames[0].image
    size = float(np.ptp(frames[0].landmarks68, axis=0).max())
    images = [scene((face, 0))] * 4 + [scene((face, n * 0.8 * size)) for n in range(1, 4)]
    found = told(asmnet_kit.Tracker(), images, fps)
    assert [list(tracks) for tracks in found] == [[1]] * 7


def test_without_a_confidence_a_face_that_left_is_told_until_soon_after_the_next_look(
    frames, predictor, monkeypatch
) -> None:
    """The detector looks at 1 s; a quarter of a second later it has missed for too long."""

    def says_nothing_of_itself(*args):
        return replace(predict_face(*args), confidence=None)

    monkeypatch.setattr("asmnet_kit.predict.tracking.predict_face", says_nothing_of_itself)
    here, empty = scene((frames[0].image, 100)), scene()
    found = told(FaceTracker(predictor), [here] * 5 + [empty] * 20, FPS)
    assert [list(tracks) for tracks in found] == [[1]] * 13 + [[]] * 12


def test_a_newcomer_is_found_while_the_time_stamps_stand_still(frames) -> None:
    alone = scene((frames[0].image, 0))
    both = scene((frames[0].image, 0), (frames[8].image, 250))
    tracker = asmnet_kit.Tracker()
    found = [tracker.update(image, 5.0) for image in [alone] * 3 + [both] * 28]
    assert [face.track for face in found[-1]] == [1, 2]


def test_a_newcomer_is_looked_for_once_a_second_of_the_film(frames) -> None:
    alone = scene((frames[0].image, 0))
    both = scene((frames[0].image, 0), (frames[8].image, 250))
    for fps in (5, 12, 30, 60):
        images = [alone] * 3 + [both] * int(fps)
        assert list(told(asmnet_kit.Tracker(), images, fps)[-2]) == [1, 2]


def test_a_picture_without_faces_is_searched_in_every_frame(frames, predictor) -> None:
    tracker = FaceTracker(predictor)
    assert follow(tracker, [np.full((96, 96, 3), 128, np.uint8)] * 3) == [[]] * 3
    assert tracker.detections == 3


def test_a_fall_of_the_plausibility_calls_the_detector() -> None:
    """Odds of 9 for half a second, then below half of that."""
    detection = type("Seen", (), {"box": np.float32([0, 0, 50, 50]), "score": 0.9})()
    track = _Track(1, detection, None)
    assert not any(track._fell(0.9, index / FPS) for index in range(5))
    assert not track._fell(0.85, 0.5)  # odds of 5.7
    assert track._fell(0.8, 0.6)  # odds of 4
    assert not track._fell(None, 0.7)  # without a shape model


def test_a_fall_of_the_models_own_confidence_counts_before_the_plausibility() -> None:
    detection = type("Seen", (), {"box": np.float32([0, 0, 50, 50]), "score": 0.9})()
    shape = generic_reference(68) * 50
    face = FacePrediction(detection.box, 0.9, shape, None, 0.9, confidence=0.9)
    track = _Track(1, detection, None)
    for index in range(5):
        track.judge(face, index / FPS)
        assert not track.fallen
    track.judge(replace(face, confidence=0.5), 0.5)  # the shape is as plausible as before
    assert track.fallen


def test_unsure_landmarks_are_smoothed_more() -> None:
    """Two frames 1/30 s apart, beta 0, 2 Hz: a share 1 / (1 + 30 / (2 pi 2)) = 0.295 of a move is
    taken by those that are sure; an eighth as sure is held to a quarter of the cut-off: 0.095."""
    filters = _Filters(2.0, 0.0)
    shape = (generic_reference(68) * 50).astype(np.float32)
    sigma = np.ones(68, np.float32)
    sigma[5] = 8.0
    box = np.float32([0, 0, 50, 50])
    face = FacePrediction(box, 0.9, shape, None, None, sigma=sigma)
    filters.smooth(face, box, 0.0)
    moved = filters.smooth(replace(face, landmarks=shape + 1), box, 1 / 30).landmarks - shape
    assert moved[6] == pytest.approx(0.295, abs=0.001)
    assert moved[5] == pytest.approx(0.095, abs=0.001)


def test_angles_are_smoothed_the_short_way_round(frames) -> None:
    filters = _Filters(1.0, 0.0)
    poses = [np.float32([0, 0, roll]) for roll in (178, -179, -177)]
    smoothed = [filters._smooth_pose(pose, index / 30) for index, pose in enumerate(poses)]
    assert all(abs(float(wrapped(pose[2] - np.float32(180)))) < 4 for pose in smoothed)


def test_useless_settings_are_refused(predictor) -> None:
    with pytest.raises(UsageError, match="every 1 or more frames, got 0"):
        FaceTracker(predictor, detect_every=0)
    accumulator = ShapeAccumulator(98)
    accumulator.update(generic_reference(98) * [[[0.9, 1]], [[1, 1]], [[1.1, 1]]])
    with pytest.raises(UsageError, match="shape model of 68 landmarks"):
        FaceTracker(predictor, plausibility=Plausibility(accumulator.fit(0.99)))


def test_a_film_moves_smoothly_and_has_noise_of_its_own_in_every_frame() -> None:
    first, second, third = film(3, seed=1, size=64, fps=30)
    again = next(iter(film(1, seed=1, size=64, fps=30)))
    assert np.array_equal(first.image, again.image)
    steps = [b.landmarks68 - a.landmarks68 for a, b in ((first, second), (second, third))]
    size = np.ptp(first.landmarks68, axis=0).max()
    assert 0 < np.abs(steps[0]).max() < 0.1 * size
    assert np.abs(steps[1] - steps[0]).max() < 0.02 * size
    still = [frame.image.astype(int) for frame in film(2, seed=1, size=64, motion=0)]
    assert 3 < (still[0] - still[1]).std() < 8  # two noises of 4 levels: 4 x sqrt(2) = 5.7


@pytest.mark.parametrize(
    "wrong", [{"frames": -1}, {"motion": -1.0}, {"tempo": -1.0}, {"fps": 0.0}, {"size": 9}]
)
def test_a_film_that_cannot_be_drawn_is_refused(wrong) -> None:
    with pytest.raises(UsageError, match="expected frames"):
        film(**{"frames": 1, "seed": 0, **wrong})
