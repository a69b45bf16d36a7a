"""How long a model would take on an Edge TPU: an estimate, up to twice or half the truth.

t = c0 + (instructions + inputs + outputs + streamed parameters) / bandwidth + cycles / clock

Against published timings (coral.ai, pycoral) it was -20 to +8 % off on MobileNetV1 and V2 at 224 px
and a factor of two too low on others, so the error is stated as a factor of two.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from asmnet_kit.tflite.graph import Op

LABEL = "estimate, up to 2x off"
ERROR_FACTOR = 2.0

MIB = 2**20
# Parameters and instructions share 8 MiB of SRAM. Compilers' logs show 6.3 to 8.05 MiB for
# parameters (used + remaining); the lower middle of that is taken for models not compiled yet.
SRAM_FOR_PARAMETERS_BYTES = 7 * MIB
# Compiled networks hold 1,300 to 3,800 bytes of instructions for each operator.
INSTRUCTION_BYTES_PER_OP = 2_000


@dataclass(frozen=True)
class Host:
    """What the Edge TPU is plugged into.

    Attributes:
        call_ms: c0, the fixed cost of one inference.
        bytes_per_ms: bandwidth of the link.
        clock_mhz: of the Edge TPU; on USB 500 with libedgetpu1-max and 250 with libedgetpu1-std, on
            PCIe 500.
    """

    call_ms: float
    bytes_per_ms: float
    clock_mhz: float


DEFAULT_HOST = "x86-64, USB 3"
STANDARD_CLOCK_HOST = "x86-64, USB 3, std"  # the same with libedgetpu1-std, which doctor installs

HOSTS: Mapping[str, Host] = MappingProxyType(
    {
        DEFAULT_HOST: Host(0.4, 420e3, 500),
        STANDARD_CLOCK_HOST: Host(0.4, 420e3, 250),
        "Raspberry Pi 4, USB 3": Host(2.3, 420e3, 500),
        "Raspberry Pi 3, USB 2": Host(0.8, 33e3, 500),
    }
)


@dataclass(frozen=True)
class Work:
    """What one inference moves and computes."""

    cycles: int
    cycles_from: str
    instruction_bytes: int
    input_bytes: int
    output_bytes: int
    streamed_bytes: int
    cached_bytes: int


def milliseconds(work: Work, host: Host) -> float:
    """The formula of this module's head."""
    moved = work.instruction_bytes + work.input_bytes + work.output_bytes + work.streamed_bytes
    return host.call_ms + moved / host.bytes_per_ms + work.cycles / (1e3 * host.clock_mhz)


def estimate_json(work: Work, *, cpu_ops: int) -> dict[str, Any]:
    """The ``estimate`` of a check.

    Args:
        cpu_ops: operators that stay on the CPU; their time is not in the estimate.
    """
    typical = milliseconds(work, HOSTS[DEFAULT_HOST])
    return {
        "label": LABEL,
        "error_factor": ERROR_FACTOR,
        "host": DEFAULT_HOST,
        "milliseconds": round(typical, 3),
        "low_ms": round(typical / ERROR_FACTOR, 3),
        "high_ms": round(typical * ERROR_FACTOR, 3),
        "hosts_ms": {name: round(milliseconds(work, host), 3) for name, host in HOSTS.items()},
        "cycles": work.cycles,
        "cycles_from": work.cycles_from,
        "instruction_bytes": work.instruction_bytes,
        "input_bytes": work.input_bytes,
        "output_bytes": work.output_bytes,
        "cached_parameter_bytes": work.cached_bytes,
        "streamed_parameter_bytes": work.streamed_bytes,
        "cpu_ops_not_included": cpu_ops,
    }


def predicted_work(ops: Sequence[Op]) -> Work:
    """The work of the operators that are expected on the Edge TPU, before they are compiled."""
    produced = {t.index for op in ops for t in op.outputs}
    consumed = {t.index for op in ops for t in op.inputs}
    parameters = {t.index: len(t.data) for op in ops for t in op.inputs if t.constant}
    inputs = {
        t.index: t.elements for op in ops for t in op.activations[: -len(op.outputs) or None]
        if t.index not in produced
    }  # fmt: skip
    outputs = {t.index: t.elements for op in ops for t in op.outputs if t.index not in consumed}
    total = sum(parameters.values())
    cached = min(total, SRAM_FOR_PARAMETERS_BYTES)
    return Work(
        cycles=sum(cycles(op) for op in ops),
        cycles_from="shapes of convolutions (within 12 % of the compiler's figure on ten models)",
        instruction_bytes=INSTRUCTION_BYTES_PER_OP * len(ops),
        input_bytes=sum(inputs.values()),
        output_bytes=sum(outputs.values()),
        streamed_bytes=total - cached,
        cached_bytes=cached,
    )


def cycles(op: Op) -> int:
    """Cycles of one operator; 0 for those that cost next to nothing beside convolutions.

    The Edge TPU works on 4 x 4 positions, 4 input and 16 output channels at once.
    """
    if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"):
        weights = op.inputs[1].shape
        output = op.outputs[0].shape
        if len(weights) != 4 or len(output) != 4:
            return 0
        positions = math.ceil(output[1] / 4) * math.ceil(output[2] / 4) * weights[1] * weights[2]
        if op.name == "DEPTHWISE_CONV_2D":
            return positions * math.ceil(output[3] / 16)
        return positions * math.ceil(weights[3] / 4) * math.ceil(output[3] / 16)
    if op.name == "FULLY_CONNECTED" and len(op.inputs[1].shape) == 2:
        outputs, inputs = op.inputs[1].shape
        return math.ceil(inputs / 4) * math.ceil(outputs / 16)
    return 0
