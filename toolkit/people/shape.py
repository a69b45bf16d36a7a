"""Who a person is and what the face does: identity and expression as mixes of morph targets."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.people.assets import Assets, load

Array = NDArray[np.float32]
Mix = dict[str, float]  # target -> strength

AGES = {"child": 0.1875, "young": 0.5, "old": 1.0}  # MakeHuman's scale: about 12, 25 and 70 years
ANCESTRIES = ("african", "asian", "caucasian")
SMILE_SHARE = 0.48  # about half of the people in photographs smile
OTHER_SHARE = 0.28  # another expression; the rest are at rest, more or less

# Strength of a detail: half normal with this deviation; many are left out of a face altogether.
DETAIL_SPREAD = 0.33
HEAD_SPREAD = 0.22  # of targets that change the whole head
DETAIL_SHARE = 0.55
STRONGEST = 0.8
BROW_RAISED, BROW_ARCHED = (0.75, 0.5), (0.15, 0.35)  # mean and deviation of strength
ASYMMETRY_SHARE, ASYMMETRY_SPREAD = 0.1, 0.18

# Expressions as mixes of the face units; "*" stands for Left and Right.
EXPRESSIONS: dict[str, Mix] = {
    "open": {"jawOpen": 0.6},
    "wide open": {"jawOpen": 1.15, "mouthStretch*": 0.3, "eyeSquint*": 0.3},
    "surprise": {"jawOpen": 0.55, "browInnerUp": 0.8, "browOuterUp*": 0.8, "eyeWide*": 0.8},
    "sad": {"browInnerUp": 0.7, "mouthFrown*": 0.8, "mouthShrugLower": 0.3},
    "anger": {"browDown*": 0.8, "mouthFrown*": 0.5, "eyeSquint*": 0.4, "mouthPress*": 0.4},
    "disgust": {"noseSneer*": 0.8, "mouthUpperUp*": 0.6, "browDown*": 0.5},
    "pout": {"mouthPucker": 0.9, "mouthShrugLower": 0.3},
    "kiss": {"mouthPucker": 1.0, "eyeBlink*": 0.6},
    "talk o": {"jawOpen": 0.3, "mouthFunnel": 0.6},
    "talk e": {"jawOpen": 0.2, "mouthStretch*": 0.4, "mouthLowerDown*": 0.5},
    "talk m": {"mouthPress*": 0.6, "mouthRollLower": 0.4, "mouthRollUpper": 0.3},
    "teeth": {"mouthStretch*": 0.6, "mouthUpperUp*": 0.6, "mouthLowerDown*": 0.6},
    "shout": {"jawOpen": 0.9, "mouthUpperUp*": 0.5, "mouthLowerDown*": 0.5, "browDown*": 0.5},
    "puff": {"cheekPuff": 0.9, "mouthPress*": 0.3},
}
SMILES: dict[str, Mix] = {
    "smile": {"mouthSmile*": 0.75, "cheekSquint*": 0.3, "mouthDimple*": 0.2},
    "broad smile": {
        "mouthSmile*": 1.1, "cheekSquint*": 0.6, "mouthUpperUp*": 0.45, "eyeSquint*": 0.25,
        "mouthLowerDown*": 0.15, "jawOpen": 0.06,
    },
    "laugh": {
        "mouthSmile*": 1.1, "cheekSquint*": 0.8, "jawOpen": 0.35, "mouthUpperUp*": 0.45,
        "eyeSquint*": 0.5, "eyeBlink*": 0.15,
    },
}  # fmt: skip
SIDES = ("Left", "Right")


@dataclass(frozen=True)
class Identity:
    """Attributes:
    mix: strengths of the targets.
    age: MakeHuman's scale (``AGES``); sex: 0 female to 1 male.
    ancestry: shares of ``ANCESTRIES``.
    """

    mix: Mix
    age: float
    sex: float
    ancestry: tuple[float, float, float]


@dataclass(frozen=True)
class Expression:
    """Attributes:
    mix: strengths of the face units.
    gaze: degrees to the image's right and up, relative to the head.
    """

    mix: Mix = field(default_factory=dict)
    gaze: tuple[float, float] = (0.0, 0.0)


def random_identity(rng: np.random.Generator) -> Identity:
    kind = rng.random()
    age = rng.uniform(0.34, 0.62) if kind < 0.42 else rng.uniform(0.5, 1.0)
    if kind > 0.9:
        age = rng.uniform(AGES["child"], 0.4)
    sex = float(rng.beta(0.5, 0.5))
    ancestry = rng.dirichlet((0.35, 0.35, 0.5))
    mix = macro_mix(float(age), sex, ancestry, float(rng.uniform(0.2, 0.8)), float(rng.beta(2, 2)))
    _add_details(mix, rng)
    shares = tuple(float(share) for share in ancestry)
    return Identity(mix, float(age), sex, (shares[0], shares[1], shares[2]))


def macro_mix(
    age: float, sex: float, ancestry: NDArray[np.float64], muscle: float, weight: float
) -> Mix:
    """Strengths of the macro targets.

    Args:
        age: MakeHuman's scale.
        sex: 0 female to 1 male.
        ancestry: [3], shares of ``ANCESTRIES``.
        muscle, weight: 0 to 1, 0.5 the mean.
    """
    knots = list(AGES.values())
    ages = {
        name: float(np.interp(age, knots, row)) for name, row in zip(AGES, np.eye(3), strict=True)
    }
    sexes = {"female": 1 - sex, "male": sex}
    muscles, weights = _thirds(muscle), _thirds(weight)
    mix: Mix = {}
    for age_name, of_age in ages.items():
        for sex_name, of_sex in sexes.items():
            share = of_age * of_sex
            if share == 0:
                continue
            for name, part in zip(ANCESTRIES, ancestry, strict=True):
                mix[f"macro/{name}-{sex_name}-{age_name}"] = share * float(part)
            for muscle_name, of_muscle in muscles.items():
                for weight_name, of_weight in weights.items():
                    build = f"{muscle_name}muscle-{weight_name}weight"
                    mix[f"macro/universal-{sex_name}-{age_name}-{build}"] = (
                        share * of_muscle * of_weight
                    )
    return mix


def _thirds(value: float) -> dict[str, float]:
    return {
        "min": max(0.0, 1 - 2 * value),
        "average": 1 - abs(2 * value - 1),
        "max": max(0.0, 2 * value - 1),
    }


@lru_cache(maxsize=1)
def _details() -> dict[str, list[str]]:
    """Kind of detail -> its targets, of which a face takes one: opposites exclude each other.

    Those of the subject's right are named after the left's and left out here.
    """
    kinds: dict[str, list[str]] = {}
    for name in load().targets:
        folder, _, rest = name.partition("/")
        if folder in ("macro", "unit", "asym") or rest.startswith("r-"):
            continue
        kinds.setdefault(name.rpartition("-")[0], []).append(name)
    return kinds


def _add_details(mix: Mix, rng: np.random.Generator) -> None:
    targets = load().targets
    for kind, names in _details().items():
        chosen, size, share = rng.integers(len(names)), rng.normal(), rng.random()
        lopsided = rng.uniform(0.75, 1.25)
        if share > DETAIL_SHARE:
            continue
        name = names[chosen]
        spread = HEAD_SPREAD if kind.startswith("head/") else DETAIL_SPREAD
        strength = min(abs(size) * spread, STRONGEST)
        mix[name] = mix.get(name, 0) + strength
        other = name.replace("/l-", "/r-")
        if other != name and other in targets:
            mix[other] = strength * lopsided
    # MakeHuman's mean brow is low: most people's look less stern.
    raised = {"eyebrows/eyebrows-trans": rng.normal(*BROW_RAISED)}
    raised["eyebrows/eyebrows-angle"] = rng.normal(*BROW_ARCHED)
    for kind, strength in raised.items():
        mix.pop(f"{kind}-up", None)
        mix.pop(f"{kind}-down", None)
        mix[f"{kind}-{'up' if strength > 0 else 'down'}"] = abs(strength)
    for name in targets:
        if name.startswith("asym/"):
            strength, share = abs(rng.normal()) * ASYMMETRY_SPREAD, rng.random()
            if share < ASYMMETRY_SHARE:
                mix[name] = strength


def random_expression(rng: np.random.Generator) -> Expression:
    units: Mix = {}
    kind = rng.random()
    if kind < SMILE_SHARE:
        _express(units, list(SMILES.values())[rng.integers(len(SMILES))], rng)
        if rng.random() < 0.2:
            _express(units, _any_expression(rng), rng, strength=rng.uniform(0.1, 0.5))
    elif kind < SMILE_SHARE + OTHER_SHARE:
        for _ in range(1 if rng.random() < 0.75 else 2):
            _express(units, _any_expression(rng), rng)
    # Faces are never at rest: small amounts of anything.
    for name in load().targets:
        unit = name.removeprefix("unit/")
        if unit == name or unit in ("tongueOut", "mouthClose") or unit.startswith("eyeLook"):
            continue
        share = 0.2 if unit.startswith(("browInner", "browOuter")) else 0.08
        amount, chance = rng.uniform(0, 0.5), rng.random()
        if chance < share:
            units[unit] = units.get(unit, 0) + amount
    _lids(units, rng)
    right, up = (
        float(np.clip(rng.normal(0, 11), -28, 28)),
        float(np.clip(rng.normal(0, 7), -18, 18)),
    )
    for side in SIDES:
        units[f"eyeLook{'Up' if up > 0 else 'Down'}{side}"] = abs(up) / 25
    if rng.random() < 0.015 and units.get("jawOpen", 0) > 0.1:
        units["tongueOut"] = rng.uniform(0.4, 1)
    # The jaw opens further than the unit's full strength only a little before lips tear.
    limits = {"jawOpen": 1.2}
    mix = {
        f"unit/{name}": float(np.clip(value, 0, limits.get(name, 1.0)))
        for name, value in units.items()
    }
    return Expression(mix, (right, up))


def _any_expression(rng: np.random.Generator) -> Mix:
    return list(EXPRESSIONS.values())[rng.integers(len(EXPRESSIONS))]


def _express(units: Mix, expression: Mix, rng: np.random.Generator, strength: float = 0) -> None:
    strength = strength or rng.uniform(0.45, 1.15)
    one_sided = rng.uniform(0.2, 0.8) if rng.random() < 0.12 else 1.0
    weaker = SIDES[rng.integers(2)]
    for name, share in expression.items():
        both = share * strength * rng.uniform(0.75, 1.2)
        for side in SIDES if name.endswith("*") else ("",):
            unit = name.removesuffix("*") + side
            factor = one_sided if side == weaker else 1.0
            units[unit] = units.get(unit, 0) + both * factor * rng.uniform(0.93, 1.07)


def _lids(units: Mix, rng: np.random.Generator) -> None:
    """Open, half closed, closed; both or one (a wink)."""
    kind, closure = rng.random(), rng.uniform(0, 0.3)
    sides: tuple[str, ...] = SIDES
    if kind < 0.05:
        closure = 1.0
    elif kind < 0.09:
        closure = rng.uniform(0.4, 0.9)
    elif kind < 0.11:
        closure, sides = 1.0, (SIDES[rng.integers(2)],)
        for name in ("cheekSquint", "eyeSquint"):
            units[name + sides[0]] = units.get(name + sides[0], 0) + 0.5
    elif kind > 0.6:
        closure = 0
    for side in sides:
        units[f"eyeBlink{side}"] = units.get(f"eyeBlink{side}", 0) + closure * rng.uniform(0.92, 1)
        if closure == 1:
            units[f"eyeBlink{side}"] = 1.0
            units[f"eyeWide{side}"] = 0.0


def morphed(mix: Mix) -> Array:
    """The base head with targets added: float32 [V, 3], mm."""
    assets = load()
    vertices: Array = assets.vertices.copy()
    for name, strength in mix.items():
        if strength and (target := assets.targets.get(name)):
            target.add_to(vertices, strength)
    return vertices


@lru_cache(maxsize=1)
def mean_head() -> Array:
    """The mean head: young, both sexes and three ancestries in equal parts; float32 [V, 3], mm."""
    return morphed(macro_mix(AGES["young"], 0.5, np.full(3, 1 / 3), 0.5, 0.5))


def _rigid_points(head: Array, assets: Assets) -> NDArray[np.float64]:
    """Points that tell where a face is and how it is turned: [K, 3]."""
    inner = (head[assets.point_vertices] * assets.point_weights[..., None]).sum(axis=1)
    jaw = head[assets.jaw_vertices[:, :, 0]] * assets.jaw_weights[None, :, 0, :, None]
    points = np.concatenate([inner, jaw.sum(axis=2).reshape(-1, 3)])
    return np.asarray(points, np.float64)


def shaped(identity: Identity, expression: Expression) -> tuple[Array, Array]:
    """The person's head with the face at rest and with its expression: float32 [V, 3] each, mm.

    Targets of age and build move, scale and tilt the whole head. Both heads are laid onto the mean
    one by the similarity that fits the landmarks of the face at rest, so that a rotation put on
    afterwards is the pose of the head.
    """
    assets = load()
    rest = morphed(identity.mix)
    wanted, found = _rigid_points(mean_head(), assets), _rigid_points(rest, assets)
    middle, target = found.mean(axis=0), wanted.mean(axis=0)
    a, b = found - middle, wanted - target
    left, stretch, right = np.linalg.svd(b.T @ a)
    sign = np.array([1, 1, np.sign(np.linalg.det(left @ right))])
    rotation = (left * sign) @ right
    scale = (stretch * sign).sum() / (a**2).sum()
    turn = (rotation * scale).astype(np.float32)
    shift = (target - rotation @ middle * scale).astype(np.float32)
    moving = rest.copy()
    for name, strength in expression.mix.items():
        if strength and (unit := assets.targets.get(name)):
            unit.add_to(moving, strength)
    return rest @ turn.T + shift, moving @ turn.T + shift


def proxy_scale(head: Array) -> Array:
    """Size of a head relative to the base head along x, y, z: float32 [3]."""
    assets = load()
    own, base = (
        np.abs(vertices[assets.scale_pairs[:, 0]] - vertices[assets.scale_pairs[:, 1]]).diagonal()
        for vertices in (head, assets.vertices)
    )
    return np.asarray(own / base, np.float32)
