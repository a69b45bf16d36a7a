"""Models whose configuration describes no model, by the command."""

import json
import zipfile
from pathlib import Path

import h5py
import pytest
import tf_keras
from click.testing import CliRunner

from asmnet_kit.cli import main


def without_config(about: str) -> str:
    """The configuration of a model in which the key ``config`` is damaged."""
    content = json.loads(about)
    return json.dumps({("confi?" if key == "config" else key): v for key, v in content.items()})


@pytest.fixture
def saved(tmp_path: Path) -> dict[str, Path]:
    """A small network, as .keras and as .h5, both damaged."""
    inputs = tf_keras.Input((32, 32, 3))
    pooled = tf_keras.layers.GlobalAveragePooling2D()(inputs)
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(136, name="landmarks")(pooled))
    whole, h5 = tmp_path / "whole.keras", tmp_path / "m.h5"
    model.save(whole)
    model.save(h5)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(tmp_path / "m.keras", "w") as new:
        for name in old.namelist():
            content = old.read(name)
            is_config = name == "config.json"
            new.writestr(name, without_config(content.decode()) if is_config else content)
    with h5py.File(h5, "r+") as file:
        file.attrs["model_config"] = without_config(str(file.attrs["model_config"]))
    return {"keras": tmp_path / "m.keras", "h5": h5}


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_a_configuration_of_no_model_is_one_line(saved, tmp_path: Path, kind: str) -> None:
    call = ["evaluate", str(saved[kind]), "--data", str(tmp_path), "--format", "300w"]
    done = CliRunner().invoke(main, call)
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit), done.output
    assert len(done.stderr.splitlines()) == 1 and f"{saved[kind]}: not a" in done.stderr
