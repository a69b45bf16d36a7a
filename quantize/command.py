"""``asmnet-kit quantize`` and ``asmnet-kit sensitivity``: parse, call, print."""

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from asmnet_kit.base.errors import require
from asmnet_kit.base.files import require_writable
from asmnet_kit.base.model_kind import FLOAT, WITH_LAYERS
from asmnet_kit.commands.options import (
    InputPath,
    ModelPath,
    NumberRange,
    OnceCommand,
    adapter_option,
    data_options,
    json_option,
    out_option,
    parse_square,
    scheme_option,
    seed_option,
)
from asmnet_kit.quantize.calls import QuantizeCall, SourceCall
from asmnet_kit.quantize.recipes import RECIPES
from asmnet_kit.training.dashboard import dashboard_option, told_dashboard

if TYPE_CHECKING:
    from asmnet_kit.quantize.ranges.calibrate import Drift
    from asmnet_kit.quantize.rounding.sensitivity import Sensitivity
    from asmnet_kit.quantize.run import Quantized

Command = TypeVar("Command", bound=Callable[..., Any])

SETTLED_SHARE = 0.05  # of its width: a range that moves less in an epoch has settled

# \b keeps the lines as they are.
RECIPE_TABLE = "\b\nRecipes:\n" + "\n".join(
    f"  {recipe.name:12}{recipe.summary} ({', '.join(recipe.runs_on)})"
    for recipe in RECIPES.values()
)


def source_options(command: Command) -> Command:
    """What RUN may need to be understood: its split, and the input of a user's own model."""
    for option in (
        adapter_option,
        scheme_option("Landmarks of a model of your own."),
        click.option(
            "--input-scale",
            type=NumberRange(min=0, min_open=True),
            help=(
                "The scale, for a model of your own that takes (v - mean) / scale with v in "
                "0..255.  [default: 128]"
            ),
        ),
        click.option(
            "--input-shape",
            metavar="SxS",
            callback=parse_square,
            help=(
                "Input size of a model of your own, if the model leaves it open: 112x112 or "
                "1x112x112x3."
            ),
        ),
        click.option(
            "--input-mean",
            type=float,
            help=(
                "The mean, for a model of your own that takes (v - mean) / scale with v in "
                "0..255.  [default: 128]"
            ),
        ),
        click.option("--split", help="Split to calibrate or fine-tune on.  [default: the run's]"),
    ):
        command = option(command)
    return command


@click.command(cls=OnceCommand, epilog=RECIPE_TABLE)
@click.argument("run", type=ModelPath(FLOAT))
@data_options(format_required=False)
@source_options
@click.option(
    "--teacher",
    type=InputPath("the run's teacher"),
    help="Where the .npz of the run's --teacher is now.  [default: where it was]",
)
@click.option(
    "--val-data",
    type=InputPath("the run's validation data"),
    help="Where the run's --val-data is now.  [default: where it was]",
)
@click.option(
    "--recipe",
    type=click.Choice(list(RECIPES)),
    required=True,
    help=("How to quantize: one of the recipes listed below."),
)
@out_option("Folder for the .tflite, which is named after the model and the recipe.")
@click.option(
    "--max-nme-increase",
    type=NumberRange(min=0),
    help="Exit with 1 if the NME rises by more than this, in percentage points.",
)
@click.option(
    "--max-pixel-drift",
    type=NumberRange(min=0),
    help=(
        "Exit with 1 if the landmarks of more than one face in 100 move by more than this, in "
        "pixels of the crop."
    ),
)
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs of fine-tuning.  [default: 4]")
@click.option(
    "--learning-rate",
    type=NumberRange(min=0, max=1, min_open=True),
    help="Learning rate of fine-tuning, at its peak.  [default: 0.0001]",
)
@click.option(
    "--distil",
    type=NumberRange(min=0, max=1),
    help=(
        "Share of the fine-tuning loss that follows the float model instead of the labels.  "
        "[default: 0]"
    ),
)
@click.option("--resume", is_flag=True, help="Continue an interrupted fine-tuning.")
@click.option(
    "--calibration-faces",
    type=click.IntRange(min=1),
    help="Number of augmented training crops for calibration.  [default: 512]",
)
@click.option(
    "--keep-float",
    multiple=True,
    metavar="LAYER",
    help="Keep this layer in float; may be given several times. The file then runs only on CPUs.",
)
@click.option(
    "--keep-emulated",
    is_flag=True,
    help="Write the emulated model's weights beside the file, for asmnet-kit parity.",
)
@dashboard_option
@seed_option
@json_option
def quantize(**told: Any) -> None:
    """Convert a trained model into a .tflite, for example an int8 one.

    \b
    Examples:
      asmnet-kit quantize runs/first --data faces --format 300w --recipe qat_w8a8 --out models
      asmnet-kit quantize my.keras --data faces --format wflw --recipe ptq_w8a8 --out models
      asmnet-kit quantize ASMNet.h5 --input-mean 0 --input-scale 255 --data faces --format 300w \\
          --recipe ptq_w8a8 --out models
      asmnet-kit quantize age.keras --data pictures --recipe ptq_w8a8 --out models

    RUN is the folder that asmnet-kit train wrote, or a model of your own: a functional or
    Sequential .keras or .h5 of Keras 2 or 3, or a SavedModel (without fine-tuning). Its output is
    x, y of the landmarks of a built-in scheme (136 values for 68, 196 for 98), as fractions of the
    crop's side from its centre. It may have more outputs: one of 3 values (yaw, pitch, roll in
    degrees / 90), and one value for each landmark called uncertainty or visibility
    (docs/uncertainty.md). Code inside the model is never run (docs/quantization.md).

    Give the data that it was trained on as --data. The command measures the NME of the .tflite on
    the validation faces, with the runtime that devices use, and prints it beside the float model's
    NME, how far the landmarks moved, and the findings of an audit. The .tflite needs no other file.

    A model with one or two outputs of another kind needs no labels: leave --format out and give a
    folder of pictures to calibrate on. The command then prints how far the outputs moved.
    """
    call = QuantizeCall(**told)
    call.refuse_what_has_no_use()
    require_writable(call.out)
    from asmnet_kit.training.environment import import_tensorflow

    with told_dashboard(call.out, asked=call.dashboard):
        import_tensorflow()
        require("tensorflow_model_optimization", extra="train")
        if call.data_format is None:
            _quantize_regression(call)
        else:
            _quantize_landmarks(call)


def _quantize_landmarks(call: QuantizeCall) -> None:
    """A model that predicts landmarks, measured on faces."""
    from asmnet_kit.base.console import print_json, stderr
    from asmnet_kit.quantize.gates import Gates
    from asmnet_kit.quantize.run import quantize as quantize_run

    result = quantize_run(
        call.run,
        call.out,
        config=call.config(),
        data=call.face_data(teacher=call.teacher, val_data=call.val_data),
        gates=Gates(max_nme_increase=call.max_nme_increase, max_pixel_drift=call.max_pixel_drift),
        resume=call.resume,
        keep_emulated=call.keep_emulated,
        logs=call.dashboard,
    )
    if call.as_json:
        print_json(result.to_json())
    else:
        _print(result)
    stderr().print(
        f"Done; made for {', '.join(result.runs_on)}. Next: asmnet-kit benchmark "
        f"{shlex.quote(str(result.path))} --target cpu --data {shlex.quote(str(call.data))} "
        f"--format {call.data_format} --out results",
        markup=False,
    )


def _quantize_regression(call: QuantizeCall) -> None:
    """A model of which nothing is known but its numbers."""
    from asmnet_kit.base.console import print_json, stderr, stdout
    from asmnet_kit.commands.audit import print_audit
    from asmnet_kit.quantize.own_regression import quantize_regression

    result = quantize_regression(call.run, call.out, config=call.config(), data=call.data)
    if call.as_json:
        print_json(result.to_json())
    else:
        console = stdout()
        console.print(f"{result.path}  {result.size_bytes / 1000:.0f} kB", markup=False)
        for name, output in result.outputs.items():
            console.print(
                f"{name}: {output.values} values over {output.width:.4g}; on {result.pictures} "
                f"pictures they differ from the float model's by {output.mean:.4g} on average, "
                f"{output.largest:.4g} at most",
                markup=False,
            )
        print_audit(result.audit)
    stderr().print(
        f"Done; made for {', '.join(result.runs_on)}; accuracy: not measured, there are no labels. "
        f"Next: asmnet-kit benchmark {shlex.quote(str(result.path))} --target cpu --out results",
        markup=False,
    )


def _print(result: "Quantized") -> None:
    from asmnet_kit.base.console import stdout
    from asmnet_kit.commands.audit import print_audit

    before, after, drift = result.before.scores, result.after.scores, result.pixel_drift
    console = stdout()
    console.print(f"{result.path}  {result.size_bytes / 1000:.0f} kB", markup=False)
    console.print(
        f"NME on {after.faces} validation faces ({result.validated_on}): float "
        f"{before.nme_percent:.3f} %, {result.metadata.recipe} {after.nme_percent:.3f} % "
        f"({result.nme_increase:+.3f})",
        markup=False,
    )
    console.print(
        f"landmarks moved by {drift.p50:.3f} pixels of the crop for half of the faces (p50), "
        f"{drift.p99:.3f} for one in a hundred (p99)",
        markup=False,
    )
    if result.range_drift:
        console.print(ranges_line(result.range_drift[0]), markup=False)
    print_audit(result.audit)


def ranges_line(farthest: "Drift") -> str:
    """What the ranges did in the last epoch of fine-tuning, and what to do if they still move."""
    moved = (
        f"ranges: in the last epoch the farthest moved by {farthest.share:.1%} of its width "
        f"({farthest.layer}): "
    )
    if farthest.share < SETTLED_SHARE:
        return f"{moved}settled"
    return f"{moved}still moving, use more --epochs"


@click.command(cls=OnceCommand)
@click.argument("run", type=ModelPath(WITH_LAYERS))
@data_options()
@source_options
@out_option("Folder of <model>_sensitivity.json and .png.")
@click.option(
    "--faces",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    help="Validation faces to measure on, spread evenly.",
)
@seed_option
@json_option
def sensitivity(faces: int, **told: Any) -> None:
    """Measure which layers cost accuracy in int8.

    \b
    Example:
      asmnet-kit sensitivity runs/first --data faces --format 300w --out sensitivity

    RUN is as for asmnet-kit quantize. Each layer is kept in float while all others are int8, and
    made int8 while all others are float, with emulated rounding and calibrated ranges. The output
    shows the NME on validation faces and how far the landmarks move from the float model's. To keep
    a costly layer in float: asmnet-kit quantize --keep-float LAYER.
    """
    call = SourceCall(**told)
    call.refuse_input_of_a_run()
    require_writable(call.out)
    from asmnet_kit.training.environment import import_tensorflow

    import_tensorflow()
    require("tensorflow_model_optimization", extra="train")
    require("matplotlib", extra="train")
    from asmnet_kit.base.console import counting, print_json, stderr, stdout
    from asmnet_kit.base.files import write_json
    from asmnet_kit.quantize.rounding.sensitivity import plot_sensitivity
    from asmnet_kit.quantize.run import QuantizeConfig
    from asmnet_kit.quantize.run import sensitivity as measure
    from asmnet_kit.quantize.source.float_model import name_of

    config = QuantizeConfig(
        recipe="ptq_w8a8",
        seed=call.seed,
        input_mean=call.input_mean,
        input_scale=call.input_scale,
        input_side=call.input_shape,
        adapter=call.adapter,
        scheme=call.scheme,
    )
    with counting("sensitivity") as on_progress:
        result = measure(
            call.run, config=config, data=call.face_data(), faces=faces, on_progress=on_progress
        )
    path = call.out / f"{name_of(call.run)}_sensitivity.json"
    write_json(path, result.to_json())
    picture = path.with_suffix(".png")
    plot_sensitivity(result, picture)
    if call.as_json:
        print_json(result.to_json())
    else:
        stdout().print(_sensitivity_table(result))
    cost = result.costliest()
    stderr().print(
        f"float {result.in_float.nme_percent:.3f} %, int8 {result.in_int8.nme_percent:.3f} %; left "
        f"float, {cost.layer} gains most ({result.gain_percent(cost):+.3f}). {path}, {picture}. "
        f"Next: asmnet-kit quantize {shlex.quote(str(call.run))} ... --keep-float {cost.layer}, or "
        "--recipe qat_w8a8",
        markup=False,
    )


def _sensitivity_table(result: "Sensitivity") -> object:
    from rich.table import Table

    table = Table(
        title=f"{result.faces} faces: float {result.in_float.nme_percent:.3f} %, int8 "
        f"{result.in_int8.nme_percent:.3f} % NME"
    )
    table.add_column("layer")
    table.add_column("kind")
    for heading in (
        "left float: NME %",
        "gain",
        "drift p99 px",
        "only it int8: NME %",
        "cost",
        "drift p50 px",
    ):
        table.add_column(heading, justify="right")
    for cost in result.layers:
        left, only = cost.left_float, cost.only_int8
        if left is None or only is None:
            continue
        table.add_row(
            cost.layer,
            cost.kind,
            f"{left.nme_percent:.3f}",
            f"{result.gain_percent(cost):+.3f}",
            f"{left.drift.p99:.3f}",
            f"{only.nme_percent:.3f}",
            f"{only.nme_percent - result.in_float.nme_percent:+.3f}",
            f"{only.drift.p50:.3f}",
        )
    return table
