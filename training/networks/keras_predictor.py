"""Runs whatever TensorFlow opens on crops (``asmnet_kit.face.predictor.Predictor``)."""

import zipfile
from collections.abc import Collection
from pathlib import Path

import tensorflow as tf
import tf_keras

from asmnet_kit.base.errors import ModelError
from asmnet_kit.base.keras_config import check_keras
from asmnet_kit.base.model_kind import FLOAT, ModelKind, require_kind
from asmnet_kit.base.run_folder import MODEL
from asmnet_kit.face.boxes import CROP_SCALE
from asmnet_kit.face.input_values import to_float_input
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.predictor import Prediction
from asmnet_kit.face.schemes import BUILT_IN, Scheme, scheme_of
from asmnet_kit.training.fit.loop import named_outputs
from asmnet_kit.training.foreign.h5_file import load_h5
from asmnet_kit.training.foreign.keras3_file import load_keras3
from asmnet_kit.training.foreign.saved_model import load_saved_model
from asmnet_kit.training.manifest import checked_crop_scale, scheme_of_run


class KerasPredictor:
    """A float model, run by TensorFlow.

    Input size and number of landmarks are read from the model itself; the crop's scale and the
    scheme from the manifest of its run folder where there is one.

    Args:
        source: a run folder, a .keras, an .h5, a SavedModel, or a model in memory (one that is
            being trained: its weights may change between calls).
        name: what reports call it; by default the file's or the model's name.
        crop_scale: of a file or a model in memory: side of its crops as a multiple of the face
            box's longer side; a run's manifest has its own.
        scheme: of the landmarks, where no manifest says it and there are as many; by default the
            built-in one with so many.

    Raises:
        ModelError: the file cannot be read, or is no landmark model.
    """

    def __init__(
        self,
        source: Path | tf_keras.Model,
        *,
        name: str | None = None,
        crop_scale: float = CROP_SCALE,
        scheme: Scheme | None = None,
    ) -> None:
        self.name: str = name or source.name
        self.crop_scale = crop_scale
        if isinstance(source, Path):
            if require_kind(source, FLOAT) == "run":
                scheme = scheme_of_run(source) or scheme
                self.crop_scale = checked_crop_scale(source)
            source = load_model(source)
        self.model = source
        self.input_size = input_size_of(self.model, self.name)
        # Compiled once, for any number of crops.
        crops = tf.TensorSpec([None, self.input_size, self.input_size, 3], tf.float32)
        self._run = tf.function(
            lambda crops: named_outputs(self.model(crops, training=False), self.model),
            input_signature=[crops],
        )
        widths = {
            name: spec.shape[-1]
            for name, spec in self._run.get_concrete_function().structured_outputs.items()
        }
        points = (widths.get("landmarks") or 0) // 2
        known = {int(name) for name in BUILT_IN} | ({scheme.points} if scheme else set())
        if points not in known:
            raise ModelError(
                f"{self.name}: expected an output 'landmarks' of "
                f"{', '.join(map(str, sorted(known)))} points, got "
                + ", ".join(f"{output!r} of {width} values" for output, width in widths.items())
                + ". Landmarks of your own: --scheme FILE (docs/schemes.md). asmnet-kit quantize "
                "takes outputs of other names, and --recipe fp32 makes a .tflite for this command"
            )
        self.scheme = scheme if scheme and scheme.points == points else scheme_of(points)

    def predict(self, crops: Image) -> Prediction:
        """What the model says of crops, uint8 [B, input_size, input_size, 3], RGB."""
        outputs = self._run(tf.constant(to_float_input(crops)))
        real = {name: value.numpy() for name, value in outputs.items()}
        return Prediction.of_outputs(real, self.scheme)


def load_model(
    path: Path, *, side: int | None = None, takes: Collection[ModelKind] = FLOAT
) -> tf_keras.Model:
    """The model at a path, whichever kind it is; code inside it is never run.

    Args:
        side: of the input of a SavedModel, pixels, where the file leaves it open.
        takes: the kinds that the caller takes.

    Raises:
        ModelError: of another kind, missing, truncated, or none that can be read safely.
    """
    kind = require_kind(path, takes)
    if kind == "h5":
        return load_h5(path)
    if kind == "saved_model":
        return load_saved_model(path, side=side)
    if kind == "keras3":
        check_keras(path)
        return load_keras3(path)
    return load_keras2(path / MODEL if kind == "run" else path)


def load_keras2(path: Path) -> tf_keras.Model:
    """A .keras of tf_keras, read with ``safe_mode``.

    Raises:
        ModelError: missing, truncated, or not a model that tf_keras can read.
    """
    check_keras(path)
    try:
        if path.suffix != ".keras" or not zipfile.is_zipfile(path):
            # Keras would take it for an .h5, and run the code in its Lambda layers: there it passes
            # over safe_mode without a word.
            raise ValueError("no archive that ends in .keras")
        loaded = tf_keras.models.load_model(path, compile=False, safe_mode=True)
        # Keras gives back a configuration in which it finds no class, as it stands there.
        if not isinstance(loaded, tf_keras.Model):
            raise TypeError(f"its configuration describes a {type(loaded).__name__}, no model")
        return loaded
    except Exception as error:  # whatever a damaged archive makes Keras, zipfile or HDF5 raise
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{path}: not a .keras model that can be loaded ({first_line})") from error


def input_size_of(model: tf_keras.Model, name: str) -> int:
    """S of a model's one input [B, S, S, 3].

    Raises:
        ModelError: several inputs, another shape, or a size that is left open.
    """
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    shape = shapes[0] if len(shapes) == 1 else ()
    if len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3):
        raise ModelError(
            f"{name}: expected channels last (NHWC), got an input {list(shape)} with channels "
            "first (NCHW): build it with data_format='channels_last', or convert it by way of ONNX "
            "and onnx2tf, which turns the layout round"
        )
    if len(shape) == 4 and shape[1] is None and shape[3] == 3:
        raise ModelError(
            f"{name}: expected one input of [B, S, S, 3] with a fixed S, got {list(shape)}, which "
            "leaves the size open: make a .tflite of one size with asmnet-kit quantize "
            "--input-shape SxS"
        )
    if len(shape) != 4 or shape[1] is None or shape[1] != shape[2] or shape[3] != 3:
        raise ModelError(
            f"{name}: expected one input of [B, S, S, 3] with a fixed S, got "
            f"{', '.join(map(str, shapes))}"
        )
    return int(shape[1])
