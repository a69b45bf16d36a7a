"""Drawn predictions: what is where, and that any picture and face can be drawn."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from asmnet_kit.base.errors import UsageError
from asmnet_kit.face.schemes import BUILT_IN, SCHEME_68, SCHEME_98, Scheme, scheme_named
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.predict.draw import (
    AXIS_COLOURS,
    BOX_COLOUR,
    MAX_SIDE,
    OTHER_COLOURS,
    PART_COLOURS,
    draw_faces,
    write_picture,
)
from asmnet_kit.predict.picture import FacePrediction


def face_at(x, y, side, *, points=68, pose=(0.0, 0.0, 0.0)):
    """The generic face with a landmark box of about ``side`` pixels in the middle of x, y."""
    landmarks = (generic_reference(points) * side * 1.2 + [x, y]).astype(np.float32)
    box = np.float32([x - side / 2, y - side / 2, x + side / 2, y + side / 2])
    return FacePrediction(box, 0.9, landmarks, None if pose is None else np.float32(pose), None)


def nearest(canvas, colour):
    """How near any pixel comes to a colour: the largest difference of its channels."""
    return np.abs(canvas.astype(int) - colour).max(axis=-1).min()


@pytest.mark.parametrize("scheme", [SCHEME_68, SCHEME_98])
def test_every_part_the_box_and_the_axes_show_in_their_colours(scheme):
    canvas = draw_faces(
        np.full((400, 400, 3), 128, np.uint8),
        [face_at(200, 200, 250, points=scheme.points, pose=(30, 10, 5))],
        scheme,
    )
    colours = {PART_COLOURS[p.removeprefix("left_").removeprefix("right_")] for p in scheme.parts}
    for colour in colours | {BOX_COLOUR, *AXIS_COLOURS}:
        # A one-pixel line between two pixels' centres is mixed with its dark edge.
        assert nearest(canvas, colour) < 24


@pytest.mark.parametrize("name", BUILT_IN)
def test_faces_of_every_scheme_are_drawn(name):
    scheme = scheme_named(name)
    points = np.random.default_rng(0).uniform(20, 180, (scheme.points, 2)).astype(np.float32)
    face = FacePrediction(np.float32([20, 20, 180, 180]), None, points, np.zeros(3), None)
    plain = np.full((200, 200, 3), 128, np.uint8)
    assert (draw_faces(plain, [face], scheme, factor=1) != plain).any(axis=-1).sum() > 200


def test_a_scheme_of_one_s_own_is_drawn_with_a_colour_for_each_part():
    """An ear: a line along its rim, and points inside that no line joins."""
    ear = Scheme.from_json(
        {
            "name": "ear",
            "points": 5,
            "normaliser": "box",
            "parts": {
                "rim": {"points": [0, 1, 2], "draw": "line"},
                "inside": {"points": [3, 4], "draw": "dots"},
            },
        }
    )
    points = np.float32([[50, 50], [150, 50], [150, 150], [60, 100], [60, 140]])
    face = FacePrediction(np.float32([50, 50, 150, 150]), None, points, np.zeros(3), None)
    canvas = draw_faces(np.full((200, 200, 3), 128, np.uint8), [face], ear, factor=1)
    rim, inside = OTHER_COLOURS[:2]
    assert np.abs(canvas[45:55, 100].astype(int) - rim).max(axis=-1).min() < 24  # on its line
    assert nearest(canvas[95:106, 55:66], inside) < 24  # at a point
    assert (canvas[115:125, 60] == 128).all()  # between two


def test_landmarks_that_are_unsure_or_hidden_are_hollow():
    """On white, the middle of an unsure dot shows the picture, that of a sure one its colour."""
    sure = face_at(200, 200, 250, pose=None)
    sigma = np.full(68, 2.0, np.float32)  # of 250 pixels: sure
    visible = np.ones(68, np.float32)
    sigma[33], visible[8] = 20, 0.2
    face = replace(sure, sigma=sigma, visible=visible)
    alone = replace(SCHEME_68, parts={"jaw": (8,), "nostrils": (33,), "nose_bridge": (30,)})
    grey = np.full((400, 400, 3), 128, np.uint8)
    canvas = draw_faces(grey, [face], alone)
    middles = {i: canvas[tuple(np.round(face.landmarks[i]).astype(int)[::-1])] for i in (8, 30, 33)}
    for index in (8, 33):
        assert np.abs(middles[index].astype(int) - 128).max() < 16  # smooth edges reach in a little
    assert np.abs(middles[30].astype(int) - PART_COLOURS["nose_bridge"]).max() < 40
    # A ring is drawn around the hollow ones, in their part's colour.
    for index, part in ((8, "jaw"), (33, "nostrils")):
        x, y = np.round(face.landmarks[index]).astype(int)
        assert nearest(canvas[y - 8 : y + 9, x - 8 : x + 9], PART_COLOURS[part]) < 60
    assert (draw_faces(grey, [sure], alone) != canvas).any()


def test_landmarks_are_drawn_where_they_are():
    """A landmark's pixel has its part's colour, on a picture that is not enlarged."""
    face = face_at(200, 200, 250, pose=None)
    canvas = draw_faces(np.zeros((400, 400, 3), np.uint8), [face], SCHEME_68)
    assert canvas.shape == (400, 400, 3)
    for x, y in np.round(face.landmarks[:17]).astype(int):
        assert np.abs(canvas[y, x].astype(int) - PART_COLOURS["jaw"]).max() < 40


def test_the_nose_axis_points_where_the_nose_does():
    """Yaw > 0: the blue axis lies to the image's right of the nose."""
    face = face_at(200, 200, 250, pose=(60, 0, 0))
    canvas = draw_faces(np.zeros((400, 400, 3), np.uint8), [face], SCHEME_68).astype(int)
    _, x = np.nonzero(np.abs(canvas - AXIS_COLOURS[2]).max(axis=-1) < 8)
    assert x.mean() > face.landmarks[27:31, 0].mean() + 20


def test_small_faces_are_enlarged_and_large_pictures_are_not():
    small = draw_faces(np.zeros((60, 50, 3), np.uint8), [face_at(25, 30, 40)], SCHEME_68)
    assert small.shape == (300, 250, 3)  # 5 x 40 = 200 pixels is the first of 192 or more
    large = np.zeros((10, MAX_SIDE, 3), np.uint8)
    assert draw_faces(large, [face_at(900, 5, 8)], SCHEME_68).shape == large.shape


def test_no_faces_leave_the_picture_alone_and_the_input_is_never_changed():
    image = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    before = image.copy()
    assert np.array_equal(draw_faces(image, [], SCHEME_68), image)
    draw_faces(image, [face_at(15, 20, 20)], SCHEME_68)
    assert np.array_equal(image, before)


def test_faces_across_the_border_and_missing_points_can_be_drawn():
    far = face_at(-4e6, 4e6, 300)
    gaps = face_at(100, 100, 150)
    gaps.landmarks[::3] = np.nan
    gaps.landmarks[27:31] = np.nan  # where the axes start
    canvas = draw_faces(np.zeros((200, 200, 3), np.uint8), [far, gaps], SCHEME_68)
    assert nearest(canvas, PART_COLOURS["jaw"]) < 8


def test_pictures_are_written_in_the_format_of_their_name(tmp_path):
    image = np.zeros((4, 5, 3), np.uint8)
    image[1, 2] = (255, 0, 0)
    write_picture(tmp_path / "new" / "red.png", image)
    assert np.array_equal(cv2.imread(str(tmp_path / "new" / "red.png"))[..., ::-1], image)
    with pytest.raises(UsageError, match=r"\.txt"):
        write_picture(tmp_path / "red.txt", image)
