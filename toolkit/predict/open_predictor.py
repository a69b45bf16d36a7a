"""Opens a landmark model, whichever file it is in."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from asmnet_kit.adapters.adapter import Adapter, read_adapter
from asmnet_kit.adapters.predictor import AdaptedPredictor
from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.keras_config import check_keras
from asmnet_kit.base.model_kind import RUNNABLE, require_kind
from asmnet_kit.base.openers import open_stage
from asmnet_kit.base.run_folder import MODEL
from asmnet_kit.face.predictor import Predictor
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.predict.tflite_predictor import TflitePredictor
from asmnet_kit.tflite.runtime import Session


def open_predictor(
    path: Path,
    *,
    threads: int = 1,
    scheme: Scheme | None = None,
    adapter: str | Path | Adapter | None = None,
) -> Predictor:
    """Load a model from a .tflite (without TensorFlow), or whatever TensorFlow opens.

    Args:
        threads: CPU threads of a .tflite; TensorFlow chooses its own.
        scheme: what the landmarks of a .keras are that has as many; every other model says it.
        adapter: of a .tflite that the kit did not make.

    Raises:
        UsageError: there is nothing at ``path``, or an adapter for another kind of model.
        ModelError: none of these kinds, or one that cannot be used.
        MissingDependency: anything but a .tflite without TensorFlow installed.
    """
    kind = require_kind(path, RUNNABLE)
    if kind == "tflite":
        return open_tflite(path, threads=threads, adapter=adapter)
    if adapter is not None:
        raise UsageError(f"--adapter is for a .tflite that the kit did not make, got {path}")
    if kind in ("run", "keras", "keras3"):  # before TensorFlow takes its seconds
        check_keras(path / MODEL if kind == "run" else path)
    return cast(Predictor, open_stage("keras predictor")(path, scheme=scheme))


def open_predictors(paths: Sequence[Path]) -> list[Predictor]:
    """Several models; errors as for ``open_predictor``."""
    return [open_predictor(path) for path in paths]


def open_tflite(
    path: Path,
    *,
    threads: int = 1,
    session: Session | None = None,
    adapter: str | Path | Adapter | None = None,
) -> TflitePredictor | AdaptedPredictor:
    """Load a .tflite as a predictor: by its adapter where one is given, else by its metadata.

    Args:
        session: the model opened on another target; by default on the CPU with ``threads``.

    Raises:
        UsageError: no usable adapter.
        ModelError: a file that cannot be used, or that the adapter does not fit.
    """
    if adapter is None:
        return TflitePredictor(path, threads=threads, session=session)
    if not isinstance(adapter, Adapter):
        adapter = read_adapter(adapter)
    return AdaptedPredictor(path, adapter, threads=threads, session=session)
