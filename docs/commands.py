"""Writes docs/commands.md from the commands' own --help, so that the two cannot differ."""

from pathlib import Path

import click

from asmnet_kit.cli import main

TARGET = Path(__file__).with_name("commands.md")
INTRODUCTION = """# Commands

Written by `make docs` from each command's `--help`; edit the help, not this page.
"""


def leaves(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    """Each command below ``command`` that does something, with its full name."""
    if not isinstance(command, click.Group):
        return [(path, command)]
    context = click.Context(command, info_name=path)
    found = []
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        if child is not None:
            found += leaves(child, f"{path} {name}")
    return found


def _anchor(path: str) -> str:
    """What GitHub makes of the heading."""
    return path.replace(" ", "-")


def _does(command: click.Command) -> str:
    return command.get_short_help_str(limit=200).replace("|", "\\|")


def page() -> str:
    """The whole page, Markdown."""
    found = leaves(main, "asmnet-kit")
    rows = [f"| [`{path}`](#{_anchor(path)}) | {_does(command)} |" for path, command in found]
    parts = [INTRODUCTION, "\n".join(["| command | does |", "|---|---|", *rows, ""])]
    for path, command in found:
        # A command keeps the help option of its first context; below ``main`` that has two names.
        context = click.Context(
            command,
            info_name=path,
            max_content_width=98,
            terminal_width=98,
            help_option_names=["-h", "--help"],
        )
        parts.append(f"## `{path}`\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
    print(f"wrote {TARGET.name}")
