"""The terminal: progress bars and messages on stderr, results on stdout, plain text when piped."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

WIDTH_OF_A_PIPE = 160  # characters; a pipe has no width of its own, and tables should not be cut


def stdout() -> Console:
    """Where results go. Colours are off when it is no terminal (rich also honours NO_COLOR)."""
    width = None if sys.stdout.isatty() else WIDTH_OF_A_PIPE
    return Console(highlight=False, soft_wrap=True, width=width)


def print_json(content: Any) -> None:
    """Write ``content`` to stdout as indented JSON; NaN is refused, since JSON has none."""
    click.echo(json.dumps(content, indent=2, allow_nan=False))


def stderr() -> Console:
    """Where progress, warnings and hints go, so that ``--json`` on stdout stays clean."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def counting(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar for the block: call what it yields with (done, in all)."""
    with progress() as bar:
        task = bar.add_task(title, total=None, note="")
        yield lambda done, total: bar.update(task, completed=done, total=total)


def progress() -> Progress:
    """A progress bar on stderr; silent when stderr is no terminal."""
    console = stderr()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
    )
