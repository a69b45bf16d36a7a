"""Other heads and branches for ``asmnet_nano``, at about its cost, on photographs.

Usage: make head-study ARGS="--data DIR --format F --photos DIR --photos-format F --out DIR"

Each network of ``heads_tried`` is trained like ``asmnet_nano`` with every seed, by the command that
a user types, and measured on ``--photos``. The networks are offered to ``train`` as another package
would offer them: by an entry point, in a folder that only these commands see. A study that was
interrupted goes on where it stopped.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from asmnet_kit.base.files import make_folder, write_text
from asmnet_kit.cli import KitCommand
from asmnet_kit.commands.options import PluginChoice
from asmnet_kit.datasets.formats import FORMATS
from asmnet_kit.training.studies.kit_command import kit

SCHEMA_VERSION = 1
TRIED = ("nano_pip", "nano_pip_neighbours", "nano_branches")
TITLES = {
    "asmnet_nano": "`asmnet_nano`: a hidden layer over the map",
    "nano_pip": "scores and offsets in every cell",
    "nano_pip_neighbours": "– and of the three nearest points",
    "nano_branches": "`asmnet_nano` with branches in training",
}
TRAINING = ("--loss", "smooth_l1", "--augmentation", "strong", "--batch-size", "64")
DEFAULT_SIDE, DEFAULT_EPOCHS, DEFAULT_RATE = 96, 8, 6e-3


@dataclass(frozen=True)
class Outcome:
    """One run on the photographs: NME in percent of all and by subset, weights, 10^6 MACs."""

    network: str
    seed: int
    nme: float
    weights: int
    million_macs: float
    by_subset: dict[str, float] = field(default_factory=dict)


@click.command(cls=KitCommand)
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--format", "data_format", type=PluginChoice(FORMATS), required=True)
@click.option("--photos", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--photos-format", type=PluginChoice(FORMATS), required=True)
@click.option("--split", default="val", show_default=True, help="Of the photographs.")
@click.option("--seeds", default=3, show_default=True, help="Runs of each network.")
@click.option("--input-size", default=DEFAULT_SIDE, show_default=True, help="Pixels.")
@click.option("--epochs", default=DEFAULT_EPOCHS, show_default=True, help="Of each run.")
@click.option("--learning-rate", default=DEFAULT_RATE, show_default=True, help="Of each run.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(
    data: Path,
    data_format: str,
    photos: Path,
    photos_format: str,
    split: str,
    seeds: int,
    input_size: int,
    epochs: int,
    learning_rate: float,
    out: Path,
) -> None:
    """Which head pays?"""
    environment = offered(out / "package")
    training = (
        *TRAINING, "--data", str(data), "--format", data_format, "--input-size", str(input_size),
        "--epochs", str(epochs), "--learning-rate", str(learning_rate),
    )  # fmt: skip
    measured = ("--data", str(photos), "--format", photos_format, "--split", split)
    outcomes = []
    for seed in range(seeds):  # every network once before the next seed: a look is worth something
        for network in TITLES:
            run = out / "runs" / f"{network}_{seed}"
            if not (run / "model.keras").is_file():
                fresh = ("--arch", network, *training, "--seed", str(seed))
                words = ("--resume",) if (run / "config.toml").is_file() else fresh
                kit("train", *words, "--out", run, environment=environment)
            said = kit(
                "evaluate", run, *measured, "--complete-only", "--json", environment=environment
            )
            outcomes.append(_outcome(network, seed, run, json.loads(said)))
            write_text(out / "study.md", table(outcomes))
            document = {"schema_version": SCHEMA_VERSION, "runs": [asdict(o) for o in outcomes]}
            write_text(out / "study.json", json.dumps(document, indent=2) + "\n")
    click.echo(table(outcomes))


def offered(package: Path) -> dict[str, str]:
    """The environment in which the networks of ``heads_tried`` are architectures.

    Args:
        package: a folder that is made; its metadata alone, the code is the kit's.
    """
    about = package / "heads_tried-1.0.dist-info"
    make_folder(about)
    write_text(about / "METADATA", "Metadata-Version: 2.1\nName: heads-tried\nVersion: 1.0\n")
    module = "asmnet_kit.training.studies.heads_tried"
    points = "".join(f"{name} = {module}:{name}\n" for name in TRIED)
    write_text(about / "entry_points.txt", f"[asmnet_kit.architectures]\n{points}")
    path = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(package.resolve()), path))),
    }


def _outcome(network: str, seed: int, run: Path, found: dict[str, Any]) -> Outcome:
    architecture = json.loads((run / "manifest.json").read_text())["architecture"]
    by_subset = {name: figures["nme_percent"] for name, figures in found["per_subset"].items()}
    return Outcome(
        network,
        seed,
        found["nme_percent"],
        architecture["parameters"],
        architecture["macs"] / 1e6,
        by_subset,
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown: a row for each network, NME in percent of each seed."""
    subsets = sorted({name for outcome in outcomes for name in outcome.by_subset})
    columns = ("", "weights in training", "M MACs", "all", *subsets)
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for network in dict.fromkeys(outcome.network for outcome in outcomes):
        runs = [outcome for outcome in outcomes if outcome.network == network]
        cells = [TITLES[network], f"{runs[0].weights:,}", f"{runs[0].million_macs:.1f}"]
        cells.append(" ".join(f"{run.nme:.2f}" for run in runs))
        cells += [" ".join(f"{run.by_subset[name]:.2f}" for run in runs) for name in subsets]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
