"""The kit for programs: load a model, predict, follow faces in films, evaluate, benchmark.

``import asmnet_kit`` offers everything here (docs/api.md); a name is imported when it is used. No
part needs TensorFlow but the models that only TensorFlow opens.

Whatever goes wrong is a ``KitError``: ``UsageError`` for a wrong call, ``DatasetError`` for a
picture or data set, ``ModelError`` for a model, ``MissingDependency`` for a package that is not
installed. What the operating system refuses stays an ``OSError``.
"""

import inspect
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from asmnet_kit.base.arguments import (
    flag_of,
    number_of,
    path_of,
    renamed,
    text_of,
    texts_of,
    whole_of,
    wrong,
)
from asmnet_kit.base.errors import (
    DatasetError,
    KitError,
    MissingDependency,
    ModelError,
    UsageError,
)
from asmnet_kit.base.openers import open_stage
from asmnet_kit.datasets.labels import FARTHEST
from asmnet_kit.datasets.registry import load_to_measure
from asmnet_kit.face import pictures
from asmnet_kit.face.boxes import Box
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.plausibility import Plausibility, own_plausibility, own_shape_model
from asmnet_kit.face.predictor import InScheme, Predictor
from asmnet_kit.face.schemes import Scheme, scheme_named
from asmnet_kit.measure.evaluate import Evaluation
from asmnet_kit.measure.evaluate import evaluate as measure
from asmnet_kit.predict.detector import MIN_SCORE
from asmnet_kit.predict.draw import draw_faces
from asmnet_kit.predict.open_predictor import open_predictor
from asmnet_kit.predict.picture import FacePrediction, predict_image
from asmnet_kit.predict.tracking import FaceTracker, TrackedFace
from asmnet_kit.shipping.shipped import default_model, find_model

__all__ = [
    "DatasetError",
    "Evaluation",
    "FacePrediction",
    "KitError",
    "MissingDependency",
    "Model",
    "ModelError",
    "TrackedFace",
    "Tracker",
    "UsageError",
    "benchmark",
    "evaluate",
    "load",
    "read_image",
]

ImageLike = str | Path | NDArray[np.uint8]
MODEL = "a name that asmnet-kit models lists, or the path of a model"
SCHEME = 'the name of a scheme, such as scheme="68", or the path of a .toml'
ADAPTER = 'the name of an adapter, such as adapter="pfld", or the path of a .toml'
FORMAT = "300w"  # as an example
Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


def _for_programs(function: Callable[Parameters, Returned]) -> Callable[Parameters, Returned]:
    """Errors of ``function`` name its arguments, not the options of a command."""
    takes = frozenset(inspect.signature(function).parameters)

    @wraps(function)
    def called(*given: Parameters.args, **named: Parameters.kwargs) -> Returned:
        try:
            return function(*given, **named)
        except KitError as error:
            renamed(error, takes, open_stage("options of targets") if "options" in takes else ())
            raise

    return called


@_for_programs
def load(
    model: str | Path | None = None,
    *,
    threads: int = 1,
    scheme: str | Path | None = None,
    adapter: str | Path | None = None,
) -> "Model":
    """Load a landmark model.

    Args:
        model: the name of a model that comes with the kit (``asmnet-kit models``) or a path: a
            .tflite, or a run folder, .keras, .h5 or SavedModel, which need TensorFlow. None is the
            kit's default model.
        threads: CPU threads of a .tflite.
        scheme: the landmarks to give, to which the model's are mapped, by name (``"68"``) or a
            .toml (docs/schemes.md); of a .keras with landmarks of your own, what they are. None =
            the model's own.
        adapter: how to use a .tflite that the kit did not make (docs/adapters.md).

    Raises:
        UsageError: no such model, scheme or adapter, or no map to ``scheme``.
        ModelError: a file that is no usable model.
        MissingDependency: it needs TensorFlow, which is not installed.

    >>> import asmnet_kit
    >>> model = asmnet_kit.load("asmnet_nano_people")
    >>> model
    <asmnet_kit.Model asmnet_nano_people_68_112_qat_w8a8.tflite: 68 landmarks>
    """
    path = _path_of(model)
    wanted = None if scheme is None else scheme_named(path_of("scheme", scheme, SCHEME))
    used = None if adapter is None else path_of("adapter", adapter, ADAPTER)
    count = whole_of("threads", threads, 4)
    reopen = partial(open_predictor, path, threads=count, scheme=wanted, adapter=used)
    return Model(path, reopen, wanted)


class Model:
    """A loaded landmark model; ``load`` makes one.

    Threads may share one model: each call of ``predict`` is complete in itself. They run the
    network in turns, so for speed load one model for each thread.

    Attributes:
        path: of its file or folder.
        name: of its file or folder, for reports.
        scheme: its landmarks: ``scheme.points`` is how many, ``scheme.parts`` says of what.
        predictor: the bare network, crops in and landmarks as fractions of the crop out
            (:mod:`asmnet_kit.face.predictor`).
        plausibility: judges how plausible a predicted shape is; None for a model without.
        own_predictor: the same with the model's own landmarks.
        asked_scheme: what ``load`` was asked for; None = the model's own.
    """

    def __init__(
        self, path: Path, reopen: "partial[Predictor]", scheme: Scheme | None = None
    ) -> None:
        opened = reopen()
        self.path = path
        self.reopen = reopen
        self.plausibility = _judge_of(path, opened.scheme)
        self.own_predictor = opened
        self.asked_scheme = scheme
        self.predictor: Predictor = opened
        if scheme is not None and scheme != opened.scheme:
            self.predictor = InScheme(opened, scheme)
            self.plausibility = None  # it judges the model's own landmarks

    def __repr__(self) -> str:
        return f"<asmnet_kit.Model {self.name}: {self.scheme.points} landmarks>"

    @property
    def name(self) -> str:
        return self.predictor.name

    @property
    def scheme(self) -> Scheme:
        return self.predictor.scheme

    @_for_programs
    def predict(
        self,
        image: ImageLike,
        boxes: ArrayLike | None = None,
        *,
        min_score: float = MIN_SCORE,
    ) -> list[FacePrediction]:
        """Landmarks and head pose of every face in a picture.

        Args:
            image: a path, which is read upright, or uint8 [height, width, 3] in RGB. OpenCV reads
                BGR: turn it round with ``image[..., ::-1]``.
            boxes: where the faces are, [K, 4] of x0, y0, x1, y1 in pixels, each about as tight as
                the box around all landmarks of the model, also if ``load`` was given another
                scheme; the model looks once. None = a detector finds them, the largest first,
                and the model looks at each again, around what it saw, which is
                more accurate (docs/predict.md).
            min_score: leave out faces of which the detector is less sure, 0..1.

        Returns:
            For each face ``box``, ``landmarks`` float32 [N, 2] in pixels of the picture ((0, 0) is
            the centre of the top-left pixel), ``pose`` (yaw, pitch, roll in degrees) or None,
            ``confidence`` and more; ``to_json()`` is what ``asmnet-kit predict --json`` prints.

        Raises:
            UsageError: no RGB picture of bytes, or boxes that are none.
            DatasetError: a file that is no picture.
            ModelError: the model predicts NaN.

        >>> import asmnet_kit
        >>> faces = asmnet_kit.load().predict("people.png")
        >>> len(faces), faces[0].landmarks.shape, faces[0].confidence > 0.5
        (1, (68, 2), True)
        >>> (again,) = asmnet_kit.load().predict("people.png", boxes=[faces[0].box])
        >>> again.score is None  # no detector: one look instead of three
        True
        """
        least = number_of("min_score", min_score, MIN_SCORE, least=0, most=1)
        return predict_image(
            _pixels(image),
            self.predictor,
            boxes=None if boxes is None else _checked_boxes(boxes),
            plausibility=self.plausibility,
            min_score=least,
        )

    @_for_programs
    def draw(self, image: ImageLike, faces: Sequence[FacePrediction | TrackedFace]) -> Image:
        """A copy of a picture with its faces drawn upon it, uint8 [H, W, 3], RGB.

        One with small faces is enlarged by a whole number. Rings are landmarks that the model is
        unsure of, or that it says are hidden.

        Args:
            image: as for ``predict``.
            faces: what ``predict`` or ``Tracker.update`` gave for it, with this model's landmarks.

        Raises:
            UsageError: no such faces, or no RGB picture of bytes.
            DatasetError: a file that is no picture.

        >>> import asmnet_kit
        >>> model = asmnet_kit.load()
        >>> image = asmnet_kit.read_image("people.png")
        >>> model.draw(image, model.predict(image)).shape
        (480, 480, 3)
        """
        return draw_faces(_pixels(image), _faces_of(faces, self.scheme), self.scheme)


class Tracker:
    """Follows faces through the frames of one film or camera, and smooths their landmarks.

    Give each film its own tracker, and use it from one thread at a time: what it says of a frame
    depends on those before. Trackers in several threads may share a model.

    Args:
        model: a loaded model, or what ``load`` takes.
        smoothing: filter landmarks and pose by the 1 € filter (docs/video.md).
        detect_every: look for new faces at least every so many frames; None = once a second.
        min_score: of the detector, 0..1.

    Raises:
        UsageError: an argument of a wrong type or value, or landmarks that do not outline a face.

    >>> import asmnet_kit
    >>> tracker = asmnet_kit.Tracker("asmnet_nano_people")
    >>> frame = asmnet_kit.read_image("people.png")
    >>> for number in range(3):
    ...     for tracked in tracker.update(frame, seconds=number / 30):
    ...         print(tracked.track, tracked.face.landmarks.shape)
    1 (68, 2)
    1 (68, 2)
    1 (68, 2)
    """

    @_for_programs
    def __init__(
        self,
        model: "Model | str | Path | None" = None,
        *,
        smoothing: bool = True,
        detect_every: int | None = None,
        min_score: float = MIN_SCORE,
    ) -> None:
        self.model = _loaded(model)
        scheme = self.model.scheme
        if not scheme.outlines_face:
            raise UsageError(
                f"expected a model whose landmarks outline a face, such as 68, got {scheme.name}: "
                "faces are followed by the box around them"
            )
        self._tracker = FaceTracker(
            self.model.predictor,
            plausibility=self.model.plausibility,
            smoothing=flag_of("smoothing", smoothing),
            detect_every=None
            if detect_every is None
            else whole_of("detect_every", detect_every, 30),
            min_score=number_of("min_score", min_score, MIN_SCORE, least=0, most=1),
        )
        self._seconds = -math.inf  # of the last frame

    @_for_programs
    def update(self, image: ImageLike, seconds: float) -> list[TrackedFace]:
        """The faces of the next frame; ``track`` is the same number for the same face.

        Args:
            image: as for ``Model.predict``.
            seconds: when the frame was taken, in seconds from any moment on; never before the last
                frame.

        Raises:
            UsageError, DatasetError, ModelError: as ``Model.predict``.
        """
        taken = number_of("seconds", seconds, 0.04)
        if taken < self._seconds:
            raise UsageError(
                f"seconds: expected a frame taken at or after {self._seconds:g}, the last one; got "
                f"{taken:g}: give frames in order, and each film a Tracker of its own"
            )
        found = self._tracker.update(_pixels(image), taken)
        self._seconds = taken
        return found


@_for_programs
def evaluate(
    model: Model | str | Path | None,
    data: str | Path,
    format: str,
    *,
    split: str | None = None,
    subset: str | None = None,
    boxes: str = "landmarks",
    complete_only: bool = False,
    workers: int = 1,
) -> Evaluation:
    """Measure a model's accuracy on a data set, as ``asmnet-kit evaluate`` does.

    Args:
        model: a loaded model, or what ``load`` takes.
        data: folder or file of the data set.
        format: how it is laid out: ``300w``, ``wflw``, ``csv`` ... (docs/data.md).
        split: None = the split ``test`` where there is one, else every face.
        subset: only this one.
        boxes: crop around the ``landmarks``, or around the box of the ``detector``.
        complete_only: only faces on which every point is labelled.
        workers: processes, for a .tflite.

    Returns:
        The figures: ``scores.nme_percent``, ``per_subset``, ``nme`` of each face ...; ``to_json()``
        is what ``asmnet-kit evaluate --json`` prints.

    Raises:
        UsageError: an unknown format, split or subset.
        DatasetError: the data set cannot be read, or no face of it can be measured.
        ModelError: the model predicts other landmarks than the data has, or NaN.

    >>> import asmnet_kit
    >>> result = asmnet_kit.evaluate("asmnet_nano_synthetic", "faces", "synthetic")
    >>> result.scores.faces, round(result.scores.nme_percent) < 10
    (4, True)
    """
    place, kind, chosen, part = _data_of(data, format, split, subset)
    crops = text_of("boxes", boxes, "detector")
    complete, count = flag_of("complete_only", complete_only), whole_of("workers", workers, 4)
    loaded = _loaded(model)
    # Crops are those of the model's own landmarks; only what is compared is mapped.
    predictor, asked = loaded.own_predictor, loaded.asked_scheme
    dataset, _ = load_to_measure(
        place,
        kind,
        model_scheme=predictor.scheme,
        compared=asked,
        split=chosen,
        subset=part,
    )
    return measure(
        predictor,
        dataset,
        scheme=asked,
        boxes=crops,
        complete_only=complete,
        plausibility=loaded.plausibility,
        reopen=loaded.reopen if loaded.path.suffix == ".tflite" else None,
        workers=count,
    )


@_for_programs
def benchmark(
    model: Model | str | Path | None,
    *,
    target: str = "cpu",
    threads: int = 1,
    device: str = "",
    runs: int = 200,
    min_seconds: float = 2.0,
    options: Mapping[str, str] | None = None,
    data: str | Path | None = None,
    format: str | None = None,
    split: str | None = None,
    out: str | Path | None = None,
) -> dict[str, Any]:
    """Measure a .tflite's speed on a target, in a process of its own.

    Args:
        model: a .tflite: a loaded model, or what ``load`` takes.
        target: ``cpu``, ``gpu``, ``edgetpu``, ``android``, ``linux`` ... (docs/benchmark.md).
        threads: of a CPU.
        device: which one, where the target has several.
        runs, min_seconds: the timed runs, at least so many and at least so long.
        options: of the target, by name.
        data, format, split: measure the accuracy through the target, too, as ``evaluate``.
        out: folder for the result's file, which ``asmnet-kit report`` and ``compare`` read.

    Returns:
        The result (toolkit/results/results.schema.json): ``summary`` in milliseconds, ``machine``,
        ``runtime``, ``accuracy`` or None, ``warnings`` ...

    Raises:
        UsageError: a target, device or option that there is not.
        ModelError: no .tflite, or it cannot be run.
        KitError: the target does not work here, or something else ran the model.

    >>> import asmnet_kit
    >>> result = asmnet_kit.benchmark("asmnet_nano_people", runs=20, min_seconds=0)
    >>> result["target"]["actual"], result["summary"]["p50"] > 0
    ('cpu', True)
    """
    path = model.path if isinstance(model, Model) else _path_of(model)
    if data is not None and isinstance(model, Model):
        for name in ("scheme", "adapter"):
            if model.reopen.keywords.get(name) is not None:
                raise UsageError(
                    f"benchmark measures the model's own landmarks: load it without {name}=, or "
                    f"use asmnet-kit benchmark --{name}"
                )
    result: dict[str, Any] = open_stage("one benchmark")(
        path,
        target=text_of("target", target, "cpu"),
        threads=whole_of("threads", threads, 4),
        device=text_of("device", device, "usb:0"),
        runs=whole_of("runs", runs, 200),
        min_seconds=number_of("min_seconds", min_seconds, 2, least=0),
        options={} if options is None else texts_of("options", options, {"runtime": "litert"}),
        data=None if data is None else path_of("data", data),
        format=None if format is None else text_of("format", format, FORMAT),
        split=None if split is None else text_of("split", split, "test"),
        out=None if out is None else path_of("out", out),
    )
    return result


@_for_programs
def read_image(path: str | Path) -> Image:
    """A picture file as uint8 [height, width, 3], RGB, upright: a stored rotation is followed.

    Raises:
        DatasetError: no such file, or no picture that the kit reads.

    >>> import asmnet_kit
    >>> asmnet_kit.read_image("people.png").shape
    (160, 160, 3)
    """
    return pictures.read_image(path_of("path", path), upright=True)


def _loaded(model: Model | str | Path | None) -> Model:
    if isinstance(model, Model):
        return model
    path = _path_of(model)
    return Model(path, partial(open_predictor, path))


def _path_of(model: str | Path | None) -> Path:
    return default_model().path if model is None else find_model(path_of("model", model, MODEL))


def _data_of(
    data: str | Path, format: str, split: str | None, subset: str | None
) -> tuple[Path, str, str | None, str | None]:
    """Raises: UsageError: one is of a wrong type."""
    return (
        path_of("data", data),
        text_of("format", format, FORMAT),
        None if split is None else text_of("split", split, "test"),
        None if subset is None else text_of("subset", subset, "common"),
    )


def _faces_of(
    faces: Sequence[FacePrediction | TrackedFace], scheme: Scheme
) -> list[FacePrediction]:
    """Faces of a picture, those of a tracker without their numbers.

    Raises:
        UsageError: they are none, or have other landmarks than ``scheme``.
    """
    if not isinstance(faces, Sequence):
        raise wrong("faces", "a list of faces, as predict gives it; of one face [face]", faces)
    found = [face.face if isinstance(face, TrackedFace) else face for face in faces]
    for face in found:
        if not isinstance(face, FacePrediction):
            raise wrong("faces", "faces as predict or Tracker.update give them", face)
        if len(face.landmarks) != scheme.points:
            raise UsageError(
                f"faces: expected {scheme.points} landmarks, as this model predicts, got "
                f"{len(face.landmarks)}: draw faces with the model that predicted them"
            )
    return found


def _judge_of(model: Path, scheme: Scheme) -> Plausibility | None:
    """The shape model beside a model; one that cannot judge costs the plausibility alone."""
    try:
        own = own_plausibility(model)
        return None if own is None else own.for_scheme(scheme)
    except (ModelError, UsageError) as error:
        warnings.warn(
            f"going on without plausibility: {own_shape_model(model)}: {error}", stacklevel=4
        )
        return None


def _pixels(image: ImageLike) -> Image:
    """The pixels of a picture, in one block of memory.

    Raises:
        UsageError: an array that is no RGB picture of bytes.
        DatasetError: a file that is no picture.
    """
    if isinstance(image, str | Path):
        return pictures.read_image(path_of("image", image), upright=True)
    shape = list(image.shape) if isinstance(image, np.ndarray) else ""
    found = f"{getattr(image, 'dtype', type(image).__name__)} {shape}".strip()
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[2] != 3:
        raise UsageError(
            f"expected a path, or a picture as uint8 [height, width, 3] in RGB, got {found}"
        )
    if image.dtype != np.uint8 or not image.size:
        raise UsageError(
            f"expected a picture of bytes, uint8 [height, width, 3], 0 to 255; got {found}"
        )
    return np.ascontiguousarray(image)


def _checked_boxes(boxes: ArrayLike) -> list[Box]:
    """Raises: UsageError: they are no boxes in pixels."""
    try:
        found = np.asarray(boxes, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise UsageError(f"expected boxes as [K, 4] numbers x0, y0, x1, y1: {error}") from error
    if found.size == 0:
        return []
    if found.ndim != 2 or found.shape[1] != 4:
        raise UsageError(
            f"expected boxes as [K, 4] numbers x0, y0, x1, y1, got {list(found.shape)}; one box "
            "is [[x0, y0, x1, y1]]"
        )
    for box in found:
        usable = (abs(box) <= FARTHEST).all()  # neither NaN nor infinite
        x0, y0, x1, y1 = box.astype(np.float32).tolist() if usable else box.tolist()
        if not (usable and x0 < x1 and y0 < y1):
            raise UsageError(
                f"expected a box with finite x0 < x1 and y0 < y1, got {x0:g}, {y0:g}, {x1:g}, "
                f"{y1:g}: give pixels of the picture, at most {FARTHEST:.0f}"
            )
    return list(found.astype(np.float32))
