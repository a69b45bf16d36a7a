"""Which layers cost accuracy in int8: each alone in float, each alone in int8.

The rounding is emulated with ranges from calibration, as at the start of fine-tuning, in one model
whose roundings are turned on and off one by one. NME is measured on validation faces; next to it
stands how far the landmarks move away from the float model's, which shows a layer's share long
before the NME does: one layer's rounding may even help by chance.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from asmnet_kit.base.errors import require
from asmnet_kit.base.files import replacing
from asmnet_kit.face.metrics import mean_nme, per_face_nme
from asmnet_kit.measure.drift import Landmarks, PixelDrift
from asmnet_kit.measure.face_crops import FaceCrops, face_crops
from asmnet_kit.quantize.ranges.int8_ready import Int8Ready
from asmnet_kit.quantize.rounding.emulate import emulate, switch
from asmnet_kit.quantize.rounding.rounded_tensors import rounded_layers
from asmnet_kit.quantize.source.float_model import FloatModel
from asmnet_kit.quantize.source.fold import output_names_of, with_outputs
from asmnet_kit.training.data.sources import Sources
from asmnet_kit.training.networks.keras_predictor import KerasPredictor

SCHEMA_VERSION = 1
BATCH = 64


@dataclass(frozen=True)
class Outcome:
    """A model on the validation faces.

    Attributes:
        nme_percent: mean.
        drift: from the float model's landmarks.
    """

    nme_percent: float
    drift: PixelDrift

    def to_json(self) -> dict[str, Any]:
        return {"nme_percent": self.nme_percent, "pixel_drift": self.drift.to_json()}


@dataclass(frozen=True)
class LayerCost:
    """What int8 costs in one layer.

    Attributes:
        layer: its name, as ``--keep-float`` takes it.
        kind: its class.
        left_float: everything int8 but this layer; None where it was not measured.
        only_int8: everything float but this layer; None where it was not measured.
    """

    layer: str
    kind: str
    left_float: Outcome | None
    only_int8: Outcome | None


@dataclass(frozen=True)
class Sensitivity:
    """What int8 costs, layer by layer.

    Attributes:
        faces: that were measured on.
        in_float, in_int8: the model without and with all rounding.
        layers: in the order of execution.
    """

    faces: int
    in_float: Outcome
    in_int8: Outcome
    layers: tuple[LayerCost, ...]

    def gain_percent(self, cost: LayerCost) -> float:
        """Percentage points of NME that leaving this layer float gains."""
        if cost.left_float is None:
            return float("nan")
        return self.in_int8.nme_percent - cost.left_float.nme_percent

    def gain_px(self, cost: LayerCost) -> float:
        """Pixels of the p99 drift that leaving this layer float gains."""
        if cost.left_float is None:
            return float("nan")
        return self.in_int8.drift.p99 - cost.left_float.drift.p99

    def costliest(self, *, by_drift: bool = False) -> LayerCost:
        """The layer that is most worth leaving float, by NME or by the drift."""
        return max(self.layers, key=self.gain_px if by_drift else self.gain_percent)

    def to_json(self) -> dict[str, Any]:
        """The JSON of ``asmnet-kit sensitivity``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "sensitivity",
            "faces": self.faces,
            "float": self.in_float.to_json(),
            "int8": self.in_int8.to_json(),
            "layers": [
                {
                    "layer": cost.layer,
                    "kind": cost.kind,
                    "left_float": cost.left_float and cost.left_float.to_json(),
                    "only_int8": cost.only_int8 and cost.only_int8.to_json(),
                }
                for cost in self.layers
            ],
        }


def layer_costs(
    source: FloatModel,
    sources: Sources,
    ready: Int8Ready,
    *,
    faces: int,
    only_int8: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> Sensitivity:
    """Measure what int8 costs in each layer.

    Args:
        source: the float model that ``ready`` was made from.
        sources: whose validation faces are measured on.
        faces: how many of these, spread evenly.
        only_int8: measure each layer alone in int8, too; it takes twice as long.
        on_progress: called with (measurements done, in all).

    Raises:
        ModelError: a layer that int8 is not known to work for.
    """
    groups = rounded_layers(ready.model)
    emulated = emulate(ready.model, ready.crops, switchable=True)
    outputs = output_names_of(source.model)
    predictor = KerasPredictor(with_outputs(emulated, outputs), scheme=source.predictor.scheme)
    crops = face_crops(
        sources.val, count=faces, size=predictor.input_size, scale=source.predictor.crop_scale
    )
    bench = _Bench(predictor, crops)
    everything = [member for members in groups.values() for member in members]
    total = 2 + len(groups) * (2 if only_int8 else 1)
    done = 0

    def outcome() -> Outcome:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress(done, total)
        return bench.outcome()

    switch(emulated, everything, on=False)
    bench.reference = bench.landmarks()
    in_float = outcome()
    alone: dict[str, Outcome] = {}
    for name, members in groups.items() if only_int8 else ():
        switch(emulated, members, on=True)
        alone[name] = outcome()
        switch(emulated, members, on=False)
    switch(emulated, everything, on=True)
    in_int8 = outcome()
    costs = []
    for name, members in groups.items():
        switch(emulated, members, on=False)
        left_float = outcome()
        switch(emulated, members, on=True)
        kind = type(ready.model.get_layer(name)).__name__
        costs.append(LayerCost(name, kind, left_float, alone.get(name)))
    return Sensitivity(len(crops.pixels), in_float, in_int8, tuple(costs))


class _Bench:
    """The emulated model with its present switches, on faces that stay in memory."""

    def __init__(self, predictor: KerasPredictor, faces: FaceCrops) -> None:
        self.predictor, self.faces = predictor, faces
        self.reference: Landmarks | None = None

    def landmarks(self) -> Landmarks:
        pixels = self.faces.pixels
        parts = [pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)]
        return np.concatenate([self.predictor.predict(part).landmarks for part in parts])

    def outcome(self) -> Outcome:
        landmarks = self.landmarks()
        reference = landmarks if self.reference is None else self.reference
        nme = per_face_nme(landmarks, self.faces.truth, self.faces.scheme)
        drift = PixelDrift.between(reference, landmarks, size=self.predictor.input_size)
        return Outcome(mean_nme(nme), drift)


def plot_sensitivity(sensitivity: Sensitivity, path: Path) -> None:
    """Draw the drift and the NME by layer into a picture.

    Raises:
        MissingDependency: matplotlib is not installed.
    """
    require("matplotlib", extra="train")
    from matplotlib.figure import Figure

    layers = sensitivity.layers
    places = np.arange(len(layers))
    figure = Figure(figsize=(11, 0.17 * len(layers) + 1.6), layout="constrained")
    drift, nme = figure.subplots(1, 2, sharey=True)
    drift.barh(
        places,
        [np.nan if c.only_int8 is None else c.only_int8.drift.p50 for c in layers],
        color="#31688e",
    )
    drift.set(xlabel="median drift of the landmarks, pixels of the crop", title="only it int8")
    drift.set_yticks(places, [cost.layer for cost in layers], fontsize=6)
    drift.invert_yaxis()
    nme.barh(places, [sensitivity.gain_percent(cost) for cost in layers], color="#c1440e")
    nme.axvline(0, color="black", linewidth=0.6)
    nme.set(
        xlabel="percentage points of NME gained",
        title=f"leaving it float (float {sensitivity.in_float.nme_percent:.3f} %, "
        f"int8 {sensitivity.in_int8.nme_percent:.3f} %)",
    )
    for axes in (drift, nme):
        axes.grid(axis="x", alpha=0.3)
        axes.margins(y=0.005)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150)
