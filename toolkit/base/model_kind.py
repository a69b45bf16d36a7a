"""What a path is as a model, decided once for every command: a .tflite, a .keras, a run folder.

A .keras is looked into before TensorFlow reads it: Keras loops for ever over a graph with a layer
that nothing feeds, allocates what the configuration claims, and advises programmers about what a
user of the command line cannot change.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

from asmnet_kit.base.errors import ModelError, one_line
from asmnet_kit.base.files import require_exists
from asmnet_kit.base.kinds import HEAD_BYTES, kind_of
from asmnet_kit.base.reading import MAX_JSON_BYTES, MAX_MODEL_BYTES, open_file, parse_json
from asmnet_kit.base.run_folder import CONFIG, MANIFEST, MODEL

ModelKind = Literal["tflite", "keras", "run"]

EXPECTED = "a .tflite, a .keras or a run folder"
LARGEST_NUMBER = 2**16  # filters, units or pixels in a layer's configuration
MAX_UNPACKED_BYTES = 2**30
_CONFIG, _METADATA = "config.json", "metadata.json"
_OWN_PACKAGES = ("keras", "tf_keras", "builtins", "tensorflow_model_optimization")

_FOREIGN = {
    ".h5": "HDF5", ".hdf5": "HDF5", ".pb": "TensorFlow", ".onnx": "ONNX", ".pt": "PyTorch",
    ".pth": "PyTorch", ".pkl": "a pickle", ".caffemodel": "Caffe", ".mlmodel": "Core ML",
}  # fmt: skip
_CONVERT_H5 = (
    "convert it once, in Python: import tf_keras; tf_keras.models.load_model('{name}', "
    "compile=False).save('model.keras'). An .h5 may hold code: do that with files you trust"
)
_CONVERT_SAVED = (
    "convert it once, in Python: import tf_keras; tf_keras.models.load_model('{name}', "
    "compile=False).save('model.keras'), where it was saved by Keras 2"
)


def model_kind(path: Path) -> ModelKind:
    """Which kind of model is at ``path``.

    Raises:
        UsageError: nothing is there.
        ModelError: something else, which the message names with a way to go on.
    """
    require_exists(path, expected=EXPECTED)
    if path.is_dir():
        if (path / "saved_model.pb").exists():
            cure = _CONVERT_SAVED.format(name=path)
            raise ModelError(f"{path}: expected {EXPECTED}, got a SavedModel: {cure}")
        if any((path / name).exists() for name in (MODEL, MANIFEST, CONFIG)):
            return "run"
        raise ModelError(
            f"{path}: expected a run folder with {MODEL}, found no such file in it. "
            "A training run writes it at its end"
        )
    suffix = path.suffix.lower()
    if suffix in (".tflite", ".keras"):
        return "tflite" if suffix == ".tflite" else "keras"
    try:
        with open_file(path, limit=2 * MAX_MODEL_BYTES) as file:
            kind = kind_of(file.read(HEAD_BYTES))
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}; expected {EXPECTED}") from error
    if "HDF5" in kind or suffix in (".h5", ".hdf5"):
        cure = _CONVERT_H5.format(name=path)
        raise ModelError(f"{path}: expected {EXPECTED}, got Keras' older format (.h5): {cure}")
    framework = f" ({_FOREIGN[suffix]})" if suffix in _FOREIGN else ""
    got = f"a file {suffix}" if suffix else "a file without a suffix"
    raise ModelError(f"{path}: expected {EXPECTED}, got {got}{framework}: {kind}")


def check_keras(path: Path) -> None:
    """Check that a .keras file can be given to Keras.

    Raises:
        ModelError: no whole .keras file, one of Keras 3, one with code or layers of somebody's own
            in it, one that claims more than ``MAX_UNPACKED_BYTES``, or a graph that does not
            connect.
    """
    try:
        with open_file(path, limit=MAX_MODEL_BYTES) as file:
            config, metadata = _contents(file, path)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise ModelError(
                f"{path}: no such file: expected a model saved by asmnet-kit train"
            ) from error
        raise ModelError(f"{path}: {error.strerror}; expected a .keras model") from error
    except (zipfile.BadZipFile, ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        raise ModelError(
            f"{path}: not a .keras file, or a truncated one ({one_line(error)})"
        ) from error
    _refuse_keras_3(path, metadata)
    try:
        _check_layers(path, config)
    except (TypeError, AttributeError, RecursionError, KeyError, IndexError) as error:
        raise ModelError(
            f"{path}: not a .keras model that can be loaded: its {_CONFIG} is damaged "
            f"({type(error).__name__})"
        ) from error


def _contents(file: BinaryIO, path: Path) -> tuple[Any, Any]:
    head = file.read(HEAD_BYTES)
    if not head.startswith(b"PK"):
        raise ModelError(f"{path}: not a .keras file, or a truncated one: it is {kind_of(head)}")
    with zipfile.ZipFile(file) as archive:
        claimed = sum(member.file_size for member in archive.infolist())
        if claimed > MAX_UNPACKED_BYTES:
            raise ModelError(
                f"{path}: a .keras that unpacks to {claimed >> 20} MiB: expected at most "
                f"{MAX_UNPACKED_BYTES >> 20}"
            )
        return _json(archive, _CONFIG), _json(archive, _METADATA)


def _json(archive: zipfile.ZipFile, name: str) -> Any:
    if name not in archive.namelist():
        return None  # Keras says what it misses
    with archive.open(name) as file:
        content = file.read(MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise ValueError(f"{name} is larger than {MAX_JSON_BYTES >> 20} MiB")
    return parse_json(content)


def _refuse_keras_3(path: Path, metadata: Any) -> None:
    """A Keras 3 file fails in tf_keras somewhere deep inside: say what is the matter instead."""
    version = str(metadata.get("keras_version", "")) if isinstance(metadata, dict) else ""
    if version.split(".")[0].isdigit() and int(version.split(".")[0]) >= 3:
        raise ModelError(
            f"{path}: written by Keras {version}; the kit works on tf_keras (Keras 2) alone. "
            "Build the same network with tf_keras (import tf_keras, or TF_USE_LEGACY_KERAS=1), "
            "then new.set_weights(old.get_weights()) and new.save('model.keras')"
        )


def _check_layers(path: Path, config: Any) -> None:
    if not isinstance(config, dict):
        return
    for model in _models(config):
        for layer in model["config"]["layers"]:
            _refuse_code(path, layer)
            _refuse_giant(path, layer)
        if model.get("class_name") == "Functional":
            _require_connected(path, model["config"]["layers"])
    if not isinstance(config.get("config"), dict) or "layers" not in config["config"]:
        _refuse_code(path, config)


def _models(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A model, and the models among its layers, at any depth."""
    inside = config.get("config")
    if isinstance(inside, dict) and isinstance(inside.get("layers"), list):
        yield config
        for layer in inside["layers"]:
            yield from _models(layer)


def _refuse_code(path: Path, layer: dict[str, Any]) -> None:
    """Models hold no code: a Lambda layer, or a class of somebody's own, cannot be loaded."""
    kind, package = str(layer.get("class_name")), str(layer.get("module") or "keras")
    if kind == "Lambda":
        what = "a Lambda layer, which is code"
    elif package.split(".")[0] not in _OWN_PACKAGES:
        what = f"a class of its maker's own, {package}.{kind}"
    elif str(layer.get("registered_name") or "").partition(">")[0] in ("Custom", "custom"):
        what = f"a class of its maker's own, {kind}"
    else:
        return
    name = (layer.get("config") or {}).get("name", "?")
    raise ModelError(
        f"{path}: {name!r} is {what}; the kit runs no code from model files. Build the same "
        "network from tf_keras' own layers, then new.set_weights(old.get_weights()) and "
        "new.save('model.keras')"
    )


def _refuse_giant(path: Path, layer: dict[str, Any]) -> None:
    config = layer.get("config")
    if not isinstance(config, dict) or "layers" in config:
        return
    for key, value in config.items():
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int) and abs(number) > LARGEST_NUMBER and key != "seed":
                raise ModelError(
                    f"{path}: its layer {config.get('name', '?')!r} claims {key} {number}: "
                    f"expected at most {LARGEST_NUMBER}"
                )


NO_CALL = -1  # where a damaged file has no number: nothing ever answers it


def _require_connected(path: Path, layers: list[dict[str, Any]]) -> None:
    """Check that each call of a layer gets what earlier calls give; Keras waits for it for ever."""
    names = {layer["name"] for layer in layers}
    # A model among the layers counts its own making as call 0, which the file does not list.
    models = {layer["name"] for layer in layers if "layers" in (layer.get("config") or {})}
    waiting: dict[tuple[str, int], set[tuple[str, int]]] = {}
    done: set[tuple[str, int]] = set()
    for layer in layers:
        nodes = layer.get("inbound_nodes") or []
        for index, node in enumerate(nodes):
            waiting[layer["name"], index] = {
                (name, call - 1 if name in models and call > 0 else call)
                for name, call in _calls(node, names)
            }
        if not nodes and layer.get("class_name") == "InputLayer":
            done.add((layer["name"], 0))
    while ready := [call for call, needs in waiting.items() if needs <= done]:
        done.update(ready)
        for call in ready:
            del waiting[call]
    if waiting:
        name, _ = next(iter(waiting))
        raise ModelError(
            f"{path}: not a .keras model that can be loaded: nothing feeds its layer {name!r}"
        )


def _calls(node: Any, names: set[str]) -> Iterator[tuple[str, int]]:
    """The calls of layers (name, number of the call) whose tensors a call is given."""
    if isinstance(node, dict):
        for value in node.values():
            yield from _calls(value, names)
    elif isinstance(node, list):
        is_tensor = len(node) >= 3 and any(isinstance(number, int) for number in node[1:3])
        if is_tensor and isinstance(node[0], str) and node[0] in names:
            yield node[0], node[1] if isinstance(node[1], int) else NO_CALL
        for value in node:
            yield from _calls(value, names)
