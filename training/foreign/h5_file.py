"""Opens a Keras .h5, the form in which models were saved before .keras."""

import re
from pathlib import Path
from typing import Any

import h5py
import tf_keras

from asmnet_kit.base.errors import ModelError, one_line
from asmnet_kit.base.files import temporary_folder
from asmnet_kit.base.keras_config import check_config
from asmnet_kit.base.model_kind import KINDS, is_keras_3
from asmnet_kit.base.reading import MAX_MODEL_BYTES, open_file, parse_json
from asmnet_kit.training.foreign import h5_child
from asmnet_kit.training.foreign.child import run_child
from asmnet_kit.training.foreign.keras3_file import load_keras3

_UNKNOWN = re.compile(r"Unknown (layer|\w+): '?\"?(\w+)")


def load_h5(path: Path) -> tf_keras.Model:
    """The model in an .h5 that Keras 2 or 3 saved; its layers are those of tf_keras.

    Keras runs the code in an .h5's Lambda layers whatever ``safe_mode`` says, and libhdf5 may crash
    on a damaged file. So a process of its own copies what Keras reads into a fresh file, and its
    configuration is judged before Keras sees it.

    Raises:
        ModelError: no such model, a damaged one, weights alone, or one with code in it.
    """
    try:
        open_file(path, limit=MAX_MODEL_BYTES).close()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}; expected {KINDS['h5'].words}") from error
    with temporary_folder() as folder:
        copy = folder / "model.h5"
        run_child(Path(h5_child.__file__), path, str(copy), what=KINDS["h5"].words)
        config, version = _about(copy, path)
        check_config(path, config)
        if is_keras_3(version):
            return load_keras3(copy, name=path)
        return load_checked(copy, name=path)


def load_checked(copy: Path, *, name: Path) -> tf_keras.Model:
    """What tf_keras makes of a file that was judged before.

    Args:
        name: of the file that the user gave, for messages.
    """
    try:
        loaded = tf_keras.models.load_model(copy, compile=False)
        if not isinstance(loaded, tf_keras.Model):  # as in a .keras: a configuration of no class
            raise TypeError(f"its configuration describes a {type(loaded).__name__}, no model")
        return loaded
    except Exception as error:  # whatever a damaged configuration makes Keras raise
        unknown = _UNKNOWN.search(str(error))
        if unknown:
            raise ModelError(
                f"{name}: {unknown[2]} is no layer of tf_keras but its maker's own; the kit runs "
                "no code from model files. Build the same network from tf_keras' own layers, then "
                "new.set_weights(old.get_weights()) and new.save('model.keras')"
            ) from error
        raise ModelError(
            f"{name}: not an .h5 model that can be loaded ({one_line(error)[:200]})"
        ) from error


def _about(copy: Path, path: Path) -> tuple[Any, str]:
    with h5py.File(copy, "r") as file:
        text = str(file.attrs[h5_child.CONFIG])
        version = str(file.attrs.get("keras_version", ""))
    try:
        return parse_json(text), version
    except ValueError as error:
        raise ModelError(
            f"{path}: expected {KINDS['h5'].words}, got a damaged one: its configuration is no "
            f"JSON ({one_line(error)})"
        ) from error
