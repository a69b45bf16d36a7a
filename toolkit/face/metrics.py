"""Accuracy figures of landmarks and head poses.

NME (normalised mean error): the mean distance between predicted and labelled points, in percent of
what the scheme normalises by (``Scheme.size_of``): the distance between the outer eye corners for
68 and 98 points (Sagonas et al., "300 Faces in-the-Wild Challenge", 2013). Faces without an NME
(NaN) are left out of every summary.
"""

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.face.pose import wrapped
from asmnet_kit.face.schemes import Scheme

INTERVAL_Z = 1.96  # two-sided 95 % of a normal distribution
FEW_FACES = 30


def per_face_nme(
    predicted: NDArray[np.floating], truth: NDArray[np.floating], scheme: Scheme
) -> NDArray[np.float64]:
    """The NME of each face over its labelled points.

    Args:
        predicted: [B, N, 2], any unit, the same as ``truth``.
        truth: [B, N, 2]; NaN where a point has no label.

    Returns:
        float64 [B], percent; NaN where a point of the scheme's normalising pair has no label or
        both are one point,
        infinite where a labelled point was predicted as NaN or infinite.
    """
    truth = np.asarray(truth, np.float64)
    labelled = np.isfinite(truth).all(axis=-1)
    size = scheme.size_of(truth)
    distance = np.linalg.norm(np.where(labelled[..., None], predicted - truth, 0.0), axis=-1)
    distance = np.where(np.isfinite(distance), distance, np.inf)
    error = distance.sum(axis=-1) / np.maximum(labelled.sum(axis=-1), 1)
    measurable = size > 0  # False for NaN
    nme: NDArray[np.float64] = 100 * np.divide(
        error, size, out=np.full(len(truth), np.nan), where=measurable
    )
    return nme


def mean_nme(nme: NDArray[np.floating]) -> float:
    """Mean over the faces that have an NME, percent; NaN when there is none."""
    measured = _measured(nme)
    return float(measured.mean()) if len(measured) else float("nan")


def failure_rate(nme: NDArray[np.floating], threshold: float) -> float:
    """Percent of the faces whose NME is above ``threshold`` (percent); NaN without faces."""
    measured = _measured(nme)
    return float(100 * (measured > threshold).mean()) if len(measured) else float("nan")


def auc(nme: NDArray[np.floating], threshold: float) -> float:
    """Area under the CED from 0 to ``threshold`` (percent), divided by it: 0..1; NaN without faces.

    The CED is a step function that rises by 1/B at each face's NME e, so its integral is exactly
    the sum of (threshold - e) / B over faces with e < threshold: no sampling, no trapezoids.
    """
    measured = _measured(nme)
    return float(np.maximum(0, 1 - measured / threshold).mean()) if len(measured) else float("nan")


def ced(nme: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The cumulative error distribution, a step function from (0, 0).

    Returns:
        NME in percent, ascending, and the share (0..1) of faces with at most this NME.
    """
    measured = np.sort(_measured(nme))
    shares = np.arange(1, len(measured) + 1) / max(len(measured), 1)
    return np.concatenate([[0.0], measured]), np.concatenate([[0.0], shares])


def mean_interval(
    values: NDArray[np.floating], *, most: float = float("inf")
) -> list[float] | None:
    """95 % interval of a mean over faces, [low, high]: mean -+ 1.96 s / sqrt(n), within 0 to
    ``most``.

    It tells how far the mean would move with other faces of the same kind. Faces that are alike
    (frames of one film) make the true interval wider.

    Args:
        values: [B], one of each face, none below 0 or above ``most``; NaN is left out.

    Returns:
        None for fewer than ``FEW_FACES``, of which the normal approximation says little, and where
        a value is infinite.
    """
    known = _measured(values)
    if len(known) < FEW_FACES or not np.isfinite(known).all():
        return None
    half = INTERVAL_Z * known.std(ddof=1) / np.sqrt(len(known))
    return [max(0.0, float(known.mean() - half)), min(most, float(known.mean() + half))]


def pose_errors(
    predicted: NDArray[np.floating], truth: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Absolute differences of angles, degrees, 0..180: 179 and -179 differ by 2.

    Args:
        predicted, truth: [..., 3] yaw, pitch, roll in degrees; NaN where unknown.
    """
    difference = np.asarray(predicted, np.float64) - np.asarray(truth, np.float64)
    errors: NDArray[np.float64] = np.abs(wrapped(difference)).astype(np.float64)
    return errors


def _measured(nme: NDArray[np.floating]) -> NDArray[np.float64]:
    nme = nme.astype(np.float64)
    measured: NDArray[np.float64] = nme[~np.isnan(nme)]
    return measured
