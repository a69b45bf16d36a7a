"""Models that tests make: with known answers, of plain tuples, as a compiler could write them."""

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from asmnet_kit.face.shape_model.align import generic_reference
from asmnet_kit.tflite.packing import pack_model

# Of the 98 points of ``constant_face_model``: e^0.5 = 1.65 hundredths of the crop, every fourth
# point e^1.5; the first 17, a jaw, can rather not be seen.
POINT_UNCERTAINTY = 0.5 + (np.arange(98) % 4 == 0)
POINT_VISIBILITY = np.where(np.arange(98) < 17, -2.0, 3.0)


def constant_face_model(
    points: int, size: int, *, int8: bool, pose: bool, sure: bool = False
) -> bytes:
    """A model that predicts the generic face for every crop, and a pose that reads one pixel.

    landmarks = bias; pose = the R, G, B inputs of the crop's top-left pixel. Names are in the
    signature alone, and pose comes before landmarks, as converters like to do.

    With ``sure``, uncertainty = POINT_UNCERTAINTY + 2 R of that pixel; visibility =
    POINT_VISIBILITY, whatever is shown.
    """
    inputs = size * size * 3
    face = generic_reference(points).ravel()
    reads = np.zeros((3, inputs))
    reads[[0, 1, 2], [0, 1, 2]] = 1
    heads = {"landmarks": (np.zeros((2 * points, inputs)), face, 1 / 256)}
    if pose:
        heads = {"pose": (reads, np.zeros(3), 1 / 128), **heads}
    if sure:
        red = np.zeros((points, inputs))
        red[:, 0] = 2
        nothing = np.zeros((points, inputs))
        heads["visibility"] = (nothing, POINT_VISIBILITY[:points], 1 / 16)
        heads["uncertainty"] = (red, POINT_UNCERTAINTY[:points], 1 / 32)

    buffers = [schema.BufferT()]
    tensors, operators, outputs = [], [], []
    kinds = schema.TensorType

    def tensor(name, shape, kind, scale, data=None):
        """Append a tensor and its buffer; real value = scale x raw."""
        if data is not None:
            buffers.append(schema.BufferT(data=np.frombuffer(data.tobytes(), np.uint8)))
        quantization = None
        if int8:
            quantization = schema.QuantizationParametersT(
                scale=np.array([scale], np.float32), zeroPoint=np.array([0], np.int64)
            )
        tensors.append(
            schema.TensorT(
                name=name,
                shape=list(shape),
                type=kind,
                buffer=0 if data is None else len(buffers) - 1,
                quantization=quantization,
            )
        )
        return len(tensors) - 1

    values = kinds.INT8 if int8 else kinds.FLOAT32
    image = tensor("in:0", (1, size, size, 3), values, 1 / 128)
    for name, (weights, bias, output_scale) in heads.items():
        if int8:
            # Weights of scale 1, so the accumulator and the bias have the input's scale, 1/128;
            # the face's bias keeps the scale of its weights at 1/64 for a finer one.
            weight_scale = 1 / 64 if name == "landmarks" else 1.0
            raw_weights = np.rint(weights / weight_scale).astype(np.int8)
            raw_bias = np.rint(bias * 128 / weight_scale).astype("<i4")
            bias_kind = kinds.INT32
        else:
            weight_scale = 1.0
            raw_weights, raw_bias = weights.astype("<f4"), bias.astype("<f4")
            bias_kind = kinds.FLOAT32
        kernel = tensor(f"{name}/kernel", weights.shape, values, weight_scale, raw_weights)
        offset = tensor(f"{name}/bias", bias.shape, bias_kind, weight_scale / 128, raw_bias)
        output = tensor(f"out:{len(outputs)}", (1, len(bias)), values, output_scale)
        outputs.append((name, output))
        operators.append(
            schema.OperatorT(
                opcodeIndex=0,
                inputs=[image, kernel, offset],
                outputs=[output],
                builtinOptionsType=schema.BuiltinOptions.FullyConnectedOptions,
                builtinOptions=schema.FullyConnectedOptionsT(),
            )
        )
    signature = schema.SignatureDefT(
        signatureKey="serving_default",
        subgraphIndex=0,
        inputs=[schema.TensorMapT(name="image", tensorIndex=image)],
        outputs=[schema.TensorMapT(name=name, tensorIndex=index) for name, index in outputs],
    )
    graph = schema.SubGraphT(
        tensors=tensors,
        inputs=[image],
        outputs=[index for _, index in outputs],
        operators=operators,
    )
    code = schema.OperatorCodeT(
        deprecatedBuiltinCode=schema.BuiltinOperator.FULLY_CONNECTED,
        builtinCode=schema.BuiltinOperator.FULLY_CONNECTED,
        version=4,
    )
    return pack_model(
        schema.ModelT(
            version=3,
            operatorCodes=[code],
            subgraphs=[graph],
            buffers=buffers,
            signatureDefs=[signature],
        )
    )


def chain_model(ops: Sequence[dict[str, Any]]) -> bytes:
    """A model in which each operator reads the one before.

    Keys of an operator: ``op`` (name), ``version``, ``type`` and ``shape`` of its output, ``into``
    (shape of the first one's input) with ``into_type``, ``constants`` (arrays), ``scales`` (of the
    first constant), ``options`` (table name, values), ``custom`` (code), ``payload`` (its bytes),
    ``inputs`` (how often the one before is read; once unless told).
    """
    kinds = schema.TensorType
    buffers = [schema.BufferT(data=[])]
    tensors: list[Any] = []
    codes: list[Any] = []
    operators: list[Any] = []

    def tensor(shape: Any, kind: str, data: Any = None, scales: Any = (0.5,)) -> int:
        if data is not None:
            buffers.append(schema.BufferT(data=list(data.tobytes())))
        quantization = schema.QuantizationParametersT(
            scale=np.array(scales, np.float32), zeroPoint=np.zeros(len(scales), np.int64)
        )
        tensors.append(
            schema.TensorT(
                name=f"t{len(tensors)}",
                shape=list(shape),
                type=getattr(kinds, kind.upper()),
                buffer=0 if data is None else len(buffers) - 1,
                quantization=quantization if kind in ("int8", "uint8") else None,
            )
        )
        return len(tensors) - 1

    first = last = tensor(ops[0]["into"], ops[0].get("into_type", "int8"))
    for op in ops:
        constants = [
            tensor(c.shape, str(c.dtype), c, op.get("scales", (0.5,)) if i == 0 else (0.5,))
            for i, c in enumerate(op.get("constants", ()))
        ]
        inputs = [last] * op.get("inputs", 1) + constants
        last = tensor(op["shape"], op.get("type", "int8"))
        custom = op.get("custom")
        number = schema.BuiltinOperator.CUSTOM if custom else getattr(
            schema.BuiltinOperator, op["op"]
        )  # fmt: skip
        codes.append(
            schema.OperatorCodeT(
                deprecatedBuiltinCode=min(number, 127),
                builtinCode=number,
                version=op.get("version", 1),
                customCode=custom,
            )
        )
        operator = schema.OperatorT(
            opcodeIndex=len(codes) - 1,
            inputs=inputs,
            outputs=[last],
            customOptions=list(op["payload"]) if "payload" in op else None,
        )
        if "options" in op:
            table, values = op["options"]
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, table)
            operator.builtinOptions = getattr(schema, f"{table}T")(**values)
        operators.append(operator)
    graph = schema.SubGraphT(tensors=tensors, inputs=[first], outputs=[last], operators=operators)
    return pack_model(
        schema.ModelT(version=3, operatorCodes=codes, subgraphs=[graph], buffers=buffers)
    )


# A compiled model as libedgetpu's executable.fbs has it, with round numbers: weights that are
# loaded once, then an inference that takes 49,152 bytes in, gives 1,000 out, needs 21,000 cycles.
CACHING = {"kind": 1, "parameters": 4096, "instructions": (256,)}
EXECUTION = {
    "kind": 2,
    "instructions": (1000, 24),
    "inputs": (49_152,),
    "outputs": (900, 100),
    "cycles": 21_000,
}
EXECUTABLES = (CACHING, EXECUTION)


def edgetpu_package(executables: Sequence[dict[str, Any]]) -> bytes:
    """The flatbuffer ``DWN1`` in the custom options of an ``edgetpu-custom-op``."""

    def table(builder: flatbuffers.Builder, fields: dict[int, tuple[str, Any]]) -> int:
        builder.StartObject(17)
        for number, (kind, value) in fields.items():
            getattr(builder, f"Prepend{kind}Slot")(number, value, 0)
        return int(builder.EndObject())

    def vector(builder: flatbuffers.Builder, offsets: Sequence[int]) -> int:
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return int(builder.EndVector())

    def offset(value: int) -> tuple[str, int]:
        return "UOffsetTRelative", value

    def layers(builder: flatbuffers.Builder, sizes: Sequence[int]) -> int:
        names = [builder.CreateString(f"layer_{number}") for number in range(len(sizes))]
        return vector(
            builder,
            [
                table(builder, {0: offset(name), 1: ("Int32", size)})
                for name, size in zip(names, sizes, strict=True)
            ],
        )

    def executable(content: dict[str, Any]) -> bytes:
        builder = flatbuffers.Builder()
        streams = [builder.CreateByteVector(bytes(size)) for size in content["instructions"]]
        streams = [table(builder, {0: offset(stream)}) for stream in streams]
        fields = {
            1: offset(builder.CreateString("main")),
            5: offset(vector(builder, streams)),
            6: offset(builder.CreateByteVector(bytes(content.get("parameters", 0)))),
            8: offset(layers(builder, content.get("inputs", ()))),
            9: offset(layers(builder, content.get("outputs", ()))),
            13: ("Int16", content["kind"]),
            16: ("Int64", content.get("cycles", 0)),
        }
        builder.Finish(table(builder, fields))
        return bytes(builder.Output())

    multi = flatbuffers.Builder()
    inner = [multi.CreateString(executable(content)) for content in executables]
    multi.Finish(table(multi, {0: offset(vector(multi, inner))}))
    package = flatbuffers.Builder()
    fields = {
        0: ("Int32", 13),
        1: offset(package.CreateByteVector(bytes(multi.Output()))),
        4: offset(package.CreateString("cl/343520747")),
    }
    package.Finish(table(package, fields), file_identifier=b"DWN1")
    return bytes(package.Output())
