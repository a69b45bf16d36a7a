"""Errors that a user can act on. The library raises them; only the command line prints them."""

import importlib
from types import ModuleType


class KitError(Exception):
    """Something the user can mend: the message says what was expected, what came, what to do.

    The command line prints the message without a traceback and exits with ``exit_code``.
    """

    exit_code = 1


class UsageError(KitError):
    """The call itself is wrong: an unknown name or contradictory options."""

    exit_code = 2


class DatasetError(KitError):
    """A data set, a picture or an annotation that cannot be used."""


class ModelError(KitError):
    """A model file, run folder or checkpoint that cannot be used."""


class GateError(KitError):
    """A limit the user set (accuracy, size, speed) was missed."""


class MissingDependency(KitError):
    """A package of an optional extra is not installed."""


def require(module: str, *, extra: str) -> ModuleType:
    """Import ``module``, which the extra ``extra`` installs.

    Raises:
        MissingDependency: it is not installed; the message names the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name.split(".")[0]):
            raise
        raise MissingDependency(
            f"this needs the package {error.name!r}, which is not installed. "
            f"Install it with: pip install 'asmnet-kit[{extra}]'"
        ) from error
