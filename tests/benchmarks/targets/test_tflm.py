"""TFLM behind the kit's interface: ai-edge-litert stands in, and the real one where it is."""

import importlib.util
import json
import os
import sys
from types import ModuleType

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from click.testing import CliRunner

from asmnet_kit.base.install import install_command
from asmnet_kit.benchmarks import runner
from asmnet_kit.benchmarks.protocol import Request
from asmnet_kit.benchmarks.targets import tflm
from asmnet_kit.benchmarks.targets.registry import load_target, problem_of
from asmnet_kit.cli import main
from asmnet_kit.tflite.runtime import open_runtime

HAS_TFLM = importlib.util.find_spec("tflite_micro") is not None
SHAPE = (1, 8, 8, 4)
RELU = {"op": "RELU", "into": SHAPE, "shape": SHAPE}
NODE = "Node SIN (number 1) failed to prepare with status 1\n"


class StandIn:
    """The interface of TFLM's interpreter over ai-edge-litert; ``plus`` spoils each output."""

    refuses = False
    plus = 0
    arena: int | None = 4096

    @classmethod
    def from_bytes(cls, content, arena_size):
        if cls.refuses:
            os.write(2, NODE.encode())
            raise RuntimeError("TFLM failed to allocate tensors")
        assert arena_size > len(content)
        made = cls()
        made.runtime = Interpreter(model_content=content)
        made.runtime.allocate_tensors()
        return made

    def set_input(self, values, number):
        self.runtime.set_tensor(self.runtime.get_input_details()[number]["index"], values)

    def invoke(self):
        self.runtime.invoke()

    def get_output(self, number):
        values = self.runtime.get_tensor(self.runtime.get_output_details()[number]["index"])
        limits = np.iinfo(values.dtype)
        moved = values.astype(np.int64) + self.plus
        return np.clip(moved, limits.min, limits.max).astype(values.dtype)

    def print_allocations(self):
        if self.arena is not None:
            os.write(2, f"[Rec] Arena allocation total {self.arena} bytes\n".encode())


@pytest.fixture
def stand_in(monkeypatch):
    package = ModuleType("tflite_micro")
    kind = type("Made", (StandIn,), {})
    package.runtime = ModuleType("tflite_micro.runtime")
    package.runtime.Interpreter = kind
    monkeypatch.setitem(sys.modules, "tflite_micro", package)
    monkeypatch.setattr(tflm, "version", lambda name: "1.0")
    return kind


def _check(path):
    return load_target("tflm").check(Request(path, target="tflm"))


def test_a_model_that_runs_is_full_with_its_arena_and_no_estimate(stand_in, make_tflite):
    found = _check(make_tflite(int8=True)).to_json()
    assert (found["verdict"], found["mapped"] == found["total"]) == ("full", True)
    assert found["memory_bytes"] == {"arena": 4096}
    assert found["estimate"] is None
    assert any("host time is not device time" in note for note in found["notes"])


def test_the_difference_is_told_in_levels_and_in_pixels(stand_in, make_tflite):
    path = make_tflite(int8=True, size=32)
    assert _check(path).parity["max_levels"] == 0
    stand_in.plus = 2
    parity = _check(path).parity
    assert (parity["max_levels"], parity["inputs"]) == (2, 10)
    scale = open_runtime(path).outputs["landmarks"].scale
    assert parity["max"] == pytest.approx(2 * scale * 32, rel=1e-5)
    assert parity["unit"] == "pixels of the 32 px crop"


def test_faces_are_not_called_random_inputs(stand_in, make_tflite, monkeypatch):
    monkeypatch.setattr(
        runner, "check_on_target", lambda request, on_progress: tflm.TFLM.check(request).to_json()
    )
    path = make_tflite(int8=True, size=32)
    run = CliRunner().invoke(main, ["check", str(path), "--target", "tflm"])
    assert "at most 0 levels" in run.output and "10 inputs" in run.output
    assert "random" not in run.output


def test_a_model_without_landmarks_is_judged_in_levels_alone(stand_in, make_op_model):
    stand_in.plus = 1
    parity = _check(make_op_model(RELU)).parity
    assert parity.keys() == {"inputs", "max_levels", "mean_levels"}
    assert (parity["max_levels"], 0.9 < parity["mean_levels"] <= 1) == (1, True)


def test_a_refusal_names_the_operator_and_what_tflm_said(stand_in, make_op_model):
    stand_in.refuses = True
    found = _check(make_op_model(RELU, {"op": "SIN", "shape": SHAPE}))
    assert (found.verdict, found.mapped) == ("refused", 0)
    assert found.first_blocking.op.name == "SIN"
    assert "failed to prepare with status 1" in found.refusal.reason


def test_a_result_says_that_the_hosts_time_is_no_devices(stand_in, make_tflite):
    request = Request(make_tflite(int8=True), target="tflm", runs=3, warmup_runs=0, min_seconds=0.0)
    measured = load_target("tflm").measure(request, lambda done, note: None)
    assert (measured.target["actual"], measured.target["delegate"]) == ("cpu", "TFLM")
    assert measured.memory["model_arena_bytes"] == 4096
    assert measured.runtime["name"] == "tflite-micro"
    assert any("host time is not device time" in text for text in measured.warnings)
    assert measured.parity["max_levels"] == 0


def test_an_interpreter_that_tells_no_arena_is_refused(stand_in, make_tflite):
    stand_in.arena = None
    with pytest.raises(tflm.ModelError, match="it told no arena"):
        _check(make_tflite(int8=True))


def test_without_the_package_the_message_has_the_command_that_installs_it(
    make_tflite, tmp_path, monkeypatch
):
    if HAS_TFLM:  # one that is as if it were not there comes before it, in each process
        missing = "raise ModuleNotFoundError(name='tflite_micro')\n"
        (tmp_path / "before").mkdir()
        (tmp_path / "before" / "tflite_micro.py").write_text(missing)
        path = [str(tmp_path / "before"), os.environ.get("PYTHONPATH", "")]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
        monkeypatch.syspath_prepend(str(tmp_path / "before"))
        monkeypatch.delitem(sys.modules, "tflite_micro", raising=False)
        monkeypatch.delitem(sys.modules, "tflite_micro.runtime", raising=False)
    assert install_command("tflm") in problem_of("tflm")
    run = CliRunner().invoke(main, ["check", str(make_tflite()), "--target", "tflm"])
    assert (run.exit_code, install_command("tflm") in run.output) == (1, True), run.output


@pytest.mark.skipif(not HAS_TFLM, reason="tflite-micro is not installed: asmnet-kit[tflm]")
def test_the_real_tflm_runs_asmnet_nano_and_refuses_float16_weights():
    def check(name):
        words = ["check", name, "--target", "tflm", "--json"]
        return json.loads(CliRunner().invoke(main, words).stdout)

    found = check("asmnet_nano_68_80_qat_w8a8")
    assert (found["verdict"], found["memory_bytes"]["arena"] > 67_200) == ("full", True)
    assert found["parity"]["max_levels"] <= 10
    refused = check("asmnet_plus_68_112_fp16")
    assert (refused["verdict"], refused["first_blocking"]["op"]) == ("refused", "DEQUANTIZE")


@pytest.mark.skipif(not HAS_TFLM, reason="tflite-micro is not installed: asmnet-kit[tflm]")
def test_the_real_tflm_is_measured_as_this_machines_cpu(tmp_path):
    words = ["benchmark", "asmnet_nano_68_80_qat_w8a8", "--target", "tflm", "--runs", "3"]
    words += ["--warmup", "1", "--seconds", "0", "--out", str(tmp_path), "--json"]
    run = CliRunner().invoke(main, words)
    (result,) = json.loads(run.stdout)["results"].values()
    assert (result["target"]["requested"], result["target"]["actual"]) == ("tflm", "cpu")
    assert "host time is not device time" in run.stderr
