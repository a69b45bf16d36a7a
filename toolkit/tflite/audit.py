"""What a .tflite really holds: types, scales, float islands, what is cut off, and where it runs.

A converter does not mention a layer that it left in float, a bias that does not fit its scale, or
a tap that shares the scale of a larger one; the file still runs, slower or with worse numbers.
It works for any .tflite; a file with the kit's metadata is also checked against the kit's contract.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asmnet_kit.base.errors import ModelError
from asmnet_kit.face.pictures import Image
from asmnet_kit.tflite.accelerator_placement import ACCELERATORS, FULL, REFUSED, Placement, place
from asmnet_kit.tflite.edgetpu_rules import VERSION_CAPS
from asmnet_kit.tflite.findings import CLIPPED_SHARE, Finding, find
from asmnet_kit.tflite.graph import Graph, Tensor
from asmnet_kit.tflite.metadata import ModelMetadata, metadata_of
from asmnet_kit.tflite.reader import graph_of, read_model_bytes
from asmnet_kit.tflite.runtime import open_runtime
from asmnet_kit.tflite.saturation import Saturation, measure_saturation
from asmnet_kit.tflite.sizing import at_size

SCHEMA_VERSION = 1
CPU = "cpu"


@dataclass(frozen=True)
class Verdict:
    """Whether a target runs the model: ``full``, ``partial``, ``none`` or ``refused``."""

    verdict: str
    reason: str


@dataclass(frozen=True)
class Audit:
    """The outcome of an audit.

    Attributes:
        findings: the gravest first.
        verdicts: by target (cpu, edgetpu, gpu).
        saturation: by index of the tensor; empty without pictures.
        pictures: how many the model ran on.
        input_shape: height and width that were given for an input of open size, or None.
    """

    model: str
    sha256: str
    size_bytes: int
    graph: Graph = field(repr=False)
    metadata: ModelMetadata | None
    findings: tuple[Finding, ...]
    verdicts: Mapping[str, Verdict]
    saturation: Mapping[int, Saturation]
    pictures: int
    input_shape: tuple[int, int] | None = None

    def clipped(self) -> list[tuple[Tensor, Saturation]]:
        """Activations that are cut off on more than ``CLIPPED_SHARE`` of values, worst first."""
        found = [
            (tensor, self.saturation[tensor.index])
            for tensor in self.graph.used_tensors
            if tensor.index in self.saturation
            and self.saturation[tensor.index].share > CLIPPED_SHARE
        ]
        return sorted(found, key=lambda entry: -entry[1].share)

    def versions(self) -> list[dict[str, Any]]:
        """Each operator with its version, how often it occurs, and the Edge TPU's highest one."""
        counts: dict[tuple[str, int], int] = {}
        for op in self.graph.ops:
            counts[op.name, op.version] = counts.get((op.name, op.version), 0) + 1
        return [
            {"op": name, "version": version, "count": count,
             "edgetpu_highest": VERSION_CAPS.get(name)}
            for (name, version), count in sorted(counts.items())
        ]  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """The JSON of ``asmnet-kit audit --json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "audit",
            "model": self.model,
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
            "input_shape": self.input_shape and list(self.input_shape),
            "recipe": None if self.metadata is None else self.metadata.recipe,
            "metadata": None if self.metadata is None else self.metadata.to_json(),
            "verdicts": {
                target: {"verdict": v.verdict, "reason": v.reason}
                for target, v in self.verdicts.items()
            },
            "findings": [finding.to_json() for finding in self.findings],
            "operators": self.versions(),
            "pictures": self.pictures,
            "tensors": [self._tensor_json(tensor) for tensor in self.graph.used_tensors],
        }

    def _tensor_json(self, tensor: Tensor) -> dict[str, Any]:
        seen = self.saturation.get(tensor.index)
        return {
            "index": tensor.index,
            "name": tensor.name,
            "role": _role(tensor, self.graph),
            "shape": list(tensor.shape),
            "shape_signature": list(tensor.shape_signature),
            "type": tensor.type,
            "scales": list(tensor.scales),
            "zero_points": list(tensor.zero_points),
            "saturation": seen and {"low": seen.low, "high": seen.high,
                                    "least": seen.least, "greatest": seen.greatest},
        }  # fmt: skip


def audit_model(
    path: Path, *, crops: Image | None = None, input_shape: tuple[int, int] | None = None
) -> Audit:
    """Look into a .tflite file.

    Args:
        input_shape: height and width of an input whose size the file leaves open; None where it
            does not, or to see it as it is.
        crops: uint8 [B, S, S, 3], RGB: pictures to run it on, for what is cut off. They are fed
            as (v - 128) / 128.

    Raises:
        ModelError: the file is not a .tflite model, is cut off or damaged; with ``crops``, it
            does not take such pictures.
        UsageError: the file does not leave the size of its input open.
    """
    with at_size(path, input_shape) as sized:
        return _audited(path, sized, crops, input_shape)


def _audited(
    path: Path, sized: Path, crops: Image | None, input_shape: tuple[int, int] | None
) -> Audit:
    """
    Args:
        path: of the file, by which it is named.
        sized: of what is looked into: the file, or its copy of ``input_shape``.
    """
    content = read_model_bytes(path)
    graph = graph_of(read_model_bytes(sized), name=str(path))
    try:
        metadata = metadata_of(graph, name=str(path))
    except ModelError:
        metadata = None  # not one of the kit's
    verdicts = {CPU: _cpu_verdict(sized)} | {
        target: _accelerator_verdict(place(graph, target)) for target in ACCELERATORS
    }
    runs = verdicts[CPU].verdict != REFUSED
    saturation = measure_saturation(sized, graph, crops) if crops is not None and runs else {}
    return Audit(
        model=str(path),
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        graph=graph,
        metadata=metadata,
        findings=find(graph, metadata, saturation),
        verdicts=verdicts,
        saturation=saturation,
        pictures=len(crops) if crops is not None and runs else 0,
        input_shape=input_shape,
    )


def _cpu_verdict(path: Path) -> Verdict:
    try:
        runtime = open_runtime(path)
    except ModelError as error:
        return Verdict(REFUSED, str(error))
    # Builtin kernels also run on the CPU: the reason says how many operators XNNPACK has.
    reason = "; ".join([f"{runtime.name} {runtime.version}: {runtime.kernels}", *runtime.notes])
    return Verdict(FULL, reason)


def _accelerator_verdict(placement: Placement) -> Verdict:
    counts = f"{len(placement.mapped)} of {len(placement.ops)} operators map"
    if placement.refusal is not None:
        return Verdict(placement.verdict, placement.refusal.reason)
    if placement.first_blocking is not None:
        return Verdict(placement.verdict, f"{counts}; {placement.first_blocking.reason}")
    return Verdict(placement.verdict, f"{counts} (predicted)")


def _role(tensor: Tensor, graph: Graph) -> str:
    if any(t.index == tensor.index for t in graph.inputs):
        return "input"
    if any(t.index == tensor.index for t in graph.outputs):
        return "output"
    if tensor.constant:
        return "constant"
    return "variable" if tensor.variable else "activation"
