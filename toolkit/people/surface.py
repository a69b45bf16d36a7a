"""How surfaces reflect light: skin, eyes, teeth, hair, cloth. All colours are linear light."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.people import noise
from asmnet_kit.people.light import Light, Shadow
from asmnet_kit.people.look import Look
from asmnet_kit.people.tones import FROM_SRGB

Array = NDArray[np.float32]

SKIN_WRAP = np.array([0.28, 0.15, 0.11], np.float32)  # light spreads under the skin, red furthest
REMAP_WIDTH = 256
IRIS_RADIUS = 0.4  # radians, seen from the eyeball's middle
GREY = np.array([0.3, 0.6, 0.1], np.float32)


@dataclass(frozen=True, eq=False)
class Surface:
    """Points that are seen, N of them.

    Attributes:
        points: float32 [N, 3], camera coordinates, mm.
        normals: float32 [N, 3], unit.
        view: float32 [N, 3], unit, towards the camera.
        occlusion: float32 [N], share of the sky that is open.
        lit: float32 [N], share of the lamp that is not in shadow.
    """

    points: Array
    normals: Array
    view: Array
    occlusion: Array
    lit: Array


def seen_surface(
    points: Array, normals: Array, occlusion: Array, distance: float, light: Light, shadow: Shadow
) -> Surface:
    view = -points
    view[:, 2] -= np.float32(distance)
    normals = unit(normals)
    return Surface(
        points, normals, unit(view), occlusion, shadow.lit(points, normals @ light.direction)
    )


def unit(vectors: Array) -> Array:
    length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    found: Array = vectors / np.maximum(length, np.float32(1e-6))[:, None]
    return found


def read_texture(image: NDArray[np.uint8], uv: Array) -> NDArray[np.uint8]:
    """An image [H, W, C] at texture coordinates [N, 2] (v upwards), between its pixels: [N, C]."""
    height, width = image.shape[:2]
    count = len(uv)
    rows = -(-max(count, 1) // REMAP_WIDTH)
    maps = np.zeros((2, rows * REMAP_WIDTH), np.float32)
    maps[0, :count] = uv[:, 0] * width - 0.5
    maps[1, :count] = (1 - uv[:, 1]) * height - 0.5
    x, y = maps.reshape(2, rows, REMAP_WIDTH)
    found = cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found.reshape(rows * REMAP_WIDTH, -1)[:count])


def reflected(
    albedo: Array, surface: Surface, light: Light, *, wrap: Array | float, gloss: Array | float,
    sharpness: float, mirror: float = 0.0,
) -> Array:  # fmt: skip
    """Light [N, 3] that comes to the camera.

    Args:
        wrap: how far light reaches round to the dark side, per colour.
        gloss: strength of the highlight; sharpness: its exponent (Blinn and Phong).
        mirror: share of the surroundings that is seen in the surface from straight on.
    """
    facing = (surface.normals @ light.direction)[:, None]
    # What bends round reaches also into the shadow's edge, reddish.
    lamp = light.colour * surface.lit[:, None] * (0.5 + 0.5 * surface.occlusion)[:, None]
    diffuse = np.maximum((facing + wrap) / (1 + wrap), np.float32(0.0))
    ambient = light.ambient(surface.normals)
    found = albedo * (ambient * surface.occlusion[:, None] + lamp * diffuse)
    half = unit(surface.view + light.direction)
    shine = np.maximum(np.einsum("ij,ij->i", surface.normals, half), 0) ** np.float32(sharpness)
    grazing = 1 - np.maximum(np.einsum("ij,ij->i", surface.normals, surface.view), 0)
    fresnel = 0.04 + 0.4 * grazing**5  # rough: a polished one would reach 1
    strength = gloss * shine * np.maximum(facing[:, 0], 0) * ((sharpness + 8) / 150)
    found += lamp * strength[:, None]
    if mirror:
        towards = np.einsum("ij,ij->i", surface.normals, surface.view)[:, None]
        bounce = light.mirrored(2 * towards * surface.normals - surface.view)
    else:  # what a rough surface reflects comes from nearly all around
        bounce = ambient
    found += bounce * ((gloss * 0.6 * fresnel + mirror) * surface.occlusion)[:, None]
    return np.asarray(found, np.float32)


def skin(
    look: Look, uv: Array, painted: Array, height: Array, surface: Surface, light: Light
) -> Array:
    """Skin, lips, make-up, stubble.

    Args:
        uv: [N, 2]; painted: [N, 6], what asmnet_kit.people.paint.painted tells of the place.
        height: [N], y of the place on the mean head, mm.
    """
    lips, scalp, lids, cheeks, hairy, furrows = painted.T
    fine = noise.read(uv[:, 0] * 9 + look.seed, uv[:, 1] * 9)
    coarse = noise.read(uv[:, 0] * 2.3 + look.seed, uv[:, 1] * 2.3 + 0.5)
    albedo = FROM_SRGB[read_texture(look.skin, uv)] * look.tone
    albedo += np.float32(1 - look.vividness) * ((albedo @ GREY)[:, None] - albedo)
    albedo *= (1 + 0.09 * look.bumps * fine[:, 0])[:, None]
    if look.freckles:
        spots = noise.read(uv[:, 0] * 14 + look.seed, uv[:, 1] * 14)[:, 0] > 1.1
        albedo[spots] *= 1 - look.freckles * np.array([0.6, 0.9, 1.0], np.float32)
    blotches = (0.05 * look.bumps + 0.02) * coarse[:, 1]
    albedo *= 1 + blotches[:, None] * np.array([0.8, -0.9, -1.0], np.float32)
    _mix(albedo, albedo * np.array([1.15, 0.72, 0.7], np.float32), cheeks)
    _mix(albedo, 0.25 * albedo + 0.75 * look.lip_colour, lips * np.float32(look.lip_amount))
    _mix(albedo, look.lid_colour, lids)
    strands = 0.75 + 0.35 * noise.read(uv[:, 0] * 26, uv[:, 1] * 26 + look.seed)[:, 0]
    _mix(albedo, look.hair_colour * np.maximum(strands, 0.2)[:, None], scalp)
    _mix(albedo, look.hair_colour * 0.8, np.clip(hairy * (0.75 + 0.4 * strands - 0.25), 0, 0.95))

    bumps = np.float32(0.085 * look.bumps)
    surface.normals[:, 0] += bumps * fine[:, 2]
    surface.normals[:, 1] += bumps * fine[:, 3]
    if look.wrinkles > 0.05:
        lines = np.sin(height * np.float32(0.75) + 1.5 * coarse[:, 1]) * furrows
        surface.normals[:, 1] += np.float32(0.28 * look.wrinkles) * lines
    gloss = look.gloss * (1 + 0.6 * lips) * (1 - 0.7 * np.clip(hairy, 0, 1))
    return reflected(
        albedo, surface, light, wrap=SKIN_WRAP, gloss=gloss.astype(np.float32), sharpness=22.0
    )


def cloth(look: Look, uv: Array, place: Array, surface: Surface, light: Light) -> Array:
    """Clothes; ``place`` [N, 3] on the mean body, mm."""
    weave = noise.read(uv[:, 0] * 9 + look.seed, uv[:, 1] * 9)[:, 0]
    folds = noise.read(uv[:, 0] * 3 + look.seed, uv[:, 1] * 3)
    surface.normals[:, :2] += np.float32(0.1) * folds[:, 2:]
    albedo = look.clothes.albedo(place, weave)
    return reflected(albedo, surface, light, wrap=0.05, gloss=0.02, sharpness=8.0)


def _mix(colour: Array, other: Array, share: Array) -> None:
    """Lay another colour over ``colour`` [N, 3], in place; ``share`` [N]."""
    colour += share[:, None] * (other - colour)


def eye(look: Look, directions: Array, surface: Surface, light: Light) -> Array:
    """Eyeballs; ``directions`` [N, 3]: the place on the ball, (0, 0, -1) in the pupil's middle."""
    directions = unit(directions)
    out = np.arccos(np.clip(-directions[:, 2], -1, 1))
    around = np.arctan2(directions[:, 1], directions[:, 0])
    fibre = noise.read(around * np.float32(0.8), out * np.float32(0.6) + np.float32(look.seed))[
        :, 0
    ]
    iris = look.iris * (0.75 + 0.28 * fibre)[:, None]
    iris *= (0.75 + 0.6 * np.clip((out - look.pupil) / (IRIS_RADIUS - look.pupil), 0, 1))[:, None]
    iris *= (1 - 0.7 * np.clip((out - IRIS_RADIUS * 0.82) / (IRIS_RADIUS * 0.18), 0, 1))[:, None]
    white = look.sclera * (1 + 0.04 * fibre)[:, None]
    _mix(white, np.array([0.52, 0.28, 0.24], np.float32), np.clip((out - 0.7) / 0.6, 0, 0.5))
    albedo = iris
    _mix(albedo, white, np.clip((out - IRIS_RADIUS + 0.03) / 0.07, 0, 1))
    _mix(albedo, np.full(3, 0.006, np.float32), np.clip((look.pupil + 0.03 - out) / 0.06, 0, 1))
    return reflected(albedo, surface, light, wrap=0.1, gloss=0.8, sharpness=180.0, mirror=0.03)


def hair(
    look: Look, texels: NDArray[np.uint8], surface: Surface, light: Light, mean: float
) -> Array:
    """Strands; ``texels`` [N, 4] of their picture, whose mean brightness is ``mean``."""
    brightness = (texels[:, :3].astype(np.float32) / 255) @ GREY / np.float32(mean)
    shade = np.clip(0.3 + 0.7 * np.minimum(brightness**1.5, 1.7), 0.2, 1.6)
    behind = np.einsum("ij,ij->i", surface.normals, surface.view) < 0
    surface.normals[behind] *= -1
    return reflected(
        look.hair_colour * shade[:, None], surface, light,
        wrap=0.3, gloss=0.25 * shade.astype(np.float32), sharpness=14.0,
    )  # fmt: skip
