"""What every network ends with: linear outputs ``landmarks`` and ``pose``."""

import tensorflow as tf
import tf_keras

POSE_ANGLES = 3  # yaw, pitch, roll


def dense_outputs(features: tf.Tensor, *, points: int) -> dict[str, tf.Tensor]:
    """Two linear layers over a vector of features.

    They compute in float32 under mixed precision too: float16 would round a landmark to 1/2048 of
    the crop.

    Args:
        features: [B, C].

    Returns:
        ``landmarks`` [B, 2 points], x and y interleaved, fractions of the crop side from its
        centre; ``pose`` [B, 3], degrees / 90.
    """
    return {
        "landmarks": tf_keras.layers.Dense(2 * points, dtype="float32", name="landmarks")(features),
        "pose": tf_keras.layers.Dense(POSE_ANGLES, dtype="float32", name="pose")(features),
    }


def positional_outputs(features: tf.Tensor, *, points: int) -> dict[str, tf.Tensor]:
    """Two linear layers over a whole map: every position of it has its own weights.

    They are convolutions with a kernel as large as the map, the same arithmetic as a dense layer
    over the flattened map. int8 convolutions scale the weights of each output separately; dense
    layers share one scale, on the Edge TPU and in older runtimes.

    Args:
        features: [B, H, W, C].

    Returns:
        As ``dense_outputs``.
    """
    window = features.shape[1:3]
    outputs = {}
    for name, width in {"landmarks": 2 * points, "pose": POSE_ANGLES}.items():
        x = tf_keras.layers.Conv2D(width, window, dtype="float32", name=f"{name}_conv")(features)
        outputs[name] = tf_keras.layers.Reshape((width,), dtype="float32", name=name)(x)
    return outputs
