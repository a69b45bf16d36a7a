"""The commands that the documents show, and whether the command line understands them."""

import contextlib
import re
import shlex
from collections.abc import Iterator

import click

from asmnet_kit.cli import main

# What may stand before the kit's own command on a line: its environment, a path, what it reads.
END = re.compile(r"\s*(?:;|\s[>|]\s|\s&&\s)")  # what follows is the shell's
KIT = re.compile(r"(?:^|\s)(?:\S*/)?(?<!-t )asmnet-kit\s(?!&)(.*)")


def lines_of(page: str) -> list[str]:
    """Each command: lines of consoles after a ``$``, and indented lines, without notes."""
    joined = re.sub(r"\\\n\s*", "", page)
    consoles = re.findall(r"```console\n(.*?)```", joined, re.DOTALL)
    lines = [
        line.strip()[2:]
        for text in consoles
        for line in text.splitlines()
        if line.strip().startswith("$ ")
    ]
    fenced = re.sub(r"```.*?```", "", joined, flags=re.DOTALL)
    indented = re.findall(r"^ {4}(asmnet-kit .*)$", fenced, re.MULTILINE)
    return [*lines, *indented]


def commands_of(page: str) -> list[list[str]]:
    """The words of each call of the kit, ``asmnet-kit`` first."""
    calls = (KIT.search(END.split(line)[0]) for line in lines_of(page))
    return [["asmnet-kit", *shlex.split(call[1], comments=True)] for call in calls if call]


@contextlib.contextmanager
def context_of(words: list[str]) -> Iterator[click.Context]:
    """The command's context: every option and path was understood.

    Args:
        words: as :func:`commands_of` gives them.
    """
    with contextlib.ExitStack() as stack:
        context = stack.enter_context(click.Context(main, info_name="asmnet-kit"))
        command: click.Command = main
        rest = list(words[1:])
        while isinstance(command, click.Group):
            name = rest.pop(0)
            child = command.get_command(context, name)
            assert child is not None, words
            context = stack.enter_context(
                child.make_context(name, list(rest), parent=context)
                if not isinstance(child, click.Group)
                else click.Context(child, info_name=name, parent=context)
            )
            command = child
        yield context
