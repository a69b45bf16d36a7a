""".npz files: whole ones are read, everything else is named."""

import numpy as np
import pytest

from asmnet_kit.base.errors import DatasetError, ModelError
from asmnet_kit.base.npz import read_npz


def test_every_array_comes_back(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(3), y=np.eye(2))
    arrays = read_npz(tmp_path / "a.npz", expected="arrays")
    assert set(arrays) == {"x", "y"}
    assert arrays["x"].tolist() == [0, 1, 2]


def cut_off(path):
    np.savez(path, x=np.arange(1000))
    path.write_bytes(path.read_bytes()[:500])


def one_array(path):
    with path.open("wb") as file:
        np.save(file, np.arange(3))


def objects(path):
    np.savez(path, x=np.array([{}], object))


@pytest.mark.parametrize("write", [cut_off, one_array, objects, lambda p: p.write_bytes(b"")])
def test_other_files_are_refused_and_say_what_was_expected(tmp_path, write):
    path = tmp_path / "a.npz"
    write(path)
    with pytest.raises(ModelError, match="expected a thing"):
        read_npz(path, expected="a thing")


def test_the_class_of_the_error_is_the_callers(tmp_path):
    with pytest.raises(DatasetError, match="no such file"):
        read_npz(tmp_path / "none.npz", expected="a thing", error=DatasetError)
