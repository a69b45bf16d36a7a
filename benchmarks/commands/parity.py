"""``asmnet-kit parity``: one file, every kernel there is here."""

import math
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from asmnet_kit.base.errors import GateError, UsageError
from asmnet_kit.base.model_kind import FLOAT
from asmnet_kit.commands.options import (
    TFLITE,
    InputPath,
    ModelPath,
    OnceCommand,
    adapter_argument,
    adapter_option,
    boxes_option,
    compared_scheme_option,
    data_options,
    json_option,
    measured_split_option,
)

if TYPE_CHECKING:
    from asmnet_kit.benchmarks.comparing.parity import Parity, Row
    from asmnet_kit.face.schemes import Scheme


@click.command(
    cls=OnceCommand,
    short_help="Compare what every runtime and kernel here makes of a .tflite model.",
)
@click.argument("model", type=ModelPath(TFLITE))
@adapter_option
@data_options()
@measured_split_option
@compared_scheme_option(" for the NME")
@boxes_option
@click.option(
    "--faces",
    type=click.IntRange(min=1),
    default=128,
    show_default=True,
    help="How many of them, spread evenly.",
)
@click.option(
    "--tflite-runtime",
    type=click.Path(path_type=Path),
    metavar="PYTHON",
    help="Path of a Python with tflite-runtime (make tflite-runtime); adds its kernels.",
)
@click.option(
    "--run",
    type=ModelPath(FLOAT),
    help=(
        "The run, .keras, .h5 or SavedModel that MODEL was made from; adds the float model "
        "(needs TensorFlow)."
    ),
)
@click.option(
    "--emulated",
    type=InputPath("what quantize --keep-emulated wrote"),
    help="File that asmnet-kit quantize --keep-emulated wrote; adds the emulated int8 model.",
)
@json_option
def parity(
    model: Path,
    adapter: str | None,
    data: Path,
    data_format: str,
    split: str | None,
    scheme: "Scheme | None",
    boxes: str,
    faces: int,
    tflite_runtime: Path | None,
    run: Path | None,
    emulated: Path | None,
    as_json: bool,
) -> None:
    """Compare the outputs of the .tflite MODEL across the runtimes and kernels of this machine.

    \b
    Example:
      asmnet-kit parity model.tflite --data faces --format 300w --run runs/first

    Runs XNNPACK, the builtin and the reference kernels of ai-edge-litert, tflite-runtime, the GPU
    (or a software Vulkan driver) and the tf_keras model before conversion. Shows how far their
    landmarks are from XNNPACK's, in steps of the output's scale (levels) and in pixels of the crop,
    and the NME of each. What cannot run here is listed with what is missing. The exit code is 1 if
    a kernel differs by more than rounding explains.
    """
    if emulated is not None and run is None:
        raise UsageError("--emulated needs --run, the model that it is a variant of")
    if adapter is not None and run is not None:
        raise UsageError("--run is the kit's run that a model of the kit was made from: drop one")
    from asmnet_kit.base.console import print_json, stderr
    from asmnet_kit.benchmarks.comparing.parity import compare_kernels
    from asmnet_kit.datasets.registry import load_to_measure
    from asmnet_kit.measure.comparable import box_finder, compared_scheme
    from asmnet_kit.measure.face_crops import face_crops
    from asmnet_kit.predict.open_predictor import open_tflite

    predictor = open_tflite(model, adapter=adapter)
    dataset, _ = load_to_measure(
        data, data_format, split=split, model_scheme=predictor.scheme, compared=scheme
    )
    scheme = compared_scheme(predictor.name, predictor.scheme, dataset, scheme)
    crops = face_crops(
        dataset,
        count=faces,
        size=predictor.input_size,
        scale=predictor.crop_scale,
        find_boxes=box_finder(boxes, predictor, dataset),
    )
    outcome = compare_kernels(
        model,
        crops,
        adapter=adapter,
        scheme=scheme,
        tflite_runtime=tflite_runtime,
        run=run,
        emulated=emulated,
    )
    if as_json:
        print_json(outcome.to_json())
    else:
        _print(outcome)
    if outcome.disagreeing:
        worst = max(
            outcome.disagreeing,
            key=lambda row: math.inf if row.mean_px is None else row.mean_px,
        )
        if worst.mean_px is None:
            raise GateError(f"{worst.kernels} ({worst.what}): {worst.problem}. Do not ship for it")
        _refuse_other_outputs(outcome, worst)
        raise GateError(
            f"{worst.kernels} ({worst.what}) differs by {worst.mean_px:.3f} pixels on average and "
            f"{worst.max_px:.3f} at most; rounding explains {outcome.tolerance_mean_px:.3f} and "
            f"{outcome.tolerance_max_px:.3f}. Do not ship for it before you know why"
        )
    ran = sum(not row.problem for row in outcome.rows)
    stderr().print(
        f"{ran} of {len(outcome.rows)} ways ran, and agree. Next: asmnet-kit benchmark "
        f"{shlex.quote(str(model))}{adapter_argument(adapter)} --target cpu --out results",
        markup=False,
    )


def _refuse_other_outputs(outcome: "Parity", worst: "Row") -> None:
    """Say which other output differs, where the landmarks do not.

    Raises:
        GateError: the landmarks agree.
    """
    within = (worst.mean_px or 0.0) <= outcome.tolerance_mean_px
    if within and (worst.max_px or 0.0) <= outcome.tolerance_max_px and worst.outputs:
        name, found = max(worst.outputs.items(), key=lambda output: output[1]["mean"])
        raise GateError(
            f"{worst.kernels} ({worst.what}): the output {name} differs by {found['mean']:.2f} "
            f"levels on average and {found['max']:.0f} at most, more than rounding explains. Do "
            "not ship for it before you know why"
        )


def _print(outcome: "Parity") -> None:
    from rich.table import Table
    from rich.text import Text

    from asmnet_kit.base.console import counted, stdout

    table = Table()
    table.add_column("kernels")
    table.add_column("runtime", overflow="fold")
    for heading in ("levels, mean", "max", "pixels, mean", "max", "NME %"):
        table.add_column(heading, justify="right")
    table.add_column("other outputs, mean (max)", overflow="fold")
    table.add_column("verdict", overflow="fold")
    for row in outcome.rows:
        verdict = {True: "agrees", False: "DIFFERS", None: "another model"}[row.agrees]
        if row.problem and row.agrees is None:
            verdict = "not run"
        table.add_row(
            row.kernels,
            Text(row.what),
            *(
                "-" if value is None else f"{value:.{digits}f}"
                for value, digits in (
                    (row.mean_levels, 2),
                    (row.max_levels, 1),
                    (row.mean_px, 3),
                    (row.max_px, 2),
                    (row.nme_percent, 3),
                )
            ),
            ", ".join(
                f"{name} {found['mean']:.2g} ({found['max']:.2g})"
                for name, found in (row.outputs or {}).items()
            )
            or "-",
            Text(f"{verdict}: {row.problem}" if row.problem else verdict),
        )
    console = stdout()
    console.print(table)
    level = outcome.input_size * (outcome.scale or 0.0)
    scale = f" (one level is {level:.3f})" if level else ""
    console.print(
        f"{counted(outcome.faces, 'face')}; differences to XNNPACK; tolerated: "
        f"{outcome.tolerance_mean_px:.3f} pixels of the crop on average, "
        f"{outcome.tolerance_max_px:.2f} at most{scale}",
        markup=False,
    )
