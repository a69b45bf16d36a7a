"""What a Keras model says it is made of, judged before TensorFlow reads it.

A .keras or .h5 of a stranger may hold code, claim giant layers, or describe a graph that Keras
builds for ever: it loops where nothing feeds a layer, allocates what the configuration claims, and
advises programmers about what a user of the command line cannot change.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from asmnet_kit.base.errors import ModelError, one_line
from asmnet_kit.base.kinds import HEAD_BYTES, kind_of
from asmnet_kit.base.reading import MAX_JSON_BYTES, MAX_MODEL_BYTES, open_file, parse_json

LARGEST_NUMBER = 2**16  # filters, units or pixels in a layer's configuration
MAX_UNPACKED_BYTES = 2**30
CONFIG, METADATA = "config.json", "metadata.json"  # members of a .keras
_OWN_PACKAGES = ("keras", "tf_keras", "builtins", "tensorflow_model_optimization")

# Layers that are code, or that call whatever function of TensorFlow they name.
_CODE = {
    "Lambda": "a Lambda layer, which is code",
    "__lambda__": "a lambda, which is code",
    "ClassMethod": "a call of a method by its name",
    "InstanceMethod": "a call of a method by its name",
    "InstanceProperty": "a property by its name",
    "TFSMLayer": "a SavedModel inside of the model",
    "TorchModuleWrapper": "a PyTorch module, which is code",
    "JaxLayer": "a JAX function, which is code",
    "FlaxLayer": "a Flax module, which is code",
}
_CALLS = "TFOpLambda"  # arithmetic outside of layers: a function of TensorFlow by its name
_HARMLESS_CALLS = ("math.", "nn.", "__operators__.")  # these compute and do nothing else
_HARMLESS_FUNCTIONS = ("cast", "concat", "expand_dims", "reshape", "squeeze", "stack", "transpose")


def check_keras(path: Path) -> None:
    """Check that a .keras file, of Keras 2 or 3, can be given to Keras.

    Raises:
        ModelError: no whole .keras file, one with code or layers of somebody's own in it, one that
            claims more than ``MAX_UNPACKED_BYTES``, or a graph that does not connect.
    """
    try:
        with open_file(path, limit=MAX_MODEL_BYTES) as file:
            config = _config(file, path)
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
    check_config(path, config)


def keras_version(path: Path) -> str:
    """The version of Keras that wrote a .keras file; empty where it does not say."""
    try:
        with open_file(path, limit=MAX_MODEL_BYTES) as file, zipfile.ZipFile(file) as archive:
            metadata = _json(archive, METADATA)
    except Exception:  # a damaged archive: ``check_keras`` says what is the matter
        return ""
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) else ""


def check_config(path: Path, config: Any) -> None:
    """Check the configuration of a model, as Keras writes it.

    Args:
        path: of the file, for messages.

    Raises:
        ModelError: code or classes of somebody's own in it, giant layers, or a graph that does not
            connect.
    """
    try:
        _check_layers(path, config)
    except (TypeError, AttributeError, RecursionError, KeyError, IndexError) as error:
        raise ModelError(
            f"{path}: not a Keras model that can be loaded: its configuration is damaged "
            f"({type(error).__name__})"
        ) from error


def _config(file: BinaryIO, path: Path) -> Any:
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
        return _json(archive, CONFIG)


def _json(archive: zipfile.ZipFile, name: str) -> Any:
    if name not in archive.namelist():
        return None  # Keras says what it misses
    with archive.open(name) as file:
        content = file.read(MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise ValueError(f"{name} is larger than {MAX_JSON_BYTES >> 20} MiB")
    return parse_json(content)


def _check_layers(path: Path, config: Any) -> None:
    if not isinstance(config, dict):
        return
    for part in _parts(config):
        _refuse_code(path, part)
    for model in _models(config):
        for layer in model["config"]["layers"]:
            _refuse_giant(path, layer)
        if model.get("class_name") in ("Functional", "Model"):
            _require_connected(path, model["config"]["layers"])


def _parts(value: Any) -> Iterator[dict[str, Any]]:
    """Whatever in a configuration names a class: layers, those that they wrap, functions."""
    if isinstance(value, dict):
        if "class_name" in value:
            yield value
        for inner in value.values():
            yield from _parts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _parts(inner)


def _models(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A model, and the models among its layers, at any depth."""
    inside = config.get("config")
    if isinstance(inside, dict) and isinstance(inside.get("layers"), list):
        yield config
        for layer in inside["layers"]:
            yield from _models(layer)


def _refuse_code(path: Path, part: dict[str, Any]) -> None:
    """Models hold no code: a Lambda layer, or a class of somebody's own, cannot be loaded."""
    kind, package = str(part.get("class_name")), str(part.get("module") or "keras")
    if kind in _CODE:
        what = _CODE[kind]
    elif kind == _CALLS and not _is_harmless(part.get("config")):
        what = f"a call of TensorFlow's {(part.get('config') or {}).get('function')!r}"
    elif package.split(".")[0] not in _OWN_PACKAGES:
        what = f"a class of its maker's own, {package}.{kind}"
    elif str(part.get("registered_name") or "").partition(">")[0] in ("Custom", "custom"):
        what = f"a class of its maker's own, {kind}"
    else:
        return
    inner = part.get("config")
    name = inner.get("name", "?") if isinstance(inner, dict) else "?"
    raise ModelError(
        f"{path}: {name!r} is {what}; the kit runs no code from model files. Build the same "
        "network from tf_keras' own layers, then new.set_weights(old.get_weights()) and "
        "new.save('model.keras')"
    )


def _is_harmless(config: Any) -> bool:
    function = config.get("function") if isinstance(config, dict) else None
    if not isinstance(function, str):
        return False
    return function.startswith(_HARMLESS_CALLS) or function in _HARMLESS_FUNCTIONS


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
