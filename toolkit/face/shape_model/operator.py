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

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.face.boxes import CROP_SCALE
from asmnet_kit.face.shape_model.align import box_fractions, checked_shapes, into_reference

CLAMP = 3.0  # standard deviations, Eq. 3

# Weight of the prior b_i ~ N(0, lambda_i) where points are missing. Small enough to leave an exact
# shape where it is (one of 68 points missing: b moves by less than 0.02 %), large enough to keep
# the K x K system solvable however few points are left.
PRIOR_WEIGHT = 0.01


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
        crop_scale: side of the crop that ``mean`` has fractions of, in longer sides of the box.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    eigenvalues: NDArray[np.float32]
    explained_variance_ratio: NDArray[np.float32]
    total_variance: float
    reference: NDArray[np.float32] | None = None
    crop_scale: float = CROP_SCALE

    @property
    def points(self) -> int:
        """N, how many points a shape has."""
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
            visible: [B, N], 0 or False where a point is to be ignored; by default the points that
                are finite are used.

        Returns:
            float32 [B, N, 2], every point finite, also where none was visible.
        """
        points, seen = checked_shapes(shapes, visible, self.points)
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
        points, seen = checked_shapes(shapes, visible, self.points)
        points, proper = box_fractions(points, seen, self.crop_scale)
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
