"""The Edge TPU as a target on a machine that has none: what is missing, and nothing pretended."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import MissingDependency, ModelError, UsageError
from asmnet_kit.benchmarks.checking.executable import read_compiled
from asmnet_kit.benchmarks.protocol import Request
from asmnet_kit.benchmarks.targets import edgetpu
from asmnet_kit.benchmarks.targets.edgetpu import EDGETPU, EdgeTpuSession, open_edgetpu
from asmnet_kit.cli import main
from asmnet_kit.shipping.shipped import find_model
from asmnet_kit.tflite.reader import read_graph
from asmnet_kit.tflite.runtime import open_runtime
from wording import PER_CHANNEL_DENSE

SHAPE = (1, 8, 8, 4)


@pytest.fixture
def compiled(edgetpu_pair):
    return edgetpu_pair[1]


def test_what_is_missing_is_named_with_a_prediction_in_place_of_a_measurement(
    make_tflite, tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    model = make_tflite(int8=True)
    run = CliRunner().invoke(
        main, ["benchmark", str(model), "--target", "edgetpu", "--out", str(tmp_path / "r")]
    )
    assert run.exit_code == 1
    assert "not measured; prediction: full, 2 of 2 ops" in run.output
    assert "estimate, up to 2x off" in run.output
    assert "edgetpu_compiler is not on this machine" in run.output
    assert not (tmp_path / "r").exists()


def test_a_compiled_model_needs_no_compiler(compiled, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "edgetpu_compiler" not in (EDGETPU.problem(Request(compiled)) or "")


def test_without_the_library_the_message_says_how_to_install_it(compiled, tmp_path):
    request = Request(
        compiled, target="edgetpu", options={"edgetpu_library": str(tmp_path / "none.so")}
    )
    with pytest.raises(ModelError, match=r"none\.so cannot be loaded.*libedgetpu1-std"):
        open_edgetpu(compiled, request, source=None)


class _Module:
    """The runtime's module with a delegate that fails the way libedgetpu does."""

    def __init__(self, delegate_error=None, interpreter_error=None):
        self._errors = (delegate_error, interpreter_error)

    def load_delegate(self, library, options):
        if self._errors[0]:
            raise self._errors[0]
        return object()

    def Interpreter(self, **_):
        raise self._errors[1]


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (_Module(ValueError("Failed to load delegate from libedgetpu.so.1\n")), "no Edge TPU"),
        (_Module(None, RuntimeError("Unsupported data type in custom op handler")), "tflite-runt"),
        (
            _Module(None, RuntimeError("Encountered unresolved custom op: edgetpu-custom-op.")),
            "do not belong together",
        ),
        (_Module(None, SystemError("CreateWrapperFromBuffer")), "cannot run beside NumPy"),
    ],
)
def test_failures_of_the_delegate_are_told_apart(compiled, monkeypatch, module, message):
    found = ("ai-edge-litert", module)
    monkeypatch.setattr(edgetpu, "installed_runtime", lambda *, order: found)
    monkeypatch.setattr(edgetpu.ctypes, "CDLL", lambda library: None)
    with pytest.raises((ModelError, MissingDependency), match=message):
        open_edgetpu(compiled, Request(compiled, target="edgetpu"), source=None)


def test_a_model_whose_outputs_would_be_wrong_is_refused_before_it_is_compiled(
    make_op_model, monkeypatch
):
    """Dense weights with a scale for each output: check refuses them, too."""
    monkeypatch.setattr(edgetpu, "find_compiler", lambda told: pytest.fail("compiled"))
    weights, bias = np.ones((4, 4), np.int8), np.zeros(4, np.int32)
    model = make_op_model(
        {
            "op": "FULLY_CONNECTED",
            "into": (1, 4),
            "shape": (1, 4),
            "constants": [weights, bias],
            "scales": (0.5, 0.25, 0.5, 0.5),
            "options": ("FullyConnectedOptions", {}),
        }
    )
    with pytest.raises(ModelError, match=PER_CHANNEL_DENSE):
        EDGETPU.measure(Request(model, target="edgetpu"), lambda *_: None)


class _Delegated:
    """A session whose runtime is the CPU's, with a delegate node that took one operator."""

    def __init__(self, runtime):
        self.name, self.version, self.delegated_ops = "tflite-runtime", "2.14.0", 1
        self.inputs, self.outputs, self.run = runtime.inputs, runtime.outputs, runtime.run


@pytest.mark.parametrize(("left", "warned"), [(("ARG_MAX", "DEQUANTIZE"), True), ((), False)])
def test_operators_left_on_the_cpu_are_warned_of(compiled, make_tflite, monkeypatch, left, warned):
    inside = replace(read_compiled(compiled), cpu_ops=left)
    runtime = _Delegated(open_runtime(make_tflite(int8=True)))
    names = {name: name for name in (*runtime.inputs, *runtime.outputs)}
    session = EdgeTpuSession(runtime, names, delegate="EdgeTpuDelegateForCustomOp", proof=[])
    monkeypatch.setattr(edgetpu, "open_edgetpu", lambda *_, source: session)
    monkeypatch.setattr(edgetpu, "read_compiled", lambda path: inside)
    request = Request(compiled, target="edgetpu", warmup_runs=0, runs=2, min_seconds=0.0)
    measured = EDGETPU.measure(request, lambda *_: None)
    said = [w for w in measured.warnings if "2 operator(s) run on the CPU" in w]
    assert bool(said) == warned
    assert measured.runtime["kernels"].startswith("Edge TPU (all")


@pytest.fixture
def source(edgetpu_pair):
    """What ``compiled`` was compiled from."""
    return edgetpu_pair[0]


def test_a_model_compiled_elsewhere_is_measured_as_the_one_it_was_compiled_from(
    compiled, monkeypatch, tmp_path
):
    """As on an Arm board, where the compiler does not run. The device is played by the CPU."""
    monkeypatch.setenv("PATH", str(tmp_path))
    model = find_model(Path("asmnet_nano_68_80_qat_w8a8"))
    opened = []

    def open_given(path, request, *, source):
        opened.append((path, source.inputs[0].name))
        runtime = _Delegated(open_runtime(request.model))
        names = {name: name for name in (*runtime.inputs, *runtime.outputs)}
        return EdgeTpuSession(runtime, names, delegate="EdgeTpuDelegateForCustomOp", proof=[])

    monkeypatch.setattr(edgetpu, "open_edgetpu", open_given)
    request = Request(
        model, target="edgetpu", options={"edgetpu_model": str(compiled)},
        warmup_runs=0, runs=2, min_seconds=0.0,
    )  # fmt: skip
    assert "edgetpu_compiler" not in (EDGETPU.problem(request) or "")
    measured = EDGETPU.measure(request, lambda *_: None)
    EDGETPU.predictor(request)  # metadata and all
    assert opened == 2 * [(compiled, read_graph(model).inputs[0].name)]
    assert measured.target["actual"] == "edgetpu"
    assert measured.parity is not None and measured.parity["max"] == 0


def test_a_compiled_file_must_be_of_the_model(compiled, source, make_tflite):
    def refuse(model, told, **options):
        options |= {"edgetpu_model": str(told)}
        EDGETPU.refuse(Request(model, target="edgetpu", options=options))

    refuse(source, compiled)
    with pytest.raises(UsageError, match=r"not compiled from .*expected inputs and outputs"):
        refuse(make_tflite(int8=True), compiled)
    with pytest.raises(UsageError, match="expected what edgetpu_compiler made"):
        refuse(source, source)
    with pytest.raises(UsageError, match="compiled already: give the model that it was compiled"):
        refuse(compiled, compiled)
    with pytest.raises(UsageError, match="leave one out"):
        refuse(source, compiled, edgetpu_compiler="/opt/c")


def test_one_compiled_file_is_of_one_model(compiled, source, make_tflite, tmp_path):
    words = ["benchmark", str(source), str(make_tflite(int8=True)), "--target", "edgetpu"]
    words += ["--edgetpu-model", str(compiled), "--out", str(tmp_path / "r")]
    run = CliRunner().invoke(main, words)
    assert run.exit_code == 2
    assert "--edgetpu-model is of one MODEL, got 2" in run.output


def test_a_device_is_usb_or_pci(compiled):
    with pytest.raises(UsageError, match="expected --device usb, usb:N"):
        EDGETPU.measure(Request(compiled, target="edgetpu", device="gpu:0"), lambda *_: None)


def test_tensors_of_a_compiled_model_get_the_names_of_the_sources_signature(make_tflite):
    # The compiler keeps the tensors' own names and drops the signature.
    path = make_tflite(int8=True)
    source = read_graph(path)
    runtime = open_runtime(path)
    own = {t.name for t in (*source.inputs, *source.outputs)}
    runtime.inputs, runtime.outputs = ({n: None for n in own if n.startswith(p)} for p in "io")
    names = edgetpu._names(source, source, runtime)
    assert set(names.values()) == {"image", "landmarks", "pose"}
