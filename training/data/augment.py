"""Augmentation: one affine warp from the picture to the crop, then colour, blur, noise, occlusion.

Everything is drawn from one ``numpy.random.Generator`` per showing of a face, seeded by (seed,
epoch, face, showing), so what a picture looks like depends neither on threads, nor on devices, nor
on how often a run was resumed.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.face.crop import Crop, warp
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.pose import mirrored_pose, rotated_in_plane
from asmnet_kit.face.schemes import Scheme

Pair = tuple[float, float]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as OpenCV's RGB to grey
DEVIATIONS = 2.0  # standard deviations at which a normal draw is cut off
# Gaussian noise is cut from this many samples at a random place: drawing it costs 0.4 ms a picture.
NOISE_BANK_SAMPLES = 1 << 20
NOISE_STEP = 1 / 24  # one code of the bank in standard deviations: 127 codes reach 5.3 sigma
_NOISE_BANK: NDArray[np.int8] = np.clip(
    np.rint(np.random.default_rng(0).standard_normal(NOISE_BANK_SAMPLES, np.float32) / NOISE_STEP),
    -127,
    127,
).astype(np.int8)


@dataclass(frozen=True, kw_only=True)
class AugmentRanges:
    """How far each change goes and how often it happens. Pairs are ranges and uniform.

    Where the crop lies is normal, cut off at DEVIATIONS: boxes are mostly about right, and a
    network that is told so was more accurate on one set and as good on the other
    (docs/lab/training-crops.md).

    Attributes:
        flip: share of mirrored pictures.
        rotation_deg: standard deviation of the roll that is added: most faces are nearly upright,
            and a phone's user rarely tilts further.
        rotation: share of rotated pictures.
        scale: standard deviation of the logarithm of the crop's side: detectors disagree by this
            much about where a face ends.
        shift: standard deviation of the crop's centre in x and y, share of its side.
        brightness: added to every channel, grey levels of 255.
        contrast: factor about mid-grey.
        saturation: 0 is grey, 1 leaves the picture.
        tint: factor of each channel: the colour of the light.
        gamma: exponent; below 1 lightens shadows.
        colour: share of pictures whose colours change.
        grey: share of pictures without colour at all.
        blur_px: standard deviation of a Gaussian, pixels of a 112-pixel crop.
        blur: share of blurred pictures.
        low_resolution: side the crop is shrunk to, share of its side, before it is enlarged again.
        low: share of pictures at low resolution.
        noise_levels: standard deviation, grey levels of 255.
        noise: share of noisy pictures.
        occluder: sides of a rectangle or ellipse, share of the crop's side.
        occlusion: share of pictures with an occluder.
    """

    flip: float = 0.5
    rotation_deg: float = 15.0
    rotation: float = 0.7
    scale: float = 0.06
    shift: float = 0.03
    brightness: float = 30.0
    contrast: Pair = (0.7, 1.3)
    saturation: Pair = (0.5, 1.4)
    tint: Pair = (0.9, 1.1)
    gamma: Pair = (0.7, 1.4)
    colour: float = 0.8
    grey: float = 0.05
    blur_px: Pair = (0.3, 1.5)
    blur: float = 0.15
    low_resolution: Pair = (0.3, 0.8)
    low: float = 0.15
    noise_levels: Pair = (2.0, 10.0)
    noise: float = 0.15
    occluder: Pair = (0.1, 0.4)
    occlusion: float = 0.3

    @property
    def smallest_crop(self) -> float:
        """Least side of a crop, as a multiple of the labelled box's crop."""
        return float(np.exp(-DEVIATIONS * self.scale))


STRONG = AugmentRanges(
    rotation_deg=20.0, brightness=40.0, contrast=(0.6, 1.4), gamma=(0.5, 1.9), blur=0.2, low=0.2,
    noise=0.2, occluder=(0.1, 0.5), occlusion=0.45,
)  # fmt: skip
LIGHT = AugmentRanges(
    rotation=0.0, scale=0.025, shift=0.012, colour=0.3, grey=0.0, blur=0.0, low=0.0, noise=0.0,
    occlusion=0.0,
)  # fmt: skip
NO_AUGMENTATION = AugmentRanges(
    flip=0.0, rotation=0.0, scale=0.0, shift=0.0, colour=0.0, grey=0.0, blur=0.0, low=0.0,
    noise=0.0, occlusion=0.0,
)  # fmt: skip

# By the names of ``catalogue.AUGMENTATIONS``.
AUGMENTATIONS = {"full": AugmentRanges(), "strong": STRONG, "light": LIGHT, "none": NO_AUGMENTATION}


def ranges_of(augmentation: str, scheme: Scheme, *, mirrors: bool | None = None) -> AugmentRanges:
    """How far the changes of an augmentation go for landmarks of a scheme.

    Args:
        augmentation: a name in ``AUGMENTATIONS``.
        mirrors: whether pictures may be mirrored; by default where ``scheme`` is not one-sided,
            whose points of one side would be learnt as lying on both.
    """
    ranges = AUGMENTATIONS[augmentation]
    mirrors = not scheme.is_one_sided if mirrors is None else mirrors
    return ranges if mirrors else replace(ranges, flip=0.0)


@dataclass(frozen=True, eq=False)
class CropTransform:
    """How the upright crop lies in the augmented one.

    Attributes:
        matrix: float32 [2, 3], fractions of the upright crop to fractions of the augmented one; a
            mirroring is part of it.
        flipped: whether landmark pairs swap.
        roll_deg: the rotation, clockwise in the image, after the mirroring.
    """

    matrix: NDArray[np.float32]
    flipped: bool
    roll_deg: float

    def pose(self, upright: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [3] yaw, pitch, roll in degrees of the augmented crop; NaN stays NaN."""
        mirrored = mirrored_pose(upright) if self.flipped else upright
        return rotated_in_plane(mirrored, self.roll_deg)


def generator(seed: int, epoch: int, face: int, showing: int = 0) -> np.random.Generator:
    """The random numbers of one showing of a face.

    Args:
        seed: of the run.
        epoch: 0-based.
        face: its index in the data set.
        showing: 0 where an epoch shows the face first, 1 for the second time, and so on: each is
            another picture. NumPy pads a seed with zeros, so 0 draws what (seed, epoch, face) does.
    """
    return np.random.Generator(np.random.SFC64([seed, epoch, face, showing]))


def draw_transform(ranges: AugmentRanges, random: np.random.Generator) -> CropTransform:
    """Draw mirroring, rotation, scale and shift."""
    flipped = bool(random.random() < ranges.flip)
    roll_deg = 0.0
    if random.random() < ranges.rotation:
        roll_deg = ranges.rotation_deg * _cut_normal(random)
    zoom = float(np.exp(-ranges.scale * _cut_normal(random)))
    shift = ranges.shift * np.array([_cut_normal(random), _cut_normal(random)])
    return CropTransform(
        matrix=similarity(flipped=flipped, roll_deg=roll_deg, zoom=zoom, shift=shift),
        flipped=flipped,
        roll_deg=roll_deg,
    )


def _cut_normal(random: np.random.Generator) -> float:
    """Of mean 0 and standard deviation 1, cut off."""
    return float(np.clip(random.standard_normal(), -DEVIATIONS, DEVIATIONS))


def similarity(
    *, flipped: bool, roll_deg: float, zoom: float, shift: NDArray[np.float64]
) -> NDArray[np.float32]:
    """float32 [2, 3]: mirror x, turn clockwise about the centre, enlarge, then shift.

    Points are fractions of the crop's side from its centre, x right, y down.
    """
    cos, sin = zoom * np.cos(np.radians(roll_deg)), zoom * np.sin(np.radians(roll_deg))
    sign = -1.0 if flipped else 1.0
    return np.array([[sign * cos, -sin, shift[0]], [sign * sin, cos, shift[1]]], np.float32)


def cut(image: Image, crop: Crop, transform: NDArray[np.float32]) -> Image:
    """The augmented crop's pixels, by one warp: picture -> upright fractions -> augmented pixels.

    With f = (p - centre) / side and g = A f + t the pixel is q = size g + (size - 1) / 2.
    """
    linear = crop.size / crop.side * transform[:, :2].astype(np.float64)
    offset = crop.size * transform[:, 2] + (crop.size - 1) / 2 - linear @ np.asarray(crop.centre)
    return warp(image, np.column_stack([linear, offset]), crop.size)


def change_pixels(
    crop: Image,
    ranges: AugmentRanges,
    random: np.random.Generator,
    covered: NDArray[np.bool_] | None = None,
) -> Image:
    """Colour, occlusion, low resolution, blur and noise, in the order in which a camera meets them.

    Args:
        crop: uint8 [size, size, 3], RGB.
        covered: bool [size, size]; becomes True where something is put in front of the face.
    """
    if random.random() < ranges.colour:
        crop = _change_colours(crop, ranges, random)
    if random.random() < ranges.grey:
        crop = np.asarray(cv2.transform(crop, np.tile(LUMA, (3, 1))), np.uint8)
    if random.random() < ranges.occlusion:
        crop = _occlude(crop, ranges, random, covered)
    if random.random() < ranges.low:
        crop = _lower_resolution(crop, random.uniform(*ranges.low_resolution))
    if random.random() < ranges.blur:
        sigma = random.uniform(*ranges.blur_px) * crop.shape[0] / 112
        crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), sigma), np.uint8)
    if random.random() < ranges.noise:
        crop = _add_noise(crop, random.uniform(*ranges.noise_levels), random)
    return crop


def _change_colours(crop: Image, ranges: AugmentRanges, random: np.random.Generator) -> Image:
    """Saturation, tint, contrast and brightness are one affine map of RGB; gamma is a table."""
    saturation = random.uniform(*ranges.saturation)
    tint = random.uniform(*ranges.tint, 3)
    contrast = random.uniform(*ranges.contrast)
    brightness = random.uniform(-ranges.brightness, ranges.brightness)
    matrix = saturation * np.eye(3) + (1 - saturation) * np.tile(LUMA, (3, 1))
    matrix = contrast * tint[:, None] * matrix
    offset = np.full((3, 1), 128.0 * (1 - contrast) + brightness)
    changed = cv2.transform(crop, np.hstack([matrix, offset]))
    levels = np.linspace(0.0, 1.0, 256) ** random.uniform(*ranges.gamma)
    return np.asarray(cv2.LUT(changed, np.rint(255 * levels).astype(np.uint8)), np.uint8)


def _lower_resolution(crop: Image, share: float) -> Image:
    size = crop.shape[0]
    small = max(8, round(share * size))
    shrunk = cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(shrunk, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)


def _add_noise(crop: Image, sigma: float, random: np.random.Generator) -> Image:
    start = int(random.integers(0, NOISE_BANK_SAMPLES - crop.size))
    noise = _NOISE_BANK[start : start + crop.size].reshape(crop.shape)
    scaled = cv2.addWeighted(crop, 1.0, noise, sigma * NOISE_STEP, 0.0, dtype=cv2.CV_8U)
    return np.asarray(scaled, np.uint8)


def _occlude(
    crop: Image,
    ranges: AugmentRanges,
    random: np.random.Generator,
    covered_pixels: NDArray[np.bool_] | None,
) -> Image:
    """Cover a part with a plain colour or another part of the picture (a hand, hair, a cup)."""
    size = crop.shape[0]
    width, height = (max(1, round(side * size)) for side in random.uniform(*ranges.occluder, 2))
    left, top = (int(v) for v in random.integers(0, size - np.array([width, height]) + 1))
    covered: Image = crop.copy()
    part = covered[top : top + height, left : left + width]
    if random.random() < 0.5:
        patch = np.empty_like(part)
        patch[:] = random.integers(0, 256, 3, np.uint8)
    else:
        x, y = (int(v) for v in random.integers(0, size - np.array([width, height]) + 1))
        patch = crop[y : y + height, x : x + width]
    inside = np.ones((height, width, 1), np.uint8)
    if random.random() >= 0.5:
        inside[:] = 0
        middle = (width // 2, height // 2)
        cv2.ellipse(inside, middle, middle, 0, 0, 360, 1, cv2.FILLED)
    np.copyto(part, patch, where=inside.astype(bool))
    if covered_pixels is not None:
        covered_pixels[top : top + height, left : left + width] |= inside[..., 0].astype(bool)
    return covered
