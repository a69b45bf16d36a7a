"""A batch: pictures that augmentation has moved, and their labels, which it has not.

Augmentation mirrors, turns, enlarges and shifts a picture. Its labels arrive *upright*: as they lie
in the face's crop before that. Beside them come ``transform`` and ``flipped``, which say how the
picture was moved, and ``move_labels`` takes the labels after it. The loss calls it, not the
pipeline, because ASM-LOSS must smooth a face before it is turned: a shape model of upright faces
cannot smooth a turned one (at 45 degrees it would be 25 % of the eye distance away).

Axes: B pictures, S pixels, N landmarks. Points are fractions of the crop's side from its centre,
x right, y down.
"""

from typing import TypedDict

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray


class Batch(TypedDict):
    """One step's share of one replica; ``FaceBatches`` makes it, ``AsmLoss`` reads it.

    Attributes:
        image: uint8 [B, S, S, 3], RGB, of the augmented crop.
        upright: float32 [B, N, 2], landmarks in the crop before augmentation, left and right as the
            un-mirrored face has them; anything where there is no label.
        visible: float32 [B, N], in the same order: 0 where there is no label, else what an error
            counts there.
        transform: float32 [B, 2, 3], fractions of the upright crop to fractions of the augmented
            one, p -> M p + t; where ``flipped`` it holds the reflection, so that det M < 0.
        flipped: bool [B], whether the picture was mirrored, so that left and right landmarks swap.
        visibility: float32 [B, N], in the order of ``upright``: 1 for a point that can be seen, 0
            for one that is hidden, in the picture or by what augmentation put there; NaN where it
            is not known.
        pose: float32 [B, 3], yaw, pitch and roll of the *augmented* crop in degrees; NaN where
            unknown. A pose has no shape to smooth, so the pipeline moves it.
    """

    image: tf.Tensor
    upright: tf.Tensor
    visible: tf.Tensor
    transform: tf.Tensor
    flipped: tf.Tensor
    pose: tf.Tensor
    visibility: tf.Tensor


def move_labels(points: tf.Tensor, batch: Batch, mirror: NDArray[np.int64]) -> tf.Tensor:
    """Points of the upright crops where the augmented pictures have them.

    Args:
        points: float32 [B, N, 2], fractions of the upright crop: ``batch["upright"]``, or what a
            shape model makes of it.
        batch: whose pictures were moved.
        mirror: int [N], ``Scheme.mirror``.

    Returns:
        float32 [B, N, 2], fractions of the augmented crop; landmark n of the result is landmark n
        of the face that the picture shows.
    """
    transform = tf.cast(batch["transform"], tf.float32)
    points = swap_pairs(points, batch["flipped"], mirror)
    return tf.matmul(points, transform[:, :, :2], transpose_b=True) + transform[:, None, :, 2]


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
