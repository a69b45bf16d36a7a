"""What a person looks like apart from shape: skin, eyes, hair, make-up, beard, clothes."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.people.assets import Bytes, Strands, load
from asmnet_kit.people.clothes import Clothes, random_clothes
from asmnet_kit.people.shape import ANCESTRIES, Identity
from asmnet_kit.people.tones import linear

Array = NDArray[np.float32]

# sRGB, and how often: from black over brown and blond to red, grey and white.
HAIR_COLOURS = (
    (0.24, (22, 18, 17)), (0.20, (38, 27, 21)), (0.16, (62, 43, 30)), (0.11, (98, 68, 42)),
    (0.07, (152, 112, 66)), (0.06, (206, 172, 118)), (0.04, (120, 58, 32)),
    (0.07, (150, 146, 142)), (0.05, (214, 211, 206)),
)  # fmt: skip
DARK_HAIR, GREY_HAIR = 3, (7, 8)  # the first are dark; places of grey and white
IRISES = (
    (52, 32, 20), (84, 54, 30), (38, 24, 18), (60, 40, 25), (96, 122, 142), (88, 108, 72),
    (120, 96, 56),
)  # fmt: skip
DARK_IRISES = 4
LIPSTICKS = ((170, 60, 66), (190, 50, 75), (130, 40, 48), (205, 100, 110), (95, 30, 45))
SHADOWS = ((70, 55, 60), (60, 70, 100), (110, 70, 60), (40, 35, 38))

DARK_LASHES = np.array([0.02, 0.014, 0.01], np.float32)

SHORT_HAIR = ("afro01", "short01", "short02", "short03", "short04")
OVER_AN_EYE = ("bob01", "bob02", "short04")  # drawn rarely
MIDDLE_AGE, OLD_AGE = 0.58, 0.8  # MakeHuman's scale


@dataclass(frozen=True, eq=False)
class Look:
    """Colours are linear float32 [3]; amounts 0 to 1.

    Attributes:
        skin: uint8 [512, 512, 3], sRGB; tone: factor of it;
            vividness: of its colours;
            freckles: how dark.
        gloss: of the skin; bumps: depth of pores and wrinkles; wrinkles: of the forehead.
        hair: None for bald heads; hair_density: of the alpha.
        stubble: [beard, moustache, goatee] density; scalp: density of hair painted on it.
        seed: shifts the noise.
    """

    skin: Bytes
    tone: Array
    vividness: float
    freckles: float
    gloss: float
    bumps: float
    wrinkles: float
    iris: Array
    pupil: float
    sclera: Array
    hair: Strands | None
    hair_colour: Array
    hair_density: float
    scalp: float
    brows: Strands
    brow_colour: Array
    brow_density: float
    lashes: Strands
    lash_colour: Array
    lash_density: float
    stubble: Array
    lip_colour: Array
    lip_amount: float
    lid_colour: Array
    lid_amount: float
    blush: float
    teeth: Strands
    teeth_tint: Array
    clothes: Clothes
    seed: float

    def plain(self) -> "Look":
        """The first skin of the packed ones and nothing on it."""
        return replace(
            self,
            skin=next(iter(load().skins.values())),
            tone=np.ones(3, np.float32),
            freckles=0.0,
            bumps=0.0,
            wrinkles=0.0,
            stubble=np.zeros(3, np.float32),
            lip_amount=0.0,
            lid_amount=0.0,
            blush=0.0,
        )


def random_look(rng: np.random.Generator, person: Identity) -> Look:
    assets = load()
    ancestry = ANCESTRIES[int(np.argmax(np.array(person.ancestry) + rng.normal(0, 0.08, 3)))]
    if rng.random() < 0.1:
        ancestry = ANCESTRIES[rng.integers(3)]
    sex = "male" if person.sex > 0.5 else "female"
    hair_colour = _hair_colour(rng, ancestry, person.age)
    dark_eyes = ancestry != "caucasian"
    iris = linear(IRISES[rng.integers(DARK_IRISES if dark_eyes else len(IRISES))])
    made_up = person.sex < 0.45 and person.age > 0.3 and rng.random() < 0.6
    hair = _hair(rng, person.sex)
    brows, lashes, teeth = (
        list(kind.values()) for kind in (assets.brows, assets.lashes, assets.teeth)
    )
    old = float(np.clip((person.age - 0.5) / 0.5, 0, 1))
    return Look(
        skin=_skin(rng, person, ancestry, sex),
        tone=np.exp(rng.normal(0, 0.13) + rng.normal(0, 0.035, 3)).astype(np.float32),
        vividness=rng.uniform(0.58, 0.9),
        freckles=rng.uniform(0.1, 0.4) if rng.random() < 0.12 else 0.0,
        gloss=rng.uniform(0.05, 0.55) ** 1.3,
        bumps=rng.uniform(0.12, 0.4) + 0.4 * old,
        wrinkles=old * rng.uniform(0.2, 1.0),
        iris=iris * np.float32(rng.uniform(1.1, 2.0)),
        pupil=rng.uniform(0.1, 0.21),
        sclera=np.array([0.46, 0.41, 0.385], np.float32) * np.float32(rng.uniform(0.75, 1.1)),
        hair=hair,
        hair_colour=hair_colour,
        hair_density=rng.uniform(0.8, 1.5),
        scalp=rng.uniform(0.5, 0.95)
        if hair is not None
        else float(rng.choice([0, rng.uniform(0.1, 0.7)])),
        brows=brows[rng.integers(len(brows))],
        brow_colour=hair_colour * np.float32(rng.uniform(0.45, 0.9)),
        brow_density=rng.uniform(0.5, 1.3),
        lashes=lashes[rng.integers(len(lashes))],
        lash_colour=np.minimum(hair_colour * np.float32(0.5), DARK_LASHES),
        lash_density=rng.uniform(0.6, 1.2) if sex == "female" else rng.uniform(0.15, 0.6),
        stubble=_stubble(rng, person),
        lip_colour=linear(LIPSTICKS[rng.integers(len(LIPSTICKS))]),
        lip_amount=rng.uniform(0.25, 0.9) if made_up else rng.uniform(0, 0.15),
        lid_colour=linear(SHADOWS[rng.integers(len(SHADOWS))]),
        lid_amount=rng.uniform(0, 0.8) if made_up else 0.0,
        blush=rng.uniform(0, 0.5) if made_up else rng.uniform(0, 0.2),
        teeth=teeth[rng.integers(len(teeth))],
        teeth_tint=np.array([1, 0.95, 0.86], np.float32) * np.float32(rng.uniform(0.65, 1.05)),
        clothes=random_clothes(rng),
        seed=rng.random(),
    )


def _hair_colour(rng: np.random.Generator, ancestry: str, age: float) -> Array:
    chances = np.array([chance for chance, _ in HAIR_COLOURS])
    which = int(rng.choice(len(HAIR_COLOURS), p=chances))
    dark, grey = rng.integers(DARK_HAIR), GREY_HAIR[rng.integers(2)]
    if ancestry != "caucasian" and rng.random() < 0.85:
        which = int(dark)
    if which in GREY_HAIR and age < MIDDLE_AGE and rng.random() < 0.8:
        which = int(dark)
    if age > OLD_AGE and rng.random() < 0.6:
        which = grey
    colour = linear(HAIR_COLOURS[which][1]) * np.float32(np.exp(rng.normal(0, 0.2)))
    return np.asarray(colour * np.exp(rng.normal(0, 0.05, 3)), np.float32)


def _hair(rng: np.random.Generator, sex: float) -> Strands | None:
    styles = load().hair
    bald, any_style, rare = rng.random(), rng.random(), rng.random()
    if bald < (0.2 if sex > 0.5 else 0.04):
        return None
    names = list(styles)
    if sex > 0.5 and any_style > 0.12:
        names = list(SHORT_HAIR)
    elif sex < 0.35 and any_style > 0.25:
        names = [name for name in names if name not in SHORT_HAIR]
    if rare > 0.2:
        names = [name for name in names if name not in OVER_AN_EYE]
    style = styles[names[rng.integers(len(names))]]
    if rng.random() < 0.5:
        style = style.mirrored(load().mirror)
    volume = rng.uniform(0.98, 1.3, 3).astype(np.float32)  # less would show the scalp
    return replace(style, offsets=style.offsets * volume)


def _skin(rng: np.random.Generator, person: Identity, ancestry: str, sex: str) -> Bytes:
    """A skin of the person's kind, blended with another of the same age: more people than files."""
    skins = load().skins
    age = "young" if person.age < MIDDLE_AGE else "middleage" if person.age < OLD_AGE else "old"
    own = [skin for name, skin in skins.items() if name.startswith(f"{age}_{ancestry}_{sex}/")]
    others = [skin for name, skin in skins.items() if name.startswith(f"{age}_")]
    first = own[rng.integers(len(own))]
    second, share = others[rng.integers(len(others))], rng.uniform(0, 0.5)
    if rng.random() < 0.5:
        return first
    return np.asarray(cv2.addWeighted(first, 1 - share, second, share, 0))


def _stubble(rng: np.random.Generator, person: Identity) -> Array:
    kind, amount = rng.random(), rng.uniform(0.55, 1.0)
    style = ((1, 1, 1), (0, 1, 1), (0, 0, 1), (0, 1, 0))[rng.integers(4)]
    if person.sex < 0.5 or person.age < 0.42 or kind < 0.42:
        return np.zeros(3, np.float32)
    if kind < 0.65:  # unshaven
        return np.full(3, amount - 0.5, np.float32)
    return np.asarray(np.array(style) * amount, np.float32)
