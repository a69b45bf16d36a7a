"""The versions of both builds: gradle/libs.versions.toml, which Gradle reads, too.

Python 3.10 has no TOML reader; the file's table of versions is lines of NAME = "VALUE".
"""

import re
from pathlib import Path

CATALOG = Path(__file__).resolve().parents[1] / "gradle" / "libs.versions.toml"
LINE = re.compile(r'([a-z][a-z0-9-]*) = "([^"]+)"')


def versions() -> dict[str, str]:
    """NAME -> VALUE of the table [versions]."""
    table = re.split(r"^\[", CATALOG.read_text(encoding="utf-8"), flags=re.MULTILINE)
    (body,) = [part for part in table if part.startswith("versions]")]
    found = {}
    for line in body.splitlines()[1:]:
        match = LINE.fullmatch(line.strip())
        if match:
            found[match[1]] = match[2]
        elif line.strip() and not line.startswith("#"):
            raise ValueError(f'{CATALOG}: expected NAME = "VALUE", got {line!r}')
    return found


VERSIONS = versions()
