"""Every command that a document shows is one that the command line understands."""

from pathlib import Path
from typing import Any

import click
import pytest

from asmnet_kit.commands.options import AdapterName, InputPath, SchemeParam
from doc_commands import commands_of, context_of

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
# What another package of the page brings, which is not installed here.
OTHERS = ("acme", "acme_tiny", "mychip")
PLACEHOLDERS = {"F": "csv"}  # words that stand for one of several


@pytest.fixture(autouse=True)
def every_path_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader's files are not here: a path is taken as it is."""

    def as_it_is(self: Any, value: Any, param: Any, ctx: Any) -> Any:
        return value

    for kind in (InputPath, SchemeParam, AdapterName, *InputPath.__subclasses__()):
        monkeypatch.setattr(kind, "convert", as_it_is)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_command_line_understands_every_command_of_the_page(page: Path) -> None:
    for words in commands_of(page.read_text(encoding="utf-8")):
        if set(words) & set(OTHERS) or words[1:] == ["--version"]:
            continue
        try:
            with context_of([PLACEHOLDERS.get(word, word) for word in words]):
                pass
        except click.exceptions.Exit:  # --help
            pass
        except click.ClickException as error:
            pytest.fail(f"{' '.join(words)}: {error.format_message()}")


def test_commands_are_found_wherever_pages_show_them() -> None:
    page = """
```console
$ asmnet-kit check \\
    a.tflite   # a note
$ coral/bin/asmnet-kit doctor; echo "exit $?"
$ pip install asmnet-kit
```

    asmnet-kit report results --out r.html
"""
    assert commands_of(page) == [
        ["asmnet-kit", "check", "a.tflite"],
        ["asmnet-kit", "doctor"],
        ["asmnet-kit", "report", "results", "--out", "r.html"],
    ]


def test_a_command_that_is_wrong_is_noticed() -> None:
    with pytest.raises(click.ClickException), context_of(["asmnet-kit", "doctor", "--jsn"]):
        pass
