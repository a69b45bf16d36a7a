"""What a user should know about a .tflite that its converter says nothing of, one by one."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from asmnet_kit.base.errors import ModelError
from asmnet_kit.tflite.contract import verify_contract, verify_w8a8
from asmnet_kit.tflite.edgetpu_rules import VERSION_CAPS
from asmnet_kit.tflite.graph import Graph, Op, Tensor
from asmnet_kit.tflite.int8_rules import (
    CHANNEL_AXIS,
    CONVERSIONS,
    DENSE,
    LIMITS,
    bias_of,
    cut_channels,
    dense_scales,
    kernel_of,
)
from asmnet_kit.tflite.metadata import ModelMetadata
from asmnet_kit.tflite.saturation import Saturation, kernel_levels

# Of a tensor's values at the limits of its type; above it, clipping is worth a warning. The
# averages of batch extremes that calibration takes leave out about that much.
CLIPPED_SHARE = 0.002
# Of a shared scale's range; an input of a concatenation that uses less has under 6 of its 8 bits.
USED_SHARE = 0.25
# Of 127; a channel whose largest weight is below has under 4 bits and its sign.
FEW_LEVELS = 16

FLOATS = ("float32", "float16", "float64")

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


def find(
    graph: Graph, metadata: ModelMetadata | None, saturation: Mapping[int, Saturation]
) -> tuple[Finding, ...]:
    """Everything there is to say about a model, the gravest first.

    Args:
        metadata: None for a file that is not one of the kit's.
        saturation: by index of the tensor; empty where the model ran on no pictures.
    """
    findings = [
        *_contract_findings(graph, metadata),
        *_shape_findings(graph),
        *_type_findings(graph),
        *_layer_findings(graph),
        *_concatenation_findings(graph, saturation),
        *_clipping_findings(graph, saturation),
        *_version_findings(graph),
    ]
    return tuple(sorted(findings, key=lambda finding: GRAVITY.index(finding.gravity)))


def _contract_findings(graph: Graph, metadata: ModelMetadata | None) -> Iterator[Finding]:
    """What the kit promises of its own files."""
    if metadata is None:
        return
    try:
        verify_contract(graph, outputs=set(metadata.outputs))
        settings = metadata.source.get("settings")
        kept_float = isinstance(settings, dict) and settings.get("keep_float")
        if metadata.recipe.endswith("w8a8") and not kept_float:
            verify_w8a8(graph)
    except ModelError as error:
        yield Finding("contract", WRONG, "the file", str(error), "make it again with this kit")


def _shape_findings(graph: Graph) -> Iterator[Finding]:
    """Sizes that the file leaves to the program around it."""
    for tensor in graph.inputs:
        if tensor.open:
            yield Finding(
                "open_shape",
                COSTLY if tensor.unsized else NOTE,
                tensor.name,
                f"its shape {tensor.shape_text} leaves "
                + ("the size of the input open" if tensor.unsized else "the batch open")
                + f"; the file has {list(tensor.shape)} for it",
                "convert with fixed shapes: a batch of 1 and the size that the program feeds",
            )


def _type_findings(graph: Graph) -> Iterator[Finding]:
    """Floats inside an integer model, and conversions to and fro."""
    if not any(t.type in LIMITS for op in graph.ops for t in op.activations):
        return  # float throughout, or only weights are integers: floats are no island there
    makers = {t.index: op for op in graph.ops for t in op.outputs}
    for island in _float_islands(graph):
        names = ", ".join(dict.fromkeys(op.name for op in island))
        yield Finding(
            "float_island", COSTLY, _place(island[0]),
            f"{len(island)} of {len(graph.ops)} operators compute in float ({names})",
            "the Edge TPU stops here; use layers that int8 has kernels for",
        )  # fmt: skip
    for op in graph.ops:
        if op.name not in CONVERSIONS or op.inputs[0].constant:  # a constant: packed weights
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
        if op.name not in CONVERSIONS and any(t.type in FLOATS for t in op.activations)
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


def _layer_findings(graph: Graph) -> Iterator[Finding]:
    """Kernels and biases that int8 does not hold well."""
    for op in graph.ops:
        kernel, bias = kernel_of(op), bias_of(op)
        if kernel is None or kernel.type != "int8" or not kernel.constant:
            continue
        if dense_scales(op) > 1:
            yield Finding(
                "dense_per_channel", WRONG, kernel.name,
                f"dense weights with {dense_scales(op)} scales: the Edge TPU and runtimes up to "
                "TFLite 2.5 read them wrongly, without an error",
                "convert with _experimental_disable_per_channel_quantization_for_dense_layers",
            )  # fmt: skip
        if op.name != DENSE:
            yield from _convolution_findings(kernel, CHANNEL_AXIS[op.name])
        if bias is not None and len(cut := cut_channels(bias)):
            yield Finding(
                "bias_cut", WRONG, bias.name,
                f"{len(cut)} biases are cut off at the end of {bias.type}, first channel {cut[0]}",
                "widen the range of the kernel, whose scale is too small for the bias",
            )  # fmt: skip


def _convolution_findings(kernel: Tensor, axis: int) -> Iterator[Finding]:
    """
    Args:
        axis: of the kernel's channels.
    """
    if len(kernel.shape) <= axis or kernel.sparse:
        return
    channels = kernel.shape[axis]
    if len(kernel.scales) == 1 < channels:
        yield Finding(
            "kernel_per_tensor", COSTLY, kernel.name,
            f"one scale for the kernels of {channels} channels: small ones use few of its levels",
            "one scale for each channel; every runtime has that for convolutions",
        )  # fmt: skip
    few = int((kernel_levels(kernel, axis) < FEW_LEVELS).sum())
    if few:
        yield Finding(
            "few_levels", NOTE, kernel.name,
            f"{few} of {channels} channels use fewer than {FEW_LEVELS} of 127 levels: their "
            "kernels are next to nothing beside their bias or their neighbours",
        )  # fmt: skip


def _concatenation_findings(
    graph: Graph, saturation: Mapping[int, Saturation]
) -> Iterator[Finding]:
    for op in graph.ops:
        output = op.outputs[0] if op.name == "CONCATENATION" else None
        if output is not None and output.type in LIMITS and len(output.scales) == 1:
            yield from _shared_scale_findings(op, output, saturation)


def _shared_scale_findings(
    op: Op, output: Tensor, saturation: Mapping[int, Saturation]
) -> Iterator[Finding]:
    """Inputs share one scale: one that is much smaller than the widest has few levels left."""
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
    used = f"; they use {min(shares):.0%} to {max(shares):.0%} of its range" if shares else ""
    yield Finding(
        "concatenation_scale", NOTE, _place(op),
        f"{len(op.inputs)} inputs share the scale {output.scales[0]:.6g}{used}",
    )  # fmt: skip


def _clipping_findings(graph: Graph, saturation: Mapping[int, Saturation]) -> Iterator[Finding]:
    for tensor in graph.used_tensors:
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


def _at_border(tensors: Iterable[Tensor], graph: Graph) -> bool:
    border = {t.index for t in (*graph.inputs, *graph.outputs)}
    return any(tensor.index in border for tensor in tensors)


def _place(op: Op) -> str:
    name = op.outputs[0].name if op.outputs else ""
    return f"operator {op.index} ({op.name}, {name})"
