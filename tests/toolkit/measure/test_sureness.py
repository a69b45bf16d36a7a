"""Figures of how right a model is about itself, on numbers that can be checked by hand."""

import numpy as np
import pytest

from asmnet_kit.face.schemes import SCHEME_68
from asmnet_kit.measure.sureness import SureFaces, Visibility


def faces(seen: np.ndarray, visible: np.ndarray) -> SureFaces:
    unknown = np.full(seen.shape, np.nan)
    return SureFaces(
        distance=unknown,
        sigma=unknown,
        eyes=unknown[:, 0],
        expected=unknown[:, 0],
        confidence=unknown[:, 0],
        seen=seen,
        visible=visible,
    )


def test_hidden_points_are_ranked_within_each_part_too() -> None:
    """A jaw that is called hidden though it is seen spoils the whole, not the other parts."""
    seen, visible = np.ones((1, 68)), np.full((1, 68), 0.9)
    visible[0, :17] = 0.2  # the jaw
    seen[0, [17, 18]], visible[0, [17, 18]] = 0, 0.5  # of the five points of a brow
    seen[0, 36], visible[0, 36] = 0, 0.95  # of the six points of an eye
    seen[0, 60] = np.nan
    found = Visibility.of(faces(seen, visible), SCHEME_68)
    assert (found.points, found.hidden) == (67, 3)
    brow, eye = (next(p for p, i in SCHEME_68.parts.items() if point in i) for point in (17, 36))
    assert found.auroc_by_part[brow] == 1.0
    assert found.auroc_by_part[eye] == 0.0
    assert found.auroc_by_part["jaw"] is None
    # Of 64 seen points 47 lie above the brow's two, and none above the eye's.
    assert found.auroc == pytest.approx((2 * 47 + 0) / (3 * 64))


def test_nothing_is_said_of_points_of_which_nothing_is_known() -> None:
    unknown = np.full((2, 68), np.nan)
    assert Visibility.of(faces(unknown, np.ones((2, 68))), SCHEME_68) is None
    assert Visibility.of(faces(np.ones((2, 68)), unknown), SCHEME_68) is None
