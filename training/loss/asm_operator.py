"""Eq. 4 of ASM-LOSS, the smoothing of ``ShapeModel.smooth``, as TensorFlow operations.

It smooths *upright* truths (``asmnet_kit.training.batch``). Axes: B pictures, N landmarks, K
components, 2 coordinates (x right, y down).
"""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from asmnet_kit.face.shape_model.operator import CLAMP, PRIOR_WEIGHT, ShapeModel


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
    """``shape_model.similarity_from_reference``, the same steps as TensorFlow ops."""
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
