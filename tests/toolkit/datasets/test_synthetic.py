"""Reading folders of synthetic faces."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import DatasetError
from asmnet_kit.cli import main
from asmnet_kit.datasets.registry import load_dataset, splits_of
from asmnet_kit.datasets.write_synthetic import write_faces
from asmnet_kit.drawn_faces.render import synthesize
from asmnet_kit.drawn_faces.write import DRAWN
from asmnet_kit.people import render

COUNT, SEED, SIZE = 5, 9, 48


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    write_faces(folder, DRAWN, count=COUNT, seed=SEED, size=SIZE, val_share=0.2, test_share=0.2)
    return folder


@pytest.fixture
def copied(written, tmp_path):
    """A copy that a test may spoil."""
    for file in written.rglob("*"):
        if file.is_file():
            target = tmp_path / "faces" / file.relative_to(written)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    return tmp_path / "faces"


@pytest.mark.parametrize("points", [None, 68, 98])
def test_landmarks_and_poses_come_back_as_they_were_drawn(written, points):
    """Three decimals in .pts and four in pose.csv: half of the last one is the rounding."""
    dataset = load_dataset(written, "synthetic", points=points)
    drawn = {face.index: face for face in synthesize(COUNT, seed=SEED, size=SIZE)}
    assert dataset.scheme.points == (points or 68)
    assert len(dataset.faces) == COUNT
    assert not dataset.problems
    for face in dataset.faces:
        index = int(face.name[-len("000000.jpg") : -len(".jpg")])
        truth = drawn[index].landmarks98 if points == 98 else drawn[index].landmarks68
        np.testing.assert_allclose(face.landmarks, truth, rtol=0, atol=0.0005 + 1e-5)
        np.testing.assert_allclose(face.pose, drawn[index].pose, rtol=0, atol=0.00005 + 1e-5)
        # JPEG halves the resolution of colour, which takes away most of a camera's colour noise
        # (at most 13 levels); another face differs by several times as much.
        difference = face.picture.read().astype(int) - drawn[index].image
        assert np.abs(difference).mean() < 13


def test_folders_are_splits(written):
    assert splits_of(written, "synthetic") == ("train", "val", "test")
    assert len(load_dataset(written, "synthetic", split="train").faces) == 3
    assert len(load_dataset(written / "val", "synthetic").faces) == 1


def test_poses_are_found_from_inside_a_split_too(written):
    face = load_dataset(written / "test", "synthetic").faces[0]
    assert face.pose is not None


def test_an_unfinished_folder_is_refused(copied):
    description = json.loads((copied / "dataset.json").read_text())
    (copied / "dataset.json").write_text(json.dumps({**description, "complete": False}))
    with pytest.raises(DatasetError, match="interrupted"):
        load_dataset(copied, "synthetic")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name,yaw,pitch\nface_000000.jpg,1,2\n", "expected the columns"),
        ("name,yaw,pitch,roll\nface_000000.jpg,1,2,north\n", "line 2: expected three angles"),
        ("name,yaw,pitch,roll\nface_000000.jpg,1,2,nan\n", "line 2: expected finite angles"),
        ("name,yaw,pitch,roll\nface_000000.jpg,1\n", "line 2: expected three angles"),
    ],
)
def test_a_spoiled_pose_file_is_reported_and_its_faces_have_no_pose(copied, text, reason):
    (copied / "train" / "pose.csv").write_text(text)
    dataset = load_dataset(copied, "synthetic", max_bad_share=0.5)
    assert [problem.name for problem in dataset.problems] == ["train/pose.csv"]
    assert reason in dataset.problems[0].reason
    assert {face.split for face in dataset.faces if face.pose is None} == {"train"}


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """Two rendered people, by the command that a user types."""
    folder = tmp_path_factory.mktemp("people")
    command = ["data", "synthesize", "--kind", "people", "--count", "2", "--size", "48"]
    result = CliRunner().invoke(main, [*command, "--seed", "11", "--out", str(folder)])
    assert result.exit_code == 0, result.output
    return folder


@pytest.mark.parametrize("points", [68, 98])
def test_people_come_with_what_can_be_seen_of_them(people, points):
    faces = load_dataset(people, "synthetic", points=points).faces
    for face, person in zip(faces, render.people(2, seed=11, size=48), strict=True):
        hidden = getattr(person, f"self_occluded{points}") | getattr(person, f"occluded{points}")
        np.testing.assert_array_equal(face.visibility, ~hidden)
    shown = np.stack([face.visibility for face in faces])
    assert 0 < shown.mean() < 1


def test_drawn_faces_say_nothing_of_visibility(written):
    assert all(face.visibility is None for face in load_dataset(written, "synthetic").faces)
    assert not list(written.rglob("*.vis.json"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "expected JSON"),
        ("[" * 100_000, "expected JSON: nested too deeply"),
        ("\x89PNG\r\n\x1a\n", "expected"),
        ('{"98": "v"}\n', "expected 68 letters under the key '68'"),
        ('{"68": "' + "x" * 68 + '"}\n', "expected marks v, s and o, got 'x'"),
    ],
)
def test_a_spoiled_visibility_file_is_reported(people, tmp_path, text, reason):
    folder = tmp_path / "people"
    shutil.copytree(people, folder)
    (folder / "train" / "face_000000.vis.json").write_text(text)
    dataset = load_dataset(folder, "synthetic", max_bad_share=0.5)
    assert [problem.name for problem in dataset.problems] == ["train/face_000000.vis.json"]
    assert reason in dataset.problems[0].reason
    assert [face.visibility is None for face in dataset.faces] == [True, False]


def test_people_of_whom_visibility_is_missing_are_drawn_again(people, tmp_path):
    """A folder that an earlier version left unfinished has no such files."""
    folder = tmp_path / "people"
    shutil.copytree(people, folder)
    lost = folder / "train" / "face_000001.vis.json"
    before = lost.read_bytes()
    lost.unlink()
    command = ["data", "synthesize", "--kind", "people", "--count", "2", "--size", "48"]
    result = CliRunner().invoke(main, [*command, "--seed", "11", "--out", str(folder)])
    assert result.exit_code == 0, result.output
    assert lost.read_bytes() == before
