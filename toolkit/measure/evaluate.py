"""How accurate a model is on a data set: NME, failure rate, AUC, CED, head pose."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.console import counted
from asmnet_kit.base.errors import DatasetError, UsageError, without_frames
from asmnet_kit.base.spool import Rows
from asmnet_kit.base.workers import shared_out
from asmnet_kit.datasets.base import Dataset, Face, Problem, chosen, members_of_subsets, where
from asmnet_kit.datasets.face_groups import at_a_time
from asmnet_kit.datasets.left_out import LeftOut
from asmnet_kit.face.boxes import Box
from asmnet_kit.face.crop import Crop
from asmnet_kit.face.looks import closer_crops, looks_at
from asmnet_kit.face.metrics import (
    auc,
    failure_rate,
    mean_interval,
    mean_nme,
    per_face_nme,
    pose_errors,
)
from asmnet_kit.face.pictures import Image, shared_room
from asmnet_kit.face.plausibility import SIGNALS, USED, Plausibility, Ranking
from asmnet_kit.face.pose import ANGLES, pose_from_landmarks
from asmnet_kit.face.predictor import Prediction, Predictor, predict_both_ways, refuse_nan
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.measure.comparable import (
    FindBoxes,
    box_finder,
    box_to_crop,
    compared_scheme,
    detector_boxes,
)
from asmnet_kit.measure.sureness import (
    CURVE,
    ManySureFaces,
    SureFaces,
    Sureness,
    Visibility,
    sparsification,
)

SCHEMA_VERSION = 1
THRESHOLDS = (8, 10)  # percent NME: 300-W's and WFLW's customs
CED_AT = tuple(step / 4 for step in range(41))  # percent NME, 0 to 10, of the curve in the JSON

# Of the longer side of the face's box: where the eyes are closer together, as in a profile, a small
# error is many percent of their distance. From the front it is two thirds.
FORESHORTENED = 0.1

BATCH = 32  # crops per call of the model
READING_THREADS = 4  # decode the next batch while the model runs on this one

Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Scores:
    """Figures over some faces; NaN where there was nothing to measure.

    A face that the detector missed has an infinite NME in the failure rate and the AUC, else a
    detector would improve both by missing hard faces. No mean can hold it: the mean NME and the
    pose errors are over the faces found.

    Attributes:
        faces: found, and with an NME.
        faces_skipped: found, but an outer eye corner has no label, so there is no NME.
        faces_missed: by the detector, with or without both eye corners.
        failure_rate_faces: over which failure rate and AUC are: ``faces``, and the missed ones
            whose outer eye corners are labelled.
        nme_percent: mean over ``faces``, of the distance between the outer eye corners.
        failure_rate_percent: threshold in percent -> percent of ``failure_rate_faces`` strictly
            above it.
        auc: threshold in percent -> area under the CED of ``failure_rate_faces`` divided by the
            threshold, 0..1.
        nme_interval, auc_intervals, pose_intervals: 95 % intervals of these means, [low, high];
            None for few faces.
        pose_faces: with a predicted and a true pose.
        pose_mae_deg: yaw, pitch, roll -> mean absolute error, or None without any such face.
    """

    faces: int
    faces_skipped: int
    faces_missed: int
    failure_rate_faces: int
    nme_percent: float
    failure_rate_percent: dict[int, float]
    auc: dict[int, float]
    pose_faces: int
    pose_mae_deg: dict[str, float] | None
    nme_interval: list[float] | None = None
    auc_intervals: dict[int, list[float] | None] = field(default_factory=dict)
    pose_intervals: dict[str, list[float] | None] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        nme: NDArray[np.float64],
        angle_errors: NDArray[np.float64],
        missed: NDArray[np.bool_],
    ) -> "Scores":
        """Summarise faces.

        Args:
            nme: [B], percent; NaN without both eye corners, else infinite for a missed face.
            angle_errors: [B, 3], degrees; NaN where unknown.
            missed: [B], whether the detector missed the face.
        """
        known = np.isfinite(angle_errors).all(axis=-1)
        mae = angle_errors[known].mean(axis=0) if known.any() else None
        return cls(
            faces=int((~np.isnan(nme) & ~missed).sum()),
            faces_skipped=int((np.isnan(nme) & ~missed).sum()),
            faces_missed=int(missed.sum()),
            failure_rate_faces=int((~np.isnan(nme)).sum()),
            nme_percent=mean_nme(nme[~missed]),
            failure_rate_percent={t: failure_rate(nme, t) for t in THRESHOLDS},
            auc={t: auc(nme, t) for t in THRESHOLDS},
            pose_faces=int(known.sum()),
            pose_mae_deg=None
            if mae is None
            else {name: float(v) for name, v in zip(ANGLES, mae, strict=True)},
            nme_interval=mean_interval(nme[~missed]),
            auc_intervals={
                t: mean_interval(1 - np.minimum(nme, t) / t, most=1.0) for t in THRESHOLDS
            },
            pose_intervals={
                name: mean_interval(angle_errors[known, i]) for i, name in enumerate(ANGLES)
            },
        )

    def to_json(self) -> dict[str, Any]:
        """JSON types; null where there was nothing to measure."""
        return {
            "faces": self.faces,
            "faces_skipped": self.faces_skipped,
            "faces_missed": self.faces_missed,
            "failure_rate_faces": self.failure_rate_faces,
            "nme_percent": _number(self.nme_percent),
            "nme_interval_percent": self.nme_interval,
            "failure_rate_percent": _by_threshold(self.failure_rate_percent),
            "auc": _by_threshold(self.auc),
            "auc_interval": {str(t): ends for t, ends in self.auc_intervals.items()},
            "pose_faces": self.pose_faces,
            "pose_mae_deg": self.pose_mae_deg,
            "pose_mae_interval_deg": self.pose_intervals if self.pose_mae_deg else None,
        }


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's accuracy on a data set.

    Attributes:
        model, landmarks, input_size, crop_scale: the predictor's.
        scheme: that predictions and labels were compared in.
        dataset, dataset_format, dataset_fingerprint, dataset_labels_fingerprint: the data set's.
        boxes: where the crops came from, ``landmarks`` or ``detector``.
        looks: how often the model looked at a face (asmnet_kit.face.looks).
        complete_only: whether faces with missing points were left out.
        pose_source: what the predicted pose was compared with: ``labels`` of the data set, else
            ``landmarks`` (asmnet_kit.face.pose.pose_from_landmarks), or None without a pose output.
        scores: over all faces; ``per_subset`` over each subset's.
        nme: float64 [B], percent: of the faces that were predicted, then of those that the detector
            missed (infinite); NaN without both outer eye corners.
        missed: bool [B], whether the detector missed the face.
        in_subset: name -> bool [B].
        ranking: how well the plausibility tells faces with a large error, over all faces and by
            subset (key: name, None for all); empty without a shape model.
        residual: float64 [B], the signal that a plausibility is calibrated from, NaN for a missed
            face; None without a shape model.
        sure: what the model said of how sure it is, beside the truth, of the faces found; None for
            a model that says nothing.
        sureness, visibility: how right that was, over all faces and by subset (key: name, None for
            all), where there was something to measure.
        faces_incomplete: left out by ``complete_only``.
        foreshortened: bool [B], of the faces with an NME those that are normalised by two points
            closer together than ``FORESHORTENED`` of their box: these NMEs say little.
        problems: faces whose picture or box could not be used. They are in no other figure.
    """

    model: str
    landmarks: int
    scheme: Scheme
    input_size: int
    crop_scale: float
    dataset: str
    dataset_format: str
    dataset_fingerprint: str
    dataset_labels_fingerprint: str
    boxes: str
    looks: int
    complete_only: bool
    pose_source: str | None
    scores: Scores
    per_subset: dict[str, Scores]
    nme: NDArray[np.float64]
    missed: NDArray[np.bool_]
    in_subset: dict[str, NDArray[np.bool_]]
    foreshortened: NDArray[np.bool_]
    faces_incomplete: int
    problems: tuple[Problem, ...]
    ranking: dict[str | None, Ranking] = field(default_factory=dict)
    residual: NDArray[np.float64] | None = None
    sure: ManySureFaces | None = None
    sureness: dict[str | None, Sureness] = field(default_factory=dict)
    visibility: dict[str | None, Visibility] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The JSON of ``asmnet-kit evaluate --json`` and of a benchmark result's ``accuracy``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.model,
            "landmarks": self.landmarks,
            "scheme": self.scheme.name,
            "normalised_by": self.scheme.normaliser_text,
            "input_size": self.input_size,
            "crop_scale": self.crop_scale,
            "dataset": self.dataset,
            "dataset_format": self.dataset_format,
            "dataset_fingerprint": self.dataset_fingerprint,
            "dataset_labels_fingerprint": self.dataset_labels_fingerprint,
            "boxes": self.boxes,
            "looks": self.looks,
            "complete_only": self.complete_only,
            **self.scores.to_json(),
            "failure_rate_counts_misses": True,  # cards and results of earlier versions did not
            "pose_source": self.pose_source,
            "faces_incomplete": self.faces_incomplete,
            "faces_foreshortened": int(self.foreshortened.sum()),
            "faces_unreadable": len(self.problems),
            "problems": [problem.to_json() for problem in self.problems],
            "ced": self._ced(),
            "sparsification": self._sparsification(),
            **self._judgements(None),
            "per_subset": {
                name: {**scores.to_json(), **self._judgements(name)}
                for name, scores in self.per_subset.items()
            },
        }

    def _ced(self) -> dict[str, list[float]]:
        """The share of faces, percent, with at most each NME: a curve small enough for a result."""
        errors = self.nme[~np.isnan(self.nme)]
        return {
            "nme_percent": list(CED_AT),
            "faces_percent": [round(100 * float((errors <= at).mean()), 2) for at in CED_AT],
        }

    def _sparsification(self) -> dict[str, Any] | None:
        """The mean error without the least sure, percent; None where the model says nothing."""
        if self.sure is None or not self.sure.has_sigma:
            return None
        curves = sparsification(self.sure, self.nme[~self.missed])
        return {
            "dropped_percent": list(CURVE),
            **{
                what: {
                    by: [None if value is None else round(value, 3) for value in values]
                    for by, values in lines.items()
                }
                for what, lines in curves.items()
            },
        }

    def _judgements(self, subset: str | None) -> dict[str, dict[str, Any] | None]:
        """How right the model is about itself, over a subset or, with None, all faces."""
        found = {
            "plausibility": self.ranking.get(subset),
            "uncertainty": self.sureness.get(subset),
            "visibility": self.visibility.get(subset),
        }
        return {name: None if value is None else value.to_json() for name, value in found.items()}


def evaluate(
    predictor: Predictor,
    dataset: Dataset,
    *,
    boxes: str = "landmarks",
    complete_only: bool = False,
    batch: int = BATCH,
    on_progress: Callable[[int, int], None] | None = None,
    find_boxes: FindBoxes | None = None,
    plausibility: Plausibility | None = None,
    scheme: Scheme | None = None,
    reopen: Callable[[], Predictor] | None = None,
    workers: int = 1,
) -> Evaluation:
    """Measure a model on every face of a data set, in memory that does not grow with its pictures.

    Args:
        boxes: crop around the ``landmarks`` (what published NMEs do), or around the box of a
            ``detector``: the one that came with the face, else that of ``find_boxes`` which
            overlaps the landmarks' box most, in which the model looks again as ``predict`` does
            (asmnet_kit.face.looks); where none overlaps it enough the face is missed, which counts
            as a failure. The difference between the two figures is what
            a real pipeline loses by its boxes.
        complete_only: leave out faces with a missing point.
        batch: crops per call of the model, at most; later looks are calls of their own.
        on_progress: called with (faces done, faces in all) after each batch.
        find_boxes: finds the faces of a picture; by default the detector of
            asmnet_kit.predict.detector.
        plausibility: judges each prediction; the evaluation then says how well.
        scheme: compare in these landmarks, to which the model's and the data's are mapped; None =
            both have the same.
        reopen: opens the very predictor in another process, a function of a module or a partial
            one; None where ``predictor`` cannot be opened twice, and this process does all.
        workers: processes that read, crop and predict where there is a ``reopen``. Their number
            changes no figure.

    Raises:
        UsageError: unknown ``boxes``, a batch below 1, a shape model of other landmarks, no map to
            ``scheme``, or boxes around landmarks of the data that are no boxes for the model.
        ModelError: the model predicts other landmarks than the data has, or NaN.
        DatasetError: no face could be measured, or too many pictures cannot be read; fewer are left
            out and told.
        ServerError: a picture is on a server that does not give it.
    """
    if batch < 1:
        raise UsageError(f"expected a batch of at least 1, got {batch}")
    scheme = compared_scheme(predictor.name, predictor.scheme, dataset, scheme)
    finder = box_finder(boxes, predictor, dataset, find_boxes)
    judged = None if plausibility is None else _Judged(plausibility, predictor)
    faces = where(dataset.faces, lambda face: face.complete) if complete_only else dataset.faces
    pose_truth = _PoseTruth(dataset.scheme, labels=any(face.pose is not None for face in faces))
    batches = at_a_time(faces, batch)

    nme, angle_errors = Rows(np.float64), Rows(np.float64, (len(ANGLES),))
    foreshortened = Rows(np.bool_)
    measured, missed = array("q"), array("q")  # places among the faces
    left_out = LeftOut(dataset.name, len(faces))
    sure: ManySureFaces | None = None
    done = 0
    has_pose = False
    if reopen is None or find_boxes is not None:
        seeing = _read_ahead(_Eye(predictor, finder, pose_truth), batches)
    else:
        opened = partial(_open_eye, reopen, boxes, pose_truth)
        seeing = shared_out(opened, batches, workers=workers, doing="measures faces")
    with seeing as seen_batches:
        for of_batch, seen in zip(batches, seen_batches, strict=True):
            crops: list[tuple[Face, Crop]] = []
            for place, (face, crop) in enumerate(zip(of_batch, seen.crops, strict=True), done):
                if isinstance(crop, Crop):
                    crops.append((face, crop))
                    measured.append(place)
                elif crop is None:
                    missed.append(place)
                else:
                    left_out.add(face.name, crop)
            done += len(of_batch)
            predicted = seen.predicted
            if predicted is not None:
                has_pose = predicted.pose is not None
                refuse_nan(predictor, [face.name for face, _ in crops], predicted)
                landmarks = np.stack(
                    [
                        crop.to_picture(points)
                        for (_, crop), points in zip(crops, predicted.landmarks, strict=True)
                    ]
                )
                truth = np.stack([face.landmarks for face, _ in crops])
                if judged is not None:
                    judged.add(landmarks)
                predicted = predicted.in_scheme(predictor.scheme, scheme)
                if scheme.normaliser_text != predictor.scheme.normaliser_text:
                    predicted = replace(predicted, confidence=None)  # it is about another NME
                landmarks = predictor.scheme.mapped(landmarks, scheme)
                truth = dataset.scheme.mapped(truth, scheme)
                errors_now = per_face_nme(landmarks, truth, scheme)
                nme.append(errors_now)
                close = _is_foreshortened([face for face, _ in crops], truth, scheme)
                foreshortened.append(close & np.isfinite(errors_now))
                if predicted.sigma is not None or predicted.visible is not None:
                    sure = sure or ManySureFaces(scheme.points)
                    sure.add(
                        SureFaces.of(
                            predicted,
                            landmarks,
                            truth,
                            crop_sides=np.array([crop.side for _, crop in crops]),
                            seen=dataset.scheme.mapped_visibility(
                                np.stack([_visibility_of(face) for face, _ in crops]), scheme
                            ),
                            scheme=scheme,
                        )
                    )
                if predicted.pose is not None and seen.poses is not None:
                    angle_errors.append(pose_errors(predicted.pose, seen.poses))
            if on_progress:
                on_progress(done, len(faces))
    of_measured = nme.all()
    if not np.isfinite(of_measured).any():
        reason = _nothing_measured(
            dataset, len(faces), len(measured), len(missed), left_out.problems
        )
        raise DatasetError(reason)
    found = len(of_measured)
    of_missed = _nme_of_missed(chosen(faces, missed), dataset.scheme, scheme)
    errors = np.concatenate([of_measured, of_missed])
    angles = np.full((len(errors), 3), np.nan)
    if has_pose:
        angles[:found] = angle_errors.all()
    is_missed = np.arange(len(errors)) >= found
    in_subset = members_of_subsets(chosen(faces, measured + missed))
    of_found = {name: members[:found] for name, members in in_subset.items()}
    return Evaluation(
        model=predictor.name,
        landmarks=predictor.scheme.points,
        scheme=scheme,
        input_size=predictor.input_size,
        crop_scale=predictor.crop_scale,
        dataset=dataset.name,
        dataset_format=dataset.format,
        dataset_fingerprint=dataset.fingerprint(),
        dataset_labels_fingerprint=dataset.labels_fingerprint(),
        boxes=boxes,
        looks=looks_at(
            predictor,
            detected=boxes == "detector" and any(face.detector_box is None for face in faces),
        ),
        complete_only=complete_only,
        pose_source=pose_truth.source if has_pose else None,
        scores=Scores.of(errors, angles, is_missed),
        per_subset={
            name: Scores.of(errors[m], angles[m], is_missed[m]) for name, m in in_subset.items()
        },
        nme=errors,
        missed=is_missed,
        in_subset=in_subset,
        foreshortened=np.concatenate([foreshortened.all(), np.zeros(len(missed), np.bool_)]),
        faces_incomplete=len(dataset.faces) - len(faces),
        problems=tuple(left_out.problems),
        ranking={} if judged is None else judged.rankings(errors[:found], of_found),
        residual=None
        if judged is None
        else np.concatenate([judged.signals[USED], np.full(len(missed), np.nan)]),
        sure=sure,
        sureness=_by_subset(
            sure, of_found, lambda faces, m: Sureness.of(faces, errors[:found][m], scheme)
        ),
        visibility=_by_subset(sure, of_found, lambda faces, m: Visibility.of(faces, scheme)),
    )


def _is_foreshortened(
    faces: Sequence[Face], truth: NDArray[np.float32], scheme: Scheme
) -> NDArray[np.bool_]:
    """bool [B]: whether the pair that normalises errors is nearly one point, seen from there.

    Args:
        truth: [B, N, 2], pixels, the labels of ``faces`` in ``scheme``.
    """
    if isinstance(scheme.normaliser, str):
        return np.zeros(len(faces), np.bool_)
    boxes = np.stack([face.box for face in faces])
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    return np.asarray(scheme.size_of(truth) < FORESHORTENED * sides, np.bool_)


def _visibility_of(face: Face) -> NDArray[np.float32]:
    """float32 [N], NaN where it is not known."""
    unknown = np.full(len(face.landmarks), np.nan, np.float32)
    return unknown if face.visibility is None else face.visibility


def _by_subset(
    faces: ManySureFaces | None,
    in_subset: dict[str, NDArray[np.bool_]],
    measure: Callable[[ManySureFaces, NDArray[np.bool_]], Measured | None],
) -> dict[str | None, Measured]:
    """What ``measure`` gives of all faces (None) and of each subset, where it gives something."""
    if faces is None:
        return {}
    parts: dict[str | None, NDArray[np.bool_]] = {None: np.ones(len(faces.eyes), np.bool_)}
    parts.update(in_subset)
    found = {
        name: measure(faces if name is None else faces.chosen(members), members)
        for name, members in parts.items()
    }
    return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, eq=False)
class _Seen:
    """What became of a batch of faces.

    Attributes:
        crops: of each face; None where no box of the detector overlaps it, or why its picture or
            its box cannot be used.
        predicted: of those that have a crop, in their order; None where there is none.
        poses: [B, 3] what their predicted poses are compared with; None without any.
    """

    crops: list[Crop | DatasetError | OSError | None]
    predicted: Prediction | None = None
    poses: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class _Eye:
    """From a batch of faces to what the model says of them."""

    predictor: Predictor
    find_boxes: FindBoxes | None  # None: crop around the landmarks
    pose_truth: "_PoseTruth"

    def __call__(self, faces: Sequence[Face]) -> _Seen:
        return self.predict(faces, [self.cut(face) for face in faces])

    def cut(self, face: Face) -> "_Cut":
        """A face's crop and its pixels."""
        with shared_room():
            try:
                return self._cut(face)
            except (DatasetError, OSError) as error:
                return without_frames(error)

    def _cut(self, face: Face) -> "_Cut":
        picture = face.read()
        box = box_to_crop(face, picture, self.find_boxes)
        if box is None:
            return None
        size, scale = self.predictor.input_size, self.predictor.crop_scale
        crop = Crop.from_box(box, size=size, scale=scale)
        given = self.find_boxes is None or face.detector_box is not None
        return _Taken(crop, crop.cut(picture), None if given else box)

    def predict(self, faces: Sequence[Face], cuts: Sequence["_Cut"]) -> _Seen:
        """What the model says of the crops of some faces."""
        crops = [cut.crop if isinstance(cut, _Taken) else cut for cut in cuts]
        found = [number for number, cut in enumerate(cuts) if isinstance(cut, _Taken)]
        if not found:
            return _Seen(crops)
        taken = [cut for cut in cuts if isinstance(cut, _Taken)]
        predicted = self.predictor.predict(np.stack([cut.pixels for cut in taken]))
        if any(cut.box is not None for cut in taken):
            refuse_nan(self.predictor, [faces[number].name for number in found], predicted)
            again, predicted = self._look_again([faces[n] for n in found], taken, predicted)
            for number, crop in zip(found, again, strict=True):
                crops[number] = crop
            kept = [index for index, crop in enumerate(again) if isinstance(crop, Crop)]
            predicted, found = predicted.chosen(kept), [found[index] for index in kept]
        if predicted.pose is None or not found:
            return _Seen(crops, predicted if found else None)
        poses = np.stack([self.pose_truth.of(faces[number]) for number in found])
        return _Seen(crops, predicted, poses)

    def _look_again(
        self, faces: Sequence[Face], taken: Sequence["_Taken"], first: Prediction
    ) -> tuple[list[Crop | DatasetError | OSError], Prediction]:
        """The crops that count, or why a picture could not be read again, and what is said of them.

        Pictures are read a second time: those of a batch may be too large to be kept, and to find
        the box took longer.
        """
        boxes, crops = [cut.box for cut in taken], [cut.crop for cut in taken]
        again: list[Crop | DatasetError | OSError] = [*crops]
        pixels: dict[int, Image] = {}
        closer = closer_crops(self.predictor, boxes, crops, first)
        for number, (face, crop) in enumerate(zip(faces, closer, strict=True)):
            if crop is None:
                continue
            try:
                with shared_room():
                    pixels[number] = crop.cut(face.read())
                again[number] = crop
            except (DatasetError, OSError) as error:
                again[number] = without_frames(error)
        if not pixels:
            return again, first
        names = [faces[number].name for number in pixels]
        second = predict_both_ways(self.predictor, np.stack([*pixels.values()]), names=names)
        return again, first.replaced([*pixels], second)

    @property
    def threads(self) -> int:
        """Detectors keep state between calls: one at a time."""
        return READING_THREADS if self.find_boxes is None else 1


@dataclass(frozen=True, eq=False)
class _Taken:
    """A face's crop and its pixels.

    Attributes:
        box: what the crop is cut around, where the detector found it here, so that the model looks
            again; None for a box of the labels, or one that came with the data.
    """

    crop: Crop
    pixels: Image
    box: Box | None


_Cut = _Taken | DatasetError | OSError | None


def _open_eye(reopen: Callable[[], Predictor], boxes: str, pose_truth: "_PoseTruth") -> _Eye:
    """In another process."""
    return _Eye(reopen(), detector_boxes() if boxes == "detector" else None, pose_truth)


class _Judged:
    """What a plausibility says of the faces measured so far."""

    def __init__(self, plausibility: Plausibility, predictor: Predictor) -> None:
        self._plausibility = plausibility.for_scheme(predictor.scheme)
        self._signals = {name: Rows(np.float64) for name in SIGNALS}
        self._judgement = Rows(np.float64)

    def add(self, landmarks: NDArray[np.float32]) -> None:
        """Judge a batch of predictions [B, N, 2], pixels."""
        for name, values in self._plausibility.signals(landmarks).items():
            self._signals[name].append(values)
        self._judgement.append(self._plausibility.judge(landmarks))

    @property
    def signals(self) -> dict[str, NDArray[np.float64]]:
        """Signal -> of each face."""
        return {name: values.all() for name, values in self._signals.items()}

    def rankings(
        self, nme: NDArray[np.float64], in_subset: dict[str, NDArray[np.bool_]]
    ) -> dict[str | None, Ranking]:
        """By subset, None for all faces; only where a face has an NME."""
        calibrated = self._plausibility.calibration is not None
        everything = np.ones(len(nme), np.bool_)
        parts: dict[str | None, NDArray[np.bool_]] = {None: everything}
        parts.update(in_subset)
        signals, judgement = self.signals, self._judgement.all()
        rankings = {
            name: Ranking.of(
                {signal: values[part] for signal, values in signals.items()},
                judgement[part],
                nme[part],
                calibrated=calibrated,
            )
            for name, part in parts.items()
        }
        return {name: ranking for name, ranking in rankings.items() if ranking is not None}


class _PoseTruth:
    """What a predicted pose is compared with: the data set's labels, else the landmarks' pose."""

    def __init__(self, scheme: Scheme, *, labels: bool) -> None:
        self._scheme = scheme
        self.source = "labels" if labels else "landmarks"

    def of(self, face: Face) -> NDArray[np.float32]:
        """float32 [3] degrees, NaN where unknown."""
        labels = self.source == "labels"
        pose = face.pose if labels else pose_from_landmarks(face.landmarks, self._scheme)
        return np.full(3, np.nan, np.float32) if pose is None else pose


@contextmanager
def _read_ahead(eye: _Eye, batches: Sequence[Sequence[Face]]) -> Iterator[Iterator[_Seen]]:
    """Each batch, while the next one is being read: never more than two in memory."""

    def seen(pool: ThreadPoolExecutor) -> Iterator[_Seen]:
        ready: list[Future[_Cut]] = []
        for number, batch in enumerate(batches):
            cuts = ready or [pool.submit(eye.cut, face) for face in batch]
            following = batches[number + 1] if number + 1 < len(batches) else ()
            ready = [pool.submit(eye.cut, face) for face in following]
            yield eye.predict(batch, [cut.result() for cut in cuts])

    pool = ThreadPoolExecutor(eye.threads)
    try:
        yield seen(pool)
    finally:
        # After an error nobody waits for the rest, each of which may ask a server that is gone.
        pool.shutdown(cancel_futures=True)


def _nme_of_missed(faces: Sequence[Face], own: Scheme, scheme: Scheme) -> NDArray[np.float64]:
    """Infinite, or NaN where there is nothing to normalise by: such a face is in no figure.

    Args:
        own: of the faces.
        scheme: to compare in.
    """
    shape = (0, own.points, 2)
    truth = np.stack([face.landmarks for face in faces]) if faces else np.empty(shape, np.float32)
    truth = own.mapped(truth, scheme)
    nothing: NDArray[np.float64] = per_face_nme(truth, truth, scheme)  # 0 or NaN
    return np.where(np.isnan(nothing), np.nan, np.inf)


def _nothing_measured(
    dataset: Dataset, faces: int, predicted: int, missed: int, problems: list[Problem]
) -> str:
    reasons = [
        (len(dataset.faces) - faces, "incomplete (--complete-only)"),
        (missed, "missed by the detector"),
        (len(problems), "unreadable" + (f", first {problems[0].reason}" if problems else "")),
        (predicted, "without both outer eye corners"),
    ]
    listed = "; ".join(f"{count} {reason}" for count, reason in reasons if count)
    return (
        f"{dataset.name}: none of {counted(len(dataset.faces), 'face')} could be measured: {listed}"
    )


def _number(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _by_threshold(values: dict[int, float]) -> dict[str, float | None]:
    return {str(threshold): _number(value) for threshold, value in values.items()}
