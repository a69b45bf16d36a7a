"""Opens a landmark model, whichever file it is in."""

import zipfile
from pathlib import Path
from typing import cast

from asmnet_kit.base.errors import ModelError
from asmnet_kit.base.files import require_exists
from asmnet_kit.base.openers import open_stage
from asmnet_kit.base.run_folder import MODEL
from asmnet_kit.face.predictor import Predictor
from asmnet_kit.predict.tflite_predictor import TflitePredictor


def open_predictor(path: Path, *, threads: int = 1) -> Predictor:
    """Load a model from a .tflite (without TensorFlow), a .keras file or a run folder.

    Args:
        threads: CPU threads of a .tflite; TensorFlow chooses its own.

    Raises:
        UsageError: there is nothing at ``path``.
        ModelError: none of these kinds, or one that cannot be used.
        MissingDependency: a .keras or a run folder without TensorFlow installed.
    """
    if path.is_dir():
        if not (path / MODEL).is_file():
            raise ModelError(
                f"{path}: expected a run folder with {MODEL}, found no such file in it. "
                "A training run writes it at its end"
            )
        return _open_keras(path)
    require_exists(path, expected="a .tflite, a .keras or a run folder")
    if path.suffix == ".tflite":
        return TflitePredictor(path, threads=threads)
    if path.suffix == ".keras":
        if not zipfile.is_zipfile(path):
            raise ModelError(f"{path}: not a .keras file, or a truncated one")
        return _open_keras(path)
    got = path.suffix or "without a suffix"
    raise ModelError(f"{path}: expected a .tflite, a .keras or a run folder, got a file {got}")


def _open_keras(path: Path) -> Predictor:
    return cast(Predictor, open_stage("keras predictor")(path))
