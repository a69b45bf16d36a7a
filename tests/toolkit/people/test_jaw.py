"""Which jaw points can be seen: the outline of a face is, the side that is turned away is not."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.cli import main
from asmnet_kit.face.schemes import SCHEME_68
from asmnet_kit.people import jaw, render, things
from asmnet_kit.people.render import draw

JAW_68, JAW_98 = 17, 33
BARE = frozenset({"hair", "things"})  # nothing covers a point


def drawn(count, *pose, without=BARE):
    return [draw(5, i, 48, pose=np.array(pose, float), without=without) for i in range(count)]


def share(people, name):
    """Share of the people in which each point is flagged."""
    return np.mean([getattr(person, name) for person in people], axis=0)


def test_written_frontal_people_show_their_whole_jaw(tmp_path):
    command = ["data", "synthesize", "--kind", "people", "--count", "24", "--size", "48"]
    command += ["--seed", "7", "--without", "hair", "--without", "things"]
    command += ["--out", str(tmp_path / "out")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    frontal = []
    for file in (tmp_path / "out").glob("*/pose.csv"):
        for row in csv.DictReader(file.read_text().splitlines()):
            if max(abs(float(row["yaw"])), abs(float(row["pitch"]))) < 12:
                frontal.append((file.parent / row["name"]).with_suffix(".vis.json"))
    assert len(frontal) >= 5
    for points, count in ((68, JAW_68), (98, JAW_98)):
        marks = [json.loads(file.read_text())[str(points)] for file in frontal]
        seen = np.array([[mark == "v" for mark in letters] for letters in marks]).mean(axis=0)
        assert (seen[:count] >= 0.9).all()
        assert seen.mean() > 0.9  # brows, nose, eyes and mouth too


@pytest.mark.parametrize("pose", [(0, 0, 0), (-20, 0, 0), (0, -35, 0), (0, 35, 0), (0, 0, 40)])
def test_a_nod_or_a_slight_turn_hides_no_part_of_the_outline(pose):
    people = drawn(4, *pose)
    for points in (68, 98):
        count = {68: JAW_68, 98: JAW_98}[points]
        assert share(people, f"self_occluded{points}")[:count].max() == 0


@pytest.mark.parametrize("yaw", [70.0, -70.0])
def test_a_profile_hides_the_far_side_of_its_jaw_and_shows_the_near_one_and_the_chin(yaw):
    hidden = share(drawn(8, yaw, 0, 0), "self_occluded68")
    if yaw < 0:
        hidden = hidden[SCHEME_68.mirror]
    assert (hidden[10:JAW_68] >= 0.8).all()
    assert (hidden[:9] == 0).all()


def test_both_schemes_say_the_same_of_the_same_jaw_point():
    for person in drawn(3, 45, 5, 10):
        for kind in ("self_occluded", "occluded"):
            for end in ("", "_3d") if kind == "self_occluded" else ("",):
                of_68, of_98 = (getattr(person, f"{kind}{n}{end}") for n in (68, 98))
                np.testing.assert_array_equal(of_68[:JAW_68], of_98[:JAW_98:2])


def test_the_3d_convention_hides_the_jaw_behind_a_cheek_that_shows_its_outline():
    """At 30 degrees the label lies on the cheek's outline; its place on the head is behind it."""
    people = drawn(6, 30, 0, 0)
    assert share(people, "self_occluded68")[12:JAW_68].max() == 0
    assert share(people, "self_occluded68_3d")[12:JAW_68].min() > 0.8
    for person in people:
        np.testing.assert_array_equal(
            person.self_occluded98[JAW_98:], person.self_occluded98_3d[JAW_98:]
        )


def test_a_side_is_turned_away_30_degrees_past_edge_on():
    """A head seen from far away: its left ear's end faces 73 degrees to the left of straight on,
    so it is edge-on at a yaw of 17 and turned away from 47 on."""
    facing = jaw._facing()
    np.testing.assert_allclose(np.linalg.norm(facing, axis=1), 1, atol=1e-5)
    out = np.degrees(np.arctan2(facing[-1, 0], -facing[-1, 2]))
    assert 65 < out < 80
    rng = np.random.default_rng(0)
    for yaw, hidden in ((90 + 30 - out - 3, False), (90 + 30 - out + 3, True)):
        camera = render.random_camera(rng, np.array([yaw, 0, 0]), 100)
        camera = replace(camera, distance=1e6)
        flags = jaw.turned_away(np.zeros((JAW_98, 3), np.float32), camera)
        assert flags[-1] == hidden
        assert not flags[:17].any()


@pytest.mark.parametrize("kind", ["mask", "hand"])
def test_what_lies_over_the_chin_covers_its_points(kind, monkeypatch):
    def worn(rng, head, points, look):
        if kind == "mask":
            return things.Outfit(tuple(things._mask(np.random.default_rng(2), head, points)))
        skin = np.full(3, 0.4, np.float32)
        hand = things._hand_thing(np.random.default_rng(0), *hand_over(points[16]), skin)
        return things.Outfit((hand,))

    def hand_over(chin):
        vertices, triangles = things._hand_mesh(np.random.default_rng(0))
        palm = np.array([0, 80, 0], np.float32)  # its middle, below the finger's end
        return vertices - palm + chin - np.array([0, 0, 25], np.float32), triangles

    monkeypatch.setattr(render, "random_outfit", worn)
    people = drawn(4, 0, 0, 0, without={"hair"})
    assert (share(people, "occluded68")[7:10] >= 0.75).all()
    assert share(people, "self_occluded68")[:JAW_68].max() == 0
    assert share(people, "occluded68")[[0, 16]].max() == 0  # beside the eyes
