"""A teacher that follows another convention, brought to the labels' own.

Two annotators disagree systematically: how far out a jaw lies, where a brow has its middle, all of
it depending on how the head is turned. Where faces have both a teacher's points and labels, that
part of the difference can be learnt, a linear function of the shape, and taken off wherever the
teacher speaks. What is left is noise, which is each one's own and so averages out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.face.shape_model.align import into_reference
from asmnet_kit.face.shape_model.fit import ShapeAccumulator
from asmnet_kit.face.shape_model.operator import ShapeModel

# Of the teacher's shapes: pose, mouth and face form, 7 or 8 components of the research faces that
# docs/lab/teacher-conventions.md names. From 0.90 to 0.985 the held-back distance changes by less
# than 0.1 points.
KEPT_VARIANCE = 0.97
# Faces at one standard deviation that hold each slope at 0; 100 or 1000 change the held-back
# distance, calibrated on both sets, by about 0.02 points.
RIDGE_FACES = 300.0
# Residuals count linearly from here, in medians of their length: wrong labels pull no further.
HUBER_BEND = 1.5
ROUNDS = 5  # of reweighting
MIN_FACES = 100
MAX_FACES = 20_000  # spread evenly over more: enough for ten slopes a point, 0.4 GB


@dataclass(frozen=True, eq=False)
class TeacherConvention:
    """Where the labels lie, seen from the teacher's points, in the frame of the face.

    Attributes:
        shapes: of the teacher: position, size and roll go, components tell pose and expression.
        offset: float64 [N, 2], for the mean shape.
        slopes: float64 [K, N, 2], per standard deviation of each component.
    """

    shapes: ShapeModel
    offset: NDArray[np.float64]
    slopes: NDArray[np.float64]

    def corrected(self, points: NDArray[np.floating]) -> NDArray[np.float32]:
        """The teacher's points as the labels would have them.

        Args:
            points: [F, N, 2], pixels or fractions, x right, y down.

        Returns:
            float32 [F, N, 2], in the same frame.
        """
        scaled_rotation, components = _in_face_frame(self.shapes, points)
        moved = self.offset + np.einsum("fk,kni->fni", components, self.slopes)
        moved = moved @ scaled_rotation.transpose(0, 2, 1)
        return np.asarray(points + moved, np.float32)


def learn_convention(
    taught: NDArray[np.floating], labels: NDArray[np.floating], scheme: Scheme
) -> TeacherConvention:
    """Learn the systematic difference between a teacher and labels.

    Args:
        taught: [F, N, 2], the teacher's points in pixels of the pictures.
        labels: [F, N, 2], likewise; NaN where there is no label.
        scheme: of the N points; each face is used mirrored too, so that the correction is
            symmetric, unless the scheme is one-sided.

    Raises:
        DatasetError: fewer than 100 faces, or a point that hardly any face has labelled.
    """
    if len(taught) < MIN_FACES:
        raise DatasetError(
            f"expected at least {MIN_FACES} labelled faces to calibrate the teacher on, got "
            f"{len(taught)}"
        )
    if len(taught) > MAX_FACES:
        spread = np.linspace(0, len(taught) - 1, MAX_FACES).astype(int)
        taught, labels = taught[spread], labels[spread]
    if not scheme.is_one_sided:
        taught, labels = (_with_mirrored(shapes, scheme.mirror) for shapes in (taught, labels))
    accumulator = ShapeAccumulator(scheme.points, aligned=True)
    accumulator.update(taught)
    shapes = accumulator.fit(KEPT_VARIANCE)
    scaled_rotation, components = _in_face_frame(shapes, taught)
    upright = (labels - taught) @ np.linalg.inv(scaled_rotation).transpose(0, 2, 1)
    features = np.hstack([np.ones((len(components), 1)), components])
    solved = np.stack(
        [_robust_fit(features, upright[:, n], point=n + 1) for n in range(scheme.points)], axis=1
    )  # [1 + K, N, 2]
    return TeacherConvention(shapes, offset=solved[0], slopes=solved[1:])


def _with_mirrored(
    shapes: NDArray[np.floating], mirror: NDArray[np.integer]
) -> NDArray[np.float64]:
    """[2 F, N, 2]: the shapes, and their reflections about x = 0."""
    points = np.asarray(shapes, np.float64)
    return np.concatenate([points, points[:, mirror] * (-1.0, 1.0)])


def _in_face_frame(
    shapes: ShapeModel, points: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """[F, 2, 2], which turns and enlarges the face's frame to the picture's, and components [F, K].

    Components are in standard deviations.
    """
    turned = np.asarray(points, np.float64)
    seen = np.ones(turned.shape[:2], bool)
    assert shapes.reference is not None  # learn_convention made it of aligned shapes
    upright, scaled_rotation, _ = into_reference(shapes.reference, turned, seen)
    b, _ = shapes.coefficients(upright, seen)
    return scaled_rotation, b / np.sqrt(shapes.eigenvalues.astype(np.float64))


def _robust_fit(
    features: NDArray[np.float64], residuals: NDArray[np.float64], *, point: int
) -> NDArray[np.float64]:
    """Ridge regression with Huber's weights, by iterated least squares: [1 + K, 2]."""
    labelled = np.isfinite(residuals).all(axis=1)
    if labelled.sum() < MIN_FACES:
        raise DatasetError(
            f"expected point {point} labelled on at least {MIN_FACES} faces to calibrate the "
            f"teacher, got {labelled.sum()}"
        )
    x, y = features[labelled], residuals[labelled]
    ridge = RIDGE_FACES * np.diag([0.0, *np.ones(x.shape[1] - 1)])
    weight = np.ones(len(x))
    for _ in range(ROUNDS):
        solution = np.linalg.solve(x.T @ (weight[:, None] * x) + ridge, x.T @ (weight[:, None] * y))
        distance = np.linalg.norm(y - x @ solution, axis=1)
        bend = HUBER_BEND * np.median(distance)
        is_far = distance > bend
        weight = np.where(is_far, bend / np.where(is_far, distance, 1.0), 1.0)
    return np.asarray(solution)
