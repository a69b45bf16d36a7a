"""Where things lie: in a folder, or on a server."""

from pathlib import Path
from typing import Any, TypeGuard

MARK = "://"


def is_url(place: Any) -> TypeGuard[str]:
    """Whether a place is on a server rather than in a folder."""
    return isinstance(place, str) and MARK in place


def url_in(path: Path) -> str | None:
    """The address that was given as a path, which keeps one slash of two; None of another path."""
    server, slash, place = path.as_posix().partition(":/")
    return f"{server}{MARK}{place}" if slash and server.isalnum() else None
