"""A model on another machine as a predictor, so that a data set here measures it there.

Crops are cut here, and go over as raw inputs of the model; the other machine runs them with the
very target that it measures, and its raw outputs come back. The same inputs run on this machine's
CPU, too, for comparison.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.files import temporary_folder
from asmnet_kit.benchmarks.protocol import RemoteError, Request, Target, refuse_fallback
from asmnet_kit.benchmarks.timing.session_timing import landmark_parity
from asmnet_kit.face.looks import passes_of
from asmnet_kit.face.pictures import Image
from asmnet_kit.face.predictor import Prediction
from asmnet_kit.predict.open_predictor import open_tflite
from asmnet_kit.tflite.tensorfile import Tensors, read_tensors, write_tensors

# Crops of one call. Each call copies the model and starts a program over there; 512 float crops of
# 112 px are 77 MB.
CROPS_PER_CALL = 512


class RemotePredictor:
    """Predicts with a target on another machine.

    Args:
        target: whose ``measure`` runs ``Request.inputs``.

    Raises:
        ModelError: as ``open_tflite``.
    """

    crops_per_call = CROPS_PER_CALL

    def __init__(self, target: Target, request: Request) -> None:
        # This machine's CPU: the tensors' facts and the reference.
        self._here = open_tflite(request.model, adapter=request.adapter)
        self._here.runner = self._run_there
        self.name, self.scheme = self._here.name, self._here.scheme
        self.input_size, self.crop_scale = self._here.input_size, self._here.crop_scale
        self.passes = passes_of(self._here)
        self._target = target
        self._request = replace(
            request, warmup_runs=0, runs=1, min_seconds=0.0, mode="standard",
            sustained_minutes=0.0, profile=False,
        )  # fmt: skip
        self._landmarks: list[tuple[NDArray[Any], NDArray[Any]]] = []  # there, here

    def predict(self, crops: Image) -> Prediction:
        """What the model there says of crops, uint8 [B, input_size, input_size, 3], RGB.

        Raises:
            TargetError: another target than the requested one ran them.
            KitError: the other machine failed, or its outputs are not this model's.
        """
        return self._here.predict(crops)

    def parity(self) -> dict[str, Any]:
        """A result's ``parity``, over every crop so far."""
        info = self._here.runtime.outputs[self._here.output_name]
        there, here = (np.concatenate(part) for part in zip(*self._landmarks, strict=True))
        return landmark_parity(
            (there, info),
            (here, info),
            input_size=self._here.raw_size,
            reference="the same model on the CPU of the machine that asked",
            unit_sides=self._here.unit_sides,
        )

    def _run_there(self, images: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
        with temporary_folder() as folder:
            inputs, outputs = folder / "inputs", folder / "outputs"
            write_tensors(inputs, {self._here.input_name: images})
            request = replace(self._request, inputs=inputs, outputs=outputs)
            measured = self._target.measure(request, lambda done, note: None)
            refuse_fallback(self._target, request, measured.target["actual"])
            there = self._checked(read_tensors(outputs), len(images))
        name = self._here.output_name
        self._landmarks.append((there[name], self._here.run_raw(images)[name]))
        return there

    def _checked(self, outputs: Tensors, count: int) -> Tensors:
        """In memory, once they are what the model puts out."""
        expected = {
            name: (info.dtype.name, (count, *info.shape))
            for name, info in self._here.runtime.outputs.items()
        }
        got = {name: (values.dtype.name, values.shape) for name, values in outputs.items()}
        if got != expected:
            raise RemoteError(
                f"{self.name}: expected the outputs {expected} of target {self._request.target}, "
                f"got {got}"
            )
        return {name: np.array(values) for name, values in outputs.items()}
