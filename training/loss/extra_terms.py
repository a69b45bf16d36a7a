"""What the outputs ``uncertainty`` and ``visibility`` are trained by.

A point's uncertainty u stands for the standard deviation sigma = exp(u), per coordinate, in
hundredths of the crop's side (of one side: a fraction has errors of 0.01 and logarithms of -5). It
is trained by the negative logarithm of the likelihood of the landmarks' errors e, in the same unit
(Nix and Weigend, "Estimating the mean and variance of the target probability distribution", 1994),
without constants, averaged over x and y:

    laplace   u + sqrt(2) |e| exp(-u)
    gaussian  u + e^2 exp(-2 u) / 2

The gradient to e of either is about 1 / sigma. Left alone it takes effort away from the points that
are hard, to polish those that are easy (Seitzer et al., "On the pitfalls of heteroscedastic
uncertainty estimation", ICLR 2022), and it moves landmarks by another measure than the loss that
was chosen for them. So by default it stops at sigma.

Visibility is a logit v, trained by the cross-entropy of sigmoid(v) where it is known.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import tensorflow as tf

from asmnet_kit.base.errors import UsageError
from asmnet_kit.training.catalogue import LIKELIHOOD_GRADIENTS

HUNDREDTHS = 100.0  # of the crop's side
# "bounded": no point pulls harder than a Laplacian one of sigma 1, about an annotator's own error
# (2 % of the eye distance), can.
LARGEST_PULL = 2**0.5

_Pair = tuple[tf.Tensor, tf.Tensor]


def _laplace(size: tf.Tensor, sigma: tf.Tensor) -> _Pair:
    """The likelihood's cost of errors, and its slope, in the unit of ``size``."""
    return 2**0.5 * size / sigma, tf.ones_like(size) * 2**0.5 / sigma


def _gaussian(size: tf.Tensor, sigma: tf.Tensor) -> _Pair:
    return 0.5 * (size / sigma) ** 2, size / sigma**2


# By the names of ``catalogue.LIKELIHOODS``: of |e| and sigma.
COSTS: Mapping[str, Callable[[tf.Tensor, tf.Tensor], _Pair]] = MappingProxyType(
    {"laplace": _laplace, "gaussian": _gaussian}
)


@dataclass(frozen=True)
class ExtraTerms:
    """How all outputs but the landmarks are trained; see ``TrainConfig`` for each.

    Raises:
        UsageError: an unknown likelihood or gradient.
    """

    pose_weight: float = 0.5  # the paper's slides
    likelihood: str = "laplace"
    likelihood_weight: float = 0.1
    likelihood_gradient: str = "stop"
    visibility_weight: float = 0.1

    def __post_init__(self) -> None:
        for name, value, known in (
            ("likelihood", self.likelihood, COSTS),
            ("likelihood gradient", self.likelihood_gradient, LIKELIHOOD_GRADIENTS),
        ):
            if value not in known:
                raise UsageError(f"expected a {name} of {', '.join(known)}; got {value!r}")

    def cost_of_errors(self, error: tf.Tensor, uncertainty: tf.Tensor) -> tf.Tensor:
        """The negative log-likelihood of each point, float32 [B, N].

        Args:
            error: [B, N, 2], of the landmarks, sides of the crop; finite.
            uncertainty: [B, N], the network's output.
        """
        error = HUNDREDTHS * error
        sigma = tf.exp(uncertainty)[..., None]
        if self.likelihood_gradient == "stop":
            error = tf.stop_gradient(error)
        elif self.likelihood_gradient == "bounded":
            _, slope = COSTS[self.likelihood](tf.abs(error), sigma)
            passed = tf.minimum(1.0, tf.math.divide_no_nan(LARGEST_PULL, slope))
            passed = tf.stop_gradient(tf.where(slope > 0, passed, 1.0))
            error = tf.stop_gradient(error) + passed * (error - tf.stop_gradient(error))
        cost, _ = COSTS[self.likelihood](tf.abs(error), sigma)
        return uncertainty + tf.reduce_mean(cost, axis=-1)


def cost_of_visibility(logit: tf.Tensor, seen: tf.Tensor) -> tf.Tensor:
    """The cross-entropy of each point, float32 [B, N], nats.

    Args:
        logit: [B, N], the network's output.
        seen: [B, N], 0..1, finite.
    """
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=seen, logits=logit)
