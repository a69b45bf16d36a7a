"""Data sets for measuring accuracy, and models made of chosen operators."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from asmnet_kit.modelfile import pack_model
from asmnet_kit.shape_model import generic_reference


@pytest.fixture
def make_pts_faces(tmp_path: Path) -> Callable[[], Path]:
    """Writes three grey pictures with 68 points in .pts files (1-based) and returns the folder."""

    def make() -> Path:
        folder = tmp_path / "faces" / "helen" / "testset"
        folder.mkdir(parents=True)
        for index in range(3):
            cv2.imwrite(str(folder / f"{index}.png"), np.full((100, 120, 3), 128, np.uint8))
            points = generic_reference(68) * (40 + 5 * index) + (60, 50) + 1
            lines = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
            text = f"version: 1\nn_points: 68\n{{\n{lines}\n}}\n"
            (folder / f"{index}.pts").write_text(text)
        return tmp_path / "faces"

    return make


@pytest.fixture
def make_op_model(tmp_path: Path) -> Callable[..., Path]:
    """Writes a model of a chain of operators described by plain tuples and returns its path."""

    def make(*ops: dict[str, Any], name: str = "ops.tflite") -> Path:
        path = tmp_path / name
        path.write_bytes(chain_model(ops))
        return path

    return make


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
