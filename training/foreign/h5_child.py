"""Copies what Keras reads of an .h5 into a fresh one, in a process of its own.

    python h5_child.py MODEL COPY

COPY holds the configuration, the names and the arrays, and nothing else: no links, no filters, no
storage outside of the file. Exit code 3 and a line on stdout where MODEL is no whole Keras model.
"""

import sys
from typing import Any

import h5py
import numpy as np

from asmnet_kit.training.foreign.refusing import Refused, telling

MEMORY_BYTES = 4 * 2**30
MAX_ARRAYS_BYTES = 2**30
MAX_TEXT_BYTES = 2**24
MAX_NAMES = 100_000
WEIGHTS = "model_weights"
OTHER_WEIGHTS = "top_level_model_weights"
CONFIG = "model_config"
ABOUT = (CONFIG, "keras_version", "backend")


class Copy:
    """What was copied so far."""

    def __init__(self, source: Any, target: Any) -> None:
        self.source, self.target = source, target
        self.bytes = 0
        self.names = 0

    def model(self) -> None:
        if WEIGHTS not in self.source and "layer_names" in self.source.attrs:
            raise Refused(
                "expected a whole model, got only weights (save_weights): load them into the "
                "network that they are of, then model.save('model.keras')"
            )
        if CONFIG not in self.source.attrs:
            raise Refused("expected an .h5 that Keras saved a model in, got another HDF5 file")
        for name in ABOUT:
            if name in self.source.attrs:
                self.target.attrs[name] = text_of(self.source.attrs[name])
        weights = self.source[WEIGHTS]
        copied = self.target.create_group(WEIGHTS)
        for name in ABOUT[1:]:
            if name in weights.attrs:
                copied.attrs[name] = text_of(weights.attrs[name])
        layers = self._names(weights, copied, "layer_names")
        for layer in layers:
            self._group(weights, copied, layer)
        if OTHER_WEIGHTS in weights:
            self._group(weights, copied, OTHER_WEIGHTS)

    def _group(self, weights: Any, copied: Any, name: str) -> None:
        group = self._own(weights[name])
        made = copied.require_group(name)
        for weight in self._names(group, made, "weight_names"):
            made.create_dataset(weight, data=self._array(group[weight]))

    def _names(self, group: Any, made: Any, kind: str) -> list[str]:
        """The names in an attribute, or in several numbered ones where they are many."""
        found: list[str] = []
        for attribute in group.attrs:
            if attribute != kind and attribute.rstrip("0123456789") != kind:
                continue
            values = [text_of(value) for value in np.ravel(group.attrs[attribute])]
            self.names += len(values)
            if self.names > MAX_NAMES:
                raise Refused(f"expected at most {MAX_NAMES} names in an .h5, got more")
            made.attrs[attribute] = np.array([name.encode() for name in values], "S")
            found += values
        return found

    def _array(self, dataset: Any) -> Any:
        dataset = self._own(dataset)
        if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "fiub":
            raise Refused("a damaged .h5: expected numbers as weights")
        if dataset.external or dataset.is_virtual:
            raise Refused("expected an .h5 with its weights in it, got one that takes them from "
                          "other files")  # fmt: skip
        self.bytes += int(dataset.size or 0) * dataset.dtype.itemsize
        if self.bytes > MAX_ARRAYS_BYTES:
            raise Refused(f"expected weights of at most {MAX_ARRAYS_BYTES >> 20} MiB, got more")
        return np.asarray(dataset[()])

    def _own(self, thing: Any) -> Any:
        if thing.file.filename != self.source.filename:
            raise Refused("expected an .h5 with its weights in it, got links to other files")
        return thing


def text_of(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode()
    if not isinstance(value, str) or len(value) > MAX_TEXT_BYTES:
        raise Refused("a damaged .h5: expected text in its attributes")
    return value


def main(model: str, copy: str) -> None:
    with (
        telling("an .h5 of Keras", memory_bytes=MEMORY_BYTES),
        h5py.File(model, "r") as source,
        h5py.File(copy, "w") as target,
    ):
        Copy(source, target).model()


if __name__ == "__main__":
    main(*sys.argv[1:])
