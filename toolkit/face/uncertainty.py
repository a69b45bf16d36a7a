"""How sure a model is of each landmark: its outputs ``uncertainty`` and ``visibility``, in use.

``uncertainty`` is u, the natural logarithm of a point's standard deviation (per coordinate, the
same in x and y) in hundredths of the crop's side: sigma = factor 0.01 exp(u) sides. A network is
surer than it should be of faces that it was not trained on, and rounding to int8 changes a little,
so the ``factor`` is fitted to validation faces: with it, 90 % of the points lie within the radius
that a two-dimensional normal distribution of that sigma has 90 % within. ``visibility`` is the
logit of the probability that a point can be seen.

A face's ``confidence`` is the probability that its NME is at most 8 %. Its signal is the NME to be
expected of the sigmas: the mean distance of a two-dimensional normal distribution is sqrt(pi / 2)
sigma. A logistic curve, fitted to the same faces, makes it a probability.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.face.logistic_fit import LogisticFit
from asmnet_kit.face.schemes import Scheme

UNCERTAINTY, VISIBILITY = "uncertainty", "visibility"  # names of the outputs

HUNDREDTH = 0.01  # of the crop's side, what exp(u) counts
LARGEST_LOGARITHM = 20.0  # beyond it, either way, float32 has no use for the numbers
MEAN_DISTANCE = math.sqrt(math.pi / 2)  # of a 2-D normal distribution, in its sigma
FITTED_LEVEL = 0.9  # share of the points that the factor is fitted to

# A point is unsure where an error of 8 % of the eye distance is no surprise. A frontal face's eyes
# are 0.48 crops apart and a crop is 1.2 boxes, so: sigma as a share of the box's longer side.
UNSURE_SHARE = 0.08 * 0.48 * 1.2 / MEAN_DISTANCE
HIDDEN_BELOW = 0.5  # a point that can rather not be seen


def sigma_of(uncertainty: NDArray[np.floating], factor: float = 1.0) -> NDArray[np.float32]:
    """Standard deviations, sides of the crop, of an output [..., N]."""
    u = np.clip(np.asarray(uncertainty, np.float64), -LARGEST_LOGARITHM, LARGEST_LOGARITHM)
    return np.asarray(factor * HUNDREDTH * np.exp(u), np.float32)


def visible_of(visibility: NDArray[np.floating]) -> NDArray[np.float32]:
    """Probabilities of being seen, 0..1, of an output [..., N]."""
    logit = np.clip(np.asarray(visibility, np.float64), -LARGEST_LOGARITHM, LARGEST_LOGARITHM)
    return np.asarray(1 / (1 + np.exp(-logit)), np.float32)


def radius(level: float) -> float:
    """Of the circle that holds a share ``level`` of a 2-D normal distribution, in its sigma.

    The distance from the middle has a Rayleigh distribution: 1.1774 for 0.5, 2.1460 for 0.9.
    """
    return math.sqrt(-2 * math.log(1 - level))


def expected_nme(
    sigma: NDArray[np.floating], landmarks: NDArray[np.floating], scheme: Scheme
) -> NDArray[np.float64]:
    """The NME to be expected of faces, as a share of the outer eye distance.

    Args:
        sigma: [B, N], in the unit of ``landmarks``.
        landmarks: [B, N, 2], as predicted: a turned face's eyes are close together, and its NME is
            large for the same distances.

    Returns:
        float64 [B]; infinite where both eye corners are one point.
    """
    size = scheme.size_of(np.asarray(landmarks, np.float64))
    distance = MEAN_DISTANCE * np.asarray(sigma, np.float64).mean(axis=1)
    expected: NDArray[np.float64] = np.divide(
        distance, size, out=np.full(len(size), np.inf), where=size > 0
    )
    return expected


@dataclass(frozen=True)
class Calibration:
    """What ``asmnet-kit evaluate --calibrate`` finds out on faces with labels, and a file stores.

    Attributes:
        factor: of sigma.
        points: how many labelled points it was fitted to.
        confidence: from ``expected_nme``, with the factor, to a probability; None where no face, or
            every face, failed.
        dataset, dataset_fingerprint: what faces these were.
    """

    factor: float
    points: int
    confidence: LogisticFit | None
    dataset: str
    dataset_fingerprint: str

    def to_json(self) -> dict[str, Any]:
        """The metadata's key ``calibration``."""
        return {
            UNCERTAINTY: {
                "factor": self.factor,
                "level": FITTED_LEVEL,
                "points": self.points,
            },
            "confidence": None if self.confidence is None else dict(vars(self.confidence)),
            "dataset": self.dataset,
            "dataset_fingerprint": self.dataset_fingerprint,
        }

    @classmethod
    def from_json(cls, content: Any) -> "Calibration":
        """The calibration in a JSON object.

        Raises:
            ValueError: a key is missing or holds something else.
        """
        try:
            of_sigma, confidence = content[UNCERTAINTY], content["confidence"]
            found = cls(
                factor=_positive(of_sigma["factor"]),
                points=int(of_sigma["points"]),
                confidence=None if confidence is None else _logistic_fit(confidence),
                dataset=str(content["dataset"]),
                dataset_fingerprint=str(content["dataset_fingerprint"]),
            )
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"expected its keys and numbers, got {content!r:.200}") from error
        return found


def _positive(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"expected a number above 0, got {value!r}")
    return float(value)


def _logistic_fit(content: Mapping[str, Any]) -> LogisticFit:
    intercept, slope = float(content["intercept"]), float(content["slope"])
    if not (math.isfinite(intercept) and math.isfinite(slope) and slope >= 0):
        raise ValueError(f"expected a slope of at least 0, got {slope!r}")
    return LogisticFit(
        intercept=intercept,
        slope=slope,
        limit_percent=_positive(content["limit_percent"]),
        faces=int(content["faces"]),
        failures=int(content["failures"]),
    )


def fitted_factor(distance: NDArray[np.floating], sigma: NDArray[np.floating]) -> float:
    """The factor of sigma with which 90 % of the points lie within their 90 % circles.

    A quantile rather than the mean of (distance / sigma)^2, which a few points far off would rule:
    landmark errors have longer tails than a normal distribution.

    Args:
        distance: [K], of the points from their labels; NaN is left out.
        sigma: [K], in the same unit.

    Raises:
        DatasetError: no point, or sigmas that are not above 0.
    """
    known = np.isfinite(distance)
    ratio = np.asarray(distance, np.float64)[known] / np.asarray(sigma, np.float64)[known]
    if not len(ratio) or not np.isfinite(ratio).all():
        raise DatasetError("a calibration needs labelled points, and sigmas above 0: got none")
    factor = float(np.quantile(ratio, FITTED_LEVEL) / radius(FITTED_LEVEL))
    if factor <= 0:
        raise DatasetError("a calibration needs errors: every landmark was predicted exactly")
    return factor


def unsure(
    sigma: NDArray[np.floating] | None,
    visible: NDArray[np.floating] | None,
    box_side: float,
    points: int,
) -> NDArray[np.bool_]:
    """bool [N]: points that may well be far off, or that can rather not be seen.

    Args:
        sigma: [N], pixels; visible: [N], 0..1; None where the model does not say.
        box_side: the longer side of the face's box, pixels.
    """
    doubtful = np.zeros(points, np.bool_)
    if sigma is not None:
        doubtful |= np.asarray(sigma) > UNSURE_SHARE * box_side
    if visible is not None:
        doubtful |= np.asarray(visible) < HIDDEN_BELOW
    return doubtful
