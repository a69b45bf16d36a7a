"""Opening and running .tflite files, whole and damaged."""

import random
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import MissingDependency, ModelError, UsageError
from asmnet_kit.cli import main
from asmnet_kit.tflite.runtime import (
    TensorInfo,
    dequantize,
    installed_runtime,
    open_runtime,
    quantize,
)
from wording import NO_CPU

FLIPPED_FILES = 150
RUN_SECONDS = 60  # for all of them; one takes milliseconds


def test_tensors_go_by_the_names_of_the_signature(make_tflite):
    runtime = open_runtime(make_tflite(size=32, int8=True))
    assert set(runtime.inputs) == {"image"}
    assert set(runtime.outputs) == {"landmarks", "pose"}
    image = runtime.inputs["image"]
    assert (image.shape, image.dtype, image.scale, image.zero_point) == (
        (1, 32, 32, 3),
        np.int8,
        1 / 128,
        0,
    )
    assert runtime.outputs["landmarks"].shape == (1, 136)


def test_a_float_tensor_has_no_scale(make_tflite):
    runtime = open_runtime(make_tflite())
    assert runtime.inputs["image"].scale is None
    assert runtime.inputs["image"].dtype == np.float32


def test_run_returns_raw_values_in_the_models_types(make_tflite):
    runtime = open_runtime(make_tflite(int8=True))
    image = np.zeros((1, 32, 32, 3), np.int8)
    image[0, 0, 0] = (64, -32, 0)  # the model's pose copies the first pixel: scale 1/128 both
    outputs = runtime.run({"image": image})
    assert outputs["pose"].dtype == np.int8
    assert outputs["pose"].tolist() == [[64, -32, 0]]
    real = dequantize(outputs["pose"], runtime.outputs["pose"])
    assert real.tolist() == [[0.5, -0.25, 0.0]]


def test_threads_and_kernels_do_not_change_a_float_result(make_tflite):
    path = make_tflite()
    image = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
    results = [
        open_runtime(path, threads=threads, xnnpack=xnnpack).run({"image": image})["landmarks"]
        for threads in (1, 2)
        for xnnpack in (True, False)
    ]
    for result in results[1:]:
        # Weights are zero, so every kernel returns exactly the bias.
        np.testing.assert_array_equal(result, results[0])


def test_kernels_name_who_ran_the_operators(make_tflite):
    path = make_tflite()
    with_delegate, without = open_runtime(path), open_runtime(path, xnnpack=False)
    assert (with_delegate.delegated_ops, with_delegate.total_ops) == (2, 2)
    assert with_delegate.kernels == "XNNPACK (2 of 2 ops)"
    assert (without.delegated_ops, without.kernels) == (0, "builtin (2 ops)")
    assert with_delegate.name == "ai-edge-litert"


@pytest.fixture
def fake_tflite_runtime(tmp_path, monkeypatch):
    """Puts a package of that name, as installed, on the path of imports."""

    def make(init: str, interpreter: str = "") -> None:
        package, facts = tmp_path / "tflite_runtime", tmp_path / "tflite_runtime-2.14.0.dist-info"
        package.mkdir()
        facts.mkdir()
        (package / "__init__.py").write_text(init)
        (package / "interpreter.py").write_text(interpreter)
        (facts / "METADATA").write_text("Name: tflite-runtime\nVersion: 2.14.0\n")
        monkeypatch.syspath_prepend(tmp_path)

    yield make
    for name in ("tflite_runtime", "tflite_runtime.interpreter"):
        sys.modules.pop(name, None)


def test_the_runtime_can_be_named(make_tflite):
    assert open_runtime(make_tflite(), runtime="ai-edge-litert").name == "ai-edge-litert"
    with pytest.raises(UsageError, match="expected a runtime of ai-edge-litert, tflite-runtime"):
        open_runtime(make_tflite(), runtime="abacus")


def test_tflite_runtime_is_used_where_it_is_named_though_another_comes_first(
    make_tflite, fake_tflite_runtime
):
    """A package of that name that hands on what the usual runtime has."""
    fake_tflite_runtime("", "from ai_edge_litert.interpreter import Interpreter, OpResolverType\n")
    opened = open_runtime(make_tflite(), runtime="tflite-runtime")
    assert (opened.name, opened.version) == ("tflite-runtime", "2.14.0")
    assert open_runtime(make_tflite()).name == "ai-edge-litert"


def test_a_runtime_that_does_not_fit_numpy_is_told_with_what_it_wants(
    make_tflite, fake_tflite_runtime
):
    fails = "def Interpreter(**_):\n    raise SystemError('CreateWrapperFromBuffer')\n"
    fake_tflite_runtime("", f"from ai_edge_litert.interpreter import OpResolverType\n{fails}")
    with pytest.raises(MissingDependency, match=r"cannot run beside NumPy .*numpy < 2"):
        open_runtime(make_tflite(), runtime="tflite-runtime")


def test_a_runtime_that_cannot_be_imported_is_told_with_what_it_wants(fake_tflite_runtime):
    fake_tflite_runtime("raise ImportError('numpy.core.multiarray failed')")
    find = partial(installed_runtime, order=("tflite-runtime", "ai-edge-litert"))
    for found in (partial(installed_runtime, "tflite-runtime"), find):
        with pytest.raises(MissingDependency, match=r"multiarray failed.*numpy < 2"):
            found()
    assert installed_runtime()[0] == "ai-edge-litert"


def test_the_first_runtime_in_order_that_is_installed_is_taken(fake_tflite_runtime):
    coral = ("tflite-runtime", "ai-edge-litert")
    assert installed_runtime(order=coral)[0] == "ai-edge-litert"  # the other is not installed
    fake_tflite_runtime("")
    name, module = installed_runtime(order=coral)
    assert (name, module.__name__) == ("tflite-runtime", "tflite_runtime.interpreter")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "expected the inputs \\['image'\\]"),
        ({"picture": np.zeros((1, 32, 32, 3), np.float32)}, "got \\['picture'\\]"),
        ({"image": np.zeros((1, 16, 16, 3), np.float32)}, "expected 'image' as float32"),
        ({"image": np.zeros((1, 32, 32, 3), np.uint8)}, "got uint8"),
    ],
)
def test_wrong_inputs_are_refused_with_what_was_expected(make_tflite, inputs, message):
    with pytest.raises(ModelError, match=message):
        open_runtime(make_tflite()).run(inputs)


def test_no_threads_is_a_usage_error(make_tflite):
    with pytest.raises(UsageError, match="expected 1 to 256 threads, got 0"):
        open_runtime(make_tflite(), threads=0)


def test_a_missing_file_is_a_model_error(tmp_path):
    with pytest.raises(ModelError, match="No such file"):
        open_runtime(tmp_path / "nothing.tflite")


@pytest.mark.parametrize("content", [b"", b"short", b"\x89PNG\r\n\x1a\n" + bytes(100)])
def test_a_file_of_another_kind_is_a_model_error(tmp_path, content):
    path = tmp_path / "other.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"expected a \.tflite model"):
        open_runtime(path)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_a_model_error(make_tflite, tmp_path, share):
    content = make_tflite().read_bytes()
    path = tmp_path / "cut.tflite"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match=r"cut\.tflite"):
        open_runtime(path)


# Ends with 0 when each file named in the arguments runs or is refused with a domain error.
OPEN_AND_RUN = """
import sys
from pathlib import Path
import numpy as np
from asmnet_kit.base.errors import ModelError
from asmnet_kit.tflite.runtime import open_runtime

for path in sys.argv[1:]:
    try:
        runtime = open_runtime(Path(path))
        runtime.run({name: np.zeros(i.shape, i.dtype) for name, i in runtime.inputs.items()})
    except ModelError:
        continue
"""


def test_files_with_flipped_bits_run_or_are_refused_but_never_crash(make_tflite, tmp_path):
    content = make_tflite(size=8, int8=True).read_bytes()
    rng = random.Random(0)
    paths = []
    for index in range(FLIPPED_FILES):
        flipped = bytearray(content)
        for _ in range(rng.choice([1, 4, 16])):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        path = tmp_path / f"flipped_{index}.tflite"
        path.write_bytes(flipped)
        paths.append(path)
    command = [sys.executable, "-c", OPEN_AND_RUN, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS)
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_depthwise_convolution_without_bias_is_refused_before_the_runtime_crashes(make_op_model):
    """LiteRT 2.3.0 loads it, and reads the missing bias when it runs."""
    path = make_op_model(
        {
            "op": "DEPTHWISE_CONV_2D",
            "into": (1, 8, 8, 4),
            "shape": (1, 8, 8, 4),
            "constants": [np.ones((1, 3, 3, 4), np.int8)],
            "options": ("DepthwiseConv2DOptions", {"strideW": 1, "strideH": 1}),
        }
    )
    with pytest.raises(ModelError, match="to have a bias, got none at operator 0"):
        open_runtime(path)


def test_dequantize_follows_scale_times_raw_minus_zero_point():
    info = TensorInfo("x", (3,), np.dtype(np.uint8), 0.5, 10)
    assert dequantize(np.array([0, 10, 13], np.uint8), info).tolist() == [-5.0, 0.0, 1.5]


def test_quantize_rounds_to_nearest_and_clips_to_the_types_range():
    info = TensorInfo("x", (4,), np.dtype(np.int8), 0.5, 1)
    raw = quantize(np.array([0.0, 0.3, 100.0, -100.0], np.float32), info)
    # 0 / 0.5 + 1 = 1; 0.3 / 0.5 = 0.6 rounds to 1, + 1 = 2; the others are out of -128..127.
    assert raw.tolist() == [1, 2, 127, -128]
    assert raw.dtype == np.int8


@pytest.mark.parametrize(
    ("code", "chip"), [("edgetpu-custom-op", "the Edge TPU"), ("ethos-u", "Arm's Ethos-U")]
)
def test_a_file_compiled_for_a_chip_is_told_from_a_damaged_one(make_op_model, code, chip) -> None:
    model = make_op_model({"custom": code, "into": [1, 8], "shape": [1, 8]})
    words = ["benchmark", str(model), "--out", str(model.parent / "results")]
    run = CliRunner().invoke(main, words)
    assert run.exit_code == 1
    assert f"{chip}, and {NO_CPU}" in " ".join(run.output.split())
