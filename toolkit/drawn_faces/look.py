"""What a person looks like apart from shape: colours, hair, beard, what is worn."""

from dataclasses import dataclass

import numpy as np

from asmnet_kit.drawn_faces.head import Array
from asmnet_kit.drawn_faces.noise import pick, tile

# sRGB of skin from very light to very dark under white light.
SKIN_TONES = np.array(
    [
        (244, 212, 190),
        (232, 190, 160),
        (212, 163, 127),
        (178, 126, 92),
        (134, 90, 64),
        (92, 60, 45),
        (66, 44, 36),
    ],
    np.float32,
)
HAIR_COLOURS = np.array(
    [
        (22, 18, 17),
        (38, 27, 21),
        (62, 43, 30),
        (98, 68, 42),
        (152, 112, 66),
        (206, 172, 118),
        (120, 58, 32),
        (150, 146, 142),
        (214, 211, 206),
    ],
    np.float32,
)
HAIR_SHARES = (0.24, 0.2, 0.16, 0.11, 0.07, 0.06, 0.04, 0.07, 0.05)
IRIS_COLOURS = np.array(
    [(52, 32, 20), (84, 54, 30), (38, 24, 18), (96, 122, 142), (88, 108, 72), (120, 96, 56)],
    np.float32,
)
LIP_RED = np.array((168, 72, 72), np.float32)


@dataclass(frozen=True, eq=False)
class Look:
    """Colours and hair of one person.

    Attributes:
        skin, hair, brow, beard_hair, iris, lip: float32 [3] sRGB 0..255.
        brow_strength, beard, stubble, freckles, flush, lines, lashes: 0..1.
        moustache_only: the beard is a moustache.
        makeup: 0..1, lines the lids and darkens the lashes.
        hairline: float32 [W]: v of the hairline at each column of u; above it is hair (or a hat).
        hair_soft: width of the hairline's transition, mm.
        hair_contrast: 0..1, how visible strands are.
        hair_thick: mm by which hair stands off the skull.
        shine: strength of the skin's highlights, 0..1.
        mask_top: v of the upper edge of a face mask, or None.
        mask: its colour.
        headwear: "none", "cap", "beanie" or "scarf"; ``hair`` is then its colour, ``curtain`` the
            colour of hair that hangs down, or None.
    """

    skin: Array
    hair: Array
    brow: Array
    beard_hair: Array
    iris: Array
    lip: Array
    brow_strength: float
    beard: float
    stubble: float
    moustache_only: bool
    freckles: float
    flush: float
    lines: float
    lashes: float
    makeup: float
    hairline: Array
    hair_soft: float
    hair_contrast: float
    hair_thick: float
    shine: float
    mask_top: float | None
    mask: Array
    headwear: str
    curtain: Array | None


STYLES = {
    "short": 0.54,
    "fringe": 0.17,
    "bald": 0.06,
    "shaved": 0.05,
    "cap": 0.07,
    "beanie": 0.05,
    "scarf": 0.06,
}
"""How often each way of wearing the hair or something over it occurs."""

# v of the hairline (mm down the face) at |u|: forehead, temple, sideburn, above the ear, nape.
_HAIRLINE_U = (0, 25, 42, 56, 68, 78, 88, 97, 106, 122, 150, 252)
_SHORT_HAIR_V = (-74, -75, -73, -64, -46, -20, 6, 14, -12, 20, 62, 80)
_FRINGE_V = (-32, -32, -31, -28, -22, -6, 10, 16, -8, 20, 62, 80)
_BALD_V = (-190, -190, -190, -170, -110, -60, -12, 4, -20, 10, 58, 80)
_HAT_V = (-48, -48, -48, -47, -46, -45, -44, -42, -40, -34, -20, -10)
_SCARF_V = (-56, -54, -48, -36, -14, 22, 60, 110, 150, 200, 250, 260)


def _skin_and_hair(rng: np.random.Generator) -> tuple[Array, Array, bool]:
    place = rng.uniform(0, len(SKIN_TONES) - 1)
    low = int(place)
    share = place - low
    skin = SKIN_TONES[low] * (1 - share) + SKIN_TONES[min(low + 1, len(SKIN_TONES) - 1)] * share
    skin = skin * rng.normal(1, (0.035, 0.03, 0.04)).astype(np.float32)
    dyed = rng.random() < 0.03
    if place > 2.8 and rng.random() < 0.85:  # dark skin mostly goes with dark or grey hair
        number = (0, 1, 2, 7)[pick(rng, (0.5, 0.3, 0.1, 0.1))]
    else:
        number = pick(rng, HAIR_SHARES)
    hair = HAIR_COLOURS[number] * rng.normal(1, 0.12) + rng.normal(0, 4, 3)
    if dyed:
        hair = rng.uniform(20, 220, 3)
    return (
        np.clip(skin, 20, 250).astype(np.float32),
        np.clip(hair, 5, 235).astype(np.float32),
        place > 3,
    )


def _hairline(rng: np.random.Generator, columns_u: Array, style: str) -> Array:
    levels = {
        "short": _SHORT_HAIR_V,
        "fringe": _FRINGE_V,
        "bald": _BALD_V,
        "shaved": (-400,) * len(_HAIRLINE_U),
        "cap": _HAT_V,
        "beanie": _HAT_V,
        "scarf": _SCARF_V,
    }[style]
    v = np.array(levels, np.float64)
    if style in ("short", "fringe"):
        v[:5] += rng.normal(0, 6)
        v[2:4] -= max(0.0, rng.normal(0, 14)) if style == "short" else 0  # receding corners
        v[0] += rng.normal(2, 4)  # widow's peak
        v[6:8] += rng.normal(0, 8)  # sideburns
    else:
        v += rng.normal(0, 5)
    line = np.interp(np.abs(columns_u), _HAIRLINE_U, v)
    slant = rng.normal(0, 0.18) if style == "fringe" else rng.normal(0, 0.03)
    line = line + slant * np.clip(columns_u, -60, 60)
    waves = tile(rng, 1, len(columns_u), "coarse")[0]
    return np.asarray(
        line + (1.0 if style in ("cap", "beanie", "scarf") else 2.5) * waves, np.float32
    )


def random_look(rng: np.random.Generator, columns_u: Array) -> Look:
    """One person's look; ``columns_u`` [W] are the u at which the hairline is wanted."""
    skin, hair, dark = _skin_and_hair(rng)
    natural = hair
    bearded = rng.random() < 0.2
    style = tuple(STYLES)[pick(rng, tuple(STYLES.values()))]
    headwear = style if style in ("cap", "beanie", "scarf") else "none"
    curtain = None
    if style in ("short", "fringe") and not bearded and rng.random() < 0.5:
        curtain = hair * np.float32(0.8)
    if headwear != "none":
        colour = rng.uniform(10, 235, 3)
        hair = (colour.mean() + 0.6 * (colour - colour.mean())).astype(np.float32)
        if headwear == "scarf":
            curtain = hair * np.float32(0.9)
        elif rng.random() < 0.4 and not bearded:
            curtain = natural * np.float32(0.8)
    lip_red = np.float32(rng.uniform(0.12, 0.5))
    lip = skin * (1 - lip_red) * np.float32(0.92) + lip_red * LIP_RED
    makeup = rng.uniform(0.3, 1) if not bearded and rng.random() < 0.25 else 0.0
    if makeup > 0.5:
        lip = np.array(
            (rng.uniform(120, 215), rng.uniform(25, 90), rng.uniform(40, 110)), np.float32
        )
    masked = rng.random() < 0.035
    mask_colours = ((176, 206, 226), (240, 240, 240), (28, 28, 32), (70, 120, 150))
    iris = IRIS_COLOURS[int(rng.integers(0, 3 if dark else len(IRIS_COLOURS)))]
    return Look(
        skin=skin,
        hair=hair,
        brow=np.clip(natural * np.float32(0.75), 8, 150).astype(np.float32),
        beard_hair=natural,
        iris=np.clip(iris * rng.normal(1, 0.15), 8, 220).astype(np.float32),
        lip=np.clip(lip, 15, 240).astype(np.float32),
        brow_strength=float(rng.uniform(0.25, 0.95)),
        beard=float(rng.uniform(0.5, 1)) if bearded else 0.0,
        stubble=float(rng.uniform(0.05, 0.4)) if rng.random() < 0.25 else 0.0,
        moustache_only=bool(bearded and rng.random() < 0.2),
        freckles=float(rng.uniform(0.2, 1)) if rng.random() < 0.12 else 0.0,
        flush=float(rng.uniform(0, 1.2)),
        lines=float(rng.uniform(0.15, 0.9)),
        lashes=float(rng.uniform(0.45, 1.0)),
        makeup=float(makeup),
        hairline=_hairline(rng, columns_u, style),
        hair_soft=float(rng.uniform(3, 14)) if headwear == "none" else 1.0,
        hair_contrast=float(rng.uniform(0.3, 1.0)) if headwear == "none" else 0.08,
        hair_thick=float(rng.uniform(2, 24)) if style in ("short", "fringe") else 7.0,
        shine=float(rng.uniform(0, 0.8)),
        mask_top=float(rng.uniform(14, 30)) if masked else None,
        mask=np.array(mask_colours[int(rng.integers(0, 4))], np.float32),
        headwear=headwear,
        curtain=curtain,
    )
