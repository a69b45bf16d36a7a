"""A .tflite file run on crops, without TensorFlow."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.predictor import Prediction
from asmnet_kit.face.uncertainty import UNCERTAINTY, VISIBILITY
from asmnet_kit.tflite.inputs import input_values
from asmnet_kit.tflite.metadata import OUTPUT_UNITS, read_metadata
from asmnet_kit.tflite.runtime import Session, TensorInfo, dequantize, open_runtime

Runner = Callable[[NDArray[np.generic]], dict[str, NDArray[np.generic]]]


class TflitePredictor:
    """A .tflite that carries the kit's metadata, run without TensorFlow.

    Args:
        session: the model opened on another target; by default on the CPU.

    Attributes:
        runner: runs raw inputs [B, 1, S, S, 3]; ``run_raw`` by default.
        input_name, output_name: of the tensors that hold the crop and the landmarks.
        raw_size: side of the model's input, pixels.
        unit_sides: length of one unit of the landmarks, sides of the model's crop.

    Raises:
        ModelError: missing, cut off, not a .tflite, without metadata, or with tensors that do not
            agree with its metadata.
    """

    input_name, output_name, unit_sides = "image", "landmarks", 1.0

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
        self.scheme = metadata.scheme
        self.input_size = self.raw_size = metadata.input_size
        self.crop_scale = metadata.crop_scale
        self.calibration = metadata.calibration
        self.runtime: Session = session or open_runtime(path, threads=threads, xnnpack=xnnpack)
        self.runner: Runner = self.run_raw
        self._input = self._checked_tensors(path)

    def predict(self, crops: Image) -> Prediction:
        """Each crop is a run of its own: the batch of a .tflite is fixed to 1."""
        outputs = self.runner(self.inputs(crops))
        real = {name: self._real(name, outputs) for name in OUTPUT_UNITS if name in outputs}
        return Prediction.of_outputs(real, self.scheme, self.calibration)

    def inputs(self, crops: Image) -> NDArray[np.generic]:
        """The model's raw input for each crop: [B, 1, S, S, 3]."""
        return input_values(crops, self._input)[:, None]

    def points(self, output: NDArray[np.generic]) -> NDArray[np.float32]:
        """Landmarks [B, N, 2] of a raw output [B, ...], fractions of the crop from its centre."""
        info = self.runtime.outputs[self.output_name]
        return dequantize(output, info).reshape(-1, self.scheme.points, 2)

    landmarks = points  # the model's points are the scheme's

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
        points = self.scheme.points
        expected = {"landmarks": 2 * points, "pose": 3, UNCERTAINTY: points, VISIBILITY: points}
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
