"""Gives a .tflite with integer inputs and outputs float32 ones, for runtimes that take no others.

LiteRT.js 2.5.3 takes float32, int32 and uint8 alone. A QUANTIZE before the graph and a DEQUANTIZE
after it leave every tensor between them as it is, and lose nothing: a real value scale x (raw -
zero_point) becomes the same raw value again (``quantize`` of ``runtime`` gives the raw outputs).
"""

from typing import Any

from asmnet_kit.base.errors import ModelError
from asmnet_kit.tflite.graph import MAIN, Tensor
from asmnet_kit.tflite.packing import pack_model, unpack_model
from asmnet_kit.tflite.reader import graph_of
from asmnet_kit.tflite.schema import schema

BORDER_TYPES = ("int8", "uint8", "int16")  # what QUANTIZE and DEQUANTIZE convert
SUFFIX = "_raw"  # of the integer tensors' names, since the new ones bear theirs


def with_float_borders(content: bytes, *, name: str) -> bytes:
    """The same model with float32 in place of quantized inputs and outputs.

    Signatures keep their names, and so do inputs and outputs without one: the real tensors get the
    names of the integer ones. A model whose inputs and outputs are real values comes back as it is,
    byte for byte.

    Args:
        content: of a .tflite.
        name: of the file, for messages.

    Raises:
        ModelError: it is no .tflite model, is damaged, or has an integer input or output without a
            scale, whose real values nobody knows.
    """
    graph = graph_of(content, name=name)
    quantized = [tensor for tensor in (*graph.inputs, *graph.outputs) if tensor.type != "float32"]
    for tensor in quantized:
        if tensor.type not in BORDER_TYPES or len(tensor.scales) != 1:
            raise ModelError(
                f"{name}: expected inputs and outputs of float32, or of {', '.join(BORDER_TYPES)} "
                f"with one scale, got {tensor.name!r} of {tensor.type}"
            )
    if not quantized:
        return content
    model = unpack_model(content)
    main = model.subgraphs[MAIN]
    before, after = {}, {}
    for tensor in graph.inputs:
        if tensor.type in BORDER_TYPES:
            before[tensor.index] = _float_tensor(main, tensor)
    for tensor in graph.outputs:
        if tensor.type in BORDER_TYPES:
            after[tensor.index] = _float_tensor(main, tensor)
    quantize = [
        _operator(model, schema.BuiltinOperator.QUANTIZE, real, raw) for raw, real in before.items()
    ]
    dequantize = [
        _operator(model, schema.BuiltinOperator.DEQUANTIZE, raw, real)
        for raw, real in after.items()
    ]
    main.operators = [*quantize, *(main.operators or []), *dequantize]
    main.inputs = [before.get(index, index) for index in map(int, main.inputs)]
    main.outputs = [after.get(index, index) for index in map(int, main.outputs)]
    for signature in model.signatureDefs or []:
        if signature.subgraphIndex == MAIN:
            for named, moved in ((signature.inputs, before), (signature.outputs, after)):
                for one in named or []:
                    one.tensorIndex = moved.get(one.tensorIndex, one.tensorIndex)
    return pack_model(model)


def _float_tensor(main: Any, tensor: Tensor) -> int:
    """The index of a new float32 tensor of the same shape."""
    like = main.tensors[tensor.index]
    main.tensors.append(
        schema.TensorT(
            shape=like.shape,
            shapeSignature=like.shapeSignature,
            type=schema.TensorType.FLOAT32,
            buffer=0,  # it is computed
            name=like.name,
            hasRank=like.hasRank,
        )
    )
    like.name = f"{tensor.name}{SUFFIX}".encode()
    return len(main.tensors) - 1


def _operator(model: Any, builtin: int, source: int, result: int) -> Any:
    """An operator without options of one input and one output."""
    codes = model.operatorCodes
    wanted = [
        i for i, code in enumerate(codes) if builtin == code.builtinCode and code.version == 1
    ]
    if not wanted:
        codes.append(
            schema.OperatorCodeT(builtinCode=builtin, deprecatedBuiltinCode=builtin, version=1)
        )
        wanted = [len(codes) - 1]
    return schema.OperatorT(opcodeIndex=wanted[0], inputs=[source], outputs=[result])
