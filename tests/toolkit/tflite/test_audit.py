"""An audit names what a converter did without a word, in models built to have it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from click.testing import CliRunner

from asmnet_kit.base.errors import ModelError
from asmnet_kit.cli import main
from asmnet_kit.tflite.accelerator_placement import FULL, REFUSED
from asmnet_kit.tflite.audit import CLIPPED_SHARE, audit_model
from asmnet_kit.tflite.packing import pack_model, unpack_model

SHAPE = (1, 8, 8, 4)
RELU6 = {"fusedActivationFunction": 3}


def conv(**changes: Any) -> dict[str, Any]:
    return {
        "op": "CONV_2D",
        "into": SHAPE,
        "shape": SHAPE,
        "constants": [np.full((4, 1, 1, 4), 100, np.int8), np.zeros(4, np.int32)],
        "scales": (0.5,) * 4,
        "options": ("Conv2DOptions", {"strideW": 1, "strideH": 1}),
    } | changes


def quantize(**changes: Any) -> dict[str, Any]:
    return {"op": "QUANTIZE", "shape": SHAPE} | changes


DEQUANTIZE = {"op": "DEQUANTIZE", "shape": SHAPE, "type": "float32"}
DENSE = {
    "op": "FULLY_CONNECTED",
    "into": (1, 4),
    "shape": (1, 4),
    "constants": [np.full((4, 4), 100, np.int8), np.zeros(4, np.int32)],
    "options": ("FullyConnectedOptions", {}),
}


def kinds(path: Path) -> set[str]:
    return {finding.kind for finding in audit_model(path).findings}


@pytest.mark.parametrize(
    ("ops", "found"),
    [
        ((conv(),), set()),
        (
            (conv(), DEQUANTIZE, {"op": "SIN", "shape": SHAPE, "type": "float32"}, quantize()),
            {"float_island"},
        ),
        ((conv(), DEQUANTIZE, quantize(), conv()), {"conversion_pair"}),
        ((conv(), DEQUANTIZE), {"float_border"}),
        ((conv(), quantize(), conv()), {"requantize"}),
        ((conv(scales=(0.5,)),), {"kernel_per_tensor"}),
        ((DENSE,), set()),
        ((DENSE | {"scales": (0.5,) * 4},), {"dense_per_channel"}),
        (
            (conv(constants=[np.eye(4, dtype=np.int8).reshape(4, 1, 1, 4), np.ones(4, np.int32)]),),
            {"few_levels"},
        ),
        (
            (conv(constants=[conv()["constants"][0], np.array([0, -(2**31), 0, 0], np.int32)]),),
            {"bias_cut"},
        ),
        ((conv(version=99),), {"op_version"}),
        (
            ({"op": "CONCATENATION", "into": SHAPE, "shape": (1, 8, 8, 8), "inputs": 2},),
            {"concatenation_scale"},
        ),
    ],
)
def test_each_fault_is_named_and_nothing_else(
    ops: tuple[dict[str, Any], ...], found: set[str], make_op_model: Callable[..., Path]
) -> None:
    assert kinds(make_op_model(*ops)) == found


def test_wrong_numbers_come_before_what_merely_costs(make_op_model: Callable[..., Path]) -> None:
    path = make_op_model(conv(scales=(0.5,)), DENSE | {"shape": (1, 4), "scales": (0.5,) * 4})
    gravities = [finding.gravity for finding in audit_model(path).findings]
    assert gravities == ["wrong", "costly"]


def test_a_float_model_has_no_islands_and_no_place_on_an_edge_tpu(
    make_tflite: Callable[..., Path],
) -> None:
    outcome = audit_model(make_tflite())
    assert outcome.findings == ()
    verdicts = {target: v.verdict for target, v in outcome.verdicts.items()}
    assert verdicts == {"cpu": FULL, "edgetpu": REFUSED, "gpu": FULL}


def test_a_model_that_the_runtime_cannot_load_is_refused_on_the_cpu(
    make_op_model: Callable[..., Path],
) -> None:
    outcome = audit_model(make_op_model({"custom": "Mine", "into": SHAPE, "shape": SHAPE}))
    assert outcome.verdicts["cpu"].verdict == REFUSED
    assert "Mine" in outcome.verdicts["cpu"].reason


def test_a_file_that_breaks_the_kits_promises_is_called_wrong(
    make_tflite: Callable[..., Path],
) -> None:
    path = make_tflite(int8=True)
    model = unpack_model(path.read_bytes())
    model.signatureDefs[0].outputs[0].name = b"output_0"
    path.write_bytes(pack_model(model))
    (finding,) = audit_model(path).findings
    assert (finding.kind, finding.gravity) == ("contract", "wrong")
    assert "output_0" in finding.what


def test_values_at_the_limits_are_counted_with_their_real_extremes(
    make_tflite: Callable[..., Path],
) -> None:
    """pose = the top-left pixel, scale 1/128: black is -128, a limit; the landmarks are fixed."""
    path = make_tflite(int8=True, size=32)
    crops = np.full((4, 32, 32, 3), 128, np.uint8)
    crops[0, 0, 0] = (0, 64, 192)  # raw -128, -64, 64: one of 12 values at the lower limit
    outcome = audit_model(path, crops=crops)
    ((tensor, seen),) = outcome.clipped()
    assert (seen.low, seen.high) == (1 / 12, 0.0)
    assert (seen.least, seen.greatest) == (-1.0, 0.5)
    assert [f.kind for f in outcome.findings] == ["clipping"] and CLIPPED_SHARE < 1 / 12
    content = {t["index"]: t for t in outcome.to_json()["tensors"]}[tensor.index]
    assert content["saturation"] == {
        "low": 1 / 12, "high": 0.0, "least": -1.0, "greatest": 0.5
    }  # fmt: skip
    image = next(t for t in outcome.to_json()["tensors"] if t["role"] == "input")
    assert image["saturation"]["low"] == 0.0  # a black pixel is no loss


def test_the_zero_and_six_of_a_relu6_are_no_loss_but_a_six_at_four_is(
    make_op_model: Callable[..., Path],
) -> None:
    """Inputs of 127/128 x 4 channels x kernel 1 exceed each of the ceilings."""
    crops = np.full((1, 8, 8, 3), 255, np.uint8)
    layer = {
        "op": "CONV_2D",
        "into": (1, 8, 8, 3),
        "shape": (1, 8, 8, 4),
        "constants": [np.full((4, 1, 1, 3), 127, np.int8), np.zeros(4, np.int32)],
        "scales": (0.5,) * 4,
        "options": ("Conv2DOptions", {"strideW": 1, "strideH": 1} | RELU6),
    }
    for ceiling, lost in ((6.0, 0.0), (4.0, 1.0)):
        path = make_op_model(layer)
        model = unpack_model(path.read_bytes())
        tensors = model.subgraphs[0].tensors
        output = tensors[model.subgraphs[0].outputs[0]].quantization
        output.scale = np.array([ceiling / 255], np.float32)
        output.zeroPoint = np.array([-128], np.int64)
        tensors[model.subgraphs[0].inputs[0]].quantization.scale = np.array([1 / 128], np.float32)
        kernel = model.subgraphs[0].operators[0].inputs[1]
        tensors[kernel].quantization.scale = np.full(4, 0.1, np.float32)
        bias = tensors[model.subgraphs[0].operators[0].inputs[2]]
        bias.type = schema.TensorType.INT32
        bias.quantization = schema.QuantizationParametersT(
            scale=np.full(4, 0.1 / 128, np.float32), zeroPoint=np.zeros(4, np.int64)
        )
        path.write_bytes(pack_model(model))
        saturation = audit_model(path, crops=crops).saturation
        assert saturation[model.subgraphs[0].outputs[0]].high == lost


IMAGE, SMALLER, LARGER = (1, 8, 8, 3), (1, 4, 4, 3), (1, 16, 16, 3)
RELU = {"op": "RELU", "into": IMAGE, "shape": IMAGE}
TANH = {"op": "TANH", "shape": IMAGE}
POOL = {
    "shape": SMALLER,
    "options": (
        "Pool2DOptions",
        {"strideW": 2, "strideH": 2, "filterWidth": 2, "filterHeight": 2},
    ),
}
RESIZED = {"shape": LARGER, "constants": [np.array([16, 16], np.int32)]}
TWICE = {"inputs": 2, "into": IMAGE, "shape": IMAGE}
DOUBLED = {"op": "ADD", **TWICE, "options": ("AddOptions", {})}
ONE_PIXEL = np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)
BEHIND: dict[str, dict[str, Any]] = {
    "concatenation": {
        "op": "CONCATENATION",
        "inputs": 2,
        "shape": (1, 8, 8, 6),
        "options": ("ConcatenationOptions", {"axis": 3}),
    },
    "pack": {
        "op": "PACK",
        "inputs": 2,
        "shape": (2, *IMAGE),
        "options": ("PackOptions", {"valuesCount": 2}),
    },
    "tile": {"op": "TILE", "shape": LARGER, "constants": [np.array([1, 2, 2, 1], np.int32)]},
    "nearest": {
        "op": "RESIZE_NEAREST_NEIGHBOR",
        "options": ("ResizeNearestNeighborOptions", {}),
        **RESIZED,
    },
    "bilinear": {"op": "RESIZE_BILINEAR", "options": ("ResizeBilinearOptions", {}), **RESIZED},
    "pad": {"op": "PAD", "shape": (1, 10, 10, 3), "constants": [ONE_PIXEL]},
    "slice": {
        "op": "SLICE",
        "shape": SMALLER,
        "constants": [np.zeros(4, np.int32), np.array(SMALLER, np.int32)],
    },
    "average": {"op": "AVERAGE_POOL_2D", **POOL},
    "max": {"op": "MAX_POOL_2D", **POOL},
    "maximum": {"op": "MAXIMUM", **TWICE},
    "add": DOUBLED,
    "mul": {"op": "MUL", **TWICE, "options": ("MulOptions", {})},
    "quantize": {"op": "QUANTIZE", "shape": IMAGE},
}
RESCALING = ("add", "mul", "quantize")


def with_ranges(path: Path, *ranges: tuple[float, float]) -> Path:
    """Gives the input its 1/128 and each later activation a range, the last one to the rest."""
    model = unpack_model(path.read_bytes())
    graph = model.subgraphs[0]
    for number, operator in enumerate(graph.operators):
        least, greatest = ranges[min(number, len(ranges) - 1)]
        scale = (greatest - least) / 255
        for index in operator.outputs:
            graph.tensors[index].quantization = schema.QuantizationParametersT(
                scale=np.array([scale], np.float32),
                zeroPoint=np.array([round(-128 - least / scale)], np.int64),
            )
    graph.tensors[graph.inputs[0]].quantization.scale = np.array([1 / 128], np.float32)
    path.write_bytes(pack_model(model))
    return path


@pytest.fixture
def noise() -> np.ndarray:
    """Each value for itself, half of them below the middle."""
    return np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)


@pytest.mark.parametrize("name", BEHIND)
def test_the_zeros_of_a_relu_are_no_loss_behind_it_but_a_range_too_narrow_is(
    name: str, noise: np.ndarray, make_op_model: Callable[..., Path]
) -> None:
    path = make_op_model(RELU, BEHIND[name])
    whole, narrow = (0.0, 2.0 if name == "add" else 1.0), (0.0, 0.3)
    assert audit_model(with_ranges(path, whole), crops=noise).clipped() == []
    # The others have the scale of what they read: there it is cut off already.
    ranges = (whole, narrow) if name in RESCALING else (narrow,)
    outcome = audit_model(with_ranges(path, *ranges), crops=noise)
    found = {tensor.index: seen for tensor, seen in outcome.clipped()}
    last = found[outcome.graph.outputs[0].index]
    assert last.low == 0 < last.high


@pytest.mark.parametrize("name", ["concatenation", "nearest", "average", "quantize", "add"])
def test_the_ends_of_a_tanh_are_no_loss_but_a_range_within_them_is(
    name: str, noise: np.ndarray, make_op_model: Callable[..., Path]
) -> None:
    """Twice itself three times over: a tanh of up to 8 is 1."""
    path = make_op_model(*[DOUBLED] * 3, TANH, BEHIND[name])
    before = (-2.0, 2.0), (-4.0, 4.0), (-8.0, 8.0)
    ends = (-1.0, 127 / 128)  # a scale of 1/128, as the specification has it
    behind = (-2.0, 2.0) if name == "add" else ends
    outcome = audit_model(with_ranges(path, *before, ends, behind), crops=noise)
    assert outcome.clipped() == []
    narrow = (-0.5, 0.5)
    after = (ends, narrow) if name in RESCALING else (narrow, narrow)
    outcome = audit_model(with_ranges(path, *before, *after), crops=noise)
    found = {tensor.index: seen for tensor, seen in outcome.clipped()}
    last = found[outcome.graph.outputs[0].index]
    assert last.low > 0 < last.high


def test_an_activation_behind_a_sum_bounds_it_only_where_it_cuts(
    noise: np.ndarray, make_op_model: Callable[..., Path]
) -> None:
    """x + x within -1..1 is cut off below; of relu6(x + x) only what is above."""
    for options, low in (({}, True), (RELU6, False)):
        path = make_op_model(DOUBLED | {"options": ("AddOptions", options)})
        least = -1.0 if low else 0.0
        outcome = audit_model(with_ranges(path, (least, 1.0)), crops=noise)
        ((_, seen),) = outcome.clipped()
        assert (seen.low > 0.2) == low and seen.high > 0.2


def test_pictures_of_another_size_are_refused(make_tflite: Callable[..., Path]) -> None:
    with pytest.raises(ModelError, match=r"one input of \[1, 16, 16, 3\]"):
        audit_model(make_tflite(), crops=np.zeros((1, 16, 16, 3), np.uint8))


def test_the_command_prints_verdicts_and_versioned_json(
    make_tflite: Callable[..., Path], tmp_path: Path
) -> None:
    path = make_tflite(int8=True)
    shown = CliRunner().invoke(main, ["audit", str(path), "--tensors"])
    assert shown.exit_code == 0, shown.output
    assert "edgetpu" in shown.stdout and "not measured" in shown.stderr
    content = json.loads(CliRunner().invoke(main, ["audit", str(path), "--json"]).stdout)
    assert (content["schema_version"], content["kind"]) == (1, "audit")
    assert set(content["verdicts"]) == {"cpu", "edgetpu", "gpu"}
    half = tmp_path / "half.tflite"
    half.write_bytes(path.read_bytes()[:-100])
    cut = CliRunner().invoke(main, ["audit", str(half)])
    assert cut.exit_code == 1 and "truncated or damaged" in " ".join(cut.output.split())
    alone = CliRunner().invoke(main, ["audit", str(path), "--data", str(tmp_path)])
    assert alone.exit_code == 2 and "--data and --format together" in alone.output
