"""Checkpoints: one .npz each, without pickle, written whole or not at all."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import KitError, ModelError
from asmnet_kit.base.files import replacing
from asmnet_kit.base.npz import read_npz
from asmnet_kit.base.reading import parse_json

Arrays = list[NDArray[Any]]

LAST, BEST = "last.npz", "best.npz"  # of the epoch before now, and of the best one so far


@dataclass(frozen=True, eq=False)
class TrainingState:
    """A run between two epochs.

    Attributes:
        weights: of the model, in its order.
        averages: the running averages of ``weights``.
        optimizer: its variables, the number of steps among them.
        history: one row per finished epoch.
    """

    weights: Arrays
    averages: Arrays
    optimizer: Arrays
    history: list[dict[str, float]]

    @property
    def epoch(self) -> int:
        """0-based number of the epoch that just ended."""
        return len(self.history) - 1


@dataclass(frozen=True)
class Checkpoints:
    """The folder with ``last.npz`` and ``best.npz``.

    Attributes:
        writes: False on all but the chief of several workers.
    """

    folder: Path
    writes: bool = True

    def path(self, name: str) -> Path:
        """Where the checkpoint ``name`` (last or best) is."""
        return self.folder / f"{name}.npz"

    def save(self, state: TrainingState, *, is_best: bool) -> None:
        """Write ``last`` and, when it is that, ``best``; the earlier ones stay if that fails.

        The best goes first: were the machine to stop between the two, the epoch is trained again
        and gives the same best.

        Raises:
            KitError: a file cannot be written (a full disk, no permission).
        """
        if not self.writes:
            return
        for name in ("best", "last") if is_best else ("last",):
            try:
                self._write(self.path(name), state)
            except OSError as error:
                before = (
                    "The checkpoint before it is intact: make room or fix the permissions, then "
                    "run the same command with --resume"
                    if self.path("last").exists()
                    else "There is none before it: make room or fix the permissions, then run the "
                    "same command again (train: with --resume)"
                )
                raise KitError(
                    f"{self.path(name)}: the checkpoint of epoch {state.epoch + 1} could not be "
                    f"written ({error.strerror or error}). {before}"
                ) from error

    @staticmethod
    def _write(path: Path, state: TrainingState) -> None:
        arrays = {
            f"{group}_{index:04d}": value
            for group in ("weights", "averages", "optimizer")
            for index, value in enumerate(getattr(state, group))
        }
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, history=np.array(json.dumps(state.history)), **arrays)

    def load(self, name: str) -> TrainingState:
        """Read the checkpoint ``name``.

        Raises:
            KitError: it is missing, cut off or another file.
        """
        path = self.path(name)
        if not path.exists():
            raise KitError(
                f"{path}: no checkpoint to resume from: the run stopped within its first epoch. "
                "Delete the folder and start again without --resume"
            )
        arrays = read_npz(path, expected="a whole checkpoint")
        groups: dict[str, Arrays] = {"weights": [], "averages": [], "optimizer": []}
        try:
            history = parse_json(str(arrays.pop("history")))
            for key in sorted(arrays):
                groups[key.split("_")[0]].append(arrays[key])
            if not isinstance(history, list) or not all(isinstance(r, dict) for r in history):
                raise ValueError("no rows")
        except (KeyError, ValueError) as error:
            raise ModelError(
                f"{path}: expected a whole checkpoint with a history, weights, averages and "
                f"optimizer, got {', '.join(sorted(arrays)[:4])} ..."
            ) from error
        return TrainingState(**groups, history=history)
