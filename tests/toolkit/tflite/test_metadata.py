"""A .tflite says what it is, keeps saying it, and a damaged one is refused with a clear message."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from asmnet_kit.base.errors import ModelError
from asmnet_kit.face.logistic_fit import LogisticFit
from asmnet_kit.face.uncertainty import Calibration
from asmnet_kit.shipping.shipped import shipped_models
from asmnet_kit.tflite.metadata import (
    METADATA_NAME,
    OUTPUT_UNITS,
    ModelMetadata,
    read_metadata,
    with_metadata,
)
from asmnet_kit.tflite.packing import pack_model, unpack_model, with_entry

CALIBRATION = Calibration(
    factor=1.25,
    points=6800,
    confidence=LogisticFit(-4.0, 2.0, 8.0, 100, 10),
    dataset="faces",
    dataset_fingerprint="ef",
)
METADATA = ModelMetadata(
    architecture="asmnet_plus",
    landmarks=68,
    input_size=112,
    recipe="qat_w8a8",
    source={"model_sha256": "ab", "dataset_fingerprint": "cd"},
    metrics={"nme_percent": 3.5},
    licence="CC-BY-4.0",
)


def add_model(constant: np.ndarray) -> bytes:
    """The smallest useful model: ``output = image + constant``, float32."""
    flat = np.frombuffer(constant.astype("<f4").tobytes(), np.uint8)

    def tensor(name: str, buffer: int) -> schema.TensorT:
        return schema.TensorT(
            shape=list(constant.shape),
            type=schema.TensorType.FLOAT32,
            buffer=buffer,
            name=name,
        )

    add = schema.OperatorT(
        opcodeIndex=0,
        inputs=[0, 1],
        outputs=[2],
        builtinOptionsType=schema.BuiltinOptions.AddOptions,
        builtinOptions=schema.AddOptionsT(),
    )
    graph = schema.SubGraphT(
        tensors=[tensor("image", 0), tensor("constant", 1), tensor("landmarks", 0)],
        inputs=[0],
        outputs=[2],
        operators=[add],
    )
    code = schema.OperatorCodeT(builtinCode=schema.BuiltinOperator.ADD, version=1)
    return pack_model(
        schema.ModelT(
            version=3,
            operatorCodes=[code],
            subgraphs=[graph],
            buffers=[schema.BufferT(), schema.BufferT(data=flat)],
        )
    )


@pytest.fixture(scope="module")
def model() -> bytes:
    return add_model(np.arange(7, dtype=np.float32))


def run(model: bytes, image: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=model)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_the_json_has_the_keys_of_the_contract() -> None:
    content = json.loads(json.dumps(METADATA.to_json()))
    assert content == {
        "schema_version": 1,
        "architecture": "asmnet_plus",
        "landmarks": 68,
        "input": {"size": 112, "colour": "RGB", "mean": 128, "scale": 128},
        "crop": {"scale": 1.2},
        "outputs": {"landmarks": "fraction of crop side from centre", "pose": "degrees / 90"},
        "recipe": "qat_w8a8",
        "source": {"model_sha256": "ab", "dataset_fingerprint": "cd"},
        "metrics": {"nme_percent": 3.5},
        "licence": "CC-BY-4.0",
    }
    assert ModelMetadata.from_json(content) == METADATA


SURE = replace(METADATA, outputs=OUTPUT_UNITS, calibration=CALIBRATION)


def test_a_file_that_knows_its_uncertainty_says_so_in_version_2_of_the_contract() -> None:
    content = json.loads(json.dumps(SURE.to_json()))
    assert content["schema_version"] == 2
    assert content["outputs"] == {
        "landmarks": "fraction of crop side from centre",
        "pose": "degrees / 90",
        "uncertainty": "ln of the standard deviation in hundredths of the crop side",
        "visibility": "logit of the probability that the point can be seen",
    }
    assert content["calibration"] == {
        "uncertainty": {"factor": 1.25, "level": 0.9, "points": 6800},
        "confidence": {
            "intercept": -4.0, "slope": 2.0, "limit_percent": 8.0, "faces": 100, "failures": 10,
        },
        "dataset": "faces",
        "dataset_fingerprint": "ef",
    }  # fmt: skip
    assert ModelMetadata.from_json(content) == SURE
    assert replace(SURE, calibration=None).to_json()["schema_version"] == 2


@pytest.mark.parametrize(
    "damage",
    [
        {"uncertainty": {"factor": 0, "level": 0.9, "points": 3}},
        {"uncertainty": {"factor": float("nan"), "level": 0.9, "points": 3}},
        {"uncertainty": {"factor": "1", "level": 0.9, "points": 3}},
        {"uncertainty": None},
        {"confidence": {"intercept": 1.0}},
        {"confidence": {**vars(CALIBRATION.confidence), "slope": -1.0}},
    ],
)
def test_a_damaged_calibration_is_refused_with_its_cure(damage: dict[str, object]) -> None:
    content = SURE.to_json()
    content["calibration"] |= damage
    with pytest.raises(ModelError, match=r"calibration is damaged .* evaluate --calibrate"):
        ModelMetadata.from_json(content)


def test_a_whole_number_beyond_every_float_is_refused() -> None:
    content = METADATA.to_json() | {"crop": {"scale": 10**400}}
    with pytest.raises(ModelError, match=r"crop\.scale to be a number, got one beyond"):
        ModelMetadata.from_json(json.loads(json.dumps(content)))


def test_the_file_name_is_that_of_the_contract() -> None:
    assert METADATA.file_name == "asmnet_plus_68_112_qat_w8a8.tflite"
    assert METADATA.named("people") == "asmnet_plus_people_68_112_qat_w8a8.tflite"


def test_metadata_survives_and_the_model_still_computes_the_same(
    model: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(with_metadata(model, METADATA))
    assert read_metadata(path) == METADATA
    image = np.ones(7, np.float32)
    np.testing.assert_array_equal(run(path.read_bytes(), image), np.arange(7) + 1)


def test_writing_metadata_again_replaces_it_and_is_reproducible(model: bytes) -> None:
    once = with_metadata(model, METADATA)
    other = ModelMetadata(architecture="asmnet", landmarks=98, input_size=64, recipe="fp32")
    twice = with_metadata(with_metadata(once, other), METADATA)
    assert read_metadata(with_metadata(once, other)) == other
    assert len(unpack_model(twice).metadata) == 1
    assert once == with_metadata(model, METADATA)


def test_constant_data_starts_on_16_bytes_as_the_schema_asks(model: bytes) -> None:
    content = with_metadata(model, METADATA)
    for payload in (
        np.arange(7, dtype="<f4").tobytes(),
        json.dumps(METADATA.to_json())[:1].encode(),
    ):
        assert payload in content
    assert content.index(np.arange(7, dtype="<f4").tobytes()) % 16 == 0


def test_foreign_metadata_is_kept(model: bytes) -> None:
    parsed = unpack_model(model)
    parsed.buffers.append(schema.BufferT(data=np.frombuffer(b"2.21.0", np.uint8)))
    parsed.metadata = [schema.MetadataT(name="min_runtime_version", buffer=2)]
    parsed = unpack_model(with_metadata(pack_model(parsed), METADATA))
    names = [entry.name.decode() for entry in parsed.metadata]
    assert names == ["min_runtime_version", METADATA_NAME]
    assert parsed.buffers[parsed.metadata[0].buffer].data.tobytes() == b"2.21.0"


def test_every_truncation_is_a_model_error_and_nothing_else(model: bytes) -> None:
    content = with_metadata(model, METADATA)
    for length in range(len(content) - 15):  # the last 15 bytes may be padding of the constants
        with pytest.raises(ModelError):
            unpack_model(content[:length])
        with contextlib.suppress(ModelError):  # it may not touch what is missing
            read_metadata(content[:length])


def test_flipped_bytes_never_escape_as_another_exception(model: bytes) -> None:
    content = bytearray(with_metadata(model, METADATA))
    random = np.random.default_rng(0)
    for position in random.integers(8, len(content), 400):
        damaged = bytearray(content)
        damaged[position] ^= int(random.integers(1, 256))
        for read in (read_metadata, unpack_model):
            with contextlib.suppress(ModelError):
                read(bytes(damaged))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"PK\x03\x04 something else", r"expected a \.tflite model"),
        (b"\x1c\x00\x00\x00TFL3", "truncated or damaged"),
    ],
)
def test_what_is_no_model_is_named_as_such(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message) as raised:
        read_metadata(path)
    assert "broken.tflite" in str(raised.value)


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5_000, '{"a"', "\udcff"])
def test_metadata_that_no_json_reader_takes_is_a_model_error(text: str, model: bytes) -> None:
    content = with_entry(model, METADATA_NAME, text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match="metadata 'ASMNET_KIT' is not JSON"):
        read_metadata(content)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.tflite: No such file"):
        read_metadata(tmp_path / "absent.tflite")


def test_a_model_without_metadata_is_refused_with_the_way_out(model: bytes) -> None:
    with pytest.raises(ModelError, match="asmnet-kit quantize"):
        read_metadata(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 4}, "schema version 1 to 3, got 4"),
        ({"landmarks": 67}, "98, 106 landmarks or a scheme of others, got 67"),
        ({"landmarks": "68"}, "landmarks to be int"),
        ({"crop": {}}, "'crop.scale'; it is missing"),
        ({"crop": {"scale": -1.0}}, "crop scale above 0"),
        ({"crop": {"scale": 1e300}}, "crop scale above 0 and up to 100, got 1e"),
        ({"input": {"size": 112, "colour": "BGR", "mean": 128, "scale": 128}}, "'RGB', got 'BGR'"),
        ({"outputs": {"pose": "degrees / 90"}}, "an output 'landmarks'"),
        ({"outputs": {"landmarks": 1}}, "map names to units"),
        ({"recipe": None}, "recipe to be str"),
        ({"calibration": CALIBRATION.to_json()}, "an output 'uncertainty' beside its calibration"),
    ],
)
def test_metadata_that_would_be_misread_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        ModelMetadata.from_json({**METADATA.to_json(), **change})


def require_round_trip(path: Path) -> None:
    content = path.read_bytes()
    before, after = unpack_model(content), unpack_model(with_metadata(content, METADATA))
    assert len(before.subgraphs[0].operators) == len(after.subgraphs[0].operators) > 0
    for tensor, kept in zip(before.subgraphs[0].tensors, after.subgraphs[0].tensors, strict=True):
        one, other = before.buffers[tensor.buffer].data, after.buffers[kept.buffer].data
        np.testing.assert_array_equal(one, other)


def test_converters_and_custom_operators_come_through_a_round_trip(
    make_op_model: Callable[..., Path],
) -> None:
    """The kit's own models, which TFLiteConverter wrote, and an operator that no runtime knows."""
    shape = (1, 8, 8, 4)
    custom = {"custom": "mine", "into": shape, "shape": shape, "payload": b"options"}
    paths = [model.path for model in shipped_models()]
    assert len(paths) > 2
    for path in [*paths, make_op_model(custom)]:
        require_round_trip(path)


def test_public_model_files_come_through_a_round_trip(shared: Path) -> None:
    for path in sorted((shared / "data" / "edgetpu_pairs").glob("mobilenet*.tflite")):
        require_round_trip(path)
