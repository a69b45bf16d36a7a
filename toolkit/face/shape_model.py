"""The active shape model (ASM): which face shapes exist, and the operator that smooths a shape.

Fard et al., "ASMNet" (CVPR Workshops 2021), Eq. 1-4. A shape is N points, here fractions of the
landmark box's crop (asmnet_kit.face.crop), x right, y down. With the mean shape S_mean and the
rows of P, the main directions in which the training shapes differ,

    b     = P (S - S_mean)                        Eq. 2
    b~_i  = clip(b_i, -3 sqrt(lambda_i), 3 sqrt(lambda_i))
    S_new = S_mean + P^T b~                       Eq. 3

A PCA of upright shapes does not know rotated ones, so either the shape is smoothed before it is
rotated, or the model is ``aligned``: the fixed similarity (rotation, scale, shift) that takes a
shape to a reference is removed first and put back afterwards.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError, ModelError, UsageError
from asmnet_kit.base.files import DAMAGED_NPZ, replacing
from asmnet_kit.face.crop import CROP_SCALE
from asmnet_kit.face.pose import generic_face

CLAMP = 3.0  # standard deviations, Eq. 3

# Weight of the prior b_i ~ N(0, lambda_i) where points are missing. Small enough to leave an exact
# shape where it is (one of 68 points missing: b moves by less than 0.02 %), large enough to keep
# the K x K system solvable however few points are left.
PRIOR_WEIGHT = 0.01

# Directions below this share of the largest variance are rounding noise of the accumulation.
RANK_TOLERANCE = 1e-12

_REQUIRED = ("mean", "components", "eigenvalues", "explained_variance_ratio", "scheme")


@dataclass(frozen=True, eq=False)
class ShapeModel:
    """A mean shape and its main directions of variation.

    Attributes:
        mean: float32 [N, 2], fractions of the landmark box's crop (``aligned``: of the
            reference's).
        components: float32 [K, 2N], orthonormal rows; columns are x0, y0, x1, y1 ...
        eigenvalues: float32 [K], variances along the components, largest first.
        explained_variance_ratio: float32 [K], eigenvalues / total_variance.
        total_variance: sum of the variances of all 2N coordinates.
        reference: float32 [N, 2], what shapes are aligned to, or None when they are taken as they
            are.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    eigenvalues: NDArray[np.float32]
    explained_variance_ratio: NDArray[np.float32]
    total_variance: float
    reference: NDArray[np.float32] | None = None

    @property
    def scheme(self) -> int:
        """N, the number of points."""
        return len(self.mean)

    @property
    def aligned(self) -> bool:
        """Whether shapes are aligned to ``reference`` first."""
        return self.reference is not None

    def smooth(
        self, shapes: NDArray[np.floating], visible: NDArray[np.generic] | None = None
    ) -> NDArray[np.float32]:
        """The ASM operator (Eq. 2-4): the nearest shape of the model, clamped.

        Where points are missing, b is the least-squares fit to the visible ones:
        (P V P^T + m w lambda_K Lambda^-1) b = P V (S - S_mean), with V the visible coordinates, m
        the share of missing points and w ``PRIOR_WEIGHT``. The second term is a weak Gaussian prior
        that keeps the system solvable; it vanishes for a complete shape, where P P^T = I gives Eq.
        2.

        Args:
            shapes: [B, N, 2].
            visible: [B, N], 0 or False where a point is to be ignored; unless told, the points that
                are finite.

        Returns:
            float32 [B, N, 2], every point finite, also where none was visible.
        """
        points, seen = _checked(shapes, visible, self.scheme)
        if self.reference is None:
            return self._smooth_upright(points, seen).astype(np.float32)
        upright, scaled_rotation, shift = into_reference(self.reference, points, seen)
        smoothed = self._smooth_upright(upright, seen)
        moved: NDArray[np.float64] = smoothed @ scaled_rotation.transpose(0, 2, 1) + shift
        return moved.astype(np.float32)

    def plausibility(
        self, shapes: NDArray[np.floating], visible: NDArray[np.generic] | None = None
    ) -> NDArray[np.float32]:
        """How much of each shape the model accounts for: 1 a face it knows, towards 0 no face.

        The share of the shape's squared deviation from the mean that lies inside the shape space
        and within three standard deviations: 1 - |S - S_new|^2 / |S - S_mean|^2. A shape nearer to
        the mean than the average training shape is measured against that one's variance, since
        there the ratio would compare noise with noise. Shapes are first moved and scaled as their
        own landmark box's crop, so any unit will do.

        Args:
            shapes: [B, N, 2], pixels or fractions.
            visible: as for ``smooth``.

        Returns:
            float32 [B], 0..1; 0 where fewer than two different points are visible.
        """
        points, seen = _checked(shapes, visible, self.scheme)
        points, proper = _box_fractions(points, seen)
        if self.reference is not None:
            points, _, _ = into_reference(self.reference, points, seen)
        weight = seen[..., None].astype(np.float64)
        missed = (weight * (points - self._smooth_upright(points, seen)) ** 2).sum(axis=(1, 2))
        deviation = (weight * (points - self.mean) ** 2).sum(axis=(1, 2))
        usual = self.total_variance * seen.mean(axis=1)
        share = 1 - missed / np.maximum(np.maximum(deviation, usual), np.finfo(np.float64).tiny)
        return np.where(proper, np.clip(share, 0, 1), 0).astype(np.float32)

    def _smooth_upright(
        self, points: NDArray[np.float64], seen: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """Eq. 2-3 for shapes in the model's own frame; [B, N, 2]."""
        return self.coefficients(points, seen)[1]

    def coefficients(
        self, points: NDArray[np.float64], seen: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coefficients of shapes in the model's own frame, and the shapes of the clamped ones.

        Args:
            points: [B, N, 2], finite, aligned to ``reference`` where there is one.
            seen: bool [B, N].

        Returns:
            b [B, K] of Eq. 2 before it is clamped, and S_new [B, N, 2] of Eq. 3.
        """
        rows = self.components.astype(np.float64)  # [K, 2N]
        weight = np.repeat(seen, 2, axis=1).astype(np.float64)  # [B, 2N]
        deviation = (points - self.mean).reshape(len(points), -1) * weight
        b = deviation @ rows.T  # [B, K]
        incomplete = ~seen.all(axis=1)
        if incomplete.any():
            missing = 1 - seen[incomplete].mean(axis=1)
            prior = PRIOR_WEIGHT * self.eigenvalues[-1] / self.eigenvalues.astype(np.float64)
            system = np.einsum("ki,bi,li->bkl", rows, weight[incomplete], rows)
            system += missing[:, None, None] * np.diag(prior)
            b[incomplete] = np.linalg.solve(system, b[incomplete][..., None])[..., 0]
        limit = CLAMP * np.sqrt(self.eigenvalues.astype(np.float64))
        smoothed: NDArray[np.float64] = self.mean + (np.clip(b, -limit, limit) @ rows).reshape(
            points.shape
        )
        return b, smoothed

    def save(self, path: Path) -> None:
        """Write an .npz file without pickled objects, whole or not at all."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **model_arrays(self))

    @classmethod
    def load(cls, path: Path) -> "ShapeModel":
        """Read what ``save`` wrote.

        Raises:
            ModelError: no such file, not an .npz, pickled objects, missing keys, or arrays that are
                no shape model.
        """
        arrays = read_arrays(path)
        missing = [key for key in _REQUIRED if key not in arrays]
        if missing:
            raise ModelError(
                f"{path}: expected a shape model with the arrays {', '.join(_REQUIRED)}; "
                f"missing: {', '.join(missing)}"
            )
        for problem in _problems(arrays):
            raise ModelError(
                f"{path}: not a shape model: {problem}. Train again to write a new one."
            )
        eigenvalues, ratio = arrays["eigenvalues"], arrays["explained_variance_ratio"]
        reference = arrays.get("reference")
        return cls(
            mean=arrays["mean"].astype(np.float32),
            components=arrays["components"].astype(np.float32),
            eigenvalues=eigenvalues.astype(np.float32),
            explained_variance_ratio=ratio.astype(np.float32),
            total_variance=float(
                arrays.get("total_variance", eigenvalues.sum(dtype=np.float64) / ratio.sum())
            ),
            reference=None if reference is None else reference.astype(np.float32),
        )


def model_arrays(model: ShapeModel) -> dict[str, Any]:
    """The arrays of a shape model's file, by name."""
    arrays: dict[str, Any] = {
        "mean": model.mean,
        "components": model.components,
        "eigenvalues": model.eigenvalues,
        "explained_variance_ratio": model.explained_variance_ratio,
        "scheme": np.int64(model.scheme),
        "total_variance": np.float64(model.total_variance),
    }
    if model.reference is not None:
        arrays["reference"] = model.reference
    return arrays


class ShapeAccumulator:
    """Exact PCA of any number of shapes in one pass and constant memory.

    Mean and scatter are merged batch by batch in float64 (Chan, Golub and LeVeque, "Updating
    formulae and a pairwise algorithm for computing sample variances", 1979): no sum of squares, so
    nothing is lost to cancellation, and two accumulators can be merged.

    ``aligned`` shapes are first brought to a fixed reference, the generic 3-D face seen from the
    front. Procrustes analysis would align to the mean, which is known only after a first pass, and
    a running mean would make the model depend on the order of the shapes; the reference is known
    before the first shape and the same in every run. It only fixes the frame: the mean and the
    components are the data's.

    Args:
        points: N.
        aligned: remove rotation, scale and shift of each shape.
        reference: [N, 2], what to align to instead of the generic face.
    """

    def __init__(
        self,
        points: int,
        *,
        aligned: bool = False,
        reference: NDArray[np.floating] | None = None,
    ) -> None:
        if reference is not None and not aligned:
            raise UsageError("a reference is used only for aligned shapes: pass aligned=True too")
        self.points = points
        self.reference: NDArray[np.float32] | None = None
        if aligned:
            chosen = generic_reference(points) if reference is None else np.asarray(reference)
            self.reference = chosen.astype(np.float32)
        self.count = 0
        self.incomplete = 0
        self._mean = np.zeros(2 * points)
        self._scatter = np.zeros((2 * points, 2 * points))

    def update(self, shapes: NDArray[np.floating]) -> None:
        """Take in shapes [B, N, 2]; those with a missing (NaN) point are only counted."""
        points, seen = _checked(shapes, None, self.points)
        complete = seen.all(axis=1)
        self.incomplete += int((~complete).sum())
        points, seen = points[complete], seen[complete]
        if not len(points):
            return
        if self.reference is not None:
            points, _, _ = into_reference(self.reference, points, seen)
        rows = points.reshape(len(points), -1)
        mean = rows.mean(axis=0)
        centred = rows - mean
        self._merge(len(rows), mean, centred.T @ centred)

    def merge(self, other: "ShapeAccumulator") -> None:
        """Take in everything that ``other`` has seen."""
        if (self.points, self.reference is None) != (other.points, other.reference is None):
            raise UsageError("expected two accumulators of the same scheme and alignment")
        self.incomplete += other.incomplete
        if other.count:
            self._merge(other.count, other._mean, other._scatter)

    def fit(self, kept_variance: float = 0.90) -> ShapeModel:
        """The model with the fewest components that keep ``kept_variance`` of the variance.

        Args:
            kept_variance: share in 0..1, above 0; the paper tries 0.85, 0.90 and 0.97.

        Raises:
            UsageError: ``kept_variance`` is out of range.
            DatasetError: fewer than two complete shapes, or all of them equal.
        """
        if not 0 < kept_variance <= 1:
            raise UsageError(f"expected a kept variance above 0 and at most 1, got {kept_variance}")
        if self.count < 2:
            raise DatasetError(
                f"a shape model needs at least 2 faces with every landmark, got {self.count} "
                f"(and {self.incomplete} incomplete ones)"
            )
        eigenvalues, columns = np.linalg.eigh(self._scatter / (self.count - 1))
        eigenvalues, rows = eigenvalues[::-1], columns.T[::-1]
        total = float(eigenvalues.sum())
        if eigenvalues[0] <= np.finfo(np.float64).eps * float(np.square(self._mean).sum()):
            raise DatasetError(f"all {self.count} shapes are equal: there is no variation to model")
        rank = int((eigenvalues > RANK_TOLERANCE * eigenvalues[0]).sum())
        # A share of exactly what k components explain means k, whatever the rounding of the sum.
        explained = np.cumsum(eigenvalues) / total
        kept = min(rank, int(np.searchsorted(explained, kept_variance - 1e-12)) + 1)
        eigenvalues, rows = eigenvalues[:kept], rows[:kept]
        # An eigenvector's sign is arbitrary; its largest coordinate is made positive.
        rows = rows * np.sign(rows[np.arange(kept), np.abs(rows).argmax(axis=1)])[:, None]
        return ShapeModel(
            mean=self._mean.reshape(self.points, 2).astype(np.float32),
            components=rows.astype(np.float32),
            eigenvalues=eigenvalues.astype(np.float32),
            explained_variance_ratio=(eigenvalues / total).astype(np.float32),
            total_variance=total,
            reference=self.reference,
        )

    def _merge(self, count: int, mean: NDArray[np.float64], scatter: NDArray[np.float64]) -> None:
        total = self.count + count
        delta = mean - self._mean
        self._scatter += scatter + np.outer(delta, delta) * (self.count * count / total)
        self._mean += delta * (count / total)
        self.count = total


def into_reference(
    reference: NDArray[np.floating], points: NDArray[np.float64], seen: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Shapes moved, turned and scaled onto ``reference``, and the similarities that undo it.

    Args:
        reference, points, seen: as for ``similarity_from_reference``.

    Returns:
        The shapes [B, N, 2] and what ``similarity_from_reference`` gives: x -> x R^T + shift takes
        them back.
    """
    scaled_rotation, shift = similarity_from_reference(reference, points, seen)
    upright = (points - shift) @ np.linalg.inv(scaled_rotation).transpose(0, 2, 1)
    return upright, scaled_rotation, shift


def similarity_from_reference(
    reference: NDArray[np.floating],
    points: NDArray[np.float64],
    seen: NDArray[np.bool_],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The similarities that take ``reference`` to each shape, by least squares over visible points.

    The reference is fitted to the shape and the fit inverted to align the shape, not the other way
    round: so every aligned shape A has the same <reference, A>, which is linear in A. Mean,
    components and smoothed shapes share it: smoothing twice is smoothing once, and a turned shape
    is smoothed to the turned result. With r and s the centred points as complex numbers, the turn
    and scale are a = <r, s> / <r, r>.

    Args:
        reference: [N, 2].
        points: [B, N, 2], finite (where not seen: any number).
        seen: bool [B, N].

    Returns:
        scaled rotations [B, 2, 2] (the identity where fewer than two different points are visible)
        and shifts [B, 1, 2]: a shape's point is ``scaled_rotation @ reference_point + shift``.
    """
    weight = seen[..., None] / np.maximum(seen.sum(axis=1), 1)[:, None, None]  # [B, N, 1]
    reference_middle = (weight * reference).sum(axis=1, keepdims=True)  # [B, 1, 2]
    middle = (weight * points).sum(axis=1, keepdims=True)
    r, s = reference - reference_middle, points - middle
    dot = (weight * r * s).sum(axis=(1, 2))
    cross = (weight[..., 0] * (r[..., 0] * s[..., 1] - r[..., 1] * s[..., 0])).sum(axis=1)
    power = (weight * r * r).sum(axis=(1, 2))
    # A turn is defined by two different points, and by a shape that is not orthogonal to the
    # reference.
    known = (power > 0) & (np.hypot(dot, cross) > 1e-6 * power)
    power = np.where(known, power, 1.0)
    real, imaginary = np.where(known, dot / power, 1.0), np.where(known, cross / power, 0.0)
    scaled_rotation = np.stack(
        [np.stack([real, -imaginary], -1), np.stack([imaginary, real], -1)], axis=1
    )  # [B, 2, 2]
    shift = middle - reference_middle @ scaled_rotation.transpose(0, 2, 1)
    anything = np.asarray(seen.any(axis=1))
    return scaled_rotation, np.where(anything[:, None, None], shift, 0.0)


def generic_reference(points: int) -> NDArray[np.float32]:
    """The generic 3-D face seen from the front, as fractions of its landmark box's crop; [N, 2].

    Raises:
        UsageError: no generic face has so many points.
    """
    front = generic_face(points)[None, :, :2]
    fractions, _ = _box_fractions(front, np.ones((1, points), np.bool_))
    reference: NDArray[np.float32] = fractions[0].astype(np.float32)
    return reference


def _checked(
    shapes: NDArray[np.floating], visible: NDArray[np.generic] | None, count: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Shapes as float64 with zeros for what is not seen, and what is seen as bool [B, N]."""
    points = np.asarray(shapes, np.float64)
    if points.ndim != 3 or points.shape[1:] != (count, 2):
        raise DatasetError(f"expected shapes [B, {count}, 2], got {list(points.shape)}")
    seen = np.asarray(np.isfinite(points).all(axis=-1))
    if visible is not None:
        if np.shape(visible) != points.shape[:2]:
            raise DatasetError(
                f"expected visibility {list(points.shape[:2])}, got {list(np.shape(visible))}"
            )
        seen = seen & np.asarray(visible).astype(np.bool_)
    return np.where(seen[..., None], points, 0.0), seen


def _box_fractions(
    points: NDArray[np.float64], seen: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Each shape as fractions of its own landmark box's crop, and whether it has such a box."""
    low = np.where(seen[..., None], points, np.inf).min(axis=1)  # [B, 2]
    high = np.where(seen[..., None], points, -np.inf).max(axis=1)
    proper = np.asarray((high - low).max(axis=1) > 0)
    low, high = np.where(proper[:, None], low, -0.5), np.where(proper[:, None], high, 0.5)
    side = CROP_SCALE * (high - low).max(axis=1)
    fractions = (points - ((low + high) / 2)[:, None]) / side[:, None, None]
    fractions = np.where(seen[..., None], fractions, 0.0)
    return fractions, proper


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of an .npz file, refusing pickled objects.

    Raises:
        ModelError: no such file, not an .npz, or pickled objects.
    """
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ModelError(f"{path}: expected an .npz file of several arrays, got a single one")
        with archive:
            return {key: archive[key] for key in archive.files}
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such shape model") from error
    except DAMAGED_NPZ as error:
        # NumPy's own words would advise to load it as a pickle.
        raise ModelError(
            f"{path}: expected a shape model (the shape_model.npz of a training run), got a file "
            "of another kind, a damaged one, or one with pickled objects, which are never loaded"
        ) from error


def _problems(arrays: dict[str, NDArray[Any]]) -> list[str]:
    """What makes the arrays of a file no shape model, worst first."""
    floats = [key for key in arrays if key != "scheme"]
    wrong = [key for key in floats if not np.issubdtype(arrays[key].dtype, np.floating)]
    if wrong:
        return [f"{', '.join(wrong)} should hold floating-point numbers"]
    infinite = [key for key in floats if not np.isfinite(arrays[key]).all()]
    if infinite:
        return [f"{', '.join(infinite)} should hold finite numbers"]
    mean, rows = arrays["mean"], arrays["components"]
    if mean.ndim != 2 or mean.shape[1] != 2 or not len(mean):
        return [f"mean should be [N, 2], got {list(mean.shape)}"]
    if rows.ndim != 2 or not 0 < len(rows) <= rows.shape[1] or rows.shape[1] != mean.size:
        return [f"components should be [K, {mean.size}], got {list(rows.shape)}"]
    problems = [
        f"{key} should be [{len(rows)}], got {list(arrays[key].shape)}"
        for key in ("eigenvalues", "explained_variance_ratio")
        if arrays[key].shape != (len(rows),)
    ]
    scheme = arrays["scheme"]
    if not np.issubdtype(scheme.dtype, np.integer) or scheme.shape != () or scheme != len(mean):
        problems.append(f"scheme should be {len(mean)}, the number of points of the mean")
    if "reference" in arrays and arrays["reference"].shape != mean.shape:
        problems.append(f"reference should be {list(mean.shape)}")
    if "total_variance" in arrays and arrays["total_variance"].shape != ():
        problems.append("total_variance should be one number")
    if problems:
        return problems
    if not (arrays["eigenvalues"] > 0).all() or (np.diff(arrays["eigenvalues"]) > 0).any():
        problems.append("eigenvalues should be above 0, largest first")
    if not (arrays["explained_variance_ratio"] > 0).all():
        problems.append("explained_variance_ratio should be above 0")
    # float32 rows of unit length are orthonormal within a few 1e-7 x sqrt(2N).
    if np.abs(rows.astype(np.float64) @ rows.T - np.eye(len(rows))).max() > 1e-4:
        problems.append("components should have orthonormal rows")
    return problems
