"""What of the renderer's realism pays, and how many people, on photographs?

Usage: make people-study ARGS="--photos DIR --photos-format F --out DIR"

One change at a time to the same small training: what is left out of the pictures, how many people
there are, how much training changes them, which network learns; with ``--portraits``, which of
``make people-portraits`` made them, also what these add. ``--many`` measures the number of people
alone, up to 100,000, in a training four times as long. Each set is drawn, each run trained and
measured by the commands that a user types, so a study that was interrupted goes on where it
stopped. The first variant runs with every seed: its spread says which differences mean something.
"""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.files import make_folder, write_text
from asmnet_kit.cli import KitCommand
from asmnet_kit.commands.options import PluginChoice
from asmnet_kit.commands.people_options import REALISM
from asmnet_kit.datasets.formats import FORMATS
from asmnet_kit.training.studies.kit_command import kit

SCHEMA_VERSION = 1
DRAWN_SEED, DRAWN_SIDE = 31, 96  # pixels
COUNT, EPOCHS, SIDE = 3000, 8, 64
COUNTS = (750, 1500, 6000, 12_000)
MANY = (3000, 12_000, 100_000)
SEEN, MANY_SEEN = EPOCHS * COUNT, max(MANY)  # pictures in all epochs together
ARCHITECTURE = "asmnet_plus"
TRAINING = (
    "--loss", "smooth_l1", "--input-size", str(SIDE), "--batch-size", "64",
    "--learning-rate", "3e-3",
)  # fmt: skip
LABELS = "labels68.csv"  # of make people-portraits


@dataclass(frozen=True)
class Variant:
    """One change.

    Attributes:
        title: in the table.
        count: people that are drawn; a tenth validates and is not trained on.
        without: of REALISM.
        augmentation: of training.
        architecture: of the network.
        portraits: subsets of the portraits that are added to the people.
        seen: pictures in all epochs together.
    """

    title: str
    count: int = COUNT
    without: tuple[str, ...] = ()
    augmentation: str = "strong"
    architecture: str = ARCHITECTURE
    portraits: tuple[str, ...] = ()
    seen: int = SEEN

    @property
    def drawn(self) -> str:
        """The folder of its pictures."""
        return "_".join((str(self.count), *(f"no-{name}" for name in self.without)))

    def epochs(self, added: int) -> int:
        """So many that each variant has about the same number of steps.

        Args:
            added: number of pictures beside the people.
        """
        return max(1, round(self.seen / (self.count + added)))


VARIANTS = (
    Variant(f"{COUNT:,} people"),
    *(Variant(f"without {name}", without=(name,)) for name in REALISM),
    Variant("without all of these", without=tuple(REALISM)),
    *(Variant(f"{count:,} people, as many steps", count=count) for count in COUNTS),
    *(Variant(f"augmentation {kind}", augmentation=kind) for kind in ("full", "light", "none")),
    *(Variant(f"network {name}", architecture=name) for name in ("asmnet", "mobilenetv2")),
)
WITH_PORTRAITS = (
    Variant("and portraits", portraits=("portraits",)),
    Variant("and portraits, also turned", portraits=("portraits", "turned")),
)
LONGER = tuple(
    Variant(f"{count:,} people, about {MANY_SEEN:,} seen", count, seen=MANY_SEEN) for count in MANY
)


@dataclass(frozen=True)
class Outcome:
    """NME in percent of one run on the photographs: of all, and by subset."""

    variant: str
    seed: int
    nme: float
    by_subset: dict[str, float] = field(default_factory=dict)


@click.command(cls=KitCommand)
@click.option("--photos", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--photos-format", type=PluginChoice(FORMATS), required=True)
@click.option("--split", default="val", show_default=True, help="Of the photographs.")
@click.option("--seeds", default=3, show_default=True, help="Runs of the first variant.")
@click.option(
    "--init-from",
    default="imagenet",
    show_default=True,
    help="As asmnet-kit train --init-from; '' for random weights.",
)
@click.option(
    "--portraits",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="What make people-portraits wrote; adds variants with these.",
)
@click.option("--many", is_flag=True, help="Vary only the number of people, in a longer training.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(
    photos: Path,
    photos_format: str,
    split: str,
    seeds: int,
    init_from: str,
    portraits: Path | None,
    many: bool,
    out: Path,
) -> None:
    """Which realism pays?"""
    if many and portraits:
        raise UsageError("--many varies the number of people alone: leave --portraits out")
    training = (*TRAINING, *(("--init-from", init_from) if init_from else ()))
    measured = ("--data", str(photos), "--format", photos_format, "--split", split)
    outcomes = []
    variants = LONGER if many else (*VARIANTS, *(WITH_PORTRAITS if portraits else ()))
    for variant in variants:
        data, added = _data(variant, portraits, out)
        epochs = variant.epochs(added)
        warm_up = ("--warmup-epochs", str(epochs / EPOCHS))  # of as many steps, too
        learning = (*training, *data, "--epochs", str(epochs), *warm_up)
        for seed in range(seeds if variant is variants[0] else 1):
            outcomes.append(_outcome(variant, seed, learning, measured, out))
            write_text(out / "study.md", table(outcomes))
            write_text(out / "study.json", _as_json(outcomes))
    click.echo(table(outcomes))


def _data(variant: Variant, portraits: Path | None, out: Path) -> tuple[tuple[str, ...], int]:
    """Draw what a variant learns from, where that is missing.

    Returns:
        the options that name it, and how many portraits are in it.
    """
    people = out / "people" / variant.drawn
    without = [word for name in variant.without for word in ("--without", name)]
    count = ("--count", str(variant.count), "--seed", str(DRAWN_SEED))
    about = people / "dataset.json"
    if not about.is_file() or not json.loads(about.read_text())["complete"]:
        size = ("--size", str(DRAWN_SIDE))
        kit("data", "synthesize", "--kind", "people", *count, *size, *without, "--out", people)
    if not variant.portraits or portraits is None:
        return ("--data", str(people), "--format", "synthetic"), 0
    both = people.with_name("_and_".join((people.name, *variant.portraits)))
    if not both.is_dir():
        kit("data", "convert", "--data", people, "--format", "synthetic", "--to", "csv",
            "--out", both)  # fmt: skip
    rows = _rows(portraits / LABELS)
    added = [row for row in rows if row["subset"] in variant.portraits]
    _add(both / "labels.csv", added, portraits)
    return ("--data", str(both), "--format", "csv"), len(added)


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


def _add(table: Path, added: Sequence[dict[str, str]], pictures: Path) -> None:
    """Add rows to a table of labels, once, with links to their ``pictures``."""
    rows = _rows(table)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), restval="")
    writer.writeheader()
    writer.writerows(rows)
    known = {row["file"] for row in rows}
    for row in added:
        name = f"portraits/{row['file']}"
        if name in known:
            continue
        place = table.parent / name
        make_folder(place.parent)
        place.unlink(missing_ok=True)
        place.symlink_to((pictures / row["file"]).resolve())
        writer.writerow({**row, "file": name, "split": "train"})
    write_text(table, text.getvalue())


def _outcome(
    variant: Variant, seed: int, training: Sequence[str], measured: Sequence[str], out: Path
) -> Outcome:
    run = out / "runs" / f"{_slug(variant.title)}_{seed}"
    if not (run / "model.keras").is_file():
        fresh = (
            *training, "--arch", variant.architecture, "--augmentation", variant.augmentation,
            "--seed", str(seed),
        )  # fmt: skip
        kit("train", *(("--resume",) if run.exists() else fresh), "--out", run)
    found = json.loads(kit("evaluate", run, *measured, "--complete-only", "--json"))
    by_subset = {name: figures["nme_percent"] for name, figures in found["per_subset"].items()}
    return Outcome(variant.title, seed, found["nme_percent"], by_subset)


def _slug(title: str) -> str:
    return title.replace(" ", "_").replace(",", "")


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown: a row for each variant, NME in percent of each seed."""
    subsets = sorted({name for outcome in outcomes for name in outcome.by_subset})
    lines = ["| | " + " | ".join(("all", *subsets)) + " |", "|---" * (2 + len(subsets)) + "|"]
    for title in dict.fromkeys(outcome.variant for outcome in outcomes):
        runs = [outcome for outcome in outcomes if outcome.variant == title]
        cells = [" ".join(f"{run.nme:.2f}" for run in runs)]
        cells += [" ".join(f"{run.by_subset[name]:.2f}" for run in runs) for name in subsets]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _as_json(outcomes: Sequence[Outcome]) -> str:
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "runs": [asdict(outcome) for outcome in outcomes],
    }
    return json.dumps(document, indent=2) + "\n"


if __name__ == "__main__":
    main()
