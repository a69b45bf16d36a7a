"""One way to run a landmark model, whichever file it is in: crops in, landmarks and pose out."""

import importlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.base.files import require_exists
from asmnet_kit.face.crop import Image, to_float_input, to_int8_input
from asmnet_kit.face.schemes import SCHEMES, Scheme, mirrored
from asmnet_kit.tflite.metadata import read_metadata
from asmnet_kit.tflite.runtime import Session, TensorInfo, dequantize, open_runtime, quantize

POSE_UNIT_DEGREES = 90.0  # models predict degrees / 90
RUN_MODEL = "model.keras"  # of a run folder


@dataclass(frozen=True)
class Prediction:
    """What a model says about B crops.

    Attributes:
        landmarks: float32 [B, N, 2], fractions of the crop's side from its centre, x right, y down.
        pose: float32 [B, 3] yaw, pitch, roll in degrees (signs: asmnet_kit.face.pose), or None for
            a model without a pose output.
    """

    landmarks: NDArray[np.float32]
    pose: NDArray[np.float32] | None


class Predictor(Protocol):
    """A loaded model.

    Attributes:
        name: of the file or run folder.
        scheme: the landmarks it predicts.
        input_size: side of its crops, pixels.
        crop_scale: side of its crops as a multiple of the face box's longer side.
    """

    @property
    def name(self) -> str: ...

    @property
    def scheme(self) -> Scheme: ...

    @property
    def input_size(self) -> int: ...

    @property
    def crop_scale(self) -> float: ...

    def predict(self, crops: Image) -> Prediction:
        """Run the model on crops, uint8 [B, input_size, input_size, 3], RGB."""
        ...


def refuse_nan(predictor: Predictor, names: Sequence[str], predicted: Prediction) -> None:
    """Refuse predictions that are no numbers.

    Args:
        names: of the faces, one for each prediction.

    Raises:
        ModelError: a landmark or an angle is NaN or infinite; the first such face is named.
    """
    finite = np.isfinite(predicted.landmarks).all(axis=(1, 2))
    if predicted.pose is not None:
        finite &= np.isfinite(predicted.pose).all(axis=1)
    if not finite.all():
        raise ModelError(
            f"{predictor.name}: predicted NaN or infinity for {names[int(np.argmin(finite))]}; its "
            "weights are broken, train or convert it again"
        )


def predict_both_ways(predictor: Predictor, crop: Image, *, name: str) -> NDArray[np.float32]:
    """The mean of the answers to a crop and to its mirror image, which leans to neither side.

    Args:
        crop: uint8 [input_size, input_size, 3], RGB.
        name: of the face, for messages.

    Returns:
        float32 [N, 2], fractions of the crop's side from its centre.

    Raises:
        ModelError: the model predicts NaN.
    """
    predicted = predictor.predict(np.stack([crop, crop[:, ::-1]]))
    refuse_nan(predictor, [name, f"{name}, mirrored"], predicted)
    straight, turned = predicted.landmarks
    # Fractions lie about the crop's centre, which stays where it is: x becomes -x.
    return np.asarray((straight + mirrored(turned, 1.0, predictor.scheme)) / 2, np.float32)


class TflitePredictor:
    """A .tflite that carries the kit's metadata, run without TensorFlow.

    Args:
        session: the model opened on another target; on the CPU unless given.

    Raises:
        ModelError: missing, cut off, not a .tflite, without metadata, or with tensors that do not
            agree with its metadata.
    """

    def __init__(
        self,
        path: Path,
        *,
        threads: int = 1,
        xnnpack: bool = True,
        session: Session | None = None,
    ) -> None:
        metadata = read_metadata(path)
        self.name = path.name
        self.scheme = SCHEMES[metadata.landmarks]
        self.input_size = metadata.input_size
        self.crop_scale = metadata.crop_scale
        self.runtime: Session = session or open_runtime(path, threads=threads, xnnpack=xnnpack)
        self._input = self._checked_tensors(path)

    def predict(self, crops: Image) -> Prediction:
        """Each crop is a run of its own: the batch of a .tflite is fixed to 1."""
        outputs = self.run_raw(input_values(crops, self._input)[:, None])
        landmarks = self._real("landmarks", outputs).reshape(-1, self.scheme.points, 2)
        if "pose" not in self.runtime.outputs:
            return Prediction(landmarks, None)
        return Prediction(landmarks, POSE_UNIT_DEGREES * self._real("pose", outputs))

    def run_raw(self, images: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
        """Raw inputs [B, 1, S, S, 3] to raw outputs by name, [B, *shape of the output]."""
        outputs = [self.runtime.run({"image": image}) for image in images]
        return {
            name: np.array([output[name] for output in outputs], info.dtype).reshape(
                -1, *info.shape
            )
            for name, info in self.runtime.outputs.items()
        }

    def _real(self, name: str, outputs: dict[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        """The values of one output for all crops: [B, its length]."""
        info = self.runtime.outputs[name]
        return dequantize(outputs[name].reshape(-1, int(np.prod(info.shape))), info)

    def _checked_tensors(self, path: Path) -> TensorInfo:
        inputs, outputs = self.runtime.inputs, self.runtime.outputs
        expected = {"landmarks": 2 * self.scheme.points, "pose": 3}
        if set(inputs) != {"image"} or "landmarks" not in outputs:
            raise ModelError(
                f"{path}: expected the input 'image' and the outputs 'landmarks' and 'pose', "
                f"got {', '.join(inputs)} and {', '.join(outputs)}"
            )
        wanted = (1, self.input_size, self.input_size, 3)
        if inputs["image"].shape != wanted:
            raise ModelError(
                f"{path}: its metadata says an input of {list(wanted)}, "
                f"its graph has {list(inputs['image'].shape)}"
            )
        for name, width in expected.items():
            if name in outputs and int(np.prod(outputs[name].shape)) != width:
                raise ModelError(
                    f"{path}: expected {width} values in the output {name!r}, "
                    f"got {list(outputs[name].shape)}"
                )
        return inputs["image"]


def input_values(crops: Image, info: TensorInfo) -> NDArray[np.generic]:
    """Crops as the raw values of a model's input; the shape stays.

    Args:
        crops: uint8 [..., S, S, 3], RGB.
        info: of the input, which stands for (v - 128) / 128 of a value v in 0..255.
    """
    if info.dtype == np.int8 and info.scale == 1 / 128 and info.zero_point == 0:
        return to_int8_input(crops)
    real = to_float_input(crops)
    return real if info.dtype == np.float32 else quantize(real, info)


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
        if not (path / RUN_MODEL).is_file():
            raise ModelError(
                f"{path}: expected a run folder with {RUN_MODEL}, found no such file in it. "
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
    # By name: the toolkit works without the training stage and never imports it itself.
    importlib.import_module("asmnet_kit.training.environment").import_tensorflow()
    module = importlib.import_module("asmnet_kit.training.networks.keras_predictor")
    return cast(Predictor, module.KerasPredictor(path))
