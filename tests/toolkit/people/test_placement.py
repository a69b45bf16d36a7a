"""The table that moves labels to where annotators put them."""

import numpy as np

from asmnet_kit.face.schemes import SCHEME_68, SCHEME_98
from asmnet_kit.people import labels, render
from asmnet_kit.people.labels import IN_68, OF_98
from asmnet_kit.people.placement import LEFT_OFFSETS_MM, offsets_68, offsets_98

OFFSETS_68 = offsets_68(SCHEME_68.mirror)
OFFSETS_98 = offsets_98(OFFSETS_68, IN_68, OF_98)
NOWHERE = np.zeros((68, 3), np.float32), np.zeros((98, 3), np.float32)


def test_both_halves_of_the_face_move_alike():
    for offsets, scheme in ((OFFSETS_68, SCHEME_68), (OFFSETS_98, SCHEME_98)):
        np.testing.assert_allclose(offsets[scheme.mirror] * [-1, 1, 1], offsets, atol=1e-6)


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
