"""Models that bring code: every command that opens one refuses it, and the code does not run."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tf_keras
from click.testing import CliRunner

from asmnet_kit.cli import main
from asmnet_kit.training.config import TrainConfig

USER_BLOCK_BYTES = 512  # HDF5 may begin after as many bytes of anything else


def code_that_writes(marker: Path) -> Callable[[Any], Any]:
    name = str(marker)
    return lambda x: (open(name, "w").close(), x)[1]  # noqa: PTH123 - it travels as bytecode


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, Path]:
    """An .h5 whose Lambda layer writes a file when it is loaded, and that file's path."""
    import h5py

    folder = tmp_path_factory.mktemp("hostile")
    marker = folder / "the code ran"
    image = tf_keras.Input((64, 64, 3), name="image")
    x = tf_keras.layers.Flatten()(tf_keras.layers.Lambda(code_that_writes(marker))(image))
    model = tf_keras.Model(image, tf_keras.layers.Dense(136, name="landmarks")(x))
    model.save(folder / "plain.h5")
    with h5py.File(folder / "plain.h5") as plain:
        shifted = h5py.File(folder / "shifted.h5", "w", userblock_size=USER_BLOCK_BYTES)
        with shifted:
            for name, value in plain.attrs.items():
                shifted.attrs[name] = value
            for name in plain:
                plain.copy(name, shifted)
    marker.unlink()
    tf_keras.models.load_model(folder / "shifted.h5", compile=False)
    assert marker.exists()  # what it does where nothing stops it
    marker.unlink()
    return (folder / "shifted.h5").read_bytes(), marker


def as_archive_too(content: bytes, path: Path) -> None:
    """A file that is an .h5 and a .zip: one begins where the other allows anything."""
    path.write_bytes(b"PK\3\4" + content[4:])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("metadata.json", "{}")


@pytest.mark.parametrize("both", [False, True], ids=["h5", "h5 and zip"])
@pytest.mark.parametrize("name", ["m.keras", "M.KERAS", "run/model.keras"])
@pytest.mark.parametrize("command", ["predict", "quantize"])
def test_code_in_a_model_does_not_run(
    command: str,
    name: str,
    both: bool,
    hostile: tuple[bytes, Path],
    drawn_faces: Callable[..., Path],
    tmp_path: Path,
) -> None:
    content, marker = hostile
    marker.unlink(missing_ok=True)
    model = tmp_path / name
    model.parent.mkdir(exist_ok=True)
    if both:
        as_archive_too(content, model)
    else:
        model.write_bytes(content)
    run = model.parent if model.parent != tmp_path else model
    if run.is_dir():
        (run / "manifest.json").write_text('{"schema_version": 1}')
        TrainConfig(data=str(tmp_path), format="300w").save(run / "config.toml")
    picture = tmp_path / "a.png"
    picture.write_bytes(b"")
    calls = {
        "predict": ("predict", picture, "--model", run),
        "quantize": ("quantize", run, "--recipe", "fp32", "--data", drawn_faces(train=2, val=1),
                     "--format", "300w", "--out", tmp_path / "out"),
    }  # fmt: skip
    result = CliRunner().invoke(main, [str(word) for word in calls[command]])
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (1, 2) and "Error: " in result.stderr
    assert not marker.exists(), result.stderr
