"""Damage that no verifier of flatbuffers sees: named, and never another error than ModelError."""

import contextlib
import math
import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from asmnet_kit.base.errors import ModelError
from asmnet_kit.tflite.accelerator_placement import ACCELERATORS, place
from asmnet_kit.tflite.contract import verify_activations, verify_contract, verify_w8a8
from asmnet_kit.tflite.findings import find
from asmnet_kit.tflite.graph import Graph
from asmnet_kit.tflite.packing import pack_model, unpack_model
from asmnet_kit.tflite.reader import graph_of, read_graph
from asmnet_kit.tflite.structure import ELEMENT_BITS

SHAPE = (1, 8, 8, 4)
# Operators whose constants the rules look into: axes, paddings, strides.
INDEXED = (
    {"op": "PAD", "shape": (1, 10, 10, 4),
     "constants": [np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32)]},
    {"op": "STRIDED_SLICE", "shape": (1, 5, 5, 4),
     "constants": [np.array(v, np.int32) for v in ([0] * 4, [1, 10, 10, 4], [1, 2, 2, 1])],
     "options": ("StridedSliceOptions", {})},
    {"op": "MEAN", "shape": (1, 4), "constants": [np.array([1, 2], np.int32)],
     "options": ("ReducerOptions", {})},
)  # fmt: skip
FLIPS, CUTS = 300, 100  # of each model


Damage = Callable[[schema.ModelT], None]


def _graph(model: schema.ModelT) -> schema.SubGraphT:
    return model.subgraphs[0]


def _set(target: object, **values: object) -> None:
    for name, value in values.items():
        setattr(target, name, value)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "an operator's input does not exist": (
        lambda m: _set(_graph(m).operators[0], inputs=[999, 1, 2]),
        "input of operator 0 is tensor 999",
    ),
    "an operator's code does not exist": (
        lambda m: _set(_graph(m).operators[0], opcodeIndex=7),
        "operator 0 has code 7 of 1",
    ),
    "a graph output does not exist": (
        lambda m: _set(_graph(m), outputs=[-5]),
        "an output is tensor -5",
    ),
    "a tensor's buffer does not exist": (
        lambda m: _set(_graph(m).tensors[0], buffer=99),
        "points to buffer 99",
    ),
    "a constant is shorter than its shape": (
        lambda m: _set(_graph(m).tensors[1], shape=[1000, 192]),
        "needs .* bytes, holds",
    ),
    "a dimension is negative": (
        lambda m: _set(_graph(m).tensors[0], shape=[1, -8, 8, 3]),
        "has the shape",
    ),
    "a tensor is larger than memory": (
        lambda m: _set(_graph(m).tensors[0], shape=[1, 100_000, 100_000, 3]),
        "claims",
    ),
    "a constant has lost its data": (
        lambda m: _set(_graph(m).tensors[1], buffer=0),
        "which nothing fills",
    ),
    "an operator reads what comes later": (
        lambda m: _graph(m).operators.reverse() or _set(_graph(m).operators[1], inputs=[999]),
        "tensor 999",
    ),
    "a scale is not finite": (
        lambda m: _set(_graph(m).tensors[0].quantization, scale=np.array([math.inf], np.float32)),
        "not finite",
    ),
    "a zero point is out of its type's range": (
        lambda m: _set(_graph(m).tensors[0].quantization, zeroPoint=np.array([4000])),
        "zero point outside",
    ),
    "there are more scales than channels": (
        lambda m: _set(
            _graph(m).tensors[0].quantization,
            scale=np.ones(5, np.float32),
            zeroPoint=np.zeros(5, np.int64),
        ),
        "5 scales along axis",
    ),
    "a signature names a tensor that does not exist": (
        lambda m: _set(m.signatureDefs[0].inputs[0], tensorIndex=4_000_000_000),
        "a signature names tensor",
    ),
    "there is no graph": (lambda m: _set(m, subgraphs=[]), "no subgraph"),
    "nothing can be divided by a scale": (
        lambda m: _set(_graph(m).tensors[0].quantization, scale=np.array([1e-40], np.float32)),
        "has the scale 9.99.*e-41",
    ),
    "a scale is zero": (
        lambda m: _set(_graph(m).tensors[0].quantization, scale=np.zeros(1, np.float32)),
        "has the scale 0",
    ),
    "an operator lacks an input": (
        lambda m: _set(_graph(m).operators[0], inputs=[0]),
        r"operator 0 \(FULLY_CONNECTED\) has 1 of at least 2 inputs",
    ),
    "an operator lacks its output": (
        lambda m: _set(_graph(m).operators[0], outputs=[]),
        "has no output",
    ),
    "an operator writes into the file": (
        lambda m: _set(_graph(m).operators[0], outputs=[1]),
        "writes to tensor 1",
    ),
    "the open shape is another's": (
        lambda m: _set(_graph(m).tensors[0], shapeSignature=[-1, 8]),
        "the signature",
    ),
    "metadata points to no buffer": (
        lambda m: _set(m.metadata[0], buffer=99),
        "metadata 0 points to buffer 99",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_kind_of_damage_is_named(make_tflite, damage):
    model = unpack_model(make_tflite(size=8, int8=True).read_bytes())
    change, message = DAMAGES[damage]
    change(model)
    with pytest.raises(ModelError, match=message):
        graph_of(pack_model(model), name="m.tflite")


def test_axes_that_are_no_whole_numbers_are_damage(make_op_model):
    model = unpack_model(make_op_model(INDEXED[-1] | {"into": SHAPE}).read_bytes())
    axes = _graph(model).tensors[_graph(model).operators[0].inputs[1]]
    axes.type = schema.TensorType.FLOAT32
    with pytest.raises(ModelError, match=r"operator 0 \(MEAN\) has indices of the type float32"):
        graph_of(pack_model(model), name="m.tflite")


@pytest.mark.parametrize(("op", "place"), [("RESHAPE", 1), ("TRANSPOSE", 1), ("SLICE", 2)])
def test_more_dimensions_than_a_tensor_can_have_are_damage(op, place, make_op_model):
    numbers = [np.zeros(4, np.int32)] * place
    numbers[-1] = np.zeros(48, np.int32)
    model = make_op_model({"op": op, "into": SHAPE, "shape": SHAPE, "constants": numbers})
    with pytest.raises(ModelError, match=rf"operator 0 \({op}\) is given for 48 dimensions"):
        read_graph(model)


def test_a_split_without_its_number_of_parts_is_damage(make_op_model):
    """The runtime would believe the options, and write past its memory."""
    split = {"op": "SPLIT", "into": SHAPE, "shape": SHAPE, "inputs": 2}
    with pytest.raises(ModelError, match="has 1 outputs and splits into 0"):
        read_graph(make_op_model(split))


def consistent(graph: Graph) -> None:
    """What readers of a graph rely on, of whatever was accepted."""
    filled = {t.index for t in graph.tensors if t.constant or t.variable or not t.elements}
    filled |= {t.index for t in graph.inputs}
    for index, tensor in enumerate(graph.tensors):
        assert tensor.index == index and len(tensor.shape_signature) == len(tensor.shape)
        assert tensor.constant == bool(len(tensor.data))
        assert len(tensor.scales) in {0, 1, *tensor.shape}
        assert all(math.isfinite(scale) and scale >= 0 for scale in tensor.scales)
        if tensor.constant and not tensor.sparse and tensor.type in ELEMENT_BITS:
            bits = tensor.elements * ELEMENT_BITS[tensor.type]
            assert len(tensor.data) == (bits + 7) // 8
    for op in graph.ops:
        assert all(graph.tensors[t.index] is t for t in (*op.inputs, *op.outputs))
        assert {t.index for t in op.inputs} <= filled
        filled |= {t.index for t in op.outputs}
    assert {t.index for t in graph.outputs} <= filled


def look_everywhere(graph: Graph) -> None:
    """Everything that judges a graph without running it, none of which may fall over it."""
    for target in ACCELERATORS:
        assert len(place(graph, target).ops) == len(graph.ops)
    find(graph, None, {})
    for verify in (
        lambda: verify_contract(graph, outputs={"landmarks", "pose"}),
        lambda: verify_w8a8(graph),
        lambda: verify_activations(graph),
    ):
        with contextlib.suppress(ModelError):
            verify()


def damaged_copies(content: bytes) -> Iterator[bytes]:
    """Copies with a flipped byte or two, and copies that are cut off."""
    rng = random.Random(0)
    for number in range(FLIPS):
        copy = bytearray(content)
        for _ in range(1 + number % 2):
            copy[rng.randrange(len(copy))] = rng.randrange(256)
        yield bytes(copy)
    for _ in range(CUTS):
        yield content[: rng.randrange(len(content))]


@pytest.mark.parametrize("kind", ["constants inside", "constants behind", "many rules"])
def test_a_damaged_file_is_read_consistently_or_is_a_model_error(
    kind, make_tflite, make_op_model, conv, behind
):
    content = {
        "constants inside": lambda: make_tflite(size=4, points=68, int8=True).read_bytes(),
        "constants behind": lambda: behind(make_tflite(size=4, int8=True).read_bytes()),
        "many rules": lambda: make_op_model(conv, *INDEXED).read_bytes(),
    }[kind]()
    consistent(graph_of(content, name="whole"))
    read = 0
    for copy in damaged_copies(content):
        try:
            graph = graph_of(copy, name="damaged")
        except ModelError:
            continue
        read += 1
        consistent(graph)
        look_everywhere(graph)
    assert 0 < read < FLIPS + CUTS


@pytest.mark.parametrize("custom", ["ethos-u", "another"])
def test_only_an_ethos_u_may_read_a_workspace_that_nothing_fills(make_op_model, tmp_path, custom):
    shape, memory = (1, 4), np.zeros(4, np.int8)
    op = {"custom": custom, "into": shape, "shape": shape, "constants": [memory, memory]}
    model = schema.ModelT.InitFromPackedBuf(make_op_model(op).read_bytes(), 0)
    model.subgraphs[0].tensors[2].buffer = 0  # the third input: Vela's scratch memory
    path = tmp_path / "vela.tflite"
    path.write_bytes(pack_model(model))
    if custom == "ethos-u":
        assert [op.name for op in read_graph(path).ops] == ["ethos-u"]
    else:
        with pytest.raises(ModelError, match="reads tensor 2, which nothing fills"):
            read_graph(path)
