"""Takes a Keras 3 model apart with Keras 3, in a process of its own.

    python keras3_child.py MODEL FOLDER

FOLDER gets config.json (what the model is made of), weights.npz (by the place of the layer and the
number of the weight) and probe.npz (a picture of noise, and what the model says of it). Keras 2 and
Keras 3 cannot be imported into one process and work on the same files.
"""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from asmnet_kit.training.foreign.refusing import Refused, telling

CONFIG, WEIGHTS, PROBE = "config.json", "weights.npz", "probe.npz"
OPEN_SIDE = 64  # of the probe where the model leaves its size open
MAX_SIDE = 1024


def take_apart(model: Any, folder: Path) -> None:
    config = {"class_name": type(model).__name__, "config": model.get_config()}
    (folder / CONFIG).write_text(json.dumps(config))
    weights: dict[str, Any] = {
        f"{place}/{number}": value
        for place, layer in layers_of(model)
        for number, value in enumerate(layer.get_weights())
    }
    np.savez(folder / WEIGHTS, **weights)
    if len(model.inputs) == 1:
        shape = [OPEN_SIDE if side is None else side for side in model.inputs[0].shape[1:]]
        if max(shape, default=0) > MAX_SIDE:
            raise Refused(f"expected an input of at most {MAX_SIDE} pixels, got {shape}")
        picture = np.random.default_rng(0).uniform(-1, 1, (2, *shape)).astype(np.float32)
        outputs = model(picture, training=False)
        values = flat(outputs)
        said: dict[str, Any] = {f"output_{i}": np.asarray(value) for i, value in enumerate(values)}
        np.savez(folder / PROBE, picture=picture, **said)


def layers_of(model: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Each layer that is no model, with its place: names of models and its own, joined by /."""
    for layer in model.layers:
        inner = f"{place}{layer.name}"
        if hasattr(layer, "layers"):
            yield from layers_of(layer, f"{inner}/")
        else:
            yield inner, layer


def flat(outputs: Any) -> list[Any]:
    if isinstance(outputs, dict):
        return [outputs[name] for name in sorted(outputs)]
    return list(outputs) if isinstance(outputs, list | tuple) else [outputs]


def main(model: str, folder: str) -> None:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    with telling("a model of Keras 3"):
        import keras

        loaded = keras.saving.load_model(model, compile=False, safe_mode=True)
        if not hasattr(loaded, "inputs") or not loaded.inputs:
            raise Refused("expected a functional or Sequential model, got a subclassed one")
        take_apart(loaded, Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
