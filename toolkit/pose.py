"""Head pose: what the three angles mean, and how they follow from landmarks.

Camera frame: x right, y down, z away from the camera. (0, 0, 0) is the generic face
(asmnet_kit.faces3d.points) seen from the front, its nose pointing to -z. Signs, as seen in the image:

    yaw   > 0  the nose turns towards the image's right
    pitch > 0  the nose turns up
    roll  > 0  the face turns clockwise

A head pose is R = Rz(roll) Ry(yaw) Rx(pitch), written out in ``rotation_matrix``.
"""

import numpy as np
from numpy.typing import NDArray


def rotation_matrix(yaw: float, pitch: float, roll: float) -> NDArray[np.float64]:
    """R = Rz(roll) Ry(yaw) Rx(pitch), float64 [3, 3], turning face points into the camera frame.

    Each factor written out turns the nose (0, 0, -1) or the face's x axis (1, 0, 0) as its sign says:
    Ry takes the nose to (sin yaw, 0, -cos yaw), Rx takes it to (0, -sin pitch, -cos pitch), Rz takes
    the x axis to (cos roll, sin roll, 0), which is clockwise where y points down.

    Args:
        yaw, pitch, roll: degrees.
    """
    (cy, cp, cr), (sy, sp, sr) = (f(np.radians([yaw, pitch, roll])) for f in (np.cos, np.sin))
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_y = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    rotation: NDArray[np.float64] = about_z @ about_y @ about_x
    return rotation


def angles(rotation: NDArray[np.float64]) -> tuple[float, float, float]:
    """(yaw, pitch, roll) in degrees of a rotation [3, 3]; the inverse of ``rotation_matrix``.

    yaw is in -90..90, pitch and roll in -180..180. At yaw = +-90 only a sum of pitch and roll is
    determined: roll is 0 there.
    """
    cos_yaw = np.hypot(rotation[0, 0], rotation[1, 0])
    yaw = np.arctan2(rotation[2, 0], cos_yaw)
    if cos_yaw < 1e-9:  # gimbal lock: R = Ry(+-90) Rx(pitch), whose middle row is (0, cp, sp)
        pitch, roll = np.arctan2(rotation[1, 2], rotation[1, 1]), 0.0
    else:
        pitch = np.arctan2(-rotation[2, 1], rotation[2, 2])
        roll = np.arctan2(rotation[1, 0], rotation[0, 0])
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))
