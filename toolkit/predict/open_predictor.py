"""Opens a landmark model, whichever file it is in."""

from pathlib import Path
from typing import cast

from asmnet_kit.base.keras_config import check_keras
from asmnet_kit.base.model_kind import RUNNABLE, require_kind
from asmnet_kit.base.openers import open_stage
from asmnet_kit.base.run_folder import MODEL
from asmnet_kit.face.predictor import Predictor
from asmnet_kit.face.schemes import Scheme
from asmnet_kit.predict.tflite_predictor import TflitePredictor


def open_predictor(path: Path, *, threads: int = 1, scheme: Scheme | None = None) -> Predictor:
    """Load a model from a .tflite (without TensorFlow), or whatever TensorFlow opens.

    Args:
        threads: CPU threads of a .tflite; TensorFlow chooses its own.
        scheme: what the landmarks of a .keras are that has as many; every other model says it.

    Raises:
        UsageError: there is nothing at ``path``.
        ModelError: none of these kinds, or one that cannot be used.
        MissingDependency: anything but a .tflite without TensorFlow installed.
    """
    kind = require_kind(path, RUNNABLE)
    if kind == "tflite":
        return TflitePredictor(path, threads=threads)
    if kind in ("run", "keras", "keras3"):  # before TensorFlow takes its seconds
        check_keras(path / MODEL if kind == "run" else path)
    return cast(Predictor, open_stage("keras predictor")(path, scheme=scheme))
