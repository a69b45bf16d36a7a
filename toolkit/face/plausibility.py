"""How far a predicted shape can be trusted: the active shape model's judgement, calibrated.

A network answers with landmarks whatever it is shown. The shape model knows which shapes faces
have, so a prediction P far from the nearest face shape ASM(P) (Fard et al. 2021, Eq. 2-4; here
after a similarity alignment, so that turn, size and place do not count) is likely to be wrong.
Three signals say how far:

``residual``     mean distance |P - ASM(P)| of a point, in the shape's own outer eye distances
``mahalanobis``  sqrt(sum of b_i^2 / lambda_i), b the coefficients of P before they are clamped
``unexplained``  1 - ShapeModel.plausibility, the share of the shape that the model leaves over

``residual`` ranks faces by error best where boxes are from landmarks; with a detector's boxes
``mahalanobis`` does for ``asmnet_plus`` (docs/plausibility.md). It alone is used. A logistic fit
to faces with labels (asmnet_kit.face.logistic_fit) calibrates it: it gives the probability that the
face's NME is at most 8 %.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError, UsageError
from asmnet_kit.base.npz import read_npz
from asmnet_kit.base.run_folder import SHAPE_MODEL
from asmnet_kit.face.logistic_fit import LIMIT_PERCENT, LogisticFit
from asmnet_kit.face.schemes import Scheme, scheme_of
from asmnet_kit.face.shape_model.align import into_reference
from asmnet_kit.face.shape_model.file import (
    EXPECTED,
    save_arrays,
    shape_model_arrays,
    shape_model_of,
)
from asmnet_kit.face.shape_model.operator import ShapeModel

SIGNALS = ("residual", "mahalanobis", "unexplained")
USED = "residual"

SHAPE_MODEL_SUFFIX = ".npz"  # beside a .tflite of the same name

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Plausibility:
    """A shape model as judge of predicted shapes.

    Attributes:
        shape_model: of the predictor's number of points.
        calibration: makes its judgement a probability; without one it is
            ``ShapeModel.plausibility``, a share that ranks but means no probability.
        scheme: of the shapes, which the file does not say; None = the built-in one with so many
            points. ``for_scheme`` sets it.
    """

    shape_model: ShapeModel
    calibration: LogisticFit | None = None
    scheme: Scheme | None = None

    @property
    def meaning(self) -> str:
        """What ``judge`` gives, in words."""
        if self.calibration is None:
            return "share of the shape that the shape model explains, not calibrated"
        return f"probability that the NME is at most {self.calibration.limit_percent:g} %"

    def judge(self, shapes: NDArray[np.floating]) -> NDArray[np.float32]:
        """How plausible each shape is: float32 [B], 0..1; 0 for what is no shape at all.

        Args:
            shapes: [B, N, 2], any unit; NaN for points without a position.
        """
        if self.calibration is None:
            return self.shape_model.plausibility(shapes)
        probability = self.calibration.probability(self.signals(shapes)[USED])
        return np.where(np.isfinite(probability), probability, 0).astype(np.float32)

    def signals(self, shapes: NDArray[np.floating]) -> dict[str, Array]:
        """``SIGNALS`` of each shape [B, N, 2]: float64 [B], larger is less like a face.

        A shape without a size (``Scheme.size_of``) has nothing to measure a residual in: NaN.
        """
        model = self.shape_model
        points = np.asarray(shapes, np.float64)
        unexplained = 1 - model.plausibility(points).astype(np.float64)
        seen = np.asarray(np.isfinite(points).all(axis=-1))
        points = np.where(seen[..., None], points, 0.0)
        frame = model.mean if model.reference is None else model.reference
        upright, _, _ = into_reference(frame, points, seen)
        b, smoothed = model.coefficients(upright, seen)
        scheme = self.scheme or scheme_of(model.points)
        size = scheme.size_of(np.where(seen[..., None], upright, np.nan))
        distance = np.linalg.norm(upright - smoothed, axis=-1) * seen
        mean_distance = distance.sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        residual = np.divide(mean_distance, size, out=np.full(len(points), np.nan), where=size > 0)
        spread = np.sqrt((b**2 / model.eigenvalues.astype(np.float64)).sum(axis=1))
        return {"residual": residual, "mahalanobis": spread, "unexplained": unexplained}

    def for_scheme(self, scheme: Scheme) -> "Plausibility":
        """The same judge of a predictor's shapes.

        Raises:
            UsageError: the shape model has another number of landmarks than ``scheme``.
        """
        if self.shape_model.points != scheme.points:
            raise UsageError(
                f"expected a shape model of {scheme.points} landmarks like the model's, "
                f"got one of {self.shape_model.points}"
            )
        return replace(self, scheme=scheme)

    def save(self, path: Path) -> None:
        """Write an .npz: the shape model's arrays and the calibration's; whole or not at all."""
        arrays = shape_model_arrays(self.shape_model)
        if self.calibration is not None:
            for key, kind in _STORED.items():
                arrays[key] = kind(getattr(self.calibration, key.removeprefix(_PREFIX)))
        save_arrays(arrays, path)

    @classmethod
    def load(cls, path: Path) -> "Plausibility":
        """Read a shape model, with its calibration where it has one.

        Raises:
            ModelError: no such file, no shape model, or a calibration that is damaged.
        """
        arrays = read_npz(path, expected=EXPECTED)
        shape_model = shape_model_of(arrays, path)
        found = {key: arrays[key] for key in _STORED if key in arrays}
        if not found:
            return cls(shape_model)
        try:
            numbers = {k.removeprefix(_PREFIX): float(v.item()) for k, v in found.items()}
            calibration = LogisticFit(
                intercept=numbers["intercept"],
                slope=numbers["slope"],
                limit_percent=numbers["limit_percent"],
                faces=int(numbers["faces"]),
                failures=int(numbers["failures"]),
            )
            if calibration.slope < 0 or calibration.limit_percent <= 0:
                raise ValueError("expected a slope of at least 0 and a limit above 0")
        except (KeyError, ValueError) as error:
            raise ModelError(
                f"{path}: its calibration is damaged ({error}): "
                "make it again with asmnet-kit evaluate --calibrate"
            ) from error
        return cls(shape_model, calibration)


def own_shape_model(model: Path) -> Path:
    """Where a model's own shape model is: in its run folder, or beside its file, named like it."""
    return model / SHAPE_MODEL if model.is_dir() else model.with_suffix(SHAPE_MODEL_SUFFIX)


def own_plausibility(model: Path) -> Plausibility | None:
    """Of ``own_shape_model``; None where there is no such file.

    Raises:
        ModelError: the file is no shape model, or a damaged one.
    """
    path = own_shape_model(model)
    return Plausibility.load(path) if path.is_file() else None


_PREFIX = "calibration_"
# float64 all: a shape model's file holds floating-point numbers, but for the number of points.
_STORED = {
    f"{_PREFIX}{name}": np.float64
    for name in ("intercept", "slope", "limit_percent", "faces", "failures")
}


@dataclass(frozen=True)
class Ranking:
    """How well a judge tells faces with a large error from the others.

    Attributes:
        faces, failures: judged, and of them with an NME above the limit.
        auroc: signal -> the probability that a face which failed has a larger value than one which
            did not; 0.5 is chance. None where all faces or none failed.
        mean_judgement: mean of ``Plausibility.judge``; for a calibrated judge comparable with the
            share of faces within the limit.
        brier: mean squared difference of a calibrated judgement from 1 for a face within the limit
            and 0 for one that failed; None for one that is not calibrated.
        brier_constant: the same of somebody who knows only how many of these faces failed.
    """

    faces: int
    failures: int
    auroc: dict[str, float | None]
    mean_judgement: float
    brier: float | None
    brier_constant: float

    @classmethod
    def of(
        cls,
        signals: dict[str, Array],
        judgement: NDArray[np.floating],
        nme: NDArray[np.floating],
        *,
        calibrated: bool,
        limit_percent: float = LIMIT_PERCENT,
    ) -> "Ranking | None":
        """Compare judgements [B] with NMEs [B] in percent; None where no face has an NME."""
        known = ~np.isnan(nme)
        if not known.any():
            return None
        failed = np.asarray(nme[known] > limit_percent)
        chances = np.asarray(judgement, np.float64)[known]
        share = float(failed.mean())
        return cls(
            faces=int(known.sum()),
            failures=int(failed.sum()),
            auroc={name: auroc(values[known], failed) for name, values in signals.items()},
            mean_judgement=float(chances.mean()),
            brier=float(((chances - ~failed) ** 2).mean()) if calibrated else None,
            brier_constant=share * (1 - share),
        )

    def to_json(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "faces": self.faces,
            "failures": self.failures,
            "auroc": self.auroc,
            "mean_judgement": self.mean_judgement,
            "brier": self.brier,
            "brier_constant": self.brier_constant,
        }


def auroc(values: NDArray[np.floating], positive: NDArray[np.bool_]) -> float | None:
    """Area under the ROC curve: how often a positive has the larger value; ties count half.

    It is the Mann-Whitney statistic, from ranks, so exact. NaN counts as the largest value: a shape
    that cannot be judged is not to be trusted.

    Args:
        values: [B].
        positive: bool [B].

    Returns:
        0..1, or None without both kinds.
    """
    from scipy.stats import rankdata

    ones, zeros = int(positive.sum()), int((~positive).sum())
    if not ones or not zeros:
        return None
    ranks = rankdata(np.nan_to_num(values, nan=np.inf, posinf=np.inf))
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))
