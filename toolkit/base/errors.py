"""Errors that a user can act on. The library raises them; only the command line prints them."""

import importlib
import importlib.util
from types import ModuleType
from typing import TypeVar

from asmnet_kit.base.install import install_command


class KitError(Exception):
    """Something the user can fix: the message says what was expected, what came, what to do.

    The command line prints the message without a traceback and exits with ``exit_code``.
    """

    exit_code = 1


class UsageError(KitError):
    """The call itself is wrong: an unknown name or contradictory options."""

    exit_code = 2


class DatasetError(KitError):
    """A data set, a picture or an annotation that cannot be used."""


class ServerError(KitError):
    """A server that data is read from does not give what was asked for; no picture is at fault."""


class Outage(ServerError):
    """A server cannot be reached for now: a later try may succeed."""


class ModelError(KitError):
    """A model file, run folder or checkpoint that cannot be used."""


class GateError(KitError):
    """A limit the user set (accuracy, size, speed) was missed."""


class Interrupted(KitError):
    """The user pressed Ctrl-C; the exit code is the one that shells give a process so ended."""

    exit_code = 130  # 128 + SIGINT


class MissingDependency(KitError):
    """A package of an optional extra is not installed."""


Raised = TypeVar("Raised", bound=BaseException)


def without_frames(error: Raised) -> Raised:
    """An error that is kept rather than raised on: without the calls that it came through.

    Their variables live as long as it does, a picture of a gigabyte among them.
    """
    found: BaseException | None = error
    while found is not None:
        found.__traceback__ = None
        found = found.__cause__ or found.__context__
    return error


def one_line(error: BaseException) -> str:
    """What an error of somebody else's says, for a message of ours: many write several lines."""
    return " ".join(str(error).split()) or type(error).__name__


def require(module: str, *, extra: str | None) -> ModuleType:
    """Import ``module``, which the extra ``extra`` installs; None for a package of its own name.

    Raises:
        MissingDependency: it is not installed; the message names the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name.split(".")[0]):
            raise
        raise _missing(error.name, extra) from error


def require_installed(*modules: str, extra: str) -> None:
    """Check that top-level ``modules`` of the extra ``extra`` are there, without importing them.

    Raises:
        MissingDependency: one is not; the message names the command that installs it.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise _missing(module, extra)


def _missing(module: str, extra: str | None) -> MissingDependency:
    command = f"pip install {module}" if extra is None else install_command(extra)
    return MissingDependency(
        f"this needs the package {module!r}, which is not installed. Install it with: {command}"
    )
