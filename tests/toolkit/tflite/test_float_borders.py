"""A model with float borders computes the same bits as the one with integer inputs and outputs."""

from pathlib import Path

import numpy as np
import pytest

from asmnet_kit.base.errors import ModelError
from asmnet_kit.tflite.float_borders import SUFFIX, with_float_borders
from asmnet_kit.tflite.metadata import read_metadata
from asmnet_kit.tflite.reader import graph_of
from asmnet_kit.tflite.runtime import dequantize, open_runtime, quantize

MODELS = Path(__file__).parents[3] / "toolkit" / "models"
INT8 = ("asmnet_nano_people_68_112_qat_w8a8.tflite", "asmnet_plus_people_98_112_qat_w8a8.tflite")
INPUTS = 60


@pytest.mark.parametrize("name", INT8)
@pytest.mark.parametrize("xnnpack", [True, False])
def test_float_borders_give_the_very_outputs(name: str, xnnpack: bool, tmp_path: Path) -> None:
    content = (MODELS / name).read_bytes()
    twin = tmp_path / name
    twin.write_bytes(with_float_borders(content, name=name))
    ours = open_runtime(twin, xnnpack=xnnpack)
    theirs = open_runtime(MODELS / name, xnnpack=xnnpack)
    assert {info.dtype.name for info in (*ours.inputs.values(), *ours.outputs.values())} == {
        "float32"
    }
    assert ours.outputs.keys() == theirs.outputs.keys()  # the signature's names
    image = theirs.inputs["image"]
    rng = np.random.default_rng(7)
    for _ in range(INPUTS):
        raw = rng.integers(-128, 127, image.shape, np.int8, endpoint=True)
        got = ours.run({"image": dequantize(raw, image)})
        for output, values in theirs.run({"image": raw}).items():
            info = theirs.outputs[output]
            assert np.array_equal(quantize(got[output], info), values), output


def test_every_raw_value_survives_the_way_over_its_real_value() -> None:
    for name in INT8:
        runtime = open_runtime(MODELS / name)
        for info in (*runtime.inputs.values(), *runtime.outputs.values()):
            raw = np.arange(-128, 128).astype(np.int8)
            assert np.array_equal(quantize(dequantize(raw, info), info), raw)


def test_float_borders_add_the_operators_alone() -> None:
    content = (MODELS / INT8[0]).read_bytes()
    before = graph_of(content, name="before")
    made = with_float_borders(content, name="after")
    after = graph_of(made, name="after")
    borders = len(before.inputs), len(before.outputs)
    assert [op.name for op in after.ops] == [
        *["QUANTIZE"] * borders[0],
        *[op.name for op in before.ops],
        *["DEQUANTIZE"] * borders[1],
    ]
    borders_of = {t.index for t in (*before.inputs, *before.outputs)}
    kept = [
        (
            f"{t.name}{SUFFIX}" if t.index in borders_of else t.name,
            t.shape,
            t.type,
            t.scales,
            bytes(t.data),
        )
        for t in before.tensors
    ]
    assert [
        (t.name, t.shape, t.type, t.scales, bytes(t.data)) for t in after.tensors[: len(kept)]
    ] == kept
    assert read_metadata(made) == read_metadata(content)
    assert len(made) - len(content) < 3000


def test_a_float_model_stays_as_it_is() -> None:
    content = (MODELS / "asmnet_plus_68_112_fp16.tflite").read_bytes()
    assert with_float_borders(content, name="float") is content


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ModelError, match=r"expected a \.tflite model"):
        with_float_borders(b"no model at all", name="x.tflite")
