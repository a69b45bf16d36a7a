"""Models that another program wrote, through the front door: taken, or told how to go on."""

import json
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.cli import main
from asmnet_kit.face.input_values import to_float_input
from asmnet_kit.quantize.source.float_model import open_float_model
from asmnet_kit.tflite.metadata import read_metadata
from asmnet_kit.tflite.reader import read_graph
from asmnet_kit.training.foreign.h5_file import load_h5
from asmnet_kit.training.foreign.saved_model import is_graph
from asmnet_kit.training.networks.keras_predictor import load_model

L = tf_keras.layers
SIZE = 32
OF_ASMNET = ("--input-mean", "0", "--input-scale", "255")  # its pictures are v / 255


def asmnet_like(side: int | None = SIZE) -> tf_keras.Model:
    """As the paper's own code saves it: MobileNetV2's blocks, outputs O_L and O_P."""
    tf_keras.utils.set_random_seed(0)
    image = tf_keras.Input((side, side, 3), name="input_1")
    x = L.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="Conv1")(image)
    x = L.ReLU(6.0, name="Conv1_relu")(L.BatchNormalization(name="bn_Conv1")(x))
    tap = L.BatchNormalization(name="project_BN")(L.Conv2D(8, 1, name="project")(x))
    added = L.Add(name="add")([tap, L.Conv2D(8, 1, name="expand")(tap)])
    pooled = [L.GlobalAveragePooling2D()(tap), L.GlobalAveragePooling2D()(added)]
    x = L.Dropout(0.3)(L.Concatenate()(pooled))
    heads = [L.Dense(136, name="O_L")(x), L.Dense(3, name="O_P")(x)]
    return tf_keras.Model(image, heads)


def quantize(model: Path, faces: Path, out: Path, *options: str) -> Result:
    words = ["quantize", str(model), "--data", str(faces), "--format", "csv", "--out", str(out)]
    return CliRunner().invoke(main, [*words, *options])


def written(result: Result) -> Path:
    """The file of a quantize that went well, checked for what every file of the kit keeps."""
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["nme_percent"] == pytest.approx(content["float_nme_percent"], rel=0.1)
    path = Path(content["file"])
    assert not any(t.open for t in (*read_graph(path).inputs, *read_graph(path).outputs))
    assert set(read_metadata(path).outputs) == {"landmarks", "pose"}
    return path


def refused(result: Result, out: Path, *words: str, code: int = 1) -> None:
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code, result.output
    line = result.stderr.strip().splitlines()[-1]
    for word in words:
        assert word in line
    assert not out.exists() or not list(out.iterdir())


# .h5 ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["ptq_w8a8", "qat_w8a8"])
def test_an_h5_is_quantized_with_and_without_fine_tuning(
    recipe: str, faces: Path, tmp_path: Path
) -> None:
    asmnet_like().save(tmp_path / "ASMNet.h5")
    options = ["--recipe", recipe, "--calibration-faces", "16", *OF_ASMNET, "--json"]
    options += ["--epochs", "1"] if recipe == "qat_w8a8" else []
    path = written(quantize(tmp_path / "ASMNet.h5", faces, tmp_path / "out", *options))
    assert path.name == f"ASMNet_68_32_{recipe}.tflite"


def test_an_h5_is_evaluated_where_its_outputs_have_the_kits_names(
    faces: Path, tmp_path: Path
) -> None:
    model = asmnet_like()
    model.save(tmp_path / "other.h5")
    named = {"landmarks": model.outputs[0], "pose": model.outputs[1]}
    tf_keras.Model(model.inputs, named).save(tmp_path / "own.h5")
    data = ("--data", str(faces), "--format", "csv")
    other = CliRunner().invoke(main, ["evaluate", str(tmp_path / "other.h5"), *data])
    assert other.exit_code == 1 and "--recipe fp32 makes a .tflite" in other.stderr
    own = CliRunner().invoke(main, ["evaluate", str(tmp_path / "own.h5"), *data, "--json"])
    assert own.exit_code == 0, own.output
    assert json.loads(own.stdout)["nme_percent"] > 0


def code(marker: Path) -> Callable[[Any], Any]:
    name = str(marker)
    return lambda x: (open(name, "w").close(), x)[1]  # noqa: PTH123 - it travels as bytecode


def hidden_lambda(path: Path, marker: Path) -> None:
    """A Lambda layer inside of another layer, which a look at the layers alone would miss."""
    image = tf_keras.Input((SIZE, SIZE, 3))
    x = L.Flatten()(L.TimeDistributed(L.Lambda(code(marker)))(image))
    tf_keras.Model(image, L.Dense(136)(x)).save(path)


def own_layer(path: Path, marker: Path) -> None:
    class Mine(L.Layer):
        def call(self, x: tf.Tensor) -> tf.Tensor:
            return x

    image = tf_keras.Input((SIZE, SIZE, 3))
    tf_keras.Model(image, L.Dense(136)(L.Flatten()(Mine()(image)))).save(path)


def function_by_name(path: Path, marker: Path) -> None:
    """Arithmetic outside of layers is saved as a function's name: here one that writes a file."""
    import h5py

    image = tf_keras.Input((SIZE, SIZE, 3))
    tf_keras.Model(image, L.Dense(136)(L.Flatten()(tf.math.abs(image)))).save(path)
    with h5py.File(path, "r+") as file:
        config = str(file.attrs["model_config"])
        assert "math.abs" in config
        file.attrs["model_config"] = config.replace("math.abs", "io.write_file")


def weights_alone(path: Path, marker: Path) -> None:
    asmnet_like().save_weights(path)


def cut_off(path: Path, marker: Path) -> None:
    asmnet_like().save(path)
    path.write_bytes(path.read_bytes()[:-2000])


def linked(path: Path, marker: Path) -> None:
    import h5py

    asmnet_like().save(path)
    path.rename(path.with_name("other.h5"))
    with h5py.File(path, "w") as file, h5py.File(path.with_name("other.h5")) as other:
        for name, value in other.attrs.items():
            file.attrs[name] = value
        file["model_weights"] = h5py.ExternalLink("other.h5", "model_weights")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (hidden_lambda, "a Lambda layer, which is code"),
        (own_layer, "Mine is no layer of tf_keras"),
        (function_by_name, "a call of TensorFlow's 'io.write_file'"),
        (weights_alone, "got only weights"),
        (cut_off, "expected an .h5 of Keras, got a damaged one"),
        (linked, "links to other files"),
    ],
)
def test_an_h5_with_code_or_damage_is_one_line(
    make: Callable[[Path, Path], None], words: str, faces: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "the code ran"
    make(tmp_path / "m.h5", marker)
    marker.unlink(missing_ok=True)
    out = tmp_path / "out"
    refused(quantize(tmp_path / "m.h5", faces, out, "--recipe", "fp32"), out, "m.h5: ", words)
    assert not marker.exists()


# SavedModel -----------------------------------------------------------------------------------


def test_a_saved_model_runs_and_is_quantized_without_fine_tuning(
    faces: Path, crops: NDArray[np.uint8], tmp_path: Path
) -> None:
    model = asmnet_like()
    saved = tmp_path / "net.v1"
    model.export(saved)
    loaded = load_model(saved)
    assert is_graph(loaded)
    image = to_float_input(crops[:3])
    for expected, got in zip(model(image), loaded(image).values(), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)
    options = ["--calibration-faces", "16", *OF_ASMNET, "--json"]
    path = written(quantize(saved, faces, tmp_path / "out", "--recipe", "ptq_w8a8", *options))
    assert path.name == "net.v1_68_32_ptq_w8a8.tflite"
    assert all(t.type in ("int8", "int32") for t in read_graph(path).used_tensors)
    for more in (["--recipe", "qat_w8a8"], ["--recipe", "ptq_w8a8", "--keep-float", "x"]):
        refused(
            quantize(saved, faces, tmp_path / "none", *more), tmp_path / "none",
            "takes a model apart by its layers, and a SavedModel has none", code=2,
        )  # fmt: skip


class Writes(tf.Module):
    """A network that writes a file on every picture."""

    def __init__(self, marker: Path) -> None:
        super().__init__()
        self.marker = str(marker)

    @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32)])
    def serve(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        tf.io.write_file(self.marker, "x")
        return {"landmarks": tf.reshape(image, [-1, SIZE * SIZE * 3])[:, :136]}


def test_a_saved_model_that_does_more_than_compute_is_not_loaded(
    faces: Path, tmp_path: Path
) -> None:
    module, saved, out = Writes(tmp_path / "written"), tmp_path / "saved", tmp_path / "out"
    tf.saved_model.save(module, str(saved), signatures=module.serve)
    result = quantize(saved, faces, out, "--recipe", "fp32")
    refused(result, out, "the SavedModel holds the operation WriteFile")
    assert not (tmp_path / "written").exists()


def test_a_damaged_saved_model_is_one_line(faces: Path, tmp_path: Path) -> None:
    saved, out = tmp_path / "saved", tmp_path / "out"
    asmnet_like().export(saved)
    index = saved / "variables" / "variables.index"
    index.write_bytes(index.read_bytes()[:-40])
    refused(quantize(saved, faces, out, "--recipe", "fp32"), out, f"{saved}: expected a SavedModel")


# Keras 3 --------------------------------------------------------------------------------------

KERAS_3 = """
    import sys, keras
    L = keras.layers
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3), name="picture")
    inner = keras.Sequential(
        [L.Conv2D(8, 3, strides=2, padding="same", use_bias=False), L.BatchNormalization(),
         L.ReLU(6.0)], name="backbone")
    x = inner(L.Rescaling(1.0, name="rescale")(image))
    x = L.Add()([x, L.DepthwiseConv2D(3, padding="same", activation="relu")(x)])
    x = L.Dropout(0.2)(L.GlobalAveragePooling2D()(x))
    heads = {"landmarks": L.Dense(136, name="landmarks")(x), "pose": L.Dense(3, name="pose")(x)}
    keras.Model(image, heads).save(sys.argv[1] + "/three.keras")
    odd = L.Flatten()(L.Activation("hard_sigmoid")(image))
    keras.Model(image, L.Dense(136)(odd)).save(sys.argv[1] + "/odd.keras")
    keras.Model(image, L.Dense(136)(L.Flatten()(image * 2.0))).save(sys.argv[1] + "/op.keras")
"""


@pytest.fixture(scope="module")
def keras_3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models that Keras 3 saved, which cannot be imported beside tf_keras' setting."""
    folder = tmp_path_factory.mktemp("keras3")
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KERAS_3), str(folder)],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


def test_a_keras_3_model_is_rebuilt_of_tf_keras_layers_and_fine_tuned(
    keras_3: Path, faces: Path, tmp_path: Path
) -> None:
    options = ["--recipe", "qat_w8a8", "--epochs", "1", "--calibration-faces", "16", "--json"]
    path = written(quantize(keras_3 / "three.keras", faces, tmp_path / "out", *options))
    assert path.name == "three_68_32_qat_w8a8.tflite"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        # Keras 2's hard_sigmoid is clip(0.2 x + 0.5), Keras 3's relu6(x + 3) / 6.
        ("odd", "computes something else than in Keras 3"),
        ("op", "which tf_keras has no layer for"),
    ],
)
def test_what_only_keras_3_computes_is_refused_with_the_way_out(
    name: str, words: str, keras_3: Path, faces: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = quantize(keras_3 / f"{name}.keras", faces, out, "--recipe", "fp32")
    refused(result, out, words, "model.export('saved_model')")


# Open sizes and layouts -----------------------------------------------------------------------


def test_an_open_size_is_given_by_the_call(faces: Path, tmp_path: Path) -> None:
    model, out = tmp_path / "open.h5", tmp_path / "out"
    asmnet_like(side=None).save(model)
    refused(quantize(model, faces, out, "--recipe", "fp32"), out, "--input-shape SxS")
    options = ["--recipe", "fp32", "--input-shape", "1x32x32x3", "--json"]
    path = written(quantize(model, faces, out, *options))
    assert read_graph(path).inputs[0].shape == (1, SIZE, SIZE, 3)
    for shape, words in (("32x48", "expected a square"), ("3x32x32", "expected a square")):
        result = quantize(model, faces, tmp_path / "no", "--recipe", "fp32", "--input-shape", shape)
        refused(result, tmp_path / "no", words, code=2)


def test_the_open_size_of_a_saved_model_is_given_by_the_call(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    asmnet_like(side=None).export(saved)
    with pytest.raises(ModelError, match="leaves the size open"):
        open_float_model(saved, mean=None, scale=None)
    sized = open_float_model(saved, mean=None, scale=None, side=48)
    assert sized.predictor.input_size == 48


def test_a_size_that_is_fixed_already_is_a_wrong_call(faces: Path, tmp_path: Path) -> None:
    asmnet_like().save(tmp_path / "m.h5")
    options = ["--recipe", "fp32", "--input-shape", "64x64"]
    result = quantize(tmp_path / "m.h5", faces, tmp_path / "out", *options)
    refused(result, tmp_path / "out", "has a fixed size of 32 x 32 pixels", code=2)


def test_channels_first_are_named(faces: Path, tmp_path: Path) -> None:
    image = tf_keras.Input((3, SIZE, SIZE))
    x = L.Dense(136)(L.Flatten()(L.Permute((2, 3, 1))(image)))
    tf_keras.Model(image, x).save(tmp_path / "m.h5")
    out = tmp_path / "out"
    result = quantize(tmp_path / "m.h5", faces, out, "--recipe", "fp32")
    refused(result, out, "channels first (NCHW)", "channels_last")


def test_an_h5_keeps_its_names_and_weights(crops: NDArray[np.uint8], tmp_path: Path) -> None:
    model = asmnet_like()
    model.save(tmp_path / "m.h5")
    loaded = load_h5(tmp_path / "m.h5")
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    image = to_float_input(crops[:2])
    for expected, got in zip(model(image), loaded(image), strict=True):
        np.testing.assert_array_equal(got, expected)
