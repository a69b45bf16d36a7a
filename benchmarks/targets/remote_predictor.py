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
from asmnet_kit.predict.tflite_predictor import TflitePredictor
from asmnet_kit.tflite.tensorfile import Tensors, read_tensors, write_tensors

# Crops of one call. Each call copies the model and starts a program over there; 512 float crops of
# 112 px are 77 MB.
CROPS_PER_CALL = 512


class RemotePredictor(TflitePredictor):
    """Predicts with a target on another machine.

    Args:
        target: whose ``measure`` runs ``Request.inputs``.

    Raises:
        ModelError: as ``TflitePredictor``.
    """

    crops_per_call = CROPS_PER_CALL

    def __init__(self, target: Target, request: Request) -> None:
        super().__init__(request.model)  # this machine's CPU: the tensors' facts and the reference
        self._target = target
        self._request = replace(
            request, warmup_runs=0, runs=1, min_seconds=0.0, mode="standard",
            sustained_minutes=0.0, profile=False,
        )  # fmt: skip
        self._landmarks: list[tuple[NDArray[Any], NDArray[Any]]] = []  # there, here

    def run_raw(self, images: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
        """Run them there.

        Raises:
            TargetError: another target than the requested one ran them.
            KitError: the other machine failed, or its outputs are not this model's.
        """
        with temporary_folder() as folder:
            inputs, outputs = folder / "inputs", folder / "outputs"
            write_tensors(inputs, {"image": images})
            request = replace(self._request, inputs=inputs, outputs=outputs)
            measured = self._target.measure(request, lambda done, note: None)
            refuse_fallback(self._target, request, measured.target["actual"])
            there = self._checked(read_tensors(outputs), len(images))
        self._landmarks.append((there["landmarks"], super().run_raw(images)["landmarks"]))
        return there

    def parity(self) -> dict[str, Any]:
        """A result's ``parity``, over every crop so far."""
        info = self.runtime.outputs["landmarks"]
        there, here = (np.concatenate(part) for part in zip(*self._landmarks, strict=True))
        return landmark_parity(
            (there, info),
            (here, info),
            input_size=self.input_size,
            reference="the same model on the CPU of the machine that asked",
        )

    def _checked(self, outputs: Tensors, count: int) -> Tensors:
        """In memory, once they are what the model puts out."""
        expected = {
            name: (info.dtype.name, (count, *info.shape))
            for name, info in self.runtime.outputs.items()
        }
        got = {name: (values.dtype.name, values.shape) for name, values in outputs.items()}
        if got != expected:
            raise RemoteError(
                f"{self.name}: expected the outputs {expected} of target {self._request.target}, "
                f"got {got}"
            )
        return {name: np.array(values) for name, values in outputs.items()}
