"""Drawn people that travel with the page: it runs their crops, the NME is worked out here."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import KitError, ModelError
from asmnet_kit.datasets.base import Dataset
from asmnet_kit.face.schemes import SCHEME_68, SCHEME_98
from asmnet_kit.measure.evaluate import evaluate
from asmnet_kit.people.fixed_sets import MEASURED_SIZE, person_to_measure_on
from asmnet_kit.predict.open_predictor import open_tflite
from asmnet_kit.tflite.tensorfile import Tensors

LABELLED = (SCHEME_68, SCHEME_98)


@dataclass(frozen=True, eq=False)
class SentPeople:
    """People of the fixed set that ``evaluate --data people`` measures on, as a model's inputs.

    Attributes:
        inputs: raw, of every person, in the order of the faces; the model that was measured runs
            each once.
    """

    path: Path
    dataset: Dataset
    inputs: Tensors

    @classmethod
    def of(cls, path: Path, count: int) -> "SentPeople | None":
        """The first ``count`` people; None for none, or a model of other landmarks than theirs."""
        try:
            predictor = open_tflite(path)
        except ModelError:
            return None
        if not count or predictor.scheme not in LABELLED:
            return None
        faces = tuple(
            replace(
                person_to_measure_on(number, size=MEASURED_SIZE, points=predictor.scheme.points),
                split="test",
            )
            for number in range(count)
        )
        dataset = Dataset("people", "people", predictor.scheme, faces)
        sent: list[NDArray[np.generic]] = []

        def note(images: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
            sent.append(images)
            return predictor.run_raw(images)

        predictor.runner = note
        evaluate(predictor, dataset)
        return cls(path, dataset, {predictor.input_name: np.concatenate(sent)})

    def accuracy(self, outputs: Tensors, *, target: str, kernels: str) -> dict[str, Any]:
        """A result's ``accuracy`` by raw outputs of the page, in the order of ``inputs``.

        Raises:
            KitError: not as many outputs as inputs.
            ModelError: outputs that are no landmarks.
        """
        (inputs,) = self.inputs.values()
        if any(len(values) != len(inputs) for values in outputs.values()):
            raise KitError(f"expected the outputs of {len(inputs)} people")
        predictor = open_tflite(self.path)
        done = 0

        def given(images: NDArray[np.generic]) -> dict[str, NDArray[np.generic]]:
            nonlocal done
            first, done = done, done + len(images)
            return {name: values[first:done] for name, values in outputs.items()}

        predictor.runner = given
        result = evaluate(predictor, self.dataset)
        measured_with = {"target": target, "kernels": kernels}
        return {**result.to_json(), "split": "test", "measured_with": measured_with}
