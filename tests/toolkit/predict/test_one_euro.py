"""The 1 € filter: the paper's equations, and what callers rely on."""

import numpy as np
import pytest

from asmnet_kit.base.errors import UsageError
from asmnet_kit.predict.one_euro import MAX_GAP_SECONDS, OneEuroFilter


def test_it_gives_what_the_authors_implementation_gives() -> None:
    """OneEuroFilter 0.2.1 of PyPI, mincutoff 1, beta 0.5, dcutoff 1, on these values."""
    values = [0, 1, 1.5, 1.2, 4, 4.1, 4.0]
    seconds = [0, 1 / 30, 2 / 30, 0.1, 0.15, 0.2, 0.25]
    expected = [0, 0.429703, 1.022516, 1.117807, 3.368356, 3.931256, 3.981244]
    smooth = OneEuroFilter(min_cutoff_hz=1, beta=0.5)
    pairs = zip(values, seconds, strict=True)
    found = [float(smooth.update(np.array([v]), t)[0]) for v, t in pairs]
    assert found == pytest.approx(expected, abs=1e-5)  # a float32 near 4


def test_numbers_are_filtered_each_on_its_own() -> None:
    rng = np.random.default_rng(0)
    frames = rng.standard_normal((10, 4, 2))
    together = OneEuroFilter(min_cutoff_hz=1, beta=2)
    single = OneEuroFilter(min_cutoff_hz=1, beta=2)
    for index, frame in enumerate(frames):
        whole = together.update(frame, index / 30)
        one = single.update(frame[2, 1], index / 30)
        assert whole.dtype == np.float32 and whole[2, 1] == one


def test_a_larger_face_is_filtered_alike() -> None:
    """Values and scale ten times as large: the same result ten times as large."""
    near, far = (OneEuroFilter(min_cutoff_hz=1, beta=30) for _ in range(2))
    for index, value in enumerate([5.0, 6.0, 4.0, 9.0]):
        small = far.update(np.array([value]), index / 30, scale=50)
        large = near.update(np.array([10 * value]), index / 30, scale=500)
        assert large == pytest.approx(10 * small, rel=1e-6)


def test_what_trembles_is_held() -> None:
    """At rest, at 30 frames a second, a share of 1 / (1 + 30 / (2 pi)) = 0.17 of a new value is
    taken, more where noise looks like speed; second differences shrink about so."""
    noise = np.random.default_rng(1).normal(0, 0.01, 90)
    filtered = through(noise)
    assert np.diff(filtered[30:], n=2).std() < 0.4 * np.diff(noise[30:], n=2).std()
    assert np.abs(filtered).max() < 0.02


def test_what_moves_is_followed() -> None:
    """At 3 sizes a second the cut-off nears 1 + 30 x 3 = 91 Hz: it lags by tau = 1.7 ms, and so by
    0.005, where a filter of 1 Hz would lag by 0.48."""
    moving = 3 * np.arange(90) / 30
    assert np.abs(through(moving) - moving)[30:].max() < 0.01
    assert np.abs(through(moving, beta=0.0) - moving)[60:].max() > 0.4


def through(values: np.ndarray, *, beta: float = 30.0) -> np.ndarray:
    """Values of 30 frames a second, filtered."""
    smooth = OneEuroFilter(min_cutoff_hz=1, beta=beta)
    return np.array([smooth.update(np.array([v]), i / 30)[0] for i, v in enumerate(values)])


def test_a_value_that_is_trusted_half_is_followed_with_half_the_cut_off() -> None:
    trusted, half = (OneEuroFilter(min_cutoff_hz=cutoff, beta=0) for cutoff in (2, 4))
    for index, value in enumerate([0.0, 1.0, 0.5]):
        expected = trusted.update(np.full(2, value), index / 30)
        found = half.update(np.full(2, value), index / 30, trust=np.array([0.5, 1.0]))
        assert found[0] == pytest.approx(expected[0], rel=1e-6)
        assert value == 0 or found[1] != expected[1]


def test_a_gap_or_a_step_back_in_time_starts_anew() -> None:
    smooth = OneEuroFilter(min_cutoff_hz=1, beta=0)
    smooth.update(np.zeros(2), 0.0)
    assert smooth.update(np.ones(2), 0.1)[0] < 1
    for seconds in (0.1 + MAX_GAP_SECONDS + 0.01, 0.2, 0.2):
        assert smooth.update(np.full(2, 5.0), seconds).tolist() == [5, 5]
    smooth.reset()
    assert smooth.update(np.full(2, 7.0), 0.3).tolist() == [7, 7]


@pytest.mark.parametrize("settings", [(0, 1), (-1, 1), (1, -1), (float("nan"), 1)])
def test_useless_settings_are_refused(settings: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="cut-offs above 0"):
        OneEuroFilter(min_cutoff_hz=settings[0], beta=settings[1])
