"""Ahead-of-time compilation for phone chips; a fake compiler stands in for the chip maker's."""

import importlib
import importlib.util
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import MissingDependency, ModelError, UsageError
from asmnet_kit.benchmarks.protocol import Request
from asmnet_kit.benchmarks.targets.registry import load_target, problem_of
from asmnet_kit.cli import main

SHAPE = (1, 8, 8, 4)
RELU = {"op": "RELU", "into": SHAPE, "shape": SHAPE}
SIN = {"op": "SIN", "shape": SHAPE}
NPU = {"custom": "DISPATCH_OP", "into": SHAPE, "shape": SHAPE}
HAS_QUALCOMM = importlib.util.find_spec("ai_edge_litert_sdk_qualcomm") is not None


@pytest.fixture
def model(make_op_model):
    return make_op_model(RELU, SIN, name="m.tflite")


@pytest.fixture
def compiler(monkeypatch, tmp_path):
    """Puts a function in place of LiteRT's; it gets what the real one would."""
    module = importlib.import_module("ai_edge_litert.aot.aot_compile")

    def put(content=b"", *, stats=((1, 2, 1),), fails=None, count=1):
        def compile_fake(path, *, output_dir, target, keep_going):
            assert not keep_going
            if fails is not None:
                raise fails
            made = tmp_path / f"{target!r}.tflite"
            made.write_bytes(content)
            parts = [
                SimpleNamespace(
                    num_ops_offloaded=taken, num_total_ops=total, num_partitions_offloaded=parts
                )
                for taken, total, parts in stats
            ]
            one = SimpleNamespace(
                in_memory=False, path=made, partition_stats=SimpleNamespace(subgraph_stats=parts)
            )
            return SimpleNamespace(models=[one] * count)

        monkeypatch.setattr(module, "aot_compile", compile_fake)

    return put


def _check(model, soc=None):
    options = {"soc": soc} if soc else {}
    return load_target("npu").check(Request(model, target="npu", options=options))


def test_placement_and_size_come_from_the_file_that_was_left(compiler, model, make_op_model):
    content = make_op_model(NPU, SIN, name="made.tflite").read_bytes()
    compiler(content)
    found = _check(model).to_json()
    assert (found["verdict"], found["mapped"], found["total"]) == ("partial", 1, 2)
    assert found["first_blocking"]["op"] == "SIN"
    assert found["compiled_bytes"] == len(content)
    assert found["estimate"] is None
    assert found["tool"]["options"] == {"soc": "qualcomm:SM8650"}
    assert "not measured" in found["notes"][0]


@pytest.mark.parametrize("soc", ["mediatek:MT6991", "google_tensor:Tensor_G5", "samsung:E9965"])
def test_each_makers_chip_can_be_asked_for(compiler, model, make_op_model, soc):
    compiler(make_op_model(NPU, SIN, name="made.tflite").read_bytes())
    assert _check(model, soc).tool["options"] == {"soc": soc}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got an empty file"),
        (b"\x1c\0\0\0TFL3" + 90 * b"\1", "damaged"),
        (None, "its file has no DISPATCH_OP: it is incomplete"),
    ],
)
def test_an_empty_or_partial_file_is_a_failure(compiler, model, content, message):
    compiler(model.read_bytes() if content is None else content)
    with pytest.raises(ModelError, match=message):
        _check(model)


def test_an_operator_of_the_cpu_that_is_none_of_the_models_is_not_counted_as_the_npus(
    compiler, model, make_op_model
):
    compiler(make_op_model(NPU, SIN, SIN, name="made.tflite").read_bytes())
    with pytest.raises(ModelError, match="left SIN to the CPU, which is no operator of the model"):
        _check(model)


def test_a_compiler_that_tells_no_placement_or_several_files_is_refused(
    compiler, model, make_op_model
):
    content = make_op_model(NPU, SIN, name="made.tflite").read_bytes()
    compiler(content, stats=())
    with pytest.raises(ModelError, match="told no placement"):
        _check(model)
    compiler(content, count=2)
    with pytest.raises(ModelError, match="expected one compiled model"):
        _check(model)


def test_the_plugins_log_is_read_and_removed(compiler, model, tmp_path):
    log = tmp_path / "x.error"
    log.write_text("ERROR: op 7 has no kernel\n")
    compiler(fails=ValueError(f"apply_plugin failed to apply plugin. See {log} for details."))
    with pytest.raises(ModelError, match="op 7 has no kernel"):
        _check(model)
    assert not log.exists()


@pytest.mark.parametrize("soc", ["qualcomm", "acme:X1", "qualcomm:X1", "qualcomm:ALL"])
def test_what_is_no_chip_is_a_wrong_call(model, soc):
    with pytest.raises(UsageError, match="option soc: expected"):
        _check(model, soc)


@pytest.mark.skipif(HAS_QUALCOMM, reason="Qualcomm's compiler is installed")
def test_without_the_makers_compiler_the_real_plugin_is_called_missing(model):
    with pytest.raises(MissingDependency, match="pip install ai-edge-litert-sdk-qualcomm"):
        _check(model)
    assert "licence" in problem_of("npu")


def test_a_compiler_is_not_timed(model, tmp_path):
    words = ["benchmark", str(model), "--target", "npu", "--out", str(tmp_path / "r")]
    run = CliRunner().invoke(main, words)
    assert (run.exit_code, "no time to measure here" in run.output) == (2, True)
