"""Evaluation: what is measured, what is left out, and that it is counted."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from asmnet_kit.base.errors import DatasetError, ModelError, UsageError
from asmnet_kit.datasets.base import PictureFile
from asmnet_kit.face.boxes import overlap
from asmnet_kit.face.generic_face import GENERIC_FACE_68
from asmnet_kit.face.pose import rotation_matrix
from asmnet_kit.face.predictor import Prediction
from asmnet_kit.face.schemes import SCHEME_68
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.measure.ced_plot import curve, plot_ced
from asmnet_kit.measure.evaluate import evaluate
from asmnet_kit.predict.open_predictor import open_predictor
from wording import TRUNCATED_JPEG

EYE_DISTANCE = float(
    np.linalg.norm(generic_reference(68)[36] - generic_reference(68)[45])
)  # in fractions of the crop


class Shifted:
    """Predicts the generic face shifted by (dx, dy) fractions of the crop, and one pose."""

    name, scheme, input_size, crop_scale = "shifted", SCHEME_68, 32, 1.2

    def __init__(self, dx=0.0, dy=0.0, pose=(10.0, 0.0, -5.0)):
        self.shift, self.pose, self.batches = (dx, dy), pose, []

    def predict(self, crops):
        self.batches.append(len(crops))
        shape = generic_reference(68) + np.array(self.shift, np.float32)
        pose = None
        if self.pose is not None:
            pose = np.tile(np.float32(self.pose), (len(crops), 1))
        return Prediction(np.tile(shape, (len(crops), 1, 1)), pose)


def changed(dataset, index, **changes):
    faces = list(dataset.faces)
    faces[index] = replace(faces[index], **changes)
    return replace(dataset, faces=tuple(faces))


def test_a_perfect_prediction_has_no_error_and_a_shifted_one_the_shift(make_dataset):
    """A shift of s crop sides is 100 s / (eye distance in crop sides) percent, at any face size."""
    dataset = make_dataset(5)
    assert evaluate(Shifted(), dataset).scores.nme_percent == pytest.approx(0, abs=1e-4)
    result = evaluate(Shifted(dx=0.03, dy=-0.04), dataset)
    expected = 100 * 0.05 / EYE_DISTANCE
    assert result.nme == pytest.approx([expected] * 5, rel=1e-4)
    assert 8 < expected < 10
    assert result.scores.failure_rate_percent == {8: 100.0, 10: 0.0}
    assert result.scores.auc[8] == 0.0
    assert result.scores.auc[10] == pytest.approx(1 - expected / 10, rel=1e-3)


@pytest.mark.parametrize("int8", [False, True])
def test_a_real_tflite_is_measured(make_tflite, make_dataset, int8):
    result = evaluate(open_predictor(make_tflite(int8=int8)), make_dataset(5))
    # int8: both coordinates within one step of 1/256 of the crop.
    limit = 100 * np.sqrt(2) / 256 / EYE_DISTANCE if int8 else 1e-3
    assert result.scores.nme_percent < limit


def test_missing_points_do_not_count_and_a_missing_eye_corner_skips_the_face(make_dataset):
    dataset = make_dataset(3)
    some, corner = (dataset.faces[i].landmarks.copy() for i in (0, 1))
    some[[5, 60]] = np.nan  # neither spans the face's box
    corner[45] = np.nan
    dataset = changed(changed(dataset, 0, landmarks=some), 1, landmarks=corner)
    result = evaluate(Shifted(dx=0.05), dataset)
    assert (result.scores.faces, result.scores.faces_skipped) == (2, 1)
    assert result.nme[0] == pytest.approx(100 * 0.05 / EYE_DISTANCE, rel=1e-4)
    assert np.isnan(result.nme[1])
    only = evaluate(Shifted(dx=0.05), dataset, complete_only=True)
    assert (only.scores.faces, only.scores.faces_skipped, only.faces_incomplete) == (1, 0, 2)


def test_a_picture_that_does_not_decode_is_reported_and_the_rest_measured(make_dataset):
    dataset = make_dataset(20)
    _, jpeg = cv2.imencode(".jpg", dataset.faces[1].picture.read())
    dataset.faces[1].picture.path.write_bytes(jpeg.tobytes()[: len(jpeg) // 2])
    result = evaluate(Shifted(), dataset)
    assert result.scores.faces == 19
    assert [problem.name for problem in result.problems] == ["face_1.png"]
    assert TRUNCATED_JPEG in result.problems[0].reason
    assert result.to_json()["faces_unreadable"] == 1


def test_a_data_set_on_which_nothing_can_be_measured_is_an_error_with_counts(make_dataset):
    dataset = make_dataset(20)
    corner = dataset.faces[0].landmarks.copy()
    corner[36] = np.nan
    for index in range(1, 20):
        dataset = changed(dataset, index, landmarks=corner)
    dataset.faces[0].picture.path.write_bytes(b"")
    words = r"none of 20 faces .* 1 unreadable.* 19 without both"
    with pytest.raises(DatasetError, match=words):
        evaluate(Shifted(), dataset)


def test_subsets_are_measured_apart(make_dataset):
    dataset = make_dataset(3)
    corner = dataset.faces[2].landmarks.copy()
    corner[36] = np.nan
    dataset = changed(dataset, 0, subsets=("common", "full"))
    dataset = changed(dataset, 1, subsets=("full",))
    dataset = changed(dataset, 2, subsets=("blur",), landmarks=corner)
    result = evaluate(Shifted(dx=0.05), dataset)
    content = result.to_json()["per_subset"]
    assert {name: scores["faces"] for name, scores in content.items()} == {
        "blur": 0,
        "common": 1,
        "full": 2,
    }
    assert content["blur"]["nme_percent"] is None
    assert content["blur"]["auc"] == {"8": None, "10": None}


def test_pose_is_measured_against_the_labels_of_the_data(make_dataset):
    dataset = make_dataset(3)
    dataset = changed(dataset, 0, pose=np.float32([20, 5, -5]))
    dataset = changed(dataset, 1, pose=np.float32([10, -5, 175]))
    result = evaluate(Shifted(pose=(10.0, 0.0, -175.0)), dataset)
    assert result.pose_source == "labels"
    assert result.scores.pose_faces == 2
    # roll: -175 to -5 is 170; -175 to 175 is 10 the short way round.
    assert result.scores.pose_mae_deg == pytest.approx({"yaw": 5, "pitch": 5, "roll": 90})


def test_without_pose_labels_the_landmarks_give_the_pose(make_dataset):
    dataset = make_dataset(1)
    turned = (GENERIC_FACE_68 @ rotation_matrix(20, -10, 5).T)[:, :2] / 5 + (60, 50)
    dataset = changed(dataset, 0, landmarks=turned.astype(np.float32))
    result = evaluate(Shifted(pose=(22.0, -10.0, 5.0)), dataset)
    assert result.pose_source == "landmarks"
    assert result.scores.pose_mae_deg == pytest.approx({"yaw": 2, "pitch": 0, "roll": 0}, abs=0.2)


def test_a_model_without_pose_has_no_pose_error(make_dataset):
    result = evaluate(Shifted(pose=None), make_dataset(2))
    assert (result.pose_source, result.scores.pose_mae_deg) == (None, None)


def test_the_model_gets_batches_and_progress_ends_at_all_faces(make_dataset):
    model, seen = Shifted(), []
    evaluate(
        model, make_dataset(5), batch=2, on_progress=lambda done, total: seen.append((done, total))
    )
    assert model.batches == [2, 2, 1]
    assert seen == [(2, 5), (4, 5), (5, 5)]


def test_a_model_of_another_scheme_is_refused(make_tflite, make_dataset):
    with pytest.raises(ModelError, match="predicts 98 landmarks, grey has 68"):
        evaluate(open_predictor(make_tflite(points=98)), make_dataset(1))


def test_a_model_that_predicts_nan_is_refused(make_dataset):
    with pytest.raises(ModelError, match=r"predicted NaN or infinity for face_0\.png"):
        evaluate(Shifted(dx=np.nan), make_dataset(1))


def test_unknown_options_are_refused(make_dataset):
    with pytest.raises(UsageError, match="landmarks or detector"):
        evaluate(Shifted(), make_dataset(1), boxes="magic")
    with pytest.raises(UsageError, match="batch"):
        evaluate(Shifted(), make_dataset(1), batch=0)


def test_detector_boxes_come_with_the_face_or_from_the_detector(make_dataset):
    """A box twice as wide makes the crop twice as large, and the prediction with it."""
    dataset = make_dataset(3)
    x0, y0, x1, y1 = dataset.faces[0].box
    grown = np.float32([x0 - (x1 - x0) / 2, y0 - (y1 - y0) / 2, x1 + (x1 - x0) / 2, 0])
    grown[3] = y1 + (y1 - y0) / 2
    dataset = changed(dataset, 0, detector_box=grown)
    elsewhere = np.float32([0, 0, 10, 10])
    found = {1: [elsewhere, dataset.faces[1].box + 1], 2: [elsewhere]}
    calls = iter([1, 2])
    result = evaluate(
        Shifted(), dataset, boxes="detector", find_boxes=lambda picture: found[next(calls)]
    )
    assert (result.scores.faces, result.scores.faces_missed) == (2, 1)
    centred = generic_reference(68) / EYE_DISTANCE
    assert result.nme[0] == pytest.approx(100 * np.linalg.norm(centred, axis=1).mean(), rel=1e-3)
    # One pixel right and down, of the second face's eye distance.
    pixels = EYE_DISTANCE * 45
    assert result.nme[1] == pytest.approx(100 * np.sqrt(2) / pixels, rel=1e-3)


def test_overlap_is_intersection_over_union():
    first, second = np.float32([0, 0, 2, 2]), np.float32([1, 0, 3, 2])
    assert overlap(first, second) == pytest.approx(2 / 6)
    assert overlap(first, first) == 1.0
    assert overlap(first, first + 5) == 0.0
    assert overlap(np.zeros(4, np.float32), np.zeros(4, np.float32)) == 0.0


def test_json_has_the_keys_of_the_contract(make_dataset):
    content = evaluate(Shifted(), make_dataset(1)).to_json()
    contract = {
        "model",
        "dataset",
        "faces",
        "faces_skipped",
        "nme_percent",
        "failure_rate_percent",
        "auc",
        "pose_mae_deg",
        "per_subset",
    }
    assert contract <= content.keys()
    assert content["failure_rate_percent"].keys() == content["auc"].keys() == {"8", "10"}
    assert content["pose_mae_deg"].keys() == {"yaw", "pitch", "roll"}


def test_the_curves_and_intervals_of_the_json_are_those_of_the_faces(make_dataset):
    result = evaluate(Shifted(dx=0.03), make_dataset(32))
    content = result.to_json()
    error = float(result.nme.mean())
    within = dict(zip(content["ced"]["nme_percent"], content["ced"]["faces_percent"], strict=True))
    assert len(within) == 41
    assert {share for at, share in within.items() if at < error - 1e-3} == {0.0}
    assert {share for at, share in within.items() if at > error + 1e-3} == {100.0}
    assert content["sparsification"] is None  # the model says not how sure it is
    assert content["nme_interval_percent"] == pytest.approx([error, error], abs=1e-3)
    assert content["auc_interval"]["10"] == pytest.approx([content["auc"]["10"]] * 2, abs=1e-4)
    assert set(content["pose_mae_interval_deg"]) == {"yaw", "pitch", "roll"}
    assert evaluate(Shifted(), make_dataset(3)).to_json()["nme_interval_percent"] is None


def test_memory_does_not_grow_with_the_number_of_pictures(make_dataset):
    """No more than two batches of crops are alive: 20 faces, batches of 2, at most 4 pictures."""
    dataset, alive, most = make_dataset(20), 0, 0

    class Counted:
        def __init__(self, picture):
            self.picture = picture

        def read(self):
            nonlocal alive, most
            alive += 1
            most = max(most, alive)
            return self.picture.read()

        def read_encoded(self):
            return self.picture.read_encoded()

        def size_bytes(self):
            return self.picture.size_bytes()

    class Model(Shifted):
        def predict(self, crops):
            nonlocal alive
            alive -= len(crops)
            return super().predict(crops)

    faces = tuple(replace(face, picture=Counted(face.picture)) for face in dataset.faces)
    evaluate(Model(), replace(dataset, faces=faces), batch=2)
    assert most <= 4


def test_ced_is_drawn_and_an_unknown_picture_format_refused(make_dataset, tmp_path):
    pytest.importorskip("matplotlib")
    dataset = changed(make_dataset(3), 0, subsets=("common",))
    result = evaluate(Shifted(dx=0.02), dataset)
    plot_ced(result, tmp_path / "ced.png")
    drawn = PictureFile(tmp_path / "ced.png").read()
    assert drawn.shape[:2] == (720, 960)
    assert drawn.std() > 5
    with pytest.raises(UsageError, match=r"ced\.doc.*png"):
        plot_ced(result, tmp_path / "ced.doc")


def test_the_ced_ends_below_1_by_the_share_of_missed_faces():
    """Faces with 2 and 4 %, two missed, one without an NME: 1/4 from 2 on, 1/2 from 4 on."""
    x, y = curve(np.array([4.0, np.inf, 2.0, np.nan, np.inf]), limit_percent=10)
    assert x.tolist() == [0, 2, 4, 10]
    assert y.tolist() == [0, 0.25, 0.5, 0.5]
    x, y = curve(np.array([12.0]), limit_percent=10)
    assert (x.tolist(), y.tolist()) == ([0, 12, 12], [0, 1, 1])


def test_the_detector_of_the_kit_is_used_unless_another_is_given(make_dataset, monkeypatch):
    dataset = make_dataset(2)
    boxes = iter([[dataset.faces[0].box], []])
    detector = SimpleNamespace(
        detect_faces=lambda picture: [SimpleNamespace(box=box) for box in next(boxes)]
    )
    monkeypatch.setitem(sys.modules, "asmnet_kit.predict.detector", detector)
    result = evaluate(Shifted(), dataset, boxes="detector")
    assert (result.scores.faces, result.scores.faces_missed) == (1, 1)
