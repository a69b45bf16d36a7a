"""Looking at faces in the boxes of a detector: once to find a better box, then both ways round.

Models learn from crops around landmarks, and a detector's box is off: on 561 complete validation
photographs (docs/people.md) the kit's misses the side of the landmarks' box by 5.7 % and its middle
by 2.8 % of that (standard deviations); the box around what a first look sees by 4.6 and 2.1 %
(``asmnet_plus_people``). So the crop that counts is cut around that, and the answer is the mean of
what the model sees in it and in its mirror image, which leans to neither side. docs/predict.md has
what that brings.
"""

from collections.abc import Sequence

from asmnet_kit.face.boxes import MIN_OVERLAP, Box, overlap
from asmnet_kit.face.crop import Crop, landmark_box
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.predictor import (
    InScheme,
    Prediction,
    Predictor,
    predict_both_ways,
    refuse_nan,
)


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


def look_again(
    predictor: Predictor, image: Image, box: Box, *, name: str
) -> tuple[Crop, Prediction]:
    """As ``look_once``, for a box of a detector, of the crop around what the first look saw.

    There is one look where ``closer_crops`` gives no crop. Landmarks of another scheme are those
    that follow from the model's own.
    """
    if isinstance(predictor, InScheme):
        crop, said = look_again(predictor.own, image, box, name=name)
        return crop, said.in_scheme(predictor.own.scheme, predictor.scheme)
    crop, first = look_once(predictor, image, box, name=name)
    (closer,) = closer_crops(predictor, [box], [crop], first)
    if closer is None:
        return crop, first
    return closer, predict_both_ways(predictor, closer.cut(image)[None], names=[name])


def looks_at(predictor: Predictor, *, detected: bool) -> int:
    """How often a model looks at a face, at most.

    Args:
        detected: in a detector's box.
    """
    if not detected or not _looks_again(predictor):
        return passes_of(predictor)
    return 3 if predictor.scheme.has_mirror_image else 2


def passes_of(predictor: Predictor) -> int:
    """How often it looks by itself, as an adapter says."""
    passes: int = getattr(predictor, "passes", 1)
    return passes


def _looks_again(predictor: Predictor) -> bool:
    """Whether the box around its landmarks is that of a face, and it does not look again itself."""
    return predictor.scheme.outlines_face and passes_of(predictor) == 1


def closer_crops(
    predictor: Predictor, boxes: Sequence[Box | None], crops: Sequence[Crop], first: Prediction
) -> list[Crop | None]:
    """Where to look again: around what a model saw in crops around boxes of a detector.

    Args:
        boxes: of B faces; None where the box is not a detector's.
        crops: around their boxes.
        first: what the model said of these crops.

    Returns:
        For each face a crop; None where the model does not look again: it has no such box, its
        landmarks outline no face, it looks again itself, or it has lost the box (what it saw
        overlaps it by less than ``MIN_OVERLAP``).
    """
    if not _looks_again(predictor):
        return [None] * len(crops)
    seen = [
        landmark_box(crop.to_picture(points))
        for crop, points in zip(crops, first.landmarks, strict=True)
    ]
    return [
        Crop.from_box(again, size=predictor.input_size, scale=predictor.crop_scale)
        if box is not None and overlap(again, box) >= MIN_OVERLAP
        else None
        for again, box in zip(seen, boxes, strict=True)
    ]
