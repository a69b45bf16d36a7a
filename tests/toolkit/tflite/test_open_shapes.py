"""Dimensions that a file leaves open: shown everywhere, refused where a size is needed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from asmnet_kit.cli import main
from asmnet_kit.tflite.accelerator_placement import ACCELERATORS
from asmnet_kit.tflite.packing import pack_model, unpack_model
from asmnet_kit.tflite.reader import read_graph
from asmnet_kit.tflite.runtime import open_runtime


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
    assert list((tmp_path / "r").glob("*.json")) == []
    audited = json.loads(CliRunner().invoke(main, ["audit", str(path), "--json"]).stdout)
    assert {v["verdict"] for v in audited["verdicts"].values()} == {"refused"}
    for target in ACCELERATORS:
        run = CliRunner().invoke(main, ["check", str(path), "--target", target, "--json"])
        refusal = json.loads(run.stdout)["refusal"]
        assert run.exit_code == 0 and "[?, ?, ?, 4] leaves its size open" in refusal["reason"]


def test_an_open_size_that_the_file_gives_a_value_for_runs_with_it(make_open_model):
    path = make_open_model((-1, 8, 8, 4))
    model = unpack_model(path.read_bytes())
    model.subgraphs[0].tensors[0].shapeSignature = [-1, -1, -1, 4]
    path.write_bytes(pack_model(model))
    assert not read_graph(path).inputs[0].unsized
    assert open_runtime(path).inputs["t0"].shape == (1, 8, 8, 4)
