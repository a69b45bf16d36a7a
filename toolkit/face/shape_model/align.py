"""Frames of shapes: a reference they are aligned to, and their own landmark box's crop."""

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.face.boxes import CROP_SCALE
from asmnet_kit.face.generic_face import positions_of
from asmnet_kit.face.schemes import Scheme, scheme_of


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


def likeness(reference: NDArray[np.floating], points: NDArray[np.floating]) -> float:
    """How alike two shapes are when one is moved, turned and scaled onto the other: 0..1.

    The size of the complex correlation of the centred points: 1 for the same shape, and less for
    its mirror image, unless it is symmetric in every pose.

    Args:
        reference, points: [N, 2]; NaN in ``points`` does not count.
    """
    seen = np.isfinite(points).all(axis=-1)
    r, s = (shape[seen] @ [1, 1j] for shape in (np.asarray(reference), np.asarray(points)))
    r, s = r - r.mean(), s - s.mean()
    power = float(np.linalg.norm(r) * np.linalg.norm(s))
    return abs(complex(np.vdot(r, s))) / power if power else 0.0


def generic_reference(points: int) -> NDArray[np.float32]:
    """``front_reference`` of the built-in scheme with so many points.

    Raises:
        UsageError: no built-in scheme has so many points, or it has no 3-D positions.
    """
    return _front(positions_of(scheme_of(points)))


def front_reference(scheme: Scheme) -> NDArray[np.float32] | None:
    """A scheme's 3-D positions seen from the front, as fractions of their box's crop; [N, 2].

    None of a scheme without positions.
    """
    return None if scheme.positions is None else _front(scheme.positions)


def _front(positions: NDArray[np.float64]) -> NDArray[np.float32]:
    fractions, _ = box_fractions(positions[None, :, :2], np.ones((1, len(positions)), np.bool_))
    reference: NDArray[np.float32] = fractions[0].astype(np.float32)
    return reference


def checked_shapes(
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


def box_fractions(
    points: NDArray[np.float64], seen: NDArray[np.bool_], crop_scale: float = CROP_SCALE
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Each shape as fractions of its own landmark box's crop, and whether it has such a box."""
    low = np.where(seen[..., None], points, np.inf).min(axis=1)  # [B, 2]
    high = np.where(seen[..., None], points, -np.inf).max(axis=1)
    proper = np.asarray((high - low).max(axis=1) > 0)
    low, high = np.where(proper[:, None], low, -0.5), np.where(proper[:, None], high, 0.5)
    side = crop_scale * (high - low).max(axis=1)
    fractions = (points - ((low + high) / 2)[:, None]) / side[:, None, None]
    fractions = np.where(seen[..., None], fractions, 0.0)
    return fractions, proper
