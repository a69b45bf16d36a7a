"""Gates: how much worse than the float model a file may be, and which layer costs most."""

from dataclasses import dataclass

from asmnet_kit.measure.drift import PixelDrift
from asmnet_kit.quantize.ranges.int8_ready import Int8Ready
from asmnet_kit.quantize.rounding.sensitivity import layer_costs
from asmnet_kit.quantize.source.float_model import FloatModel
from asmnet_kit.training.data.sources import Sources

GATE_FACES = 128  # on which the layer that costs most is looked for


@dataclass(frozen=True)
class MissedGate:
    """A gate that a file missed.

    Attributes:
        by_drift: whether it is that of the landmarks' drift; else it is that of the NME.
        reason: a clause, for the message.
    """

    by_drift: bool
    reason: str


@dataclass(frozen=True)
class Gates:
    """How much worse a file may be than the float model; None = anything.

    Attributes:
        max_nme_increase: percentage points of NME on the validation faces.
        max_pixel_drift: pixels of the crop, p99 over the validation faces.
    """

    max_nme_increase: float | None = None
    max_pixel_drift: float | None = None

    def missed(
        self, *, recipe: str, float_nme_percent: float, nme_percent: float, drift: PixelDrift
    ) -> MissedGate | None:
        """The first gate that a file misses; None when it passes.

        Args:
            recipe: of the file, for the message.
            float_nme_percent, nme_percent: of the float model and of the file.
            drift: between the landmarks of both.
        """
        increase = nme_percent - float_nme_percent
        if self.max_nme_increase is not None and increase > self.max_nme_increase:
            return MissedGate(
                by_drift=False,
                reason=f"{recipe} raises the NME by {increase:.3f} percentage points, from "
                f"{float_nme_percent:.3f} % to {nme_percent:.3f} %, and --max-nme-increase allows "
                f"{self.max_nme_increase:g}",
            )
        if self.max_pixel_drift is not None and drift.p99 > self.max_pixel_drift:
            return MissedGate(
                by_drift=True,
                reason=f"{recipe} moves the landmarks of one face in a hundred by {drift.p99:.3f} "
                "pixels of the crop or more, and --max-pixel-drift allows "
                f"{self.max_pixel_drift:g}",
            )
        return None


def costliest_layer(
    missed: MissedGate, source: FloatModel, sources: Sources, ready: Int8Ready
) -> str:
    """A clause that names the layer whose rounding costs most of what the gate measures."""
    found = layer_costs(source, sources, ready, faces=GATE_FACES, only_int8=False)
    cost = found.costliest(by_drift=missed.by_drift)
    gain = (
        f"{found.gain_px(cost):.3f} pixels of the drift"
        if missed.by_drift
        else f"{found.gain_percent(cost):.3f} percentage points"
    )
    return (
        f"The layer that costs most, before fine-tuning, is {cost.layer}: left in float "
        f"(--keep-float {cost.layer}) it gains {gain}"
    )
