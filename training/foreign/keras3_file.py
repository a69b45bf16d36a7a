"""Opens a Keras 3 model as the same network of tf_keras layers, which can be fine-tuned, too.

Keras 3 itself reads the file, in a process of its own, and says what the model computes from noise:
the rebuilt network must say the same.
"""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError, one_line
from asmnet_kit.base.files import temporary_folder
from asmnet_kit.base.keras_config import check_config
from asmnet_kit.base.model_kind import KINDS
from asmnet_kit.base.npz import read_npz
from asmnet_kit.base.reading import read_json
from asmnet_kit.training.foreign import keras3_child
from asmnet_kit.training.foreign.child import run_child

TOLERANCE = 2e-3  # of an output's largest value, between both Keras
# Of layers everywhere, without a use here: weights are set, and nothing is regularised.
_UNUSED = ("_initializer", "_regularizer", "_constraint")
MODELS = ("Functional", "Model", "Sequential")
_WAY_OUT = (
    "leave Keras 3's graph as it is: model.export('saved_model') there, then asmnet-kit quantize "
    "saved_model with a recipe without fine-tuning"
)


def load_keras3(path: Path, *, name: Path | None = None) -> tf_keras.Model:
    """The network of a Keras 3 .keras or .h5, whose configuration was judged before.

    Args:
        name: of the file that the user gave, for messages.

    Raises:
        ModelError: damaged, or with a layer that tf_keras has not or computes differently.
    """
    name = name or path
    with temporary_folder() as folder:
        run_child(Path(keras3_child.__file__), path, str(folder), what=KINDS["keras3"].words)
        config = read_json(folder / keras3_child.CONFIG)
        check_config(name, config)
        weights = read_npz(folder / keras3_child.WEIGHTS, expected="weights")
        probe = folder / keras3_child.PROBE
        noise = read_npz(probe, expected="a probe") if probe.exists() else {}
    try:
        model = _model_of(_translated(config, name))
        _set_weights(model, weights)
    except ModelError:
        raise
    except Exception as error:  # what tf_keras says of a configuration that it does not know
        raise ModelError(
            f"{name}: tf_keras cannot rebuild this Keras 3 model ({one_line(error)[:200]}): "
            f"{_WAY_OUT}"
        ) from error
    _compare(model, noise, name)
    return model


def _model_of(config: dict[str, Any]) -> tf_keras.Model:
    kind = tf_keras.Sequential if config["class_name"] == "Sequential" else tf_keras.Model
    return kind.from_config(config["config"])


def _translated(layer: dict[str, Any], path: Path) -> dict[str, Any]:
    """A layer's, or model's, configuration in Keras 2's words."""
    kind, config = layer["class_name"], dict(layer["config"])
    if kind in MODELS:
        config = _model_config(kind, config, path)
    else:
        config = _layer_config(kind, config, path, module=str(layer.get("module")))
    return {
        "class_name": "Functional" if kind == "Model" else kind,
        "name": layer.get("name", config.get("name")),
        "config": config,
        "inbound_nodes": [_node(node) for node in layer.get("inbound_nodes") or []],
    }


def _model_config(kind: str, config: dict[str, Any], path: Path) -> dict[str, Any]:
    layers = [_translated(inner, path) for inner in config["layers"]]
    made = {"name": config["name"], "layers": layers}
    if kind != "Sequential":
        made |= {end: _ends(config[end]) for end in ("input_layers", "output_layers")}
        # Keras 2 counts the making of a model among its calls.
        models = {layer["name"] for layer in layers if layer["class_name"] in MODELS}
        _count_making(
            [*(layer["inbound_nodes"] for layer in layers), made["output_layers"]], models
        )
    return made


def _count_making(calls: Any, models: set[str]) -> None:
    """Add one to the number of each call of a model, in place."""
    if isinstance(calls, dict):
        calls = list(calls.values())
    if not isinstance(calls, list):
        return
    if len(calls) >= 3 and isinstance(calls[0], str):
        calls[1] += calls[0] in models
        return
    for inner in calls:
        _count_making(inner, models)


def _layer_config(kind: str, config: dict[str, Any], path: Path, *, module: str) -> dict[str, Any]:
    known = getattr(tf_keras.layers, kind, None)
    if known is None or not module.startswith("keras.layers"):
        raise ModelError(
            f"{path}: {config.get('name', '?')!r} is {module}.{kind} of Keras 3, which tf_keras "
            f"has no layer for: {_WAY_OUT}"
        )
    taken = _parameters(known)
    made = {
        key: value for key, value in config.items() if key in taken and not key.endswith(_UNUSED)
    }
    if "batch_shape" in config:
        made["batch_input_shape"] = config["batch_shape"]
    made["dtype"] = "float32"
    return made


def _parameters(kind: type) -> set[str]:
    """Names of what a layer's class can be made with."""
    return {
        name
        for base in kind.__mro__
        if base.__module__.startswith("tf_keras")
        for name in inspect.signature(base).parameters
    } | {"name", "trainable"}


def _node(node: dict[str, Any]) -> Any:
    """A call: Keras 2 lists [layer, number of its call, number of the tensor, {}]."""
    kwargs = node.get("kwargs") or {}
    left = {key: value for key, value in kwargs.items() if key not in ("training", "mask")}
    if any(value is not None for value in left.values()):
        raise ValueError(f"a call with {', '.join(left)}")
    return [[*history, {}] for history in _histories(node["args"])]


def _histories(value: Any) -> Iterator[list[Any]]:
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        yield list(value["config"]["keras_history"])
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _histories(inner)


def _ends(ends: Any) -> Any:
    """Inputs or outputs: one tensor is not nested in Keras 3, and is in Keras 2."""
    if isinstance(ends, list | tuple) and len(ends) == 3 and isinstance(ends[0], str):
        return [list(ends)]
    return ends


def _set_weights(model: tf_keras.Model, weights: dict[str, NDArray[Any]]) -> None:
    for place, layer in keras3_child.layers_of(model):
        values: list[NDArray[Any]] = []
        while f"{place}/{len(values)}" in weights:
            values.append(weights[f"{place}/{len(values)}"])
        if layer.weights or values:
            layer.set_weights(values)


def _compare(model: tf_keras.Model, noise: dict[str, NDArray[Any]], path: Path) -> None:
    if "picture" not in noise:
        return
    outputs = keras3_child.flat(model(tf.constant(noise["picture"]), training=False))
    for index, value in enumerate(outputs):
        expected = noise[f"output_{index}"]
        largest = max(float(np.abs(expected).max()), 1e-3)
        difference = float(np.abs(np.asarray(value) - expected).max())
        if not difference <= TOLERANCE * largest:
            raise ModelError(
                f"{path}: rebuilt from tf_keras layers it computes something else than in Keras 3 "
                f"(outputs of noise differ by {difference:.2g} of {largest:.2g}): {_WAY_OUT}"
            )
