"""A teacher's file: what models see, averaged over crops and mirror images."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from asmnet_kit.base.errors import ModelError, UsageError
from asmnet_kit.cli import main
from asmnet_kit.datasets.pts import write_pts
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.face.predictor import Prediction
from asmnet_kit.face.schemes import mirrored, scheme_of
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.measure.teacher_views import teach
from asmnet_kit.training.data.teacher_labels import Teacher


class Shifted:
    """Sees the generic face, ``dx`` of the crop's side to the right, in whatever it is shown."""

    scheme, input_size, crop_scale = scheme_of(68), 32, 1.2

    def __init__(self, dx: float, name: str = "shifted") -> None:
        self.dx, self.name = dx, name

    def predict(self, crops: np.ndarray) -> Prediction:
        shape = generic_reference(68) + np.float32([self.dx, 0])
        return Prediction(np.tile(shape, (len(crops), 1, 1)), None)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Two faces of 300-W, one with a space in its name."""
    folder = tmp_path / "faces"
    for number, name in enumerate(("helen/trainset/1.jpg", "afw/2 b.jpg")):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((100, 120, 3), 128, np.uint8))
        points = generic_reference(68) * (40 + 5 * number) + (60, 50)
        write_pts(path.with_suffix(".pts"), points.astype(np.float32))
    return folder


def test_views_are_averaged_by_hand(faces: Path) -> None:
    """Crops of 0.95, 1 and 1.08 x 1.2 box sides: on average 1.01 x 1.2. A model that leans to the
    right leans to the left in the mirror, so nothing of its lean is left."""
    dataset = load_dataset(faces / "helen", "300w")
    taught = teach(dataset, [Shifted(0.0)])
    leaning = teach(dataset, [Shifted(0.03), Shifted(-0.2)])
    x0, y0, x1, y1 = dataset.faces[0].box
    generic = generic_reference(68)
    both = (generic + mirrored(generic, 1.0, scheme_of(68))) / 2
    expected = both * 1.01 * 1.2 * max(x1 - x0, y1 - y0) + [(x0 + x1) / 2, (y0 + y1) / 2]
    np.testing.assert_allclose(taught.points[0], expected, atol=1e-3)
    np.testing.assert_allclose(leaning.points[0], expected, atol=1e-3)


def test_models_are_averaged(faces: Path) -> None:
    class Lower(Shifted):
        def predict(self, crops: np.ndarray) -> Prediction:
            shape = generic_reference(68) + np.float32([0, self.dx])
            return Prediction(np.tile(shape, (len(crops), 1, 1)), None)

    dataset = load_dataset(faces / "helen", "300w")
    alone, other, both = (
        teach(dataset, models).points
        for models in ([Lower(0.0)], [Lower(0.1)], [Lower(0.0), Lower(0.1)])
    )
    np.testing.assert_allclose(both, (alone + other) / 2, atol=1e-4)
    assert np.abs(alone - other).max() > 3


def test_prepared_pictures_and_other_landmarks_are_refused(faces: Path, tmp_path: Path) -> None:
    arguments = ["data", "prepare", "--data", faces / "helen", "--format", "300w"]
    assert run(*arguments, "--out", tmp_path / "shards").exit_code == 0
    with pytest.raises(UsageError, match="original data set"):
        teach(load_dataset(tmp_path / "shards", "records"), [Shifted(0.0)])
    wrong = Shifted(0.0)
    wrong.scheme = scheme_of(98)
    with pytest.raises(ModelError, match="predicts 98 landmarks"):
        teach(load_dataset(faces / "helen", "300w"), [wrong])


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def test_the_command_writes_what_train_reads(faces: Path, make_tflite, tmp_path: Path) -> None:
    out = tmp_path / "teacher.npz"
    source = ("--data", faces, "--format", "300w", "--model", make_tflite())
    result = run("data", "teacher", *source, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["schema_version"], report["faces"]) == (1, 2)
    assert set(report["per_subset"]) == {"afw", "helen"} and 0 < report["nme_percent"] < 5
    assert report["problems"] == [] and "--teacher" in result.stderr
    with np.load(out, allow_pickle=False) as archive:
        assert archive["names"].tolist() == ["afw/2 b.jpg", "helen/trainset/1.jpg"]
        assert archive["points"].shape == (2, 68, 2) and archive["points"].dtype == np.float32
    known = Teacher.load(out)
    seen = [known.of(face) is not None for face in load_dataset(faces, "300w").faces]
    assert seen == [True, True]


def test_another_ending_is_refused_before_anything_is_done(
    faces: Path, make_tflite, tmp_path: Path
) -> None:
    source = ("--data", faces, "--format", "300w", "--model", make_tflite())
    result = run("data", "teacher", *source, "--out", tmp_path / "teacher.csv")
    assert result.exit_code == 2 and "ending in .npz, got teacher.csv" in result.stderr
