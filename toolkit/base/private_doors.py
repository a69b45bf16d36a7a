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

    def refuse_untried(self) -> None:
        """For what breaks without an error, such as the layout of a C struct.

        Raises:
            MissingDependency: the installed version is of another minor release than those tried.
        """
        minor = list(dict.fromkeys(map(_minor_release, self.tried)))
        if _minor_release(self.installed) not in minor:
            raise MissingDependency(
                f"this needs {self.package} {' or '.join(f'{start}.x' for start in minor)}, got "
                f"{self.installed}: its private parts may differ. "
                f"pip install '{self.package}=={self.tried[-1]}'"
            )

    @property
    def installed(self) -> str:
        """The version that is installed."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return "(not installed)"


def _minor_release(version: str) -> str:
    """``2.3`` of 2.3.1, and of what came before or after it: 2.3.0.dev1, 2.3.1.post1."""
    return ".".join(version.split(".")[:2])
