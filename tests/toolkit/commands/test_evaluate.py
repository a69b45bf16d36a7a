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
from asmnet_kit.datasets.pts import write_pts
from asmnet_kit.face.logistic_fit import LogisticFit
from asmnet_kit.face.schemes import SCHEME_68
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.face.shape_model.file import save_shape_model
from asmnet_kit.face.shape_model.fit import ShapeAccumulator
from asmnet_kit.face.uncertainty import Calibration
from asmnet_kit.tflite.metadata import read_metadata


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


def test_faces_of_other_splits_are_measured_on_with_a_word(make_tflite, data):
    """They may be those that the model was trained on."""
    model, common = make_tflite(), ("--data", data, "--format", "merlrav", "--json")
    (data / "test").rename(data / "val")
    result = run(model, *common)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["split"] is None
    told = "faces: no split 'test': measured on all 5 faces (its splits: train, val)"
    assert told in result.stderr
    assert "no split" not in run(model, *common, "--split", "val").stderr
    (data / "train").rename(data / "indoor")
    (data / "val").rename(data / "outdoor")
    assert "no split" not in run(model, *common).stderr


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
    assert content["looks"] == 3
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
    assert "got 0 of 3 above: add harder ones" in result.stderr


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


@pytest.mark.parametrize("option", ["--ced", "--sparsification"])
def test_a_plot_never_takes_the_place_of_a_picture_that_is_read(option, make_tflite, data):
    """Also of one of another split, and by a link."""
    pytest.importorskip("matplotlib")
    before = {path: path.read_bytes() for path in data.rglob("*.jpg")}
    (data.parent / "link").symlink_to(data)
    call = (make_tflite(), "--data", data, "--format", "merlrav")
    for split, place in (("test", data), ("train", data.parent / "link")):
        picture = place / split / "ytf" / ("c.jpg" if split == "test" else "a.jpg")
        result = run(*call, "--split", split, option, picture)
        assert result.exit_code == 2 and f"{option} would overwrite" in result.stderr
    assert before == {path: path.read_bytes() for path in data.rglob("*.jpg")}
    both = run(*call, "--ced", data.parent / "p.png", "--sparsification", data.parent / "p.png")
    assert both.exit_code == 2 and "both name" in both.stderr


def test_a_model_of_another_number_of_landmarks_is_an_error(make_tflite, data):
    result = run(make_tflite(points=98), "--data", data, "--format", "merlrav")
    assert result.exit_code == 1
    assert "predicts 98 landmarks, faces has 68" in result.stderr


def test_wrong_calls_exit_with_2_and_unusable_files_with_1(make_tflite, data, tmp_path):
    model = make_tflite()
    (tmp_path / "empty").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.keras").touch()
    truncated = tmp_path / "truncated.tflite"
    truncated.write_bytes(model.read_bytes()[:500])
    for arguments, code, message in (
        ((model, "--data", data, "--format", "magic"), 2, "magic"),
        ((model, "--data", data, "--format", "merlrav", "--split", "dev"), 2, "dev"),
        ((model, "--data", data, "--format", "merlrav", "--boxes", "magic"), 2, "magic"),
        ((tmp_path / "run", "--data", data, "--format", "merlrav", "--threads", 2), 2, "--threads"),
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


# --- how sure a model is --------------------------------------------------------------------------


def write_sure_faces(folder: Path, split: str, *, faces: int = 40) -> Path:
    """Grey and reddish pictures and labels as far from the generic face as a sure model says.

    Its sigmas are e^0.5 hundredths of the crop on grey and e^1.5 on reddish pictures, every fourth
    point e times as large; labels lie normally around it. The jaw is hidden. Boxes come with the
    data, so that crops do not depend on labels.
    """
    random = np.random.default_rng(3)
    header = ["file", *(f"{axis}{i}" for i in range(68) for axis in "xy"), "split", "subset"]
    header += [f"box_{edge}" for edge in ("x0", "y0", "x1", "y1")] + [f"v{i}" for i in range(68)]
    rows = [",".join(header)]
    side = 1.2 * 50
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(faces):
        reddish = index % 4 == 0
        picture = np.full((100, 120, 3), 128, np.uint8)
        picture[..., 2] = 192 if reddish else 128  # BGR: r = 2 (192 - 128) / 128 = 1
        cv2.imwrite(str(folder / f"{split}_{index}.png"), picture)
        u = 0.5 + reddish + (np.arange(68) % 4 == 0)
        noise = 0.01 * np.exp(u)[:, None] * random.standard_normal((68, 2))
        points = (60, 50) + side * (generic_reference(68) + noise)
        cells = [f"{split}_{index}.png", *(f"{value:.4f}" for value in points.ravel())]
        cells += [split, "red" if reddish else "grey", "35", "25", "85", "75"]
        rows.append(",".join([*cells, *(str(int(i >= 17)) for i in range(68))]))
    (folder / f"{split}.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_a_model_is_measured_by_how_right_it_is_about_how_sure_it_is(make_tflite, tmp_path):
    pytest.importorskip("matplotlib")
    data = write_sure_faces(tmp_path / "faces", "test")
    drawn = tmp_path / "sparsification.png"
    arguments = ("--data", data, "--format", "csv", "--boxes", "detector", "--json")
    result = run(make_tflite(sure=True), *arguments, "--sparsification", drawn)
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    sure = content["uncertainty"]
    assert sure["points"] == 40 * 68
    curves, few = content["sparsification"], sure["sparsification_percent"]
    at = curves["dropped_percent"].index(30)
    for kind in ("points", "faces"):
        assert curves[kind]["by sigma"][at] == pytest.approx(few[kind]["30"], abs=5e-4)
        assert curves[kind]["by the true error"][at] <= curves[kind]["by sigma"][at]
    # 2,720 points: a share of 0.9 is found to within 3 standard deviations, 1.7 %.
    assert sure["coverage_percent"]["50"] == pytest.approx(50, abs=3)
    assert sure["coverage_percent"]["90"] == pytest.approx(90, abs=1.7)
    assert set(sure["coverage_by_part_percent"]) == set(SCHEME_68.parts)
    dropped = sure["sparsification_percent"]["points"]
    assert dropped["0"] > dropped["10"] > dropped["20"] > dropped["30"] > 0
    # Of 40 faces 10 are reddish and fail: without them the NME falls, and every one is told.
    faces = sure["sparsification_percent"]["faces"]
    assert faces["30"] < 0.75 * faces["0"]
    assert sure["auroc"] == 1.0
    assert sure["mean_confidence"] is None  # not calibrated
    by_part = dict.fromkeys(SCHEME_68.parts)  # None: all of the jaw is hidden, of others nothing
    assert content["visibility"] == {
        "points": 2720, "hidden": 17 * 40, "auroc": 1.0, "auroc_by_part": by_part,
    }  # fmt: skip
    assert content["per_subset"]["red"]["uncertainty"]["points"] == 680
    assert content["per_subset"]["red"]["uncertainty"]["auroc"] is None  # all of them fail
    assert "uncertainty: the 50 and 90 % circles hold" in result.stderr
    assert "visibility: 680 of 2720 points are hidden; AUROC 1.000" in result.stderr
    assert f"Sparsification: {drawn}." in result.stderr
    assert cv2.imread(str(drawn)) is not None


def test_a_model_that_says_nothing_of_it_has_no_such_figures(make_tflite, data, tmp_path):
    content = json.loads(run(make_tflite(), "--data", data, "--format", "merlrav", "--json").stdout)
    assert content["uncertainty"] is None and content["visibility"] is None
    drawn = tmp_path / "sparsification.png"
    common = ("--data", data, "--format", "merlrav")
    result = run(make_tflite(), *common, "--sparsification", drawn)
    assert result.exit_code == 2 and "train one with --uncertainty" in result.stderr
    assert not drawn.exists()


@pytest.mark.parametrize("in_place", [False, True])
def test_a_calibrated_file_has_right_sigmas_and_a_confidence(make_tflite, tmp_path, in_place):
    """The file says half of its sigmas: the factor found on val doubles them again."""
    model = make_tflite(
        "half.tflite", sure=True, calibration=Calibration(0.5, 1, None, "none", "none")
    )
    data = write_sure_faces(tmp_path / "faces", "val")
    write_sure_faces(data, "test", faces=80)
    arguments = ("--data", data, "--format", "csv", "--boxes", "detector")
    before = json.loads(run(model, *arguments, "--json").stdout)
    assert before["uncertainty"]["coverage_percent"]["90"] < 50
    calibrated = model if in_place else tmp_path / "calibrated.tflite"
    result = run(model, *arguments, "--split", "val", "--calibrate", calibrated)
    assert result.exit_code == 0, result.output
    assert "sigma calibrated on 2720 points, factor 1.0" in result.stderr
    assert "confidence from 40 faces, 10 of them above 8 %" in result.stderr
    assert "calibrated on only 40 faces" in result.stderr and "take 100 or more" in result.stderr
    assert f"Next: asmnet-kit benchmark {calibrated} --target" in result.stderr
    stored = read_metadata(calibrated).calibration
    assert stored is not None and stored.factor == pytest.approx(1, abs=0.05)
    after = json.loads(run(calibrated, *arguments, "--json").stdout)
    assert after["uncertainty"]["coverage_percent"]["90"] == pytest.approx(90, abs=2)
    assert after["uncertainty"]["mean_confidence"] == pytest.approx(0.75, abs=0.1)
    assert after["uncertainty"]["brier"] < 0.05 < after["uncertainty"]["brier_constant"]


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        (lambda i: i % 4, "got 0 of 9 above: add harder ones"),
        (lambda i: i % 4 == 0, "got 3 of 3 above: add easier ones"),
    ],
)
def test_a_confidence_is_not_lost_for_faces_that_cannot_give_one(make_tflite, tmp_path, kept, told):
    """Faces all within 8 %, or all above: sigma is calibrated, into another file."""
    had = LogisticFit(-4, 2, 8, 625, 24)
    model = make_tflite("sure.tflite", sure=True, calibration=Calibration(1, 1, had, "a", "b"))
    before = model.read_bytes()
    data = write_sure_faces(tmp_path / "faces", "val", faces=12)
    rows = (data / "val.csv").read_text().splitlines(keepends=True)
    chosen = [row for index, row in enumerate(rows[1:]) if kept(index)]
    (data / "val.csv").write_text("".join([rows[0], *chosen]))
    arguments = ("--data", data, "--format", "csv", "--split", "val", "--boxes", "detector")
    in_place = run(model, *arguments, "--calibrate", model)
    assert in_place.exit_code == 1 and model.read_bytes() == before
    assert told in in_place.stderr
    assert "it has a confidence, of 625 faces: to keep that, write to another file" in " ".join(
        in_place.stderr.split()
    )
    assert "NME %" in in_place.stdout  # the figures are not lost
    out = tmp_path / "out.tflite"
    elsewhere = run(model, *arguments, "--calibrate", out)
    assert elsewhere.exit_code == 0 and told in elsewhere.stderr
    stored = read_metadata(out).calibration
    assert stored is not None and stored.confidence is None and stored.points == 68 * len(chosen)
    bare = make_tflite("bare.tflite", sure=True)
    assert run(bare, *arguments, "--calibrate", model).exit_code == 1  # another model's file
    assert model.read_bytes() == before


def test_sigmas_are_calibrated_on_landmarks_that_follow_from_the_models(make_tflite, tmp_path):
    model = make_tflite(
        "half.tflite", sure=True, calibration=Calibration(0.5, 1, None, "none", "none")
    )
    data = write_sure_faces(tmp_path / "faces", "val")
    arguments = ("--data", data, "--format", "csv", "--split", "val", "--scheme", "5")
    out = tmp_path / "calibrated.tflite"
    result = run(model, *arguments, "--calibrate", out)
    assert result.exit_code == 0, result.output
    stored = read_metadata(out).calibration
    assert stored is not None and stored.points == 5 * 40
    after = json.loads(run(out, *arguments, "--json").stdout)
    assert after["uncertainty"]["coverage_percent"]["90"] == pytest.approx(90, abs=2)
    # Errors of 5 points are divided by the distance of the eyes' middles: another NME.
    assert stored.confidence is None and "no confidence, which needs errors" in result.stderr
    refused = run(model, *arguments, "--calibrate", tmp_path / "shapes.npz")
    assert refused.exit_code == 2 and "fits a shape of the model's own landmarks" in refused.stderr


def test_a_confidence_is_of_the_models_own_landmarks_however_it_is_measured(make_tflite, tmp_path):
    """Fitted on the eyes' landmarks alone it is what it is used with: expected of all 68."""
    data = write_sure_faces(tmp_path / "faces", "val")
    model = make_tflite("sure.tflite", sure=True)
    eyes = tmp_path / "eyes.toml"
    eyes.write_text(f'name = "eyes"\n[from]\nscheme = "68"\npoints = {[*range(36, 48)]}\n')
    common = ("--data", data, "--format", "csv", "--split", "val", "--boxes", "detector")
    for out, scheme in (("all.tflite", ()), ("eyes.tflite", ("--scheme", eyes))):
        result = run(model, *common, *scheme, "--calibrate", tmp_path / out)
        assert result.exit_code == 0, result.output
        assert "boxes around the labels" not in result.stderr
        told = json.loads(run(tmp_path / out, *common, "--json").stdout)["uncertainty"]
        assert told["mean_confidence"] == pytest.approx(0.75, abs=0.1)
    other = json.loads(run(tmp_path / "all.tflite", *common, "--scheme", "5", "--json").stdout)
    assert other["uncertainty"]["mean_confidence"] is None
    result = run(model, *common[:6], "--calibrate", tmp_path / "labels.tflite")
    assert "--boxes detector calibrates for these" in result.stderr


def test_a_calibration_that_would_be_worth_nothing_is_refused(make_tflite, tmp_path):
    data = write_sure_faces(tmp_path / "faces", "val", faces=4)
    common = ("--data", data, "--format", "csv")
    out = tmp_path / "out.tflite"
    for model, options, reason in (
        (make_tflite("plain.tflite"), ("--split", "val"), "does not say how sure it is"),
        (make_tflite("sure.tflite", sure=True), ("--split", "test"), "which faces with --split"),
    ):
        result = run(model, *common, *options, "--calibrate", out)
        assert result.exit_code == 2, result.output
        assert reason in result.stderr or "no split 'test'" in result.stderr
        assert not out.exists()


def test_profiles_whose_eyes_nearly_meet_are_told_with_another_normaliser(make_tflite, tmp_path):
    """Two faces from the front and one as thin as a profile, whose eyes are 3 pixels apart."""
    folder = tmp_path / "faces"
    for name in "abc":
        write_face(folder / f"{name}.jpg")
    thin = generic_reference(68) * (5, 50) + (60, 50)
    write_pts(folder / "c.pts", thin.astype(np.float32))
    call = (make_tflite(), "--data", folder, "--format", "300w")
    result = run(*call, "--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert (content["faces"], content["faces_foreshortened"]) == (3, 1)
    said = " ".join(result.stderr.split())
    assert "profiles: 1 face of 3 with a distance from left_eye_outer to right_eye_outer" in said
    assert "% of these, 0.00 % of the others" in said and 'normaliser = "box"' in said
    (tmp_path / "box.toml").write_text('name = "b"\nnormaliser = "box"\n[from]\nscheme = "68"\n')
    result = run(*call, "--json", "--scheme", tmp_path / "box.toml")
    boxed = json.loads(result.stdout)
    assert (boxed["faces"], boxed["faces_foreshortened"]) == (3, 0)
    assert boxed["nme_percent"] < content["nme_percent"] / 2
    assert "profiles:" not in result.stderr


def test_visibility_is_judged_in_the_points_that_are_compared(make_tflite, tmp_path):
    """A model of 68 on faces of 98: the parts of the 98 are no parts of what is compared."""
    (tmp_path / "data").mkdir()
    columns = [f"{axis}{i}" for i in range(98) for axis in "xy"] + [f"v{i}" for i in range(98)]
    points = generic_reference(98) * 50 + (60, 50)
    marks = [int(i > 8) for i in range(98)]
    cells = [*points.ravel().tolist(), *marks]
    cv2.imwrite(str(tmp_path / "data/a.png"), np.full((100, 120, 3), 128, np.uint8))
    rows = (["file", *columns], ["a.png", *map(str, cells)])
    (tmp_path / "data/a.csv").write_text("\n".join(map(",".join, rows)) + "\n")
    call = (make_tflite(sure=True), "--data", tmp_path / "data", "--format", "csv", "--json")
    result = run(*call, "--scheme", 68)
    assert result.exit_code == 0, result.output
    visibility = json.loads(result.stdout)["visibility"]
    assert (visibility["points"], visibility["hidden"]) == (68, 5)
    assert set(visibility["auroc_by_part"]) == set(SCHEME_68.parts)
