"""A file that breaks the int8 contract is refused, and the message names the tensor."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tf_keras
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.quantize.convert import convert
from asmnet_kit.quantize.converter_settings import CALIBRATED_INT8, FLOAT32
from asmnet_kit.quantize.source.fold import deployable
from asmnet_kit.tflite.contract import verify_contract, verify_w8a8
from asmnet_kit.tflite.packing import pack_model, unpack_model

OUTPUTS = {"landmarks", "pose"}


@pytest.fixture(scope="module")
def good(make_network: Callable[[], tf_keras.Model], crops: NDArray[np.uint8]) -> bytes:
    return convert(deployable(make_network()), CALIBRATED_INT8, crops=crops)


def changed(content: bytes, change: Callable[[Any], None]) -> bytes:
    model = unpack_model(content)
    change(model)
    return pack_model(model)


def dense_weights(model: Any) -> Any:
    """The kernel of a dense layer."""
    graph = model.subgraphs[0]
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        if code == schema.BuiltinOperator.FULLY_CONNECTED:
            return graph.tensors[operator.inputs[1]]
    raise LookupError("no dense layer")


def open_batch(model: Any) -> None:
    tensor = model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]]
    tensor.shapeSignature = np.array([-1, 32, 32, 3], np.int32)


def rename_output(model: Any) -> None:
    model.signatureDefs[0].outputs[0].name = b"output_0"


def rename_signature(model: Any) -> None:
    model.signatureDefs[0].signatureKey = b"predict"


def shift_input(model: Any) -> None:
    tensor = model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]]
    tensor.quantization.zeroPoint = np.array([-1], np.int64)


def per_channel_dense(model: Any) -> None:
    weights = dense_weights(model)
    rows = int(weights.shape[0])
    weights.quantization.scale = np.full(rows, 0.01, np.float32)
    weights.quantization.zeroPoint = np.zeros(rows, np.int64)


def float_tensor(model: Any) -> None:
    operator = model.subgraphs[0].operators[0]
    model.subgraphs[0].tensors[operator.outputs[0]].type = schema.TensorType.FLOAT32


def no_scale(model: Any) -> None:
    operator = model.subgraphs[0].operators[0]
    model.subgraphs[0].tensors[operator.outputs[0]].quantization = None


def cut_bias(model: Any) -> None:
    """The second channel of the first convolution gets a bias beyond its scale."""
    graph = model.subgraphs[0]
    bias = graph.tensors[graph.operators[0].inputs[2]]
    buffer = model.buffers[bias.buffer]
    values = np.frombuffer(np.asarray(buffer.data, np.uint8).tobytes(), np.int32).copy()
    values[1] = -np.iinfo(np.int32).max
    buffer.data = values.view(np.uint8)


def test_a_converted_file_passes(good: bytes) -> None:
    verify_contract(good, outputs=OUTPUTS)
    verify_w8a8(good)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (open_batch, "fixed batch of 1"),
        (rename_output, "outputs .*, got .*output_0"),
        (rename_signature, "a signature 'serving_default'"),
    ],
)
def test_a_broken_contract_is_named(
    change: Callable[[Any], None], message: str, good: bytes
) -> None:
    with pytest.raises(ModelError, match=message):
        verify_contract(changed(good, change), outputs=OUTPUTS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (shift_input, r"image.*zero\s+point 0, got \[0.0078125\] and \[-1\]"),
        (per_channel_dense, "dense weights with one scale, got 136|got 3"),
        (float_tensor, "int8 throughout, got a tensor of float32"),
        (no_scale, "a scale above 0"),
        (cut_bias, "channel 1 cut off at the end of int32"),
    ],
)
def test_a_file_that_is_not_int8_throughout_is_refused(
    change: Callable[[Any], None], message: str, good: bytes
) -> None:
    with pytest.raises(ModelError, match=message):
        verify_w8a8(changed(good, change))


def test_a_float_border_is_refused(
    make_network: Callable[[], tf_keras.Model], crops: NDArray[np.uint8]
) -> None:
    with pytest.raises(ModelError, match="int8 throughout"):
        verify_w8a8(convert(make_network(), FLOAT32))
