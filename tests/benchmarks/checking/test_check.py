"""What the checker predicts, against the rules one by one and against the real compiler."""

import importlib.util
import json
import os

import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import ModelError
from asmnet_kit.benchmarks.checking.check import check_model
from asmnet_kit.benchmarks.checking.estimate import HOSTS, Work, milliseconds
from asmnet_kit.benchmarks.checking.executable import read_compiled
from asmnet_kit.cli import main
from asmnet_kit.tflite.rulings import (
    DATA_TYPE,
    EDGETPU_STATUSES,
    LIMITATION,
    MAPPED,
    NOT_CONSTANT,
    NOT_SUPPORTED,
    RANK,
    SECOND_SUBGRAPH,
    STRIDES,
    VERSION,
)
from wording import PER_CHANNEL_DENSE

SHAPE = (1, 8, 8, 4)
KERNEL = np.ones((4, 1, 1, 4), np.int8)
BIAS = np.zeros(4, np.int32)
RELU = {"op": "RELU", "shape": SHAPE}


def _conv(**changes):
    return {
        "op": "CONV_2D",
        "shape": SHAPE,
        "constants": [KERNEL, BIAS],
        "options": ("Conv2DOptions", {"strideW": 1, "strideH": 1}),
    } | changes


def _dense(scales=(0.5,), **changes):
    return {
        "op": "FULLY_CONNECTED",
        "into": (1, 4),
        "shape": (1, 4),
        "constants": [np.ones((4, 4), np.int8), BIAS],
        "scales": scales,
        "options": ("FullyConnectedOptions", {}),
    } | changes


def _ints(*values, dtype=np.int32):
    return np.array(values, dtype)


PAIRS = (
    "deeplabv3_mnv2_dm05_pascal_quant",
    "dense_256",
    "face_detection_front_128_full_integer_quant",
    "keras_lstm_mnist_ptq",
    "mobilenet_v1_0.25_128_quant",
    "model_mat_Add",
    "model_padding_stride_128x128x3",
    "posenet_mobilenet_v1_075_353_481_quant_decoder",
    "split_concat",
)


@pytest.mark.parametrize("name", PAIRS)
def test_operators_left_on_the_cpu_are_those_that_the_real_compiler_left_there(shared, name):
    folder = shared / "data" / "edgetpu_pairs"
    predicted = check_model(folder / f"{name}.tflite", target="edgetpu")
    real = read_compiled(folder / f"{name}_edgetpu.tflite")
    left = tuple(v.op.name for v in predicted.ops if not v.mapped)
    assert left == real.cpu_ops
    assert predicted.mapped == len(predicted.ops) - len(real.cpu_ops)


@pytest.mark.parametrize("name", PAIRS)
def test_predicted_cycles_are_near_the_compilers(shared, name):
    folder = shared / "data" / "edgetpu_pairs"
    predicted = check_model(folder / f"{name}.tflite", target="edgetpu").estimate["cycles"]
    real = read_compiled(folder / f"{name}_edgetpu.tflite").cycles
    if real is None or real < 1000:
        pytest.skip("the compiler left no cycles, or too few to matter beside the call")
    # Additions, pools and resizes cost something too: up to 30 % on nets of small convolutions.
    assert predicted == pytest.approx(real, rel=0.30)


# MobileNetV1, a quarter as wide, at 128 px: side after each depthwise convolution, channels after
# the pointwise one that follows it.
MOBILENET = (
    (64, 16), (32, 32), (32, 32), (16, 64), (16, 64), (8, 128), (8, 128),
    (8, 128), (8, 128), (8, 128), (8, 128), (4, 256), (4, 256),
)  # fmt: skip
MOBILENET_CYCLES = 21_568  # that the Edge TPU compiler wrote into a public model of these shapes


def _mobilenet():
    def conv(side, kernel, channels, stride=1, op="CONV_2D"):
        options = {"strideW": stride, "strideH": stride}
        table = "Conv2DOptions" if op == "CONV_2D" else "DepthwiseConv2DOptions"
        return {
            "op": op,
            "shape": (1, side, side, channels),
            "constants": [np.ones(kernel, np.int8), np.zeros(channels, np.int32)],
            "options": (table, options if op == "CONV_2D" else options | {"depthMultiplier": 1}),
        }

    ops = [conv(64, (8, 3, 3, 3), 8, stride=2) | {"into": (1, 128, 128, 3)}]
    side, channels = 64, 8
    for after, wider in MOBILENET:
        depthwise = (1, 3, 3, channels)
        ops.append(conv(after, depthwise, channels, side // after, op="DEPTHWISE_CONV_2D"))
        ops.append(conv(after, (wider, 1, 1, channels), wider))
        side, channels = after, wider
    pool = {"filterWidth": 4, "filterHeight": 4, "strideW": 2, "strideH": 2}
    ops.append(
        {"op": "AVERAGE_POOL_2D", "shape": (1, 1, 1, 256), "options": ("Pool2DOptions", pool)}
    )
    return [*ops, conv(1, (1001, 1, 1, 256), 1001)]


def test_predicted_cycles_of_a_small_mobilenet_are_near_the_compilers(make_op_model):
    predicted = check_model(make_op_model(*_mobilenet()), target="edgetpu")
    assert predicted.verdict == "full"
    assert predicted.mapped == 29
    assert predicted.estimate["cycles"] == pytest.approx(MOBILENET_CYCLES, rel=0.30)


def test_a_full_int8_chain_maps_in_full(make_op_model):
    outcome = check_model(make_op_model(_conv(into=SHAPE), RELU), target="edgetpu")
    assert (outcome.verdict, outcome.mapped) == ("full", 2)
    assert outcome.first_blocking is None
    assert outcome.estimate["error_factor"] == 2


BLOCKED = {
    "custom": ({"custom": "Mine", "shape": SHAPE}, NOT_SUPPORTED),
    "unknown": ({"op": "SIN", "shape": SHAPE}, NOT_SUPPORTED),
    "dequantize": ({"op": "DEQUANTIZE", "shape": SHAPE, "type": "float32"}, DATA_TYPE),
    "16 bits": ({"op": "RELU", "shape": SHAPE, "type": "int16"}, DATA_TYPE),
    "batch": ({"op": "RESHAPE", "shape": (2, 8, 4, 4), "constants": [_ints(2, 8, 4, 4)]}, RANK),
    "five dimensions": (
        {"op": "RESHAPE", "shape": (1, 2, 4, 8, 4), "constants": [_ints(1, 2, 4, 8, 4)]},
        RANK,
    ),
    "dilation": (
        _conv(options=("Conv2DOptions", {"dilationWFactor": 2, "dilationHFactor": 1})),
        LIMITATION,
    ),
    "computed weights": ({"op": "CONV_2D", "shape": SHAPE, "inputs": 2}, NOT_CONSTANT),
    "pool with relu": (
        {
            "op": "MAX_POOL_2D",
            "shape": SHAPE,
            "options": ("Pool2DOptions", {"fusedActivationFunction": 1}),
        },
        LIMITATION,
    ),
    "strides": (
        {
            "op": "STRIDED_SLICE",
            "shape": (1, 4, 8, 4),
            "constants": [_ints(0, 0, 0, 0), _ints(*SHAPE), _ints(1, 2, 1, 1)],
        },
        STRIDES,
    ),
    "mean over 6 channels": (
        {"op": "MEAN", "into": (1, 8, 8, 6), "shape": (1, 8, 8, 1), "constants": [_ints(-1)]},
        LIMITATION,
    ),
    "mean over a large map": (
        {"op": "MEAN", "into": (1, 256, 128, 3), "shape": (1, 3), "constants": [_ints(1, 2)]},
        LIMITATION,
    ),
    "pad of the batch": (
        {
            "op": "PAD",
            "shape": (2, 8, 8, 4),
            "constants": [np.array([[1, 0], [0, 0], [0, 0], [0, 0]], np.int32)],
        },
        RANK,
    ),
    "softmax of a map": ({"op": "SOFTMAX", "shape": SHAPE}, LIMITATION),
    "long softmax": ({"op": "SOFTMAX", "into": (1, 16001), "shape": (1, 16001)}, LIMITATION),
    "prelu for each position": (
        {"op": "PRELU", "shape": SHAPE, "constants": [np.ones((8, 8, 4), np.int8)]},
        LIMITATION,
    ),
    "dense over positions": (_dense(into=(1, 8, 4), shape=(1, 8, 4)), LIMITATION),
}


@pytest.mark.parametrize("case", BLOCKED)
def test_what_the_edge_tpu_does_not_take_is_named_with_reason_and_cure(make_op_model, case):
    op, status = BLOCKED[case]
    path = make_op_model({"into": SHAPE, **op})
    outcome = check_model(path, target="edgetpu")
    first = outcome.first_blocking
    assert first.status == status, first.reason
    assert first.reason
    assert first.cure
    assert outcome.verdict == "none"
    assert outcome.estimate is None


def test_a_float_input_costs_its_quantize_alone(make_op_model):
    quantize = {"op": "QUANTIZE", "into": SHAPE, "into_type": "float32", "shape": SHAPE}
    outcome = check_model(make_op_model(quantize, _conv()), target="edgetpu")
    assert (outcome.verdict, outcome.mapped) == ("partial", 1)
    assert outcome.ops[0].status == LIMITATION
    assert "int8" in outcome.ops[0].cure


def test_what_follows_an_unmapped_operator_stays_on_the_cpu_and_says_because_of_whom(
    make_op_model,
):
    sine = {"op": "SIN", "shape": SHAPE}
    outcome = check_model(make_op_model(_conv(into=SHAPE), sine, _conv()), target="edgetpu")
    assert [v.status for v in outcome.ops] == [MAPPED, NOT_SUPPORTED, SECOND_SUBGRAPH]
    assert "SIN (operator 1)" in outcome.ops[2].reason


def test_a_size_that_is_computed_refuses_the_whole_model_with_its_own_cure(make_op_model):
    """As a transposed convolution of an open batch has it; the compiler wants static tensors."""
    enlarge = {
        "op": "TRANSPOSE_CONV",
        "shape": (1, 8, 8, 4),
        "constants": [np.ones((4, 1, 1, 4), np.int8), np.ones((1, 8, 8, 4), np.int8)],
        "options": ("TransposeConvOptions", {"strideW": 1, "strideH": 1}),
    }
    size = {"op": "SHAPE", "shape": (4,), "type": "int32"}
    path = make_op_model(_conv(into=SHAPE), size, enlarge)
    outcome = check_model(path, target="edgetpu")
    assert (outcome.verdict, outcome.mapped) == ("refused", 0)
    assert "size of TRANSPOSE_CONV's output is computed" in outcome.refusal.reason
    assert [v.status for v in outcome.ops] == [LIMITATION, NOT_SUPPORTED, NOT_CONSTANT]
    assert all("qat_w8a8" not in v.cure for v in outcome.ops)


@pytest.mark.parametrize(
    ("op", "version", "refused"),
    [
        ("CONV_2D", 5, False),
        ("CONV_2D", 6, True),
        ("RELU", 4, True),
        ("GELU", 1, True),
        ("FULLY_CONNECTED", 9, False),
        ("FULLY_CONNECTED", 12, True),
    ],
)
def test_a_newer_operator_version_refuses_the_whole_model(make_op_model, op, version, refused):
    described = {"CONV_2D": _conv(), "FULLY_CONNECTED": _dense()}.get(
        op, {"op": op, "shape": SHAPE}
    )
    path = make_op_model({"into": SHAPE, **described, "version": version})
    outcome = check_model(path, target="edgetpu")
    assert (outcome.verdict == "refused") == refused
    if refused:
        assert outcome.mapped == 0
        assert outcome.first_blocking.status == VERSION


def test_a_float_model_is_refused_as_not_quantized(make_tflite):
    outcome = check_model(make_tflite(), target="edgetpu")
    assert outcome.verdict == "refused"
    assert "not quantized" in outcome.refusal.reason
    assert "qat_w8a8" in outcome.refusal.cure


def test_dense_weights_with_a_scale_for_each_output_are_refused_though_they_would_map(
    make_op_model,
):
    outcome = check_model(make_op_model(_dense(scales=(0.5, 0.25, 0.5, 0.5))), target="edgetpu")
    assert outcome.verdict == "refused"
    assert PER_CHANNEL_DENSE in outcome.refusal.reason
    assert "_experimental_disable_per_channel_quantization_for_dense_layers" in outcome.refusal.cure
    assert check_model(make_op_model(_dense()), target="edgetpu").verdict == "full"


def test_a_compiled_model_is_taken_apart_instead(edgetpu_pair):
    path = edgetpu_pair[1]
    outcome = check_model(path, target="edgetpu")
    assert outcome.verdict == "refused"
    assert outcome.compiled.cycles == outcome.estimate["cycles"] == 21_000
    assert outcome.estimate["cycles_from"] == "the compiler"
    assert not any("prediction" in note for note in outcome.notes)
    printed = CliRunner().invoke(main, ["check", str(path)]).stdout
    assert "runs on the CPU" not in printed and "blocking" not in printed


def test_the_gpu_takes_floats_and_names_what_it_has_not(make_op_model, make_tflite):
    assert check_model(make_tflite(), target="gpu").verdict == "full"
    largest = {"op": "ARG_MAX", "shape": (1, 8, 8), "type": "int64", "constants": [_ints(3)]}
    path = make_op_model(_conv(into=SHAPE), largest)
    outcome = check_model(path, target="gpu")
    assert (outcome.verdict, outcome.mapped) == ("partial", 1)
    assert "ARG_MAX" in outcome.first_blocking.reason


def test_the_estimate_follows_its_formula():
    work = Work(
        cycles=500_000,  # 1 ms at 500 MHz
        cycles_from="",
        instruction_bytes=100_000,
        input_bytes=200_000,
        output_bytes=20_000,
        streamed_bytes=100_000,  # 420,000 bytes in all: 1 ms at 420 MB/s
        cached_bytes=0,
    )
    assert milliseconds(work, HOSTS["x86-64, USB 3"]) == pytest.approx(0.4 + 1 + 1)
    # libedgetpu1-std: 2 ms at 250 MHz
    assert milliseconds(work, HOSTS["x86-64, USB 3, std"]) == pytest.approx(0.4 + 1 + 2)


def test_json_has_the_contracts_keys_and_the_compilers_words(make_op_model):
    path = make_op_model(_conv(into=SHAPE), {"op": "SIN", "shape": SHAPE})
    run = CliRunner().invoke(main, ["check", str(path), "--target", "edgetpu", "--json"])
    assert run.exit_code == 0
    content = json.loads(run.stdout)
    assert (content["verdict"], content["total"], content["mapped"]) == ("partial", 2, 1)
    assert [(row["op"], row["count"]) for row in content["ops"]] == [("CONV_2D", 1), ("SIN", 1)]
    assert all(row["status"] in EDGETPU_STATUSES for row in content["ops"])
    assert "estimate" in content["estimate"]["label"]
    assert "edgetpu: partial" in run.stderr


def test_the_table_says_what_to_do_and_that_nothing_was_measured(make_op_model):
    path = make_op_model(_conv(into=SHAPE), {"op": "SIN", "shape": SHAPE})
    run = CliRunner().invoke(main, ["check", str(path), "--target", "edgetpu"])
    assert run.exit_code == 0
    assert "first blocking operator: SIN (operator 1)" in run.stdout
    assert "libedgetpu1-std at half the clock" in run.stdout.replace("\n", " ")
    assert "not measured" in run.stdout
    assert "Cure" in run.stdout
    assert "1 operator(s) on the CPU not included" in run.stdout


def test_a_model_that_maps_whole_has_nothing_left_out_of_its_estimate(make_op_model):
    model = str(make_op_model(_conv(into=SHAPE), RELU))
    run = CliRunner().invoke(main, ["check", model, "--target", "edgetpu"])
    assert "not measured)" in run.stdout
    assert "on the CPU not included" not in run.stdout


@pytest.mark.parametrize("words", [[], ["--target", "all"]])
def test_without_a_target_one_table_has_them_all(make_op_model, words):
    path = make_op_model(_conv(into=SHAPE), {"op": "SIN", "shape": SHAPE})
    run = CliRunner().invoke(main, ["check", str(path), *words])
    assert run.exit_code == 0, run.output
    rows = {line.split()[1]: line for line in run.stdout.splitlines() if line.startswith("│")}
    assert set(rows) >= {"edgetpu", "gpu", "ethosu", "tflm", "npu"}
    assert "partial" in rows["edgetpu"]
    assert "1 of 2" in rows["edgetpu"]
    for name in rows:
        assert f"{name}: " in run.stderr  # what to do next, or how to install it


def test_json_of_all_targets_keeps_the_edge_tpus_keys_and_adds_the_others(make_op_model):
    path = str(make_op_model(_conv(into=SHAPE), {"op": "SIN", "shape": SHAPE}))
    alone, every = (
        json.loads(CliRunner().invoke(main, ["check", path, "--json", *words]).stdout)
        for words in (["--target", "edgetpu"], [])
    )
    assert {key: every[key] for key in alone} == alone
    assert every["targets"]["gpu"]["target"] == "gpu"
    for name, outcome in every["targets"].items():
        assert outcome["target"] == name
        assert ("verdict" in outcome) != ("error" in outcome)


def test_what_fails_there_fails_the_command_and_what_is_missing_does_not(
    make_op_model, monkeypatch, tmp_path
):
    fake = tmp_path / "vela"
    fake.write_text('#!/bin/sh\n[ "$1" = --version ] && echo 5 && exit 0\necho no; exit 3\n')
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if importlib.util.find_spec("ethosu") is not None:  # it would come before the program
        package = tmp_path / "before" / "ethosu"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "vela.py").write_text("print('no')\nraise SystemExit(3)\n")
        path = [str(package.parent), os.environ.get("PYTHONPATH", "")]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
    run = CliRunner().invoke(main, ["check", str(make_op_model(_conv(into=SHAPE), RELU))])
    assert run.exit_code == 1
    assert "vela ended with exit code 3; its last words: no" in run.output
    assert "failed" in run.stdout


def test_a_target_that_tells_nothing_without_a_device_is_refused(make_op_model):
    model = str(make_op_model(_conv(into=SHAPE), RELU))
    run = CliRunner().invoke(main, ["check", model, "--target", "linux"])
    assert (run.exit_code, "asmnet-kit check knows" in run.output) == (2, True)
    run = CliRunner().invoke(main, ["check", model, "--option", "nonsense=1"])
    assert (run.exit_code, "has one of that name" in run.output) == (2, True)


LOG = """Edge TPU Compiler version 16.0.384591198
Input: model.tflite
Output: model_edgetpu.tflite

Operator                       Count      Status

CONV_2D                        1          Mapped to Edge TPU
SIN                            {sines}          Operation not supported
"""


@pytest.mark.parametrize(
    ("sines", "verdict"), [(1, "the prediction agrees"), (4, "it has 5 operators, this one 2")]
)
def test_a_compilers_log_stands_beside_the_prediction(make_op_model, tmp_path, sines, verdict):
    path = make_op_model(_conv(into=SHAPE), {"op": "SIN", "shape": SHAPE})
    log = tmp_path / "model_edgetpu.log"
    log.write_text(LOG.format(sines=sines))
    run = CliRunner().invoke(main, ["check", str(path), "--compiler-log", str(log)])
    assert run.exit_code == 0
    assert verdict in run.stdout.replace("\n", " ")
    as_json = CliRunner().invoke(main, ["check", str(path), "--compiler-log", str(log), "--json"])
    assert json.loads(as_json.stdout)["compiler_log"]["tpu_ops"] == 1


def test_a_prediction_that_the_compiler_contradicts_is_called_wrong(make_op_model, tmp_path):
    path = make_op_model(_conv(into=SHAPE), RELU)
    log = tmp_path / "model_edgetpu.log"
    log.write_text(LOG.format(sines=1))
    run = CliRunner().invoke(main, ["check", str(path), "--compiler-log", str(log)])
    assert "the prediction was wrong: 2 operators" in run.stdout


@pytest.mark.parametrize(
    ("text", "arguments", "code", "message"),
    [
        ("nothing\n", [], 1, "expected what edgetpu_compiler says of one model, got 0"),
        ("Model not quantized\n", [], 1, "it says: Model not quantized"),
        (LOG.format(sines=1), ["--target", "gpu"], 2, "is only for the target edgetpu"),
    ],
)
def test_what_is_no_log_of_this_compiler_is_refused(
    make_op_model, tmp_path, text, arguments, code, message
):
    log = tmp_path / "x.log"
    log.write_text(text)
    model = str(make_op_model(_conv(into=SHAPE)))
    run = CliRunner().invoke(main, ["check", model, "--compiler-log", str(log), *arguments])
    assert (run.exit_code, message in run.output) == (code, True)


def test_damaged_models_are_one_line(make_op_model, tmp_path):
    content = make_op_model(_conv(into=SHAPE), RELU).read_bytes()
    rng = np.random.default_rng(0)
    bad = tmp_path / "bad.tflite"
    for _ in range(200):
        damaged = bytearray(content)
        damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
        bad.write_bytes(bytes(damaged))
        try:
            check_model(bad, target="edgetpu")
        except ModelError:
            continue
    bad.write_bytes(content[:100])
    run = CliRunner().invoke(main, ["check", str(bad)])
    assert run.exit_code == 1
    assert run.output.startswith("Error: ")
    assert isinstance(run.exception, SystemExit)
