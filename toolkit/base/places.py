"""Where things lie: in a folder, or on a server."""

from typing import Any, TypeGuard

MARK = "://"


def is_url(place: Any) -> TypeGuard[str]:
    """Whether a place is on a server rather than in a folder."""
    return isinstance(place, str) and MARK in place
