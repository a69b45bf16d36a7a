"""``asmnet-kit evaluate`` as a user calls it: on files, without TensorFlow."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.cli import main
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.face.shape_model.file import save_shape_model
from asmnet_kit.face.shape_model.fit import ShapeAccumulator


def write_face(path, *, missing=(), width=50.0):
    """A grey picture and the generic face upon it as a 1-based .pts file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((100, 120, 3), 128, np.uint8))
    points = generic_reference(68) * width + (60, 50) + 1
    points[list(missing)] = -1
    rows = "\n".join(f"{x:.4f} {y:.4f}" for x, y in points)
    path.with_suffix(".pts").write_text(f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """merlrav folder: two faces to train on, three to test on, one of them without a corner."""
    folder = tmp_path / "faces"
    for name in ("train/ytf/a", "train/ytf/b", "test/ytf/c", "test/aflw/d"):
        write_face(folder / f"{name}.jpg")
    write_face(folder / "test/aflw/e.jpg", missing=(45,))
    return folder


def run(*arguments):
    result = CliRunner().invoke(main, ["evaluate", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_json_is_the_only_thing_on_stdout_and_the_test_split_is_the_default(make_tflite, data):
    result = run(make_tflite(), "--data", data, "--format", "merlrav", "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert (content["split"], content["subset"]) == ("test", None)
    assert (content["faces"], content["faces_skipped"]) == (2, 1)
    assert content["nme_percent"] == pytest.approx(0, abs=0.01)
    assert content["failure_rate_percent"] == {"8": 0.0, "10": 0.0}
    assert content["auc"]["8"] == pytest.approx(1, abs=0.01)
    assert content["pose_source"] == "landmarks"
    assert set(content["per_subset"]) == {"ytf", "aflw"}
    assert content["per_subset"]["aflw"]["faces_skipped"] == 1
    assert "Next: asmnet-kit benchmark" in result.stderr


def test_a_split_and_a_subset_can_be_chosen(make_tflite, data):
    model = make_tflite()
    common = ("--data", data, "--format", "merlrav", "--json")
    train = json.loads(run(model, *common, "--split", "train").stdout)
    assert (train["split"], train["faces"]) == ("train", 2)
    ytf = json.loads(run(model, *common, "--subset", "ytf").stdout)
    assert (ytf["split"], ytf["faces"]) == ("test", 1)
    complete = json.loads(run(model, *common, "--complete-only").stdout)
    assert (complete["faces_skipped"], complete["faces_incomplete"]) == (0, 1)


def write_boxed_faces(folder: Path) -> Path:
    """Five grey pictures, which the kit's detector finds no face in, and a keypoint CSV.

    Three faces bring a box of a detector, around which the constant model is exact: two "easy" and
    a "hard" one. Of the two other "hard" ones, missed, the last has no outer eye corner.
    """
    folder.mkdir()
    points = generic_reference(68) * 50.0 + (60, 50)
    box = [*points.min(axis=0), *points.max(axis=0)]
    names = [f"{axis}{i}" for i in range(68) for axis in "xy"]
    lines = [",".join(["file", *names, "box_x0", "box_y0", "box_x1", "box_y1", "subset", "split"])]
    subsets = {"a": "easy", "b": "easy", "c": "hard", "d": "hard", "e": "hard"}
    for name, subset in subsets.items():
        cv2.imwrite(str(folder / f"{name}.png"), np.full((100, 120, 3), 128, np.uint8))
        cells = [f"{value:.6f}" for value in points.ravel()]
        if name == "e":
            cells[2 * 45 : 2 * 45 + 2] = ["", ""]
        boxes = [""] * 4 if name in "de" else [f"{value:.6f}" for value in box]
        lines.append(",".join([f"{name}.png", *cells, *boxes, subset, "test"]))
    (folder / "faces.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_a_face_that_the_detector_misses_is_a_failure(make_tflite, tmp_path):
    """Three of four faces with both eye corners are found, without an error; a fifth has none."""
    data = write_boxed_faces(tmp_path / "boxed")
    arguments = (make_tflite(), "--data", data, "--format", "csv", "--boxes", "detector")
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    counts = ("faces", "faces_skipped", "faces_missed", "failure_rate_faces")
    assert [content[key] for key in counts] == [3, 0, 2, 4]
    assert content["failure_rate_counts_misses"] is True
    assert content["failure_rate_percent"] == {"8": 25.0, "10": 25.0}
    assert content["auc"]["8"] == pytest.approx(0.75, abs=1e-3)
    assert content["nme_percent"] == pytest.approx(0, abs=0.01)
    easy, hard = (content["per_subset"][name] for name in ("easy", "hard"))
    assert [easy[key] for key in counts] == [2, 0, 0, 2]
    assert [hard[key] for key in counts] == [1, 0, 2, 2]
    assert (easy["failure_rate_percent"]["8"], hard["failure_rate_percent"]["8"]) == (0.0, 50.0)
    assert hard["auc"]["10"] == pytest.approx(0.5, abs=1e-3)
    assert "missed 2 faces: all but 1 without both outer eye corners" in result.stderr
    table = run(*arguments)
    rows = [[cell.strip() for cell in line.split("│")] for line in table.stdout.splitlines()]
    (row,) = [cells for cells in rows if "hard" in cells]
    assert row[2:8] == ["1", "0", "2", "0.00", "50.00", "50.00"]
    csv = data / "faces.csv"
    csv.write_text("".join(csv.read_text().splitlines(keepends=True)[:-1]))  # one miss is left
    assert "missed 1 face: it counts as a failure and in the AUC" in run(*arguments).stderr


def test_a_missed_face_leaves_ced_plausibility_and_calibration_to_the_faces_found(
    make_tflite, tmp_path
):
    """The judge sees three faces, none of which fails: it cannot be calibrated, and says so."""
    pytest.importorskip("matplotlib")
    data = write_boxed_faces(tmp_path / "boxed")
    accumulator = ShapeAccumulator(68)
    accumulator.update(generic_reference(68) * [[[0.9, 1]], [[1, 1]], [[1.1, 1]]])
    save_shape_model(accumulator.fit(0.99), tmp_path / "shape.npz")
    arguments = [make_tflite(), "--data", data, "--format", "csv", "--boxes", "detector"]
    arguments += ["--shape-model", tmp_path / "shape.npz"]
    result = run(*arguments, "--json", "--ced", tmp_path / "ced.png")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert (content["plausibility"]["faces"], content["plausibility"]["failures"]) == (3, 0)
    assert content["per_subset"]["hard"]["plausibility"]["faces"] == 1
    assert cv2.imread(str(tmp_path / "ced.png")) is not None
    (data / "faces.csv").write_text((data / "faces.csv").read_text().replace(",test", ",val"))
    calibrated = tmp_path / "calibrated.npz"
    result = run(*arguments, "--split", "val", "--calibrate", calibrated)
    assert result.exit_code == 1 and not calibrated.exists()
    assert "of 3 faces 0 are above" in result.stderr


def test_the_table_shows_each_subset_and_what_to_do_next(make_tflite, data):
    result = run(make_tflite(), "--data", data, "--format", "merlrav")
    assert result.exit_code == 0
    for text in ("NME %", "AUC@8", "AUC@10", "yaw", "all", "ytf", "aflw"):
        assert text in result.stdout
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("NME 0.00 % over 2 faces.") and "Next: asmnet-kit benchmark" in last
    assert "Next:" not in result.stdout
    assert "the pose is compared with one fitted to the landmarks" in result.stderr


def test_ced_is_written_where_asked(make_tflite, data, tmp_path):
    pytest.importorskip("matplotlib")
    drawn = tmp_path / "out" / "ced.png"
    result = run(make_tflite(), "--data", data, "--format", "merlrav", "--ced", drawn)
    assert result.exit_code == 0
    assert cv2.imread(str(drawn)) is not None


def test_a_model_of_another_number_of_landmarks_is_an_error(make_tflite, data):
    result = run(make_tflite(points=98), "--data", data, "--format", "merlrav")
    assert result.exit_code == 1
    assert "predicts 98 landmarks, faces has 68" in result.stderr


def test_wrong_calls_exit_with_2_and_unusable_files_with_1(make_tflite, data, tmp_path):
    model = make_tflite()
    (tmp_path / "empty").mkdir()
    truncated = tmp_path / "truncated.tflite"
    truncated.write_bytes(model.read_bytes()[:500])
    for arguments, code, message in (
        ((model, "--data", data, "--format", "magic"), 2, "magic"),
        ((model, "--data", data, "--format", "merlrav", "--split", "dev"), 2, "dev"),
        ((model, "--data", data, "--format", "merlrav", "--boxes", "magic"), 2, "magic"),
        ((tmp_path, "--data", data, "--format", "merlrav", "--threads", 2), 2, "--threads"),
        ((model, "--data", tmp_path / "empty", "--format", "merlrav"), 1, "empty"),
        ((truncated, "--data", data, "--format", "merlrav"), 1, "truncated.tflite"),
        ((tmp_path / "none.tflite", "--data", data, "--format", "merlrav"), 2, "none.tflite"),
    ):
        result = run(*arguments)
        assert result.exit_code == code, result.output
        assert message in result.stderr


def test_a_tflite_needs_no_tensorflow_and_errors_show_no_traceback(make_tflite, data):
    """In a process of its own in which importing TensorFlow fails."""
    program = (
        "import sys; sys.modules['tensorflow'] = None; "
        "from asmnet_kit.cli import main; main(sys.argv[1:])"
    )
    arguments = ["--data", str(data), "--format", "merlrav", "--json"]
    command = [sys.executable, "-c", program, "evaluate"]
    done = subprocess.run(
        [*command, str(make_tflite()), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["faces"] == 2
    keras = data / "model.keras"
    keras.write_bytes(b"")
    failed = subprocess.run(
        [*command, str(keras), *arguments], capture_output=True, text=True, check=False
    )
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
