"""Accuracy figures, against values worked out by hand."""

import numpy as np
import pytest

from asmnet_kit.face.metrics import (
    auc,
    ced,
    failure_rate,
    mean_interval,
    mean_nme,
    per_face_nme,
    pose_errors,
)
from asmnet_kit.face.schemes import SCHEME_68, SCHEME_98


def faces(count, scheme=SCHEME_68, eye_distance=50.0):
    """Faces whose outer eye corners are 50 px apart; the other points do not matter."""
    truth = np.random.default_rng(0).uniform(0, 100, (count, scheme.points, 2))
    first, second = scheme.outer_eye_corners
    truth[:, first], truth[:, second] = (20.0, 30.0), (20.0 + eye_distance, 30.0)
    return truth


@pytest.mark.parametrize("scheme", [SCHEME_68, SCHEME_98])
def test_a_shift_of_a_tenth_of_the_eye_distance_is_ten_percent(scheme):
    truth = faces(2, scheme)
    assert np.allclose(per_face_nme(truth + np.array([3.0, 4.0]), truth, scheme), 10.0)


def test_points_without_a_label_do_not_count():
    """Of 68 points 34 are labelled, 17 of them 5 px off: mean 2.5 px of 50."""
    truth = faces(1)
    predicted = truth.copy()
    corners = set(SCHEME_68.outer_eye_corners)
    others = [i for i in range(68) if i not in corners]
    truth[0, others[:34]] = np.nan
    predicted[0, others[34:51]] += [3.0, 4.0]
    predicted[0, others[:34]] += 1e6
    assert np.allclose(per_face_nme(predicted, truth, SCHEME_68), 100 * 2.5 / 50)


def test_a_face_without_an_outer_eye_corner_has_no_nme():
    truth = faces(3)
    truth[0, 36] = np.nan
    truth[1, 45] = truth[1, 36]
    nme = per_face_nme(truth + 1, truth, SCHEME_68)
    assert np.isnan(nme[:2]).all() and np.isfinite(nme[2])
    assert mean_nme(nme) == pytest.approx(nme[2])


def test_a_prediction_that_is_no_number_is_a_failure_not_a_missing_label():
    truth = faces(1)
    predicted = truth.copy()
    predicted[0, 5] = np.nan
    nme = per_face_nme(predicted, truth, SCHEME_68)
    assert np.isposinf(nme[0])
    assert (failure_rate(nme, 10), auc(nme, 10)) == (100.0, 0.0)


def test_failure_is_strictly_above_the_threshold():
    nme = np.array([1.0, 8.0, 8.1, np.nan, 20.0])
    assert failure_rate(nme, 8) == 50.0


def test_auc_is_the_exact_area_under_the_steps():
    """CED of 2, 4, 12 %: 0 until 2, 1/3 until 4, 2/3 until 8. Area (2/3 + 8/3) / 8 = 10/24."""
    nme = np.array([4.0, 12.0, np.nan, 2.0])
    assert auc(nme, 8) == pytest.approx(10 / 24)
    assert auc(np.zeros(4), 8) == 1.0
    assert auc(np.full(4, 8.0), 8) == 0.0
    x, y = ced(nme)
    inside = np.append(x[x < 8], 8.0)
    assert auc(nme, 8) == pytest.approx((np.diff(inside) * y[x < 8]).sum() / 8)


def test_ced_rises_by_one_face_at_each_error():
    x, y = ced(np.array([4.0, 12.0, np.nan, 2.0]))
    assert np.array_equal(x, [0, 2, 4, 12])
    assert np.allclose(y, [0, 1 / 3, 2 / 3, 1])


def test_without_any_measured_face_there_is_no_figure():
    nothing = np.array([np.nan])
    assert np.isnan([mean_nme(nothing), failure_rate(nothing, 8), auc(nothing, 8)]).all()


def test_pose_errors_wrap_at_180_degrees_and_are_nan_for_unknown_poses():
    predicted = np.array([[10.0, 0.0, 179.0], [-10.0, 5.0, 0.0], [0.0, 0.0, 0.0]])
    truth = np.array([[0.0, 0.0, -179.0], [-20.0, -5.0, 2.0], [np.nan] * 3])
    errors = pose_errors(predicted, truth)
    assert np.allclose(errors[:2], [[10, 0, 2], [10, 10, 2]])
    assert np.isnan(errors[2]).all()


def test_the_interval_of_a_mean_is_that_of_its_formula():
    """50 faces of 3 % and 50 of 5 %: s = sqrt(100 / 99), half a width of 1.96 s / 10."""
    half = 1.96 * (100 / 99) ** 0.5 / 10
    values = np.array([3.0, 5.0] * 50 + [np.nan])
    assert mean_interval(values) == pytest.approx([4 - half, 4 + half])
    assert mean_interval(np.full(29, 4.0)) is None  # too few
    assert mean_interval(np.array([np.inf, *[4.0] * 40])) is None  # a missed face


def test_the_interval_of_a_mean_holds_the_truth_nineteen_times_in_twenty():
    """Faces with errors as skewed as real ones: of 1,000 data sets 95 % of the intervals fit."""
    rng = np.random.default_rng(0)
    intervals = [mean_interval(rng.gamma(4.0, 1.0, 200)) for _ in range(1000)]
    assert 920 < sum(low < 4.0 < high for low, high in intervals) < 980


def test_an_interval_does_not_leave_what_the_figure_can_be():
    """One face in 30 of 1, the rest 0: 1 / 30 - 1.96 / 30 is below 0."""
    few = np.zeros(30)
    few[0] = 1.0
    low, high = mean_interval(few, most=1.0)
    assert (low, high) == (0.0, pytest.approx(2.96 / 30))
    low, high = mean_interval(1 - few, most=1.0)
    assert (low, high) == (pytest.approx(1 - 2.96 / 30), 1.0)
