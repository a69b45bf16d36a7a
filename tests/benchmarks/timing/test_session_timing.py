"""Timing an opened model: warm-up until steady, sustained curves, parity with the CPU."""

import time

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from click.testing import CliRunner

from asmnet_kit.base.errors import ModelError, UsageError
from asmnet_kit.benchmarks.protocol import Request
from asmnet_kit.benchmarks.runner import parity_limit
from asmnet_kit.benchmarks.timing.output_check import (
    KeptRun,
    Landmarks,
    OutputCheck,
    Ruler,
    steps_before_float,
)
from asmnet_kit.benchmarks.timing.session_timing import measure_session, sustained_summary
from asmnet_kit.benchmarks.timing.timed_inputs import random_input, timed_inputs
from asmnet_kit.cli import main
from asmnet_kit.results.results import load_result
from asmnet_kit.tflite.packing import pack_model, unpack_model
from asmnet_kit.tflite.reader import read_graph
from asmnet_kit.tflite.runtime import TensorInfo, open_runtime
from made_models import constant_face_model


class Slowing:
    """A session whose runs get slower, as on a hot phone."""

    def __init__(self) -> None:
        info = TensorInfo("x", (1,), np.dtype(np.float32), None, 0)
        self.inputs = {"x": info}
        self.outputs = {"y": info}
        self.runs = 0

    def run(self, inputs):
        self.runs += 1
        time.sleep(0.001 * (1 + self.runs / 20))
        return {"y": inputs["x"]}


def test_a_sustained_run_shows_the_slowing(tmp_path):
    model = tmp_path / "m.tflite"
    model.write_bytes(b"")
    request = Request(model, warmup_runs=1, runs=5, min_seconds=0.0, sustained_minutes=0.02)
    session, timed = measure_session(Slowing, request, lambda *_: None)
    curve = timed.sustained
    assert len(curve["windows"]) >= 2
    assert curve["windows"][-1]["seconds"] >= 1.2
    # Sleeps last longer on a busy machine, which blurs the slowing but does not hide it.
    assert curve["slowdown"] > 1.05
    assert sum(w["runs"] for w in curve["windows"]) < session.runs


def test_the_slowdown_compares_the_ends_of_the_curve():
    windows = [{"p50": v} for v in (1.0, 1.0, 1.0, 1.2, 1.2, 1.3, 1.4, 1.5, 2.0, 2.0)]
    assert sustained_summary(windows)["slowdown"] == 2.0
    nothing = [{"p50": 0.0}, {"p50": 1.0}]  # by a clock too coarse: nobody can say
    assert sustained_summary(nothing)["slowdown"] is None


def test_text_inputs_cannot_be_made_up():
    with pytest.raises(ModelError, match="expected inputs of numbers"):
        random_input(TensorInfo("x", (1,), np.dtype("S4"), None, 0))


def test_parity_counts_pixels_of_the_crop(make_tflite):
    model = make_tflite(size=32)
    same = open_runtime(model)

    class Shifted:
        inputs, outputs = same.inputs, same.outputs

        def run(self, inputs):
            raw = same.run(inputs)
            return {**raw, "landmarks": raw["landmarks"] + np.float32(0.25)}

    def parity(session):
        inputs = timed_inputs(session, Request(model))
        runs = [KeptRun("a run", 1, one, session.run(one)) for one in inputs.repeated]
        check = OutputCheck(
            session, runs, inputs, same,
            reference_name="CPU", landmarks=Landmarks("landmarks", 32, 1.0),
            max_parity=None, steps={},
        )  # fmt: skip
        return check.to_json()["passed"], check.parity()

    passed, found = parity(same)
    assert passed and found["identical"]
    passed, found = parity(Shifted())
    assert not passed
    assert found["max"] == pytest.approx(8, rel=1e-5)  # a quarter of 32 pixels
    assert found["mean"] == pytest.approx(8, rel=1e-5)
    assert not found["identical"]


def test_a_target_with_other_names_is_not_compared_and_a_number_alone_is_an_array(tmp_path):
    class Renamed(Slowing):
        def run(self, inputs):
            return {"y": np.float32(1.0)}

    model = tmp_path / "m.tflite"
    model.write_bytes(constant_face_model(68, 32, int8=False, pose=True))
    request = Request(model, warmup_runs=0, runs=3, min_seconds=0.0)
    _, timed = measure_session(Renamed, request, lambda *_: None)
    assert timed.output_check is None
    (warning,) = [text for text in timed.warnings if "not compared" in text]
    assert "expected the inputs image, the target has x" in warning


def test_an_output_of_another_shape_is_infinitely_far():
    info = TensorInfo("y", (2,), np.dtype(np.float32), None, 0)
    ruler = Ruler("", 1.0, 1.0, "")
    assert ruler.difference(np.zeros(2), np.zeros(3), info) == (np.inf, np.inf)
    assert ruler.difference(np.array([1.0, np.nan]), np.array([1.0, np.nan]), info) == (0.0, 0.0)
    assert ruler.difference(np.array([1.0, np.inf]), np.array([1.0, np.inf]), info) == (0.0, 0.0)
    for ours in (np.nan, -np.inf, 0.0):
        far = ruler.difference(np.array([1.0, ours]), np.array([1.0, np.inf]), info)
        assert far == (np.inf, np.inf)


@pytest.mark.parametrize(
    "options", [{"mode": "offline"}, {"sustained_minutes": -1.0}], ids=["mode", "minutes"]
)
def test_unknown_modes_are_usage_errors(options, tmp_path):
    with pytest.raises(UsageError):
        Request(tmp_path / "m", **options)


def _run(*arguments):
    return CliRunner().invoke(main, ["benchmark", *map(str, arguments)])


def test_single_stream_runs_1024_queries_unless_the_time_is_up(make_tflite, tmp_path):
    out = tmp_path / "r"
    run = _run(make_tflite(), "--single-stream", "--max-seconds", "60", "--runs", "3", "--out", out)
    assert run.exit_code == 2
    assert "--single-stream sets --runs itself" in run.output


def test_an_accuracy_target_that_is_missed_ends_with_1(make_tflite, make_pts_faces, tmp_path):
    quick = ["--runs", 3, "--seconds", 0, "--warmup", 1]
    data = ["--data", make_pts_faces(), "--format", "300w"]
    # The made-up model predicts the generic face, which these faces are, but for rounding.
    model = make_tflite(int8=True)
    met = _run(model, *quick, *data, "--max-nme", 50, "--out", tmp_path / "a")
    assert met.exit_code == 0, met.output
    missed = _run(model, *quick, *data, "--max-nme", 1e-6, "--out", tmp_path / "b")
    assert missed.exit_code == 1
    assert "expected an NME of at most 1e-06 %" in missed.output
    assert load_result(tmp_path / "b" / "constant_cpu_1t.json")["accuracy"]["faces"] == 3
    assert _run(model, "--max-nme", 5, "--out", tmp_path / "c").exit_code == 2


def float_outputs(path):
    """An int8 model with a DEQUANTIZE behind each output, as converters end them by default."""
    model = unpack_model(path.read_bytes())
    graph = model.subgraphs[0]
    model.operatorCodes.append(
        schema.OperatorCodeT(
            builtinCode=schema.BuiltinOperator.DEQUANTIZE,
            deprecatedBuiltinCode=schema.BuiltinOperator.DEQUANTIZE,
            version=2,
        )
    )
    outputs = [int(number) for number in graph.outputs]
    graph.outputs = []
    for number in outputs:
        raw = graph.tensors[number]
        graph.tensors.append(
            schema.TensorT(
                name=raw.name + b"_float", shape=raw.shape, type=schema.TensorType.FLOAT32, buffer=0
            )
        )
        made = len(graph.tensors) - 1
        graph.operators.append(
            schema.OperatorT(
                opcodeIndex=len(model.operatorCodes) - 1, inputs=[number], outputs=[made]
            )
        )
        graph.outputs.append(made)
        for signature in model.signatureDefs or []:
            for output in signature.outputs:
                if output.tensorIndex == number:
                    output.tensorIndex = made
    path.write_bytes(pack_model(model))
    return path


@pytest.mark.parametrize(("levels", "passes"), [(1, True), (2, True), (11, False)])
def test_float_outputs_of_8_bits_have_the_limits_of_integers(make_tflite, levels, passes):
    """One step of 1 / 256 is 0.44 px of a crop of 112, and float16's mean limit is 0.22 px."""
    model = float_outputs(make_tflite(size=112, int8=True))
    same = open_runtime(model)
    steps = steps_before_float(read_graph(model))
    assert same.outputs["landmarks"].dtype == np.float32
    assert steps == {"landmarks": pytest.approx(1 / 256), "pose": pytest.approx(1 / 128)}

    class Chip:
        inputs, outputs = same.inputs, same.outputs

        def run(self, inputs):
            return {
                name: values + np.float32(levels * steps[name])
                for name, values in same.run(inputs).items()
            }

    request = Request(model, warmup_runs=0, runs=3, min_seconds=0.0)
    _, timed = measure_session(Chip, request, lambda *_: None)
    assert timed.output_check["passed"] is passes
    limit = parity_limit(request)
    assert limit.limit == pytest.approx(10 * 112 / 256)
