"""Labels arrive upright and move with the picture."""

import numpy as np
import tensorflow as tf

from asmnet_kit.training.batch import move_labels


def moved(transform: tf.Tensor, flipped: list[bool]) -> dict[str, tf.Tensor]:
    """What a batch says of how its pictures were moved."""
    return {"transform": tf.constant(transform), "flipped": tf.constant(flipped)}


def test_labels_of_a_mirrored_picture_are_reflected_and_their_pairs_swapped() -> None:
    # Three points: a pair (0, 1) and a middle one. Mirroring puts the left point's mirror image
    # under the right one's number.
    points = tf.constant([[[-0.4, 0.1], [0.3, 0.2], [0.1, 0.0]]] * 2)
    keep, reflect = [[1.0, 0, 0], [0, 1, 0]], [[-1.0, 0, 0], [0, 1, 0]]
    labels = move_labels(points, moved([keep, reflect], [False, True]), np.array([1, 0, 2]))
    np.testing.assert_allclose(labels[0], points[0])
    np.testing.assert_allclose(labels[1], [[-0.3, 0.2], [0.4, 0.1], [-0.1, 0.0]])


def test_a_turn_by_90_degrees_takes_right_to_down_and_then_shifts() -> None:
    turn = moved([[[0.0, -1, 0.5], [1, 0, 0.25]]], [False])
    labels = move_labels(tf.constant([[[1.0, 0.0]]]), turn, np.array([0]))
    np.testing.assert_allclose(labels, [[[0.5, 1.25]]])
