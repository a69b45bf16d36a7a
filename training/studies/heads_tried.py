"""Networks of ``asmnet_nano``'s size that ``head_study`` compares with it.

``nano_pip``: a head in the manner of PIPNet (Jin, Liao, Shao, IJCV 2021, arXiv 2003.03771): every
cell of the last map has a score for each point and says where the point lies. PIPNet takes the best
cell; here the scores' softmax weighs all cells, so that training and int8 need no arg max.
``nano_pip_neighbours``: each cell also says where the point's nearest neighbours on the mean face
lie, and a point is the mean of what is said of it. ``nano_branches``: several convolutions beside
each other in training that are one at inference (RepVGG, Ding et al., CVPR 2021; MobileOne, Vasu
et al., CVPR 2023); what is trained here computes what the folded network would.
"""

from collections.abc import Collection

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from asmnet_kit.face.generic_face import positions_of
from asmnet_kit.face.schemes import scheme_of
from asmnet_kit.training.networks import asmnet_nano as nano
from asmnet_kit.training.networks.heads import (
    narrowed,
    positional_outputs,
    small_weights,
    whole_map,
)
from asmnet_kit.training.networks.mobilenet_v2_blocks import (
    Block,
    backbone,
    normalise,
    relu6,
    stem,
)

Array = NDArray[np.float64]

NEIGHBOURS = 3
BRANCHES = 3  # 3 x 3 convolutions of each depthwise layer, beside a 1 x 1 and the input itself


def nano_pip(image: tf.Tensor, *, points: int, extra: Collection[str] = ()) -> dict[str, tf.Tensor]:
    """Scores and offsets in every cell of the last map; see the module."""
    return _pip(image, points, extra, neighbours=0)


def nano_pip_neighbours(
    image: tf.Tensor, *, points: int, extra: Collection[str] = ()
) -> dict[str, tf.Tensor]:
    """As ``nano_pip``, each cell saying where a point's neighbours lie, too."""
    return _pip(image, points, extra, neighbours=NEIGHBOURS)


def nano_branches(
    image: tf.Tensor, *, points: int, extra: Collection[str] = ()
) -> dict[str, tf.Tensor]:
    """``asmnet_nano`` whose depthwise layers are sums of branches in training."""
    x = stem(image, channels=nano.STEM_CHANNELS)
    for index, block in enumerate(nano.BLOCKS):
        x = _branched_residual(x, block, index=index)
    x = narrowed(x, channels=nano.HEAD_CHANNELS, name="narrow")
    x = whole_map(x, channels=nano.HIDDEN_CHANNELS, name="whole")
    return positional_outputs(x, points=points, extra=extra)


def _pip(
    image: tf.Tensor, points: int, extra: Collection[str], *, neighbours: int
) -> dict[str, tf.Tensor]:
    last = backbone(image, nano.BLOCKS, stem_channels=nano.STEM_CHANNELS)[-1]
    rows, columns = last.shape[1:3]
    scores = tf_keras.layers.Conv2D(points, 1, kernel_initializer=small_weights(), name="scores")(
        last
    )
    weights = tf_keras.layers.Softmax(axis=1, dtype="float32", name="weights")(
        tf_keras.layers.Reshape((rows * columns, points), name="cells")(scores)
    )
    middle = _fixed(_centres(rows, columns), name="middle")(
        tf_keras.layers.Permute((2, 1))(weights)
    )  # [B, points, 2]: where the cells lie that speak for a point
    middle = tf_keras.layers.Reshape((2 * points,))(middle)
    said = []
    for rank in range(neighbours + 1):
        # What a cell says of point p, or of its neighbour of this rank, from the cell's middle.
        offsets = tf_keras.layers.Conv2D(
            2 * points,
            1,
            kernel_initializer=small_weights(),
            dtype="float32",
            name="landmarks_conv" if rank == 0 else f"neighbour_{rank}",
        )(last)
        offsets = tf_keras.layers.Reshape((rows * columns, points, 2))(offsets)
        shares = tf_keras.layers.Reshape((rows * columns, points, 1))(weights)
        heard = tf_keras.layers.Multiply()([shares, offsets])
        heard = tf_keras.layers.Reshape((rows * columns, 2 * points))(heard)
        mean = tf_keras.layers.GlobalAveragePooling1D()(heard)
        total = tf_keras.layers.Rescaling(rows * columns)(mean)
        said.append(tf_keras.layers.Add()([middle, total]))  # [B, 2 points]
    landmarks = said[0]
    if neighbours:
        spoken_of = np.concatenate([np.arange(points), *_nearest(points, neighbours).T])
        mix = np.kron(_mean_by_point(spoken_of, points), np.eye(2)).T
        landmarks = _fixed(mix, name="mean")(tf_keras.layers.Concatenate()(said))
    x = narrowed(last, channels=nano.HEAD_CHANNELS, name="narrow")
    others = positional_outputs(x, points=points, extra=extra)
    flat = tf_keras.layers.Reshape((2 * points,), dtype="float32", name="landmarks")(landmarks)
    return {"landmarks": flat, **{name: y for name, y in others.items() if name != "landmarks"}}


def _fixed(matrix: Array, *, name: str) -> tf_keras.layers.Layer:
    """A product with a matrix that is not learnt, as a layer that a run's file can hold."""
    return tf_keras.layers.Dense(
        matrix.shape[1],
        use_bias=False,
        kernel_initializer=tf_keras.initializers.Constant(matrix.tolist()),
        trainable=False,
        dtype="float32",
        name=name,
    )


def _centres(rows: int, columns: int) -> Array:
    """Of the cells, row by row: float64 [rows * columns, 2], fractions from the crop's middle."""
    y, x = np.mgrid[0:rows, 0:columns]
    return np.stack([(x.ravel() + 0.5) / columns - 0.5, (y.ravel() + 0.5) / rows - 0.5], axis=1)


def _nearest(points: int, count: int) -> NDArray[np.int64]:
    """Each point's nearest others on the generic face: int64 [points, count]."""
    face = positions_of(scheme_of(points))
    distances = np.linalg.norm(face[:, None] - face[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    return np.argsort(distances, axis=1)[:, :count]


def _mean_by_point(spoken_of: NDArray[np.int64], points: int) -> Array:
    """Row p averages all columns that speak of point p: float64 [points, len(spoken_of)]."""
    mix = (spoken_of[None] == np.arange(points)[:, None]).astype(np.float64)
    return np.asarray(mix / mix.sum(axis=1, keepdims=True))


def _branched_residual(x: tf.Tensor, block: Block, *, index: int) -> tf.Tensor:
    name, entry, channels = f"block_{index}", x, x.shape[-1]
    if block.expansion > 1:
        x = tf_keras.layers.Conv2D(
            block.expansion * channels, 1, use_bias=False, name=f"{name}_expand"
        )(x)
        x = relu6(normalise(x, name=f"{name}_expand_BN"), name=f"{name}_expand_relu")
    sizes = (*(3,) * BRANCHES, 1)
    branches = [
        normalise(
            tf_keras.layers.DepthwiseConv2D(
                size,
                strides=block.stride,
                padding="same",
                use_bias=False,
                name=f"{name}_depthwise_{number}",
            )(x),
            name=f"{name}_depthwise_BN_{number}",
        )
        for number, size in enumerate(sizes)
    ]
    if block.stride == 1:
        branches.append(normalise(x, name=f"{name}_skip_BN"))
    x = relu6(tf_keras.layers.Add(name=f"{name}_branches")(branches), name=f"{name}_relu")
    x = tf_keras.layers.Conv2D(block.channels, 1, use_bias=False, name=f"{name}_project")(x)
    x = normalise(x, name=f"{name}_project_BN")
    if block.stride == 1 and channels == block.channels:
        x = tf_keras.layers.Add(name=f"{name}_add")([entry, x])
    return x
