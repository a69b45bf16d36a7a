"""ASM-LOSS (Fard et al., "ASMNet", Eq. 4-11) as TensorFlow ops.

The names are the paper's: G the true points, A = ASM(G) the smoothed truth, P the predicted points.
Axes: B pictures, N landmarks, 2 coordinates (x right, y down). All points are fractions of the side
of the crop the network sees, from its centre.

An upright shape model cannot smooth a turned face: at 45 degrees A would be 25 % of the eye
distance away from G. So the truth arrives *upright*, in the frame of the face's own crop before
augmentation; it is smoothed there, and G and A then move together: ASM(T G) := T ASM(G).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from asmnet_kit.base.errors import UsageError
from asmnet_kit.face.pose import POSE_UNIT_DEGREES
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.face.shape_model.operator import CLAMP, PRIOR_WEIGHT, ShapeModel
from asmnet_kit.training.loss.alpha import alpha as alpha

POSE_WEIGHT = 0.5  # of L_pose in the total, beside 1 for the landmarks (the paper's slides)

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
    "total": "landmark + 0.5 pose",
}


class AsmOperator:
    """Eq. 4, the smoothing of ``ShapeModel.smooth``, for batches inside a graph.

    It computes in float64, as NumPy does there: with points missing, the K x K system is too badly
    conditioned for float32, and its cost is nothing beside a network's. It smooths truths, not
    predictions, so no gradient flows through it.
    """

    def __init__(self, shape_model: ShapeModel) -> None:
        self.points = shape_model.points
        self._mean = shape_model.mean.astype(np.float64)  # [N, 2]
        self._rows = shape_model.components.astype(np.float64)  # [K, 2N]
        eigenvalues = shape_model.eigenvalues.astype(np.float64)
        self._limit = CLAMP * np.sqrt(eigenvalues)
        self._prior = np.diag(PRIOR_WEIGHT * eigenvalues[-1] / eigenvalues)
        reference = shape_model.reference
        self._reference: NDArray[np.float64] | None = (
            None if reference is None else reference.astype(np.float64)
        )

    def __call__(self, points: tf.Tensor, visible: tf.Tensor | None = None) -> tf.Tensor:
        """Smoothed shapes.

        Args:
            points: [B, N, 2], any float type, in the shape model's frame; anything, NaN too,
                where a point is not visible.
            visible: [B, N], 0 or False where a point is to be ignored; points that are not finite
                are ignored anyway.

        Returns:
            float32 [B, N, 2], every point finite, also where none was visible.
        """
        points = tf.cast(points, tf.float64)
        seen = tf.reduce_all(tf.math.is_finite(points), axis=-1)
        if visible is not None:
            seen &= tf.cast(visible, tf.bool)
        points = tf.where(seen[..., None], points, 0.0)
        if self._reference is None:
            return tf.cast(self._smooth_upright(points, seen), tf.float32)
        scaled_rotation, shift = _similarity_from_reference(self._reference, points, seen)
        upright = tf.matmul(points - shift, tf.linalg.inv(scaled_rotation), transpose_b=True)
        smoothed = self._smooth_upright(upright, seen)
        return tf.cast(tf.matmul(smoothed, scaled_rotation, transpose_b=True) + shift, tf.float32)

    def _smooth_upright(self, points: tf.Tensor, seen: tf.Tensor) -> tf.Tensor:
        """Eq. 2-3 for shapes in the model's own frame; [B, N, 2].

        Every shape takes the way of an incomplete one: for a complete shape the system is the
        identity, since the rows are orthonormal.
        """
        weight = tf.repeat(tf.cast(seen, tf.float64), 2, axis=1)  # [B, 2N]
        deviation = tf.reshape(points - self._mean, tf.shape(weight)) * weight
        missing = 1 - tf.reduce_mean(weight, axis=1)  # [B]
        system = tf.einsum("ki,bi,li->bkl", self._rows, weight, self._rows)
        system += missing[:, None, None] * self._prior  # [B, K, K]
        projected = tf.matmul(deviation, self._rows, transpose_b=True)  # [B, K]
        b = tf.linalg.solve(system, projected[..., None])[..., 0]
        b = tf.clip_by_value(b, -self._limit, self._limit)
        return self._mean + tf.reshape(tf.matmul(b, self._rows), tf.shape(points))


def _similarity_from_reference(
    reference: NDArray[np.float64], points: tf.Tensor, seen: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """``shape_model.align.similarity_from_reference``, the same steps as TensorFlow ops."""
    weight = tf.cast(seen, tf.float64)  # [B, N]
    weight = (weight / tf.maximum(tf.reduce_sum(weight, axis=1, keepdims=True), 1.0))[..., None]
    reference_middle = tf.reduce_sum(weight * reference, axis=1, keepdims=True)  # [B, 1, 2]
    middle = tf.reduce_sum(weight * points, axis=1, keepdims=True)
    r, s = reference - reference_middle, points - middle
    dot = tf.reduce_sum(weight * r * s, axis=(1, 2))
    crossed = r[..., 0] * s[..., 1] - r[..., 1] * s[..., 0]
    cross = tf.reduce_sum(weight[..., 0] * crossed, axis=1)
    power = tf.reduce_sum(weight * r * r, axis=(1, 2))
    known = (power > 0) & (tf.sqrt(dot**2 + cross**2) > 1e-6 * power)
    power = tf.where(known, power, 1.0)
    real, imaginary = tf.where(known, dot / power, 1.0), tf.where(known, cross / power, 0.0)
    scaled_rotation = tf.stack(
        [tf.stack([real, -imaginary], -1), tf.stack([imaginary, real], -1)], axis=1
    )  # [B, 2, 2]
    shift = middle - tf.matmul(reference_middle, scaled_rotation, transpose_b=True)
    return scaled_rotation, tf.where(tf.reduce_any(seen, axis=1)[:, None, None], shift, 0.0)


def swap_pairs(values: tf.Tensor, flipped: tf.Tensor, mirror: NDArray[np.int64]) -> tf.Tensor:
    """Exchange left and right landmarks of mirrored faces.

    Args:
        values: [B, N, ...].
        flipped: bool [B].
        mirror: int [N], ``Scheme.mirror``.
    """
    swapped = tf.gather(values, mirror, axis=1)
    where = tf.reshape(flipped, [-1] + [1] * (len(values.shape) - 1))
    return tf.where(where, swapped, values)


def move(
    points: tf.Tensor, transform: tf.Tensor, flipped: tf.Tensor, mirror: NDArray[np.int64]
) -> tf.Tensor:
    """Points of the upright crop in the augmented one.

    Args:
        points: float32 [B, N, 2], fractions of the upright crop.
        transform: float32 [B, 2, 3], upright to augmented fractions, p -> M p + t; where
            ``flipped`` it holds the reflection too, so its determinant is negative there.
        flipped: bool [B], whose pairs swap.
        mirror: int [N], ``Scheme.mirror``.

    Returns:
        float32 [B, N, 2], fractions of the augmented crop.
    """
    points = swap_pairs(points, flipped, mirror)
    return tf.matmul(points, transform[:, :, :2], transpose_b=True) + transform[:, None, :, 2]


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
    """

    distance: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    asm: bool


# By the names of ``catalogue.LOSSES``.
LOSSES = {
    "asm": LossKind(_squared, asm=True),
    "mse": LossKind(_squared, asm=False),
    "smooth_l1": LossKind(_smooth_l1, asm=False),
    "asm_smooth_l1": LossKind(_smooth_l1, asm=True),
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
    """The total loss and its terms.

    A batch is a dictionary of ``upright`` float32 [B, N, 2], fractions of the crop before
    augmentation; ``visible`` [B, N], 1 where a point has a label, in the same order; ``transform``
    float32 [B, 2, 3] and ``flipped`` bool [B], see ``move``; ``pose`` float32 [B, 3], yaw, pitch
    and roll of the augmented crop in degrees, NaN where unknown.
    """

    def __init__(self, loss: str, *, scheme: Scheme, operator: AsmOperator | None = None) -> None:
        """Choose the loss.

        Args:
            loss: a key of ``LOSSES``.
            operator: smooths the truth; without it the term ``asm`` is 0.

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

    def truth(self, batch: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """G in the augmented crop and which of its points have a label.

        Returns:
            float32 [B, N, 2], 0 where there is no label; bool [B, N].
        """
        upright, labelled = _labelled(batch)
        moved = self._move(upright, batch)
        labelled = swap_pairs(labelled, batch["flipped"], self.scheme.mirror)
        return tf.where(labelled[..., None], moved, 0.0), labelled

    def smoothed(self, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """A = T ASM(G), float32 [B, N, 2], fractions of the augmented crop.

        Raises:
            UsageError: the loss has no operator.
        """
        if self.operator is None:
            raise UsageError("the smoothed truth needs a shape model")
        upright, labelled = _labelled(batch)
        return self._move(self.operator(upright, labelled), batch)

    def terms(
        self,
        batch: Mapping[str, tf.Tensor],
        prediction: Mapping[str, tf.Tensor],
        alpha: tf.Tensor | float,
    ) -> dict[str, tf.Tensor]:
        """Every term as a float32 scalar; units are in ``TERM_UNITS``.

        Args:
            batch: see the class.
            prediction: ``landmarks`` [B, 2N] and ``pose`` [B, 3] of a network.
            alpha: weight of L_asm in this epoch (Eq. 10).

        Returns:
            ``mse`` (Eq. 7) and ``asm`` (Eq. 8): squared errors per coordinate, averaged over the
            labelled points and the pictures; both are given for every loss. ``landmark``: the
            landmarks' part of the total, Eq. 9 or the chosen distance. ``pose`` (Eq. 11): averaged
            over the known angles and the pictures. ``total`` = landmark + 0.5 pose. Means are those
            of ``mean_over_labels``.
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
        return {
            "mse": mse,
            "asm": asm,
            "landmark": landmark,
            "pose": pose,
            "total": landmark + POSE_WEIGHT * pose,
        }

    def towards(
        self,
        batch: Mapping[str, tf.Tensor],
        prediction: Mapping[str, tf.Tensor],
        target: Mapping[str, tf.Tensor],
    ) -> tf.Tensor:
        """What ``total`` would be without ASM term, were another network's outputs the truth.

        Args:
            batch: see the class; its labels play no part.
            prediction, target: ``landmarks`` [B, 2N] and, in both or neither, ``pose`` [B, 3].
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
            total += POSE_WEIGHT * tf.reduce_mean(difference**2)
        return total

    def _move(self, points: tf.Tensor, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
        transform = tf.cast(batch["transform"], tf.float32)
        return move(points, transform, batch["flipped"], self.scheme.mirror)


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


def _labelled(batch: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
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
