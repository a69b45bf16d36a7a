"""The pose study: tiny networks that learn, figures that can be checked by hand, the command."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.cli import main as kit
from asmnet_kit.face.generic_face import GENERIC_FACE_68, positions_of
from asmnet_kit.face.pose import rotation_matrix
from asmnet_kit.face.schemes import SCHEME_68, SCHEME_98, mirrored
from asmnet_kit.people.placement import LEFT_OFFSETS_MM
from asmnet_kit.training.environment import import_tensorflow
from asmnet_kit.training.studies import pose_study
from asmnet_kit.training.studies.pose_networks import Answers, Design, train
from asmnet_kit.training.studies.pose_report import (
    Estimate,
    Report,
    interval,
    marked_face,
    mean_of,
    misfit,
    rotation_errors,
)

SIDE_MM = 220.0  # of a crop


def seen(poses: np.ndarray) -> Answers:
    """A model that sees the generic face exactly, and whose pose output is 4 degrees too high."""
    points = np.stack([(GENERIC_FACE_68 @ rotation_matrix(*p).T)[:, :2] / SIDE_MM for p in poses])
    truth = poses.astype(np.float32)
    unknown = np.full((len(poses), 68), np.nan, np.float32)
    landmarks = points.astype(np.float32)
    return Answers(landmarks, landmarks, truth + np.float32(4), truth, unknown, unknown)


def by_lot(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform((-80, -30, -30), (80, 30, 30), (count, 3))


@pytest.mark.parametrize(
    "design",
    [
        Design("face"),
        Design("crop", frame="crop"),
        Design("labels", labels=True),
        Design("head", head=True),
        Design("sets", hidden=(24, 24), sets=True),
    ],
    ids=lambda design: design.title,
)
def test_a_tiny_network_learns_the_pose_of_landmarks(design: Design) -> None:
    """A guess of zero would be wrong by 40, 15 and 15 degrees on average."""
    import_tensorflow()
    judged = seen(by_lot(200, 2))
    network = train(design, seen(by_lot(1500, 1)), SCHEME_68, seed=0, epochs=25)
    errors = np.abs(network.pose_of(judged) - judged.truth).mean(axis=0)
    assert (errors < (8, 9, 8)).all(), errors
    if not design.sets:
        inputs = 136 + 3 * design.head
        assert network.weights == (inputs + 1) * 32 + 33 * 16 + 17 * 3


def test_inputs_of_the_face_s_frame_do_not_depend_on_the_crop() -> None:
    answers = seen(by_lot(3, 0))
    moved = Answers(**{**vars(answers), "landmarks": 1.3 * answers.landmarks + np.float32(0.1)})
    same = Design("face").inputs(moved)
    assert np.allclose(same, Design("face").inputs(answers), atol=1e-5)
    crop = Design("crop", frame="crop")
    assert not np.allclose(crop.inputs(moved), crop.inputs(answers), atol=0.1)


def test_mirrored_answers_are_those_of_the_mirror_image() -> None:
    answers = seen(np.array([[30.0, 10.0, -5.0]]))
    turned = answers.mirrored(SCHEME_68)
    assert np.allclose(turned.truth, [[-30, 10, 5]])
    assert np.allclose(turned.pose, [[-34, 14, 1]])
    assert np.allclose(turned.landmarks, seen(turned.truth.astype(float)).landmarks, atol=1e-6)
    assert np.array_equal(turned.labels, mirrored(answers.labels, 1.0, SCHEME_68))


def test_the_mean_of_two_poses_goes_the_shorter_way_round() -> None:
    first = Estimate("a", np.array([[[10.0, 0.0, 179.0]]], np.float32))
    second = Estimate("– b", np.array([[[20.0, 4.0, -179.0]]], np.float32), 7)
    mean = mean_of(first, second)
    assert np.allclose(mean.poses, [[[15, 2, -180]]])
    assert (mean.title, mean.weights) == ("mean of a and b", 7)


def test_a_rotation_error_is_about_one_axis() -> None:
    poses = np.array([[0, 0, 30], [90, 20, 0], [90, 0, -20]], float)
    truth = np.array([[0, 0, 10], [90, 0, -20], [90, 0, -20]], float)
    # In a full profile pitch and roll turn about one axis: those two are the same rotation.
    assert np.allclose(rotation_errors(poses, truth), [20, 0, 0], atol=1e-5)


def test_a_face_in_the_right_pose_fits_the_points_that_can_be_seen() -> None:
    face = GENERIC_FACE_68
    labels = 3 * (face @ rotation_matrix(40, 5, 10).T)[:, :2] + 7
    labels[[18, 30, 50]] = np.nan
    labels[3] += 20  # of the jaw, which is left out
    assert misfit(np.array([40, 5, 10]), labels, face, SCHEME_68) < 1e-9
    assert misfit(np.array([20, 5, 10]), labels, face, SCHEME_68) > 1


def test_annotators_mark_the_jaw_s_ends_lower_and_the_brows_higher() -> None:
    for scheme, end, brow in ((SCHEME_68, 0, 19), (SCHEME_98, 0, 35)):
        moved = marked_face(scheme) - positions_of(scheme)
        assert np.allclose(moved[end], (*LEFT_OFFSETS_MM[0], 0), atol=1e-5)
        assert moved[end][1] > 5 and -5 < moved[brow][1] < -2  # y points down
        assert np.allclose(moved[brow], (*LEFT_OFFSETS_MM[19], 0), atol=1e-5)


def test_an_interval_narrows_with_the_number_of_faces() -> None:
    values = np.random.default_rng(0).normal(5, 1, 400)
    low, high = interval(values, lambda drawn: drawn.mean(axis=1))
    assert low < values.mean() < high
    assert 0.15 < high - low < 0.25  # 4 standard errors of 1 / 20


def test_the_tables_say_how_much_less_than_the_image_head_s_an_error_is() -> None:
    answers = seen(np.array([[0.0, 0.0, 0.0], [50.0, 0.0, 0.0]]))
    half = Estimate("half", answers.truth[None] + np.float32(2), 10)
    report = Report(
        SCHEME_68, {"people": answers}, {"people": [Estimate("head", answers.pose[None]), half]}
    )
    found = report.to_json()["people"][1]["by_range"]
    assert list(found) == ["all", "0 to 30°", "30 to 60°", "beyond 45°"]
    assert found["all"]["degrees"] == pytest.approx(2)
    assert found["beyond 45°"]["angles"] == pytest.approx([2, 2, 2])
    assert found["all"]["less_percent"] == pytest.approx(50)
    assert found["all"]["less_interval"] == pytest.approx((50, 50))
    assert "| half | 10 | 2.00 (2.00 to 2.00) |" in report.text()


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {}
    for name, seed in (("learnt", 5), ("held_back", 6)):
        folders[name] = tmp_path_factory.mktemp("people") / name
        words = ["data", "synthesize", "--kind", "people", "--count", "10", "--size", "48"]
        result = CliRunner().invoke(kit, [*words, "--seed", str(seed), "--out", str(folders[name])])
        assert result.exit_code == 0, result.output
    return folders


@pytest.mark.slow
def test_a_study_writes_its_tables_and_keeps_its_predictions(people, tmp_path, monkeypatch) -> None:
    designs = (Design("tiny network"), Design("– sure", sure=True))
    monkeypatch.setattr(pose_study, "DESIGNS", designs)
    monkeypatch.setattr(pose_study, "MEANS", ((pose_study.HEAD, "tiny network"),))
    out = tmp_path / "study"
    words = ["--model", "asmnet_plus_people", "--people", str(people["learnt"])]
    words += ["--held-back", str(people["held_back"]), "--photos", str(people["held_back"])]
    words += ["--photos-format", "synthetic", "--photos-split", "train"]
    words += ["--seeds", "2", "--epochs", "1", "--out", str(out)]
    result = CliRunner().invoke(pose_study.main, words)
    assert result.exit_code == 0, result.output
    study = json.loads((out / "study.json").read_text())
    titles = [row["title"] for row in study["people"]]
    assert titles[0] == "image head"
    assert {"solvePnP", "tiny network", "– sure", "mean of image head and tiny network"} <= {
        *titles
    }
    assert study["people"][0]["by_range"]["all"]["faces"] == 10
    assert study["people"][0]["by_range"]["all"]["degrees"] < 12
    assert study["photos"][0]["by_range"]["all"]["faces"] == 8
    kept = (out / "people.npz").stat().st_mtime_ns
    again = CliRunner().invoke(pose_study.main, words)
    assert again.exit_code == 0, again.output
    assert (out / "people.npz").stat().st_mtime_ns == kept
    assert json.loads((out / "study.json").read_text()) == study


def test_people_to_learn_from_must_not_be_judged(people, tmp_path) -> None:
    folder = str(people["learnt"])
    words = ["--model", "asmnet_plus_people", "--people", folder, "--held-back", folder]
    result = CliRunner().invoke(pose_study.main, [*words, "--out", str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "10 of its faces" in result.output
    assert not (tmp_path / "out").exists()


def test_a_model_without_a_pose_is_refused(people, tmp_path, make_tflite) -> None:
    model = make_tflite(pose=False)
    words = ["--model", str(model), "--people", str(people["learnt"])]
    words += ["--held-back", str(people["held_back"]), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(pose_study.main, words)
    assert result.exit_code == 2
    assert "expected a model with a pose output" in result.output
