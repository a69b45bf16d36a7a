"""Looking at faces in the boxes of a detector: twice.

Models learn from crops around landmarks, and a detector's box is off: on 560 complete validation
photographs (docs/people.md) the kit's misses the side of the landmarks' box by 6.4 % and its middle
by 3.2 % of that (standard deviations); the box around what a first look sees by 4.6 and 2.1 %
(``asmnet_plus_people``). So a second crop is cut around that, and the mean of both looks counts;
docs/predict.md has what that brings.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from asmnet_kit.face.boxes import MIN_OVERLAP, Box, overlap
from asmnet_kit.face.crop import Crop, landmark_box
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.predictor import InScheme, Prediction, Predictor, refuse_nan


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

    There is one look where ``second_crops`` gives no second. Landmarks of another scheme are those
    that follow from the model's own in both looks.
    """
    if isinstance(predictor, InScheme):
        crop, said = look_twice(predictor.own, image, box, name=name)
        return crop, said.in_scheme(predictor.own.scheme, predictor.scheme)
    crop, first = look_once(predictor, image, box, name=name)
    (closer,) = second_crops(predictor, [box], [crop], first)
    if closer is None:
        return crop, first
    second = predictor.predict(closer.cut(image)[None])
    refuse_nan(predictor, [name], second)
    return crop, mean_of_looks([crop], first, [closer], second)


def looks_at(predictor: Predictor, *, detected: bool) -> int:
    """How often a model looks at a face.

    Args:
        detected: in a detector's box.
    """
    return 2 if detected and _looks_again(predictor) else _passes(predictor)


def _passes(predictor: Predictor) -> int:
    """How often it looks by itself, as an adapter says."""
    passes: int = getattr(predictor, "passes", 1)
    return passes


def _looks_again(predictor: Predictor) -> bool:
    """Whether the box around its landmarks is that of a face, and it does not look again itself."""
    return predictor.scheme.outlines_face and _passes(predictor) == 1


def second_crops(
    predictor: Predictor, boxes: Sequence[Box], crops: Sequence[Crop], first: Prediction
) -> list[Crop | None]:
    """Where to look again: around what a model saw in crops around boxes of a detector.

    Args:
        boxes, crops: of B faces.
        first: what the model said of these crops.

    Returns:
        For each face a crop; None where the model does not look again: its landmarks outline no
        face, it looks again itself, or it has lost the box (what it saw overlaps it by less than
        ``MIN_OVERLAP``).
    """
    if not _looks_again(predictor):
        return [None] * len(crops)
    seen = [
        landmark_box(crop.to_picture(points))
        for crop, points in zip(crops, first.landmarks, strict=True)
    ]
    return [
        Crop.from_box(again, size=predictor.input_size, scale=predictor.crop_scale)
        if overlap(again, box) >= MIN_OVERLAP
        else None
        for again, box in zip(seen, boxes, strict=True)
    ]


def mean_of_looks(
    crops: Sequence[Crop], first: Prediction, closer: Sequence[Crop | None], second: Prediction
) -> Prediction:
    """The mean of two looks, value by value: both err alike, so neither is surer.

    Angles are those of a head that two looks see nearly alike; so they go no way round.

    Args:
        crops, first: of B faces, and what was said of them.
        closer: of the second look; None for a face that got none.
        second: what was said of those that are not None, in their order.

    Returns:
        Of ``crops``, all B.
    """
    again = np.array([number for number, crop in enumerate(closer) if crop is not None], np.intp)
    pairs = [
        (target, source) for target, source in zip(crops, closer, strict=True) if source is not None
    ]
    moved = [
        target.to_fractions(source.to_picture(points))
        for (target, source), points in zip(pairs, second.landmarks, strict=True)
    ]
    ratio = np.float32([source.side / target.side for target, source in pairs])[:, None]
    second = replace(
        second,
        landmarks=np.stack(moved),
        sigma=None if second.sigma is None else second.sigma * ratio,
    )
    means = {name: None if value is None else value.copy() for name, value in vars(first).items()}
    for name, value in means.items():
        if value is not None:
            value[again] = (value[again] + getattr(second, name)) / 2
    return Prediction(**means)
