"""The active shape model: exact one-pass PCA, the operator of Eq. 2-4, files, plausibility."""

import io

import numpy as np
import pytest

from asmnet_kit.base.errors import DatasetError, ModelError, UsageError
from asmnet_kit.face.boxes import CROP_SCALE
from asmnet_kit.face.generic_face import GENERIC_FACE_68
from asmnet_kit.face.pose import rotation_matrix
from asmnet_kit.face.shape_model.file import load_shape_model, save_shape_model
from asmnet_kit.face.shape_model.fit import ShapeAccumulator

TRIANGLE = np.array([[-0.3, -0.2], [0.3, -0.2], [0.0, 0.4]])


def random_shapes(count, *, seed=0, points=5, spread=0.05, offset=0.0):
    """Shapes with a few strong and many weak directions of variation."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(99).normal(size=(2 * points, 2 * points))
    strength = spread * 0.5 ** np.arange(2 * points)
    mean = np.random.default_rng(98).uniform(-0.4, 0.4, 2 * points)
    shapes = offset + mean + rng.normal(size=(count, 2 * points)) * strength @ directions
    return shapes.reshape(count, points, 2)


def fitted(shapes, kept_variance=0.9, **options):
    accumulator = ShapeAccumulator(shapes.shape[1], **options)
    accumulator.update(shapes)
    return accumulator.fit(kept_variance)


def boxed(shapes):
    """Each shape as fractions of its own landmark box's crop, as training shapes are."""
    low, high = shapes.min(axis=1, keepdims=True), shapes.max(axis=1, keepdims=True)
    return (shapes - (low + high) / 2) / (CROP_SCALE * (high - low).max(axis=2, keepdims=True))


def turned(shapes, degrees, *, scale=1.0, shift=(0.0, 0.0)):
    angle = np.radians(degrees)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return shapes @ matrix.T + np.asarray(shift)


def test_one_direction_of_variation_is_found_and_clamped_as_by_hand():
    """Only the second point's x varies: 0.3, 0.5, 0.7, so the variance is 0.04, 3 sigma 0.6."""
    shapes = np.array([[[0.0, 0.0], [x, 0.0]] for x in (0.3, 0.5, 0.7)])
    model = fitted(shapes)
    assert np.allclose(model.mean, [[0, 0], [0.5, 0]])
    assert np.allclose(model.components, [[0, 0, 1, 0]])
    assert np.allclose(model.eigenvalues, [0.04])
    assert np.allclose(model.explained_variance_ratio, [1.0])
    inside, beyond = [[0.1, 0.2], [0.9, 0.3]], [[0.0, 0.0], [2.5, 0.0]]
    # Inside: all but x of the second point is dropped. Beyond: 0.5 + clip(2.0, +-0.6) = 1.1.
    smoothed = model.smooth(np.array([inside, beyond]))
    assert np.allclose(smoothed, [[[0, 0], [0.9, 0]], [[0, 0], [1.1, 0]]], atol=1e-6)


def test_one_pass_in_batches_equals_the_pca_of_all_shapes_at_once():
    shapes = random_shapes(400)
    accumulator = ShapeAccumulator(5)
    for batch in np.split(shapes, [1, 30, 31, 200]):
        accumulator.update(batch)
    model = accumulator.fit(0.9)
    rows = shapes.reshape(400, -1)
    covariance = np.cov(rows, rowvar=False)
    eigenvalues = np.linalg.eigvalsh(covariance)[::-1]
    kept = int(np.searchsorted(np.cumsum(eigenvalues) / eigenvalues.sum(), 0.9)) + 1
    assert model.components.shape == (kept, 10)
    assert np.allclose(model.mean.ravel(), rows.mean(axis=0), atol=1e-7)
    assert np.allclose(model.eigenvalues, eigenvalues[:kept], rtol=1e-6)
    rebuilt = (model.components.T * model.eigenvalues) @ model.components
    residual = covariance - rebuilt
    assert np.allclose(np.linalg.eigvalsh(residual)[::-1][0], eigenvalues[kept], rtol=1e-3)


def test_merging_two_accumulators_equals_one_that_saw_everything():
    shapes = random_shapes(100)
    first, second, whole = (ShapeAccumulator(5) for _ in range(3))
    first.update(shapes[:30])
    second.update(shapes[30:])
    whole.update(shapes)
    first.merge(second)
    assert np.allclose(first.fit(1.0).eigenvalues, whole.fit(1.0).eigenvalues, rtol=1e-6)
    assert np.allclose(first.fit(1.0).mean, whole.fit(1.0).mean)


def test_a_large_mean_costs_no_precision():
    """A sum of squares would lose 2 x 6 of float64's 16 digits to a mean 1e6 times the spread."""
    near, far = (fitted(random_shapes(300, offset=offset)) for offset in (0.0, 5e4))
    assert np.allclose(near.eigenvalues, far.eigenvalues, rtol=1e-5)


@pytest.mark.parametrize("kept_variance", [0.5, 0.85, 0.9, 0.97, 1.0])
def test_the_fewest_components_with_the_asked_variance_are_kept(kept_variance):
    model = fitted(random_shapes(300), kept_variance)
    ratio = model.explained_variance_ratio.astype(float)
    assert ratio.sum() >= kept_variance - 1e-6
    assert ratio[:-1].sum() < kept_variance
    gram = model.components @ model.components.T
    assert np.allclose(gram, np.eye(len(gram)), atol=1e-6)


def test_components_without_variance_are_dropped_even_when_everything_is_kept():
    """Three shapes span two directions, whatever the number of coordinates."""
    assert len(fitted(random_shapes(3), 1.0).components) == 2


def test_incomplete_shapes_are_counted_and_left_out_of_the_pca():
    shapes = random_shapes(50)
    holed = shapes.copy()
    holed[7, 2] = np.nan
    accumulator = ShapeAccumulator(5)
    accumulator.update(holed)
    assert (accumulator.count, accumulator.incomplete) == (49, 1)
    without = fitted(np.delete(shapes, 7, axis=0))
    assert np.allclose(accumulator.fit().eigenvalues, without.eigenvalues)


def test_smoothing_twice_is_smoothing_once():
    model = fitted(random_shapes(200))
    smoothed = model.smooth(random_shapes(10, seed=1))
    assert np.allclose(model.smooth(smoothed), smoothed, atol=1e-6)


def test_a_complete_shape_gets_the_plain_projection_with_or_without_a_mask():
    model = fitted(random_shapes(200))
    shapes = random_shapes(10, seed=1)
    b = (shapes - model.mean).reshape(10, -1) @ model.components.T
    limit = 3 * np.sqrt(model.eigenvalues)
    plain = model.mean + (np.clip(b, -limit, limit) @ model.components).reshape(10, 5, 2)
    assert np.allclose(model.smooth(shapes), plain, atol=1e-6)
    assert np.array_equal(model.smooth(shapes), model.smooth(shapes, np.ones((10, 5), np.float32)))


def test_a_hidden_point_of_a_shape_of_the_model_is_found_from_the_visible_ones():
    model = fitted(random_shapes(200))
    shape = model.smooth(random_shapes(1, seed=3))
    holed = shape.copy()
    holed[0, 1] = np.nan
    # The prior's share is 0.01 x 1/5 on top of what four of five points say: well below 1 % of b.
    limit = 0.01 * np.abs(shape - model.mean).max()
    assert np.abs(model.smooth(holed) - shape).max() < limit
    masked = model.smooth(shape, np.array([[1, 0, 1, 1, 1]]))
    assert np.allclose(masked, model.smooth(holed))


def test_what_a_hidden_point_holds_does_not_matter():
    model = fitted(random_shapes(200))
    shape = random_shapes(1, seed=3)
    other = shape.copy()
    other[0, 4] = 1e6
    visible = np.array([[1, 1, 1, 1, 0]])
    assert np.array_equal(model.smooth(shape, visible), model.smooth(other, visible))


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("visible_points", [0, 1, 2])
def test_hardly_any_visible_points_still_give_a_finite_shape(aligned, visible_points):
    options = {"aligned": True, "reference": random_shapes(1)[0]} if aligned else {}
    model = fitted(random_shapes(200), 1.0, **options)
    shape = random_shapes(1, seed=4)
    shape[0, visible_points:] = np.nan
    smoothed = model.smooth(shape)
    assert np.isfinite(smoothed).all()
    assert np.abs(smoothed).max() < 3
    if not visible_points:
        assert np.allclose(smoothed[0], model.mean, atol=1e-6)


@pytest.mark.parametrize("degrees", [-45, 30, 180])
def test_an_aligned_model_smooths_a_turned_shape_to_the_turned_result(degrees):
    """ASM(T G) = T ASM(G) for any rotation, scale and shift T, also where points are missing."""
    model = fitted(random_shapes(200), aligned=True, reference=random_shapes(1)[0])
    shapes = random_shapes(10, seed=1)
    shapes[4:, 3] = np.nan
    moved = turned(shapes, degrees, scale=3.0, shift=(5, -2))
    expected = turned(model.smooth(shapes), degrees, scale=3.0, shift=(5, -2))
    assert np.allclose(model.smooth(moved), expected, atol=1e-5)


def test_an_aligned_model_does_not_see_how_its_training_shapes_were_turned():
    shapes, reference = random_shapes(100), random_shapes(1)[0]
    rng = np.random.default_rng(5)
    scattered = np.concatenate(
        [turned(shape[None], rng.uniform(-40, 40), shift=rng.normal(size=2)) for shape in shapes]
    )
    upright = fitted(shapes, aligned=True, reference=reference)
    mixed = fitted(scattered, aligned=True, reference=reference)
    assert np.allclose(upright.eigenvalues, mixed.eigenvalues, rtol=1e-4)
    again = upright.smooth(upright.smooth(scattered))
    assert np.allclose(again, upright.smooth(scattered), atol=1e-6)


@pytest.mark.parametrize("aligned", [False, True])
def test_a_saved_model_loads_equal_and_holds_no_pickle(tmp_path, aligned):
    options = {"aligned": True, "reference": random_shapes(1)[0]} if aligned else {}
    model = fitted(random_shapes(50), **options)
    path = tmp_path / "shape_model.npz"
    save_shape_model(model, path)
    loaded = load_shape_model(path)
    shapes = random_shapes(5, seed=1)
    assert np.array_equal(loaded.smooth(shapes), model.smooth(shapes))
    assert (loaded.points, loaded.aligned) == (5, aligned)
    assert loaded.total_variance == model.total_variance
    with np.load(path, allow_pickle=False) as archive:
        contract = {"mean", "components", "eigenvalues", "explained_variance_ratio", "scheme"}
        assert contract <= set(archive.files)


def damage(path, **changes):
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    arrays.update(changes)
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": None}, "missing: mean"),
        ({"scheme": np.int64(68)}, "scheme should be 5"),
        ({"components": np.zeros((2, 9))}, "components should be"),
        ({"explained_variance_ratio": np.ones((1, 1))}, "explained_variance_ratio should be"),
        ({"eigenvalues": np.array([np.nan])}, "finite"),
        ({"mean": np.array([["a", "b"]])}, "floating-point"),
        ({"mean": np.array([None])}, "pickle"),
    ],
)
def test_a_damaged_file_is_refused_with_the_reason(tmp_path, changes, message):
    path = tmp_path / "shape_model.npz"
    save_shape_model(fitted(random_shapes(50)), path)
    damage(path, **changes)
    with pytest.raises(ModelError, match=message):
        load_shape_model(path)


def test_rows_that_are_not_orthonormal_are_refused(tmp_path):
    path = tmp_path / "shape_model.npz"
    model = fitted(random_shapes(50))
    save_shape_model(model, path)
    damage(path, components=model.components * 1.1)
    with pytest.raises(ModelError, match="orthonormal"):
        load_shape_model(path)


def test_a_truncated_or_foreign_file_is_refused(tmp_path):
    path = tmp_path / "shape_model.npz"
    save_shape_model(fitted(random_shapes(50)), path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ModelError, match="expected a shape model"):
        load_shape_model(path)
    plain = io.BytesIO()
    np.save(plain, np.zeros(3))
    for content in (b"", b"text", plain.getvalue()):
        path.write_bytes(content)
        with pytest.raises(ModelError):
            load_shape_model(path)
    with pytest.raises(ModelError, match="no such"):
        load_shape_model(tmp_path / "nowhere.npz")


def test_wrong_input_is_refused_with_what_was_expected():
    accumulator = ShapeAccumulator(5)
    with pytest.raises(DatasetError, match=r"expected shapes \[B, 5, 2\], got \[3, 4, 2\]"):
        accumulator.update(np.zeros((3, 4, 2)))
    with pytest.raises(DatasetError, match="at least 2 faces"):
        accumulator.fit()
    accumulator.update(np.ones((3, 5, 2)))
    with pytest.raises(DatasetError, match="equal"):
        accumulator.fit()
    with pytest.raises(UsageError, match="kept variance"):
        accumulator.fit(0.0)


def test_plausibility_is_one_inside_the_shape_space_and_low_for_noise():
    model = fitted(boxed(random_shapes(500, spread=0.02)), 0.97)
    faces = random_shapes(50, seed=1, spread=0.02)
    noise = np.random.default_rng(2).uniform(-0.4, 0.4, (50, 5, 2))
    good, bad = model.plausibility(faces), model.plausibility(noise)
    assert good.min() >= 0 and good.max() <= 1
    assert np.median(good) > 0.9
    assert np.median(bad) < 0.5
    assert good.min() > np.median(bad)


def test_plausibility_counts_only_what_lies_within_three_standard_deviations():
    """Points 1 and 2 span the box, 1.2 x its side the crop: x0 = 0 +- sigma is all that varies.

    The third point sits at x of the box's middle plus 0.3, 0.0, -0.3 / 1.2: sigma 0.25, limit 0.75.
    A shape cannot leave its box, so 0.5 / 1.2 is inside the limit; y is outside the shape space.
    """
    low, high = -0.5 / CROP_SCALE, 0.5 / CROP_SCALE
    shapes = np.array([[[low, low], [high, high], [x, 0.0]] for x in (-0.25, 0.0, 0.25)])
    model = fitted(shapes, 1.0)
    asked = np.array(
        [
            [[low, low], [high, high], [0.4, 0.0]],  # all inside
            [[low, low], [high, high], [0.0, 0.4]],  # all outside
            [[low, low], [high, high], [0.4, 0.4]],  # half and half
        ]
    )
    assert np.allclose(model.plausibility(100 * asked + 7), [1.0, 0.0, 0.5], atol=1e-6)


def test_a_shape_without_extent_has_no_plausibility():
    model = fitted(random_shapes(50))
    shapes = np.zeros((2, 5, 2))
    shapes[1] = np.nan
    assert np.array_equal(model.plausibility(shapes), [0.0, 0.0])


@pytest.mark.parametrize("points", [68, 98])
def test_without_a_reference_shapes_are_aligned_to_the_generic_face(points):
    accumulator = ShapeAccumulator(points, aligned=True)
    face = accumulator.reference
    assert np.isclose((face.max(axis=0) - face.min(axis=0)).max(), 1 / CROP_SCALE)
    rng = np.random.default_rng(0)
    shapes = face + rng.normal(0, 0.02, (50, points, 2))
    accumulator.update(turned(shapes, 35, scale=2.0, shift=(1, 2)))
    assert np.abs(accumulator.fit().mean - face).max() < 0.02


def smoothing_errors(points):
    """|ASM(G) - G| in percent of the eye distance: upright, at 30, at 45 degrees, aligned at 45."""
    shapes = boxed(points)
    eye_distance = np.linalg.norm(shapes[:, 36] - shapes[:, 45], axis=1)

    def error(model, degrees):
        moved = turned(shapes, degrees)
        distance = np.linalg.norm(model.smooth(moved) - moved, axis=2).mean(axis=1)
        return 100 * (distance / eye_distance).mean()

    plain, aligned = fitted(shapes), fitted(shapes, aligned=True)
    assert error(aligned, 45) == pytest.approx(error(aligned, 0), abs=0.01)
    return [error(plain, degrees) for degrees in (0, 30, 45)]


def test_smoothing_degrades_under_rotation_unless_aligned():
    """Generic faces, turned by up to 20 degrees about each axis, each point 2 mm off."""
    rng = np.random.default_rng(7)
    faces = [
        GENERIC_FACE_68 @ rotation_matrix(*rng.uniform(-20, 20, 3)).T
        + rng.normal(0, 2, GENERIC_FACE_68.shape)
        for _ in range(400)
    ]
    upright, leaning, far = smoothing_errors(np.array(faces)[..., :2])
    assert upright < 0.5 * leaning < 0.5 * far


def test_smoothing_of_300w_shapes_degrades_as_the_documents_say(shared):
    points = np.load(shared / "data" / "300w_train_shapes.npz")["points"].astype(np.float64)
    upright, leaning, far = smoothing_errors(points)
    assert upright == pytest.approx(5, abs=0.5)
    assert leaning == pytest.approx(13, abs=1)
    assert far == pytest.approx(25, abs=1.5)
