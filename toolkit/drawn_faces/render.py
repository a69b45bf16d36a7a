"""Synthetic portraits: a random 3-D face in a random scene, with exact landmarks and pose.

``synthesize`` yields faces; face number i of a seed depends on (seed, i) alone, so that several
processes can share the work and any face can be made again.

What is drawn and how:

* pose: yaw, pitch, roll independent, up to ±60, ±40, ±40 degrees (:data:`POSE_LIMITS`), normal
  with a third of the limit as standard deviation: photographs of people gather around frontal too;
* camera: perspective, 0.35 to 3 m from the face (log-uniform);
* place: the landmarks' box fills 50 to 74 % of the picture's side, anywhere where a crop of
  1.2 times the box stays inside the picture;
* labels: the exact projections of points on the skin, hidden ones too. The jaw line follows the
  convention of annotated photographs (300-W, WFLW): where the cheek hides it, its points lie on the
  visible outline of the face at the same height (see :func:`_jaw_candidates`).
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import UsageError
from asmnet_kit.drawn_faces import head, noise, parts, scenery, skin
from asmnet_kit.drawn_faces.head import COLUMNS, ROWS, Array
from asmnet_kit.drawn_faces.light import Light, random_light
from asmnet_kit.drawn_faces.look import Look, random_look
from asmnet_kit.drawn_faces.mesh import Mesh, join
from asmnet_kit.drawn_faces.parts import Part
from asmnet_kit.drawn_faces.raster import Grid, rasterise
from asmnet_kit.drawn_faces.shape import FaceShape, landmark_controls, random_shape
from asmnet_kit.face.boxes import CROP_SCALE
from asmnet_kit.face.crop import Points, landmark_box
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.pose import angles, rotation_matrix
from asmnet_kit.face.schemes import SCHEME_98

POSE_LIMITS = (60.0, 40.0, 40.0)  # degrees: yaw, pitch, roll
FILL = (0.50, 0.74)  # longer side of the landmarks' box as a share of the picture
CAMERA_DISTANCES_MM = (350.0, 3000.0)
OVERSAMPLING = 1.1  # drawn this much larger, then averaged down
MIN_SIZE, MAX_SIZE = 32, 512  # pixels; noise tiles end at the upper one
JAW_CANDIDATES = 9
FACE_MIDDLE = np.array([0.0, 35.0, 10.0], np.float32)  # between eyes and mouth, mm
OCCLUDED_SHARE = 0.14
GLASSES_SHARE = 0.22


@dataclass(frozen=True, eq=False)
class SyntheticFace:
    """One drawn face.

    Attributes:
        index: its number.
        image: uint8 [size, size, 3], RGB.
        landmarks68: float32 [68, 2], pixels, 0-based, (0, 0) the centre of the top-left pixel.
        landmarks98: float32 [98, 2], the same face in WFLW's scheme.
        pose: float32 [3], yaw, pitch, roll in degrees (signs: asmnet_kit.face.pose).
    """

    index: int
    image: Image
    landmarks68: Points
    landmarks98: Points
    pose: NDArray[np.float32]


def synthesize(
    count: int, *, seed: int, size: int = 112, start: int = 0
) -> Iterator[SyntheticFace]:
    """Yield the faces ``start`` ... ``start + count - 1`` of a seed.

    Args:
        size: side of the pictures, pixels.

    Raises:
        UsageError: a negative count, start or seed, or a size out of MIN_SIZE..MAX_SIZE.
    """
    if min(count, seed, start) < 0:
        raise UsageError(f"expected count, seed and start >= 0, got {count}, {seed}, {start}")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise UsageError(f"expected pictures of {MIN_SIZE} to {MAX_SIZE} pixels, got {size}")
    return (_draw(seed, index, size) for index in range(start, start + count))


def pose_of(seed: int, index: int) -> NDArray[np.float32]:
    """Yaw, pitch, roll of a face in degrees, float32 [3], without drawing it."""
    return _random_pose(np.random.default_rng((seed, index))).astype(np.float32)


def _random_pose(rng: np.random.Generator) -> NDArray[np.float64]:
    while True:
        pose = rng.normal(0, 1 / 3, 3)
        if (np.abs(pose) <= 1).all():
            return pose * POSE_LIMITS


def _draw(seed: int, index: int, size: int) -> SyntheticFace:
    rng = np.random.default_rng((seed, index))
    pose = _random_pose(rng)
    shape = random_shape(rng)
    scale = texture_scale(size)
    look = random_look(rng, skin.texture_columns(scale))

    head_part = head_with_hair(shape, look, scale, rng)
    mesh = join(head_part, other_parts(shape, look, rng), scale=scale)
    camera = Camera.random(rng, rotation_matrix(*pose), size)
    landmarks68, landmarks98 = landmarks_in_plane(shape, head_part, camera, float(pose[2]))
    camera = camera.framing(np.concatenate([landmarks68, landmarks98]), rng)
    landmarks68, landmarks98 = camera.to_picture(landmarks68), camera.to_picture(landmarks98)

    picture = shoot(mesh, camera, random_light(rng), rng)
    if rng.random() < OCCLUDED_SHARE:
        box = (landmark_box(landmarks98) + 0.5) * OVERSAMPLING
        scenery.occlude(picture, rng, box, look.skin)
    image = scenery.photograph(picture, rng, size)
    return SyntheticFace(index, image, landmarks68, landmarks98, pose.astype(np.float32))


def texture_scale(size: int) -> int:
    """Texture pixels per grid cell: about one per drawn pixel where the face is nearest."""
    return int(np.clip(round(size * 4.5 / 112), 4, 12))


def head_with_hair(shape: FaceShape, look: Look, scale: int, rng: np.random.Generator) -> Part:
    """The head with its hair."""
    vertices = head.skin_points(head.skin_weights(), shape.positions).reshape(ROWS, COLUMNS, 3)
    follows = np.interp(head.GRID_V, (head.NECK_TOP_V, head.NECK_BASE_V), (1, 0))
    return Part(
        _with_hair(vertices, look, rng),
        skin.paint(look, shape, rng, scale),
        np.broadcast_to(follows[:, None, None], (ROWS, COLUMNS, 1)).astype(np.float32),
        shine=look.shine,
    )


def other_parts(shape: FaceShape, look: Look, rng: np.random.Generator) -> list[Part]:
    """What belongs to the portrait besides the head."""
    ear_width = float(np.abs(shape.positions[[2, 30], 0]).mean()) + 3
    belongings = [parts.body(rng)]
    if look.headwear != "scarf":
        belongings += parts.ears(ear_width, look.skin, rng)
    if look.curtain is not None:
        belongings.append(parts.long_hair(look.curtain, ear_width, rng))
    if look.headwear == "cap":
        belongings.append(parts.cap_brim(look.hair, rng))
    if rng.random() < GLASSES_SHARE:
        belongings += parts.glasses(shape.positions[:98], rng)
    return belongings


def _with_hair(vertices: Array, look: Look, rng: np.random.Generator) -> Array:
    """The skin above the hairline stands off by the hair's thickness, unevenly."""
    step = (len(look.hairline) - 1) // (COLUMNS - 1)
    above = look.hairline[::step][None] - head.GRID_V[:, None].astype(np.float32)
    rise = np.clip(above / 30, 0, 1) ** 0.6
    lumps = 1 + 0.25 * noise.tile(rng, ROWS, COLUMNS, "coarse")
    thickness = (look.hair_thick * rise * lumps)[..., None].astype(np.float32)
    return np.asarray(vertices + thickness * head.outwards(), np.float32)


@lru_cache(maxsize=1)
def _jaw_candidates() -> Array:
    """float32 [33 * C, K]: where each jaw point of the 98 may lie, as weights of the controls.

    The first candidate is the point itself; the others go along the skin towards the middle of the
    face at the same height. The farthest to the side, as the camera sees it, is on the outline.
    Points below the mouth's corners move less and the chin not at all: an outline seen from the
    side still passes through the chin.
    """
    jaw = head.controls().plane[:33]
    beside_chin = np.clip((np.abs(np.arange(33) - 16) - 1.5) / 5, 0, 1)
    share = np.linspace(0, 0.75, JAW_CANDIDATES)[None] * beside_chin[:, None]
    plane = np.repeat(jaw[:, None], JAW_CANDIDATES, axis=1)
    plane[..., 0] *= 1 - share
    return head.weights_at(plane.reshape(-1, 2))


def landmarks_in_plane(
    shape: FaceShape, skin_part: Part, camera: "Camera", roll: float
) -> tuple[Array, Array]:
    """Landmarks in the camera's image plane: float32 [68, 2] and [98, 2]."""
    points = shape.positions[: head.LANDMARK_CONTROLS].copy()
    for eye, pupil in enumerate((96, 97)):
        points[pupil] = _on_grid(
            skin_part.vertices, head.grid_position(skin.iris_centre(shape, eye))
        )
    plane = camera.to_plane(points)
    jaw = camera.to_plane(head.skin_points(_jaw_candidates(), shape.positions)).reshape(
        33, JAW_CANDIDATES, 2
    )
    cos, sin = np.cos(np.radians(roll)), np.sin(np.radians(roll))
    outwards = (cos * jaw[..., 0] + sin * jaw[..., 1]) * np.sign(np.arange(33) - 16)[:, None]
    plane[:33] = jaw[np.arange(33), outwards.argmax(axis=1)]
    in_68 = landmark_controls()
    return plane[in_68], plane[: SCHEME_98.points]


def _on_grid(vertices: Array, position: Array) -> Array:
    """The skin at a fractional (column, row), bilinear as the renderer draws it."""
    column, row = (int(value) for value in position)
    s, t = position - (column, row)
    corners = vertices[row : row + 2, column : column + 2]
    top, bottom = corners[:, 0] * (1 - s) + corners[:, 1] * s
    return np.asarray(top * (1 - t) + bottom * t, np.float32)


@dataclass(frozen=True, eq=False)
class Camera:
    """Turns head coordinates into the picture.

    Attributes:
        rotation: float32 [3, 3] of the head; the body turns by a part of it.
        body_rotation: float32 [3, 3].
        distance: from the face, mm.
        size: of the picture, pixels.
        scale: pixels per mm at the face.
        offset: float32 [2], pixels.
    """

    rotation: Array
    body_rotation: Array
    distance: float
    size: int
    scale: float = 1.0
    offset: Array = dataclasses.field(default_factory=lambda: np.zeros(2, np.float32))

    @classmethod
    def random(cls, rng: np.random.Generator, rotation: NDArray[np.float64], size: int) -> "Camera":
        yaw, pitch, roll = angles(rotation)
        body = rotation_matrix(
            yaw * rng.uniform(0.1, 0.9), pitch * rng.uniform(0, 0.4), roll * rng.uniform(0, 0.9)
        )
        near, far = np.log(CAMERA_DISTANCES_MM)
        distance = float(np.exp(rng.uniform(near, far)))
        return cls(rotation.astype(np.float32), body.astype(np.float32), distance, size)

    @classmethod
    def of(
        cls,
        pose: NDArray[np.float64],
        body_pose: NDArray[np.float64],
        distance: float,
        size: int,
    ) -> "Camera":
        """Head and body turned as told, yaw, pitch, roll in degrees; ``distance`` in mm."""
        head_rotation, body_rotation = rotation_matrix(*pose), rotation_matrix(*body_pose)
        return cls(
            head_rotation.astype(np.float32), body_rotation.astype(np.float32), distance, size
        )

    def turned_planes(self, points: Array, follows_head: Array) -> Array:
        """Points [3, H, W] of the unposed head, turned; ``follows_head`` [H, W].

        They are turned about the neck, then moved so that the origin is the middle of the face: the
        camera looks at it.
        """
        flat = points.reshape(3, -1) - head.NECK_PIVOT[:, None]
        weight = follows_head.reshape(-1)
        turned = self.body_rotation @ flat
        turned += weight * (self.rotation @ flat - turned)
        turned -= (self.rotation @ (FACE_MIDDLE - head.NECK_PIVOT))[:, None]
        return np.asarray(turned.reshape(points.shape), np.float32)

    def projected_planes(self, turned: Array) -> tuple[Array, Array]:
        """Turned points [3, ...] to x and y, mm on a plane through the face's middle."""
        distance = np.float32(self.distance)
        closeness = distance / np.maximum(distance + turned[2], np.float32(0.2) * distance)
        return turned[0] * closeness, turned[1] * closeness

    def to_plane(self, points: Array) -> Array:
        """Points [N, 3] of the unposed head to [N, 2] mm on a plane through the face's middle."""
        planes = np.ascontiguousarray(points.T)[:, None]
        x, y = self.projected_planes(
            self.turned_planes(planes, np.ones(planes.shape[1:], np.float32))
        )
        return np.stack([x[0], y[0]], axis=1)

    def framing(self, landmarks: Array, rng: np.random.Generator) -> "Camera":
        """The same camera with the face placed somewhere in the picture."""
        low, high = landmarks.min(axis=0), landmarks.max(axis=0)
        share = rng.uniform(*FILL)
        scale = share * self.size / float((high - low).max())
        room = max(0.0, (1 - CROP_SCALE * share) / 2) * self.size
        middle = (self.size - 1) / 2 + rng.uniform(-room, room, 2)
        offset = middle - scale * (low + high) / 2
        return dataclasses.replace(self, scale=scale, offset=offset.astype(np.float32))

    def to_picture(self, plane: Array) -> Array:
        return np.asarray(plane * np.float32(self.scale) + self.offset, np.float32)


def shoot(mesh: Mesh, camera: Camera, light: Light, rng: np.random.Generator) -> Array:
    """The drawn scene, float32 [S, S, 3], S = size x OVERSAMPLING, without the camera's flaws."""
    drawn = round(camera.size * OVERSAMPLING)
    points = camera.turned_planes(mesh.vertices, mesh.follows_head)
    # Pixel centres: a point p of the picture is (p + 0.5) x enlarge - 0.5 of the drawing.
    enlarge = np.float32(drawn / camera.size)
    x, y = camera.projected_planes(points)
    x, y = (
        (plane * np.float32(camera.scale) + (offset + np.float32(0.5))) * enlarge - np.float32(0.5)
        for plane, offset in zip((x, y), camera.offset, strict=True)
    )
    depth = points[2] - mesh.towards_camera
    raster = rasterise(Grid(x, y, depth, mesh.quads, mesh.two_sided), drawn)
    light_planes, highlight = light.shade(
        points, mesh.two_sided, light.shadow_map(points[:, :ROWS])
    )
    shading = cv2.merge((*light_planes, highlight * mesh.shine))
    column, row = raster.cells[..., 0], raster.cells[..., 1]
    scale = mesh.paint.shape[1] // COLUMNS
    colour = cv2.remap(mesh.paint, column * scale, row * scale, cv2.INTER_LINEAR)
    planes = [np.asarray(plane, np.float32) for plane in cv2.split(colour)]
    *lit, gloss = cv2.split(cv2.remap(shading, column, row, cv2.INTER_LINEAR))
    covered = raster.covered.astype(np.float32)
    cover = cv2.blur(covered, (2, 2)) * covered
    behind = cv2.split(scenery.background(rng, drawn))
    for channel, plane in enumerate(planes):
        plane *= np.asarray(lit[channel], np.float32)
        plane += gloss * np.float32(light.colour[channel] * 255)
        plane -= behind[channel]
        plane *= cover
        plane += behind[channel]
    return np.asarray(cv2.merge(planes), np.float32)
