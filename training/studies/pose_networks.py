"""Tiny networks from a face's landmarks to its head pose, for ``pose_study`` to compare.

Each has a few thousand weights and is trained in about a minute, on the landmarks that a model
*predicts*, whose errors it learns to live with, or on the labelled ones. Networks see every face in
its mirror image, too.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.face.pose import ANGLES, POSE_UNIT_DEGREES, mirrored_pose
from asmnet_kit.face.schemes import Scheme, mirrored

Array = NDArray[np.float32]

BATCH, EPOCHS, LEARNING_RATE = 256, 40, 3e-3
HUBER_DEGREES = 2.0  # errors beyond count linearly: what is judged is the mean absolute error
CROP_UNIT = 0.3  # sides of the crop: landmarks lie about so far from its centre
SIGMA_UNIT = 0.01  # sides of the crop


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model says of B crops with N landmarks each, beside the truth; NaN where unknown.

    Attributes:
        landmarks: float32 [B, N, 2], fractions of the crop's side from its centre, as predicted.
        labels: the same, as labelled.
        pose: float32 [B, 3] yaw, pitch, roll in degrees, the model's output.
        truth: the same, of the labels.
        sigma: float32 [B, N], sides of the crop; all NaN for a model without an uncertainty.
        visible: float32 [B, N], probability; all NaN for a model without that output.
    """

    landmarks: Array
    labels: Array
    pose: Array
    truth: Array
    sigma: Array
    visible: Array

    def mirrored(self, scheme: Scheme) -> "Answers":
        """Of the mirror images."""
        return Answers(
            landmarks=mirrored(self.landmarks, 1.0, scheme),
            labels=mirrored(self.labels, 1.0, scheme),
            pose=mirrored_pose(self.pose),
            truth=mirrored_pose(self.truth),
            sigma=self.sigma[:, scheme.mirror],
            visible=self.visible[:, scheme.mirror],
        )

    def as_labelled(self) -> "Answers":
        """With the labels in place of what was predicted."""
        return replace(self, landmarks=self.labels)

    @classmethod
    def joined(cls, parts: list["Answers"]) -> "Answers":
        """Several as one."""
        return cls(
            **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)}
        )


@dataclass(frozen=True)
class Design:
    """One tiny network.

    Attributes:
        title: in the tables.
        hidden: units of its hidden layers.
        frame: of the landmarks: ``face``, centred on their mean and divided by their spread, or
            ``crop``, as the model's file gives them, so that its layers could stand in that file.
        labels: whether it is trained on the labelled landmarks.
        sure: whether sigmas and visibilities are inputs, too.
        head: whether the pose that the model's own output gives is an input, too.
        sets: Deep Sets (Zaheer et al., NeurIPS 2017): the same layer for every landmark, with a
            bias of its own, and the mean over the landmarks; else all landmarks into one layer.
    """

    title: str
    hidden: tuple[int, int] = (32, 16)
    frame: str = "face"
    labels: bool = False
    sure: bool = False
    head: bool = False
    sets: bool = False

    def inputs(self, answers: Answers) -> Array:
        """float32 [B, N, F], or [B, K] for a network that takes all landmarks into one layer."""
        points = answers.landmarks
        size = np.full((len(points), 1, 1), CROP_UNIT, np.float32)
        if self.frame == "face":
            points = points - points.mean(axis=1, keepdims=True)
            size = np.sqrt((points**2).sum(axis=2).mean(axis=1))[:, None, None]
        parts = [points / size]
        if self.sure:
            parts += [
                np.log(answers.sigma / SIGMA_UNIT)[..., None],
                2 * answers.visible[..., None] - 1,
            ]
        inputs = np.concatenate(parts, axis=2)
        if not self.sets:
            inputs = inputs.reshape(len(inputs), -1)
        if self.head:
            inputs = np.concatenate([inputs, answers.pose / POSE_UNIT_DEGREES], axis=1)
        return np.asarray(inputs, np.float32)

    def network(self, shape: tuple[int, ...]) -> Any:
        """A fresh ``tf_keras`` model for inputs of ``shape``, without the batch."""
        from tf_keras import Input, Model, layers

        inputs = Input(shape)
        first, second = self.hidden
        if self.sets:
            x = layers.EinsumDense(
                "bnf,fh->bnh", output_shape=(shape[0], first), bias_axes="nh", activation="relu"
            )(inputs)
            x = layers.Dense(first, activation="relu")(x)
            x = layers.GlobalAveragePooling1D()(x)
        else:
            x = layers.Dense(first, activation="relu")(inputs)
        x = layers.Dense(second, activation="relu")(x)
        return Model(inputs, layers.Dense(len(ANGLES))(x))


@dataclass(frozen=True, eq=False)
class Trained:
    """A network of a design.

    Attributes:
        weights: how many it has.
        pose_of: answers of B faces -> float32 [B, 3] yaw, pitch, roll in degrees.
    """

    weights: int
    pose_of: Callable[[Answers], Array]


def train(
    design: Design, answers: Answers, scheme: Scheme, *, seed: int, epochs: int = EPOCHS
) -> Trained:
    """Train a network on faces whose pose is known.

    Args:
        answers: of the faces to train on; their mirror images are added.
        seed: of the first weights and the order.
    """
    from tf_keras import losses, optimizers, utils

    utils.set_random_seed(seed)
    shown = answers.as_labelled() if design.labels else answers
    both = Answers.joined([shown, shown.mirrored(scheme)])
    inputs, targets = design.inputs(both), both.truth / POSE_UNIT_DEGREES
    model = design.network(inputs.shape[1:])
    steps = epochs * -(-len(inputs) // BATCH)
    model.compile(
        optimizers.Adam(optimizers.schedules.CosineDecay(LEARNING_RATE, steps)),
        losses.Huber(delta=HUBER_DEGREES / POSE_UNIT_DEGREES),
    )
    model.fit(inputs, targets, batch_size=BATCH, epochs=epochs, verbose=0)

    def pose_of(of: Answers) -> Array:
        predicted = model.predict(design.inputs(of), batch_size=BATCH, verbose=0)
        return np.asarray(POSE_UNIT_DEGREES * predicted, np.float32)

    return Trained(int(model.count_params()), pose_of)
