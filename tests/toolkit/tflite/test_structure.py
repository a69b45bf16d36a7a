"""Damage that a flatbuffer verifier does not see."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from asmnet_kit.base.errors import ModelError
from asmnet_kit.tflite.metadata import pack_model, parse_model
from asmnet_kit.tflite.structure import check_structure

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
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_kind_of_damage_is_named(make_tflite, damage):
    model = parse_model(make_tflite(size=8, int8=True))
    change, message = DAMAGES[damage]
    change(model)
    with pytest.raises(ModelError, match=message):
        check_structure(pack_model(model), name="m.tflite")


def test_a_whole_file_passes(make_tflite):
    check_structure(make_tflite(size=8, int8=True).read_bytes(), name="m.tflite")
