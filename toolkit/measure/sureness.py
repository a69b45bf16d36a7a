"""How right a model is about how sure it is: of each landmark, of each face, of what can be seen.

*Coverage*: the share of the labelled points that lie within the circle that should hold 50 or 90 %
of them. *Sharpness*: the mean sigma; of two models with the right coverage the sharper one knows
more. *Sparsification*: the mean error of what is left when the least sure points, or faces, are
dropped (Ilg et al., "Uncertainty estimates and multi-hypotheses networks for optical flow", ECCV
2018). *AUROC*: how often a face that failed, or a point that is hidden, is less sure, or less
visible, than one that did not, or is not.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.spool import Rows
from asmnet_kit.face.logistic_fit import LIMIT_PERCENT
from asmnet_kit.face.plausibility import auroc
from asmnet_kit.face.predictor import Prediction
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.face.uncertainty import radius

LEVELS = (50, 90)  # percent of the points that a circle should hold
DROPPED = (0, 10, 20, 30)  # percent, the least sure
CURVE = tuple(range(0, 91, 5))  # percent dropped, for the plot

OF_FACES = ("eyes", "expected", "confidence")  # attributes with a number for each face
AT_ONCE = 1024  # faces that are read together

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SureFaces:
    """What a model said of B faces with N points each, beside the truth; NaN where unknown.

    Attributes:
        distance: float64 [B, N], of each point from its label, pixels.
        sigma: [B, N], pixels; all NaN for a model without an uncertainty.
        eyes: [B], between the labelled outer eye corners, pixels.
        expected: [B], NME that the sigmas let expect, as ``Prediction`` has it; all NaN for a model
            without an uncertainty.
        confidence: [B], of the face; all NaN for a file that is not calibrated.
        seen: [B, N], what the data says: 1 seen, 0 hidden.
        visible: [B, N], the model's probability; all NaN for a model without that output.
    """

    distance: Array
    sigma: Array
    eyes: Array
    expected: Array
    confidence: Array
    seen: Array
    visible: Array

    @classmethod
    def of(
        cls,
        predicted: Prediction,
        landmarks: NDArray[np.floating],
        truth: NDArray[np.floating],
        *,
        crop_sides: NDArray[np.floating],
        seen: NDArray[np.floating],
        scheme: Scheme,
    ) -> "SureFaces":
        """Compare a batch with its truth.

        Args:
            landmarks, truth: [B, N, 2], pixels of the picture; NaN = no label.
            crop_sides: [B], pixels of the picture.
            seen: [B, N], as in the class.
        """
        unknown = np.full(truth.shape[:2], np.nan)
        sigma = unknown if predicted.sigma is None else predicted.sigma * crop_sides[:, None]
        confidence, expected = predicted.confidence, predicted.expected
        return cls(
            distance=np.linalg.norm(np.asarray(landmarks - truth, np.float64), axis=-1),
            sigma=np.asarray(sigma, np.float64),
            eyes=scheme.size_of(truth),
            expected=unknown[:, 0] if expected is None else expected.astype(np.float64),
            confidence=unknown[:, 0] if confidence is None else confidence.astype(np.float64),
            seen=np.asarray(seen, np.float64),
            visible=unknown if predicted.visible is None else predicted.visible.astype(np.float64),
        )


def _column(name: str) -> property:
    """An attribute of ``ManySureFaces``."""
    return property(lambda faces: faces.read(name))


class ManySureFaces:
    """``SureFaces`` of many batches, whose arrays lie outside of memory.

    Each attribute is read anew when it is asked for: float32 [B, N] and float64 [B].
    """

    distance = _column("distance")
    sigma = _column("sigma")
    eyes = _column("eyes")
    expected = _column("expected")
    confidence = _column("confidence")
    seen = _column("seen")
    visible = _column("visible")

    def __init__(self, points: int) -> None:
        self._columns = {
            field.name: Rows(np.float64) if field.name in OF_FACES else Rows(np.float32, (points,))
            for field in fields(SureFaces)
        }
        self._members: NDArray[np.bool_] | None = None
        self.has_sigma = False  # whether the model says how sure it is

    def add(self, batch: SureFaces) -> None:
        """The next faces."""
        for name, column in self._columns.items():
            column.append(getattr(batch, name))
        self.has_sigma |= bool(np.isfinite(batch.sigma).any())

    def chosen(self, members: NDArray[np.bool_]) -> "ManySureFaces":
        """Those of all the faces, bool [B]."""
        some = copy(self)
        some._members = members
        return some

    def read(self, name: str) -> NDArray[Any]:
        """An attribute by its name."""
        column = self._columns[name]
        if self._members is None:
            return column.all()
        parts = [column.part(0, 0)]
        for start in range(0, len(column), AT_ONCE):
            members = self._members[start : start + AT_ONCE]
            if members.any():
                parts.append(column.part(start, start + len(members))[members])
        return np.concatenate(parts)


@dataclass(frozen=True)
class Sureness:
    """Figures over some faces; None where there was nothing to measure.

    Attributes:
        points: labelled, of which coverage is.
        coverage_percent: level in percent -> percent of the points within that circle.
        coverage_by_part_percent: part of the face -> the same.
        sharpness_percent: mean sigma, percent of the distance between the outer eye corners.
        points_percent: percent of the least sure points that are dropped -> mean error of the
            others, percent of the eye distance, all faces' points together.
        faces_percent: percent of the least sure faces that are dropped -> mean NME of the others.
        auroc: for an NME above 8 %, by the NME that the sigmas let expect.
        mean_confidence: for a calibrated file comparable with the share of faces within 8 %.
        brier, brier_constant: of the confidence, and of somebody who knows only how many fail.
    """

    points: int
    coverage_percent: dict[int, float]
    coverage_by_part_percent: dict[str, dict[int, float]]
    sharpness_percent: float | None
    points_percent: dict[int, float | None]
    faces_percent: dict[int, float | None]
    auroc: float | None
    mean_confidence: float | None
    brier: float | None
    brier_constant: float | None

    @classmethod
    def of(
        cls, faces: "SureFaces | ManySureFaces", nme: Array, scheme: Scheme
    ) -> "Sureness | None":
        """Measure faces; None where the model does not say how sure it is, or no point has a label.

        Args:
            nme: [B], percent; NaN without both eye corners.
        """
        # Hundreds of megabytes of a hundred thousand faces: no array lives longer than needed.
        distance, sigma = faces.distance, faces.sigma
        labelled = np.isfinite(distance) & np.isfinite(sigma)
        ratio = np.where(labelled, distance / sigma, np.float32(np.nan))
        del distance, sigma
        points = int(labelled.sum())
        if not points:
            return None
        coverage = _coverage(ratio)
        coverage_by_part = {
            part: _coverage(ratio[:, list(indices)])
            for part, indices in scheme.parts.items()
            if labelled[:, list(indices)].any()
        }
        del ratio, labelled
        error, size = _in_eye_distances(faces)
        sharpness = float(size.mean(dtype=np.float64)) if len(size) else None
        kept_points = dict(zip(DROPPED, _kept(error, size, DROPPED), strict=True))
        del error, size
        known = ~np.isnan(nme)
        failed = np.asarray(nme[known] > LIMIT_PERCENT)
        confidence, expected = faces.confidence[known], faces.expected[known]
        judged = len(confidence) > 0 and bool(np.isfinite(confidence).all())
        return cls(
            points=points,
            coverage_percent=coverage,
            coverage_by_part_percent=coverage_by_part,
            sharpness_percent=sharpness,
            points_percent=kept_points,
            faces_percent=dict(zip(DROPPED, _kept(nme[known], expected, DROPPED), strict=True)),
            auroc=auroc(expected, failed),
            mean_confidence=float(confidence.mean()) if judged else None,
            brier=float(((confidence - ~failed) ** 2).mean()) if judged else None,
            brier_constant=float(failed.mean() * (1 - failed.mean())) if len(failed) else None,
        )

    def to_json(self) -> dict[str, Any]:
        """JSON types, numbers of percent as text keys."""
        return {
            "points": self.points,
            "coverage_percent": _text_keys(self.coverage_percent),
            "coverage_by_part_percent": {
                part: _text_keys(levels) for part, levels in self.coverage_by_part_percent.items()
            },
            "sharpness_percent": self.sharpness_percent,
            "sparsification_percent": {
                "points": _text_keys(self.points_percent),
                "faces": _text_keys(self.faces_percent),
            },
            "auroc": self.auroc,
            "mean_confidence": self.mean_confidence,
            "brier": self.brier,
            "brier_constant": self.brier_constant,
        }


@dataclass(frozen=True)
class Visibility:
    """How well hidden points are told from those that can be seen.

    Attributes:
        points, hidden: of which the data says whether they can be seen, and of them hidden.
        auroc: how often a hidden point has the lower probability; None without both kinds.
        auroc_by_part: part of the face -> the same, among its points.
    """

    points: int
    hidden: int
    auroc: float | None
    auroc_by_part: dict[str, float | None]

    @classmethod
    def of(cls, faces: "SureFaces | ManySureFaces", scheme: Scheme) -> "Visibility | None":
        """Measure faces; None where the model, or the data, says nothing."""
        seen, visible = faces.seen, faces.visible
        known = np.isfinite(seen) & np.isfinite(visible)
        if not known.any():
            return None

        def ranked(points: NDArray[np.bool_]) -> float | None:
            return auroc(-visible[points], seen[points] == 0)

        by_part = {}
        for part, indices in scheme.parts.items():
            within = np.zeros_like(known)
            within[:, list(indices)] = known[:, list(indices)]
            by_part[part] = ranked(within)
        hidden = seen[known] == 0
        return cls(int(known.sum()), int(hidden.sum()), ranked(known), by_part)

    def to_json(self) -> dict[str, Any]:
        return {
            "points": self.points,
            "hidden": self.hidden,
            "auroc": self.auroc,
            "auroc_by_part": self.auroc_by_part,
        }


def sparsification(
    faces: "SureFaces | ManySureFaces", nme: Array
) -> dict[str, dict[str, list[float | None]]]:
    """Curves over ``CURVE``: ``points`` and ``faces``, each by sigma and by the true error.

    The latter, of somebody who knows the errors, is as low as a curve can be.

    Args:
        nme: [B], percent; NaN without both eye corners.
    """
    known = ~np.isnan(nme)
    measured, expected = nme[known], faces.expected[known]
    error, size = _in_eye_distances(faces)
    return {
        "points": {
            "by sigma": _kept(error, size, CURVE),
            "by the true error": _kept(error, error, CURVE),
        },
        "faces": {
            "by sigma": _kept(measured, expected, CURVE),
            "by the true error": _kept(measured, measured, CURVE),
        },
    }


def _in_eye_distances(faces: "SureFaces | ManySureFaces") -> tuple[NDArray[Any], NDArray[Any]]:
    """Errors and sigmas [K] of the labelled points of faces with an eye distance, percent of it."""
    distance, eyes = faces.distance, faces.eyes
    eyes = np.where(eyes > 0, eyes, np.nan)[:, None].astype(distance.dtype)
    error = 100 * distance / eyes
    del distance
    size = 100 * faces.sigma / eyes
    known = np.isfinite(error) & np.isfinite(size)
    error = error[known]
    return error, size[known]


def _coverage(ratio: Array) -> dict[int, float]:
    """Level -> percent of the known ratios, distance / sigma, within its circle."""
    known = ratio[np.isfinite(ratio)]
    return {level: float(100 * (known <= radius(level / 100)).mean()) for level in LEVELS}


def _kept(
    error: NDArray[Any], unsure: NDArray[Any], dropped_percent: Sequence[int]
) -> list[float | None]:
    """The mean error without each share of the least sure; ties go by their order."""
    ordered = error[np.argsort(unsure, kind="stable")]
    means: list[float | None] = []
    for share in dropped_percent:
        keep = len(ordered) - round(len(ordered) * share / 100)
        means.append(float(ordered[:keep].mean(dtype=np.float64)) if keep else None)
    return means


def _text_keys(values: dict[int, Any]) -> dict[str, Any]:
    return {str(key): value for key, value in values.items()}
