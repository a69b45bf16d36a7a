"""A user's own tf_keras model: flat or not, whatever its input range, or a message what to do."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tf_keras
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError, UsageError
from asmnet_kit.cli import main
from asmnet_kit.face.input_values import to_float_input
from asmnet_kit.face.schemes import scheme_named
from asmnet_kit.predict.open_predictor import open_predictor
from asmnet_kit.quantize.rounding.emulated_file import float_landmarks
from asmnet_kit.quantize.source.flatten import flattened, with_input_range
from asmnet_kit.quantize.source.float_model import open_float_model
from asmnet_kit.quantize.source.fold import check_flat
from asmnet_kit.tflite.metadata import read_metadata
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.data.prepared import prepared_faces

L = tf_keras.layers
SIZE = 32


def nested(outputs: tuple[int, ...] = (136, 3)) -> tf_keras.Model:
    """A backbone as a layer of the model, inputs 0..255 with a Rescaling, as tutorials have it."""
    tf_keras.utils.set_random_seed(0)
    backbone = tf_keras.Sequential(
        [
            L.Conv2D(8, 3, strides=2, padding="same", name="conv", input_shape=(SIZE, SIZE, 3)),
            L.BatchNormalization(name="norm"),
            L.ReLU(6.0, name="relu"),
        ],
        name="backbone",
    )
    image = tf_keras.Input((SIZE, SIZE, 3), name="picture")
    x = L.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(image)
    x = L.GlobalAveragePooling2D(name="pool")(backbone(x))
    x = L.Dropout(0.2, name="dropout")(x)
    heads = [L.Dense(width, name=f"dense_{width}")(x) for width in outputs]
    return tf_keras.Model(image, heads)


def call(model: Path, data: Path, out: Path, *options: str) -> Result:
    arguments = ["quantize", str(model), "--data", str(data), "--format", "csv", "--out", str(out)]
    return CliRunner().invoke(main, [*arguments, *options])


def test_a_nested_model_is_flattened_to_the_same_function(crops: NDArray[np.uint8]) -> None:
    model = nested()
    flat = flattened(model)
    check_flat(flat)
    assert [layer.name for layer in flat.layers[1:5]] == ["rescale", "conv", "norm", "relu"]
    for expected, got in zip(model(crops * 1.0), flat(crops * 1.0), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_an_input_of_another_range_is_moved_to_the_kits(crops: NDArray[np.uint8]) -> None:
    """The model takes v itself: mean 0, scale 1."""
    flat = flattened(nested())
    moved = with_input_range(flat, mean=0.0, scale=1.0)
    for expected, got in zip(flat(crops * 1.0), moved(to_float_input(crops)), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)
    assert with_input_range(flat, mean=128, scale=128) is flat


@pytest.mark.parametrize(("recipe", "outputs"), [("ptq_w8a8", (136, 3)), ("qat_w8a8", (136,))])
def test_an_own_model_becomes_a_file_of_the_kit(
    recipe: str, outputs: tuple[int, ...], faces: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mine.keras"
    nested(outputs).save(path)
    options = ["--recipe", recipe, "--calibration-faces", "16", "--input-mean", "0"]
    options += ["--input-scale", "1", "--json"]
    if recipe == "qat_w8a8":
        options += ["--epochs", "1"]
    result = call(path, faces, tmp_path / "out", *options)
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert Path(content["file"]).name == f"mine_68_32_{recipe}.tflite"
    assert content["audit"]["verdicts"]["edgetpu"]["verdict"] == "full"
    assert content["nme_percent"] == pytest.approx(content["float_nme_percent"], rel=0.1)
    assert read_metadata(Path(content["file"])).source["settings"]["input_scale"] == 1.0
    assert set(read_metadata(Path(content["file"])).outputs) == (
        {"landmarks", "pose"} if len(outputs) == 2 else {"landmarks"}
    )


def test_fine_tuning_sees_pictures_as_large_as_the_models_input(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows of the kit's usual 112 pixels would be enlarged for a model of 224."""
    configs = []

    def recorded(sources: Any, run: Path | None, config: TrainConfig) -> Any:
        configs.append(config)
        return prepared_faces(sources, run, config)

    monkeypatch.setattr("asmnet_kit.quantize.rounding.finetune.prepared_faces", recorded)
    path = tmp_path / "large.keras"
    image = tf_keras.Input((224, 224, 3))
    x = L.Conv2D(4, 3, strides=8, name="conv")(image)
    tf_keras.Model(image, L.Dense(136)(L.GlobalAveragePooling2D()(x))).save(path)
    result = call(path, faces, tmp_path / "out", "--recipe", "qat_w8a8", "--epochs", "1")
    assert result.exit_code == 0, result.output
    assert [(config.input_size, config.format) for config in configs] == [(224, "csv")]


def test_an_input_whose_size_is_left_open_is_refused(faces: Path, tmp_path: Path) -> None:
    path = tmp_path / "open.keras"
    image = tf_keras.Input((None, None, 3))
    x = L.GlobalAveragePooling2D()(L.Conv2D(4, 3)(image))
    tf_keras.Model(image, L.Dense(136)(x)).save(path)
    result = call(path, faces, tmp_path / "out", "--recipe", "fp32")
    assert result.exit_code == 1
    assert "with a fixed S" in result.output and "--input-shape SxS" in result.output


def write_pictures(folder: Path, count: int) -> Path:
    """Soft coloured noise of different sizes."""
    random = np.random.default_rng(0)
    folder.mkdir()
    for index in range(count):
        coarse = random.integers(0, 256, (6, 5 + index % 3, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), cv2.resize(coarse, None, fx=9, fy=9))
    return folder


@pytest.mark.parametrize("outputs", [(10,), (2, 5)])
def test_outputs_of_another_kind_need_pictures_alone(
    outputs: tuple[int, ...], tmp_path: Path
) -> None:
    path = tmp_path / "age.keras"
    nested(outputs).save(path)
    arguments = ["quantize", str(path), "--data", str(write_pictures(tmp_path / "p", 20))]
    arguments += ["--out", str(tmp_path / "out"), "--input-mean", "0", "--input-scale", "1"]
    result = CliRunner().invoke(main, [*arguments, "--recipe", "ptq_w8a8", "--json"])
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert Path(content["file"]).name == "age_ptq_w8a8.tflite"
    assert {name: o["values"] for name, o in content["outputs"].items()} == {
        f"dense_{width}": width for width in outputs
    }
    for output in content["outputs"].values():
        assert 0 < output["mean"] < 0.05 * output["width"]
    assert content["audit"]["verdicts"]["edgetpu"]["verdict"] == "full"
    shown = CliRunner().invoke(main, [*arguments, "--recipe", "fp16"])
    assert shown.exit_code == 0 and "accuracy: not measured" in shown.stderr
    for more, message in (
        (["--recipe", "qat_w8a8"], "fine-tunes on labelled faces"),
        (["--recipe", "fp16", "--max-pixel-drift", "1"], "needs labelled faces"),
    ):
        refused = CliRunner().invoke(main, [*arguments, *more])
        assert refused.exit_code == 2 and message in " ".join(refused.output.split())


def test_a_run_without_a_format_and_a_folder_without_pictures_are_refused(tmp_path: Path) -> None:
    arguments = ["--data", str(tmp_path), "--recipe", "fp32", "--out", str(tmp_path / "out")]
    (tmp_path / "run").mkdir()
    nested((136,)).save(tmp_path / "run" / "model.keras")
    result = CliRunner().invoke(main, ["quantize", str(tmp_path / "run"), *arguments])
    assert result.exit_code == 2 and "expected --format" in result.output
    nested((4,)).save(tmp_path / "four.keras")
    result = CliRunner().invoke(main, ["quantize", str(tmp_path / "four.keras"), *arguments])
    assert result.exit_code == 1 and "expected pictures" in result.output


def test_outputs_that_are_no_landmarks_are_refused_with_their_shapes(tmp_path: Path) -> None:
    path = tmp_path / "twelve.keras"
    nested((12,)).save(path)  # no built-in scheme has 6 points
    with pytest.raises(ModelError, match=r"136 or .*, 12\].*Points of your own.*pictures"):
        open_float_model(path, mean=None, scale=None)


def test_a_layer_that_is_called_twice_is_named_with_the_way_out() -> None:
    image = tf_keras.Input((SIZE, SIZE, 3))
    shared = L.Conv2D(3, 1, name="shared")
    model = tf_keras.Model(image, L.Flatten()(shared(shared(image))))
    with pytest.raises(ModelError, match="'shared': use one layer per call"):
        flattened(model)


def test_arithmetic_outside_of_layers_is_named_with_the_way_out() -> None:
    image = tf_keras.Input((SIZE, SIZE, 3))
    model = tf_keras.Model(image, L.Flatten()(image / 127.5))
    with pytest.raises(ModelError, match=r"arithmetic .* use a layer for it"):
        flattened(model)


def test_an_input_range_is_refused_for_a_run(faces: Path, tmp_path: Path) -> None:
    nested((136,)).save(tmp_path / "model.keras")
    result = call(tmp_path, faces, tmp_path / "out", "--recipe", "fp32", "--input-mean", "0")
    assert result.exit_code == 2 and "--input-mean is for a model of your own" in result.output


ADAPTER = """
scheme = "68"
[input]
size = 32
colour = "BGR"
mean = [10, 20, 30]
scale = 255
[crop]
scale = 1.3
[output]
points = 70
values = 3
unit = "pixel"
origin = "corner"
[landmarks]
indices = [[0, 1], {rest}]
"""


def in_other_terms(ending: str) -> tf_keras.Model:
    """BGR in, 70 points of x, y, z in pixels of the crop out."""
    tf_keras.utils.set_random_seed(0)
    last = {
        "dense": [L.GlobalAveragePooling2D(), L.Dense(210, bias_initializer="random_uniform")],
        "convolution": [L.GlobalAveragePooling2D(keepdims=True), L.Conv2D(210, 1)],
    }[ending]
    first = L.Conv2D(8, 3, strides=4, activation="relu", input_shape=(SIZE, SIZE, 3))
    return tf_keras.Sequential([first, *last], name="other")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    path = tmp_path / "other.toml"
    path.write_text(ADAPTER.format(rest=", ".join(map(str, range(2, 69)))))
    return path


@pytest.mark.parametrize("ending", ["dense", "convolution"])
def test_a_model_in_other_terms_becomes_the_same_function_in_the_kits(
    ending: str, crops: NDArray[np.uint8], adapter: Path, tmp_path: Path
) -> None:
    """By hand: BGR, mean and scale before it; the first two points' middle, pixels to fractions of
    32 from the centre behind it."""
    model, path = in_other_terms(ending), tmp_path / "other.keras"
    model.save(path)
    source = open_float_model(path, mean=None, scale=None, adapter=str(adapter))
    assert (source.predictor.crop_scale, source.config.crop_scale) == (1.3, 1.3)  # to fine-tune
    fed = (crops[..., ::-1].astype(np.float32) - [10, 20, 30]) / 255
    points = model(fed).numpy().reshape(len(crops), 70, 3)[..., :2] / 32 - 0.5
    expected = np.concatenate([points[:, :2].mean(axis=1, keepdims=True), points[:, 2:69]], axis=1)
    found = source.predictor.predict(crops).landmarks
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_quantize_with_an_adapter_writes_a_file_of_the_kit(
    faces: Path, adapter: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other.keras"
    in_other_terms("dense").save(path)
    options = ["--recipe", "ptq_w8a8", "--calibration-faces", "16", "--adapter", str(adapter)]
    result = call(path, faces, tmp_path / "out", *options, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    metadata = read_metadata(Path(said["file"]))
    assert (metadata.landmarks, metadata.crop_scale) == (68, 1.3)
    assert metadata.source["settings"]["adapter"]["name"] == "other"
    assert said["pixel_drift"]["p50"] < 1.0
    with pytest.raises(UsageError, match=r"was made with the --adapter other"):
        float_landmarks(path, Path(said["file"]), np.zeros((1, SIZE, SIZE, 3), np.uint8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("scale = 1.3", "scale = 1.3\npasses = 2"), "has no crop.passes above 1"),
        (("scale = 1.3", "scale = 1.3\nshift = [0.1, 0]"), "has no crop.shift"),
        (("size = 32", "size = 64"), "expects an input of [64, 64, 3], got [32, 32, 3]"),
        (("values = 3", "values = 2"), "expects one output of 140 numbers"),
    ],
)
def test_an_adapter_that_no_file_of_the_kit_can_follow_is_refused(
    change: tuple[str, str], message: str, faces: Path, adapter: Path, tmp_path: Path
) -> None:
    adapter.write_text(adapter.read_text().replace(*change))
    path = tmp_path / "other.keras"
    in_other_terms("dense").save(path)
    options = ["--recipe", "ptq_w8a8", "--adapter", str(adapter)]
    result = call(path, faces, tmp_path / "out", *options)
    assert result.exit_code in (1, 2)
    assert message in " ".join(result.output.split())
    assert not list(tmp_path.glob("out/*.tflite"))


def test_an_adapter_and_an_input_range_exclude_each_other(
    faces: Path, adapter: Path, tmp_path: Path
) -> None:
    path = tmp_path / "other.keras"
    in_other_terms("dense").save(path)
    options = ["--recipe", "ptq_w8a8", "--adapter", str(adapter), "--input-mean", "0"]
    result = call(path, faces, tmp_path / "out", *options)
    assert result.exit_code == 2
    assert "--input-mean is also in the --adapter" in " ".join(result.output.split())


SEVEN = """
name = "seven"
points = 7
normaliser = [0, 1]
mirror = [[0, 1]]
"""


def test_a_model_of_landmarks_of_ones_own_becomes_a_file_that_knows_them(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    scheme, data = tmp_path / "seven.toml", tmp_path / "data"
    scheme.write_text(SEVEN)
    data.mkdir()
    rows = ["file," + ",".join(f"x{i},y{i}" for i in range(7))]
    for index in range(20):
        cv2.imwrite(str(data / f"{index}.png"), random.integers(0, 256, (48, 48, 3), np.uint8))
        points = ",".join(f"{value:.2f}" for value in random.uniform(8, 40, 14))
        rows.append(f"{index}.png,{points}")
    (data / "labels.csv").write_text("\n".join(rows))
    path = tmp_path / "own.keras"
    nested((14,)).save(path)
    options = ["--recipe", "ptq_w8a8", "--calibration-faces", "16", "--json"]
    refused = call(path, data, tmp_path / "out", *options)
    assert refused.exit_code == 1 and "got" in refused.output
    result = call(path, data, tmp_path / "out", *options, "--scheme", str(scheme))
    assert result.exit_code == 0, result.output
    file = Path(json.loads(result.stdout)["file"])
    assert open_predictor(file).scheme == scheme_named(scheme)
    crop = random.integers(0, 256, (1, SIZE, SIZE, 3), np.uint8)
    assert float_landmarks(path, file, crop).shape == (1, 7, 2)
