"""Files of raw inputs and outputs: what is written is read back, and damage is one clear error."""

import json
import random

import numpy as np
import pytest

from asmnet_kit.tflite.tensorfile import (
    TensorFileError,
    pack_tensors,
    read_tensors,
    unpack_tensors,
    write_tensors,
)

TENSORS = {
    "pose": np.array([[[1, -2, 3]], [[4, 5, -6]]], np.int8),
    "landmarks": np.array([[[0.5, 1e-9]], [[-2.0, 3.0]]], np.float32),
    "count": np.array([[-7], [300]], np.int16),
}


def test_what_is_written_is_read_back(tmp_path):
    write_tensors(tmp_path / "t", TENSORS)
    read = read_tensors(tmp_path / "t")
    assert list(read) == list(TENSORS)
    for name, values in TENSORS.items():
        assert read[name].dtype == values.dtype
        assert np.array_equal(read[name], values)


def test_a_record_holds_the_tensors_of_a_run_one_after_the_other():
    header, _, body = pack_tensors(TENSORS).partition(b"\n")
    assert json.loads(header)["tensors"][1] == {
        "name": "landmarks", "type": "float32", "shape": [1, 2]
    }  # fmt: skip
    assert len(body) == 2 * (3 + 8 + 2)
    assert body[:3] == b"\x01\xfe\x03"
    assert body[3:7] == b"\x00\x00\x00\x3f"  # 0.5, little-endian
    assert body[11:13] == b"\xf9\xff"


def test_a_file_without_runs_is_a_file():
    assert unpack_tensors(pack_tensors({"a": np.zeros((0, 4), np.uint8)}), name="x")["a"].size == 0


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"{}\n",
        b"[1]\n",
        b"{" * 100_000,
        pack_tensors(TENSORS)[:-1],
        pack_tensors(TENSORS) + b"x",
        pack_tensors(TENSORS).replace(b'"version": 1', b'"version": 2'),
        pack_tensors(TENSORS).replace(b'"records": 2', b'"records": -2'),
        pack_tensors(TENSORS).replace(b'"records": 2', b'"records": 1e3'),
        pack_tensors(TENSORS).replace(b"int8", b"text"),
        pack_tensors(TENSORS).replace(b'"pose"', b'"count"'),
        pack_tensors(TENSORS).replace(b"[1, 3]", b"[9999999999, 9999999999]"),
        pack_tensors(TENSORS).replace(b"[1, 3]", b"7"),
    ],
)
def test_another_file_is_one_clear_error(tmp_path, content):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(TensorFileError, match=r"t: expected"):
        read_tensors(tmp_path / "t")


def test_a_missing_file_is_one_clear_error(tmp_path):
    with pytest.raises(TensorFileError, match="No such file"):
        read_tensors(tmp_path / "none")


def test_values_without_numbers_are_refused():
    with pytest.raises(TensorFileError, match="expected a type of int8"):
        pack_tensors({"text": np.array([["a"]], object)})


def test_damage_is_found_or_changes_values_alone():
    content = pack_tensors(TENSORS)
    generator = random.Random(0)
    for _ in range(1000):
        damaged = bytearray(content)
        for _ in range(generator.randrange(1, 4)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        try:
            unpack_tensors(bytes(damaged), name="x")
        except TensorFileError:
            continue
