"""Arguments and options that several studies of models share."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from asmnet_kit.commands.options import TFLITE, ModelPath

Command = TypeVar("Command", bound=Callable[..., object])


def models_argument(command: Command) -> Command:
    """``MODEL...``: one .tflite or more, as ``models``."""
    return click.argument(
        "models", metavar="MODEL...", nargs=-1, required=True, type=ModelPath(TFLITE)
    )(command)


def folder_option(name: str, default: Path, words: str) -> Callable[[Command], Command]:
    """An option that names a folder, which need not be there yet."""
    return click.option(
        name, type=click.Path(path_type=Path), default=default, show_default=True, help=words
    )
