"""What every model does, whichever file it is in: crops in, landmarks and pose out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.pose import POSE_UNIT_DEGREES
from asmnet_kit.face.schemes import Scheme, mirrored
from asmnet_kit.face.uncertainty import (
    UNCERTAINTY,
    VISIBILITY,
    Calibration,
    expected_nme,
    sigma_of,
    visible_of,
)

FARTHEST_SIDES = 1e4  # of the crop: a landmark beyond is as good as infinite


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a model says about B crops.

    Attributes:
        landmarks: float32 [B, N, 2], fractions of the crop's side from its centre, x right, y down.
        pose: float32 [B, 3] yaw, pitch, roll in degrees (signs: asmnet_kit.face.pose), or None for
            a model without a pose output.
        sigma: float32 [B, N], standard deviation of each point per coordinate, the same in x and y,
            sides of the crop; None for a model without an uncertainty output.
        visible: float32 [B, N], probability that the point can be seen; None for a model without a
            visibility output.
        confidence: float32 [B], probability that the face's NME is at most 8 %, by the sigmas; None
            for a file that is not calibrated for it (asmnet_kit.face.uncertainty).
        expected: float32 [B], the NME that the sigmas let expect of the model's own landmarks, as a
            share of their normaliser; None without sigmas.
    """

    landmarks: NDArray[np.float32]
    pose: NDArray[np.float32] | None
    sigma: NDArray[np.float32] | None = None
    visible: NDArray[np.float32] | None = None
    confidence: NDArray[np.float32] | None = None
    expected: NDArray[np.float32] | None = None

    @classmethod
    def of_outputs(
        cls,
        outputs: Mapping[str, NDArray[np.float32]],
        scheme: Scheme,
        calibration: Calibration | None = None,
    ) -> "Prediction":
        """What a network's real outputs mean.

        Args:
            outputs: by name, [B, width] each; ``landmarks`` and any of the others.
            calibration: of the uncertainty.
        """
        landmarks = outputs["landmarks"].reshape(-1, scheme.points, 2)
        pose = outputs.get("pose")
        factor = 1.0 if calibration is None else calibration.factor
        sigma = sigma_of(outputs[UNCERTAINTY], factor) if UNCERTAINTY in outputs else None
        fit = None if calibration is None else calibration.confidence
        expected = confidence = None
        if sigma is not None:
            expected = expected_nme(sigma, landmarks, scheme).astype(np.float32)
            confidence = None if fit is None else fit.probability(expected).astype(np.float32)
        return cls(
            landmarks=landmarks,
            pose=None if pose is None else POSE_UNIT_DEGREES * pose,
            sigma=sigma,
            visible=visible_of(outputs[VISIBILITY]) if VISIBILITY in outputs else None,
            confidence=confidence,
            expected=expected,
        )

    def mirrored(self, scheme: Scheme) -> "Prediction":
        """The same said of the crops' mirror images.

        Args:
            scheme: of the landmarks.
        """
        order = scheme.mirror
        return replace(
            self,
            # Fractions lie about the crop's centre, which stays where it is: x becomes -x.
            landmarks=mirrored(self.landmarks, 1.0, scheme).astype(np.float32),
            pose=None if self.pose is None else self.pose * np.array([-1, 1, -1], np.float32),
            sigma=None if self.sigma is None else self.sigma[:, order],
            visible=None if self.visible is None else self.visible[:, order],
        )

    def mean_with(self, other: "Prediction") -> "Prediction":
        """Value by value, of two answers about the same crops by one model.

        Both err alike, so neither is surer for the other. Angles are those of heads that both see
        nearly alike; so they go no way round.
        """
        return self._each(lambda name, value: (value + getattr(other, name)) / 2)

    def replaced(self, rows: Sequence[int], other: "Prediction") -> "Prediction":
        """With ``other`` in the place of some crops' rows, in their order."""

        def replace_rows(name: str, value: NDArray[np.float32]) -> NDArray[np.float32]:
            value = value.copy()
            value[list(rows)] = getattr(other, name)
            return value

        return self._each(replace_rows)

    def chosen(self, rows: Sequence[int]) -> "Prediction":
        """What it says of some of the crops."""
        return self._each(lambda name, value: value[list(rows)])

    def _each(
        self, change: Callable[[str, NDArray[np.float32]], NDArray[np.float32]]
    ) -> "Prediction":
        """Every output changed by ``change(name, values)``."""
        values: dict[str, Any] = {
            name: None if value is None else change(name, value)
            for name, value in vars(self).items()
        }
        return Prediction(**values)

    def in_scheme(self, own: Scheme, target: Scheme) -> "Prediction":
        """The same said with another scheme's landmarks.

        Of a landmark that is a mean of several, sigma and visibility are their means: neighbours
        err together, so their errors do not cancel.

        Args:
            own: scheme of the prediction.

        Raises:
            UsageError: there is no map from ``own`` to ``target``.
        """
        if own == target:
            return self
        weights = own.map_to(target).T.astype(np.float32)  # [own.points, target.points]
        return replace(
            self,
            landmarks=own.mapped(self.landmarks, target),
            sigma=None if self.sigma is None else self.sigma @ weights,
            visible=None if self.visible is None else self.visible @ weights,
        )


class Predictor(Protocol):
    """A loaded model.

    Attributes:
        name: of the file or run folder.
        scheme: the landmarks it predicts.
        input_size: side of its crops, pixels.
        crop_scale: side of its crops as a multiple of the face box's longer side.
    """

    @property
    def name(self) -> str: ...

    @property
    def scheme(self) -> Scheme: ...

    @property
    def input_size(self) -> int: ...

    @property
    def crop_scale(self) -> float: ...

    def predict(self, crops: Image) -> Prediction:
        """Run the model on crops, uint8 [B, input_size, input_size, 3], RGB."""
        ...


class InScheme:
    """A predictor that gives another scheme's landmarks.

    Attributes:
        own: the predictor of the model's own landmarks.

    Raises:
        UsageError: there is no map from its own.
    """

    def __init__(self, predictor: Predictor, scheme: Scheme) -> None:
        predictor.scheme.map_to(scheme)
        self.own, self.scheme = predictor, scheme
        self.name = predictor.name
        self.input_size, self.crop_scale = predictor.input_size, predictor.crop_scale

    def predict(self, crops: Image) -> Prediction:
        """As the predictor does, mapped."""
        return self.own.predict(crops).in_scheme(self.own.scheme, self.scheme)


def refuse_nan(predictor: Predictor, names: Sequence[str], predicted: Prediction) -> None:
    """Refuse predictions that are no numbers.

    Args:
        names: of the faces, one for each prediction.

    Raises:
        ModelError: a landmark, an angle, a sigma or a visibility is NaN or infinite, or a landmark
            lies ``FARTHEST_SIDES`` away; the first such face is named.
    """
    # NaN is not below anything.
    finite = (np.abs(predicted.landmarks) < FARTHEST_SIDES).all(axis=(1, 2))
    if predicted.pose is not None:
        finite &= np.isfinite(predicted.pose).all(axis=1)
    for values in (predicted.sigma, predicted.visible):
        if values is not None:
            finite &= np.isfinite(values).all(axis=1)
    if not finite.all():
        raise ModelError(
            f"{predictor.name}: predicted NaN or infinity for {names[int(np.argmin(finite))]}; its "
            "weights are broken, train or convert it again"
        )


def predict_and_mirrored(predictor: Predictor, crop: Image, *, name: str) -> NDArray[np.float32]:
    """The answers to a crop and to its mirror image, the latter turned back.

    To the crop alone where a mirror image does not have the scheme's landmarks.

    Args:
        crop: uint8 [input_size, input_size, 3], RGB.
        name: of the face, for messages.

    Returns:
        float32 [2, N, 2] (or [1, N, 2]), fractions of the crop's side from its centre.

    Raises:
        ModelError: the model predicts NaN.
    """
    if predictor.scheme.is_one_sided:
        predicted = predictor.predict(crop[None])
        refuse_nan(predictor, [name], predicted)
        return predicted.landmarks
    predicted = predictor.predict(np.stack([crop, crop[:, ::-1]]))
    refuse_nan(predictor, [name, f"{name}, mirrored"], predicted)
    turned_back = predicted.mirrored(predictor.scheme)
    return np.stack([predicted.landmarks[0], turned_back.landmarks[1]])


def predict_both_ways(predictor: Predictor, crops: Image, *, names: Sequence[str]) -> Prediction:
    """The mean of the answers to crops and to their mirror images, which leans to neither side.

    Of the crops alone where a mirror image does not have the scheme's landmarks.

    Args:
        crops: uint8 [B, input_size, input_size, 3], RGB.
        names: of the B faces, for messages.

    Raises:
        ModelError: the model predicts NaN.
    """
    straight = predictor.predict(crops)
    if predictor.scheme.has_mirror_image:
        turned = predictor.predict(np.ascontiguousarray(crops[:, :, ::-1]))
        straight = straight.mean_with(turned.mirrored(predictor.scheme))
    refuse_nan(predictor, names, straight)
    return straight
