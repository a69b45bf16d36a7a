"""Rendering people: a head in a place, with exact landmarks, pose and occlusion.

``people`` yields persons; person i of a seed depends on (seed, i) alone, so that processes can
share the work and any person can be drawn again.

* pose: asmnet_kit.people.camera.random_pose: yaw within 90, pitch and roll within 45 degrees;
* camera: perspective, 0.35 to 3 m away, some with a lens's distortion;
* place: the landmarks' box fills 46 to 78 % of the picture's side;
* everything is drawn ``OVERSAMPLING`` times larger and averaged.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import UsageError
from asmnet_kit.face.crop import Points
from asmnet_kit.face.pictures import Image
from asmnet_kit.people import backdrop, film, jaw, noise, surface
from asmnet_kit.people.assets import load
from asmnet_kit.people.body import Body, Part, build, head_triangles
from asmnet_kit.people.camera import Camera, framed, random_camera, random_pose
from asmnet_kit.people.camera_settings import CameraSettings
from asmnet_kit.people.labels import (
    JAW,
    VertexScheme,
    mesh_landmarks,
    points_68,
    visible_contour,
)
from asmnet_kit.people.light import SHADOW_MIDDLE, Light, Shadow, random_light
from asmnet_kit.people.look import Look, random_look
from asmnet_kit.people.own import NOTHING, OPAQUE, OwnData, put_before
from asmnet_kit.people.paint import painted
from asmnet_kit.people.raster import Fragments, nearest, rasterise, vertex_normals
from asmnet_kit.people.shape import mean_head, random_expression, random_identity
from asmnet_kit.people.things import Outfit, Thing, random_outfit
from asmnet_kit.people.tones import FROM_SRGB

Array = NDArray[np.float32]
Flags = NDArray[np.bool_]

OVERSAMPLING = 2
MIN_SIZE, MAX_SIZE = 32, 512  # pixels
# How far behind the skin a landmark may lie and still be seen; closed lips meet deep inside.
SELF_TOLERANCE_MM, INNER_LIP_TOLERANCE_MM = 7.0, 14.0
OTHER_TOLERANCE_MM = 2.0
FACE_BOTTOM_MM = 110.0  # y of the mean head: what lies above tells the exposure
INNER_LIPS = {68: slice(60, 68), 98: slice(88, 96)}


@dataclass(frozen=True, eq=False)
class Person:
    """One drawn person. Pixels are 0-based, (0, 0) the centre of the top-left one.

    Attributes:
        index: its number.
        image: uint8 [size, size, 3], RGB.
        landmarks68, landmarks98: float32 [N, 2], pixels, visible-contour convention (300-W, WFLW).
        landmarks68_3d, landmarks98_3d: float32 [N, 3], 3-D convention: x, y pixels, and depth from
            the middle of the face in pixels, larger further away.
        pose: float32 [3], yaw, pitch, roll in degrees (signs: asmnet_kit.face.pose).
        self_occluded68, self_occluded98: bool [N], the landmark is hidden by the head itself; a
            jaw point where its side of the jaw is turned away (asmnet_kit.people.jaw).
        self_occluded68_3d, self_occluded98_3d: the same of the 3-D convention, which differs along
            the jaw: its place on the head is hidden.
        occluded68, occluded98: bool [N], the landmark is hidden by hair, a thing or an
            own occluder.
        iris: float32 [2, 5, 2], pixels; subject's right and left: middle, right, upper, left, lower
            end as the image shows them, hidden ones too.
        mask: uint8 [size, size], SEGMENTS; None by default.
        points: float32 [N, 3], x, y and depth in pixels of the scheme that was given, 3-D
            convention; None by default.
    """

    index: int
    image: Image
    landmarks68: Points
    landmarks98: Points
    landmarks68_3d: Array
    landmarks98_3d: Array
    pose: NDArray[np.float32]
    self_occluded68: Flags
    self_occluded98: Flags
    self_occluded68_3d: Flags
    self_occluded98_3d: Flags
    occluded68: Flags
    occluded98: Flags
    iris: Array
    mask: NDArray[np.uint8] | None = None
    points: Array | None = None


# What can be left out of the pictures, so that its worth can be measured; labels stay the same.
REALISM = {
    "hair": "bald heads",
    "things": "no glasses, headwear, masks, hands or held things",
    "light": "the same light from everywhere, no shadow and no gloss",
    "texture": "one skin for all: no make-up, beard, freckles, pores or wrinkles",
    "backdrop": "a plain grey background",
    "film": "a perfect camera: no blur, noise, night, compression, grey or colour cast",
}

# What nobody would see of a user's own data where a part of realism is left out.
REPLACED = {"texture": "skins", "backdrop": "backgrounds", "film": "camera"}

SEGMENTS = {"background": 0, "skin": 1, "eyes": 2, "mouth": 3, "hair": 4, "clothes": 5, "thing": 6}


def people(
    count: int,
    *,
    seed: int,
    size: int = 112,
    first: int = 0,
    masks: bool = False,
    scheme: VertexScheme | None = None,
    without: Collection[str] = (),
    own: OwnData = NOTHING,
) -> Iterator[Person]:
    """Yield the persons ``first`` ... ``first + count - 1`` of a seed.

    Args:
        size: side of the pictures, pixels.
        masks: draw the segmentation mask too.
        scheme: landmarks of another scheme, as mixes of vertices.
        without: what is left out, of REALISM; the people, their poses and labels stay the same.
        own: skins, occluders, backgrounds and camera of the user's.

    Raises:
        UsageError: a negative count, first or seed, a size out of MIN_SIZE..MAX_SIZE, a name that
            is not of REALISM, or one that leaves out what ``own`` brings.
    """
    if min(count, seed, first) < 0:
        raise UsageError(f"expected count, seed and first >= 0, got {count}, {seed}, {first}")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise UsageError(f"expected pictures of {MIN_SIZE} to {MAX_SIZE} pixels, got {size}")
    if unknown := set(without) - set(REALISM):
        raise UsageError(f"expected what to leave out of {', '.join(REALISM)}, got {min(unknown)}")
    for part, brought in REPLACED.items():
        if part in without and brought in own.to_json():
            raise UsageError(f"expected own {brought} or people without {part}, not both")
    return (
        draw(seed, index, size, masks=masks, scheme=scheme, without=without, own=own)
        for index in range(first, first + count)
    )


def pose_of(seed: int, index: int) -> NDArray[np.float32]:
    """Yaw, pitch, roll of a person in degrees, float32 [3], without drawing."""
    return random_pose(np.random.default_rng((seed, index))).astype(np.float32)


def draw(
    seed: int,
    index: int,
    size: int,
    *,
    masks: bool = False,
    scheme: VertexScheme | None = None,
    pose: NDArray[np.float64] | None = None,
    without: Collection[str] = (),
    own: OwnData = NOTHING,
) -> Person:
    """Person ``index`` of a seed; ``pose`` instead of the one that is drawn by lot."""
    rng = np.random.default_rng((seed, index))
    lot = random_pose(rng)
    pose = lot if pose is None else np.asarray(pose, np.float64)
    identity, expression = random_identity(rng), random_expression(rng)
    look = random_look(rng, identity)
    if own.skins and (drawn := own.skins.drawn(seed, index)):
        look = replace(look, skin=drawn[0])
    body = build(identity, expression, look)
    outfit = random_outfit(rng, body.head, body.points.all98, look)
    camera = random_camera(rng, pose, size * OVERSAMPLING, own.camera)
    labels = _Labels(body, camera, rng, own.camera)
    camera = labels.camera
    light = random_light(rng)
    if without:
        look, body, outfit, light = _plainer(look, body, outfit, light, without)
    canvas = _Canvas(body, look, outfit, camera, light)
    if own.occluders and (drawn := own.occluders.drawn(seed, index)):
        occluder, own_rng = drawn
        canvas.cover(put_before(occluder, labels.flat98[:, :2], camera.size, own_rng))
    behind = backdrop.random_backdrop(rng, light.panorama, size)
    if own.backgrounds and (drawn := own.backgrounds.drawn(seed, index)):
        photograph, own_rng = drawn
        behind = backdrop.photograph(own_rng, photograph, size)
    if "backdrop" in without:
        behind = np.full_like(behind, backdrop.PLAIN)
    scene, alpha = canvas.averaged(size)
    scene += behind * (1 - alpha[..., None])
    if "film" in without:
        image = film.perfect(scene, canvas.face_colours())
    else:
        image = film.photograph(scene, canvas.face_colours(), rng, own.camera)
    points = None
    if scheme is not None:
        on_head = mesh_landmarks(body.head, scheme.vertices, scheme.weights)
        points = labels.in_pixels(camera.pixels(camera.turned(on_head)))
    self98, self68 = canvas.hidden_by_head(labels.deep98), canvas.hidden_by_head(labels.deep68)
    contour, solid = jaw.turned_away(labels.jaw, camera), canvas.jaw_behind_head(labels.jaw)
    other98 = canvas.hidden_by_things(labels.flat98)
    other68 = canvas.hidden_by_things(labels.flat68)
    return Person(
        index=index,
        image=image,
        landmarks68=_small(labels.flat68[:, :2]),
        landmarks98=_small(labels.flat98[:, :2]),
        landmarks68_3d=labels.in_pixels(labels.deep68),
        landmarks98_3d=labels.in_pixels(labels.deep98),
        pose=pose.astype(np.float32),
        self_occluded68=_with_jaw(self68, contour),
        self_occluded98=_with_jaw(self98, contour),
        self_occluded68_3d=_with_jaw(self68, solid),
        self_occluded98_3d=_with_jaw(self98, solid),
        occluded68=other68,
        occluded98=other98,
        iris=_small(camera.pixels(camera.turned(body.iris.reshape(-1, 3)))[:, :2]).reshape(2, 5, 2),
        mask=canvas.mask(size) if masks else None,
        points=points,
    )


def _plainer(
    look: Look, body: Body, outfit: Outfit, light: Light, without: Collection[str]
) -> tuple[Look, Body, Outfit, Light]:
    """The same person without what ``without`` names; see REALISM."""
    if "hair" in without:
        look, body = replace(look, scalp=0.0), replace(body, hair=None)
        outfit = replace(outfit, hides_hair=False)
    if "things" in without:
        outfit = Outfit()
    if "light" in without:
        look, light = replace(look, gloss=0.0), light.even()
    if "texture" in without:
        look = look.plain()
    return look, body, outfit, light


def _with_jaw(flags: Flags, jaw33: Flags) -> Flags:
    """Flags of the 68 or 98 with those of the jaw's 33 points, or every second, at their front."""
    front = jaw33 if len(flags) == 98 else jaw33[::2]
    return np.concatenate([front, flags[len(front) :]])


def _small(points: Array) -> Array:
    """Pixels of the oversampled drawing as pixels of the picture."""
    return np.asarray((points + np.float32(0.5)) / OVERSAMPLING - np.float32(0.5), np.float32)


def _pixels(camera: Camera, points: Array) -> Array:
    """Points [..., 3] of the head as x, y pixels and depth: [N, 3]."""
    return camera.pixels(camera.turned(points.reshape(-1, 3)))


class _Labels:
    """Landmarks in the drawing: x, y pixels and depth mm; ``flat`` by the visible contour."""

    def __init__(
        self, body: Body, camera: Camera, rng: np.random.Generator, settings: CameraSettings
    ) -> None:
        # Framed by the mesh's own points, so that a change of convention changes no picture.
        self.camera = camera = framed(camera, camera.turned(body.points.all98), rng, settings)
        points = body.points.as_marked()
        self.deep98 = camera.pixels(camera.turned(points.all98))
        self.deep68 = points_68(self.deep98, _pixels(camera, points.lids))
        self.jaw = camera.turned(body.points.all98[:JAW])  # on the mesh, mm
        points = body.points.as_marked(camera.turn)
        contour = _pixels(camera, points.parallels).reshape(points.parallels.shape)
        self.flat98 = camera.pixels(camera.turned(points.all98))
        # With the outline's depth: hair that hangs behind a cheek does not cover it.
        self.flat98[:JAW] = visible_contour(contour, camera.tilt)
        self.flat68 = points_68(self.flat98, _pixels(camera, points.lids))

    def in_pixels(self, deep: Array) -> Array:
        found: Array = deep.copy()
        found[:, :2] = _small(deep[:, :2])
        found[:, 2] -= np.float32(self.camera.distance)
        found[:, 2] *= np.float32(self.camera.scale / OVERSAMPLING)
        return found


@lru_cache(maxsize=1)
def _skin_attributes() -> Array:
    """float32 [V, 4]: occlusion, place on the mean head."""
    return np.concatenate([load().occlusion[:, None], mean_head()], axis=1)


@lru_cache(maxsize=32)
def _mean_brightness(strands_name: str, kind: str) -> float:
    strands = getattr(load(), kind)[strands_name]
    alpha = strands.image[..., 3].astype(np.float32)
    bright = strands.image[..., :3].astype(np.float32) @ surface.GREY
    return max(float((bright * alpha).sum() / max(alpha.sum(), 1) / 255), 0.02)


class _Canvas:
    """The drawn person: premultiplied linear colours, alpha, and depths for the occlusion flags."""

    def __init__(
        self, body: Body, look: Look, outfit: Outfit, camera: Camera, light: Light
    ) -> None:
        self._body, self._look, self._camera, self._light = body, look, camera, light
        self._face_colours: Array = np.zeros((0, 3), np.float32)
        side = camera.size
        self._side = side
        self.colours: Array = np.zeros((side * side, 3), np.float32)
        self.alpha: Array = np.zeros(side * side, np.float32)
        self._segments = np.zeros(side * side, np.uint8)
        self._head_depth = np.full(side * side, np.float32(1e9))
        self._thing_depth = np.full(side * side, np.float32(1e9))

        order, skin_count = head_triangles()
        triangles = load().triangles[order]
        turned = camera.turned(body.head)
        skin = triangles[:skin_count]
        hair = None
        if body.hair is not None and not outfit.hides_hair:
            hair = camera.turned(body.hair.vertices)
        things = [(thing, camera.turned(thing.vertices)) for thing in outfit.things]
        meshes = [(turned, skin, False)]
        if hair is not None and body.hair is not None:
            meshes.append((hair, body.hair.triangles, True))
        for thing, vertices in things:
            if thing.opacity > 0.6:
                triangles_kept = thing.triangles
                if thing.kept is not None:
                    triangles_kept = triangles_kept[(thing.kept[triangles_kept] > 0).all(axis=1)]
                meshes.append((vertices, triangles_kept, True))
        shadow_middle = camera.turned(SHADOW_MIDDLE[None])[0]
        self._shadow = Shadow(light, meshes, shadow_middle, side)
        self._draw_solid(turned, triangles, skin_count, order)
        self._draw_strokes(body.brows, look.brow_colour, look.brow_density)
        self._draw_strokes(body.lashes, look.lash_colour, look.lash_density)
        if hair is not None and body.hair is not None:
            self._draw_hair(body.hair, hair)
        for thing, vertices in sorted(things, key=lambda pair: pair[0].opacity < 1):
            self._draw_thing(thing, vertices)

    def _surface(self, points: Array, normals: Array, occlusion: Array) -> surface.Surface:
        return surface.seen_surface(
            points, normals, occlusion, self._camera.distance, self._light, self._shadow
        )

    def _draw_solid(
        self, head: Array, triangles: NDArray[np.intp], skin_count: int, order: NDArray[np.intp]
    ) -> None:
        """Skin, tongue, eyes and teeth in one z-buffer."""
        body, camera = self._body, self._camera
        pieces = [(head, triangles)]
        for eye in body.eyes:
            pieces.append((camera.turned(eye.vertices), eye.triangles))
        if body.teeth is not None:
            pieces.append((camera.turned(body.teeth.vertices), body.teeth.triangles))
        starts = np.cumsum([0] + [len(vertices) for vertices, _ in pieces])
        ends = np.cumsum([len(faces) for _, faces in pieces])
        vertices = np.concatenate([vertices for vertices, _ in pieces])
        faces = np.concatenate(
            [faces + start for (_, faces), start in zip(pieces, starts, strict=False)]
        )
        drawn = camera.pixels(vertices)
        found = nearest(
            rasterise(drawn[:, 0], drawn[:, 1], drawn[:, 2], faces, self._side), self._side
        )
        self.alpha[found.pixels] = 1
        self._head_depth[found.pixels] = found.depth
        numbers = found.triangles
        normals = self._normals = vertex_normals(head, triangles)
        self._shade_skin(found.chosen(numbers < skin_count), head, normals, triangles, order)
        tongue = (numbers >= skin_count) & (numbers < ends[0])
        if tongue.any():
            self._shade_tongue(found.chosen(tongue), head, normals, triangles)
        for side in (0, 1):
            own = (numbers >= ends[side]) & (numbers < ends[side + 1])
            if own.any():
                self._shade_eye(
                    found.chosen(own),
                    pieces[1 + side][0],
                    vertices,
                    faces,
                    ends[side],
                    starts[1 + side],
                )
        if body.teeth is not None:
            own = numbers >= ends[2]
            if own.any():
                self._shade_teeth(found.chosen(own), body.teeth, pieces[3][0], ends[2])

    def _shade_skin(
        self, seen: Fragments, head: Array, normals: Array, triangles: NDArray[np.intp],
        order: NDArray[np.intp],
    ) -> None:  # fmt: skip
        values = np.concatenate([head, normals, _skin_attributes(), painted(self._look)], axis=1)
        found = seen.mixed(values, triangles)
        assets = load()
        uv = seen.mixed(assets.uv, assets.uv_triangles[order])
        look, light = self._look, self._light
        clothed = found[:, 8] > look.clothes.edge(found[:, 7:10])
        for segment, which in (("skin", ~clothed), ("clothes", clothed)):
            part = np.flatnonzero(which)
            if not len(part):
                continue
            pixels, values = seen.pixels.take(part), found.take(part, axis=0)
            shape = self._surface(values[:, :3].copy(), values[:, 3:6], values[:, 6])
            place = values[:, 7:10]
            if segment == "skin":
                colours = surface.skin(
                    look, uv.take(part, axis=0), values[:, 10:], place[:, 1], shape, light
                )
                self._face_colours = colours[place[:, 1] < FACE_BOTTOM_MM]
            else:
                colours = surface.cloth(look, uv.take(part, axis=0), place, shape, light)
            self.colours[pixels] = colours
            self._segments[pixels] = SEGMENTS[segment]

    def _shade_tongue(
        self, seen: Fragments, head: Array, normals: Array, triangles: NDArray[np.intp]
    ) -> None:
        found = seen.mixed(np.concatenate([head, normals], axis=1), triangles)
        shade = np.full(len(seen), np.float32(0.4))
        flesh = self._surface(found[:, :3].copy(), found[:, 3:], shade)
        albedo = np.broadcast_to(np.array([0.42, 0.13, 0.12], np.float32), (len(seen), 3))
        self.colours[seen.pixels] = surface.reflected(
            albedo, flesh, self._light, wrap=0.2, gloss=0.3, sharpness=30.0
        )
        self._segments[seen.pixels] = SEGMENTS["mouth"]

    def _shade_eye(
        self, seen: Fragments, ball: Array, vertices: Array, faces: NDArray[np.intp],
        first_triangle: int, first_vertex: int,
    ) -> None:  # fmt: skip
        middle_of = ball.mean(axis=0)
        directions = self._body.eye_directions
        triangles = faces[first_triangle:] - first_vertex
        own = Fragments(
            seen.pixels, seen.triangles - first_triangle, seen.second, seen.third, seen.depth
        )
        values = np.concatenate([ball, directions], axis=1)
        found = own.mixed(values, triangles[: len(self._body.eyes[0].triangles)])
        # The back of the dome is open: its own middle would lie in front of the ball's.
        centre = middle_of + (ball[0] - middle_of) * np.float32(-0.55)
        outwards = surface.unit(found[:, :3] - centre)
        upper = outwards @ self._camera.rotation  # in the head's frame
        lid = np.clip(-upper[:, 1] * 1.6 - 0.1, 0, 1)
        corner = np.clip(np.abs(upper[:, 0]) - 0.5, 0, 1)
        shade = np.clip(0.9 - 0.85 * lid - 0.35 * corner, 0.15, 1).astype(np.float32)
        skin = self._surface(found[:, :3].copy(), outwards, shade)
        self.colours[seen.pixels] = surface.eye(self._look, found[:, 3:], skin, self._light)
        self._segments[seen.pixels] = SEGMENTS["eyes"]

    def _shade_teeth(self, seen: Fragments, teeth: Part, turned: Array, first: int) -> None:
        assert teeth.strands is not None
        strands = teeth.strands
        own = Fragments(seen.pixels, seen.triangles - first, seen.second, seen.third, seen.depth)
        normals = vertex_normals(turned, teeth.triangles)
        found = own.mixed(np.concatenate([turned, normals], axis=1), teeth.triangles)
        uv = own.mixed(strands.uv, strands.uv_triangles)
        albedo = FROM_SRGB[surface.read_texture(strands.image, uv)[:, :3]]
        # Dark towards the back of the mouth.
        front = turned[:, 2].min()
        shade = np.clip(0.65 - (found[:, 2] - front) / 40, 0.08, 0.65).astype(np.float32)
        enamel = self._surface(found[:, :3].copy(), found[:, 3:], shade)
        self.colours[seen.pixels] = surface.reflected(
            albedo * self._look.teeth_tint,
            enamel,
            self._light,
            wrap=0.2,
            gloss=0.25,
            sharpness=40.0,
        )
        self._segments[seen.pixels] = SEGMENTS["mouth"]

    def _draw_strokes(self, part: Part, colour: Array, density: float) -> None:
        """Brows and lashes: thin, all alpha, lit like the skin that they lie on."""
        strands = part.strands
        assert strands is not None
        turned = self._camera.turned(part.vertices)
        drawn = self._camera.pixels(turned)
        seen = rasterise(
            drawn[:, 0], drawn[:, 1], drawn[:, 2], part.triangles, self._side, two_sided=True
        )
        seen = seen.chosen(seen.depth < self._head_depth[seen.pixels] + 1.5)
        if not len(seen):
            return
        uv = seen.mixed(strands.uv, strands.uv_triangles)
        opaque = surface.read_texture(strands.image, uv)[:, 0].astype(np.float32) / 255
        opaque = np.minimum(opaque * np.float32(density), np.float32(0.98))
        left = np.bincount(seen.pixels, np.log1p(-opaque), self._side**2)
        pixels = np.flatnonzero(left < -0.01)
        share = (1 - np.exp(left[pixels])).astype(np.float32)[:, None]
        strokes = colour * self._light_from_ahead()
        self.colours[pixels] += share * (strokes - self.colours[pixels])
        self.alpha[pixels] = np.maximum(self.alpha[pixels], share[:, 0])

    def _draw_hair(self, part: Part, turned: Array) -> None:
        """Cards with alpha: the nearest dense strand gives the colour, all of them the cover."""
        strands = part.strands
        assert strands is not None
        side = self._side
        drawn = self._camera.pixels(turned)
        seen = rasterise(
            drawn[:, 0], drawn[:, 1], drawn[:, 2], part.triangles, side, two_sided=True
        )
        seen = seen.chosen(seen.depth < self._head_depth[seen.pixels] + 0.5)
        if not len(seen):
            return
        uv = seen.mixed(strands.uv, strands.uv_triangles)
        texels = surface.read_texture(strands.image, uv)
        opaque = texels[:, 3].astype(np.float32) * np.float32(self._look.hair_density / 255)
        opaque = np.minimum(opaque, np.float32(0.98))
        left = np.bincount(seen.pixels, np.log1p(-opaque), side * side)
        dense = np.flatnonzero(opaque > 0.25)
        if not len(dense):
            return
        solid = seen.chosen(dense)
        # Fragment numbers ride along as the triangle's to find the texel again.
        numbered = Fragments(solid.pixels, dense, solid.second, solid.third, solid.depth)
        front = nearest(numbered, side)
        chosen = seen.chosen(front.triangles)
        normals = vertex_normals(turned, part.triangles)
        found = chosen.mixed(np.concatenate([turned, normals], axis=1), part.triangles)
        crown, brim = turned[:, 1].min(), turned[:, 1].max()
        shade = np.clip(1 - 0.65 * (found[:, 1] - crown) / max(float(brim - crown), 1), 0.3, 1)
        cards = self._surface(found[:, :3].copy(), found[:, 3:], shade.astype(np.float32))
        colours = surface.hair(
            self._look, texels[front.triangles], cards, self._light,
            _mean_brightness(strands.name, "hair"),
        )  # fmt: skip
        pixels = chosen.pixels
        cover = (1 - np.exp(left[pixels])).astype(np.float32)
        self.colours[pixels] += cover[:, None] * (colours - self.colours[pixels])
        self.alpha[pixels] += cover * (1 - self.alpha[pixels])
        thick = cover > 0.5
        self._thing_depth[pixels[thick]] = chosen.depth[thick]
        self._segments[pixels[thick]] = SEGMENTS["hair"]

    def _draw_thing(self, thing: Thing, turned: Array) -> None:
        """Something worn or held; lenses let through what lies behind."""
        side = self._side
        drawn = self._camera.pixels(turned)
        seen = rasterise(
            drawn[:, 0], drawn[:, 1], drawn[:, 2], thing.triangles, side, two_sided=True
        )
        before = np.minimum(
            self._head_depth[seen.pixels] + 1, self._thing_depth[seen.pixels] + thing.over_hair
        )
        seen = seen.chosen(seen.depth < before)
        if thing.kept is not None and len(seen):
            seen = seen.chosen(seen.mixed(thing.kept, thing.triangles) >= 0)
        if not len(seen):
            return
        seen = nearest(seen, side)
        normals = vertex_normals(turned, thing.triangles)
        colour = np.broadcast_to(thing.colour, turned.shape)
        values = np.concatenate([turned, normals, colour], axis=1).astype(np.float32)
        found = seen.mixed(values, thing.triangles)
        skin = self._surface(
            found[:, :3].copy(), found[:, 3:6], np.full(len(seen), np.float32(0.8))
        )
        behind = np.einsum("ij,ij->i", skin.normals, skin.view) < 0
        skin.normals[behind] *= -1
        albedo = found[:, 6:]
        if thing.rough:
            corner = thing.vertices[thing.triangles[seen.triangles, 0]]
            place = seen.mixed(thing.vertices, thing.triangles) if len(corner) else corner
            weave = noise.read(
                place[:, 0] * np.float32(0.021) + 3,
                (place[:, 1] + place[:, 2]) * np.float32(0.019) + 3,
            )
            albedo = albedo * np.maximum(1 + np.float32(thing.rough) * weave[:, :1], 0.1)
        colours = surface.reflected(
            albedo, skin, self._light, wrap=0.1, gloss=thing.gloss, sharpness=thing.sharpness,
            mirror=thing.mirror,
        )  # fmt: skip
        pixels, share = seen.pixels, np.float32(thing.opacity)
        if (
            thing.opacity < 1
        ):  # highlights and reflections of a lens are not weakened by its clearness
            self.colours[pixels] = (1 - share) * self.colours[pixels] + colours
            self.alpha[pixels] = 1 - (1 - share) * (1 - self.alpha[pixels])
        else:
            self.colours[pixels] = colours
            self.alpha[pixels] = 1
        if thing.opacity > 0.6:
            self._thing_depth[pixels] = seen.depth
            self._segments[pixels] = SEGMENTS["thing"]

    def _light_from_ahead(self) -> Array:
        """Light [3] on a flat thing that looks at the camera."""
        level = self._light.ambient(np.array([[0, -0.3, -0.95]], np.float32))[0]
        found: Array = level + 0.5 * self._light.colour
        return found

    def cover(self, layer: Array) -> None:
        """Lay a flat thing before everything: [size, size, 4], colour times alpha, and alpha."""
        layer = layer.reshape(-1, 4)
        pixels = np.flatnonzero(layer[:, 3])
        layer = layer[pixels]
        through = 1 - layer[:, 3]
        self.colours[pixels] *= through[:, None]
        self.colours[pixels] += layer[:, :3] * self._light_from_ahead()
        self.alpha[pixels] = 1 - through * (1 - self.alpha[pixels])
        opaque = pixels[layer[:, 3] >= OPAQUE]
        self._thing_depth[opaque] = 0
        self._segments[opaque] = SEGMENTS["thing"]

    def averaged(self, size: int) -> tuple[Array, Array]:
        """Premultiplied colours [size, size, 3] and alpha [size, size] of the picture."""
        whole = np.concatenate([self.colours, self.alpha[:, None]], axis=1)
        whole = whole.reshape(self._side, self._side, 4)
        small = np.asarray(
            cv2.resize(whole, (size, size), interpolation=cv2.INTER_AREA), np.float32
        )
        return small[..., :3], small[..., 3]

    def face_colours(self) -> Array:
        """Some of the face's colours, for the exposure."""
        return self._face_colours

    def _at(self, landmarks: Array) -> tuple[NDArray[np.intp], Flags]:
        column, row = np.rint(landmarks[:, :2]).astype(np.intp).T
        inside = (column >= 0) & (column < self._side) & (row >= 0) & (row < self._side)
        limit = self._side - 1
        return np.clip(row, 0, limit) * self._side + np.clip(column, 0, limit), inside

    def hidden_by_head(self, landmarks: Array) -> Flags:
        """Which landmarks [N, 3] (x, y, depth) lie behind the head's own skin."""
        pixels, inside = self._at(landmarks)
        tolerance = np.full(len(landmarks), SELF_TOLERANCE_MM)
        tolerance[INNER_LIPS[len(landmarks)]] = INNER_LIP_TOLERANCE_MM
        return np.asarray(inside & (landmarks[:, 2] > self._head_depth[pixels] + tolerance))

    def jaw_behind_head(self, places: Array) -> Flags:
        """Which of the jaw's 33 places on the mesh, float32 [33, 3] in camera coordinates, the head
        hides: the skin faces away, or lies behind all skin seen in and next to its pixel."""
        drawn = self._camera.pixels(places)
        behind = np.ones(len(drawn), np.bool_)
        for shift in np.ndindex(3, 3):
            pixels, inside = self._at(drawn[:, :2] + np.array(shift, np.float32) - 1)
            behind &= inside & (drawn[:, 2] > self._head_depth[pixels] + SELF_TOLERANCE_MM)
        return behind | jaw.facing_away(places, self._normals, self._camera)

    def hidden_by_things(self, landmarks: Array) -> Flags:
        """Which landmarks lie behind hair or a thing."""
        pixels, inside = self._at(landmarks)
        return inside & (landmarks[:, 2] > self._thing_depth[pixels] + OTHER_TOLERANCE_MM)

    def mask(self, size: int) -> NDArray[np.uint8]:
        """Segments of the picture, uint8 [size, size]."""
        whole = self._segments.reshape(self._side, self._side)
        return np.ascontiguousarray(whole[::OVERSAMPLING, ::OVERSAMPLING][:size, :size])
