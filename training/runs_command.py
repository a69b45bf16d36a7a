"""``asmnet-kit runs``: look at training runs, print."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from asmnet_kit.base.errors import ModelError
from asmnet_kit.commands.options import InputPath, OnceGroup, json_option

if TYPE_CHECKING:
    from rich.table import Table

    from asmnet_kit.training.runs import FoundRuns, MadeModel, Run


@click.group(cls=OnceGroup)
def runs() -> None:
    """Compare training runs.

    \b
    Example:
      asmnet-kit runs list runs models
    """


@runs.command(name="list", short_help="Compare training runs in a table.")
@click.argument(
    "folders", metavar="DIR...", nargs=-1, required=True, type=InputPath("a folder of runs")
)
@json_option
def list_runs(folders: tuple[Path, ...], as_json: bool) -> None:
    """Compare training runs in a table: data, recipe, NME, int8 NME, size and date.

    \b
    Examples:
      asmnet-kit runs list runs models
      asmnet-kit runs list runs --json

    Each DIR is searched at any depth for run folders and for the .tflite files that asmnet-kit
    quantize made from them: name the folder of your models, too. NME is that of the validation
    faces. What cannot be read is named on stderr; the exit code is 1 when no run can be read.
    """
    from asmnet_kit.base.console import clean, print_json, stderr, stdout
    from asmnet_kit.training.runs import find_runs

    found = find_runs(folders)
    if as_json:
        print_json(clean(found.to_json()))
    elif found.runs:
        stdout().print(_table(found))
    messages = stderr()
    for path, reason in found.problems:
        messages.print(clean(f"not listed: {path}: {reason}"), markup=False, style="yellow")
    if found.without_run and not as_json:
        names = ", ".join(str(model.path) for model in found.without_run)
        messages.print(clean(f"models whose run is not below these folders: {names}"), markup=False)
    if not found.runs:
        raise ModelError(
            f"expected a training run at or below {', '.join(map(str, folders))}, found none that "
            "can be read: name a folder that asmnet-kit train wrote, or one above it"
        )
    if not found.alike:
        messages.print(
            "These runs were validated on different faces, so their NMEs cannot be compared: "
            "measure them on the same faces with asmnet-kit evaluate",
            markup=False,
        )


def _table(found: "FoundRuns") -> "Table":
    from rich.text import Text

    from asmnet_kit.base.console import clean, table

    words = ("run", "data", "recipe", "network", "quantized", "finished")
    made = table(
        "run", "data", "recipe", "network", "epochs", "NME %", "quantized", "NME % then", "KB",
        "finished", left=words,
    )  # fmt: skip
    made.columns[0].overflow = "fold"  # a path is for copying: whole, over several lines
    for run in found.runs:
        lines = [_of_model(model) for model in run.models] or [["-", "-", "-"]]
        facts = [*_facts(run), *lines[0], _date(run)]
        made.add_row(*(Text(clean(fact)) for fact in facts))
        for line in lines[1:]:
            made.add_row(*[""] * 6, *(Text(clean(fact)) for fact in line), "")
    return made


def _facts(run: "Run") -> list[str]:
    network = f"{run.architecture or '?'} {run.input_size or '?'} px"
    return [
        str(run.path),
        f"{run.data or '?'} ({run.data_format or '?'})",
        "-" if run.recipe is None else Path(run.recipe).stem,
        network + (f", {run.loss}" if run.loss else ""),
        f"{run.epochs or 0} of {run.of_epochs or '?'}",
        _percent(run.nme_percent),
    ]


def _of_model(model: "MadeModel") -> list[str]:
    return [model.recipe, _percent(model.nme_percent), f"{model.size_bytes / 1000:.0f}"]


def _percent(nme: float | None) -> str:
    return "-" if nme is None else f"{nme:.2f}"


def _date(run: "Run") -> str:
    """Its day, or that it goes on."""
    day = (run.date or "?").partition("T")[0]
    return day if run.finished else f"no, begun {day}"
