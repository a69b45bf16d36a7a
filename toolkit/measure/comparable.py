"""What a model and a data set must have in common before anything is measured."""

from collections.abc import Callable, Sequence

from asmnet_kit.base.errors import ModelError, UsageError
from asmnet_kit.datasets.base import Dataset, Face
from asmnet_kit.face.boxes import MIN_OVERLAP, Box, overlap
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.predictor import Predictor
from asmnet_kit.face.schemes import Scheme

BOXES = ("landmarks", "detector")

FindBoxes = Callable[[Image], Sequence[Box]]


def compared_scheme(
    model: str, own: Scheme, dataset: Dataset, asked: Scheme | None = None
) -> Scheme:
    """The landmarks in which a model's and the data's are compared.

    Args:
        model: its name, for the message.
        own: what it predicts.
        asked: None = those that both have.

    Raises:
        ModelError: without ``asked``, as ``require_same_scheme``.
        UsageError: no map leads from one of both to ``asked``.
    """
    if asked is None:
        require_same_scheme(model, own, dataset)
        return dataset.scheme
    for scheme in (own, dataset.scheme):
        scheme.map_to(asked)  # rather refused now
    return asked


def require_same_scheme(model: str, own: Scheme, dataset: Dataset) -> None:
    """Refuse a model and data with different landmarks.

    Args:
        model: its name, for the message.
        own: what it predicts.

    Raises:
        ModelError: the model predicts other landmarks than the data has; the message names the
            schemes that both can be mapped to.
    """
    other = dataset.scheme
    if own == other:
        return
    if own.name == other.name:
        raise ModelError(
            f"{model} and {dataset.name} both have landmarks called {own.name}, which "
            "differ: use one file for both (docs/schemes.md)"
        )
    common = [name for name in (own.name, *own.maps) if name in (other.name, *other.maps)]
    # Points chosen from a scheme follow from it without a map of its own.
    common += [
        one.name
        for one, another in ((own, other), (other, own))
        if one.chosen is not None and one.name not in common and another.leads_to(one)
    ]
    advice = f", or compare both as {' or '.join(common)} (--scheme)" if common else ""
    raise ModelError(
        f"{model} predicts {_named(own)}, {dataset.name} has {_named(other)}: "
        f"choose data or a model of one kind{advice}"
    )


def _named(scheme: Scheme) -> str:
    own_name = "" if scheme.name == str(scheme.points) else f" ({scheme.name})"
    return f"{scheme.points} landmarks{own_name}"


def require_like_boxes(own: Scheme, dataset: Dataset) -> None:
    """Refuse to crop around labels whose box is not what the model was trained on.

    Raises:
        UsageError: it is not.
    """
    other = dataset.scheme
    if own != other and not (own.outlines_face and other.outlines_face):
        raise UsageError(
            f"{dataset.name} has {_named(other)}, whose box is not that of the model's "
            f"{_named(own)}: measure with --boxes detector"
        )


def box_finder(
    boxes: str, predictor: Predictor, dataset: Dataset, given: FindBoxes | None = None
) -> FindBoxes | None:
    """What finds the boxes that crops are cut around; None for boxes around the landmarks.

    Args:
        boxes: one of ``BOXES``.
        given: finds the faces of a picture; by default the detector of
            asmnet_kit.predict.detector.

    Raises:
        UsageError: unknown ``boxes``, or a box around the data's landmarks is no box for the model.
    """
    if boxes not in BOXES:
        raise UsageError(f"expected boxes of {' or '.join(BOXES)}, got {boxes!r}")
    if boxes == "landmarks":
        require_like_boxes(predictor.scheme, dataset)
        return None
    return given or detector_boxes()


def box_to_crop(face: Face, picture: Image, find_boxes: FindBoxes | None) -> Box | None:
    """The box that a face is cropped around; None where the detector misses it.

    Args:
        find_boxes: None = the box around the landmarks. A box of a detector that came with the face
            is used before it is asked.
    """
    if find_boxes is None:
        return face.box
    if face.detector_box is not None:
        return face.detector_box
    best = max(find_boxes(picture), key=lambda box: overlap(box, face.box), default=None)
    return best if best is not None and overlap(best, face.box) >= MIN_OVERLAP else None


def detector_boxes() -> FindBoxes:
    """The kit's detector."""
    # Imported when asked for: crops around landmarks need no detector.
    from asmnet_kit.predict.detector import detect_faces

    return lambda image: [detection.box for detection in detect_faces(image)]
