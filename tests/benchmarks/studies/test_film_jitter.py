"""The measurement of jitter and lag, on landmarks whose jitter and lag are known."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from asmnet_kit.base.errors import KitError
from asmnet_kit.benchmarks.studies import film_jitter
from asmnet_kit.drawn_faces.film import film
from asmnet_kit.face.plausibility import own_plausibility
from asmnet_kit.predict.open_predictor import open_predictor
from asmnet_kit.shipping.shipped import default_model


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """A face 100 pixels between the eye corners that goes to and fro."""
    face = np.zeros((68, 2))
    face[45, 0] = 100
    swing = 40 * np.sin(np.arange(60) / 6)
    return (face + swing[:, None, None]).astype(np.float32)


@pytest.mark.parametrize("delay", [0.0, 1.0, 2.5])
def test_a_delay_is_found(truth, delay) -> None:
    times = np.maximum(np.arange(60) - delay, 0)
    x = np.interp(times, np.arange(60), truth[:, 0, 0])
    late = truth - truth[:, :1] + x[:, None, None]
    assert film_jitter.lag_frames(late + 7, truth) == pytest.approx(delay, abs=0.06)


def test_jitter_counts_the_error_and_not_the_motion(truth) -> None:
    """An error that jumps by +1, -1 pixel in x and y every frame: second differences of 4 x sqrt 2
    pixels, of 100 between the eyes; a constant error has none."""
    predictor = open_predictor(default_model().path)

    def jitter(predicted):
        return film_jitter.steadiness(
            predicted, truth, predictor=predictor, moving=True, detections=1
        ).jitter_percent

    signs = np.where(np.arange(60) % 2, 1.0, -1.0)[:, None, None]
    assert jitter(truth + 5) == pytest.approx(0, abs=1e-4)
    assert jitter(truth + signs) == pytest.approx(4 * np.sqrt(2), rel=1e-3)


def test_a_gap_in_the_track_is_no_jitter_and_hides_no_lag(truth) -> None:
    """The face is lost for 10 frames, and found again with another constant error: the landmarks
    are still in all frames that follow each other. Two frames late, the face goes on meanwhile."""
    predictor = open_predictor(default_model().path)
    jumped = truth.copy()
    jumped[:25] += 3
    jumped[35:] -= 3
    jumped[25:35] = np.nan
    found = film_jitter.steadiness(jumped, truth, predictor=predictor, moving=False, detections=1)
    assert (found.frames, found.lag_ms) == (50, None)
    assert found.jitter_percent == pytest.approx(0, abs=1e-4)
    assert found.nme_percent == pytest.approx(3 * np.sqrt(2), rel=1e-3)
    late = np.concatenate([truth[:1], truth[:1], truth[:-2]])
    late[[*range(12, 22), *range(40, 50)]] = np.nan
    assert film_jitter.lag_frames(late, truth) == pytest.approx(2, abs=0.06)
    late[::3] = np.nan
    with pytest.raises(KitError, match="three successive frames"):
        film_jitter.steadiness(late, truth, predictor=predictor, moving=True, detections=1)


def test_a_face_that_comes_late_is_compared_with_the_truth_of_its_own_frames() -> None:
    """Eight grey frames before the face: all figures are those of the film that begins with it."""
    frames = list(film(24, seed=100, size=96, fps=film_jitter.FPS, motion=1.0, tempo=2.5))
    grey = [replace(frame, image=np.full_like(frame.image, 128)) for frame in frames[:8]]
    model = default_model().path
    predictor, plausibility = open_predictor(model), own_plausibility(model)
    late, alone = (
        film_jitter.follow(film_frames, predictor, plausibility, None, moving=False)
        for film_frames in (grey + frames[8:], frames[8:])
    )
    assert (late.frames, alone.frames) == (16, 16)
    assert late.nme_percent == alone.nme_percent
    assert late.jitter_percent == alone.jitter_percent


def test_the_command_measures_each_motion_with_and_without_the_filter(monkeypatch, capsys) -> None:
    arguments = ["--films", "1", "--frames", "12", "--size", "96", "--json"]
    monkeypatch.setattr(sys, "argv", ["video", *arguments])
    assert film_jitter.main() == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["motion"], row["filter"] is None) for row in rows] == [
        (motion, plain) for motion in film_jitter.MOTIONS for plain in (True, False)
    ]
    assert all(row["frames"] == 12 and row["jitter_percent"] > 0 for row in rows)
    still = [row["jitter_percent"] for row in rows[:2]]
    assert still[1] < still[0]


def test_a_setting_that_is_none_is_refused(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["video", "--setting", "fast"])
    assert film_jitter.main() == 1
    assert "CUTOFF,BETA" in capsys.readouterr().err
