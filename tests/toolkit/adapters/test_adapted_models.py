"""Landmark models of other projects, by the commands that a user types."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.adapters.adapter import read_adapter
from asmnet_kit.adapters.predictor import AdaptedPredictor, View
from asmnet_kit.base.errors import ModelError
from asmnet_kit.cli import main
from asmnet_kit.face.shape_model.align import generic_reference

CACHED_MESH = Path(__file__).resolve().parents[3] / "build" / "peers" / "face_landmark.tflite"

# 70 points of x, y, z in pixels of a crop of 32, of which the last 68 are landmarks.
OWN = """
scheme = "68"
[input]
size = 32
colour = "BGR"
mean = 127.5
scale = 127.5
[crop]
scale = 1.2
[output]
points = 70
values = 3
unit = "pixel"
origin = "corner"
[landmarks]
indices = {indices}
"""


@pytest.fixture
def own(tmp_path: Path, make_points_model: Callable[..., Path]) -> tuple[Path, Path]:
    """A model that sees the generic face in any crop, and its adapter."""
    points = np.zeros((70, 3))
    points[2:, :2] = 32 * (generic_reference(68) + 0.5)
    points[:, 2] = 99
    adapter = tmp_path / "own.toml"
    adapter.write_text(OWN.format(indices=list(range(2, 70))))
    return make_points_model(points, 32), adapter


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Three grey pictures with the generic face in .pts files, which count from 1."""
    folder = tmp_path / "faces" / "helen" / "testset"
    folder.mkdir(parents=True)
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((100, 120, 3), 128, np.uint8))
        points = generic_reference(68) * (40 + 5 * index) + (60, 50) + 1
        lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
        text = f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n"
        (folder / f"{index}.pts").write_text(text)
    return tmp_path / "faces"


def run(*words: Any, code: int = 0) -> str:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result.stdout if code == 0 else result.output


def test_predict_gives_the_landmarks_where_the_box_is(own: tuple[Path, Path], faces: Path) -> None:
    model, adapter = own
    picture = next(faces.rglob("*.png"))
    box = "40,30,80,70"  # a crop of 48 pixels about (60, 50)
    words = ("predict", picture, "--model", model, "--adapter", adapter, "--box", box, "--json")
    (face,) = json.loads(run(*words))["faces"]
    expected = 48 * generic_reference(68) + (60, 50)
    np.testing.assert_allclose(face["landmarks"], expected, atol=0.02)
    assert face["pose"] is not None  # from the landmarks


def test_evaluate_measures_it_like_any_model(own: tuple[Path, Path], faces: Path) -> None:
    model, adapter = own
    words = ("evaluate", model, "--adapter", adapter, "--data", faces, "--format", "300w")
    found = json.loads(run(*words, "--json"))
    assert found["faces"] == 3
    assert found["nme_percent"] == pytest.approx(0, abs=0.05)


def test_the_next_command_gets_the_adapter_too(own: tuple[Path, Path], faces: Path) -> None:
    model, adapter = own
    for command in ("evaluate", "parity"):
        words = (command, model, "--adapter", adapter, "--data", faces, "--format", "300w")
        result = CliRunner().invoke(main, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        following = f"Next: asmnet-kit benchmark {model} --adapter {adapter} --target cpu"
        assert following in " ".join(result.stderr.split())


def test_a_model_without_metadata_is_told_that_an_adapter_will_do(
    own: tuple[Path, Path], faces: Path
) -> None:
    said = run("evaluate", own[0], "--data", faces, "--format", "300w", code=1)
    assert "--adapter" in said


def test_benchmark_and_report_say_which_adapter_gave_the_accuracy(
    own: tuple[Path, Path], faces: Path, tmp_path: Path
) -> None:
    model, adapter = own
    out = tmp_path / "results"
    words = ("benchmark", model, "--adapter", adapter, "--data", faces, "--format", "300w")
    run(*words, "--warmup", 1, "--runs", 3, "--seconds", 0, "--out", out)
    (path,) = out.glob("*.json")
    result = json.loads(path.read_text())
    assert result["accuracy"]["nme_percent"] == pytest.approx(0, abs=0.05)
    assert result["model"]["adapter"]["name"] == "own"
    assert result["model"]["adapter"]["output"]["points"] == 70
    assert f"--adapter {adapter}" in result["command"]
    assert result["timings_ms"]["pre"] > 0
    run("report", out, "--out", tmp_path / "report.html")
    page = (tmp_path / "report.md").read_text()
    assert "adapter.name own" in page.replace("\\", "")


def test_without_an_adapter_the_benchmark_measures_speed_alone(
    own: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "results"
    run("benchmark", own[0], "--warmup", 1, "--runs", 3, "--seconds", 0, "--out", out)
    (path,) = out.glob("*.json")
    assert "adapter" not in json.loads(path.read_text())["model"]


def test_parity_compares_the_kernels_of_it(own: tuple[Path, Path], faces: Path) -> None:
    model, adapter = own
    words = ("parity", model, "--adapter", adapter, "--data", faces, "--format", "300w", "--json")
    found = json.loads(run(*words))
    rows = {row["kernels"]: row for row in found["rows"]}
    for name in ("xnnpack", "builtin", "reference"):
        assert rows[name]["agrees"], rows[name]
        assert rows[name]["nme_percent"] == pytest.approx(0, abs=0.05)
    assert found["input_size"] == 32


def test_colour_order_mean_and_scale_reach_the_model(
    tmp_path: Path, make_points_model: Callable[..., Path]
) -> None:
    """The first channel that is fed is blue: (255 - 127.5) / 127.5 = 1 on a blue crop, else -1."""
    model = make_points_model(np.zeros((70, 3)), 32, by_colour=(1, 0, 0))
    adapter = tmp_path / "own.toml"
    adapter.write_text(OWN.format(indices=[0] * 68))
    predictor = AdaptedPredictor(model, read_adapter(adapter))
    crops = np.zeros((2, 32, 32, 3), np.uint8)
    crops[0, ..., 2] = 255
    x = predictor.predict(crops).landmarks[:, 0, 0]
    np.testing.assert_allclose(x, [1 / 32 - 0.5, -1 / 32 - 0.5], atol=1e-6)


def test_a_shifted_crop_is_cut_out_of_a_wider_window(
    tmp_path: Path, make_points_model: Callable[..., Path]
) -> None:
    """A crop a quarter of its side lower: its centre lies 0.25 sides below the window's, which is
    1.5 sides wide; and it shows the rows there."""
    model = make_points_model(np.full((70, 3), 16), 32, by_colour=(1, 1, 1))
    adapter = tmp_path / "own.toml"
    text = OWN.format(indices=[1] * 68)
    adapter.write_text(text.replace("scale = 1.2", "scale = 1.2\nshift = [0, 0.25]"))
    predictor = AdaptedPredictor(model, read_adapter(adapter))
    assert predictor.crop_scale == pytest.approx(1.8)
    window = np.zeros((predictor.input_size,) * 2 + (3,), np.uint8)
    window[: len(window) // 3] = 255  # above the crop, which begins at 1/3 of the window
    window = window[None]
    found = predictor.predict(window).landmarks[0, 0]
    np.testing.assert_allclose(found, [0, 0.25 / 1.5], atol=1e-6)
    fed = predictor.inputs(window, [predictor.first])
    assert (fed < 0).mean() > 0.95


def test_later_looks_are_turned_so_that_the_eyes_are_level(
    tmp_path: Path, make_points_model: Callable[..., Path]
) -> None:
    """A model that sees the eyes 45 degrees turned in whatever crop: the second look is turned by
    45 degrees about them, and finds them turned by 90."""
    points = np.full((70, 3), 16.0)
    points[:2, :2] = [(12, 12), (20, 20)]
    model = make_points_model(points, 32)
    adapter = tmp_path / "own.toml"
    more = "scale = 2.0\npasses = 2\nagain = 4\nturn_by = [0, 1]"
    adapter.write_text(OWN.format(indices=[0] * 36 + [1] * 32).replace("scale = 1.2", more))
    predictor = AdaptedPredictor(model, read_adapter(adapter))
    side = predictor.input_size
    windows = np.zeros((1, side, side, 3), np.uint8)
    (view,) = predictor.views(windows)
    assert view.turn == pytest.approx(np.pi / 4)
    assert view.centre == pytest.approx((0, 0), abs=1e-6)
    # The eyes are 8 sqrt(2) of 32 pixels apart, in a crop of half the window.
    distance = 8 * 2**0.5 / 32 / 2
    assert view.side == pytest.approx(4 * distance)
    landmarks = predictor.predict(windows).landmarks[0]
    left, right = landmarks[0], landmarks[40]
    np.testing.assert_allclose((right - left)[0], 0, atol=1e-6)
    assert right[1] > left[1]


def test_a_view_goes_there_and_back_and_shows_what_lies_there() -> None:
    view = View((0.1, -0.2), 0.3, np.radians(30))
    points = np.array([[0.2, 0.1], [-0.4, 0.0]], np.float32)
    np.testing.assert_allclose(view.outside(view.inside(points)), points, atol=1e-6)
    window = np.zeros((200, 200, 3), np.uint8)
    x, y = 100 + 200 * np.array(view.centre)
    cv2.circle(window, (round(x), round(y)), 6, (255, 255, 255), -1)
    crop = view.cut(window, 61)
    assert crop[30, 30].min() == 255
    assert crop[0, 0].max() == 0


def test_the_pfld_layout_needs_nothing_but_its_name(
    make_points_model: Callable[..., Path], tmp_path: Path
) -> None:
    """112 x 112 in, 196 numbers of 0..1 of the crop out: 98 points."""
    model = make_points_model(generic_reference(98) + 0.5, 112)
    picture = tmp_path / "grey.png"
    cv2.imwrite(str(picture), np.full((100, 100, 3), 90, np.uint8))
    words = ("predict", picture, "--model", model, "--adapter", "pfld", "--box", "20,20,70,70")
    (face,) = json.loads(run(*words, "--json"))["faces"]
    expected = 60 * generic_reference(98) + 45  # a crop of 1.2 x 50 about (45, 45)
    np.testing.assert_allclose(face["landmarks"], expected, atol=0.02)


def test_the_mesh_layout_needs_nothing_but_its_name(
    make_points_model: Callable[..., Path], tmp_path: Path
) -> None:
    """192 x 192 in, 468 points of x, y, z in its pixels out."""
    mesh = np.random.default_rng(0).uniform(40, 150, (468, 3))
    mesh[[33, 263], :2] = [(60, 90), (130, 90)]
    model = make_points_model(mesh, 192)
    picture = tmp_path / "grey.png"
    cv2.imwrite(str(picture), np.full((100, 100, 3), 90, np.uint8))
    words = ("predict", picture, "--model", model, "--adapter", "mediapipe")
    (face,) = json.loads(run(*words, "--box", "20,20,70,70", "--json"))["faces"]
    assert np.shape(face["landmarks"]) == (68, 2)
    # The eyes of the mesh are level in each look, so they stay so.
    assert face["landmarks"][36][1] == pytest.approx(face["landmarks"][45][1], abs=0.02)


def test_mediapipes_own_file_finds_a_rendered_persons_landmarks(tmp_path: Path) -> None:
    if not CACHED_MESH.is_file():
        pytest.skip(f"{CACHED_MESH} is fetched by make bench-peers")
    from asmnet_kit.face.crop import Crop, landmark_box
    from asmnet_kit.face.metrics import per_face_nme
    from asmnet_kit.people.render import draw
    from asmnet_kit.predict.open_predictor import open_predictor

    predictor = open_predictor(CACHED_MESH, adapter="mediapipe")
    errors = []
    for index in (1, 4, 6):
        person = draw(3, index, 160)
        box = landmark_box(person.landmarks68)
        crop = Crop.from_box(box, size=predictor.input_size, scale=predictor.crop_scale)
        found = crop.to_picture(predictor.predict(crop.cut(person.image)[None]).landmarks)
        errors.append(per_face_nme(found, person.landmarks68[None], predictor.scheme)[0])
    assert np.median(errors) < 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("size = 32", "size = 64"), "expects one input of [1, 64, 64, 3]"),
        (("values = 3", "values = 2"), "expects one output of 140 numbers, 2 for each of 70"),
        (("points = 70", 'points = 70\nname = "other"'), "one output called 'other' of 210"),
    ],
)
def test_a_model_that_the_adapter_does_not_fit_is_named(
    own: tuple[Path, Path], change: tuple[str, str], message: str
) -> None:
    model, path = own
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(ModelError) as caught:
        AdaptedPredictor(model, read_adapter(path))
    assert message in str(caught.value)


def test_nan_from_a_model_is_told_and_no_traceback(
    own: tuple[Path, Path], faces: Path, make_points_model: Callable[..., Path]
) -> None:
    _, adapter = own
    text = adapter.read_text().replace("scale = 1.2", "scale = 1.2\npasses = 3\nturn_by = [0, 1]")
    adapter.write_text(text)
    model = make_points_model(np.full((70, 3), np.nan), 32, name="broken.tflite")
    words = ("evaluate", model, "--adapter", adapter, "--data", faces, "--format", "300w")
    assert "predicted NaN" in run(*words, code=1)


def test_an_adapter_is_refused_where_it_has_no_use(
    own: tuple[Path, Path], faces: Path, tmp_path: Path
) -> None:
    _, adapter = own
    picture = next(faces.rglob("*.png"))
    assert "--model, which is not given" in run("predict", picture, "--adapter", adapter, code=2)
    keras = tmp_path / "a.keras"
    keras.write_bytes(b"PK")
    words = ("predict", picture, "--model", keras, "--adapter", adapter)
    assert "--adapter is for a .tflite" in " ".join(run(*words, code=2).split())
    missing = ("predict", picture, "--model", keras, "--adapter", tmp_path / "no.toml")
    assert "expected one of mediapipe, pfld, pfld_rgb" in " ".join(run(*missing, code=2).split())


def test_an_adapter_may_name_a_scheme_file_of_its_own(
    tmp_path: Path, make_points_model: Callable[..., Path]
) -> None:
    """Four corners of something that is no face."""
    (tmp_path / "card.toml").write_text(
        'name = "card"\npoints = 4\nnormaliser = "box"\nmirror = [[0, 1], [2, 3]]\n'
    )
    text = OWN.replace('"68"', '"card.toml"').replace("scale = 1.2", "scale = 2.0")
    adapter = tmp_path / "own.toml"
    adapter.write_text(text.format(indices=[0, 1, 2, 3]))
    points = np.zeros((70, 3))
    points[:4, :2] = [(8, 8), (24, 8), (8, 24), (24, 24)]
    model = make_points_model(points, 32)
    picture = tmp_path / "grey.png"
    cv2.imwrite(str(picture), np.full((100, 100, 3), 90, np.uint8))
    words = ("predict", picture, "--model", model, "--adapter", adapter, "--box", "30,30,70,70")
    (face,) = json.loads(run(*words, "--json"))["faces"]
    expected = [(30, 30), (70, 30), (30, 70), (70, 70)]  # a crop of 80 about (50, 50)
    np.testing.assert_allclose(face["landmarks"], expected, atol=0.02)
    assert read_adapter(adapter).to_json()["scheme"]["points"] == 4


def test_the_landmarks_of_an_adapter_are_mapped_to_another_scheme(
    own: tuple[Path, Path], faces: Path
) -> None:
    model, adapter = own
    words = ("predict", next(faces.rglob("*.png")), "--model", model, "--adapter", adapter)
    words = (*words, "--box", "40,30,80,70", "--scheme", "5", "--json")
    (face,) = json.loads(run(*words))["faces"]
    assert np.shape(face["landmarks"]) == (5, 2)
