"""Head pose angles: signs, composition."""

import numpy as np
import pytest

from asmnet_kit.pose import angles, rotation_matrix

NOSE = np.array([0.0, 0.0, -1.0])  # of a face looking at the camera
FACE_RIGHT = np.array([1.0, 0.0, 0.0])


@pytest.mark.parametrize(
    ("pose", "vector", "expected"),
    [
        ((90, 0, 0), NOSE, (1, 0, 0)),  # towards the image's right
        ((0, 90, 0), NOSE, (0, -1, 0)),  # up: y points down
        ((0, 0, 90), FACE_RIGHT, (0, 1, 0)),  # clockwise: the right goes down
        ((0, 0, 0), NOSE, (0, 0, -1)),
    ],
)
def test_each_angle_turns_the_face_the_way_its_sign_says(pose, vector, expected):
    assert np.allclose(rotation_matrix(*pose) @ vector, expected, atol=1e-15)


def test_rotations_compose_as_roll_about_yaw_about_pitch():
    whole = rotation_matrix(20, 10, 30)
    parts = rotation_matrix(0, 0, 30) @ rotation_matrix(20, 0, 0) @ rotation_matrix(0, 10, 0)
    assert np.allclose(whole, parts)
    assert np.isclose(np.linalg.det(whole), 1.0)


@pytest.mark.parametrize("yaw", [-80.0, -30.0, 0.0, 45.0, 89.0])
@pytest.mark.parametrize("pitch", [-60.0, 0.0, 25.0])
@pytest.mark.parametrize("roll", [-170.0, 0.0, 40.0])
def test_angles_undoes_rotation_matrix(yaw, pitch, roll):
    assert np.allclose(angles(rotation_matrix(yaw, pitch, roll)), (yaw, pitch, roll))


def test_at_a_full_profile_the_angles_still_describe_the_same_rotation():
    rotation = rotation_matrix(90, 20, 30)
    assert np.allclose(rotation_matrix(*angles(rotation)), rotation)
