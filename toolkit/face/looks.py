"""Looking at a face in the box of a detector: twice.

Models learn from crops around landmarks, and a detector's box is off: on 633 validation photographs
the kit's misses the landmarks' side by 6.4 % and their middle by 3.2 % of it (standard deviations).
The box around what a first look sees misses them by 4.6 and 2.1 % (``asmnet_plus_people``). So a
second crop is cut around that, and the mean of both looks counts: it is better than either by as
much as the second look is better than the first (docs/accuracy.md has the figures).
"""

from dataclasses import replace
from typing import Protocol

import numpy as np

from asmnet_kit.face.boxes import MIN_OVERLAP, Box, overlap
from asmnet_kit.face.crop import Crop, landmark_box
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.predictor import Prediction, Predictor, refuse_nan


class Look(Protocol):
    """``look_once`` or ``look_twice``."""

    def __call__(
        self, predictor: Predictor, image: Image, box: Box, *, name: str
    ) -> tuple[Crop, Prediction]: ...


def look_once(
    predictor: Predictor, image: Image, box: Box, *, name: str
) -> tuple[Crop, Prediction]:
    """What a model says of the face in a box, of the crop that is cut around it.

    Args:
        image: uint8 [H, W, 3], RGB.
        name: of the face, for messages.

    Raises:
        DatasetError: the box is empty or not finite.
        ModelError: the model predicts NaN.
    """
    crop = Crop.from_box(box, size=predictor.input_size, scale=predictor.crop_scale)
    prediction = predictor.predict(crop.cut(image)[None])
    refuse_nan(predictor, [name], prediction)
    return crop, prediction


def look_twice(
    predictor: Predictor, image: Image, box: Box, *, name: str
) -> tuple[Crop, Prediction]:
    """As ``look_once``, for a box of a detector: the mean of two looks, of the first one's crop.

    There is no second look where the landmarks do not outline the face, so that a box around them
    is none of a face, nor where the first look has lost the box (they overlap by less than
    ``MIN_OVERLAP``).
    """
    crop, first = look_once(predictor, image, box, name=name)
    if not looks_twice(predictor):
        return crop, first
    seen = landmark_box(crop.to_picture(first.landmarks[0]))
    if overlap(seen, box) < MIN_OVERLAP:
        return crop, first
    closer, second = look_once(predictor, image, seen, name=name)
    return crop, _mean(first, _moved(second, closer, crop))


def looks_twice(predictor: Predictor) -> bool:
    """Whether the box around its landmarks is that of a face."""
    return predictor.scheme.outlines_face


def _moved(prediction: Prediction, source: Crop, target: Crop) -> Prediction:
    """What was said of one crop, of another crop of the picture."""
    return replace(
        prediction,
        landmarks=target.to_fractions(source.to_picture(prediction.landmarks)),
        sigma=None if prediction.sigma is None else prediction.sigma * (source.side / target.side),
    )


def _mean(first: Prediction, second: Prediction) -> Prediction:
    """Of two predictions of one model, value by value: both looks err alike, so neither is surer.

    Angles are those of a head that two looks see nearly alike; so they go no way round.
    """
    values = {
        name: None if value is None else np.asarray((value + getattr(second, name)) / 2, np.float32)
        for name, value in vars(first).items()
    }
    return Prediction(**values)
