"""Dimensions that a file leaves open: shown everywhere, refused where a size is needed."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.benchmarks import runner
from asmnet_kit.benchmarks.targets.registry import TARGETS
from asmnet_kit.cli import main
from asmnet_kit.tflite.accelerator_placement import ACCELERATORS
from asmnet_kit.tflite.packing import pack_model, unpack_model
from asmnet_kit.tflite.reader import read_graph
from asmnet_kit.tflite.runtime import open_runtime
from asmnet_kit.tflite.tensorfile import read_tensors, write_tensors


@pytest.fixture
def make_open_model(make_op_model, conv) -> Callable[..., Path]:
    """A convolution whose input and output leave dimensions open, as the converter writes them."""

    def make(signature: tuple[int, ...]) -> Path:
        shape = tuple(max(1, size) for size in signature)
        path = make_op_model(conv | {"into": shape, "shape": shape})
        model = unpack_model(path.read_bytes())
        for index in (*model.subgraphs[0].inputs, *model.subgraphs[0].outputs):
            model.subgraphs[0].tensors[index].shapeSignature = list(signature)
        path.write_bytes(pack_model(model))
        return path

    return make


def test_an_open_batch_is_shown_and_runs_as_one(make_open_model):
    path = make_open_model((-1, 8, 8, 4))
    (image,) = read_graph(path).inputs
    assert (image.shape, image.shape_signature) == ((1, 8, 8, 4), (-1, 8, 8, 4))
    assert (image.shape_text, image.open, image.unsized) == ("[?, 8, 8, 4]", True, False)
    shown = CliRunner().invoke(main, ["audit", str(path), "--tensors"])
    assert shown.exit_code == 0 and "?x8x8x4" in shown.stdout
    content = json.loads(CliRunner().invoke(main, ["audit", str(path), "--json"]).stdout)
    assert content["tensors"][0]["shape_signature"] == [-1, 8, 8, 4]
    assert [(f["kind"], f["gravity"]) for f in content["findings"]] == [("open_shape", "note")]
    # The compiler took dense_256 of the public pairs, whose batch is open, in full.
    assert {target: v["verdict"] for target, v in content["verdicts"].items()} == {
        "cpu": "full", "edgetpu": "full", "gpu": "full"
    }  # fmt: skip
    (note,) = open_runtime(path).notes
    assert note == "the input 't0' has open dimensions; it runs as [1, 8, 8, 4]"
    checked = json.loads(CliRunner().invoke(main, ["check", str(path), "--json"]).stdout)
    assert any("[?, 8, 8, 4]; checked as [1, 8, 8, 4]" in note for note in checked["notes"])


def test_an_input_of_open_size_is_refused_where_a_size_is_needed(make_open_model, tmp_path):
    """The file has 1 x 1 pixels for it, of which a benchmark would measure 0.00 ms."""
    path = make_open_model((-1, -1, -1, 4))
    measured = CliRunner().invoke(main, ["benchmark", str(path), "--out", str(tmp_path / "r")])
    words = " ".join(measured.output.split())
    assert measured.exit_code == 1 and "of shape [?, ?, ?, 4]: the file leaves it open" in words
    assert "--input-shape HxW" in words
    assert list((tmp_path / "r").glob("*.json")) == []
    audited = json.loads(CliRunner().invoke(main, ["audit", str(path), "--json"]).stdout)
    assert {v["verdict"] for v in audited["verdicts"].values()} == {"refused"}
    for target in ACCELERATORS:
        run = CliRunner().invoke(main, ["check", str(path), "--target", target, "--json"])
        refusal = json.loads(run.stdout)["refusal"]
        assert run.exit_code == 0 and "[?, ?, ?, 4] leaves its size open" in refusal["reason"]


def test_an_open_size_is_refused_before_any_target_gets_the_model(
    make_open_model, tmp_path, monkeypatch
):
    """LiteRT on a GPU runs 1 x 1 pixels of it, without a word."""

    def run_worker(*_: object, **__: object) -> None:
        raise AssertionError("the target got the model")

    monkeypatch.setattr(runner, "run_worker", run_worker)
    monkeypatch.setitem(TARGETS.own, "chip", "faulty_chip:CHIP")
    path = make_open_model((-1, -1, -1, 4))
    call = ["benchmark", str(path), "--target", "chip", "--out", str(tmp_path / "r")]
    measured = CliRunner().invoke(main, call)
    assert "--input-shape HxW" in " ".join(measured.output.split())
    assert measured.exit_code == 1 and list((tmp_path / "r").glob("*.json")) == []


def test_an_open_size_that_the_file_gives_a_value_for_runs_with_it(make_open_model):
    path = make_open_model((-1, 8, 8, 4))
    model = unpack_model(path.read_bytes())
    model.subgraphs[0].tensors[0].shapeSignature = [-1, -1, -1, 4]
    path.write_bytes(pack_model(model))
    assert not read_graph(path).inputs[0].unsized
    assert open_runtime(path).inputs["t0"].shape == (1, 8, 8, 4)


def test_an_open_size_is_measured_as_given(make_open_model, tmp_path):
    """Raw inputs of 6 x 5 pixels go through the measured model: it has that size."""
    path = make_open_model((-1, -1, -1, 4))
    raw, out = tmp_path / "in.bin", tmp_path / "out.bin"
    write_tensors(raw, {"t0": np.zeros((2, 1, 6, 5, 4), np.int8)})
    call = ["benchmark", str(path), "--runs", "1", "--seconds", "0", "--warmup", "0"]
    call += ["--out", str(tmp_path / "r")]
    files = ["--inputs", str(raw), "--outputs", str(out)]
    run = CliRunner().invoke(main, [*call, *files, "--input-shape", "1x6x5x3"])
    assert run.exit_code == 0, run.output
    (values,) = read_tensors(out).values()
    assert values.shape == (2, 1, 6, 5, 4)
    (file,) = (tmp_path / "r").glob("*.json")
    result = json.loads(file.read_text())
    assert result["protocol"]["input_shape"] == [6, 5] and "_6x5" in file.name
    assert "--input-shape 6x5" in result["command"]
    assert result["model"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not any("open dimensions" in warning for warning in result["warnings"])
    again = CliRunner().invoke(main, [*call, "--input-shape", "7x7"])
    assert again.exit_code == 0 and len(list((tmp_path / "r").glob("*.json"))) == 2


def test_an_open_size_is_looked_into_as_given(make_open_model):
    """A 1x1 convolution of 4 to 4 channels keeps the size: 6 x 5 in, 6 x 5 out."""
    path = make_open_model((-1, -1, -1, 4))
    shape = ["--input-shape", "6x5", "--json"]
    audited = json.loads(CliRunner().invoke(main, ["audit", str(path), *shape]).stdout)
    sizes = {tensor["role"]: tensor["shape"] for tensor in audited["tensors"]}
    assert (sizes["input"], sizes["output"]) == ([1, 6, 5, 4], [1, 6, 5, 4])
    assert audited["input_shape"] == [6, 5] and audited["findings"] == []
    assert audited["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert {v["verdict"] for v in audited["verdicts"].values()} == {"full"}
    for target in ACCELERATORS:
        run = CliRunner().invoke(main, ["check", str(path), "--target", target, *shape])
        checked = json.loads(run.stdout)
        assert (checked["verdict"], checked["refusal"]) == ("full", None)
        assert checked["input_shape"] == [6, 5] and checked["model"] == str(path)


@pytest.mark.parametrize("command", ["audit", "check", "benchmark"])
def test_a_size_beside_a_fixed_one_is_refused(make_open_model, tmp_path, command):
    path = make_open_model((-1, 8, 8, 4))
    call = [command, str(path), "--input-shape", "6x8"]
    call += ["--out", str(tmp_path / "r")] if command == "benchmark" else []
    run = CliRunner().invoke(main, call)
    assert run.exit_code == 2 and "fixed size [?, 8, 8, 4], got 6x8" in run.output
    malformed = CliRunner().invoke(main, [*call[:3], "112,112", *call[4:]])
    assert malformed.exit_code == 2 and "112x112 or 1x112x112x3" in malformed.output
    assert not (tmp_path / "r").exists()


def test_a_size_that_the_model_cannot_have_is_told(make_op_model):
    """8 x 8 x 4 values are reshaped to 256: another size has another number of values."""
    into = {"op": "RESHAPE", "into": (1, 8, 8, 4), "shape": (1, 256)}
    path = make_op_model(into | {"options": ("ReshapeOptions", {"newShape": [1, 256]})})
    model = unpack_model(path.read_bytes())
    model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].shapeSignature = [-1, -1, -1, 4]
    path.write_bytes(pack_model(model))
    run = CliRunner().invoke(main, ["check", str(path), "--input-shape", "6x6"])
    words = " ".join(run.output.split())
    assert run.exit_code == 1 and "at --input-shape 6x6" in words and str(path) in words
