"""Head pose and camera: from the head's millimetres to pixels."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.face.boxes import CROP_SCALE
from asmnet_kit.face.pose import angles, rotation_matrix
from asmnet_kit.people.camera_settings import DEFAULT_CAMERA, CameraSettings

Array = NDArray[np.float32]

# Degrees of pitch at which the packed body stands upright, or slouches a little: MakeHuman's was
# turned until its face lay on the kit's generic one.
UPRIGHT_BODY = (1.0, 9.0)

# Poses: most photographs are near frontal, some are not. The share of each angle's moderate part,
# its mean and standard deviation, and the limit up to which the rest is even; all in degrees.
POSE_LIMITS = (90.0, 45.0, 45.0)  # yaw, pitch, roll
MODERATE_SHARE = (0.78, 0.85, 0.85)
MODERATE_MEAN = (0.0, 2.0, 0.0)
MODERATE_DEVIATION = (22.0, 10.0, 8.0)

NECK_PIVOT = np.array([0.0, 85.0, 90.0], np.float32)
# Along y - NECK_SLOPE x (NECK_FRONT - z), mm: the head is rigid above, the body below.
NECK_TOP, NECK_BASE, NECK_SLOPE, NECK_FRONT = 100.0, 185.0, 0.5, 70.0
FACE_MIDDLE = np.array([0.0, 40.0, 10.0], np.float32)  # between eyes and mouth


def random_pose(rng: np.random.Generator) -> NDArray[np.float64]:
    """Yaw, pitch, roll, degrees: a normal distribution with an even one under it, independent."""
    pose = np.empty(3)
    for axis, limit in enumerate(POSE_LIMITS):
        if rng.random() < MODERATE_SHARE[axis]:
            pose[axis] = limit + 1
            while abs(pose[axis]) > limit:
                pose[axis] = rng.normal(MODERATE_MEAN[axis], MODERATE_DEVIATION[axis])
        else:
            pose[axis] = rng.uniform(-limit, limit)
    return pose


@dataclass(frozen=True, eq=False)
class Camera:
    """Attributes:
    rotation: float32 [3, 3] of the head; body: float32 [3, 3] of the shoulders.
    distance: from the face, mm.
    size: of the drawn picture, pixels.
    scale: pixels per mm at the face; offset: float32 [2], pixels.
    lens: radial distortion: a point at r (1 at half the picture's side) moves to r (1 + lens r^2).
    """

    rotation: Array
    body: Array
    distance: float
    size: int
    lens: float = 0.0
    scale: float = 1.0
    offset: Array = dataclasses.field(default_factory=lambda: np.zeros(2, np.float32))

    def turned(self, points: Array) -> Array:
        """Points [N, 3] of the unposed head and body in camera coordinates, the face's middle at
        the origin; mm."""
        along = points[:, 1] - NECK_SLOPE * (NECK_FRONT - points[:, 2])
        share = np.clip((NECK_BASE - along) / (NECK_BASE - NECK_TOP), 0, 1)
        follows = (share * share * (3 - 2 * share)).astype(np.float32)[:, None]
        about = points - NECK_PIVOT
        moved = about @ self.body.T
        moved += follows * (about @ self.rotation.T - moved)
        moved -= (FACE_MIDDLE - NECK_PIVOT) @ self.rotation.T
        return np.asarray(moved, np.float32)

    def plane(self, turned: Array) -> Array:
        """Points [N, 3] in camera coordinates to [N, 3]: x and y, mm at the face's distance, and
        how far each is from the camera's plane, mm."""
        depth = np.maximum(turned[:, 2] + np.float32(self.distance), np.float32(60.0))
        found = np.empty_like(turned)
        found[:, :2] = turned[:, :2] * (np.float32(self.distance) / depth)[:, None]
        found[:, 2] = depth
        return found

    def pixels(self, turned: Array) -> Array:
        """Points [N, 3] in camera coordinates to [N, 3]: x, y, pixels, and depth, mm."""
        found = self.plane(turned)
        found[:, :2] *= np.float32(self.scale)
        found[:, :2] += self.offset
        if self.lens:
            middle = np.float32((self.size - 1) / 2)
            from_middle = (found[:, :2] - middle) / np.float32(self.size / 2)
            radius = np.einsum("ij,ij->i", from_middle, from_middle)[:, None]
            # Far outside of the picture the polynomial turns back.
            from_middle *= 1 + np.float32(self.lens) * np.minimum(radius, 4)
            found[:, :2] = from_middle * np.float32(self.size / 2) + middle
        return found

    @property
    def turn(self) -> tuple[float, float]:
        """Yaw and pitch of the head, degrees."""
        yaw, pitch, _ = angles(self.rotation.astype(np.float64))
        return yaw, pitch

    @property
    def tilt(self) -> float:
        """Degrees, clockwise, by which the head's upright axis is turned in the picture."""
        return float(np.degrees(np.arctan2(-self.rotation[0, 1], self.rotation[1, 1])))


def random_camera(
    rng: np.random.Generator,
    pose: NDArray[np.float64],
    size: int,
    settings: CameraSettings = DEFAULT_CAMERA,
) -> Camera:
    yaw, pitch, roll = pose
    body = rotation_matrix(
        yaw * rng.uniform(0.1, 0.9),
        pitch * rng.uniform(0, 0.4) + rng.uniform(*UPRIGHT_BODY),
        roll * rng.uniform(0, 0.8),
    )
    near, far = np.log([1000 * metres for metres in settings.distance_m])
    distance = float(np.exp(rng.uniform(near, far)))
    lens = float(rng.uniform(*settings.lens)) if rng.random() < settings.lens_share else 0.0
    return Camera(
        rotation_matrix(*pose).astype(np.float32), body.astype(np.float32), distance, size, lens
    )


def framed(
    camera: Camera,
    landmarks: Array,
    rng: np.random.Generator,
    settings: CameraSettings = DEFAULT_CAMERA,
) -> Camera:
    """The same camera with the face somewhere in the picture.

    Args:
        landmarks: [N, 3], camera coordinates.
    """
    plane = camera.plane(landmarks)[:, :2]
    low, high = plane.min(axis=0), plane.max(axis=0)
    share = rng.uniform(*settings.face)
    scale = share * camera.size / float((high - low).max())
    room = max(0.02, (1 - CROP_SCALE * share) / 2) * camera.size
    middle = (camera.size - 1) / 2 + rng.uniform(-room, room, 2)
    offset = middle - scale * (low + high) / 2
    return dataclasses.replace(camera, scale=scale, offset=offset.astype(np.float32))
