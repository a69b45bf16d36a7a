"""Does ASM-LOSS help?

Usage: make asm-study ARGS="--data DIR --format 300w --out DIR"

The same network, data, epochs and learning rate with and without the smoothed truth, several seeds.
Runs are ordinary run folders: an interrupted study goes on where it stopped.

L_asm also raises the landmarks' weight against the pose's. The control separates the two: it has
the same weights, but its shape model keeps all of the variance, so that A is G but for the clamp.
"""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click

from asmnet_kit.base.errors import UsageError
from asmnet_kit.cli import KitCommand
from asmnet_kit.commands.options import PluginChoice, data_options, out_option
from asmnet_kit.face.pose import ANGLES
from asmnet_kit.training.command import as_setting
from asmnet_kit.training.config import TrainConfig
from asmnet_kit.training.networks.architectures import ARCHITECTURES

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes:
        name: of its run folders.
        title: in the table.
        settings: fields of ``TrainConfig``.
        repeated: whether every seed is run; the others show a trend with one.
    """

    name: str
    title: str
    settings: dict[str, Any]
    repeated: bool


def _asm(variance: float, alpha: str = "paper") -> dict[str, Any]:
    return {"loss": "asm", "alpha": alpha, "asm_variance": variance}


def _asm_smooth_l1(variance: float) -> dict[str, Any]:
    return {"loss": "asm_smooth_l1", "alpha": "constant:0.2", "asm_variance": variance}


PAPER_VARIANTS = (
    Variant("mse", "MSE", {"loss": "mse"}, True),
    Variant("asm90", "MSE + ASM, 90 %, alpha 2, 1, 0.5", _asm(0.9), True),
    Variant("control", "control: A not smoothed (100 %)", _asm(1.0), True),
    Variant("asm85", "MSE + ASM, 85 %", _asm(0.85), False),
    Variant("asm97", "MSE + ASM, 97 %", _asm(0.97), False),
    Variant("asm90_constant", "MSE + ASM, 90 %, alpha 1", _asm(0.9, "constant:1"), False),
)
# The same question of the loss that our recipes have; --variants names them.
SMOOTH_L1_VARIANTS = (
    Variant("smooth_l1", "smooth L1", {"loss": "smooth_l1"}, True),
    Variant("smooth_l1_asm90", "smooth L1 + ASM, 90 %, alpha 0.2", _asm_smooth_l1(0.9), True),
    Variant("smooth_l1_control", "control: A not smoothed (100 %)", _asm_smooth_l1(1.0), True),
)
ALL_VARIANTS = PAPER_VARIANTS + SMOOTH_L1_VARIANTS


@dataclass(frozen=True)
class Outcome:
    """Validation figures of one run: ``nme`` in percent, ``pose`` mean of the angles' errors."""

    variant: str
    seed: int
    nme: float
    pose: float


@click.command(cls=KitCommand)
@data_options()
@click.option(
    "--arch",
    type=PluginChoice(ARCHITECTURES),
    default="asmnet",
    show_default=True,
    help="The network.",
)
@click.option("--input-size", default=64, show_default=True, help="Side of the input, pixels.")
@click.option("--epochs", default=10, show_default=True, help="Passes over the data, each run.")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Runs of the main variants.",
)
@click.option(
    "--variants",
    default=",".join(variant.name for variant in PAPER_VARIANTS),
    show_default=True,
    help=f"Losses to compare, comma-separated, of {', '.join(v.name for v in ALL_VARIANTS)}.",
)
@click.option("--sampling", default="", help="As asmnet-kit train --sampling.")
@click.option("--clips", default="", help="As asmnet-kit train --clips.")
@click.option("--init-from", default="", help="As asmnet-kit train --init-from.")
@out_option("Folder of the runs, the table (study.md), the plot and study.json.")
def main(
    data: Path,
    data_format: str,
    arch: str,
    input_size: int,
    epochs: int,
    seeds: int,
    variants: str,
    sampling: str,
    clips: str,
    init_from: str,
    out: Path,
) -> None:
    """Train with and without ASM-LOSS and compare, several seeds.

    \b
    Example:
      python -m asmnet_kit.training.studies.asm_study --data faces --format 300w --out study
    """
    from asmnet_kit.training.environment import import_tensorflow

    chosen = variants_of(variants)
    import_tensorflow()
    base = TrainConfig(
        data=str(data.resolve()),
        format=data_format,
        arch=arch,
        input_size=input_size,
        epochs=epochs,
        sampling=sampling,
        clips=clips,
        init_from=init_from and as_setting("init_from", init_from, strategy="none"),
    ).validated()
    outcomes = [
        run_once(base, variant, seed, out)
        for seed in range(seeds)
        for variant in chosen
        if variant.repeated or seed == 0
    ]
    write(outcomes, base, out)
    click.echo(f"{out / 'study.md'}: {len(outcomes)} runs. Next: read it, and its plot beside it")


def variants_of(names: str) -> list[Variant]:
    """The variants of a comma-separated list, in the table's order.

    Raises:
        UsageError: an unknown name, or none.
    """
    asked = {name.strip() for name in names.split(",")}
    known = {variant.name for variant in ALL_VARIANTS}
    if unknown := asked - known:
        raise UsageError(
            f"expected variants of {', '.join(sorted(known))}; got {', '.join(sorted(unknown))!r}"
        )
    return [variant for variant in ALL_VARIANTS if variant.name in asked]


def run_once(base: TrainConfig, variant: Variant, seed: int, out: Path) -> Outcome:
    """Train one variant with one seed, or take what an earlier call trained."""
    from asmnet_kit.base.run_folder import CONFIG
    from asmnet_kit.training.manifest import read_manifest
    from asmnet_kit.training.run import resume, train

    run = out / f"{variant.name}_{seed}"
    config = replace(base, seed=seed, **variant.settings).validated()
    begun = (run / CONFIG).exists()
    if not begun or not read_manifest(run).get("finished_at"):
        command = "python -m asmnet_kit.training.studies.asm_study"
        if begun:
            resume(run, asdict(config), command=command)
        else:
            train(config, run, command=command)
    elif differences := TrainConfig.load(run / CONFIG).differences(config):
        raise UsageError(
            f"{run} holds another study ({'; '.join(differences)}): choose another --out"
        )
    scores = read_manifest(run)["metrics"]["validation"]
    pose = statistics.mean(scores["pose_mae_deg"][angle] for angle in ANGLES)
    return Outcome(variant.name, seed, scores["nme_percent"], pose)


def table(outcomes: Sequence[Outcome]) -> str:
    """Mean and standard deviation over seeds as Markdown; one run has no spread."""
    lines = ["| loss | seeds | NME % | pose error, degrees |", "|---|---|---|---|"]
    for variant in ALL_VARIANTS:
        own = [outcome for outcome in outcomes if outcome.variant == variant.name]
        if own:
            nme, pose = _spread([o.nme for o in own]), _spread([o.pose for o in own])
            lines.append(f"| {variant.title} | {len(own)} | {nme} | {pose} |")
    return "\n".join(lines) + "\n"


def _spread(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


def write(outcomes: Sequence[Outcome], base: TrainConfig, out: Path) -> None:
    """``study.json``, ``study.md`` and ``study.png``."""
    from asmnet_kit.base.files import write_json, write_text

    write_json(
        out / "study.json",
        {
            "schema_version": SCHEMA_VERSION,
            "settings": asdict(base),
            "outcomes": [vars(outcome) for outcome in outcomes],
        },
    )
    write_text(out / "study.md", table(outcomes))
    _plot(outcomes, out / "study.png")


def _plot(outcomes: Sequence[Outcome], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    from asmnet_kit.base.files import replacing

    shown = [v for v in ALL_VARIANTS if any(o.variant == v.name for o in outcomes)]
    figure, both = pyplot.subplots(
        1, 2, sharey=True, figsize=(9, 0.5 * len(shown) + 1.4), layout="constrained"
    )
    figures = (("nme", "NME, % of the eye distance"), ("pose", "pose error, degrees"))
    for axes, (name, title) in zip(both, figures, strict=True):
        for row, variant in enumerate(shown):
            values = [getattr(o, name) for o in outcomes if o.variant == variant.name]
            axes.plot(values, [row] * len(values), "o", color="tab:blue", alpha=0.6)
            axes.plot(statistics.mean(values), row, "|", color="black", markersize=18)
        axes.set_yticks(range(len(shown)), [variant.title for variant in shown])
        axes.set_xlabel(title)
        axes.grid(axis="x", alpha=0.3)
    both[0].invert_yaxis()
    figure.suptitle("Validation: a dot is a seed, a bar the mean", fontsize="medium")
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
