"""The ``asmnet-kit`` command. It knows each command as a string and loads it when it is called."""

import errno
import importlib
import io
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TextIO

import click

from asmnet_kit import __version__
from asmnet_kit.base.console import clean, shortened
from asmnet_kit.base.errors import Interrupted, KitError
from asmnet_kit.base.reading import Unreadable


@dataclass(frozen=True)
class LazyCommand:
    """A command that is imported only when it is used."""

    target: str  # "module:attribute"
    short_help: str

    def load(self) -> click.Command:
        module, attribute = self.target.split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


COMMANDS: dict[str, LazyCommand] = {
    "quickstart": LazyCommand(
        "asmnet_kit.commands.quickstart:quickstart",
        "Draw faces, train, quantize, benchmark and report in one go.",
    ),
    "new": LazyCommand(
        "asmnet_kit.training.new_command:new", "Start a project folder for a model of your own."
    ),
    "data": LazyCommand(
        "asmnet_kit.commands.data:data", "Inspect, prepare or synthesize landmark data sets."
    ),
    "train": LazyCommand(
        "asmnet_kit.training.command:train", "Train a landmark and head pose model."
    ),
    "runs": LazyCommand(
        "asmnet_kit.training.runs_command:runs", "Compare training runs in a table."
    ),
    "evaluate": LazyCommand(
        "asmnet_kit.commands.evaluate:evaluate", "Measure a model's accuracy on a data set."
    ),
    "quantize": LazyCommand(
        "asmnet_kit.quantize.command:quantize",
        "Convert a trained model into a .tflite, for example an int8 one.",
    ),
    "sensitivity": LazyCommand(
        "asmnet_kit.quantize.command:sensitivity", "Measure which layers cost accuracy in int8."
    ),
    "audit": LazyCommand(
        "asmnet_kit.commands.audit:audit",
        "Show what a .tflite contains: types, scales, clipped values.",
    ),
    "check": LazyCommand(
        "asmnet_kit.benchmarks.commands.check:check",
        "Predict which operators of a .tflite an accelerator would run.",
    ),
    "parity": LazyCommand(
        "asmnet_kit.benchmarks.commands.parity:parity",
        "Compare a .tflite model's outputs across the runtimes of this machine.",
    ),
    "benchmark": LazyCommand(
        "asmnet_kit.benchmarks.commands.benchmark:benchmark",
        "Measure a .tflite model's speed on a target.",
    ),
    "share": LazyCommand(
        "asmnet_kit.benchmarks.commands.share:share",
        "Try and measure .tflite models in a phone's browser.",
    ),
    "report": LazyCommand(
        "asmnet_kit.commands.report:report", "Write one HTML page from benchmark results."
    ),
    "compare": LazyCommand(
        "asmnet_kit.benchmarks.commands.compare:compare",
        "Fail when new benchmark results are worse than old ones.",
    ),
    "predict": LazyCommand(
        "asmnet_kit.commands.predict:predict", "Find landmarks and head pose in pictures or a film."
    ),
    "models": LazyCommand(
        "asmnet_kit.commands.models:models",
        "List the models that come with the kit, or print a model's card.",
    ),
    "doctor": LazyCommand(
        "asmnet_kit.commands.doctor:doctor",
        "Show what works on this machine and how to fix the rest.",
    ),
}

# What becomes of a character that the terminal's encoding lacks: on stdout and on stderr.
UNPRINTABLE = ("replace", "backslashreplace")

# What the operating system refuses is the user's to fix: no traceback for these.
USER_ERRNOS = {
    errno.EACCES,
    errno.EBUSY,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EFBIG,
    errno.EIO,
    errno.EISDIR,
    errno.ELOOP,
    errno.EMFILE,
    errno.ENAMETOOLONG,
    errno.ENFILE,
    errno.ENODEV,
    errno.ENOENT,
    errno.ENOMEM,
    errno.ENOSPC,
    errno.ENOTDIR,
    errno.ENOTEMPTY,
    errno.ENOTSUP,
    errno.ENXIO,
    errno.EPERM,
    errno.EROFS,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ETXTBSY,
    errno.EXDEV,
}


class KitFailure(click.ClickException):
    """An error on its way to the terminal: one line, no traceback.

    It may quote a stranger's file: control characters never reach the terminal, and the middle of a
    longer line is left out.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__("\n".join(map(shortened, clean(message).split("\n"))))
        self.exit_code = exit_code  # type: ignore[misc]  # click reads the instance's


class _ErrorsInOneLine:
    """Of a command: domain errors end in one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)  # type: ignore[misc]  # click.Command's
        except KitError as error:
            raise KitFailure(str(error), error.exit_code) from error
        except KeyboardInterrupt as error:
            raise KitFailure("interrupted", Interrupted.exit_code) from error
        except OSError as error:
            _fail(error)
        except MemoryError as error:
            raise KitFailure("not enough memory for this input", KitError.exit_code) from error

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """As click's, on terminals of any encoding; what cannot be printed is one line, too."""
        _open_standard_streams()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # a test's own stream takes everything
                stream.reconfigure(errors=UNPRINTABLE[stream is sys.stderr])
        try:
            try:
                return super().main(*args, **kwargs)  # type: ignore[misc]  # click.Command's
            finally:
                sys.stdout.flush()  # a full disk is told here, not by the interpreter's end
        except OSError as error:
            _discard(sys.stdout)
            try:
                _fail(error)
            except KitFailure as failure:
                failure.show()
                raise SystemExit(failure.exit_code) from error


def _fail(error: OSError) -> NoReturn:
    """Raise what the operating system refused as one line, or ``error`` where that is a bug."""
    if error.errno not in USER_ERRNOS and not isinstance(error, Unreadable):
        raise error
    where = f"{error.filename}: " if error.filename else ""
    raise KitFailure(f"{where}{error.strerror}", KitError.exit_code) from error


def _open_standard_streams() -> None:
    """Let what the caller closed (``>&-``) lead nowhere.

    Else Python has no such stream, and a file that is written could get its number, where
    libraries print.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number)
                os.close(nowhere)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def _discard(stream: TextIO) -> None:
    """Let what a stream still holds go nowhere, or the interpreter would stumble on it again."""
    with suppress(OSError, ValueError):
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
        stream.flush()


class KitCommand(_ErrorsInOneLine, click.Command):
    """A command of its own, started with ``python -m``."""


class KitGroup(_ErrorsInOneLine, click.Group):
    """``asmnet-kit``: loads its commands lazily."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        lazy = COMMANDS.get(cmd_name)
        return lazy.load() if lazy else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.short_help) for name, lazy in COMMANDS.items()])


@click.group(cls=KitGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="asmnet-kit")
def main() -> None:
    """Train, quantize, benchmark and ship small face alignment models.

    A first run from nothing:  asmnet-kit quickstart --out quickstart
    """
