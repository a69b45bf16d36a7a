"""Calibration crops are checked, ranges averaged, drift named."""

import numpy as np
import pytest
import tf_keras

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.quantize.command import ranges_line
from asmnet_kit.quantize.ranges.calibrate import Drift, collect_crops, doubts, drifts, layer_ranges


def batches(*values: int) -> list[dict[str, np.ndarray]]:
    return [{"image": np.full((4, 8, 8, 3), value, np.uint8)} for value in values]


def test_crops_hold_the_darkest_and_brightest_value_once() -> None:
    crops = collect_crops(batches(100, 120, 140), 6, input_size=8)
    assert crops.shape == (6, 8, 8, 3)
    assert (crops.min(), crops.max()) == (0, 255)
    assert (crops == 0).sum() == (crops == 255).sum() == 3  # one pixel each
    assert set(np.unique(crops[4:])) == {120}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "no usable faces"),
        ([{"image": np.zeros((4, 8, 8, 1), np.uint8)}], r"got uint8 \[4, 8, 8, 1\]"),
        ([{"image": np.zeros((4, 8, 8, 3), np.float32)}], "got float32"),
        (batches(7), "single value 7"),
    ],
)
def test_data_that_would_give_meaningless_ranges_is_refused(
    given: list[dict[str, np.ndarray]], message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        collect_crops(given, 4, input_size=8)


def test_a_range_is_the_average_of_batch_extremes_and_holds_zero() -> None:
    """A flat crop of value v is (v - 128) / 128: 0, 0.5 and 0.75 for 128, 192 and 224."""
    image = tf_keras.Input((8, 8, 3))
    model = tf_keras.Model(image, tf_keras.layers.Flatten(name="flat")(image))
    crops = np.concatenate([batch["image"] for batch in batches(192, 224)])
    assert layer_ranges(model, ["flat"], crops, batch=4) == {"flat": (0.0, 0.625)}
    assert layer_ranges(model, ["flat"], crops, whole=["flat"], batch=4) == {"flat": (0.0, 0.75)}


def test_drift_is_the_larger_move_as_a_share_of_the_width() -> None:
    before = {"a": (-1.0, 1.0), "b": (0.0, 4.0)}
    after = {"a": (-1.1, 1.5), "b": (0.0, 4.2)}
    found = drifts(before, after)
    assert [drift.layer for drift in found] == ["a", "b"]
    np.testing.assert_allclose([drift.share for drift in found], [0.25, 0.05])


def test_ranges_are_called_settled_only_when_they_hardly_moved() -> None:
    settled = ranges_line(Drift("stem", 0.049))
    assert settled == (
        "ranges: in the last epoch the farthest moved by 4.9% of its width (stem): settled"
    )
    moving = ranges_line(Drift("stem", 0.4))
    assert "40.0%" in moving and "settled" not in moving
    assert "use more --epochs" in moving


def faces(red: int, green: int, blue: int) -> np.ndarray:
    """Four crops of skin of one colour, with some noise."""
    noise = np.random.default_rng(0).integers(-8, 9, (4, 16, 16, 3))
    return (np.array([red, green, blue]) + noise).clip(0, 255).astype(np.uint8)


def test_ordinary_faces_raise_no_doubts_but_swapped_channels_do() -> None:
    skin = faces(190, 140, 110)
    assert doubts(skin) == []
    (doubt,) = doubts(skin[..., ::-1])
    assert "bluer (190) than red (110)" in doubt
    (doubt,) = doubts(faces(240, 236, 232))
    assert "mean value of 236" in doubt


def test_pictures_scaled_to_one_are_refused() -> None:
    scaled = np.random.default_rng(0).integers(0, 2, (4, 8, 8, 3)).astype(np.uint8)
    with pytest.raises(DatasetError, match="none above 1 in 4 crops"):
        collect_crops([{"image": scaled}], 4, input_size=8)
