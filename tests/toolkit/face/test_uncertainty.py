"""From a model's outputs to pixels, probabilities and a face's confidence."""

import numpy as np
import pytest

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.face.schemes import SCHEME_68
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.face.uncertainty import (
    Calibration,
    expected_nme,
    fitted_factor,
    radius,
    sigma_of,
    unsure,
    visible_of,
)


def test_an_uncertainty_of_0_is_a_hundredth_of_the_crop() -> None:
    np.testing.assert_allclose(sigma_of(np.array([0, np.log(3)])), [0.01, 0.03], rtol=1e-6)
    np.testing.assert_allclose(sigma_of(np.array([0.0]), 1.5), [0.015], rtol=1e-6)
    assert np.isfinite(sigma_of(np.array([-1e9, 1e9]))).all()
    assert np.isnan(sigma_of(np.array([np.nan]))).all()


def test_a_logit_of_0_is_seen_as_often_as_not() -> None:
    np.testing.assert_allclose(visible_of(np.array([0, np.log(3)])), [0.5, 0.75], rtol=1e-6)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_a_circle_holds_its_share_of_a_normal_distribution(level: float) -> None:
    points = np.random.default_rng(0).standard_normal((200_000, 2))
    inside = np.linalg.norm(points, axis=1) <= radius(level)
    assert inside.mean() == pytest.approx(level, abs=0.004)


def test_the_expected_nme_is_that_of_normal_errors() -> None:
    face = generic_reference(68)[None].astype(np.float64)
    sigma = np.full((1, 68), 0.02)
    eyes = np.linalg.norm(face[0, 36] - face[0, 45])
    errors = 0.02 * np.random.default_rng(0).standard_normal((3000, 68, 2))
    measured = np.linalg.norm(errors, axis=-1).mean() / eyes
    found = expected_nme(sigma, face, SCHEME_68)
    assert found == pytest.approx(measured, rel=0.01)
    np.testing.assert_allclose(expected_nme(10 * sigma, 10 * face, SCHEME_68), found)
    assert np.isinf(expected_nme(sigma, 0 * face, SCHEME_68)).all()


def test_the_factor_brings_nine_points_of_ten_into_their_circles() -> None:
    random = np.random.default_rng(1)
    sigma = random.uniform(1, 5, 20_000)
    distance = 1.3 * sigma * np.linalg.norm(random.standard_normal((20_000, 2)), axis=1)
    distance[::7] = np.nan  # without a label
    factor = fitted_factor(distance, sigma)
    assert factor == pytest.approx(1.3, rel=0.02)
    inside = distance[np.isfinite(distance)] <= radius(0.9) * factor * sigma[np.isfinite(distance)]
    assert inside.mean() == pytest.approx(0.9, abs=1e-3)


@pytest.mark.parametrize(
    ("distance", "sigma"), [([np.nan], [1.0]), ([0.0, 0.0], [1.0, 1.0]), ([1.0], [0.0])]
)
def test_what_cannot_be_calibrated_is_refused(distance: list[float], sigma: list[float]) -> None:
    with np.errstate(divide="ignore"), pytest.raises(DatasetError, match="a calibration needs"):
        fitted_factor(np.array(distance), np.array(sigma))


def test_a_point_is_unsure_that_may_be_off_by_8_percent_of_the_eyes_or_is_hidden() -> None:
    """A box of 100 pixels, eyes 0.48 x 1.2 x 100 = 57.6 apart, of which 8 % are 4.6 pixels: what a
    sigma of 3.68 lets expect."""
    sigma = np.array([3.6, 3.75, 1, 1])
    visible = np.array([1, 1, 0.4, 0.6])
    assert unsure(sigma, visible, 100, 4).tolist() == [False, True, True, False]
    assert unsure(None, visible, 100, 4).tolist() == [False, False, True, False]
    assert unsure(None, None, 100, 4).tolist() == [False] * 4


def test_a_calibration_survives_its_json() -> None:
    known = Calibration(1.2, 34, None, "faces", "ab")
    assert Calibration.from_json(known.to_json()) == known
