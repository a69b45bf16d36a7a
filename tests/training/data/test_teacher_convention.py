"""A teacher's systematic error: learnt where there are labels, taken off everywhere."""

import numpy as np
import pytest
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.face.schemes import scheme_of
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.training.data.teacher_convention import learn_convention

N = 68
SCHEME = scheme_of(N)
CHIN, LOWER_LIP = 8, 57
Shapes = NDArray[np.float64]


def faces(count: int) -> tuple[Shapes, NDArray[np.float64], NDArray[np.complex128]]:
    """Faces that open their mouths and jaws, anywhere in pictures: points, openness, similarity.

    A point x + iy of the face's own frame lies at ``similarity`` times it in the picture.
    """
    random = np.random.default_rng(0)
    openness = random.uniform(-1, 1, count)
    upright = np.repeat(generic_reference(N)[None].astype(np.float64), count, axis=0)
    upright += random.normal(0, 0.0005, upright.shape)
    upright[:, [CHIN, LOWER_LIP], 1] += 0.1 * openness[:, None]
    turn = random.uniform(50, 300, count) * np.exp(1j * random.uniform(-0.5, 0.5, count))
    return turned_by(upright, turn), openness, turn


def turned_by(vectors: Shapes, turn: NDArray[np.complex128]) -> Shapes:
    moved = (vectors[..., 0] + 1j * vectors[..., 1]) * turn[:, None]
    return np.stack([moved.real, moved.imag], axis=-1)


def distance(a: Shapes, b: Shapes, turn: NDArray[np.complex128]) -> float:
    """Mean over labelled points, in crop sides of the face's own frame."""
    return float(np.nanmean(np.linalg.norm(a - b, axis=-1) / abs(turn)[:, None]))


def lower_brows(openness: NDArray[np.float64]) -> Shapes:
    """What the labels have lower than the teacher: the brows, and the chin of an open mouth."""
    moved = np.zeros((len(openness), N, 2))
    moved[:, 17:27, 1] = 0.02
    moved[:, CHIN, 1] = 0.03 * openness
    return moved


def test_an_error_that_depends_on_the_expression_is_learnt_on_one_half_and_gone_on_the_other() -> (
    None
):
    taught, openness, turn = faces(600)
    labels = taught + turned_by(lower_brows(openness), turn)
    noisy = labels + turned_by(np.random.default_rng(1).normal(0, 0.01, labels.shape), turn)
    noisy[::3, :10] = np.nan  # a hidden cheek, chin included
    noisy[1::50] = 0.0  # labels that are plainly wrong
    convention = learn_convention(taught[:400], noisy[:400], SCHEME)
    before = distance(taught[400:], labels[400:], turn[400:])
    after = distance(convention.corrected(taught[400:]), labels[400:], turn[400:])
    # Ten brows of 0.02 and a chin of 0.03 x 0.5 on average, over 68 points.
    assert before == pytest.approx((10 * 0.02 + 0.015) / 68, rel=0.05)
    # The noise of 400 faces, 0.01 / sqrt(2 x 400) for each of the few terms of the fit.
    assert after < 0.35 * before


def test_the_correction_turns_and_grows_with_the_face() -> None:
    taught, openness, turn = faces(300)
    convention = learn_convention(taught, taught + turned_by(lower_brows(openness), turn), SCHEME)
    quarter = 2j  # twice as large, turned by 90 degrees
    moved = turned_by(taught[:5], np.full(5, quarter)) + 1000
    np.testing.assert_allclose(
        convention.corrected(moved),
        turned_by(convention.corrected(taught[:5]).astype(float), np.full(5, quarter)) + 1000,
        atol=0.01,  # pixels; float32 of numbers near 1000
    )


def test_too_few_labels_are_refused() -> None:
    taught, _, _ = faces(99)
    with pytest.raises(DatasetError, match=r"at least 100 labelled faces .* got 99"):
        learn_convention(taught, taught, SCHEME)
    taught, _, _ = faces(150)
    hidden = taught.copy()
    hidden[:, [3, 13]] = np.nan
    with pytest.raises(DatasetError, match=r"point 4 labelled .* got 0"):
        learn_convention(taught, hidden, SCHEME)
