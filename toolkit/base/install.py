"""How this kit was installed, and the command that installs an extra beside it."""

import json
import shlex
import sys
from pathlib import Path
from typing import Any

NAME = "asmnet-kit"
TRAIN_PYTHON = (3, 13)  # TensorFlow 2.21 has no wheels for later ones


def install_command(extra: str = "", *, pip: str = "pip install") -> str:
    """The command that installs this very kit again, with an extra: for messages.

    If TensorFlow has no wheel for this Python, the command for ``train`` says which Python has one.
    The kit need not be on PyPI. pip notes where a package came from, unless that was an index
    (PEP 610), and the command names the same checkout, wheel or repository.

    Args:
        extra: ``train``; "" for none.
        pip: how the command begins, for another environment or with options of pip.
    """
    command = _command(f"[{extra}]" if extra else "", pip)
    if extra == "train" and sys.version_info[:2] > TRAIN_PYTHON:
        highest, own = (".".join(map(str, v[:2])) for v in (TRAIN_PYTHON, sys.version_info))
        return f"{command} (with Python {highest} or older: TensorFlow 2.21 has no wheel for {own})"
    return command


def _command(extras: str, pip: str) -> str:
    origin = _origin()
    url = str(origin.get("url", ""))
    if not url:
        return f"{pip} {shlex.quote(NAME + extras)}"
    if not url.startswith("file:"):
        vcs = origin.get("vcs_info") or {}
        source = f"{vcs['vcs']}+{url}@{vcs['commit_id']}" if vcs else url
        return f"{pip} {shlex.quote(f'{NAME}{extras} @ {source}')}"
    from urllib.parse import unquote, urlsplit

    place = Path(unquote(urlsplit(url).path))
    if not place.exists():  # a checkout or a wheel that was removed since
        return f"{pip} {shlex.quote('.' + extras)} (in a checkout of {NAME})"
    editable = "-e " if (origin.get("dir_info") or {}).get("editable") else ""
    return f"{pip} {editable}{shlex.quote(str(place) + extras)}"


def _origin() -> dict[str, Any]:
    """What pip noted of where the kit came from; {} for an index, and where nothing is noted."""
    from importlib.metadata import distributions  # takes longer than --help may

    # In a checkout its own .egg-info, of which pip notes nothing, may come first.
    for found in distributions(name=NAME):
        try:
            origin = json.loads(found.read_text("direct_url.json") or "{}")
        except ValueError:
            continue
        if origin and isinstance(origin, dict):
            return origin
    return {}
