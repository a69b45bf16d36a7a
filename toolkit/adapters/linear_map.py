"""A linear map from one set of face points to another: ridge regression in the points' own frame.

Two anchor points make the frame: its origin lies between them, x along them, their distance is the
unit. So a map moves, turns and grows with the face, wherever its points are counted from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.base.files import replacing
from asmnet_kit.base.npz import read_npz

Array = NDArray[np.float64]
Faces = Sequence[NDArray[np.floating]] | NDArray[np.floating]  # the points of each

EXPECTED = "a linear map of an adapter (.npz)"
MAX_POINTS = 2**14
MAX_WEIGHTS = 2**26  # 16,384 points to 1,000 landmarks; as float64 they take half a GB
SHAPES = {"anchors": 1, "mean_points": 1, "mean_landmarks": 1, "weights": 2}  # name -> dimensions


class PointFrame:
    """The frame of two points: origin between them, x along them, their distance the unit.

    Args:
        left, right: [2] each, pixels or any other unit, x right, y down.
    """

    def __init__(self, left: NDArray[np.floating], right: NDArray[np.floating]) -> None:
        left, right = np.asarray(left, np.float64), np.asarray(right, np.float64)
        self.origin = (left + right) / 2
        self.unit = float(np.linalg.norm(right - left))
        across = (right - left) / self.unit
        self.rotation = np.array([across, [-across[1], across[0]]])

    def inside(self, points: NDArray[np.floating]) -> Array:
        """Points [N, 2] in this frame."""
        return np.asarray((points - self.origin) @ self.rotation.T / self.unit)

    def outside(self, points: Array) -> Array:
        """Points of this frame [N, 2] where they are."""
        return np.asarray(points @ self.rotation * self.unit + self.origin)


@dataclass(frozen=True, eq=False)
class LinearMap:
    """landmarks = mean_landmarks + (points - mean_points) weights, in the frame of the anchors.

    Attributes:
        anchors: numbers of the two points that make the frame.
        mean_points: float64 [2M].
        mean_landmarks: float64 [2N].
        weights: float64 [2M, 2N].
    """

    anchors: tuple[int, int]
    mean_points: Array
    mean_landmarks: Array
    weights: Array

    @property
    def points(self) -> int:
        return len(self.mean_points) // 2

    @property
    def landmarks(self) -> int:
        return len(self.mean_landmarks) // 2

    def __call__(self, points: NDArray[np.floating]) -> Array:
        """Landmarks [B, N, 2] of points [B, M, 2], in the points' unit; NaN without a frame."""
        return np.stack([self._one(np.asarray(p, np.float64)) for p in points])

    def _one(self, points: Array) -> Array:
        with np.errstate(
            invalid="ignore", divide="ignore", over="ignore"
        ):  # points that are no face: NaN
            frame = PointFrame(*points[list(self.anchors)])
            inside = frame.inside(points).ravel() - self.mean_points
            return frame.outside((self.mean_landmarks + inside @ self.weights).reshape(-1, 2))

    @classmethod
    def fit(
        cls,
        points: Faces,
        landmarks: Faces,
        *,
        anchors: tuple[int, int],
        ridge: float,
        choice: NDArray[np.int64] | None = None,
    ) -> "LinearMap":
        """The ridge regression of faces.

        Args:
            points, landmarks: of each face, [M, 2] and [N, 2] in one unit, all finite.
            ridge: what squared weights cost; the unit is the anchors' distance.
            choice: int64 [N, 2], for each landmark the two points whose middle it nearly is. Then
                it is the change of the weights from these that costs, so that a high ridge leaves
                a shift of each landmark.
        """
        frames = [PointFrame(*face[list(anchors)]) for face in points]
        x = np.stack([f.inside(face).ravel() for f, face in zip(frames, points, strict=True)])
        y = np.stack([f.inside(face).ravel() for f, face in zip(frames, landmarks, strict=True)])
        mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
        x, y = x - mean_x, y - mean_y
        start = np.zeros((x.shape[1], y.shape[1]))
        for landmark, pair in enumerate([] if choice is None else choice):
            for point in pair:
                for axis in (0, 1):
                    start[2 * point + axis, 2 * landmark + axis] += 0.5
        change = np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1]), x.T @ (y - x @ start))
        return cls(anchors, mean_x, mean_y, start + change)

    def save(self, path: Path) -> None:
        """Write the map, as float32."""
        arrays = {
            "anchors": np.array(self.anchors, np.int32),
            "mean_points": self.mean_points.astype(np.float32),
            "mean_landmarks": self.mean_landmarks.astype(np.float32),
            "weights": self.weights.astype(np.float32),
        }
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type, unused-ignore]

    @classmethod
    def load(cls, path: Path) -> "LinearMap":
        """Read what ``save`` wrote.

        Raises:
            ModelError: no such file, another kind, or arrays that do not fit each other.
        """
        arrays = read_npz(path, expected=EXPECTED)
        if set(arrays) != set(SHAPES) or any(
            arrays[name].ndim != dimensions or arrays[name].dtype.kind not in "fiu"
            for name, dimensions in SHAPES.items()
        ):
            raise ModelError(
                f"{path}: expected {EXPECTED} with the arrays {', '.join(SHAPES)}, "
                f"got {', '.join(f'{n} {list(a.shape)}' for n, a in arrays.items()) or 'none'}"
            )
        anchors, mean_points, mean_landmarks, weights = (arrays[name] for name in SHAPES)
        points = len(mean_points) // 2
        fits = weights.shape == (len(mean_points), len(mean_landmarks))
        even = len(mean_points) % 2 == len(mean_landmarks) % 2 == 0
        small = max(len(mean_points), len(mean_landmarks)) <= 2 * MAX_POINTS
        small = small and weights.size <= MAX_WEIGHTS
        inside = anchors.shape == (2,) and anchors.dtype.kind in "iu" and anchors[0] != anchors[1]
        inside = inside and bool(((anchors >= 0) & (anchors < points)).all())
        if not (
            small
            and fits
            and even
            and inside
            and all(np.isfinite(a).all() for a in arrays.values())
        ):
            raise ModelError(
                f"{path}: expected {EXPECTED} of finite numbers, mean_points [2M], mean_landmarks "
                f"[2N], weights [2M, 2N], at most {MAX_WEIGHTS}, and two of the M points as "
                f"anchors, got "
                f"{', '.join(f'{n} {list(a.shape)}' for n, a in arrays.items())}"
            )
        means = mean_points.astype(np.float64), mean_landmarks.astype(np.float64)
        return cls((int(anchors[0]), int(anchors[1])), *means, weights.astype(np.float64))
