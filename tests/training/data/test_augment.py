"""Pixels, landmarks and pose move together, and depend on (seed, epoch, face, showing) alone."""

from dataclasses import replace

import numpy as np
import pytest

from asmnet_kit.face.crop import Crop
from asmnet_kit.face.schemes import SCHEME_68
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.training.batch import move_labels
from asmnet_kit.training.data.augment import (
    NO_AUGMENTATION,
    AugmentRanges,
    change_pixels,
    cut,
    draw_transform,
    generator,
    similarity,
)

CROP = Crop(centre=(50.0, 40.0), side=60.0, size=60)
NOWHERE = np.zeros(2)


def moved(point: tuple[float, float], transform: np.ndarray) -> np.ndarray:
    return transform[:, :2] @ np.array(point) + transform[:, 2]


def test_without_augmentation_the_crop_is_the_one_of_inference() -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 100, 3), np.uint8)
    moved_crop = draw_transform(NO_AUGMENTATION, generator(0, 0, 0))
    np.testing.assert_array_equal(moved_crop.matrix, [[1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(cut(image, CROP, moved_crop.matrix), CROP.cut(image))
    crop = CROP.cut(image)
    np.testing.assert_array_equal(change_pixels(crop, NO_AUGMENTATION, generator(0, 0, 0)), crop)


def test_a_quarter_turn_is_clockwise_in_the_image() -> None:
    """The right (1, 0) goes to the bottom (0, 1), since y points down."""
    turn = similarity(flipped=False, roll_deg=90, zoom=1, shift=NOWHERE)
    np.testing.assert_allclose(moved((1, 0), turn), [0, 1], atol=1e-7)
    np.testing.assert_allclose(moved((0, 1), turn), [-1, 0], atol=1e-7)


def test_the_mirror_comes_before_the_turn() -> None:
    """(1, 0) is mirrored to (-1, 0), which a clockwise quarter turn takes to (0, -1)."""
    both = similarity(flipped=True, roll_deg=90, zoom=2, shift=np.array([0.5, 0.25]))
    np.testing.assert_allclose(moved((1, 0), both), [0.5, -2 + 0.25], atol=1e-6)


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("roll_deg", [-45.0, 0.0, 30.0])
def test_pixels_go_where_the_transform_says(flipped: bool, roll_deg: float) -> None:
    """A bright blob's centre of mass is found where its landmark is moved to.

    The blob covers 5 x 5 pixels, so bilinear sampling keeps its centre to far below 0.1 px.
    """
    image = np.zeros((90, 100, 3), np.uint8)
    image[28:33, 58:63] = 255  # centred on (60, 30)
    transform = similarity(
        flipped=flipped, roll_deg=roll_deg, zoom=1.1, shift=np.array([0.03, -0.05])
    )
    crop = cut(image, CROP, transform)[..., 0].astype(float)
    y, x = np.indices(crop.shape)
    found = np.array([(x * crop).sum(), (y * crop).sum()]) / crop.sum()
    fractions = CROP.to_fractions(np.array([60.0, 30.0], np.float32))
    expected = CROP.size * moved(tuple(fractions), transform) + (CROP.size - 1) / 2
    np.testing.assert_allclose(found, expected, atol=0.1)


def test_a_mirrored_face_has_its_pairs_swapped_by_the_scheme() -> None:
    """Whose right eye is shut has a shut left eye in the mirror: under the left eye's numbers.

    Landmarks 36 and 39 are the corners of the right eye, 42 and 45 of the left one, 8 is the chin.
    """
    upright = generic_reference(68)
    mirrored = draw_transform(replace(NO_AUGMENTATION, flip=1.0), generator(0, 0, 0))
    batch = {"transform": mirrored.matrix[None], "flipped": [mirrored.flipped]}
    labels = move_labels(upright[None], batch, SCHEME_68.mirror).numpy()[0]
    for landmark, counterpart in ((36, 45), (45, 36), (39, 42), (42, 39), (8, 8)):
        x, y = upright[counterpart]
        np.testing.assert_allclose(labels[landmark], [-x, y], atol=1e-7)
    # The right eye stays on the image's left.
    assert labels[36, 0] < labels[39, 0] < 0 < labels[42, 0] < labels[45, 0]


def test_pose_follows_mirror_and_turn() -> None:
    ranges = replace(NO_AUGMENTATION, flip=1.0, rotation=1.0)
    moved_crop = draw_transform(ranges, generator(3, 0, 0))
    assert moved_crop.flipped
    pose = moved_crop.pose(np.array([20.0, 10.0, 5.0], np.float32))
    np.testing.assert_allclose(pose, [-20, 10, -5 + moved_crop.roll_deg], atol=1e-4)
    assert np.isnan(moved_crop.pose(np.full(3, np.nan, np.float32))).all()


def test_every_draw_stays_within_its_range() -> None:
    ranges = AugmentRanges()
    for index in range(300):
        moved_crop = draw_transform(ranges, generator(0, 0, index))
        zoom = np.sqrt(abs(np.linalg.det(moved_crop.matrix[:, :2])))
        # The zoom is 1 / side; float32 leaves 1e-6 of it.
        assert ranges.smallest_crop - 1e-5 <= 1 / zoom <= 1 / ranges.smallest_crop + 1e-5
        assert np.abs(moved_crop.matrix[:, 2]).max() <= 2 * ranges.shift
        assert abs(moved_crop.roll_deg) <= 2 * ranges.rotation_deg
        assert (np.linalg.det(moved_crop.matrix[:, :2]) < 0) == moved_crop.flipped


def test_the_same_seed_epoch_face_and_showing_give_the_same_picture_and_others_do_not() -> None:
    crop = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    everything = replace(
        AugmentRanges(), colour=1.0, blur=1.0, low=1.0, noise=1.0, occlusion=1.0, grey=0.0
    )
    first = change_pixels(crop, everything, generator(1, 2, 3, 4))
    np.testing.assert_array_equal(first, change_pixels(crop, everything, generator(1, 2, 3, 4)))
    for other in [(0, 2, 3, 4), (1, 0, 3, 4), (1, 2, 0, 4), (1, 2, 3, 0)]:
        assert (first != change_pixels(crop, everything, generator(*other))).any()


@pytest.mark.parametrize("change", ["colour", "grey", "occlusion", "low", "blur", "noise"])
def test_each_change_alone_alters_a_picture_and_keeps_its_shape_and_type(change: str) -> None:
    crop = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    before = crop.copy()
    changed = change_pixels(crop, replace(NO_AUGMENTATION, **{change: 1.0}), generator(0, 0, 1))
    assert changed.shape == crop.shape
    assert changed.dtype == np.uint8
    assert (changed != crop).any()
    np.testing.assert_array_equal(crop, before)  # the caller's picture is left alone


def test_noise_has_the_standard_deviation_it_was_asked_for() -> None:
    """12,288 samples: the estimate's own error is 1 / sqrt(2 n) = 0.6 %; rounding adds 1/12."""
    grey = np.full((64, 64, 3), 128, np.uint8)
    ranges = replace(NO_AUGMENTATION, noise=1.0, noise_levels=(8.0, 8.0))
    noisy = change_pixels(grey, ranges, generator(0, 0, 0)).astype(float)
    assert noisy.std() == pytest.approx(np.sqrt(8**2 + 1 / 12), rel=0.03)
    assert noisy.mean() == pytest.approx(128, abs=0.3)  # 8 / sqrt(12288) = 0.07
