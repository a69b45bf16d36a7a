"""Fitting a shape model: exact PCA of any number of shapes in one pass and constant memory."""

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.face.shape_model.align import checked_shapes, generic_reference, into_reference
from asmnet_kit.face.shape_model.operator import ShapeModel

# Directions below this share of the largest variance are rounding noise of the accumulation.
RANK_TOLERANCE = 1e-12


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
        points, seen = checked_shapes(shapes, None, self.points)
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
