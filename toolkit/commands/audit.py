"""``asmnet-kit audit``: what a .tflite really holds."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asmnet_kit.base.errors import UsageError
from asmnet_kit.commands.options import (
    TFLITE,
    ModelPath,
    OnceCommand,
    data_options,
    input_shape_option,
    json_option,
    shape_argument,
)

if TYPE_CHECKING:
    from asmnet_kit.face.pictures import Image
    from asmnet_kit.tflite.audit import Audit
    from asmnet_kit.tflite.findings import Finding
    from asmnet_kit.tflite.graph import Tensor
    from asmnet_kit.tflite.metadata import ModelMetadata

DEFAULT_FACES = 64
CALIBRATED_ON = "train"
SHOWN_NAME = 60  # characters; converters join the names of all layers that went into a tensor


@click.command(
    cls=OnceCommand, short_help="Show what a .tflite contains: types, scales, clipped values."
)
@click.argument("model", type=ModelPath(TFLITE))
@data_options(required=False)
@click.option(
    "--split",
    help=f"Only this split.  [default: {CALIBRATED_ON!r} where the data has it, else every face]",
)
@click.option(
    "--faces",
    type=click.IntRange(min=1),
    help=f"How many of them, spread evenly.  [default: {DEFAULT_FACES}]",
)
@click.option("--tensors", is_flag=True, help="List every tensor, not only the findings.")
@input_shape_option
@json_option
def audit(
    model: Path,
    input_shape: tuple[int, int] | None,
    data: Path | None,
    data_format: str | None,
    split: str | None,
    faces: int | None,
    tensors: bool,
    as_json: bool,
) -> None:
    """Show what the .tflite MODEL contains, and on which targets it runs.

    \b
    Examples:
      asmnet-kit audit model.tflite
      asmnet-kit audit model.tflite --data faces --format 300w --json

    Works for any .tflite, without TensorFlow. It reports the kit's metadata, open dimensions,
    layers left in float, conversions between float and int8, dense weights with several scales,
    shared scales at concatenations, clipped biases and operator versions; --tensors or --json lists
    the type, scale and zero point of every tensor. With --data it runs the model on faces and
    reports which activations are clipped. The exit code is 0 whatever it finds.
    """
    if (data is None) != (data_format is None):
        raise UsageError("expected --data and --format together")
    if data is None and (split is not None or faces is not None):
        raise UsageError("--split and --faces choose from --data: give it, or leave them out")
    from asmnet_kit.base.console import counted, print_json, stderr, stdout
    from asmnet_kit.tflite.audit import audit_model
    from asmnet_kit.tflite.sizing import at_size

    crops = None
    if data is not None and data_format is not None:
        with at_size(model, input_shape) as sized:
            crops = _crops(sized, data, data_format, split, faces or DEFAULT_FACES)
    outcome = audit_model(model, crops=crops, input_shape=input_shape)
    if as_json:
        print_json(outcome.to_json())
    else:
        if tensors:
            stdout().print(_tensor_table(outcome))
        print_audit(outcome)
    clipping = "" if crops is not None else "; what is cut off: not measured, give --data"
    verdicts = ", ".join(f"{name} {v.verdict}" for name, v in outcome.verdicts.items())
    stderr().print(
        f"{verdicts}; {counted(len(outcome.findings), 'finding')}{clipping}. Next: asmnet-kit "
        f"check {shlex.quote(str(model))} --target edgetpu{shape_argument(input_shape)}",
        markup=False,
    )


def print_audit(outcome: "Audit") -> None:
    """The verdicts and findings, to stdout."""
    from rich.table import Table
    from rich.text import Text

    from asmnet_kit.base.console import stdout

    table = Table()
    table.add_column("target")
    table.add_column("verdict")
    table.add_column("why", overflow="fold")
    for target, verdict in outcome.verdicts.items():
        table.add_row(target, verdict.verdict, Text(verdict.reason))
    console = stdout()
    console.print(table)
    if (about := outcome.metadata) is not None:
        console.print(
            f"metadata: {about.architecture}, {about.landmarks} landmarks; input "
            f"{about.input_size} px, RGB; crop {about.crop_scale:g} times the box's longer side; "
            f"outputs {', '.join(about.outputs)}{_calibrated(about)}",
            markup=False,
            highlight=False,
        )
    for finding in outcome.findings:
        console.print(_line(finding), markup=False, highlight=False)


def _calibrated(about: "ModelMetadata") -> str:
    if about.calibration is None:
        return ""
    return f"; sigmas times {about.calibration.factor:.6g} (calibrated)"


def _line(finding: "Finding") -> str:
    cure = f". Cure: {finding.cure}" if finding.cure else ""
    return f"{finding.gravity}: {short(finding.where)}: {finding.what}{cure}"


def short(name: str) -> str:
    """The end of a tensor's name, where layers are told apart."""
    return name if len(name) <= SHOWN_NAME else "..." + name[-SHOWN_NAME:]


def _tensor_table(outcome: "Audit") -> object:
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for heading in ("#", "tensor", "type", "shape", "scale", "zero", "cut off"):
        table.add_column(heading, overflow="fold")
    for tensor in outcome.graph.used_tensors:
        seen = outcome.saturation.get(tensor.index)
        table.add_row(
            str(tensor.index),
            Text(short(tensor.name)),
            tensor.type,
            _sizes(tensor),
            _one_or_count([f"{scale:.6g}" for scale in tensor.scales]),
            _one_or_count([str(zero) for zero in dict.fromkeys(tensor.zero_points)]),
            "" if seen is None else f"{seen.share:.2%}",
        )
    return table


def _sizes(tensor: "Tensor") -> str:
    """``1x80x80x3``, with ``?`` for each open dimension."""
    return "x".join("?" if size < 0 else str(size) for size in tensor.shape_signature)


def _one_or_count(values: list[str]) -> str:
    if len(values) <= 1:
        return "".join(values)
    return f"{len(values)} scales"


def _crops(model: Path, data: Path, data_format: str, split: str | None, faces: int) -> "Image":
    """Faces the way the model wants them: by its metadata, else by its input's shape."""
    from asmnet_kit.base.errors import ModelError
    from asmnet_kit.base.limits import MAX_INPUT_SIZE
    from asmnet_kit.datasets.registry import load_for_model, splits_of
    from asmnet_kit.face.boxes import CROP_SCALE
    from asmnet_kit.face.schemes import SCHEME_68
    from asmnet_kit.measure.face_crops import face_crops
    from asmnet_kit.tflite.metadata import read_metadata
    from asmnet_kit.tflite.reader import read_graph

    graph = read_graph(model)
    shape = graph.inputs[0].shape if len(graph.inputs) == 1 else ()
    if len(shape) != 4 or shape[0] != 1 or shape[1] != shape[2] or shape[3] != 3:
        raise ModelError(
            f"{model}: expected an input [1, S, S, 3] to run faces through, got "
            f"{[list(tensor.shape) for tensor in graph.inputs]}: leave --data out"
        )
    if shape[1] > MAX_INPUT_SIZE:
        raise ModelError(
            f"{model}: expected an input of at most {MAX_INPUT_SIZE} pixels to run faces through, "
            f"got {shape[1]}: leave --data out"
        )
    try:
        metadata = read_metadata(model)
        scale, scheme = metadata.crop_scale, metadata.scheme
    except ModelError:
        scale, scheme = CROP_SCALE, SCHEME_68  # of another kit: any faces will do
    if split is None and CALIBRATED_ON in splits_of(data, data_format, scheme=scheme):
        split = CALIBRATED_ON
    dataset = load_for_model(data, data_format, split=split, model_scheme=scheme)
    return face_crops(dataset, count=faces, size=shape[1], scale=scale).pixels
