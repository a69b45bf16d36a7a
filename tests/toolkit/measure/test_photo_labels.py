"""``asmnet-kit data label``: photographs in, labelled faces out, where all views agree."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from asmnet_kit.base.errors import DatasetError, UsageError
from asmnet_kit.base.files import alone_in
from asmnet_kit.cli import main
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.drawn_faces.render import synthesize
from asmnet_kit.face.crop import landmark_box
from asmnet_kit.face.metrics import per_face_nme
from asmnet_kit.face.predictor import Prediction
from asmnet_kit.face.schemes import scheme_of
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.measure.photo_labels import label_folder, label_photograph
from wording import BUSY

SIDE = 200


class Seer:
    """Sees the generic face in the middle, off by ``wander`` of the side in every other call."""

    scheme, input_size, crop_scale, name = scheme_of(68), 32, 1.2, "seer"

    def __init__(self, wander: float = 0.0) -> None:
        self.wander, self.calls = wander, 0

    def predict(self, crops: np.ndarray) -> Prediction:
        self.calls += 1
        face = generic_reference(68) / 1.2 + [0, self.wander * (-1) ** self.calls]
        return Prediction(np.tile(face.astype(np.float32), (len(crops), 1, 1)), None)


def middle_box(image: np.ndarray) -> list[np.ndarray]:
    height, width = image.shape[:2]
    return [np.float32([0.3 * width, 0.3 * height, 0.7 * width, 0.7 * height])]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "trip").mkdir(parents=True)
    picture = np.full((SIDE, SIDE, 3), 90, np.uint8)
    cv2.imwrite(str(folder / "a.jpg"), picture)
    cv2.imwrite(str(folder / "trip" / "b.png"), picture)
    (folder / "trip" / "cut.jpg").write_bytes((folder / "a.jpg").read_bytes()[:200])
    (folder / ".hidden.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_views_that_agree_are_kept_and_lie_where_the_model_saw_them(photos, tmp_path):
    image, faces = label_photograph(
        photos / "a.jpg", [Seer()], middle_box, max_disagreement_percent=5
    )
    assert image.shape == (SIDE, SIDE, 3)
    (face,) = faces
    assert face.reason == ""
    middle = landmark_box(face.landmarks).reshape(2, 2).mean(axis=0)
    np.testing.assert_allclose(middle, [99.5, 99.5], atol=1.5)
    # Three crops of sides 0.95, 1, 1.08 about their mean: the views differ by a few percent of
    # the distance from the centre, far below a model that wanders by a tenth of the crop.
    assert face.disagreement_percent < 5


def test_views_that_disagree_are_left_out_and_the_table_says_why(photos, tmp_path):
    faces, problems = label_folder(
        photos, tmp_path / "out", [Seer(wander=0.1)], middle_box, max_disagreement_percent=5
    )
    assert [problem.name for problem in problems] == ["trip/cut.jpg"]
    assert len(faces) == 2
    rows = list(csv.DictReader((tmp_path / "out" / "faces.csv").open()))
    assert [row["picture"] for row in rows] == ["a.jpg", "trip/b.png"]
    assert all("disagree" in row["left_out_because"] for row in rows)
    assert not list((tmp_path / "out").rglob("*.jpg"))


def test_pictures_without_a_face_are_told(photos, tmp_path):
    faces, problems = label_folder(
        photos, tmp_path / "out", [Seer()], lambda image: [], max_disagreement_percent=5
    )
    assert faces == []
    found = {problem.name: problem.reason for problem in problems}
    assert found["a.jpg"] == found["trip/b.png"] == "no face found"
    assert "no face" not in found["trip/cut.jpg"]


def test_small_faces_and_faces_that_leave_the_picture_are_left_out(photos):
    seer = [Seer()]
    for box, reason in (([90, 90, 110, 110], "pixels"), ([150, 60, 240, 150], "leaves")):
        _, (face,) = label_photograph(
            photos / "a.jpg",
            seer,
            lambda image, box=box: [np.float32(box)],
            max_disagreement_percent=50,
        )
        assert reason in face.reason


def test_what_is_written_is_read_as_300w_with_the_landmarks_in_place(photos, tmp_path):
    """Shrunk to 64 pixels: a point p of the window goes to (p + 0.5) s - 0.5."""
    out = tmp_path / "out"
    label_folder(photos, out, [Seer()], middle_box, max_disagreement_percent=10, size=64)
    dataset = load_dataset(out, "300w")
    assert sorted(face.name for face in dataset.faces) == ["a.jpg_0.jpg", "trip/b.png_0.jpg"]
    face = dataset.faces[0]
    assert max(face.picture.read().shape) == 64
    box = landmark_box(face.landmarks)
    assert max(box[2] - box[0], box[3] - box[1]) == pytest.approx(32, abs=1.5)
    np.testing.assert_allclose(box.reshape(2, 2).mean(axis=0), [31.5, 31.5], atol=1)


def test_a_folder_that_holds_something_or_the_photographs_themselves_is_refused(photos, tmp_path):
    for out in (photos, photos / "trip" / "labels"):
        with pytest.raises(UsageError, match="--out"):
            label_folder(photos, out, [Seer()], middle_box, max_disagreement_percent=2)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="expected pictures"):
        label_folder(
            tmp_path / "empty", tmp_path / "o", [Seer()], middle_box, max_disagreement_percent=2
        )


def test_a_model_whose_landmarks_no_reader_of_the_labels_takes_is_refused(photos, tmp_path):
    """Or minutes of labelling end in .pts files of 98 points, which 300-W's reader refuses."""
    seer = Seer()
    seer.scheme = scheme_of(98)
    with pytest.raises(UsageError, match="seer: expected a model of 68 landmarks"):
        label_folder(photos, tmp_path / "out", [seer], middle_box, max_disagreement_percent=2)
    assert not (tmp_path / "out").exists()


def label(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", "label", *map(str, arguments)])


def test_the_command_labels_drawn_faces_near_their_own_labels(tmp_path):
    """The kit's default model learnt drawn faces; photographs stand around each."""
    folder, truth = tmp_path / "photos", {}
    folder.mkdir()
    for index, face in enumerate(synthesize(30, seed=3, size=160)):
        if np.abs(face.pose).max() < 25 and len(truth) < 6:
            picture = np.full((240, 240, 3), 120, np.uint8)
            picture[40:200, 40:200] = face.image
            cv2.imwrite(str(folder / f"{index}.png"), picture[..., ::-1])
            truth[f"{index}.png"] = face.landmarks68 + 40
    out = tmp_path / "labelled"
    result = label("--photos", folder, "--out", out, "--max-disagreement", 6, "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["schema_version"] == 1
    assert 1 <= told["faces_kept"] <= told["faces_found"]
    dataset = load_dataset(out, "300w")
    assert len(dataset.faces) == told["faces_kept"]
    # Each kept face, moved back into its photograph, lies on the drawn face's own labels.
    for face in dataset.faces:
        true = truth[face.name.removesuffix("_0.jpg")]
        moved = face.landmarks - face.landmarks.mean(axis=0) + true.mean(axis=0)
        scale = np.ptp(true[:, 0]) / np.ptp(moved[:, 0])
        moved = (moved - moved.mean(axis=0)) * scale + moved.mean(axis=0)
        assert per_face_nme(moved[None], true[None], dataset.scheme)[0] < 12


def test_nothing_kept_is_a_failure_that_says_where_to_look(photos, tmp_path):
    """And that another try into the same folder follows; a table of one's own stays."""
    for _ in range(2):
        result = label("--photos", photos, "--out", tmp_path / "o")
        assert result.exit_code == 1
        assert "faces.csv" in result.stderr
    (tmp_path / "o" / "faces.csv").write_text("file,x0,y0\n")
    assert label("--photos", photos, "--out", tmp_path / "o").exit_code == 2
    assert (tmp_path / "o" / "faces.csv").read_text() == "file,x0,y0\n"


def test_two_calls_do_not_label_into_the_same_folder(photos, tmp_path):
    out = tmp_path / "o"
    out.mkdir()
    with alone_in(out):
        result = label("--photos", photos, "--out", out)
    assert result.exit_code == 2 and BUSY in result.stderr and not list(out.iterdir())


def test_a_file_in_the_place_of_the_folder_is_refused(photos, tmp_path):
    result = label("--photos", photos / "a.jpg", "--out", tmp_path / "o")
    assert result.exit_code == 2
    assert not (tmp_path / "o").exists()
