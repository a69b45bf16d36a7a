"""One reader of a .tflite: what a whole file holds, also behind its flatbuffer."""

import json
import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from asmnet_kit.base.errors import ModelError
from asmnet_kit.cli import main
from asmnet_kit.tflite.metadata import ModelMetadata, read_metadata, with_metadata
from asmnet_kit.tflite.packing import pack_model, unpack_model
from asmnet_kit.tflite.reader import graph_of, read_graph
from asmnet_kit.tflite.runtime import open_runtime

ROOT = Path(__file__).resolve().parents[3]
SHAPE = (1, 8, 8, 4)


def test_nothing_else_reads_the_format():
    """``packing`` and ``float_borders`` write; the others find the classes of the schema."""
    using = {
        str(path.relative_to(ROOT))
        for folder in ("toolkit", "training", "quantize", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(
            r"schema_py_generated|tflite_schema|import .*\bschema$", path.read_text(), re.M
        )
    }
    names = ("litert_private", "schema", "reader", "packing", "float_borders")
    assert using == {f"toolkit/tflite/{name}.py" for name in names}


@pytest.mark.parametrize("command", ["audit", "check", "benchmark --target cpu --out results"])
def test_a_folder_in_place_of_a_model_is_said_so(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, [*command.split(), str(tmp_path)])
    assert result.exit_code == 1, result.output
    assert f"{tmp_path}: expected a .tflite, got a folder" in result.output


def test_a_whole_file_is_read_with_its_names_types_and_constants(make_tflite):
    graph = read_graph(make_tflite(size=8, int8=True))
    assert [op.name for op in graph.ops] == ["FULLY_CONNECTED"] * 2
    (image,) = graph.inputs
    assert (image.shape, image.shape_signature, image.type) == ((1, 8, 8, 3), (1, 8, 8, 3), "int8")
    assert (image.scales, image.zero_points) == ((1 / 128,), (0,))
    assert not (image.constant or image.open or image.unsized)
    assert graph.signature == (("in:0", "image"), ("out:0", "pose"), ("out:1", "landmarks"))
    (signature,) = graph.signatures
    assert (signature.key, signature.inputs) == ("serving_default", (("image", 0),))
    kernel = graph.ops[0].inputs[1]
    values = np.frombuffer(kernel.data, np.int8).reshape(kernel.shape)
    assert values.shape == (3, 192)
    assert np.argwhere(values).tolist() == [[0, 0], [1, 1], [2, 2]]
    assert json.loads(graph.metadata["ASMNET_KIT"])["landmarks"] == 68


def test_a_graph_does_not_change(make_op_model, conv):
    graph = read_graph(make_op_model(conv))
    (op,) = graph.ops
    assert op.options["strideW"] == 1
    with pytest.raises(FrozenInstanceError):
        op.name = "OTHER"
    with pytest.raises(TypeError):
        op.options["strideW"] = 2
    with pytest.raises(TypeError):
        graph.metadata["ASMNET_KIT"] = b""
    with pytest.raises(TypeError):
        op.inputs[1].data[0] = 1


def test_a_constant_behind_the_flatbuffer_is_the_same_constant(make_tflite, tmp_path, behind):
    inside, outside = make_tflite(size=8, int8=True), tmp_path / "outside.tflite"
    outside.write_bytes(behind(inside.read_bytes()))
    first, second = read_graph(inside), read_graph(outside)
    assert first == second
    for one, other in zip(first.tensors, second.tensors, strict=True):
        assert bytes(one.data) == bytes(other.data)
    assert read_metadata(outside) == read_metadata(inside)
    image = {"image": np.random.default_rng(0).integers(-128, 128, (1, 8, 8, 3)).astype(np.int8)}
    expected, got = open_runtime(inside).run(image), open_runtime(outside).run(image)
    assert expected["pose"].any() and {k: v.tolist() for k, v in got.items()} == {
        k: v.tolist() for k, v in expected.items()
    }


@pytest.mark.parametrize(
    "command",
    [
        "audit {model}",
        "check {model}",
        "benchmark {model} --warmup 1 --runs 3 --seconds 0 --out {out}",
    ],
)
def test_commands_take_a_model_with_constants_behind_the_flatbuffer(
    command, make_tflite, tmp_path, behind
):
    path = make_tflite(size=8, int8=True)
    path.write_bytes(behind(path.read_bytes()))
    words = [word.format(model=path, out=tmp_path / "results") for word in command.split()]
    run = CliRunner().invoke(main, words)
    assert run.exit_code == 0, run.output
    assert "damaged" not in run.output


def test_new_metadata_brings_the_constants_inside(make_tflite, behind):
    """Offsets count from the file's beginning; in a longer file they would point elsewhere."""
    path = make_tflite(size=8, int8=True)
    before = read_graph(path)
    other = ModelMetadata(architecture="other", landmarks=68, input_size=8, recipe="w" * 5000)
    path.write_bytes(with_metadata(behind(path.read_bytes()), other))
    after = read_graph(path)
    assert read_metadata(path) == other
    for one, another in zip(before.tensors, after.tensors, strict=True):
        assert bytes(one.data) == bytes(another.data)


@pytest.mark.parametrize(
    ("offset", "size"), [(10**6, 8), (100, 10**6), (2**64 - 8, 8), (2**63, 2**63), (5, 2**64 - 1)]
)
def test_an_offset_out_of_the_file_is_damage_in_every_command(offset, size, make_tflite, tmp_path):
    path = make_tflite(size=8, int8=True)
    model = unpack_model(path.read_bytes())
    buffer = model.buffers[1]
    buffer.data, buffer.offset, buffer.size = None, offset, size
    path.write_bytes(pack_model(model))
    for command in ("audit", "check"):
        run = CliRunner().invoke(main, [command, str(path)])
        assert run.exit_code == 1
        assert "buffer 1 lies at bytes" in run.output.replace("\n", " ")


def test_a_file_that_ends_before_the_constants_behind_it_is_damage(make_tflite, behind):
    content = behind(make_tflite(size=8, int8=True).read_bytes())
    for length in (len(content) - 16, len(content) - 2000):
        with pytest.raises(ModelError, match="lies at bytes"):
            graph_of(content[:length], name="m.tflite")


def test_custom_options_behind_the_flatbuffer_are_read_and_kept(make_op_model):
    """Compiled models above 2 GB keep their executables there."""
    custom = {"custom": "Mine", "into": SHAPE, "shape": SHAPE, "payload": b"inside"}
    model = unpack_model(make_op_model(custom).read_bytes())
    (operator,) = model.subgraphs[0].operators
    operator.customOptions, operator.largeCustomOptionsSize = None, 7
    operator.largeCustomOptionsOffset = 2  # written in the first round, too
    operator.largeCustomOptionsOffset = len(pack_model(model))
    content = pack_model(model) + b"outside"
    assert graph_of(content, name="m").ops[0].custom_options == b"outside"
    assert graph_of(pack_model(unpack_model(content)), name="m").ops[0].custom_options == b"outside"
    with pytest.raises(ModelError, match="the options of operator 0 lies"):
        graph_of(content[:-1], name="m")


def test_values_in_another_file_are_refused_with_a_reason(make_tflite):
    model = unpack_model(make_tflite(size=8).read_bytes())
    tensor = model.subgraphs[0].tensors[1]
    tensor.buffer, tensor.externalBuffer = 0, 7
    with pytest.raises(ModelError, match=r"a model in one file, got .* tensor 1"):
        graph_of(pack_model(model), name="m.tflite")
