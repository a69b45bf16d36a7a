"""Who a face is and what it does: random identity and expression as moves of the control points.

Every trait is a field of displacements of the control points of
:mod:`asmnet_kit.drawn_faces.head`, in millimetres for a coefficient of 1; a face adds the fields
with random coefficients. Sizes follow the spread of adult faces (Farkas 1994: a standard deviation
is about 5 % of most measures).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.drawn_faces.head import (
    LANDMARK_CONTROLS,
    LIDS_68,
    Array,
    controls,
    lids_open_field,
    mouth_open_field,
    smoothstep,
)
from asmnet_kit.drawn_faces.noise import pick
from asmnet_kit.face.generic_face import SAME_POINTS

Float = NDArray[np.float64]
Field = Callable[[Float, Float, Float], tuple[Float | float, Float | float, Float | float]]

# Lids as (upper, lower) controls at the same share of the eye's width, image's left eye, right eye.
_LID_PAIRS = (
    ((61, 67), (62, 66), (63, 65), (98, 101), (99, 100)),
    ((69, 75), (70, 74), (71, 73), (102, 105), (103, 104)),
)


@dataclass(frozen=True, eq=False)
class FaceShape:
    """The control points of one face, and what painting needs to know about it.

    Attributes:
        positions: float32 [K, 3], millimetres, unposed head.
        closed: how far each eye is closed, 0 relaxed ... 1 shut (image's left, right).
        gaze: (x, y) of the pupils from the eyes' middle as fractions of half the eye's width.
        smile: -1..1.
    """

    positions: Array
    closed: tuple[float, float]
    gaze: tuple[float, float]
    smile: float


def _bump(x: Float, y: Float, cx: float, cy: float, rx: float, ry: float) -> Float:
    """A Gaussian bump at (±cx, cy) of the face seen from the front."""
    bump: Float = np.exp(-(((np.abs(x) - cx) / rx) ** 2) - ((y - cy) / ry) ** 2)
    return bump


WOBBLE_MODES = 48  # of the control points' unevenness; they hold nearly all of its variance
WOBBLE_MM = 1.1  # its standard deviation

# name: field(x, y, z) -> (dx, dy, dz) for one standard deviation.
_IDENTITY: dict[str, Field] = {
    "width": lambda x, y, z: (0.045 * x, 0, 0),
    "height": lambda x, y, z: (0, 0.04 * y, 0),
    "depth": lambda x, y, z: (0, 0, 0.05 * (z - 20)),
    "lower_face": lambda x, y, z: (0, 0.08 * np.clip(y - 49, 0, 90), 0),
    "jaw_width": lambda x, y, z: (
        np.sign(x) * 3.6 * smoothstep(y, 30, 75) * smoothstep(np.abs(x), 15, 50),
        0,
        0,
    ),
    "chin_forward": lambda x, y, z: (0, 0, -3.5 * _bump(x, y, 0, 102, 28, 20)),
    "chin_narrow": lambda x, y, z: (-0.12 * x * smoothstep(y, 80, 105), 0, 0),
    "full_cheeks": lambda x, y, z: (
        np.sign(x) * 3.5 * _bump(x, y, 52, 60, 20, 28),
        0,
        -4 * _bump(x, y, 42, 52, 20, 22),
    ),
    "cheekbones": lambda x, y, z: (
        np.sign(x) * 2.2 * _bump(x, y, 62, 22, 20, 18),
        0,
        -2.6 * _bump(x, y, 47, 22, 16, 13),
    ),
    "forehead_high": lambda x, y, z: (0, -5 * smoothstep(-y, 25, 90), 0),
    "forehead_back": lambda x, y, z: (0, 0, 4.5 * _bump(x, y, 0, -65, 80, 30)),
    "brow_height": lambda x, y, z: (0, 2.3 * _bump(x, y, 36, -17, 40, 9), 0),
    "brow_tilt": lambda x, y, z: (0, 0.09 * (np.abs(x) - 36) * _bump(x, y, 36, -16, 40, 10), 0),
    "brow_arch": lambda x, y, z: (0, -2 * _bump(x, y, 40, -18, 13, 10), 0),
    "brow_ridge": lambda x, y, z: (0, 0, -2.6 * _bump(x, y, 28, -17, 36, 10)),
    "eye_spacing": lambda x, y, z: (np.sign(x) * 1.8 * _bump(x, y, 32, 0, 22, 14), 0, 0),
    "eye_size": lambda x, y, z: (
        np.sign(x) * 0.06 * (np.abs(x) - 31.5) * _bump(x, y, 32, 0, 24, 14),
        0.11 * y * _bump(x, y, 32, 0, 20, 12),
        0,
    ),
    "eye_tilt": lambda x, y, z: (0, 0.09 * (np.abs(x) - 31) * _bump(x, y, 32, 0, 22, 12), 0),
    "eye_depth": lambda x, y, z: (0, 0, 2.2 * _bump(x, y, 32, 0, 20, 12)),
    "nose_length": lambda x, y, z: (0, 2.6 * _bump(x, y, 0, 43, 20, 16), 0),
    "nose_width": lambda x, y, z: (np.sign(x) * 2.4 * _bump(x, y, 15, 41, 9, 12), 0, 0),
    "nose_out": lambda x, y, z: (0, 0, -3.5 * _bump(x, y, 0, 38, 13, 17)),
    "nose_bridge": lambda x, y, z: (0, 0, -2.8 * _bump(x, y, 0, 10, 9, 15)),
    "nose_tip_up": lambda x, y, z: (0, -2.2 * _bump(x, y, 0, 38, 8, 7), 0),
    "nose_side": lambda x, y, z: (1.2 * _bump(x, y, 0, 28, 14, 18), 0, 0),
    "mouth_width": lambda x, y, z: (0.09 * x * _bump(x, y, 0, 69, 45, 14), 0, 0),
    "mouth_height": lambda x, y, z: (0, 1.8 * _bump(x, y, 0, 69, 35, 15), 0),
    "lips_out": lambda x, y, z: (0, 0, -2.3 * _bump(x, y, 0, 69, 24, 11)),
}

# The same for what a face does; coefficients are drawn in ``_expression``.
_EXPRESSION: dict[str, Field] = {
    "smile": lambda x, y, z: (
        np.sign(x) * (5.5 * _bump(x, y, 26, 69, 15, 9) + 1.5 * _bump(x, y, 44, 44, 18, 16)),
        -4.2 * _bump(x, y, 27, 69, 13, 9)
        - 3 * _bump(x, y, 42, 40, 18, 15)
        + 0.8 * _bump(x, y, 0, 73, 12, 9),
        4.5 * _bump(x, y, 26, 69, 16, 10) - 3 * _bump(x, y, 42, 42, 15, 13),
    ),
    "upper_lip_up": lambda x, y, z: (0, -3 * _bump(x, y, 0, 61, 17, 6), 0),
    "lower_lip_down": lambda x, y, z: (0, 3 * _bump(x, y, 0, 78, 17, 6), 0),
    "pucker": lambda x, y, z: (
        -0.33 * x * _bump(x, y, 0, 69, 32, 13),
        0,
        -5 * _bump(x, y, 0, 69, 20, 12),
    ),
    "mouth_side": lambda x, y, z: (5 * _bump(x, y, 0, 72, 34, 20), 0, 0),
    "smirk": lambda x, y, z: (0, -2.4 * np.sign(x) * _bump(x, y, 26, 69, 14, 9), 0),
    "brow_raise": lambda x, y, z: (0, -5 * _bump(x, y, 36, -19, 38, 12), 0),
    "one_brow": lambda x, y, z: (0, 3 * np.sign(x) * _bump(x, y, 36, -19, 26, 12), 0),
    "brow_furrow": lambda x, y, z: (
        -np.sign(x) * 2 * _bump(x, y, 16, -16, 14, 10),
        4 * _bump(x, y, 14, -16, 17, 11),
        0,
    ),
    "nose_wrinkle": lambda x, y, z: (
        0,
        -2 * _bump(x, y, 12, 40, 14, 12),
        0,
    ),
    "cheek_puff": lambda x, y, z: (
        np.sign(x) * 4 * _bump(x, y, 44, 66, 20, 18),
        0,
        -6 * _bump(x, y, 36, 66, 16, 16),
    ),
}

# Landmarks on a rim move apart by an extra field each: (controls, (dx, dy, dz)), mm.
_RIMS: dict[str, tuple[tuple[int, ...], tuple[float, float, float]]] = {
    "upper_lip": ((77, 78, 79, 80, 81), (0, -1.5, -0.6)),
    "lower_lip": ((83, 84, 85, 86, 87), (0, 1.5, -0.4)),
    "brow_thick": ((38, 39, 40, 41, 47, 48, 49, 50), (0, 1.4, 0)),
}


@dataclass(frozen=True, eq=False)
class _Fields:
    identity: Array  # [identity traits, K * 3]
    expression: dict[str, Array]  # [K * 3] each
    wobble: Array  # [WOBBLE_MODES, K]: times normal numbers, a smooth random field, 1 mm strong


def _evaluate(field: Field, positions: Float) -> Array:
    x, y, z = positions.T
    moves = np.stack([np.broadcast_to(d, x.shape) for d in field(x, y, z)], axis=1)
    # A jaw's underside and the neck go with the face above them; far below, nothing moves.
    return np.asarray(moves * smoothstep(-y, -240, -150)[:, None], np.float32).reshape(-1)


def _blink(positions: Float, eye: int) -> Array:
    """The upper lid comes down onto the lower one, which rises a little; 0.5 mm stays."""
    moves = np.zeros_like(positions)
    for upper, lower in _LID_PAIRS[eye]:
        gap = positions[lower] - positions[upper]
        moves[upper] = 0.88 * gap - (0, 0.5, 0.8)
        moves[lower] = -0.12 * gap - (0, 0, 0.6)
    return moves.astype(np.float32).reshape(-1)


@lru_cache(maxsize=1)
def _fields() -> _Fields:
    rest = controls()
    positions = rest.positions.astype(np.float64)
    identity = [_evaluate(field, positions) for field in _IDENTITY.values()]
    for indices, move in _RIMS.values():
        moves = np.zeros_like(positions)
        moves[list(indices)] = move
        identity.append(moves.astype(np.float32).reshape(-1))
    expression = {name: _evaluate(field, positions) for name, field in _EXPRESSION.items()}
    expression["jaw_open"] = mouth_open_field(positions).astype(np.float32).reshape(-1)
    expression["lids_open"] = lids_open_field(positions).astype(np.float32).reshape(-1)
    expression["blink_left"], expression["blink_right"] = (_blink(positions, eye) for eye in (0, 1))
    length_mm = 38.0  # over which unevenness of real faces is alike
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    strengths, modes = np.linalg.eigh(np.exp(-((distance / length_mm) ** 2)))
    strongest = modes[:, -WOBBLE_MODES:] * np.sqrt(strengths[-WOBBLE_MODES:])
    wobble = np.ascontiguousarray(strongest.T, np.float32)
    return _Fields(np.stack(identity), expression, wobble)


def _expression(rng: np.random.Generator) -> dict[str, float]:
    """Coefficients of one expression; about a third of the faces is nearly neutral."""
    strength = (0.25, 0.8, 1.15)[pick(rng, (0.35, 0.4, 0.25))]
    jaw_open = max(0.0, rng.normal(0, 0.35)) if rng.random() < 0.6 else 0.0
    coefficients = {
        "smile": rng.uniform(-0.6, 1.25),
        "upper_lip_up": max(0.0, rng.normal(0.1, 0.35)),
        "lower_lip_down": max(0.0, rng.normal(0.0, 0.3)),
        "pucker": max(0.0, rng.normal(-0.5, 0.6)),
        "mouth_side": rng.normal(0, 0.25),
        "smirk": rng.normal(0, 0.35),
        "brow_raise": rng.normal(0.1, 0.6),
        "one_brow": rng.normal(0, 0.3),
        "brow_furrow": max(0.0, rng.normal(-0.1, 0.6)),
        "nose_wrinkle": max(0.0, rng.normal(-0.3, 0.6)),
        "cheek_puff": max(0.0, rng.normal(-0.6, 0.5)),
    }
    coefficients = {name: strength * value for name, value in coefficients.items()}
    if rng.random() < 0.08:  # a shout or a yawn
        jaw_open = rng.uniform(0.7, 1.25)
    coefficients["jaw_open"] = min(jaw_open, 1.25)
    return coefficients


def _closures(rng: np.random.Generator) -> tuple[float, float]:
    kind = rng.random()
    if kind < 0.07:  # both shut
        return 1.0, 1.0
    if kind < 0.10:  # a wink
        shut, other = 1.0, rng.uniform(0, 0.4)
        return (shut, other) if rng.random() < 0.5 else (other, shut)
    both = rng.normal(0.08, 0.2)
    return tuple(float(np.clip(both + rng.normal(0, 0.04), -0.4, 0.9)) for _ in range(2))  # type: ignore[return-value]


def random_shape(rng: np.random.Generator) -> FaceShape:
    """One face with a random identity and expression."""
    rest, fields = controls().positions, _fields()
    traits = np.clip(rng.standard_normal(len(fields.identity)), -2.3, 2.3).astype(np.float32)
    moved = np.einsum("t,tm->m", traits, fields.identity)
    expression = _expression(rng)
    for name, coefficient in expression.items():
        moved = moved + np.float32(coefficient) * fields.expression[name]
    closed = _closures(rng)
    for name, share in zip(("blink_left", "blink_right"), closed, strict=True):
        moved = moved + np.float32(max(share, 0.0)) * fields.expression[name]
    wide = max(0.0, -min(closed))
    moved = moved + np.float32(wide) * fields.expression["lids_open"]
    positions = rest + moved.reshape(-1, 3)
    amounts = rng.standard_normal((WOBBLE_MODES, 3), dtype=np.float32)
    positions += np.float32(WOBBLE_MM) * np.einsum("wk,wc->kc", fields.wobble, amounts)
    gaze = (
        float(np.clip(rng.normal(0, 0.22), -0.5, 0.5)),
        float(np.clip(rng.normal(0, 0.1), -0.25, 0.25)),
    )
    return FaceShape(positions, closed, gaze, expression["smile"])


def landmark_controls() -> NDArray[np.int64]:
    """int64 [68]: the control that is landmark i of the 68."""
    index = np.full(68, -1)
    index[SAME_POINTS[:, 0]] = SAME_POINTS[:, 1]
    index[list(LIDS_68)] = np.arange(98, LANDMARK_CONTROLS)
    return index
