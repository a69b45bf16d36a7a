"""What a .tflite really holds: types, scales, float islands, what is cut off, and where it runs.

A converter says nothing of a layer that it left in float, of a bias that does not fit its scale, or
of a tap that shares the scale of a larger one; the file still runs, slower or with worse numbers.
It works for any .tflite; a file with the kit's metadata is held against the kit's contract, too.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from asmnet_kit.base.errors import ModelError
from asmnet_kit.face.pictures import Image
from asmnet_kit.tflite.accelerator_placement import ACCELERATORS, FULL, REFUSED, Placement, place
from asmnet_kit.tflite.accelerator_rules import VERSION_CAPS
from asmnet_kit.tflite.contract import verify_contract, verify_w8a8
from asmnet_kit.tflite.graph import Graph, Op, Tensor, graph_of
from asmnet_kit.tflite.metadata import ModelMetadata, read_metadata
from asmnet_kit.tflite.runtime import open_runtime
from asmnet_kit.tflite.saturation import LIMITS, Saturation, kernel_levels, measure_saturation

SCHEMA_VERSION = 1
CPU = "cpu"

# Of a tensor's values at the limits of its type; above it, clipping is worth a warning. The
# averages of batch extremes that calibration takes leave out about that much.
CLIPPED_SHARE = 0.002
# Of a shared scale's range; an input of a concatenation that uses less has under 6 of its 8 bits.
USED_SHARE = 0.25
# Of 127; a channel whose largest weight is below has under 4 bits and its sign.
FEW_LEVELS = 16

FLOATS = ("float32", "float16", "float64")
BORDERS = ("QUANTIZE", "DEQUANTIZE")
WITH_KERNEL = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}  # axis of the channels
KERNEL, BIAS = 1, 2  # which of their inputs it is

# How grave a finding is: numbers are wrong; accuracy, speed or a target is lost; worth knowing.
WRONG, COSTLY, NOTE = "wrong", "costly", "note"
GRAVITY = (WRONG, COSTLY, NOTE)


@dataclass(frozen=True)
class Finding:
    """Something about a file that its user should know.

    Attributes:
        kind: a fixed name, for programs.
        gravity: ``wrong``, ``costly`` or ``note``.
        where: the tensor or operator.
        what: a sentence without its full stop.
        cure: what to do; empty where nothing needs to be done.
    """

    kind: str
    gravity: str
    where: str
    what: str
    cure: str = ""

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


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

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Every tensor that an operator reads or writes, by index."""
        return _tensors(self.graph)

    def clipped(self) -> list[tuple[Tensor, Saturation]]:
        """Activations that are cut off on more than ``CLIPPED_SHARE`` of values, worst first."""
        found = [
            (tensor, self.saturation[tensor.index])
            for tensor in self.tensors
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
            "recipe": None if self.metadata is None else self.metadata.recipe,
            "verdicts": {
                target: {"verdict": v.verdict, "reason": v.reason}
                for target, v in self.verdicts.items()
            },
            "findings": [finding.to_json() for finding in self.findings],
            "operators": self.versions(),
            "pictures": self.pictures,
            "tensors": [self._tensor_json(tensor) for tensor in self.tensors],
        }

    def _tensor_json(self, tensor: Tensor) -> dict[str, Any]:
        seen = self.saturation.get(tensor.index)
        return {
            "index": tensor.index,
            "name": tensor.name,
            "role": _role(tensor, self.graph),
            "shape": list(tensor.shape),
            "type": tensor.type,
            "scales": list(tensor.scales),
            "zero_points": list(tensor.zero_points),
            "saturation": seen and {"low": seen.low, "high": seen.high,
                                    "least": seen.least, "greatest": seen.greatest},
        }  # fmt: skip


def audit_model(path: Path, *, crops: Image | None = None) -> Audit:
    """Look into a .tflite file.

    Args:
        crops: uint8 [B, S, S, 3], RGB: pictures to run it on, for what is cut off. They are fed
            as (v - 128) / 128.

    Raises:
        ModelError: no .tflite model, cut off or damaged; with ``crops``, one that does not take
            such pictures.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    graph = graph_of(content, name=str(path))
    try:
        metadata = read_metadata(content)
    except ModelError:
        metadata = None  # not one of the kit's
    verdicts = {CPU: _cpu_verdict(path)} | {
        target: _accelerator_verdict(place(graph, target)) for target in ACCELERATORS
    }
    runs = verdicts[CPU].verdict != REFUSED
    saturation = measure_saturation(path, graph, crops) if crops is not None and runs else {}
    findings = [
        *_contract_findings(content, metadata),
        *_type_findings(graph),
        *_scale_findings(graph, saturation),
        *_clipping_findings(graph, saturation),
        *_version_findings(graph),
    ]
    return Audit(
        model=str(path),
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        graph=graph,
        metadata=metadata,
        findings=tuple(sorted(findings, key=lambda finding: GRAVITY.index(finding.gravity))),
        verdicts=verdicts,
        saturation=saturation,
        pictures=len(crops) if crops is not None and runs else 0,
    )


# Where it runs -----------------------------------------------------------------------------------


def _cpu_verdict(path: Path) -> Verdict:
    try:
        runtime = open_runtime(path)
    except ModelError as error:
        return Verdict(REFUSED, str(error))
    # Builtin kernels run on the CPU, too: the reason says how many operators XNNPACK has.
    reason = "; ".join([f"{runtime.name} {runtime.version}: {runtime.kernels}", *runtime.notes])
    return Verdict(FULL, reason)


def _accelerator_verdict(placement: Placement) -> Verdict:
    counts = f"{len(placement.mapped)} of {len(placement.ops)} operators map"
    if placement.refusal is not None:
        return Verdict(placement.verdict, placement.refusal.reason)
    if placement.first_blocking is not None:
        return Verdict(placement.verdict, f"{counts}; {placement.first_blocking.reason}")
    return Verdict(placement.verdict, f"{counts} (predicted)")


# Findings ----------------------------------------------------------------------------------------


def _contract_findings(content: bytes, metadata: ModelMetadata | None) -> Iterator[Finding]:
    """What the kit promises of its own files."""
    if metadata is None:
        return
    try:
        verify_contract(content, outputs=set(metadata.outputs))
        if metadata.recipe.endswith("w8a8") and not metadata.source.get("settings", {}).get(
            "keep_float"
        ):
            verify_w8a8(content)
    except ModelError as error:
        yield Finding("contract", WRONG, "the file", str(error), "make it again with this kit")


def _type_findings(graph: Graph) -> Iterator[Finding]:
    """Floats inside an integer model, and conversions to and fro."""
    if not any(t.type in LIMITS for op in graph.ops for t in op.activations):
        return  # float throughout, or integer weights alone: no island in a sea of floats
    makers = {t.index: op for op in graph.ops for t in op.outputs}
    for island in _float_islands(graph):
        names = ", ".join(dict.fromkeys(op.name for op in island))
        yield Finding(
            "float_island", COSTLY, _place(island[0]),
            f"{len(island)} of {len(graph.ops)} operators compute in float ({names})",
            "the Edge TPU stops here; use layers that int8 has kernels for",
        )  # fmt: skip
    for op in graph.ops:
        if op.name not in BORDERS or op.inputs[0].constant:  # a constant: packed weights
            continue
        source = makers.get(op.inputs[0].index)
        border = _at_border((*op.inputs, *op.outputs), graph)
        if op.name == "QUANTIZE" and op.inputs[0].type in LIMITS:
            yield Finding(
                "requantize",
                NOTE if border else COSTLY,
                _place(op),
                "QUANTIZE changes the type or scale of whole numbers"
                + (" at the model's border" if border else ""),
                "" if border else "give what meets here one range, for example before an addition",
            )
        elif op.name == "QUANTIZE" and source is not None and source.name == "DEQUANTIZE":
            yield Finding(
                "conversion_pair",
                COSTLY,
                _place(op),
                "DEQUANTIZE and QUANTIZE follow each other",
                "they undo each other; convert again without emulated rounding between",
            )
        elif _at_border([t for t in op.activations if t.type in FLOATS], graph):
            yield Finding(
                "float_border",
                NOTE,
                _place(op),
                f"{op.name} at the model's border: the program around it handles floats",
                "converter.inference_input_type = inference_output_type = tf.int8",
            )


def _float_islands(graph: Graph) -> list[list[Op]]:
    """Operators with float activations, those that are connected by floats together."""
    computing = [
        op
        for op in graph.ops
        if op.name not in BORDERS and any(t.type in FLOATS for t in op.activations)
    ]
    islands: list[tuple[set[int], list[Op]]] = []
    for op in computing:  # in the order of execution
        touched = {t.index for t in op.activations if t.type in FLOATS}
        joined = [island for island in islands if island[0] & touched]
        for island in joined:
            islands.remove(island)
            touched |= island[0]
        islands.append((touched, [*(o for island in joined for o in island[1]), op]))
    return [ops for _, ops in islands]


def _scale_findings(graph: Graph, saturation: Mapping[int, Saturation]) -> Iterator[Finding]:
    for op in graph.ops:
        if op.name in WITH_KERNEL and len(op.inputs) > KERNEL:
            yield from _kernel_findings(op)
        if op.name == "CONCATENATION":
            yield from _concatenation_findings(op, saturation)


def _kernel_findings(op: Op) -> Iterator[Finding]:
    kernel = op.inputs[KERNEL]
    axis = WITH_KERNEL[op.name]
    if kernel.type != "int8" or not kernel.constant or len(kernel.shape) <= axis:
        return
    channels = kernel.shape[axis]
    # Beside float activations several scales came with a version that old runtimes refuse.
    integer = op.inputs[0].type in LIMITS
    if op.name == "FULLY_CONNECTED" and len(kernel.scales) > 1 and integer:
        yield Finding(
            "dense_per_channel", WRONG, kernel.name,
            f"dense weights with {len(kernel.scales)} scales: the Edge TPU and runtimes up to "
            "TFLite 2.5 read them wrongly, without an error",
            "convert with _experimental_disable_per_channel_quantization_for_dense_layers",
        )  # fmt: skip
    if op.name != "FULLY_CONNECTED" and len(kernel.scales) == 1 < channels:
        yield Finding(
            "kernel_per_tensor", COSTLY, kernel.name,
            f"one scale for the kernels of {channels} channels: small ones use few of its levels",
            "one scale for each channel; every runtime has that for convolutions",
        )  # fmt: skip
    few = int((kernel_levels(kernel, axis) < FEW_LEVELS).sum())
    if op.name != "FULLY_CONNECTED" and few:
        yield Finding(
            "few_levels", NOTE, kernel.name,
            f"{few} of {channels} channels use fewer than {FEW_LEVELS} of 127 levels: their "
            "kernels are next to nothing beside their bias or their neighbours",
        )  # fmt: skip
    if len(op.inputs) > BIAS and op.inputs[BIAS].constant:
        yield from _bias_findings(op.inputs[BIAS])


def _bias_findings(bias: Tensor) -> Iterator[Finding]:
    """A bias at an end of its type was larger than its scale allows, and its value is lost."""
    if bias.type not in ("int32", "int64"):
        return
    kind = np.dtype(f"<i{4 if bias.type == 'int32' else 8}")
    values = np.frombuffer(bias.data, kind)
    limits = np.iinfo(kind)
    cut = np.flatnonzero((values == limits.max) | (values <= -limits.max))
    if cut.size:
        yield Finding(
            "bias_cut", WRONG, bias.name,
            f"{cut.size} biases are cut off at the end of {bias.type}, first channel {cut[0]}",
            "widen the range of the kernel, whose scale is too small for the bias",
        )  # fmt: skip


def _concatenation_findings(op: Op, saturation: Mapping[int, Saturation]) -> Iterator[Finding]:
    """Its inputs share one scale: one that is much smaller than the widest has few levels left."""
    output = op.outputs[0]
    if output.type not in LIMITS or len(output.scales) != 1:
        return
    low, high = LIMITS[output.type]
    width = output.scales[0] * (high - low)
    shares = []
    for tensor in op.inputs:
        seen = saturation.get(tensor.index)
        if seen is None:
            continue
        shares.append((seen.greatest - seen.least) / width)
        if shares[-1] < USED_SHARE:
            yield Finding(
                "concatenation_share", COSTLY, tensor.name,
                f"uses {shares[-1]:.0%} of the range that a CONCATENATION of {len(op.inputs)} "
                "inputs gives it",
                "equalise the inputs (asmnet-kit quantize does), or add per-input dense layers",
            )  # fmt: skip
    told = f"; they use {min(shares):.0%} to {max(shares):.0%} of its range" if shares else ""
    yield Finding(
        "concatenation_scale", NOTE, _place(op),
        f"{len(op.inputs)} inputs share the scale {output.scales[0]:.6g}{told}",
    )  # fmt: skip


def _clipping_findings(graph: Graph, saturation: Mapping[int, Saturation]) -> Iterator[Finding]:
    for tensor in _tensors(graph):
        seen = saturation.get(tensor.index)
        if seen is None or seen.share <= CLIPPED_SHARE:
            continue
        yield Finding(
            "clipping", COSTLY, tensor.name,
            f"{seen.share:.2%} of its values are cut off ({seen.low:.2%} below, {seen.high:.2%} "
            f"above {seen.least:.3g} .. {seen.greatest:.3g})",
            "calibrate on more faces, or on faces more like these",
        )  # fmt: skip


def _version_findings(graph: Graph) -> Iterator[Finding]:
    newer = {
        f"{op.name} {op.version} (up to {VERSION_CAPS[op.name]})"
        for op in graph.ops
        if op.version > VERSION_CAPS.get(op.name, op.version)
    }
    if newer:
        yield Finding(
            "op_version", NOTE, "operators",
            f"newer than the Edge TPU compiler knows: {', '.join(sorted(newer))}",
        )  # fmt: skip


def _tensors(graph: Graph) -> tuple[Tensor, ...]:
    used: Iterable[Tensor] = (t for op in graph.ops for t in (*op.inputs, *op.outputs))
    found = {tensor.index: tensor for tensor in used}
    return tuple(found[index] for index in sorted(found))


def _role(tensor: Tensor, graph: Graph) -> str:
    if any(t.index == tensor.index for t in graph.inputs):
        return "input"
    if any(t.index == tensor.index for t in graph.outputs):
        return "output"
    if tensor.constant:
        return "constant"
    return "variable" if tensor.variable else "activation"


def _at_border(tensors: Iterable[Tensor], graph: Graph) -> bool:
    border = {t.index for t in (*graph.inputs, *graph.outputs)}
    return any(tensor.index in border for tensor in tensors)


def _place(op: Op) -> str:
    name = op.outputs[0].name if op.outputs else ""
    return f"operator {op.index} ({op.name}, {name})"
