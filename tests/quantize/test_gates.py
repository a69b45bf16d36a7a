"""Gates say which measure was missed as a fact, beside the words for the user."""

import re

import numpy as np
import pytest

from asmnet_kit.measure.drift import PixelDrift
from asmnet_kit.quantize.gates import Gates

LANDMARKS = np.zeros((4, 68, 2), np.float32)
MOVED = PixelDrift.between(
    LANDMARKS, LANDMARKS + np.float32([0.03, 0.04]), size=100
)  # 5 pixels each


@pytest.mark.parametrize(
    ("gates", "by_drift", "reason"),
    [
        (Gates(max_nme_increase=0.5), False, "from 4.000 % to 5.000 %, .*-increase allows 0.5"),
        (Gates(max_pixel_drift=4.5), True, "by 5.000 pixels .*--max-pixel-drift allows 4.5"),
        (Gates(max_nme_increase=0.5, max_pixel_drift=4.5), False, "1.000 percentage points"),
        (Gates(max_nme_increase=2, max_pixel_drift=4.5), True, "5.000 pixels"),
    ],
)
@pytest.mark.parametrize("recipe", ["ptq_w8a8", "of_my_own_drift"])
def test_a_missed_gate_is_told_as_a_fact_whatever_the_words(
    gates: Gates, by_drift: bool, reason: str, recipe: str
) -> None:
    missed = gates.missed(recipe=recipe, float_nme_percent=4.0, nme_percent=5.0, drift=MOVED)
    assert missed is not None and missed.by_drift is by_drift
    assert re.search(reason, missed.reason)


def test_gates_that_hold_and_none_at_all_are_passed() -> None:
    for gates in (Gates(), Gates(max_nme_increase=1.0, max_pixel_drift=5.1)):
        measured = {"float_nme_percent": 4.0, "nme_percent": 5.0, "drift": MOVED}
        assert gates.missed(recipe="ptq_w8a8", **measured) is None
