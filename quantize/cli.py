"""``asmnet-kit quantize``: parse, convert, print."""

import shlex
from pathlib import Path
from typing import Any

import click

from asmnet_kit.errors import require
from asmnet_kit.files import require_writable
from asmnet_kit.options import InputPath, data_options, json_option, out_option, seed_option
from asmnet_kit.quantize.recipes import RECIPES

# \b keeps the lines as they are.
RECIPE_TABLE = "\b\nRecipes:\n" + "\n".join(
    f"  {recipe.name:12}{recipe.summary} ({', '.join(recipe.runs_on)})"
    for recipe in RECIPES.values()
)


@click.command(epilog=RECIPE_TABLE)
@click.argument("run", type=InputPath("the folder of a training run"))
@data_options()
@click.option("--split", help="Calibrate and fine-tune on this split.  [default: the run's]")
@click.option("--recipe", type=click.Choice(list(RECIPES)), required=True, help="How; see below.")
@out_option("Folder of the .tflite, which is named after the model and the recipe.")
@click.option(
    "--max-nme-increase",
    type=click.FloatRange(min=0),
    help="Percentage points of NME that may be lost; more, and the exit code is 1.",
)
@click.option("--epochs", type=click.IntRange(min=1), help="Of fine-tuning.  [default: 4]")
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, max=1, min_open=True),
    help="Of fine-tuning, at its peak.  [default: 0.0001]",
)
@click.option(
    "--calibration-faces",
    type=click.IntRange(min=1),
    help="Augmented training crops to measure ranges on.  [default: 512]",
)
@seed_option
@json_option
def quantize(
    run: Path,
    data: Path,
    data_format: str,
    split: str | None,
    recipe: str,
    out: Path,
    max_nme_increase: float | None,
    epochs: int | None,
    learning_rate: float | None,
    calibration_faces: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Turn a training run into a .tflite model.

    RUN is the folder that asmnet-kit train wrote; --data is what it was trained on. The file holds
    everything that using it takes. Its NME on the validation faces is measured with the runtime
    that devices have, and printed beside the float model's.

    \b
    Example:
      asmnet-kit quantize runs/first --data faces --format 300w --recipe qat_w8a8 --out models
    """
    chosen = RECIPES[recipe]
    options: dict[str, Any] = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "calibration_faces": calibration_faces,
    }
    chosen.refuse_unused(options)
    require_writable(out)
    from asmnet_kit.training.environment import import_tensorflow

    import_tensorflow()
    require("tensorflow_model_optimization", extra="train")
    from asmnet_kit.console import print_json, stderr, stdout
    from asmnet_kit.quantize.run import QuantizeConfig
    from asmnet_kit.quantize.run import quantize as quantize_run

    given = {name: value for name, value in options.items() if value is not None}
    result = quantize_run(
        run,
        out,
        config=QuantizeConfig(recipe=recipe, seed=seed, **given),
        data=data,
        format=data_format,
        split=split,
        max_nme_increase=max_nme_increase,
    )
    before, after = result.before.scores, result.after.scores
    if as_json:
        print_json(result.to_json())
    else:
        console = stdout()
        console.print(f"{result.path}  {result.size_bytes / 1000:.0f} kB", markup=False)
        console.print(
            f"NME on {after.faces} validation faces ({result.validated_on}): float "
            f"{before.nme_percent:.3f} %, {recipe} {after.nme_percent:.3f} % "
            f"({result.nme_increase:+.3f})",
            markup=False,
        )
        if result.range_drift:
            farthest = result.range_drift[0]
            console.print(
                f"ranges settled: in the last epoch none moved by more than {farthest.share:.1%} "
                f"of its width ({farthest.layer})",
                markup=False,
            )
    stderr().print(
        f"Done; made for {', '.join(chosen.runs_on)}. Next: asmnet-kit benchmark "
        f"{shlex.quote(str(result.path))} --target cpu --data {shlex.quote(str(data))} "
        f"--format {data_format} --out results",
        markup=False,
    )
