"""Tables that other packages add to: the kit's own things by name, and those of entry points.

A package offers a data format, an architecture or a target by an entry point of the table's group;
the entry point's name is what the command line option takes. Names are read from the packages'
metadata without importing any of them, so ``--help`` stays quick; the thing itself is imported when
it is asked for, and what is wrong with it is told with the name of its package.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asmnet_kit.base.errors import UsageError, one_line

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint


@dataclass(frozen=True)
class PluginTable:
    """Things of one kind, by name.

    Attributes:
        kind: what one is called in messages ("target").
        group: the entry point group in which other packages offer theirs.
        own: the kit's own, name -> "module" or "module:attribute", imported when asked for. These
            win over another package's of the same name.
        needs: attributes that another package's must have ("__call__" for a function).
    """

    kind: str
    group: str
    own: Mapping[str, str]
    needs: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """Every name, the kit's own first. Imports nothing."""
        others = {point.name for point in self._entry_points()}
        return [*self.own, *sorted(others - self.own.keys())]

    def check(self, name: str) -> None:
        """Refuse an unknown name. Imports nothing.

        Raises:
            UsageError: there is none, or several packages offer one.
        """
        self.package(name)

    def load(self, name: str) -> Any:
        """The thing called ``name``.

        Raises:
            UsageError: there is none, several packages offer one, or the package that does is
                broken; the message names it.
        """
        if name in self.own:
            module, _, attribute = self.own[name].partition(":")
            found = importlib.import_module(module)
            return getattr(found, attribute) if attribute else found
        point = self._entry_point(name)
        package = package_of(point)
        whose = f"{self.kind} {name}: {package}'s {point.value}"
        try:
            found = point.load()
            missing = [attribute for attribute in self.needs if not hasattr(found, attribute)]
        except Exception as error:  # whatever its import, or a property, raises is its fault
            raise UsageError(
                f"{whose} cannot be loaded ({fault(error)}): repair or uninstall {package}"
            ) from error
        if missing:
            raise UsageError(f"{whose} is no {self.kind}: it has no {', '.join(missing)}")
        return found

    def package(self, name: str) -> str | None:
        """The package that brings ``name``; None for the kit's own.

        Raises:
            UsageError: as ``check``.
        """
        return None if name in self.own else package_of(self._entry_point(name))

    def hidden(self, name: str) -> list[str]:
        """Packages whose thing of this name is not used, since the kit has one of its own."""
        if name not in self.own:
            return []
        return sorted({package_of(point) for point in self._entry_points() if point.name == name})

    def _entry_point(self, name: str) -> "EntryPoint":
        points = {package_of(point): point for point in self._entry_points() if point.name == name}
        if not points:
            raise UsageError(f"expected {_a(self.kind)} of {', '.join(self.names())}; got {name!r}")
        if len(points) > 1:
            raise UsageError(
                f"{self.kind} {name}: offered by {' and by '.join(sorted(points))}; uninstall all "
                "but one"
            )
        return next(iter(points.values()))

    def _entry_points(self) -> list["EntryPoint"]:
        from importlib.metadata import entry_points  # 20 ms, for --help of those commands alone

        try:
            return list(entry_points(group=self.group))
        except Exception:  # any package's damaged list of entry points, of whatever group
            return _readable_entry_points(self.group)


def _readable_entry_points(group: str) -> list["EntryPoint"]:
    """The entry points of a group, without the packages whose lists cannot be read."""
    from importlib.metadata import distributions

    found: dict[str, list[EntryPoint]] = {}
    for distribution in distributions():  # of two of one name, the first on the path counts
        try:
            name, points = distribution.name, list(distribution.entry_points.select(group=group))
        except Exception:
            continue
        found.setdefault(name, points)
    return [point for points in found.values() for point in points]


def package_of(point: "EntryPoint") -> str:
    """The name of the distribution that has an entry point, as pip knows it."""
    return point.dist.name if point.dist is not None else "another package"


def fault(error: Exception) -> str:
    """What another package's code raised, in one line: ``KeyError: 'points'``."""
    return f"{type(error).__name__}: {one_line(error)}"


def _a(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
