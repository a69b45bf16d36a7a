"""ASM-LOSS (Fard et al., "ASMNet", Eq. 4-11), and the losses without it.

Labels arrive *upright* beside a picture that augmentation has moved, and are moved here, with
``move_labels`` of ``asmnet_kit.training.batch``. First they are smoothed: a shape model of upright
faces cannot smooth a turned one. So G and A = ASM(G) move together: ASM(T G) := T ASM(G).

The names are the paper's: G the true points, A = ASM(G) the smoothed truth, P the predicted points.
Axes: B pictures, N landmarks, 2 coordinates (x right, y down). All points are fractions of the side
of the crop the network sees, from its centre.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import tensorflow as tf

from asmnet_kit.base.errors import UsageError
from asmnet_kit.face.pose import POSE_UNIT_DEGREES
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.training.batch import Batch, move_labels, swap_pairs
from asmnet_kit.training.loss.asm_operator import AsmOperator
from asmnet_kit.training.loss.extra_terms import ExtraTerms, cost_of_visibility

# Between the outer eye corners of an upright frontal face, in sides of its crop: the mean shape of
# 300-W's training set. One number for all faces, since the corners of a profile nearly coincide.
EYE_DISTANCE = 0.48

# Smooth L1 turns from squares to absolute values here, in eye distances: about the error of a
# careful annotator, below which there is nothing to learn.
SMOOTH_L1_BEND = 0.02

TERM_UNITS = {
    "mse": "squared crop sides per coordinate",
    "asm": "squared crop sides per coordinate",
    "landmark": "mse + alpha asm, or the unit of the chosen loss",
    "pose": "(degrees / 90) squared per angle",
    "uncertainty": "negative log-likelihood of a point's errors, per coordinate",
    "visibility": "cross-entropy, nats per point",
    "total": "landmark + the others by their weights",
}


def _squared(error: tf.Tensor, eye_distance: tf.Tensor) -> tf.Tensor:
    """Eq. 7's distance, in squared crop sides."""
    del eye_distance
    return error**2


def _smooth_l1(error: tf.Tensor, eye_distance: tf.Tensor) -> tf.Tensor:
    """Smooth L1 (Girshick, "Fast R-CNN", Eq. 3), in eye distances: |e|, rounded off around 0."""
    size = tf.abs(error) / eye_distance
    bend = SMOOTH_L1_BEND
    return tf.where(size < bend, size**2 / (2 * bend), size - bend / 2)


@dataclass(frozen=True)
class LossKind:
    """One value of ``--loss``.

    Attributes:
        distance: of errors [B, N, 2] in crop sides, given the eye distance [B, 1, 1] in the same
            unit; what it returns is averaged.
        asm: whether alpha L_asm is added (Eq. 9), with the same distance.
        others: what a weight of 1 of another term, such as the uncertainty's, comes to beside this
            distance: its slope at ``SMOOTH_L1_BEND``, relative to smooth L1's. So one weight
            serves every loss: squared crop sides are that much smaller than eye distances.
    """

    distance: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    asm: bool
    others: float


# d(e^2)/de at e = 0.02 eye distances, beside d(|e| / eye distance)/de.
SQUARED_OTHERS = 2 * SMOOTH_L1_BEND * EYE_DISTANCE**2

# By the names of ``catalogue.LOSSES``.
LOSSES = {
    "asm": LossKind(_squared, asm=True, others=SQUARED_OTHERS),
    "mse": LossKind(_squared, asm=False, others=SQUARED_OTHERS),
    "smooth_l1": LossKind(_smooth_l1, asm=False, others=1.0),
    "asm_smooth_l1": LossKind(_smooth_l1, asm=True, others=1.0),
}


def mean_over_labels(values: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Each picture's mean over its labelled values, then the mean over all pictures of the batch.

    A picture without any label counts as 0. So the result is the same however a batch is divided
    among devices, and a face with few labels weighs as much as any other.

    Args:
        values: float32 [B, M], finite everywhere.
        weight: [B, M], what each value counts beside the others of its picture; 0 or False = no
            label.
    """
    weight = tf.cast(weight, values.dtype)
    count = tf.maximum(tf.reduce_sum(weight, axis=1), 1.0)
    return tf.reduce_mean(tf.reduce_sum(weight * values, axis=1) / count)


class AsmLoss:
    """The total loss and its terms, of batches whose labels are upright (``Batch``)."""

    def __init__(
        self,
        loss: str,
        *,
        scheme: Scheme,
        operator: AsmOperator | None = None,
        extra: ExtraTerms | None = None,
    ) -> None:
        """Choose the loss.

        Args:
            loss: a key of ``LOSSES``.
            operator: smooths the truth; without it the term ``asm`` is 0.
            extra: how all outputs but the landmarks are trained.

        Raises:
            UsageError: an unknown loss, one that needs an operator without one, or an operator of
                another scheme.
        """
        if loss not in LOSSES:
            raise UsageError(f"expected a loss of {', '.join(LOSSES)}; got {loss!r}")
        if LOSSES[loss].asm and operator is None:
            raise UsageError(f"the loss {loss!r} needs a shape model")
        if operator is not None and operator.points != scheme.points:
            raise UsageError(
                f"expected a shape model of {scheme.points} points, got {operator.points}"
            )
        self.kind = LOSSES[loss]
        self.scheme = scheme
        self.operator = operator
        self.extra = extra or ExtraTerms()

    def truth(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
        """G in the augmented crop and which of its points have a label.

        Returns:
            float32 [B, N, 2], 0 where there is no label; bool [B, N].
        """
        upright, labelled = _labelled(batch)
        moved = move_labels(upright, batch, self.scheme.mirror)
        labelled = swap_pairs(labelled, batch["flipped"], self.scheme.mirror)
        return tf.where(labelled[..., None], moved, 0.0), labelled

    def smoothed(self, batch: Batch) -> tf.Tensor:
        """A = T ASM(G), float32 [B, N, 2], fractions of the augmented crop.

        Raises:
            UsageError: the loss has no operator.
        """
        if self.operator is None:
            raise UsageError("the smoothed truth needs a shape model")
        upright, labelled = _labelled(batch)
        return move_labels(self.operator(upright, labelled), batch, self.scheme.mirror)

    def terms(
        self,
        batch: Batch,
        prediction: Mapping[str, tf.Tensor],
        alpha: tf.Tensor | float,
    ) -> dict[str, tf.Tensor]:
        """Every term as a float32 scalar; units are in ``TERM_UNITS``.

        Args:
            batch: see ``Batch``.
            prediction: ``landmarks`` [B, 2N] and ``pose`` [B, 3] of a network, ``uncertainty`` and
                ``visibility`` [B, N] where it has these outputs.
            alpha: weight of L_asm in this epoch (Eq. 10).

        Returns:
            ``mse`` (Eq. 7) and ``asm`` (Eq. 8): squared errors per coordinate, averaged over the
            labelled points and the pictures; both are given for every loss. ``landmark``: the
            landmarks' part of the total, Eq. 9 or the chosen distance. ``pose`` (Eq. 11): averaged
            over the known angles and the pictures. ``uncertainty``, where it is predicted: the
            negative log-likelihood (``extra_terms``) over the labelled points and the pictures.
            ``visibility``, where it is predicted: the cross-entropy over the points of which it is
            known, with or without a label, and the pictures. ``total`` = landmark + the others by
            their weights. Means are those of ``mean_over_labels``.
        """
        G, labelled = self.truth(batch)
        P = tf.reshape(tf.cast(prediction["landmarks"], tf.float32), tf.shape(G))
        A = G if self.operator is None else self.smoothed(batch)
        visible = tf.cast(batch["visible"], tf.float32)
        weight = swap_pairs(visible, batch["flipped"], self.scheme.mirror)
        weight = tf.where(labelled, weight, 0.0)
        unit = _eye_distance(batch["transform"])
        mse = _landmark_term(_squared, P - G, weight, unit)
        asm = _landmark_term(_squared, P - A, weight, unit) if self.operator else 0.0 * mse
        distance = self.kind.distance
        landmark = _landmark_term(distance, P - G, weight, unit)
        if self.kind.asm:  # Eq. 9
            pull = _landmark_term(distance, P - A, weight, unit)
            landmark += tf.cast(alpha, tf.float32) * pull
        # A user's own network may predict landmarks alone.
        pose = pose_term(batch["pose"], prediction["pose"]) if "pose" in prediction else 0.0 * mse
        terms = {"mse": mse, "asm": asm, "landmark": landmark, "pose": pose}
        total = landmark + self.extra.pose_weight * pose
        if "uncertainty" in prediction:
            costs = self.extra.cost_of_errors(P - G, prediction["uncertainty"])
            terms["uncertainty"] = mean_over_labels(costs, weight)
            total += self.kind.others * self.extra.likelihood_weight * terms["uncertainty"]
        if "visibility" in prediction:
            terms["visibility"] = self._visibility(batch, prediction["visibility"])
            total += self.kind.others * self.extra.visibility_weight * terms["visibility"]
        return {**terms, "total": total}

    def _visibility(self, batch: Batch, logit: tf.Tensor) -> tf.Tensor:
        seen = swap_pairs(batch["visibility"], batch["flipped"], self.scheme.mirror)
        known = tf.math.is_finite(seen)
        costs = cost_of_visibility(logit, tf.where(known, seen, 0.0))
        return mean_over_labels(costs, known)

    def towards(
        self,
        batch: Batch,
        prediction: Mapping[str, tf.Tensor],
        target: Mapping[str, tf.Tensor],
    ) -> tf.Tensor:
        """What ``total`` would be without ASM term, were another network's outputs the truth.

        Args:
            batch: see ``Batch``; its labels play no part.
            prediction, target: ``landmarks`` [B, 2N] and, in both or neither, ``pose`` [B, 3] and
                ``uncertainty`` and ``visibility`` [B, N]. Of uncertainties half the squared
                difference counts: near the likelihood's minimum that is what a difference costs.
        """
        unit = _eye_distance(batch["transform"])
        shape = (-1, self.scheme.points, 2)
        error = tf.reshape(
            tf.cast(prediction["landmarks"], tf.float32) - tf.cast(target["landmarks"], tf.float32),
            shape,
        )
        total = _landmark_term(self.kind.distance, error, tf.ones_like(error[..., 0]), unit)
        if "pose" in prediction:
            difference = tf.cast(prediction["pose"], tf.float32) - tf.cast(
                target["pose"], tf.float32
            )
            total += self.extra.pose_weight * tf.reduce_mean(difference**2)
        if "uncertainty" in prediction:
            off = prediction["uncertainty"] - target["uncertainty"]
            weight = self.kind.others * self.extra.likelihood_weight
            total += weight * 0.5 * tf.reduce_mean(off**2)
        if "visibility" in prediction:
            seen = tf.sigmoid(target["visibility"])
            costs = cost_of_visibility(prediction["visibility"], seen)
            total += self.kind.others * self.extra.visibility_weight * tf.reduce_mean(costs)
        return total


def pose_term(pose: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
    """Eq. 11 in units of (degrees / 90) squared.

    Args:
        pose: [B, 3], yaw, pitch, roll in degrees, NaN where unknown.
        predicted: [B, 3], degrees / 90.
    """
    known = tf.math.is_finite(pose)
    # NaN goes before it meets the prediction: the gradient would be NaN even if masked later.
    target = tf.where(known, tf.cast(pose, tf.float32), 0.0) / POSE_UNIT_DEGREES
    return mean_over_labels((tf.cast(predicted, tf.float32) - target) ** 2, known)


def _labelled(batch: Batch) -> tuple[tf.Tensor, tf.Tensor]:
    """``upright`` with 0 for what has no label, and what has one as bool [B, N]."""
    upright = tf.cast(batch["upright"], tf.float32)
    finite = tf.reduce_all(tf.math.is_finite(upright), axis=-1)
    labelled = finite & tf.cast(batch["visible"], tf.bool)
    return tf.where(labelled[..., None], upright, 0.0), labelled


def _eye_distance(transform: tf.Tensor) -> tf.Tensor:
    """[B, 1, 1]: that of a frontal face in the augmented crop, whose scale is sqrt |det M|."""
    transform = tf.cast(transform, tf.float32)
    determinant = transform[:, 0, 0] * transform[:, 1, 1] - transform[:, 0, 1] * transform[:, 1, 0]
    return (EYE_DISTANCE * tf.sqrt(tf.abs(determinant)))[:, None, None]


def _landmark_term(
    distance: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
    error: tf.Tensor,
    weight: tf.Tensor,
    eye_distance: tf.Tensor,
) -> tf.Tensor:
    """The weighted mean distance per coordinate, over labelled points and pictures."""
    per_point = tf.reduce_mean(distance(error, eye_distance), axis=-1)  # [B, N]
    return mean_over_labels(per_point, weight)
