"""``asmnet-kit new``: a folder for a model of one's own."""

import re
import shlex
from pathlib import Path

import click

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.files import is_unused, require_writable, write_text
from asmnet_kit.commands.options import OnceCommand, PluginChoice
from asmnet_kit.datasets.formats import FORMATS, PEOPLE
from asmnet_kit.training.recipe_files import FOLDER as RECIPES
from asmnet_kit.training.recipe_files import shipped

TEMPLATES = Path(__file__).parent / "project"
REPOSITORY = ".git"  # of a fresh repository: a folder, or a file in a worktree
# Name in the project -> template. The README comes last: where it is, all of them are.
FILES = {
    ".gitignore": "gitignore",
    ".github/workflows/model.yml": "model.yml",
    "Makefile": "Makefile",
    "data/README.md": "data.md",
    "recipe.toml": "recipe.toml",
    "README.md": "README.md",
}


@click.command(cls=OnceCommand)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "data_format",
    type=PluginChoice(FORMATS),
    default="csv",
    show_default=True,
    help="How your data set is laid out.",
)
@click.option(
    "--recipe",
    type=click.Choice(shipped()),
    default="asmnet_nano",
    show_default=True,
    help="The kit's recipe of training to start from.",
)
def new(folder: Path, data_format: str, recipe: str) -> None:
    """Start a project folder for a model of your own.

    \b
    Examples:
      asmnet-kit new my-model
      asmnet-kit new my-model --format 300w --recipe asmnet_plus

    It has a place for data, a recipe of training, and a Makefile that goes from data to the report
    and a page for phones. DIR must be new, empty or a fresh git repository. Everything in it is
    yours to change.
    """
    if data_format == PEOPLE:
        raise UsageError(
            f"--format {PEOPLE} draws its own faces, and a project is for data of your own: use "
            f"asmnet-kit train --data {PEOPLE} --format {PEOPLE}"
        )
    if not is_unused(folder, except_for=[REPOSITORY]):
        raise UsageError(
            f"{folder}: expected a new or empty folder for the project; {REPOSITORY} alone may be "
            "in it"
        )
    require_writable(folder)
    words = {"name": folder.absolute().name or "model", "format": data_format, "recipe": recipe}
    for name, template in FILES.items():
        text = (TEMPLATES / template).read_text(encoding="utf-8")
        text = re.sub("@(name|format|recipe)@", lambda found: words[found[1]], text)
        if name == "recipe.toml":
            text += settings_of(recipe)
        write_text(folder / name, text)
    place = f"./{folder}" if str(folder).startswith("-") else str(folder)
    click.echo(
        f"Made {folder}. Next: cd {shlex.quote(place)}, put your faces into data/faces, then "
        "make look",
        err=True,
    )


def settings_of(recipe: str) -> str:
    """The table [train] of a recipe of the kit's, as its file has it."""
    text = (RECIPES / f"{recipe}.toml").read_text(encoding="utf-8")
    _, table, settings = text.partition("[train]")
    return table + settings
