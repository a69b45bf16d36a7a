"""Landmarks, boxes and head poses of a photograph as it is stored."""

import zlib

import cv2
import numpy as np
import pytest

from asmnet_kit.face.generic_face import GENERIC_FACE_68
from asmnet_kit.face.orientation import StoredPicture
from asmnet_kit.face.pictures import TURNS, decode_image
from asmnet_kit.face.pose import pose_from_landmarks, rotation_matrix
from asmnet_kit.face.schemes import SCHEME_68

WIDTH, HEIGHT = 5, 3  # as stored
ALL = range(1, 9)


def with_orientation(png: bytes, orientation: int) -> bytes:
    """A PNG with a chunk eXIf whose single entry is tag 0x0112, a SHORT."""
    entry = b"\x01\x12\x00\x03\x00\x00\x00\x01" + bytes([0, orientation, 0, 0])
    body = b"eXIf" + b"MM\x00\x2a\x00\x00\x00\x08\x00\x01" + entry + bytes(4)
    chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    end = 8 + 25  # the signature and IHDR
    return png[:end] + chunk + png[end:]


@pytest.mark.parametrize("orientation", ALL)
def test_a_bright_pixel_of_the_upright_picture_is_found_in_the_stored_one(orientation: int) -> None:
    """OpenCV turns the picture; the point is turned back here."""
    for x, y in ((0, 0), (4, 0), (1, 2), (3, 1)):
        stored = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        stored[y, x] = 255
        png = with_orientation(cv2.imencode(".png", stored)[1].tobytes(), orientation)
        upright = decode_image(png, name="p", upright=True)
        height, width = upright.shape[:2]
        row, column = np.argwhere(upright[..., 0] == 255)[0]
        seen = np.tile(np.array([column, row], np.float32), (68, 1))
        turn = StoredPicture(orientation, width, height)
        assert turn.points(seen, SCHEME_68)[0].tolist() == [x, y]


def test_half_of_the_orientations_are_mirror_images() -> None:
    assert [o for o in ALL if StoredPicture(o, 5, 3).is_mirrored] == [2, 4, 5, 7]
    assert list(TURNS) == list(ALL)


def test_a_phone_s_upright_photograph_lies_on_its_side_in_the_file() -> None:
    """Orientation 6: stored 60 x 40, shown 40 x 60. Its top left corner is stored bottom left."""
    turn = StoredPicture(6, 40, 60)
    assert turn.box(np.array([0, 0, 10, 20], np.float32)).tolist() == [0, 29, 20, 39]
    # The face's top points to the stored picture's left: a quarter turn against the clock.
    assert turn.pose(np.array([10, 5, 3], np.float32)).tolist() == [10, 5, -87]


@pytest.mark.parametrize("orientation", ALL)
def test_the_pose_of_the_stored_picture_is_that_of_its_landmarks(orientation: int) -> None:
    """A head of a known pose, far away: its landmarks are turned, and the pose is fitted anew."""
    pose = np.array([20, 10, 15], np.float32)
    face = GENERIC_FACE_68 @ rotation_matrix(*pose.tolist()).T
    upright = (face[:, :2] + 200).astype(np.float32)
    turn = StoredPicture(orientation, 400, 500)
    fitted = pose_from_landmarks(turn.points(upright, SCHEME_68), SCHEME_68)
    assert fitted is not None
    assert np.abs(fitted - turn.pose(pose)).max() < 2  # degrees; the camera is 10 m away


def test_what_is_known_of_each_point_changes_sides_in_a_mirror_image() -> None:
    values = np.arange(68, dtype=np.float32)
    assert StoredPicture(6, 9, 9).of_each_point(values, SCHEME_68)[0] == 0
    assert StoredPicture(2, 9, 9).of_each_point(values, SCHEME_68)[0] == 16
