"""``asmnet-kit train``: parse, call, print."""

import dataclasses
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.files import real_home, real_path
from asmnet_kit.base.limits import SCHEME_NAMES
from asmnet_kit.base.places import is_url
from asmnet_kit.base.run_folder import TENSORBOARD
from asmnet_kit.commands.options import (
    Command,
    DataPlace,
    InputPath,
    NumberRange,
    OnceCommand,
    PluginChoice,
    is_given,
    out_option,
    seed_option,
)
from asmnet_kit.datasets.formats import FORMATS, PEOPLE
from asmnet_kit.shipping.shipped import find_model
from asmnet_kit.training.catalogue import (
    AUGMENTATIONS,
    IMAGENET,
    LIKELIHOOD_GRADIENTS,
    LIKELIHOODS,
    LOSSES,
)
from asmnet_kit.training.cluster.addresses import is_asked_for, leads
from asmnet_kit.training.config import PRECISIONS, STRATEGIES, TrainConfig
from asmnet_kit.training.dashboard import dashboard_option, told_dashboard
from asmnet_kit.training.job import Job, work
from asmnet_kit.training.networks.architectures import ARCHITECTURES
from asmnet_kit.training.recipe_files import read_recipe, shipped

FOLDER = DataPlace()
DEFAULTS = {field.name: field.default for field in dataclasses.fields(TrainConfig)}

# Parameters of the command that are not settings of the run.
INVOCATION = ("out", "resume", "max_minutes", "max_restarts", "recipe", "dashboard")


def setting(name: str, help: str, type: Any = None) -> Callable[[Command], Command]:
    """An option whose field and default are ``TrainConfig``'s; "" and 0 there mean not given."""
    default = DEFAULTS[name]
    return click.option(
        "--" + name.replace("_", "-"),
        type=type or default.__class__,
        default=default or None,
        show_default=bool(default),
        help=help,
    )


@click.command(cls=OnceCommand)
@click.option(
    "--data",
    type=DataPlace(),
    help="Folder of the data set, at any level; with --format records also an address on a server "
    "(https, s3, gs); people with --format people.",
)
@click.option(
    "--format",
    type=PluginChoice(FORMATS),
    help="How the data set is laid out; people draws new ones in each epoch, without a folder.",
)
@setting(
    "faces_per_epoch",
    "Number of new people in each epoch, with --format people.",
    click.IntRange(min=1),
)
@click.option(
    "--recipe",
    metavar="NAME|FILE",
    help=f"Settings to start from: {', '.join(shipped())}, or a .toml. Options given here win.",
)
@setting("split", "Train on this split only.  [default: train, if there are splits]")
@setting("val_data", "Folder to validate on.  [default: the split val, else a hold-out]", FOLDER)
@setting("val_format", "How --val-data is laid out.  [default: as --format]", PluginChoice(FORMATS))
@setting("val_share", "Share of the pictures to hold out when there is no other validation data.")
@setting(
    "points",
    "Number of landmarks, 68 or 98.  [default: what the data has]",
    click.Choice(["68", "98"]),
)
@setting(
    "scheme",
    "Landmarks to learn, to which the data's are mapped: "
    f"{', '.join(SCHEME_NAMES)}, or a .toml (docs/schemes.md).  [default: what the data has]",
)
@setting("arch", "The network.", PluginChoice(ARCHITECTURES))
@setting(
    "loss",
    "asm is the paper's ASM-LOSS; mse and smooth_l1 leave the ASM out.",
    click.Choice(list(LOSSES)),
)
@setting("alpha", "Weight of the ASM term: paper (2, 1, 0.5 by thirds) or constant:V.")
@setting("pose_weight", "Weight of the pose loss; the landmark loss has weight 1.")
@click.option(
    "--uncertainty/--no-uncertainty",
    default=DEFAULTS["uncertainty"],
    show_default=True,
    help="Add an output that says how sure the model is of each landmark (docs/uncertainty.md).",
)
@setting(
    "likelihood",
    "Uncertainty: assumed distribution of the errors.",
    click.Choice(list(LIKELIHOODS)),
)
@setting("likelihood_weight", "Uncertainty: weight of its loss; the landmark loss has weight 1.")
@setting(
    "likelihood_gradient",
    (
        "Uncertainty: whether its loss also trains the landmarks: stop (no), bounded (sure "
        "points pull no harder than others) or full."
    ),
    click.Choice(list(LIKELIHOOD_GRADIENTS)),
)
@click.option(
    "--visibility/--no-visibility",
    default=DEFAULTS["visibility"],
    show_default=True,
    help=(
        "Add an output that says which landmarks are visible. The data must say so: rendered "
        "people, MERL-RAV, CSV (docs/data.md)."
    ),
)
@setting(
    "visibility_subsets",
    (
        "Visibility: learn it only from these subsets: SUBSET,...  [default: all with "
        "visibility labels]"
    ),
)
@setting("visibility_weight", "Visibility: weight of its loss; the landmark loss has weight 1.")
@click.option(
    "--keep-landmarks/--no-keep-landmarks",
    default=DEFAULTS["keep_landmarks"],
    show_default=True,
    help="Train only uncertainty and visibility; landmarks and pose stay those of --init-from.",
)
@setting(
    "augmentation",
    "Strength of augmentation: full for photographs, light for drawn faces.",
    click.Choice(list(AUGMENTATIONS)),
)
@setting("asm_variance", "Share of the shapes' variance that the shape model keeps.")
@click.option(
    "--asm-aligned/--asm-upright",
    default=DEFAULTS["asm_aligned"],
    show_default=True,
    help=(
        "Align shapes before the PCA, or use them as they lie in their upright crops (as the "
        "paper does)."
    ),
)
@setting(
    "teacher",
    "An .npz of a larger network's landmarks: names [F], points [F, N, 2].",
    InputPath("an .npz"),
)
@setting(
    "teacher_share",
    (
        "Share of the teacher's landmarks in the labels: SUBSET=SHARE,... or one SHARE for "
        "all others.  [default: 0]"
    ),
)
@setting(
    "teacher_calibrate",
    (
        "Remove the teacher's systematic error in these subsets; it is learnt from their "
        "labels, or from another subset's: SUBSET or SUBSET=LABELLED,..."
    ),
)
@setting("fill_weight", "Weight of the teacher's points where there is no label.")
@setting(
    "sampling",
    (
        "How often an epoch shows a face, each time with new augmentation: SUBSET=WEIGHT,... "
        "or one WEIGHT for all others.  [default: 1]"
    ),
)
@setting(
    "clips",
    (
        "Subsets of video frames whose names differ only in the last digit (NAME_10, "
        "NAME_11): an epoch shows one frame of each clip."
    ),
)
@setting("input_size", "Side of the model's input, pixels; a multiple of 16.")
@setting(
    "crop_scale",
    (
        "Side of the crop as a multiple of the landmark box's longer side: a smaller crop "
        "shows the face larger, a larger one forgives an inexact box. By default that of "
        "--init-from, if it is a run or a .tflite."
    ),
)
@setting("epochs", "Passes over the training data.", click.IntRange(min=1))
@setting("batch_size", "Pictures per step, over all devices.", click.IntRange(min=2))
@setting("learning_rate", "Peak learning rate (Adam).")
@setting("warmup_epochs", "Number of epochs over which the learning rate rises.")
@setting(
    "init_from",
    "Start from a run, a .keras, an .h5, a .tflite or a model of the kit by name, an .npz of "
    "folded MobileNetV2, or imagenet.",
)
@setting("precision", "auto: mixed_float16 on a GPU, else float32.", click.Choice(PRECISIONS))
@setting(
    "strategy",
    "auto: multiworker with TF_CONFIG, mirrored with several GPUs, else none.",
    click.Choice(STRATEGIES),
)
@seed_option
@out_option("Folder of the run.")
@click.option(
    "--resume",
    is_flag=True,
    help=(
        "Continue the run in --out with its settings; give --data and other paths only if the "
        "files have moved."
    ),
)
@click.option(
    "--max-minutes", type=NumberRange(min=0), help="Start no new epoch after this many minutes."
)
@click.option(
    "--max-restarts",
    type=click.IntRange(min=0, max=1000),
    default=0,
    show_default=True,
    help="Restart this many times from the last checkpoint if a training process is killed, a "
    "worker is lost or the data's server cannot be reached, and continue a run that --out already "
    "holds.",
)
@dashboard_option
def train(**parameters: Any) -> None:
    """Train a landmark and head pose model.

    \b
    Examples:
      asmnet-kit train --data faces --format 300w --out runs/first
      asmnet-kit train --data people --format people --faces-per-epoch 5000 --out runs/people
      asmnet-kit train --resume --out runs/first

    The run folder --out gets the model with its best averaged weights (model.keras), the shape
    model, logs, checkpoints and a manifest. If the run is interrupted, the same command with
    --resume continues it.

    Several machines train together if each runs the same command with TF_CONFIG in its environment.
    Only the first worker's --out is read and written. Paths may differ between machines, the data
    may not.
    """
    given = given_settings(parameters)
    settings = given if parameters["resume"] else with_recipe(given, parameters["recipe"])
    job = Job(
        run=parameters["out"],
        config=None if parameters["resume"] else configuration(settings),
        given=given,
        left_open=() if "crop_scale" in settings else ("crop_scale",),
        max_minutes=parameters["max_minutes"],
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        recipe=parameters["recipe"],
    )
    max_restarts = parameters["max_restarts"]
    with told_dashboard(job.run / TENSORBOARD, asked=parameters["dashboard"]):
        if max_restarts or is_asked_for(job.strategy):
            from asmnet_kit.training.supervised import supervise

            raise click.exceptions.Exit(supervise(job, max_restarts=max_restarts))
        work(job)


def given_settings(parameters: dict[str, Any]) -> dict[str, Any]:
    """The settings that the user typed.

    Raises:
        UsageError: a recipe for a run that has its settings.
    """
    if parameters["resume"] and parameters["recipe"]:
        raise UsageError("a resumed run keeps its settings: remove --recipe")
    given = {
        name: as_setting(name, value, strategy=parameters["strategy"])
        for name, value in parameters.items()
        if name not in INVOCATION and is_given(name)
    }
    # The renderer rather than a folder; a resumed run may go without --format.
    if parameters["data"] == Path(PEOPLE) and (
        parameters["format"] == PEOPLE or not Path(PEOPLE).exists()
    ):
        given["data"] = PEOPLE
    return given


def with_recipe(given: dict[str, Any], recipe_name: str | None) -> dict[str, Any]:
    """The settings given, and a recipe's beside them, if there is one.

    Raises:
        UsageError: no such recipe.
    """
    if not recipe_name:
        return given
    from asmnet_kit.base.console import stderr

    recipe = read_recipe(recipe_name)
    for name, text in recipe.about.items():
        stderr().print(f"{recipe.name}, {name}: {text}", markup=False)
    settings = recipe.settings | given
    strategy = settings.get("strategy", TrainConfig.strategy)
    return {n: as_setting(n, v, strategy=strategy) for n, v in recipe.settings.items()} | given


def configuration(given: dict[str, Any]) -> TrainConfig:
    """A new run's settings, as far as they are given.

    Raises:
        UsageError: --data or --format is missing, or a value is out of range.
    """
    missing = [f"--{name}" for name in ("data", "format") if name not in given]
    if missing:
        raise UsageError(f"expected {' and '.join(missing)}: what to train on")
    return TrainConfig(**(_start_crop(given) | given)).validated()


def _start_crop(given: dict[str, Any]) -> dict[str, Any]:
    """The crop that the weights of --init-from know, unless --crop-scale says another.

    Raises:
        ModelError: the start's manifest or file cannot be read.
    """
    start = given.get("init_from", IMAGENET)
    if start == IMAGENET or "crop_scale" in given:
        return {}
    if not leads(given.get("strategy", TrainConfig.strategy)):
        return {}  # the chief alone has to have the file
    from asmnet_kit.base.console import stderr
    from asmnet_kit.training.manifest import crop_scale_of_start

    scale = crop_scale_of_start(Path(start))
    if scale is None or scale == TrainConfig.crop_scale:
        return {}
    stderr().print(
        f"Crop scale {scale:g}, as {start} was trained with; --crop-scale {TrainConfig.crop_scale} "
        "takes the default one",
        markup=False,
    )
    return {"crop_scale": scale}


def as_setting(name: str, value: Any, *, strategy: str) -> Any:
    """A parameter as ``TrainConfig`` keeps it: paths absolute, for a resume from elsewhere.

    Args:
        strategy: of the run: of several workers the chief alone has to have ``init_from``.

    Raises:
        UsageError: ``init_from`` is no path and no model of the kit.
    """
    if name == "points":
        return int(value)
    if name == "init_from" and value != IMAGENET:
        place = real_home(value)
        try:
            place = find_model(place)
        except UsageError:
            if leads(strategy):
                raise
        return str(real_path(place))
    if name in ("data", "val_data") and is_url(value):
        return value
    if name in ("data", "val_data", "teacher") or (name == "scheme" and value not in SCHEME_NAMES):
        return str(real_path(real_home(value)))
    return value
