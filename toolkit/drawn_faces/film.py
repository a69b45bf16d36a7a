"""Films of one drawn face whose head moves smoothly, with exact landmarks in every frame.

The person, the camera, the light and what is behind stay; the head turns and the face wanders
through the picture along sums of slow sines; each frame has its own sensor noise. So whatever
trembles in landmarks predicted from it is the predictor's doing.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import UsageError
from asmnet_kit.drawn_faces import render, skin
from asmnet_kit.drawn_faces.light import random_light
from asmnet_kit.drawn_faces.look import random_look
from asmnet_kit.drawn_faces.mesh import join
from asmnet_kit.drawn_faces.shape import random_shape
from asmnet_kit.face.pictures import Image

FACE_SHARE = 0.5  # longer side of the landmarks' box, of the picture's side, in the first frame
NOISE_LEVELS = 4.0  # standard deviation of the sensor's noise, of 255: a phone indoors
BODY_SHARE = 0.3  # of the head's turn
# Per axis: how often a second the head goes to and fro, in two sines that never come together.
HERTZ = np.array([[0.35, 0.83], [0.27, 0.71], [0.22, 0.61]])
TURN_DEGREES = np.array([22.0, 9.0, 7.0])  # yaw, pitch, roll at a ``motion`` of 1
WANDER_HERTZ = np.array([[0.23, 0.57], [0.31, 0.67]])
WANDER_SHARE = 0.06  # of the picture's side, at a ``motion`` of 1


def film(
    frames: int,
    *,
    seed: int,
    size: int = 256,
    fps: float = 30.0,
    motion: float = 1.0,
    tempo: float = 1.0,
) -> Iterator[render.SyntheticFace]:
    """Yield the frames of a film; ``index`` is the frame's number.

    Args:
        seed: chooses the person, the light and the course of the motion.
        size: side of the frames, pixels.
        motion: how far the head goes: 0 held still (every frame equal but for the noise) ... 1 a
            person talking.
        tempo: how fast, as a multiple of a calm talk's.

    Raises:
        UsageError: a negative count or motion, a rate of 0, or a size that is not drawn.
    """
    if frames < 0 or min(motion, tempo) < 0 or fps <= 0:
        raise UsageError(
            "expected frames, motion and tempo >= 0, fps > 0; "
            f"got {frames}, {motion}, {tempo} and {fps}"
        )
    if not render.MIN_SIZE <= size <= render.MAX_SIZE:
        raise UsageError(
            f"expected frames of {render.MIN_SIZE} to {render.MAX_SIZE} pixels, got {size}"
        )
    return _frames(frames, seed, size, fps / tempo if tempo else np.inf, motion)


def _frames(
    frames: int, seed: int, size: int, rate: float, motion: float
) -> Iterator[render.SyntheticFace]:
    """``rate``: frames for each second of a calm talk."""
    rng = np.random.default_rng((seed, 1))
    shape = random_shape(rng)
    scale = render.texture_scale(size)
    look = dataclasses.replace(random_look(rng, skin.texture_columns(scale)), mask_top=None)
    head = render.head_with_hair(shape, look, scale, rng)
    mesh = join(head, render.other_parts(shape, look, rng), scale=scale)
    light = random_light(rng)
    distance = float(np.exp(rng.uniform(*np.log(render.CAMERA_DISTANCES_MM))))
    course = _Course.random(rng, motion)
    frontal = render.Camera.of(np.zeros(3), np.zeros(3), distance, size)
    box = np.ptp(render.landmarks_in_plane(shape, head, frontal, 0.0)[0], axis=0)
    pixels_per_mm = FACE_SHARE * size / float(box.max())
    for index in range(frames):
        pose, place = course.at(index / rate)
        offset = ((size - 1) / 2 + size * place).astype(np.float32)
        camera = dataclasses.replace(
            render.Camera.of(pose, BODY_SHARE * pose, distance, size),
            scale=pixels_per_mm,
            offset=offset,
        )
        points68, points98 = render.landmarks_in_plane(shape, head, camera, float(pose[2]))
        # The same random numbers for every frame: what is behind the face stays.
        picture = render.shoot(mesh, camera, light, np.random.default_rng((seed, 2)))
        noise = np.random.default_rng((seed, 3, index))
        yield render.SyntheticFace(
            index,
            _exposed(picture, noise, size),
            camera.to_picture(points68),
            camera.to_picture(points98),
            pose.astype(np.float32),
        )


@dataclass(frozen=True, eq=False)
class _Course:
    """How head and face move: sums of sines, so every derivative is smooth.

    Attributes:
        turn: degrees, yaw, pitch, roll.
        wander: share of the picture's side, x and y.
        phases: radians, [5, 2] for the axes' two sines.
    """

    turn: NDArray[np.float64]
    wander: float
    phases: NDArray[np.float64]

    @classmethod
    def random(cls, rng: np.random.Generator, motion: float) -> "_Course":
        return cls(motion * TURN_DEGREES, motion * WANDER_SHARE, rng.uniform(0, 2 * np.pi, (5, 2)))

    def at(self, seconds: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Pose [3] in degrees and place [2] as shares of the side, from the middle."""
        hertz = np.concatenate([HERTZ, WANDER_HERTZ])
        waves = np.sin(2 * np.pi * hertz * seconds + self.phases) @ (0.65, 0.35)
        return self.turn * waves[:3], self.wander * waves[3:]


def _exposed(picture: NDArray[np.float32], rng: np.random.Generator, size: int) -> Image:
    """The drawn scene at the picture's size, with the sensor's noise."""
    seen = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    noise = rng.normal(0, NOISE_LEVELS, seen.shape)
    return np.asarray(np.clip(np.rint(seen + noise), 0, 255), np.uint8)
