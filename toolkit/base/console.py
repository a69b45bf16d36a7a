"""The terminal: progress bars and messages on stderr, results on stdout, plain text when piped.

rich is imported where something is drawn, so that printing JSON or a line needs nothing heavy.
"""

import json
import math
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

WIDTH_OF_A_PIPE = 160  # characters; a pipe has no width of its own, and tables should not be cut


def stdout() -> "Console":
    """Where results go. Colours are off when it is no terminal (rich also honours NO_COLOR)."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDTH_OF_A_PIPE
    # Names and figures are printed as they are: emoji would replace ":AB:".
    return Console(highlight=False, emoji=False, soft_wrap=True, width=width)


def print_json(content: Any) -> None:
    """Write ``content`` to stdout as indented JSON; NaN is refused, since JSON has none."""
    click.echo(json.dumps(content, indent=2, allow_nan=False))


def clean(value: Any) -> Any:
    """Foreign JSON without control characters and what UTF-8 cannot hold, at any depth.

    An escape sequence in a name would otherwise reach the terminal.
    """
    if isinstance(value, str):
        if value.isascii() and value.isprintable():
            return value  # nearly all
        text = value.encode("utf-8", "replace").decode()
        return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return value if set(map(type, value)) == {float} else [clean(item) for item in value]
    return value


def shortened(line: str, *, most: int = 2000) -> str:
    """A line of a message; of one with more than ``most`` characters, beginning and end."""
    if len(line) <= most:
        return line
    begin, end = most * 2 // 3, most // 3
    return f"{line[:begin]} ... {len(line) - begin - end} characters ... {line[-end:]}"


def number_or_null(value: float) -> float | None:
    """A number for JSON, which has neither NaN, the mean of nothing, nor infinity."""
    return value if math.isfinite(value) else None


def counted(count: int, noun: str) -> str:
    """``1 face``, ``2 faces``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def degrees(angle: float) -> str:
    """``-3.1°``; what rounds to nothing has no sign."""
    return f"{round(float(angle), 1) + 0.0:.1f}°"


def table(*headings: str, title: str = "", left: Collection[str] = ()) -> "Table":
    """An empty table with these columns.

    Args:
        title: shown as it is: a folder called [x] is no markup.
        left: headings of columns of words; the others are of numbers and end at the right.
    """
    from rich.table import Table
    from rich.text import Text

    made = Table(title=Text(title) if title else None, title_justify="left")
    for heading in headings:
        made.add_column(heading, justify="left" if heading in left else "right")
    return made


def stderr() -> "Console":
    """Where progress, warnings and hints go, so that ``--json`` on stdout stays clean."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False, soft_wrap=True)


@contextmanager
def counting(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar for the block: call what it yields with (done, in all)."""
    with progress() as bar:
        task = bar.add_task(title, total=None, note="")
        yield lambda done, total: bar.update(task, completed=done, total=total)


def progress(*, visible: bool = True) -> "Progress":
    """A progress bar on stderr; silent when stderr is no terminal, or it shall not be seen."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

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
        disable=not (visible and console.is_terminal),
    )
