"""Labels beside the faces: with the kit's own model on drawn faces, whose labels are exact."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from asmnet_kit.base.errors import DatasetError, ModelError
from asmnet_kit.cli import main
from asmnet_kit.datasets.base import Dataset
from asmnet_kit.datasets.pts import write_pts
from asmnet_kit.datasets.registry import load_dataset
from asmnet_kit.datasets.write_synthetic import write_faces
from asmnet_kit.drawn_faces.write import DRAWN
from asmnet_kit.face.predictor import Predictor
from asmnet_kit.measure.label_offsets import ALL, Offset, label_offsets
from asmnet_kit.predict.open_predictor import open_predictor
from asmnet_kit.shipping.shipped import model_named
from wording import TRUNCATED_JPEG


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("offsets") / "drawn"
    write_faces(out, DRAWN, count=60, seed=0, size=128, workers=1)
    return out


@pytest.fixture(scope="module")
def drawn(folder: Path) -> Dataset:
    return load_dataset(folder, "synthetic", points=68)


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return open_predictor(model_named("asmnet_plus").path)


def moved(dataset: Dataset, x: float, y: float) -> Dataset:
    faces = [replace(f, landmarks=f.landmarks + np.float32((x, y))) for f in dataset.faces]
    return replace(dataset, faces=tuple(faces))


def test_the_median_face_and_its_error_by_hand() -> None:
    """x: 1, 2, 3 % with a median deviation of 1; 1.2533 * 1.4826 / sqrt(3) = 1.0728. y: 0, 1, 5."""
    offset = Offset.of(np.array([[0.5, 0], [1, 0.5], [1.5, 2.5]]), np.full(3, 50.0))
    assert offset.faces == 3
    np.testing.assert_allclose(offset.percent, [2, 1])
    np.testing.assert_allclose(offset.pixels, [1, 0.5])
    np.testing.assert_allclose(offset.error_percent, [1.0728, 1.0728], rtol=1e-4)


@pytest.mark.parametrize(
    ("faces", "x", "error", "beyond", "unsure"),
    [
        (30, 0.5, 0.1, True, False),
        (30, -0.5, 0.1, True, False),
        (30, 0.5, 0.2, False, True),  # 2.5 standard errors
        (30, 0.29, 0.01, False, False),
        (29, 0.5, 0.1, False, True),
        (29, 0.0, 0.1, False, True),
    ],
)
def test_only_what_is_large_and_sure_is_beyond(
    faces: int, x: float, error: float, beyond: bool, unsure: bool
) -> None:
    offset = Offset(faces, np.array([x, 9.0]), np.array([error, 0.1]), np.zeros(2))
    assert (offset.is_beyond(0.3), offset.is_unsure(0.3)) == (beyond, unsure)


def test_exact_labels_lie_to_no_side(drawn: Dataset, predictor: Predictor) -> None:
    offset = label_offsets(drawn, predictor).by_subset[ALL]
    assert offset.faces == 60
    # Chance exceeds four standard errors once in 16,000 times.
    assert abs(offset.percent[0]) < 4 * offset.error_percent[0] < 1


@pytest.mark.parametrize(("x", "y"), [(1.0, 0.0), (-2.0, 0.0), (0.0, 1.5)])
def test_moved_labels_are_found_by_as_much(
    drawn: Dataset, predictor: Predictor, x: float, y: float
) -> None:
    """The boxes move with the labels, yet the answer is not drawn after them: 0.76 of a pixel was
    found with one box, 0.99 with five. Half a tenth of a pixel is the rounding of other crops."""
    before = label_offsets(drawn, predictor).by_subset[ALL].pixels
    after = label_offsets(moved(drawn, x, y), predictor).by_subset[ALL].pixels
    np.testing.assert_allclose(after - before, [x, y], rtol=0.05, atol=0.08)


def test_hidden_points_are_left_out_and_faces_without_both_eyes(
    drawn: Dataset, predictor: Predictor
) -> None:
    first, second = (f.landmarks.copy() for f in drawn.faces[:2])
    first[:5] = np.nan  # of the jaw
    second[36] = np.nan
    faces = (
        replace(drawn.faces[0], landmarks=first),
        replace(drawn.faces[1], landmarks=second),
    )
    offset = label_offsets(replace(drawn, faces=faces), predictor).by_subset[ALL]
    assert offset.faces == 1 and np.isfinite(offset.pixels).all()
    with pytest.raises(DatasetError, match="none of 1 face could be compared"):
        label_offsets(replace(drawn, faces=faces[1:]), predictor)


def test_another_number_of_landmarks_is_refused(folder: Path, predictor: Predictor) -> None:
    with pytest.raises(ModelError, match=r"predicts 68 landmarks, drawn has 98"):
        label_offsets(load_dataset(folder, "synthetic", points=98), predictor)


# The command -------------------------------------------------------------------------------------


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["data", "offsets", *map(str, arguments)])


def test_labels_counted_from_1_end_in_1_and_are_named(drawn: Dataset, tmp_path: Path) -> None:
    """Two sets in one folder, one of them written by somebody who counts pixels from 1."""
    for index, face in enumerate(drawn.faces):
        wrong = index % 2
        path = tmp_path / ("counted_from_1" if wrong else "right") / f"{index}.jpg"
        path.parent.mkdir(exist_ok=True)
        shutil.copy(face.picture.name, path)
        write_pts(path.with_suffix(".pts"), face.landmarks + np.float32(wrong))
    result = run("--data", tmp_path, "--format", "300w", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["schema_version"] == 1
    assert report["offsets"]["counted_from_1"]["faces"] == 30
    assert "counted_from_1" in report["beyond"] and "right" not in report["beyond"]
    assert "counted_from_1: +" in result.stderr and "move the labels back" in result.stderr
    accepted = run("--data", tmp_path, "--format", "300w", "--max-offset", 5)
    assert accepted.exit_code == 0, accepted.output
    assert "x (right)" in accepted.stdout and "Next: asmnet-kit train" in accepted.stderr


@pytest.mark.parametrize(("count", "words"), [(12, "12 faces"), (1, "1 face")])
def test_what_too_few_faces_say_is_no_all_clear(
    count: int, words: str, drawn: Dataset, tmp_path: Path
) -> None:
    for index, face in enumerate(drawn.faces[:count]):
        shutil.copy(face.picture.name, tmp_path / f"{index}.jpg")
        write_pts(tmp_path / f"{index}.pts", face.landmarks)
    result = run("--data", tmp_path, "--format", "300w", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert told["unsure"] == [ALL]
    error = told["offsets"][ALL]["x"]["standard_error_percent"]
    assert (error is None) == (count == 1)  # one face has none
    assert "Too few faces to judge: all faces (" in result.stderr and words in result.stderr
    assert ("±" in result.stderr) == (count > 1) and "within" not in result.stderr


def test_a_picture_that_cannot_be_read_is_left_out_and_named(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "drawn"
    shutil.copytree(folder, broken)
    picture = min(broken.rglob("*.jpg"))
    picture.write_bytes(picture.read_bytes()[:100])
    result = run("--data", broken, "--format", "synthetic", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["offsets"][ALL]["faces"] == 59
    assert [problem["name"] for problem in report["problems"]] == ["test/" + picture.name]
    assert TRUNCATED_JPEG in result.stderr
