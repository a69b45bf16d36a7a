"""Arguments of the functions for programs: checked on the way in, named as such in every message.

Messages of the library name the options of a command (``--scheme FILE``). A program has arguments
(``scheme=FILE``), so ``in_python`` rewrites them on the way out.
"""

import math
import os
import re
from collections.abc import Collection, Mapping
from contextlib import suppress
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np

from asmnet_kit.base.errors import UsageError

SHOWN = 60  # characters of a wrong value in a message


def wrong(name: str, expected: str, value: object) -> UsageError:
    """The error for an argument of a wrong type or value.

    Args:
        expected: what it should be, with an example.
    """
    shown = repr(value)
    shown = shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"
    return UsageError(f"{name}: expected {expected}; got {shown} ({type(value).__name__})")


def path_of(name: str, value: object, what: str = "a path") -> Path:
    """Raises: UsageError: neither text nor a path."""
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str) or "\0" in text:
        raise wrong(name, f"{what}, as text or pathlib.Path", value)
    return Path(text)


def text_of(name: str, value: object, example: str) -> str:
    """Raises: UsageError: no text."""
    if not isinstance(value, str):
        raise wrong(name, f"text, such as {name}={example!r}", value)
    return value


def whole_of(name: str, value: object, example: int) -> int:
    """A whole number of 1 or more.

    Raises:
        UsageError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise wrong(name, f"a whole number of 1 or more, such as {name}={example}", value)
    return int(value)


def number_of(
    name: str, value: object, example: float, *, least: float = -math.inf, most: float = math.inf
) -> float:
    """A finite number.

    Raises:
        UsageError: it is none, or not from ``least`` to ``most``.
    """
    number = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        with suppress(OverflowError):  # an integer of 400 digits
            number = float(value)
    if not (math.isfinite(number) and least <= number <= most):
        limits = [f"of at least {least:g}"] * math.isfinite(least)
        limits += [f"at most {most:g}"] * math.isfinite(most)
        words = " ".join(["a finite number", " and ".join(limits)]).strip()
        raise wrong(name, f"{words}, such as {name}={example:g}", value)
    return number


def flag_of(name: str, value: object) -> bool:
    """Raises: UsageError: neither True nor False."""
    if not isinstance(value, (bool, np.bool_)):
        raise wrong(name, "True or False", value)
    return bool(value)


def texts_of(name: str, value: object, example: Mapping[str, str]) -> dict[str, str]:
    """Texts by name.

    Raises:
        UsageError: no dictionary of texts.
    """
    if not isinstance(value, Mapping) or not all(
        isinstance(part, str) for pair in value.items() for part in pair
    ):
        raise wrong(name, f"a dictionary of texts, such as {name}={dict(example)}", value)
    return dict(value)


_OPTION = re.compile(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)(?: (?P<value>[A-Z]{2}\S*|\w+[@/:.]\w\S*))?")
_COMMAND = re.compile(r"asmnet-kit [^,;:()\n]*$")  # what follows is a part of it
# Values that stand behind an option as plain words.
_WORDS = re.compile(r"(\w+)= (detector|landmarks|records|people|usb)\b")


def in_python(text: str, arguments: Collection[str], options: Collection[str] = ()) -> str:
    """A message with Python's arguments where it names options of a command.

    A whole command (``asmnet-kit quantize ... --out models``) stays as it is.

    Args:
        arguments: names that the function has.
        options: names that its ``options`` may have.

    >>> in_python("name it with --scheme FILE, or choose another --split", ["scheme", "split"])
    'name it with scheme=FILE, or choose another split='
    """

    def named(found: re.Match[str]) -> str:
        if _COMMAND.search(text[: found.start()]):
            return found[0]
        name, value = found[1].replace("-", "_"), found["value"] or ""
        if name in arguments:
            return f"{name}={value}"
        if name in options:
            return f'options["{name}"]' + (f" {value}" if value else "")
        if name == "option" and "options" in arguments:
            return f"options {value}".strip()
        return found[0]

    return _WORDS.sub(r'\1="\2"', _OPTION.sub(named, text))


def renamed(error: Exception, arguments: Collection[str], options: Collection[str] = ()) -> None:
    """Rewrite the message of an error in place, as ``in_python`` does."""
    parts: tuple[Any, ...] = error.args
    error.args = tuple(
        in_python(part, arguments, options) if isinstance(part, str) else part for part in parts
    )
