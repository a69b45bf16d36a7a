"""``asmnet-kit predict`` on the command line: JSON, pictures, EXIF rotation, bad input."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.cli import main
from asmnet_kit.datasets.write_synthetic import write_faces
from asmnet_kit.drawn_faces.write import DRAWN
from asmnet_kit.face.logistic_fit import LogisticFit
from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.face.shape_model.file import save_shape_model
from asmnet_kit.face.shape_model.fit import ShapeAccumulator
from asmnet_kit.face.uncertainty import Calibration
from asmnet_kit.shipping.shipped import default_model
from wording import TRUNCATED_JPEG

EXIF_ROTATE_90_CLOCKWISE = 6  # how a phone held upright stores its landscape sensor's picture


def run(*arguments: object):
    return CliRunner().invoke(main, ["predict", *map(str, arguments)])


@pytest.fixture
def photo(tmp_path, frontal_face) -> Path:
    """A drawn face on a larger, wide canvas."""
    canvas = np.full((160, 320, 3), 90, np.uint8)
    canvas[20:148, 30:158] = frontal_face[0]
    path = tmp_path / "photo.png"
    cv2.imwrite(str(path), canvas[..., ::-1])
    return path


def with_orientation(jpeg: bytes, orientation: int) -> bytes:
    """The same JPEG with an EXIF block whose single entry is tag 0x0112, a SHORT."""
    entry = b"\x01\x12" + b"\x00\x03" + b"\x00\x00\x00\x01" + bytes([0, orientation, 0, 0])
    tiff = b"MM\x00\x2a\x00\x00\x00\x08" + b"\x00\x01" + entry + b"\x00\x00\x00\x00"
    content = b"Exif\x00\x00" + tiff
    segment = b"\xff\xe1" + (len(content) + 2).to_bytes(2, "big") + content
    return jpeg[:2] + segment + jpeg[2:]


def test_json_holds_every_face_and_nothing_else_is_on_stdout(photo, make_tflite):
    result = run(photo, "--model", make_tflite(), "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["schema_version"] == 2
    assert found["image"] == {"path": str(photo), "width": 320, "height": 160}
    assert found["model"] == "constant.tflite"
    assert found["scheme"] == "68"
    assert "error" not in found
    (face,) = found["faces"]
    assert {"box", "landmarks", "pose", "plausibility"} <= set(face)
    assert np.shape(face["landmarks"]) == (68, 2)
    assert set(face["pose"]) == {"yaw", "pitch", "roll"}
    for key in ("plausibility", "sigma", "visible", "confidence", "confidence_from"):
        assert face[key] is None
    assert 30 < np.mean(face["landmarks"], axis=0)[0] < 158
    assert "--out landmarks.png" in result.stderr and "--json" not in result.stderr


def test_json_says_how_sure_each_landmark_is_and_what_the_confidence_comes_from(
    photo, make_tflite, tmp_path
):
    known = Calibration(1.5, 680, LogisticFit(-6.0, 2.0, 8.0, 100, 10), "faces", "ab")
    model = make_tflite("sure.tflite", sure=True, calibration=known)
    drawn = tmp_path / "drawn.png"
    result = run(photo, "--model", model, "--json", "--out", drawn)
    assert result.exit_code == 0, result.output
    (face,) = json.loads(result.stdout)["faces"]
    assert len(face["sigma"]) == len(face["visible"]) == 68
    assert min(face["sigma"]) > 0 and 0 < min(face["visible"]) < 0.5 < max(face["visible"]) < 1
    assert 0 < face["confidence"] < 1
    assert face["confidence_from"] == "uncertainty"
    assert face["plausibility"] is None
    assert drawn.is_file()
    assert "uncertainty" in run(photo, "--model", model).stdout  # the table says it, too


def test_the_confidence_of_a_model_without_uncertainty_is_its_calibrated_plausibility(photo):
    result = run(photo, "--model", "asmnet_nano_synthetic", "--json")
    (face,) = json.loads(result.stdout)["faces"]
    assert face["confidence"] == face["plausibility"]
    assert face["confidence_from"] == "plausibility"
    assert face["sigma"] is None


def test_without_a_model_the_kit_s_own_is_used_and_named_with_its_licence(photo):
    result = run(photo, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    model = default_model()
    assert found["model"] == model.path.name
    assert model.name in result.stderr and model.licence in result.stderr
    (face,) = found["faces"]
    assert 0 <= face["plausibility"] <= 1
    assert run(photo, "--model", model.name, "--json").stdout == result.stdout


def test_boxes_replace_the_detector_and_repeat(photo, make_tflite):
    result = run(
        photo, "--model", make_tflite(), "--box", "10,10,50,50", "--box", "1.5,2,33,44", "--json"
    )
    faces = json.loads(result.stdout)["faces"]
    assert [face["box"] for face in faces] == [[10, 10, 50, 50], [1.5, 2, 33, 44]]


def test_the_table_names_the_angles_and_what_to_do_next(photo, make_tflite):
    result = run(photo, "--model", make_tflite())
    assert result.exit_code == 0
    assert "yaw" in result.stdout and "--out landmarks.png" in result.stderr


def test_out_is_a_picture_with_the_face_drawn(photo, make_tflite, tmp_path):
    out = tmp_path / "drawn" / "face.png"
    result = run(photo, "--model", make_tflite(), "--out", out)
    assert result.exit_code == 0
    drawn, original = cv2.imread(str(out)), cv2.imread(str(photo))
    factor = drawn.shape[1] // original.shape[1]
    assert drawn.shape == (160 * factor, 320 * factor, 3)
    enlarged = cv2.resize(original, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    changed = (drawn != enlarged).any(axis=-1)
    assert changed[:, : 170 * factor].any() and not changed[:, 200 * factor :].any()


def test_coordinates_are_those_of_the_upright_photograph(tmp_path, make_tflite):
    """Stored as 60 x 40 pixels and marked as turned: people see 40 x 60, and so does --box."""
    pixels = np.full((40, 60, 3), 128, np.uint8)
    jpeg = cv2.imencode(".jpg", pixels)[1].tobytes()
    photo = tmp_path / "phone.jpg"
    photo.write_bytes(with_orientation(jpeg, EXIF_ROTATE_90_CLOCKWISE))
    result = run(photo, "--model", make_tflite(), "--box", "0,45,20,59", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["image"]["width"], found["image"]["height"]) == (40, 60)


def test_a_photograph_with_data_behind_its_end_is_whole(tmp_path, make_tflite):
    """As phones write: a film or a depth map follows the JPEG."""
    jpeg = cv2.imencode(".jpg", np.full((40, 60, 3), 128, np.uint8))[1].tobytes()
    photo = tmp_path / "motion.jpg"
    photo.write_bytes(jpeg + bytes(5000))
    assert run(photo, "--model", make_tflite(), "--box", "0,0,20,20").exit_code == 0


def test_a_shape_model_gives_the_plausibility(photo, make_tflite, tmp_path):
    accumulator = ShapeAccumulator(68)
    accumulator.update(np.stack([generic_reference(68) * [w, 1] for w in (0.9, 1.0, 1.1)]))
    save_shape_model(accumulator.fit(0.99), tmp_path / "shape_model.npz")
    result = run(
        photo, "--model", make_tflite(), "--shape-model", tmp_path / "shape_model.npz", "--json"
    )
    (face,) = json.loads(result.stdout)["faces"]
    assert 0.9 < face["plausibility"] <= 1


def film_of(picture: Path) -> Path:
    """Two frames of a picture."""
    pixels, path = cv2.imread(str(picture)), picture.with_suffix(".avi")
    size = pixels.shape[1::-1]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, size)
    for _ in range(2):
        writer.write(pixels)
    writer.release()
    return path


def other_arrays(path: Path) -> None:
    np.savez(path, points=np.zeros((3, 68, 2), np.float32))


def text(path: Path) -> None:
    path.write_text("no arrays at all")


def other_landmarks(path: Path) -> None:
    accumulator = ShapeAccumulator(98)
    accumulator.update(np.stack([generic_reference(98) * [w, 1] for w in (0.9, 1.0, 1.1)]))
    save_shape_model(accumulator.fit(0.99), path)


@pytest.mark.parametrize("write", [other_arrays, text, other_landmarks])
@pytest.mark.parametrize("command", ["predict", "predict video", "evaluate"])
def test_a_file_beside_the_model_that_cannot_judge_costs_the_plausibility_alone(
    command, write, photo, make_tflite, tmp_path
):
    """Any .npz may bear the model's name; one that the user names must be a shape model."""
    model = make_tflite()
    beside = model.with_suffix(".npz")
    write(beside)
    if command == "evaluate":
        write_faces(tmp_path / "faces", DRAWN, count=3, seed=0, size=64)
        words = ["evaluate", model, "--data", tmp_path / "faces", "--format", "synthetic"]
    else:
        words = ["predict", photo if command == "predict" else film_of(photo), "--model", model]

    def call(*more: object):
        return CliRunner().invoke(main, [str(word) for word in (*words, *more)])

    result = call("--json")
    assert result.exit_code == 0, result.output
    assert result.stderr.count(f"warning: {beside}: ") == 1
    assert "without plausibility" in result.stderr
    (first, *_) = result.stdout.splitlines()
    found = json.loads(first if command == "predict video" else result.stdout)
    assert found["plausibility" if command == "evaluate" else "plausibility_means"] is None
    assert call("--json", "--shape-model", beside).exit_code in (1, 2)


def test_no_face_is_no_error_and_says_what_to_try(tmp_path, make_tflite):
    path = tmp_path / "grey.png"
    cv2.imwrite(str(path), np.full((64, 64, 3), 128, np.uint8))
    result = run(path, "--model", make_tflite(), "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["faces"] == []
    assert "--box" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "MODEL", "--box", "1,2,3"), "four numbers"),
        (("--model", "MODEL", "--box", "9,9,3,30"), "x0 < x1"),
        (("--model", "MODEL", "--box", "nan,0,3,4"), "x0 < x1"),
        (("--model", "MODEL", "--box", "900,900,950,950"), "320 x 160 pixels"),
        (("--model", "MODEL", "--box", "1,2,30,40", "--min-score", "0.3"), "--min-score"),
        (("--model", "MODEL", "--out", "face.gif"), "face.gif"),
        (("--model", "MODEL", "--out", "IMAGE"), "overwrite"),
    ],
)
def test_wrong_calls_exit_with_2(photo, make_tflite, arguments, message):
    names = {"MODEL": str(make_tflite()), "IMAGE": str(photo)}
    result = run(photo, *(names.get(argument, argument) for argument in arguments))
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_what_is_no_picture_or_no_model_exits_with_1(photo, make_tflite, tmp_path):
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    truncated = tmp_path / "cut.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    truncated.write_bytes(cv2.imencode(".jpg", noise)[1].tobytes()[:-500])
    for image, message in (
        (text, "text.jpg"),
        (truncated, TRUNCATED_JPEG),
    ):
        result = run(image, "--model", make_tflite())
        assert result.exit_code == 1 and message in result.output
