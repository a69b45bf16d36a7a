"""Private parts of other packages: reached through one module per stage, which says what was tried.

A private name may move with any release. So each stage has one module that touches such names,
through ``PrivateDoor``: it names the versions that were tried and, elsewhere, fails with a message
that says which package to change, not with an AttributeError deep inside a conversion.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TypeVar

from asmnet_kit.base.errors import MissingDependency

T = TypeVar("T")


@dataclass(frozen=True)
class PrivateDoor:
    """The private or undocumented parts of one package.

    Attributes:
        package: its name on PyPI.
        tried: the versions that the kit's tests passed with, oldest first.
    """

    package: str
    tried: tuple[str, ...]

    def open(self, what: str, get: Callable[[], T]) -> T:
        """What ``get`` returns: a private attribute, module or call.

        Args:
            what: the private name, for the message.

        Raises:
            MissingDependency: it is not there in the installed version.
        """
        try:
            return get()
        except (ImportError, AttributeError, LookupError, TypeError) as error:
            raise MissingDependency(
                f"{self.package} {self.installed}: it has no {what} as the kit uses it ({error}). "
                f"Tried with {self.package} {', '.join(self.tried)}: "
                f"pip install '{self.package}=={self.tried[-1]}'"
            ) from error

    @property
    def installed(self) -> str:
        """The version that is installed."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return "(not installed)"
