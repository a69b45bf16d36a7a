"""What people wear below the neck: painted on the body by where a place lies on the mean head."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.people.tones import linear

Array = NDArray[np.float32]

STYLES = {"sweater": 0.3, "v neck": 0.16, "low neck": 0.14, "shirt": 0.16, "suit": 0.24}
PATTERNS = {"none": 0.62, "stripes": 0.14, "checks": 0.14, "blotches": 0.1}
FRONT_MM = 95.0  # z: a neckline is cut out before this only
NECK_BASE_MM = 140.0  # y of the mean body where the neck meets the shoulders in front


@dataclass(frozen=True, eq=False)
class Clothes:
    """Colours are linear float32 [3]; lengths are mm.

    Attributes:
        style, pattern: of STYLES, PATTERNS.
        collar: y of its upper edge on the mean body; depth: of the neckline below.
        colour, other: of the cloth; of its pattern.
        shirt, tie: under a jacket; no tie: None.
        period: of the pattern.
    """

    style: str
    pattern: str
    collar: float
    depth: float
    colour: Array
    other: Array
    shirt: Array
    tie: Array | None
    period: float

    def edge(self, place: Array) -> Array:
        """y [N] of the cloth's upper edge above places [N, 3] of the mean body."""
        aside = np.abs(place[:, 0])
        if self.style in ("v neck", "shirt", "suit"):
            cut = np.maximum(0, 1 - aside / np.float32(48))
        elif self.style == "low neck":
            cut = np.sqrt(np.maximum(0, 1 - (aside / np.float32(95)) ** 2))
        else:
            return np.full(len(place), np.float32(self.collar))
        cut = np.where(place[:, 2] < FRONT_MM, cut, 0)
        return np.asarray(self.collar + self.depth * cut, np.float32)

    def albedo(self, place: Array, weave: Array) -> Array:
        """Colours [N, 3] at clothed places [N, 3]; ``weave`` [N], noise of deviation 1."""
        found = self.colour * (1 + 0.15 * weave[:, None])
        pattern = self._patterned(place, weave)
        found[pattern] = self.other * (1 + 0.15 * weave[pattern, None])
        below = place[:, 1] - self.edge(place)
        aside = np.abs(place[:, 0])
        if self.style == "shirt":
            found[(below > 13) & (below < 16)] *= 0.55  # a collar's edge
            found[(aside < 1.2) & (below > 0)] *= 0.6
        elif self.style == "suit":
            open_ = aside < 62 * (1 - (place[:, 1] - self.collar) / 170)
            shirt = (open_ & (place[:, 2] < FRONT_MM)) | (below < 9)
            found[shirt] = self.shirt * (1 + 0.04 * weave[shirt, None])
            found[shirt & (below > 15) & (below < 18)] *= 0.6
            if self.tie is not None:
                down = place[:, 1] - self.collar - self.depth
                tie = (aside < 7 + 0.09 * np.maximum(down, 0)) & (down > 0) & shirt
                found[tie] = self.tie * (1 + 0.2 * weave[tie, None])
            lapel = ~shirt & (aside < 78 * (1 - (place[:, 1] - self.collar) / 230))
            found[lapel] *= 1.25
        return np.asarray(np.maximum(found, 0), np.float32)

    def _patterned(self, place: Array, weave: Array) -> NDArray[np.bool_]:
        turn = np.float32(2 * np.pi / self.period)
        if self.pattern == "stripes":
            found = np.sin(place[:, 1] * turn) > 0.3
        elif self.pattern == "checks":
            found = (np.sin(place[:, 1] * turn) > 0.4) ^ (np.sin(place[:, 0] * turn) > 0.4)
        elif self.pattern == "blotches":
            found = weave > 0.8
        else:
            found = np.zeros(len(place), np.bool_)
        return np.asarray(found)


def random_clothes(rng: np.random.Generator) -> Clothes:
    style = str(rng.choice(list(STYLES), p=list(STYLES.values())))
    pattern = str(rng.choice(list(PATTERNS), p=list(PATTERNS.values())))
    collar = rng.uniform(122, 175) if style == "sweater" else rng.uniform(138, 160)
    depths = {"v neck": (40, 110), "low neck": (30, 130), "shirt": (12, 60), "suit": (8, 20)}
    depth = rng.uniform(*depths.get(style, (0, 0)))
    colour = _colour(rng, dark=0.75 if style == "suit" else 0.4)
    tie = _colour(rng, dark=0.3) if rng.random() < 0.7 else None
    shirt = linear(rng.uniform(170, 250, 3)) if rng.random() < 0.75 else _colour(rng, dark=0.2)
    return Clothes(
        style=style,
        pattern="none" if style == "suit" and pattern != "stripes" else pattern,
        collar=float(collar),
        depth=float(depth),
        colour=colour,
        other=_colour(rng, dark=0.2),
        shirt=shirt,
        tie=tie,
        period=float(rng.uniform(8, 40)),
    )


def _colour(rng: np.random.Generator, *, dark: float) -> Array:
    """Half of all cloth is grey, black or white; ``dark``: share of the rest that is dark."""
    colour = rng.uniform(8, 245, 3)
    if rng.random() < 0.5:
        colour[:] = colour.mean()
    if rng.random() < dark:
        colour *= rng.uniform(0.08, 0.4)
    return linear(colour)
