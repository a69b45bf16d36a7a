"""Fits what a file stores of its uncertainty to the faces that it was measured on."""

import numpy as np

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.face.logistic_fit import LIMIT_PERCENT, LogisticFit
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.face.uncertainty import Calibration, fitted_factor
from asmnet_kit.measure.evaluate import Evaluation


def calibration_of(evaluation: Evaluation, earlier: Calibration | None, own: Scheme) -> Calibration:
    """The factor of sigma, and from the expected NME to a probability.

    Args:
        evaluation: of faces that are not to be judged by it: those of a test split are refused by
            the command.
        earlier: what the measured file had, by which its sigmas were multiplied already.
        own: the model's landmarks. Without confidence where the faces were measured in landmarks
            whose errors are divided by something else: their NMEs are other figures.

    Raises:
        DatasetError: the model does not say how sure it is, or there is no point to fit to.
    """
    sure = evaluation.sure
    if sure is None or not sure.has_sigma:
        raise DatasetError(f"{evaluation.model} does not say how sure it is of a landmark")
    more = fitted_factor(sure.distance.ravel(), sure.sigma.ravel())
    nme = evaluation.nme[~evaluation.missed]
    return Calibration(
        factor=(1.0 if earlier is None else earlier.factor) * more,
        points=int(np.isfinite(sure.distance).sum()),
        confidence=LogisticFit.fit(more * sure.expected, nme)
        if all(faces_within_and_above(evaluation)) and has_nme_of(evaluation, own)
        else None,
        dataset=evaluation.dataset,
        dataset_fingerprint=evaluation.dataset_fingerprint,
    )


def has_nme_of(evaluation: Evaluation, own: Scheme) -> bool:
    """Whether NMEs were measured as those of the model's ``own`` landmarks are."""
    return evaluation.scheme.normaliser_text == own.normaliser_text


def faces_within_and_above(evaluation: Evaluation) -> tuple[int, int]:
    """How many faces have an NME of at most 8 %, and how many a larger one; not those missed."""
    nme = evaluation.nme[~evaluation.missed]
    within, above = int((nme <= LIMIT_PERCENT).sum()), int((nme > LIMIT_PERCENT).sum())
    return within, above
