"""ASM-LOSS: the operator in the graph, truths that move, and the terms."""

import math

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from asmnet_kit.base.errors import UsageError
from asmnet_kit.face.schemes import SCHEME_68, SCHEME_98
from asmnet_kit.face.shape_model.fit import ShapeAccumulator
from asmnet_kit.face.shape_model.operator import ShapeModel
from asmnet_kit.training import catalogue
from asmnet_kit.training.batch import move_labels
from asmnet_kit.training.loss.asm_operator import AsmOperator
from asmnet_kit.training.loss.losses import (
    EYE_DISTANCE,
    LOSSES,
    SMOOTH_L1_BEND,
    TERM_UNITS,
    AsmLoss,
    pose_term,
)

# Both sides compute in float64 and round once to float32: half a unit in the last place of a number
# below 1, and room for the float64 solvers' differences.
ROUNDING = 2e-7


def faces(count: int, *, seed: int = 0, points: int = 68) -> NDArray[np.float32]:
    """Made shapes: a face-like ring that differs in eight smooth ways, and a little noise."""
    random = np.random.default_rng(seed)
    turn = np.linspace(0, 2 * np.pi, points, endpoint=False)
    mean = 0.4 * np.stack([np.cos(turn), np.sin(turn)], -1)
    ways = np.stack([np.cos(k * turn + k) for k in range(16)]).reshape(8, 2, points)
    b = random.normal(size=(count, 8)) * 0.03 / np.arange(1, 9)
    shapes = mean + np.einsum("bk,kcn->bnc", b, ways)
    return (shapes + random.normal(scale=0.003, size=shapes.shape)).astype(np.float32)


def shape_model(*, aligned: bool = False, points: int = 68, kept: float = 0.9) -> ShapeModel:
    accumulator = ShapeAccumulator(points, aligned=aligned)
    accumulator.update(faces(400, points=points))
    return accumulator.fit(kept)


def turned(degrees: float, *, scale: float = 1.0, mirror: bool = False) -> NDArray[np.float32]:
    """[2, 3]: mirror x, then rotate clockwise in the image, scale and shift."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = scale * np.array([[c, -s], [s, c]]) @ np.diag([-1.0 if mirror else 1.0, 1.0])
    return np.concatenate([matrix, [[0.03], [-0.02]]], axis=1).astype(np.float32)


def batch_of(
    upright: NDArray[np.float32],
    *,
    transform: NDArray[np.float32] | None = None,
    flipped: bool = False,
    visible: NDArray[np.float32] | None = None,
    pose: NDArray[np.float32] | None = None,
) -> dict[str, tf.Tensor]:
    count, points = upright.shape[:2]
    transform = turned(0) * [[1, 1, 0], [1, 1, 0]] if transform is None else transform
    return {
        "upright": tf.constant(upright),
        "visible": tf.constant(
            np.ones((count, points)) if visible is None else visible, tf.float32
        ),
        "transform": tf.constant(np.repeat(transform[None], count, axis=0), tf.float32),
        "flipped": tf.fill([count], flipped),
        "pose": tf.constant(np.zeros((count, 3)) if pose is None else pose, tf.float32),
    }


def predicted(
    landmarks: NDArray[np.floating], pose: NDArray[np.floating] | None = None
) -> dict[str, tf.Tensor]:
    count = len(landmarks)
    return {
        "landmarks": tf.constant(landmarks.reshape(count, -1), tf.float32),
        "pose": tf.constant(np.zeros((count, 3)) if pose is None else pose, tf.float32),
    }


# --- the operator -------------------------------------------------------------------------------


def two_point_model() -> ShapeModel:
    """Points at (-1, 0) and (1, 0) that move apart along x, with a standard deviation of 0.1."""
    r = np.float32(math.sqrt(0.5))
    return ShapeModel(
        mean=np.array([[-1, 0], [1, 0]], np.float32),
        components=np.array([[-r, 0, r, 0]], np.float32),
        eigenvalues=np.array([0.01], np.float32),
        explained_variance_ratio=np.array([1.0], np.float32),
        total_variance=0.01,
    )


def test_two_points_keep_their_symmetric_part_and_lose_the_rest() -> None:
    # Deviation (-0.2, 0.5) and (0, 0.3): b = r (0.2 + 0) = 0.141, within 3 x 0.1. Each point moves
    # by r b = 0.1 along x.
    operator = AsmOperator(two_point_model())
    smoothed = operator(tf.constant([[[-1.2, 0.5], [1.0, 0.3]]]))
    np.testing.assert_allclose(smoothed, [[[-1.1, 0.0], [1.1, 0.0]]], atol=1e-6)


def test_a_deviation_beyond_three_standard_deviations_is_clamped() -> None:
    # Deviation (-1, 0), (1, 0): b = 2 r = 1.41, clamped to 0.3: each point moves by 0.3 r = 0.2121.
    smoothed = AsmOperator(two_point_model())(tf.constant([[[-2.0, 0.0], [2.0, 0.0]]]))
    np.testing.assert_allclose(smoothed, [[[-1.212132, 0], [1.212132, 0]]], atol=1e-6)


def test_a_missing_point_follows_the_visible_one() -> None:
    # Only the left point is seen, 0.1 to the left of its mean. Least squares would give
    # b = 0.1 / r; the prior (weight 0.01, half of the points missing) makes it
    # b = 0.1 r / (0.5 + 0.005): the points move by r b = 0.05 / 0.505 = 0.0990099.
    points = tf.constant([[[-1.1, 0.0], [math.nan, math.nan]]])
    smoothed = AsmOperator(two_point_model())(points, tf.constant([[1.0, 0.0]]))
    np.testing.assert_allclose(smoothed, [[[-1.0990099, 0], [1.0990099, 0]]], atol=1e-6)


def test_three_points_with_two_components_by_hand() -> None:
    # Component 0 moves point 0 along x, component 1 moves points 1 and 2 along y, both up.
    r = np.float32(math.sqrt(0.5))
    model = ShapeModel(
        mean=np.zeros((3, 2), np.float32),
        components=np.array([[1, 0, 0, 0, 0, 0], [0, 0, 0, r, 0, r]], np.float32),
        eigenvalues=np.array([4.0, 0.01], np.float32),
        explained_variance_ratio=np.array([0.9, 0.1], np.float32),
        total_variance=4.4,
    )
    shape = tf.constant([[[5.0, 9.0], [9.0, 0.2], [9.0, 0.1]]])
    # b0 = 5 <= 6; b1 = r 0.3 = 0.2121 <= 0.3, which moves points 1 and 2 by r b1 = 0.15.
    np.testing.assert_allclose(
        AsmOperator(model)(shape), [[[5.0, 0.0], [0.0, 0.15], [0.0, 0.15]]], atol=1e-6
    )


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("points", [68, 98])
def test_the_operator_equals_numpy(aligned: bool, points: int) -> None:
    model = shape_model(aligned=aligned, points=points)
    shapes = 1.5 * faces(32, seed=1, points=points)  # beyond the clamp too
    expected = model.smooth(shapes)
    np.testing.assert_allclose(AsmOperator(model)(shapes), expected, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("aligned", [False, True])
def test_the_operator_equals_numpy_for_incomplete_shapes(aligned: bool) -> None:
    model = shape_model(aligned=aligned)
    shapes = faces(32, seed=2)
    random = np.random.default_rng(3)
    # From a complete shape to one without any point.
    visible = (random.random((32, 68)) > np.linspace(0, 1.01, 32)[:, None]).astype(np.float32)
    visible[0], visible[-1] = 1, 0
    shapes[visible == 0] = np.nan
    smoothed = AsmOperator(model)(tf.constant(shapes), tf.constant(visible)).numpy()
    assert np.isfinite(smoothed).all()
    # With few points the solved system's condition reaches 1e6: 1e-16 x 1e6 in float64, and the
    # float32 rounding of far-away points.
    np.testing.assert_allclose(smoothed, model.smooth(shapes, visible), rtol=1e-6, atol=ROUNDING)


def test_an_aligned_operator_commutes_with_rotation_scale_and_shift() -> None:
    operator = AsmOperator(shape_model(aligned=True))
    shapes = faces(8, seed=4)
    batch, identity = batch_of(shapes, transform=turned(45, scale=1.3)), np.arange(68)
    moved_first = operator(move_labels(shapes, batch, identity))
    moved_last = move_labels(operator(shapes), batch, identity)
    np.testing.assert_allclose(moved_first, moved_last, atol=1e-6)


def test_the_operator_works_eagerly_in_a_function_in_tf_data_and_under_mixed_precision() -> None:
    operator = AsmOperator(shape_model())
    shapes = tf.constant(faces(6, seed=5))
    eager = operator(shapes)
    compiled = tf.function(operator, input_signature=[tf.TensorSpec([None, 68, 2])])(shapes)
    mapped = next(iter(tf.data.Dataset.from_tensor_slices(shapes).batch(6).map(operator)))
    half = operator(tf.cast(shapes, tf.float16))
    np.testing.assert_allclose(compiled, eager, atol=ROUNDING)
    np.testing.assert_allclose(mapped, eager, atol=ROUNDING)
    assert half.dtype == tf.float32
    # float16 inputs below 0.5 are rounded by up to 1.2e-4; smoothing averages, it does not enlarge.
    np.testing.assert_allclose(half, eager, atol=3e-4)


# --- moving ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [-45.0, 0.0, 45.0])
@pytest.mark.parametrize("mirror", [False, True])
def test_the_smoothed_truth_moves_with_the_truth(degrees: float, mirror: bool) -> None:
    model = shape_model()
    loss = AsmLoss("asm", scheme=SCHEME_68, operator=AsmOperator(model))
    upright = faces(8, seed=6)
    transform = turned(degrees, scale=1.2, mirror=mirror)
    batch = batch_of(upright, transform=transform, flipped=mirror)

    def moved_by_hand(points: NDArray[np.float32]) -> NDArray[np.float32]:
        points = points[:, SCHEME_68.mirror] if mirror else points
        return points @ transform[:, :2].T + transform[:, 2]

    truth, labelled = loss.truth(batch)
    np.testing.assert_allclose(truth, moved_by_hand(upright), atol=1e-6)
    np.testing.assert_allclose(
        loss.smoothed(batch), moved_by_hand(model.smooth(upright)), atol=1e-6
    )
    assert labelled.numpy().all()
    # So A is as near to G as upright, times the crop's change of scale.
    upright_distance = np.abs(model.smooth(upright) - upright).max()
    assert np.abs(loss.smoothed(batch) - truth).max() < 2 * 1.2 * upright_distance


def test_labels_swap_with_their_points() -> None:
    visible = np.ones((1, 68), np.float32)
    visible[0, :17] = 0
    visible[0, 16] = 1  # of the jaw only the image's right end is seen
    upright = faces(1)
    upright[visible == 0] = np.nan
    batch = batch_of(upright, transform=turned(0, mirror=True), flipped=True, visible=visible)
    truth, labelled = AsmLoss("mse", scheme=SCHEME_68).truth(batch)
    assert labelled.numpy()[0, :17].tolist() == [True] + [False] * 16
    assert np.isfinite(truth).all()


# --- the terms ----------------------------------------------------------------------------------


def test_an_error_of_a_tenth_in_x_alone_costs_half_a_hundredth() -> None:
    upright = faces(4)
    terms = AsmLoss("mse", scheme=SCHEME_68).terms(
        batch_of(upright), predicted(upright + np.array([0.1, 0.0])), alpha=2.0
    )
    # Per coordinate: (0.1^2 + 0^2) / 2.
    np.testing.assert_allclose(terms["mse"], 0.005, rtol=1e-5)
    np.testing.assert_allclose(terms["landmark"], terms["mse"])
    np.testing.assert_allclose(terms["total"], terms["mse"])


def test_the_total_is_mse_plus_alpha_asm_plus_half_the_pose() -> None:
    model = shape_model()
    upright = faces(4, seed=7)
    pose = np.full((4, 3), 90, np.float32)  # predicted as 0: an error of 1 per angle
    prediction = upright + 0.01
    terms = AsmLoss("asm", scheme=SCHEME_68, operator=AsmOperator(model)).terms(
        batch_of(upright, pose=pose), predicted(prediction), alpha=tf.constant(2.0)
    )
    mse = np.mean((prediction - upright) ** 2)
    asm = np.mean((prediction - model.smooth(upright)) ** 2)
    np.testing.assert_allclose(terms["mse"], mse, rtol=1e-4)
    np.testing.assert_allclose(terms["asm"], asm, rtol=1e-4)
    np.testing.assert_allclose(terms["pose"], 1.0, rtol=1e-6)
    np.testing.assert_allclose(terms["total"], mse + 2 * asm + 0.5, rtol=1e-5)
    extra = {"uncertainty", "visibility"}  # outputs that the network does not have
    assert set(terms) == set(TERM_UNITS) - extra


def test_mse_with_a_shape_model_reports_the_asm_term_but_does_not_add_it() -> None:
    upright = faces(2)
    terms = AsmLoss("mse", scheme=SCHEME_68, operator=AsmOperator(shape_model())).terms(
        batch_of(upright), predicted(upright), alpha=2.0
    )
    assert terms["asm"] > 0
    np.testing.assert_allclose(terms["total"], 0, atol=1e-12)


def test_missing_points_do_not_count_and_each_face_weighs_the_same() -> None:
    upright = faces(2)
    visible = np.ones((2, 68), np.float32)
    visible[1, 1:] = 0  # one labelled point
    upright[1, 1:] = np.nan
    prediction = np.nan_to_num(upright)
    prediction[0] += 0.1  # 68 points wrong by 0.1: 0.01
    prediction[1, 0] += 0.3  # the only labelled one, wrong by 0.3: 0.09
    prediction[1, 1:] = 77  # not labelled: anything
    terms = AsmLoss("mse", scheme=SCHEME_68).terms(
        batch_of(upright, visible=visible), predicted(prediction), alpha=0
    )
    np.testing.assert_allclose(terms["mse"], (0.01 + 0.09) / 2, rtol=1e-5)


def test_halves_of_a_batch_average_to_the_whole_batch() -> None:
    upright = faces(8)
    visible = (np.random.default_rng(0).random((8, 68)) > 0.4).astype(np.float32)
    pose = np.where(np.arange(24).reshape(8, 3) % 5, 10.0, np.nan).astype(np.float32)
    loss = AsmLoss("asm", scheme=SCHEME_68, operator=AsmOperator(shape_model()))

    def total(part: slice) -> float:
        batch = batch_of(upright[part], visible=visible[part], pose=pose[part])
        return float(loss.terms(batch, predicted(0.9 * upright[part]), alpha=1.0)["total"])

    halves = (total(slice(0, 4)) + total(slice(4, 8))) / 2
    assert halves == pytest.approx(total(slice(0, 8)), rel=1e-5)


def test_pose_errors_are_in_units_of_90_degrees_and_unknown_angles_are_left_out() -> None:
    pose = tf.constant([[9.0, 18.0, math.nan], [math.nan] * 3])
    # First picture: (0.1^2 + 0.2^2) / 2 = 0.025; the second has no label and counts as 0.
    np.testing.assert_allclose(pose_term(pose, tf.zeros([2, 3])), 0.0125, rtol=1e-5)


def test_gradients_are_finite_and_zero_for_what_has_no_label() -> None:
    upright = faces(2)
    visible = np.ones((2, 68), np.float32)
    visible[0, 5] = 0
    visible[1] = 0
    upright[visible == 0] = np.nan
    pose = np.array([[1, 2, math.nan], [math.nan] * 3], np.float32)
    for name in LOSSES:
        loss = AsmLoss(name, scheme=SCHEME_68, operator=AsmOperator(shape_model()))
        landmarks, angles = tf.zeros([2, 136]), tf.zeros([2, 3])
        with tf.GradientTape() as tape:
            tape.watch([landmarks, angles])
            prediction = {"landmarks": landmarks, "pose": angles}
            batch = batch_of(upright, visible=visible, pose=pose)
            total = loss.terms(batch, prediction, alpha=2.0)["total"]
        by_landmark, by_angle = tape.gradient(total, [landmarks, angles])
        by_landmark = by_landmark.numpy().reshape(2, 68, 2)
        assert np.isfinite(total), name
        assert np.isfinite(by_landmark).all(), name
        assert (by_landmark[visible == 0] == 0).all(), name
        assert (by_landmark[visible == 1] != 0).any(), name
        assert (by_angle.numpy() == 0).tolist() == [[False, False, True], [True] * 3], name


def test_smooth_l1_counts_in_eye_distances_whatever_the_crop_scale() -> None:
    upright = faces(3)
    far = 0.5 * EYE_DISTANCE  # half an eye distance: on the straight part
    for scale in (1.0, 0.7):
        transform = turned(0, scale=scale)
        moved = upright @ transform[:, :2].T + transform[:, 2]
        terms = AsmLoss("smooth_l1", scheme=SCHEME_68).terms(
            batch_of(upright, transform=transform), predicted(moved + far * scale), alpha=0
        )
        np.testing.assert_allclose(terms["landmark"], 0.5 - SMOOTH_L1_BEND / 2, rtol=1e-4)


def test_half_precision_predictions_are_compared_in_float32() -> None:
    upright = faces(2)
    prediction = {key: tf.cast(v, tf.float16) for key, v in predicted(upright).items()}
    terms = AsmLoss("mse", scheme=SCHEME_68).terms(batch_of(upright), prediction, alpha=1)
    assert {value.dtype for value in terms.values()} == {tf.float32}


def test_terms_are_the_same_inside_a_function() -> None:
    loss = AsmLoss("asm", scheme=SCHEME_68, operator=AsmOperator(shape_model()))
    upright = faces(4)
    batch = batch_of(upright, transform=turned(20, mirror=True), flipped=True)
    eager = loss.terms(batch, predicted(upright), 2.0)
    compiled = tf.function(loss.terms)(batch, predicted(upright), tf.constant(2.0))
    for name, value in eager.items():
        np.testing.assert_allclose(compiled[name], value, rtol=1e-5)


def test_wrong_choices_are_refused() -> None:
    with pytest.raises(
        UsageError, match="expected a loss of asm, mse, smooth_l1, asm_smooth_l1; got 'wing'"
    ):
        AsmLoss("wing", scheme=SCHEME_68)
    with pytest.raises(UsageError, match="'asm' needs a shape model"):
        AsmLoss("asm", scheme=SCHEME_68)
    with pytest.raises(UsageError, match="shape model of 98 points, got 68"):
        AsmLoss("asm", scheme=SCHEME_98, operator=AsmOperator(shape_model()))
    with pytest.raises(UsageError, match="needs a shape model"):
        AsmLoss("mse", scheme=SCHEME_68).smoothed(batch_of(faces(1)))


def test_the_catalogue_names_every_loss() -> None:
    assert list(catalogue.LOSSES) == list(LOSSES)
