"""Data sets for measuring accuracy, and a stand-in for what the Edge TPU compiler writes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import flatbuffers
import numpy as np
import pytest

from asmnet_kit.face.shape_model.align import generic_reference


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


@pytest.fixture
def edgetpu_pair(make_op_model: Callable[..., Path]) -> tuple[Path, Path]:
    """A model of one operator, and what the Edge TPU compiler could have made of it."""
    shape = (1, 8, 8, 4)
    relu = {"op": "RELU", "into": shape, "shape": shape}
    custom = {"custom": "edgetpu-custom-op", "into": shape, "shape": shape}
    payload = edgetpu_package(EXECUTABLES)
    return (
        make_op_model(relu, name="pair.tflite"),
        make_op_model({**custom, "payload": payload}, name="pair_edgetpu.tflite"),
    )
