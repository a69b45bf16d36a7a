"""The table that moves labels to where annotators put them."""

import numpy as np

from asmnet_kit.face.pose import rotation_matrix
from asmnet_kit.face.schemes import SCHEME_68, SCHEME_98
from asmnet_kit.people import labels, render
from asmnet_kit.people.labels import IN_68, OF_98
from asmnet_kit.people.placement import (
    LEFT_OFFSETS_MM,
    in_head,
    offsets_68,
    offsets_98,
    turns_68,
)

OFFSETS_68 = offsets_68(SCHEME_68.mirror)
OFFSETS_98 = offsets_98(OFFSETS_68, IN_68, OF_98)
NOWHERE = np.zeros((68, 3), np.float32), np.zeros((98, 3), np.float32)


def test_both_halves_of_the_face_move_alike():
    for offsets, scheme in ((OFFSETS_68, SCHEME_68), (OFFSETS_98, SCHEME_98)):
        np.testing.assert_allclose(offsets[scheme.mirror] * [-1, 1, 1], offsets, atol=1e-6)


def test_a_mirrored_head_is_marked_as_the_mirror_image_of_the_mark_up():
    mirror = SCHEME_68.mirror
    for yaw, pitch in ((20.0, 10.0), (-40.0, -25.0), (60.0, 0.0)):
        moved = turns_68(mirror, yaw, pitch)
        np.testing.assert_allclose(
            turns_68(mirror, -yaw, pitch)[mirror] * [-1, 1], moved, atol=1e-6
        )
        assert np.abs(moved).max() > 1


def test_a_turned_heads_chin_is_marked_where_the_nose_turns_and_a_profiles_is_not_moved():
    chin, left_end = 8, 0
    assert turns_68(SCHEME_68.mirror, 30.0, 0.0)[chin, 0] > 2  # yaw > 0: to the image's right
    assert turns_68(SCHEME_68.mirror, -30.0, 0.0)[chin, 0] < -2
    assert turns_68(SCHEME_68.mirror, 30.0, 0.0)[left_end, 1] < -2  # the nearer end, upwards
    assert not turns_68(SCHEME_68.mirror, 0.0, 0.0).any()
    assert not turns_68(SCHEME_68.mirror, 80.0, 0.0).any()


def test_marks_of_a_turned_head_are_moved_in_its_picture():
    """A move by one pixel's worth in the picture is one, whichever way the head is turned."""
    moved = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, -3.0]], np.float32)
    rotation = rotation_matrix(35.0, -20.0, 0.0)
    seen = in_head(moved, 35.0, -20.0) @ rotation.T
    np.testing.assert_allclose(seen[:, :2], moved, atol=1e-5)
    np.testing.assert_allclose(seen[:, 2], 0, atol=1e-5)


def test_landmarks_on_the_head_itself_do_not_depend_on_the_turn(monkeypatch):
    turned = np.array([30.0, 10.0, 0.0])
    person = render.draw(3, 0, 96, pose=turned)
    monkeypatch.setattr(labels, "turns_68", lambda *_: np.zeros((68, 2), np.float32))
    plain = render.draw(3, 0, 96, pose=turned)
    np.testing.assert_array_equal(person.landmarks68_3d, plain.landmarks68_3d)
    assert np.abs(person.landmarks68 - plain.landmarks68).max() > 0.5


def test_points_that_both_schemes_have_move_alike_and_the_jaws_others_between_them():
    np.testing.assert_array_equal(OFFSETS_98[OF_98], OFFSETS_68[IN_68])
    np.testing.assert_allclose(OFFSETS_98[3], (OFFSETS_68[1] + OFFSETS_68[2]) / 2)
    assert not OFFSETS_98[96:].any()  # an iris is where it is


def test_a_frontal_face_is_marked_by_the_table(monkeypatch):
    """From the front a millimetre is the same number of pixels everywhere, but for the depth."""
    frontal = np.zeros(3)
    marked = render.draw(3, 0, 128, pose=frontal).landmarks68_3d
    monkeypatch.setattr(labels, "_offsets", lambda: NOWHERE)
    mesh = render.draw(3, 0, 128, pose=frontal)
    moved = (marked - mesh.landmarks68_3d)[:, :2]
    points = list(LEFT_OFFSETS_MM)
    wanted = OFFSETS_68[points, :2]
    pixels_per_mm = (moved[points] * wanted).sum() / (wanted**2).sum()
    assert pixels_per_mm > 0.2
    np.testing.assert_allclose(moved[points], pixels_per_mm * wanted, atol=0.6)


def test_the_table_changes_no_picture(monkeypatch):
    marked = render.draw(3, 1, 64).image
    monkeypatch.setattr(labels, "_offsets", lambda: NOWHERE)
    np.testing.assert_array_equal(render.draw(3, 1, 64).image, marked)
