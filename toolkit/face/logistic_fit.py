"""A logistic curve of two numbers: from what a face's error is judged by to a probability.

    p = 1 / (1 + exp(-(intercept - slope ln signal))),  slope >= 0

The signal is a distance in eye distances that grows with the error: how far a shape lies from the
shape model, or what the landmarks' uncertainties say. The fit is a logistic regression with Platt's
targets ("Probabilistic outputs for support vector machines", 1999), monotone by construction. Few
faces fail (a few dozen of those used), too few for a curve with more numbers: isotonic regression
would make a handful of steps of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError

LIMIT_PERCENT = 8.0  # NME: 300-W's custom for a face that failed

# A shape inside the shape model has no residual; half a thousandth of the eye distance is far below
# any prediction's error and keeps the logarithm finite.
MIN_SIGNAL = 5e-4

Array = NDArray[np.float64]


def needs_both_kinds(faces: int, failures: int, *, limit_percent: float = LIMIT_PERCENT) -> str:
    """For messages: why faces none or all of which are above the limit are of no use."""
    add = "harder" if failures == 0 else "easier"
    return (
        f"needs faces with an NME below and above {limit_percent:g} %, got {failures} of {faces} "
        f"above: add {add} ones"
    )


@dataclass(frozen=True)
class LogisticFit:
    """From a signal, larger for worse faces, to the probability that the NME is within a limit.

    Attributes:
        intercept, slope: of the log-odds, intercept - slope ln(signal).
        limit_percent: NME in percent of the outer eye distance.
        faces, failures: how many faces it was fitted to, and how many of them were above the limit.
    """

    intercept: float
    slope: float
    limit_percent: float
    faces: int
    failures: int

    @classmethod
    def fit(
        cls, signal: NDArray[np.floating], nme: NDArray[np.floating], *,
        limit_percent: float = LIMIT_PERCENT,
    ) -> "LogisticFit":  # fmt: skip
        """Fit to faces [B] with an NME in percent; those without one (NaN) are left out.

        Raises:
            DatasetError: not at least one face on either side of the limit.
        """
        from scipy.optimize import minimize
        from scipy.special import expit, log_expit

        known = np.isfinite(signal) & ~np.isnan(nme)
        x = np.log(np.maximum(np.asarray(signal, np.float64)[known], MIN_SIGNAL))
        good = np.asarray(nme, np.float64)[known] <= limit_percent
        count, failures = len(good), int((~good).sum())
        if failures in (0, count):
            raise DatasetError(
                f"a calibration {needs_both_kinds(count, failures, limit_percent=limit_percent)}"
            )
        # Platt: not 1 and 0, but what so few faces can vouch for.
        target = np.where(good, (count - failures + 1) / (count - failures + 2), 1 / (failures + 2))

        def loss(parameters: Array) -> tuple[float, Array]:
            logit = parameters[0] - parameters[1] * x
            cross_entropy = -(target * log_expit(logit) + (1 - target) * log_expit(-logit))
            error = expit(logit) - target
            return float(cross_entropy.mean()), np.array([error.mean(), -(error * x).mean()])

        start = np.array([np.log((count - failures) / failures), 0.0])
        fitted = minimize(
            loss, start, jac=True, method="L-BFGS-B", bounds=[(None, None), (0, None)]
        )
        intercept, slope = (float(value) for value in fitted.x)
        return cls(intercept, slope, limit_percent, count, failures)

    def probability(self, signal: NDArray[np.floating]) -> Array:
        """The probability that the NME is within the limit, 0..1, falling with the signal."""
        from scipy.special import expit

        x = np.log(np.maximum(np.asarray(signal, np.float64), MIN_SIGNAL))
        probability: Array = np.asarray(expit(self.intercept - self.slope * x), np.float64)
        return probability
