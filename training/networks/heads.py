"""What every network ends with: linear outputs ``landmarks`` and ``pose``, others on demand.

``uncertainty`` [B, N]: natural logarithm of each point's standard deviation (per coordinate, the
same in x and y) in hundredths of the crop's side, so that sigma = 0.01 exp(u) sides. ``visibility``
[B, N]: the logit of the probability that a point can be seen. Both come from a few hidden values
over the last of the features: how sure a network can be follows from what is seen together (turn,
light, what is in front), not from details, and weights of their own for every position would cost
as much as half of the landmarks'.
"""

from collections.abc import Collection

import tensorflow as tf
import tf_keras

from asmnet_kit.face.uncertainty import UNCERTAINTY, VISIBILITY
from asmnet_kit.training.networks.mobilenet_v2_blocks import normalise, relu6

POSE_ANGLES = 3  # yaw, pitch, roll

# Features are linear and unbounded: with Glorot's weights those of ImageNet would throw the first
# shapes several crops wide, and an epoch would be spent on undoing it (its mean NME was 231 %).
# Weights near zero let the biases, the mean shape, speak first.
INITIAL_WEIGHTS_STD = 1e-3

EXTRA_OUTPUTS = (UNCERTAINTY, VISIBILITY)  # each [B, N], none by default
# ln of hundredths of the side: the mean shape, which a network says first, is about 4 away. From
# e^0 = 1 the first errors would be many sigmas, and the first gradients as large.
INITIAL_UNCERTAINTY = 1.4
EXTRA_CHANNELS = 32  # hidden values that the extra outputs share


def dense_outputs(
    features: tf.Tensor, *, points: int, extra: Collection[str] = ()
) -> dict[str, tf.Tensor]:
    """Linear layers over a vector of features, one for each output.

    They compute in float32 under mixed precision too: float16 would round a landmark to 1/2048 of
    the crop.

    Args:
        features: [B, C].
        extra: those of ``EXTRA_OUTPUTS`` that the network has too.

    Returns:
        ``landmarks`` [B, 2 points], x and y interleaved, fractions of the crop side from its
        centre; ``pose`` [B, 3], degrees / 90; the extra outputs, [B, points] each.
    """
    return {
        name: tf_keras.layers.Dense(
            width,
            kernel_initializer=small_weights(),
            bias_initializer=initial_bias(name),
            dtype="float32",
            name=name,
        )(features)
        for name, width in output_widths(points, extra).items()
    }


def narrowed(features: tf.Tensor, *, channels: int, name: str) -> tf.Tensor:
    """Fewer, bounded channels at every position: [B, H, W, C] -> [B, H, W, channels]."""
    x = tf_keras.layers.Conv2D(channels, 1, use_bias=False, name=name)(features)
    return relu6(normalise(x, name=f"{name}_BN"), name=f"{name}_relu")


def whole_map(features: tf.Tensor, *, channels: int, name: str) -> tf.Tensor:
    """A hidden layer that sees every position: [B, H, W, C] -> [B, 1, 1, channels].

    Where a landmark lies depends on the pose and on what is seen *together*, which a linear output
    over the map cannot express. No batch normalisation: at a single position it would normalise by
    the statistics of no more values than a batch has pictures, which is mostly noise.
    """
    window = features.shape[1:3]
    x = tf_keras.layers.Conv2D(channels, window, name=name)(features)
    return relu6(x, name=f"{name}_relu")


def positional_outputs(
    *taps: tf.Tensor, points: int, extra: Collection[str] = ()
) -> dict[str, tf.Tensor]:
    """Linear layers over whole maps, one for each output: every position has its own weights.

    They are convolutions with a kernel as large as the map, the same arithmetic as a dense layer
    over the flattened map. int8 convolutions scale the weights of each output separately; dense
    layers share one scale, on the Edge TPU and in older runtimes. The sums of several maps are
    added: a dense layer over their concatenation, but that each keeps its own scale in int8.

    Args:
        taps: [B, H, W, C] each; sizes may differ. Extra outputs read the last one alone,
            through a hidden layer that they share.
        extra: those of ``EXTRA_OUTPUTS`` that the network has too.

    Returns:
        As ``dense_outputs``.
    """
    outputs = {}
    shared = [whole_map(taps[-1], channels=EXTRA_CHANNELS, name="extra")] if extra else []
    for name, width in output_widths(points, extra).items():
        read = shared if name in EXTRA_OUTPUTS else taps
        sums = [
            tf_keras.layers.Conv2D(
                width,
                tap.shape[1:3],
                use_bias=index == 0,  # one bias for all: the mean shape
                kernel_initializer=small_weights(),
                bias_initializer=initial_bias(name),
                dtype="float32",
                name=f"{name}_conv" if index == 0 else f"{name}_conv_{index}",
            )(tap)
            for index, tap in enumerate(read)
        ]
        x = tf_keras.layers.Add(dtype="float32", name=f"{name}_sum")(sums) if read[1:] else sums[0]
        outputs[name] = tf_keras.layers.Reshape((width,), dtype="float32", name=name)(x)
    return outputs


def freeze_outputs(model: tf_keras.Model, names: Collection[str]) -> None:
    """Take every layer that these outputs are made of out of training; its statistics stay, too.

    Args:
        names: of outputs of ``model``, a dictionary.
    """
    for layer in layers_of(model, names):
        layer.trainable = False


def layers_of(model: tf_keras.Model, names: Collection[str]) -> list[tf_keras.layers.Layer]:
    """Every layer that these outputs of ``model``, a dictionary, are made of."""
    outputs = [model.output[name] for name in names]
    layers: list[tf_keras.layers.Layer] = tf_keras.Model(model.input, outputs).layers
    return layers


def landmark_layer(model: tf_keras.Model) -> tf_keras.layers.Layer | None:
    """The layer whose bias is the mean shape at first; None in a network that ends otherwise."""
    layers = {layer.name: layer for layer in model.layers}
    return layers.get("landmarks_conv") or layers.get("landmarks")


def output_widths(points: int, extra: Collection[str] = ()) -> dict[str, int]:
    """How many values each output has."""
    widths = {"landmarks": 2 * points, "pose": POSE_ANGLES}
    return widths | {name: points for name in EXTRA_OUTPUTS if name in extra}


def initial_bias(name: str) -> tf_keras.initializers.Initializer:
    """What an output says before it has learnt anything."""
    return tf_keras.initializers.Constant(INITIAL_UNCERTAINTY if name == UNCERTAINTY else 0.0)


def small_weights() -> tf_keras.initializers.Initializer:
    """Initial weights of an output layer, by the global seed."""
    return tf_keras.initializers.RandomNormal(stddev=INITIAL_WEIGHTS_STD)
