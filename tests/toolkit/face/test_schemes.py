"""The landmark schemes: mirror tables, eye corners and parts, checked on a symmetric face."""

import json
from dataclasses import replace

import numpy as np
import pytest

from asmnet_kit.base.errors import UsageError
from asmnet_kit.face.generic_face import GENERIC_FACE_68, GENERIC_FACE_98
from asmnet_kit.face.schemes import (
    BUILT_IN,
    SCHEME_68,
    SCHEME_98,
    Scheme,
    mirrored,
    scheme_named,
    scheme_of,
)

FACES = {68: GENERIC_FACE_68[:, :2], 98: GENERIC_FACE_98[:, :2]}
SCHEMES = [SCHEME_68, SCHEME_98]
ALL = [scheme_named(name) for name in BUILT_IN]


@pytest.mark.parametrize("scheme", ALL, ids=BUILT_IN)
def test_mirroring_twice_gives_every_point_back(scheme):
    assert sorted(scheme.mirror) == list(range(scheme.points))
    assert np.array_equal(scheme.mirror[scheme.mirror], np.arange(scheme.points))


def rows_of_68():
    """A face drawn by its parts alone, without the mirror table: each part left to right.

    The scheme's order (Sagonas et al. 2013, figure 1): jaw and brows run left to right; the eyes
    start at their left corner and go over the upper lid; the lips start at the left corner.
    """
    face = {}
    for i in range(17):
        angle = np.pi * (1 - i / 16)
        face[i] = (40 * np.cos(angle), 50 * np.sin(angle))
    for i in range(5):
        arch = 3 * np.sin(np.pi * i / 4)
        face[17 + i] = (-32 + 6 * i, -20 - arch)
        face[22 + i] = (8 + 6 * i, -20 - arch)
    for i in range(4):
        face[27 + i] = (0, -10 + 7 * i)
    for i in range(5):
        face[31 + i] = (-6 + 3 * i, 17 + (2 - abs(i - 2)))
    ring = [(-7, 0), (-3, -3), (3, -3), (7, 0), (3, 3), (-3, 3)]
    for i, (x, y) in enumerate(ring):
        face[36 + i] = (x - 18, y - 8)
        face[42 + i] = (x + 18, y - 8)
    outer = [(-14, 0), (-9, -4), (-4, -6), (0, -5), (4, -6), (9, -4), (14, 0)]
    outer += [(9, 5), (4, 7), (0, 8), (-4, 7), (-9, 5)]
    for i, (x, y) in enumerate(outer):
        face[48 + i] = (x, y + 30)
    inner = [(-11, 0), (-4, -2), (0, -1), (4, -2), (11, 0), (4, 2), (0, 3), (-4, 2)]
    for i, (x, y) in enumerate(inner):
        face[60 + i] = (x, y + 30)
    return np.array([face[i] for i in range(68)], float)


def rows_of_98():
    """The same for WFLW's order (Wu et al. 2018, figure 1)."""
    face = {}
    for i in range(33):
        angle = np.pi * (1 - i / 32)
        face[i] = (40 * np.cos(angle), 50 * np.sin(angle))
    for i in range(5):  # upper edges left to right
        arch = 3 * np.sin(np.pi * i / 4)
        face[33 + i] = (-32 + 6 * i, -20 - arch)
        face[42 + i] = (8 + 6 * i, -20 - arch)
    for i in range(4):  # lower edges back from right to left
        face[38 + i] = (-9 - 6 * i, -17)
        face[47 + i] = (27 - 6 * i, -17)
    for i in range(4):
        face[51 + i] = (0, -10 + 7 * i)
    for i in range(5):
        face[55 + i] = (-6 + 3 * i, 17 + (2 - abs(i - 2)))
    ring = [(-7, 0), (-4, -3), (0, -4), (4, -3), (7, 0), (4, 3), (0, 4), (-4, 3)]
    for i, (x, y) in enumerate(ring):
        face[60 + i] = (x - 18, y - 8)
        face[68 + i] = (x + 18, y - 8)
    outer = [(-14, 0), (-9, -4), (-4, -6), (0, -5), (4, -6), (9, -4), (14, 0)]
    outer += [(9, 5), (4, 7), (0, 8), (-4, 7), (-9, 5)]
    for i, (x, y) in enumerate(outer):
        face[76 + i] = (x, y + 30)
    inner = [(-11, 0), (-4, -2), (0, -1), (4, -2), (11, 0), (4, 2), (0, 3), (-4, 2)]
    for i, (x, y) in enumerate(inner):
        face[88 + i] = (x, y + 30)
    face[96], face[97] = (-18, -8), (18, -8)
    return np.array([face[i] for i in range(98)], float)


@pytest.mark.parametrize(
    ("scheme", "face"),
    [
        (SCHEME_68, rows_of_68()),
        (SCHEME_98, rows_of_98()),
        (SCHEME_68, FACES[68]),
        (SCHEME_98, FACES[98]),
    ],
)
def test_a_symmetric_face_is_its_own_mirror_image(scheme, face):
    """x 0 is the face's middle line, which is what ``width=1`` mirrors about."""
    assert np.allclose(mirrored(face, 1, scheme), face, atol=1e-9)


@pytest.mark.parametrize("scheme", ALL, ids=BUILT_IN)
def test_mirrored_landmarks_lie_on_the_mirrored_picture(scheme):
    """Dots of different brightness: each landmark of the mirrored picture sits on a dot.

    And the dot is that of the landmark's counterpart.
    """
    width = 200
    picture = np.zeros((200, width), np.int64)
    rng = np.random.default_rng(0)
    flat = rng.choice(200 * width, scheme.points, replace=False)
    landmarks = np.stack([flat % width, flat // width], axis=1).astype(np.float32)
    picture[landmarks[:, 1].astype(int), landmarks[:, 0].astype(int)] = 1 + np.arange(scheme.points)
    moved = mirrored(landmarks, width, scheme).astype(int)
    seen = picture[:, ::-1][moved[:, 1], moved[:, 0]] - 1
    assert np.array_equal(seen, scheme.mirror)


def test_mirroring_keeps_missing_points_missing_and_takes_batches():
    landmarks = np.random.default_rng(0).uniform(0, 9, (2, 68, 2)).astype(np.float32)
    landmarks[1, 36] = np.nan
    moved = mirrored(landmarks, 10, SCHEME_68)
    assert np.isnan(moved[1, 45]).all() and np.isfinite(moved[1, 36]).all()
    assert np.allclose(moved[0, 16], [9 - landmarks[0, 0, 0], landmarks[0, 0, 1]])


@pytest.mark.parametrize("scheme", SCHEMES)
def test_outer_eye_corners_are_the_ends_of_the_eyes(scheme):
    face, (left, right) = FACES[scheme.points], scheme.outer_eye_corners
    assert left == min(scheme.parts["left_eye"], key=lambda i: face[i, 0])
    assert right == max(scheme.parts["right_eye"], key=lambda i: face[i, 0])
    assert scheme.mirror[left] == right


@pytest.mark.parametrize("scheme", ALL, ids=BUILT_IN)
def test_each_point_belongs_to_one_part_and_parts_mirror_as_wholes(scheme):
    members = [index for part in scheme.parts.values() for index in part]
    assert sorted(members) == list(range(scheme.points))
    assert scheme.closed <= scheme.parts.keys()
    parts = {frozenset(part) for part in scheme.parts.values()}
    for part in scheme.parts.values():
        assert frozenset(int(scheme.mirror[index]) for index in part) in parts


@pytest.mark.parametrize("scheme", ALL, ids=BUILT_IN)
def test_tables_cannot_be_changed_by_accident(scheme):
    with pytest.raises(ValueError, match="read-only"):
        scheme.mirror[0] = 3
    with pytest.raises(TypeError):
        scheme.parts["jaw"] = ()


def test_a_scheme_is_found_by_its_number_of_points():
    assert (scheme_of(68), scheme_of(98)) == (SCHEME_68, SCHEME_98)
    assert SCHEME_98.name == "98"
    with pytest.raises(UsageError, match="98 or 106 landmarks, got 9"):
        scheme_of(9)


def test_a_scheme_equals_its_copy_and_no_other():
    copy = replace(SCHEME_68, mirror=SCHEME_68.mirror.copy())
    assert copy == SCHEME_68 and hash(copy) == hash(SCHEME_68)
    assert replace(SCHEME_68, mirror=np.arange(68)) != SCHEME_68
    assert SCHEME_68 != SCHEME_98 and SCHEME_68 != 68
    assert {SCHEME_68: "68", SCHEME_98: "98"}[copy] == "68"


NINE = """
name = "fox"
points = 9
names = ["ear_l", "ear_r", "eye_l", "eye_r", "nose", "mouth_l", "mouth_r", "lip", "chin"]
mirror = [["ear_l", "ear_r"], [2, 3], ["mouth_l", "mouth_r"]]
normaliser = ["eye_l", "eye_r"]

[parts]
ears = { points = ["ear_l", "ear_r"], draw = "dots" }
mouth = { points = ["mouth_l", "lip", "mouth_r", "chin"], draw = "ring" }

[maps]
5 = ["eye_l", "eye_r", "nose", "mouth_l", ["mouth_r", "mouth_r", "lip"]]
"""


def nine(tmp_path, old="", new=""):
    path = tmp_path / "fox.toml"
    path.write_text(NINE.replace(old, new) if old else NINE)
    return path


def test_a_file_describes_a_scheme(tmp_path):
    scheme = scheme_named(nine(tmp_path))
    assert (scheme.name, scheme.points, scheme.normaliser) == ("fox", 9, (2, 3))
    assert scheme.mirror.tolist() == [1, 0, 3, 2, 4, 6, 5, 7, 8]
    assert dict(scheme.parts) == {"ears": (0, 1), "mouth": (5, 7, 6, 8), "other": (2, 3, 4)}
    assert [*scheme.parts] == ["ears", "other", "mouth"]  # by their first points
    assert (scheme.closed, scheme.dots) == ({"mouth"}, {"ears", "other"})
    assert scheme.positions is None and not scheme.built_in


@pytest.mark.parametrize("scheme", ALL, ids=BUILT_IN)
def test_a_scheme_reads_back_from_json(scheme):
    # As a model file holds it, with sorted keys.
    assert Scheme.from_json(json.loads(json.dumps(scheme.to_json(), sort_keys=True))) == scheme


@pytest.mark.parametrize("scheme", ALL, ids=BUILT_IN)
def test_a_scheme_reads_back_from_toml(scheme, tmp_path):
    path = tmp_path / "own.toml"
    own = replace(scheme, name="own", title='"A" \\ ü \x7f')
    path.write_text(own.to_toml(), encoding="utf-8")
    read = scheme_named(path)
    assert (read, read.title) == (own, own.title)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("points = 9", "points = 8", "names of all 8 points, got 9"),
        ("points = 9", "points = 9.0", "points to be a count, 1 to 1000, got 9.0"),
        ("points = 9", "", "the key 'points'; it is missing"),
        ('name = "fox"', 'name = "a/b"', "a name of letters, digits, .*got 'a/b'"),
        ('name = "fox"', 'name = "68"', "a name of its own, got '68'"),
        ('name = "fox"', 'name = "fox"\nmirorr = []', "got 'mirorr'"),
        ('"ear_l", "ear_r", "eye_l"', '"ear_l", "ear_l", "eye_l"', "'ear_l' twice"),
        ("[2, 3]", "[2, 9]", "its number 0 to 8; got 9"),
        ("[2, 3]", "[2, 2]", "mirror pairs of two different points"),
        ("[2, 3]", "[1, 3]", "each point in one mirror pair"),
        ("[2, 3]", "[true, 3]", "got True"),
        ('["eye_l", "eye_r"]\n', '"eyes"\n', "normaliser to be 'box' or two points, got 'eyes'"),
        ('"dots"', '"dashes"', "parts.ears.draw to be line, ring, dots; got 'dashes'"),
        ('["ear_l", "ear_r"], draw', '["ear_l", "lip"], draw', "each point in one part"),
        ('"nose", "mouth_l", ["m', '"mouth_l", ["m', "maps.5 to have an entry for each of its 5"),
        ("[maps]", "positions = [[1, 2, 3]]\n[maps]", "parts.positions with points and draw"),
        ("[parts]", "positions = [[1, 2, 3]]\n[parts]", "in millimetres of all 9 points"),
        ("[parts]", "[parts", "expected a scheme in TOML"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_by_what_is_wrong_in_it(tmp_path, old, new, message):
    path = nine(tmp_path, old, new)
    with pytest.raises(UsageError, match=message) as caught:
        scheme_named(path)
    assert str(path) in str(caught.value) and caught.value.exit_code == 2


def test_a_file_that_is_not_there_names_the_schemes_that_are(tmp_path):
    with pytest.raises(UsageError, match=r"No such file.*5, 19, 21, 29, 68, 98, 106, or a .toml"):
        scheme_named(tmp_path / "none.toml")


@pytest.mark.parametrize("scheme", ALL, ids=BUILT_IN)
def test_maps_take_mirrored_faces_to_mirrored_faces(scheme):
    for name in scheme.maps:
        target = scheme_named(name)
        weights = scheme.map_to(target)
        assert np.allclose(weights.sum(axis=1), 1)
        assert np.allclose(weights[target.mirror][:, scheme.mirror], weights)


def test_68_points_follow_from_98_within_a_third_of_a_millimetre():
    """The lid points lie on chords of the arch that the generic lids follow."""
    found = SCHEME_98.mapped(FACES[98], SCHEME_68)
    apart = np.linalg.norm(found - FACES[68], axis=1)
    assert apart.max() < 1 / 3 and np.count_nonzero(apart > 1e-4) == 8


def test_a_map_has_no_place_for_points_made_of_missing_ones():
    face = FACES[98].copy()
    face[62] = np.nan  # the middle of a lid: in both points of that lid
    found = SCHEME_98.mapped(face, SCHEME_68)
    assert np.flatnonzero(np.isnan(found).any(axis=1)).tolist() == [37, 38]


def test_a_map_that_is_not_there_says_which_are():
    with pytest.raises(UsageError, match="with a map to 98, got 68: its maps lead to 5"):
        SCHEME_68.map_to(SCHEME_98)


def test_errors_are_normalised_by_the_pair_or_by_the_box():
    face = np.full((5, 2), np.nan)
    face[:3] = [(0, 0), (3, 4), (8, 2)]
    assert scheme_of(5).size_of(face) == 5  # of the eyes, (0, 0) and (3, 4)
    boxed = replace(scheme_of(5), normaliser="box")
    assert np.isclose(boxed.size_of(face), np.sqrt(8 * 4))
    assert np.isnan(boxed.size_of(np.full((5, 2), np.nan)))
