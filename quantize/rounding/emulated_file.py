"""The emulated model that a file was converted from, kept for a comparison with the file."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError, UsageError, one_line
from asmnet_kit.base.files import replacing
from asmnet_kit.base.npz import read_npz
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.schemes import scheme_from
from asmnet_kit.quantize.rounding.emulate import emulate
from asmnet_kit.quantize.source.float_model import FloatModel, open_float_model
from asmnet_kit.quantize.source.fold import deployable, output_names_of, with_outputs
from asmnet_kit.tflite.metadata import read_metadata
from asmnet_kit.training.networks.keras_predictor import KerasPredictor

SUFFIX = ".emulated.npz"  # behind the name of the file
BATCH = 32


def save_emulated(path: Path, weights: list[NDArray[Any]]) -> None:
    """Write an emulated model's weights and ranges, in the order of ``get_weights``."""
    arrays: dict[str, Any] = {f"weights_{index:04d}": value for index, value in enumerate(weights)}
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def float_landmarks(run: Path, file: Path, crops: Image) -> NDArray[np.float32]:
    """The landmarks of the float model that ``file`` was made from; float32 [B, N, 2].

    Args:
        crops: uint8 [B, S, S, 3].
    """
    return _landmarks(_source(run, _settings(file)).predictor, crops)


def emulated_landmarks(run: Path, weights: Path, file: Path, crops: Image) -> NDArray[np.float32]:
    """The landmarks of the emulated model that ``file`` was converted from; float32 [B, N, 2].

    Args:
        run: what the file was made from.
        weights: from ``save_emulated``.
        file: the .tflite; its metadata says which layers stayed float.

    Raises:
        ModelError: the weights are not those of such a model.
    """
    settings = _settings(file)
    source = _source(run, settings)
    model = source.model
    # Ranges are weights, too: those that these crops give are replaced below.
    emulated = emulate(deployable(model), crops[:1], keep_float=settings.get("keep_float", ()))
    emulated = with_outputs(emulated, output_names_of(model))
    arrays = read_npz(weights, expected="what quantize --keep-emulated wrote (.npz)")
    try:
        emulated.set_weights([arrays[name] for name in sorted(arrays)])
    except ValueError as error:
        raise ModelError(
            f"{weights}: expected the weights of {run}, emulated; {one_line(error)}"
        ) from error
    return _landmarks(KerasPredictor(emulated, scheme=source.predictor.scheme), crops)


def _settings(file: Path) -> dict[str, Any]:
    """What the file's metadata says it was made with."""
    return dict(read_metadata(file).source.get("settings", {}))


def _source(run: Path, settings: dict[str, Any]) -> FloatModel:
    """The float model, opened as the file says.

    Raises:
        UsageError: by an adapter, of which the file keeps what it says and not where it is.
    """
    if "adapter" in settings:
        raise UsageError(
            f"{run}: the file was made with the --adapter {settings['adapter']['name']}, without "
            "which the float model's outputs are in other terms: leave out --run"
        )
    return open_float_model(
        run,
        mean=settings.get("input_mean"),
        scale=settings.get("input_scale"),
        side=settings.get("input_side"),
        scheme=(scheme_from(settings["scheme"], where=str(run)) if "scheme" in settings else None),
    )


def _landmarks(predictor: KerasPredictor, crops: Image) -> NDArray[np.float32]:
    parts = [crops[start : start + BATCH] for start in range(0, len(crops), BATCH)]
    return np.concatenate([predictor.predict(part).landmarks for part in parts])
