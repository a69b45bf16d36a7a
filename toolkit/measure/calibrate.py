"""Fits what a file stores of its uncertainty to the faces that it was measured on."""

import numpy as np

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.face.logistic_fit import LIMIT_PERCENT, LogisticFit
from asmnet_kit.face.uncertainty import Calibration, fitted_factor
from asmnet_kit.measure.evaluate import Evaluation


def calibration_of(evaluation: Evaluation, earlier: Calibration | None) -> Calibration:
    """The factor of sigma, and from the expected NME to a probability.

    Args:
        evaluation: of faces that are not to be judged by it: those of a test split are refused by
            the command.
        earlier: what the measured file had, by which its sigmas were multiplied already.

    Raises:
        DatasetError: the model does not say how sure it is, or there is no point to fit to.
    """
    sure = evaluation.sure
    if sure is None or not sure.has_sigma:
        raise DatasetError(f"{evaluation.model} does not say how sure it is of a landmark")
    more = fitted_factor(sure.distance.ravel(), sure.sigma.ravel())
    nme = evaluation.nme[~evaluation.missed]
    known = nme[~np.isnan(nme)]
    failures = int((known > LIMIT_PERCENT).sum())
    return Calibration(
        factor=(1.0 if earlier is None else earlier.factor) * more,
        points=int(np.isfinite(sure.distance).sum()),
        confidence=LogisticFit.fit(more * sure.expected, nme)
        if 0 < failures < len(known)
        else None,
        dataset=evaluation.dataset,
        dataset_fingerprint=evaluation.dataset_fingerprint,
    )
