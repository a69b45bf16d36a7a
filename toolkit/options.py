"""Options that several commands share, so that they read and behave the same everywhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

# Repeated here as text, so that --help needs no reader; a test compares it with the registry.
FORMATS = ("300w", "wflw", "aflw2000", "300w_lp", "merlrav", "csv", "records", "synthetic")


class ModelType(click.Path):
    """A model's path, or the name of one that comes with the kit; gives a ``Path``.

    Args:
        must_exist: refuse what is no file; unless told, the command says what it expected.
    """

    name = "model"

    def __init__(self, *, must_exist: bool = False) -> None:
        super().__init__(path_type=Path, exists=must_exist, dir_okay=not must_exist)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from asmnet_kit.shipped import find_model

        return super().convert(find_model(Path(value)), param, ctx)


def data_options(*, required: bool = True) -> Callable[[Command], Command]:
    """``--data DIR --format F``."""

    def decorate(command: Command) -> Command:
        command = click.option(
            "--format",
            "data_format",
            type=click.Choice(FORMATS),
            required=required,
            help="How the data set is laid out.",
        )(command)
        return click.option(
            "--data",
            type=click.Path(path_type=Path),
            required=required,
            help="Folder of the data set, at any level; pictures are found below it.",
        )(command)

    return decorate


def out_option(help: str) -> Callable[[Command], Command]:
    """``--out PATH``, required."""
    return click.option("--out", type=click.Path(path_type=Path), required=True, help=help)


def seed_option(command: Command) -> Command:
    """``--seed S``, 0 unless told."""
    return click.option(
        "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed."
    )(command)


def json_option(command: Command) -> Command:
    """``--json``: machine-readable output on stdout."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON to stdout.")(command)
