"""The losses of the outputs beside landmarks and pose, by hand-checkable numbers."""

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from asmnet_kit.base.errors import UsageError
from asmnet_kit.face.schemes import SCHEME_68
from asmnet_kit.training.catalogue import LIKELIHOOD_GRADIENTS, LIKELIHOODS
from asmnet_kit.training.loss.extra_terms import COSTS, LARGEST_PULL, ExtraTerms
from asmnet_kit.training.loss.losses import LOSSES, AsmLoss

POINTS = 68


def batch(visible: np.ndarray | None = None) -> dict[str, tf.Tensor]:
    """One face with all its points in the crop's centre, not moved."""
    return {
        "upright": tf.zeros([1, POINTS, 2]),
        "visible": tf.ones([1, POINTS]) if visible is None else tf.constant(visible, tf.float32),
        "transform": tf.constant([[[1.0, 0, 0], [0, 1, 0]]]),
        "flipped": tf.constant([False]),
        "pose": tf.zeros([1, 3]),
    }


def terms(
    error: tuple[float, float], u: float, *, name: str = "smooth_l1", **settings: Any
) -> dict[str, tf.Tensor]:
    loss = AsmLoss(name, scheme=SCHEME_68, extra=ExtraTerms(**settings))
    prediction = {
        "landmarks": tf.constant([[*error] * POINTS], tf.float32),
        "pose": tf.zeros([1, 3]),
        "uncertainty": tf.fill([1, POINTS], u),
    }
    return loss.terms(batch(), prediction, alpha=0)


def test_the_likelihoods_offered_are_those_there_are() -> None:
    assert set(LIKELIHOODS) == set(COSTS)


@pytest.mark.parametrize(
    ("likelihood", "cost"),
    [
        # 3 hundredths off in x, 0 in y, sigma 2: ln 2 + the mean of sqrt(2) 3 / 2 and 0.
        ("laplace", math.log(2) + 0.5 * math.sqrt(2) * 1.5),
        # ... and of (3 / 2)^2 / 2 and 0.
        ("gaussian", math.log(2) + 0.5 * 1.125),
    ],
)
def test_the_negative_log_likelihood_counts_in_hundredths_of_the_side(
    likelihood: str, cost: float
) -> None:
    found = terms((0.03, 0.0), math.log(2), likelihood=likelihood)
    np.testing.assert_allclose(found["uncertainty"], cost, rtol=1e-5)


@pytest.mark.parametrize(
    ("likelihood", "best"),
    # Laplace: sqrt(2) times the mean |e| of 3 and 1. Gaussian: the root of their mean square.
    [("laplace", math.sqrt(2) * 2), ("gaussian", math.sqrt(5))],
)
def test_the_best_sigma_is_the_standard_deviation(likelihood: str, best: float) -> None:
    def cost(sigma: float) -> float:
        found = terms((0.03, 0.01), math.log(sigma), likelihood=likelihood)
        return float(found["uncertainty"])

    assert cost(best) < min(cost(0.95 * best), cost(1.05 * best))


@pytest.mark.parametrize("name", ["mse", "smooth_l1"])
def test_the_total_holds_it_by_its_weight(name: str) -> None:
    found = terms((0.03, 0.0), 1.0, name=name, likelihood_weight=0.5)
    expected = found["landmark"] + LOSSES[name].others * 0.5 * found["uncertainty"]
    np.testing.assert_allclose(found["total"], expected, rtol=1e-6)


def test_points_without_a_label_teach_no_uncertainty() -> None:
    visible = np.ones((1, POINTS), np.float32)
    visible[0, 5] = 0
    u = tf.zeros([1, POINTS])
    with tf.GradientTape() as tape:
        tape.watch(u)
        prediction = {"landmarks": tf.fill([1, 2 * POINTS], 0.1), "uncertainty": u}
        total = AsmLoss("mse", scheme=SCHEME_68).terms(batch(visible), prediction, 0)["total"]
    gradient = tape.gradient(total, u).numpy()[0]
    assert gradient[5] == 0
    assert (np.delete(gradient, 5) < 0).all()  # 10 hundredths off at sigma 1: less sure


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("gradient", LIKELIHOOD_GRADIENTS)
def test_the_likelihood_moves_landmarks_only_as_far_as_it_may(
    likelihood: str, gradient: str
) -> None:
    """Errors of 5 hundredths, at sigmas from very sure to not at all."""
    u = tf.linspace([-4.0], [3.0], 15, axis=1)
    error = tf.fill([1, 15, 2], 0.05)
    extra = ExtraTerms(likelihood=likelihood, likelihood_gradient=gradient)
    with tf.GradientTape() as tape:
        tape.watch(error)
        cost = tf.reduce_sum(extra.cost_of_errors(error, u))
    pull = tape.gradient(cost, error)
    if gradient == "stop":
        assert pull is None
        return
    sizes = 2 * pull.numpy()[0, :, 0] / 100  # per hundredth, and undo the mean over x and y
    sigma = np.exp(u.numpy()[0])
    free = np.sqrt(2) / sigma if likelihood == "laplace" else 5 / sigma**2
    limit = LARGEST_PULL if gradient == "bounded" else np.inf
    np.testing.assert_allclose(sizes, np.minimum(free, limit), rtol=1e-4)


@pytest.mark.parametrize("gradient", LIKELIHOOD_GRADIENTS)
def test_an_error_of_zero_has_a_finite_gradient(gradient: str) -> None:
    for likelihood in LIKELIHOODS:
        extra = ExtraTerms(likelihood=likelihood, likelihood_gradient=gradient)
        error, u = tf.zeros([1, 2, 2]), tf.zeros([1, 2])
        with tf.GradientTape() as tape:
            tape.watch([error, u])
            cost = extra.cost_of_errors(error, u)
        by_error, by_u = tape.gradient(cost, [error, u])
        assert by_error is None or np.isfinite(by_error).all()
        np.testing.assert_array_equal(by_u, 1)  # surer


def test_a_teacher_with_the_same_outputs_is_followed_in_its_uncertainty() -> None:
    loss = AsmLoss("smooth_l1", scheme=SCHEME_68, extra=ExtraTerms(likelihood_weight=0.5))
    here = {"landmarks": tf.zeros([1, 136]), "uncertainty": tf.ones([1, POINTS])}
    there = {"landmarks": tf.zeros([1, 136]), "uncertainty": tf.fill([1, POINTS], 3.0)}
    # Half of 2^2, at half weight.
    np.testing.assert_allclose(loss.towards(batch(), here, there), 0.5 * 0.5 * 4, rtol=1e-6)
    assert loss.towards(batch(), here, here) == 0


def visibility_term(marks: np.ndarray, logit: float, *, flipped: bool = False) -> tf.Tensor:
    known = {**batch(), "visibility": tf.constant(marks[None], tf.float32)}
    known["flipped"] = tf.constant([flipped])
    prediction = {
        "landmarks": tf.zeros([1, 2 * POINTS]),
        "visibility": tf.constant(np.r_[logit, np.zeros(POINTS - 1)][None], tf.float32),
    }
    return AsmLoss("smooth_l1", scheme=SCHEME_68).terms(known, prediction, 0)["visibility"]


def test_visibility_costs_cross_entropy_where_it_is_known() -> None:
    marks = np.full(POINTS, np.nan)
    assert visibility_term(marks, 5.0) == 0
    marks[0] = 1  # seen, with a probability of 3/4 for the logit ln 3
    np.testing.assert_allclose(visibility_term(marks, math.log(3)), -math.log(0.75), rtol=1e-6)
    marks[0] = 0
    np.testing.assert_allclose(visibility_term(marks, math.log(3)), -math.log(0.25), rtol=1e-6)
    marks[1] = 1  # with 1/2
    expected = -(math.log(0.25) + math.log(0.5)) / 2
    np.testing.assert_allclose(visibility_term(marks, math.log(3)), expected, rtol=1e-6)


def test_visibility_goes_with_its_point_when_the_face_is_mirrored() -> None:
    marks = np.full(POINTS, np.nan)
    marks[16] = 0  # the jaw's other end, which is point 0 of the mirrored face
    assert visibility_term(marks, 3.0) == math.log(2) * np.float32(1)
    found = visibility_term(marks, 3.0, flipped=True)
    np.testing.assert_allclose(found, math.log(1 + math.exp(3)), rtol=1e-6)


def test_unknown_likelihoods_and_gradients_are_refused() -> None:
    with pytest.raises(UsageError, match="a likelihood of laplace, gaussian"):
        ExtraTerms(likelihood="cauchy")
    with pytest.raises(UsageError, match="a likelihood gradient of stop, bounded, full"):
        ExtraTerms(likelihood_gradient="some")
