"""Recipes of training: TOML files that name settings and say what to expect of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asmnet_kit.base.errors import UsageError
from asmnet_kit.training.config import check_settings, read_toml

FOLDER = Path(__file__).parent / "recipes"
# What [about] says, all of it text.
ABOUT = ("summary", "command", "duration", "expected")
# These belong to a call, not to a recipe.
NOT_SETTINGS = ("data", "format", "val_data", "val_format", "teacher")


@dataclass(frozen=True)
class TrainingRecipe:
    """A recipe.

    Attributes:
        name: of the file, without its ending.
        about: ``summary``, the ``command`` to repeat it, its ``duration`` and what is ``expected``.
        settings: fields of ``TrainConfig`` by name; a file of ``init_from`` is looked for in the
            recipe's own folder first.
    """

    name: str
    about: dict[str, str]
    settings: dict[str, Any]


def shipped() -> list[str]:
    """Names of the recipes that come with the kit."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_recipe(name: str) -> TrainingRecipe:
    """A shipped recipe by its name, or a recipe file by its path.

    Raises:
        UsageError: no such recipe, no TOML, or something in it that is no setting.
    """
    path = FOLDER / f"{name}.toml" if name in shipped() else Path(name)
    try:
        content = read_toml(path)
    except FileNotFoundError as error:
        raise UsageError(
            f"expected a recipe of {', '.join(shipped())}, or a .toml file; got {name!r}"
        ) from error
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; expected a recipe (.toml)") from error
    settings, about = content.get("train"), content.get("about", {})
    if set(content) - {"about", "train"} or not isinstance(settings, dict):
        raise UsageError(
            f"{path}: expected the tables [about] and [train], got {', '.join(content) or 'none'}"
        )
    if not isinstance(about, dict) or not all(
        key in ABOUT and isinstance(value, str) for key, value in about.items()
    ):
        raise UsageError(f"{path}: expected texts {', '.join(ABOUT)} in [about], got {about}")
    check_settings(settings, where=str(path))
    misplaced = [key for key in NOT_SETTINGS if key in settings]
    if misplaced:
        raise UsageError(
            f"{path}: {', '.join(misplaced)} belong to the command, as "
            f"{', '.join('--' + key.replace('_', '-') for key in misplaced)}"
        )
    start = path.parent / settings.get("init_from", "")
    if settings.get("init_from") and start.exists():
        settings["init_from"] = str(start)
    return TrainingRecipe(path.stem, about, settings)
