"""The camera that photographs rendered people, as a TOML file describes it.

A *range* is [low, high], evenly drawn from; a *share* is a share of the pictures, 0 to 1. What a
file leaves out is as by default.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.reading import read_toml

Range = tuple[float, float]
ROUNDING = 1e-9  # 0.7 + 0.2 + 0.1 need not be 1

# Between what the numbers of each setting must lie; the shares lie between 0 and 1.
LIMITS = {
    "distance_m": (0.25, 50),
    "face": (0.1, 0.9),
    "lens": (-0.15, 0.3),
    "exposure": (0.02, 3),
    "night_exposure": (0.02, 1),
    "cast": (0, 0.5),
    "gamma": (1, 4),
    "contrast": (0.2, 3),
    "low_resolution": (0.1, 1),
    "blur_px": (0.05, 10),
    "motion": (0, 0.3),
    "noise": (0, 0.5),
    "night_noise": (0, 0.5),
    "jpeg_quality": (1, 100),
}


@dataclass(frozen=True)
class CameraSettings:
    """What a camera does; the defaults are many kinds of cameras mixed.

    Attributes:
        distance_m: from the face, metres; short and long distances are equally likely (the
            logarithm is drawn).
        face: longer side of the landmarks' box as a share of the picture's side. With the distance
            it decides the field of view.
        lens_share, lens: radial distortion: a point at r, 1 at half the picture's side, moves to
            r (1 + lens r^2); below 0 barrels. Where an end of the range lies beyond its limits the
            picture's corner would fold over.
        exposure: brightness of a well-lit face in the picture, linear light, 1 is white.
        night_share: dark pictures with more noise; night_exposure: factor of the exposure there.
        cast: standard deviation of each colour's logarithm: how wrong the white balance is.
        infrared_share, grey_share, faded_share: near infrared in grey, plain grey, weak colours.
        gamma: of the tone curve. contrast_share, contrast: a factor around the middle tone.
        low_resolution_share, low_resolution: enlarged from a picture so much smaller.
        blur_share, blur_px: out of focus, standard deviation in a picture of 112 pixels.
        motion_share, motion: length of the movement, share of the picture's side.
        noise: standard deviation, white is 1; of several ranges each picture has one.
        night_noise: the least in dark pictures.
        jpeg_share, jpeg_quality: compressed before it is written.
    """

    distance_m: Range = (0.35, 3.0)
    face: Range = (0.46, 0.78)
    lens_share: float = 0.3
    lens: Range = (-0.06, 0.06)
    exposure: Range = (0.28, 0.8)
    night_share: float = 0.07
    night_exposure: Range = (0.15, 0.5)
    cast: float = 0.07
    infrared_share: float = 0.025
    grey_share: float = 0.085
    faded_share: float = 0.14
    gamma: Range = (1.95, 2.5)
    contrast_share: float = 0.3
    contrast: Range = (0.75, 1.25)
    low_resolution_share: float = 0.2
    low_resolution: Range = (0.35, 0.9)
    blur_share: float = 0.4
    blur_px: Range = (0.3, 1.1)
    motion_share: float = 0.1
    motion: Range = (0.02, 0.06)
    noise: tuple[Range, ...] = ((0.0, 0.0), (0.0, 0.015), (0.01, 0.05))
    night_noise: Range = (0.02, 0.08)
    jpeg_share: float = 0.5
    jpeg_quality: tuple[int, int] = (30, 94)


DEFAULT_CAMERA = CameraSettings()


def read_camera(path: Path) -> CameraSettings:
    """The camera of a TOML file.

    Raises:
        UsageError: it cannot be read, is no TOML, has an unknown key, or a value out of its limits.
    """
    try:
        content = read_toml(path)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; expected a camera as TOML") from error
    except ValueError as error:
        raise UsageError(f"{path}: not TOML ({error})") from error
    known = asdict(DEFAULT_CAMERA)
    values = {}
    for key, value in content.items():
        if key not in known:
            raise UsageError(f"{path}: expected keys of {', '.join(known)}; got {key!r}")
        try:
            values[key] = _checked(value, like=known[key], limits=LIMITS.get(key, (0, 1)))
        except _Refused as refused:
            raise UsageError(f"{path}: {key}: expected {refused}; got {value!r}") from None
    camera = CameraSettings(**values)
    if camera.infrared_share + camera.grey_share + camera.faded_share > 1 + ROUNDING:
        raise UsageError(
            f"{path}: expected infrared_share, grey_share and faded_share that sum to at most 1; "
            f"got {camera.infrared_share:g}, {camera.grey_share:g} and {camera.faded_share:g}"
        )
    return camera


class _Refused(Exception):
    """What was expected, in words."""


def _checked(value: Any, *, like: Any, limits: Range) -> Any:
    """A value of the same kind as ``like``: a number, a range (low, high), or several ranges."""
    within = "from {:g} to {:g}".format(*limits)
    if not isinstance(like, tuple):
        return _number(value, type(like), limits, f"a number {within}")
    if isinstance(like[0], tuple):
        wanted = f"ranges [[low, high], ...] {within}"
        if not isinstance(value, list) or not value:
            raise _Refused(wanted)
        return tuple(_checked(part, like=like[0], limits=limits) for part in value)
    kind = "whole numbers" if isinstance(like[0], int) else "numbers"
    wanted = f"[low, high], two {kind} {within}"
    if not isinstance(value, list) or len(value) != 2:
        raise _Refused(wanted)
    low, high = (_number(end, type(like[0]), limits, wanted) for end in value)
    if low > high:
        raise _Refused(f"{wanted}, the lower one first")
    return low, high


def _number(value: Any, kind: type, limits: Range, wanted: str) -> Any:
    kinds = (int,) if kind is int else (int, float)
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise _Refused(wanted)
    if not limits[0] <= value <= limits[1]:  # nor NaN
        raise _Refused(wanted)
    return kind(value)
