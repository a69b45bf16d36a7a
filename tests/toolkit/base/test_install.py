"""The command that messages name installs this very kit, wherever it came from."""

import json
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from asmnet_kit.base.install import install_command


def noted(monkeypatch: pytest.MonkeyPatch, origin: Any) -> None:
    """pip's ``direct_url.json``: an object, text as it stands there, or None for no file.

    A checkout's .egg-info, which has none, comes first.
    """
    text = origin if isinstance(origin, str | None) else json.dumps(origin)
    packages = [SimpleNamespace(read_text={"direct_url.json": t}.get) for t in (None, text)]
    monkeypatch.setattr(metadata, "distributions", lambda name: packages)


@pytest.mark.parametrize("broken", [None, "", "{", "[]"])
def test_without_a_note_the_kit_came_from_an_index(
    monkeypatch: pytest.MonkeyPatch, broken: str | None
) -> None:
    noted(monkeypatch, broken)
    assert install_command("train") == "pip install 'asmnet-kit[train]'"
    assert install_command() == "pip install asmnet-kit"


def test_a_python_without_tensorflow_is_told_which_one_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noted(monkeypatch, None)
    monkeypatch.setattr(sys, "version_info", (3, 14, 0, "final", 0))
    assert install_command("train") == (
        "pip install 'asmnet-kit[train]' "
        "(with Python 3.13 or older: TensorFlow 2.21 has no wheel for 3.14)"
    )
    assert install_command("web") == "pip install 'asmnet-kit[web]'"


def test_a_checkout_is_named_and_stays_editable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    place = tmp_path / "my kit"
    place.mkdir()
    noted(monkeypatch, {"url": place.as_uri(), "dir_info": {"editable": True}})
    assert install_command("train") == f"pip install -e '{place}[train]'"
    noted(monkeypatch, {"url": place.as_uri(), "dir_info": {}})
    assert install_command("web", pip="coral/bin/pip install") == (
        f"coral/bin/pip install '{place}[web]'"
    )


def test_a_wheel_is_named_as_long_as_it_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wheel = tmp_path / "asmnet_kit-1.0-py3-none-any.whl"
    wheel.touch()
    noted(monkeypatch, {"url": wheel.as_uri(), "archive_info": {}})
    assert install_command("train") == f"pip install '{wheel}[train]'"
    wheel.unlink()
    assert install_command("train") == "pip install '.[train]' (in a checkout of asmnet-kit)"


def test_a_repository_or_an_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    noted(
        monkeypatch,
        {"url": "https://example.org/kit", "vcs_info": {"vcs": "git", "commit_id": "0123abc"}},
    )
    assert install_command("train") == (
        "pip install 'asmnet-kit[train] @ git+https://example.org/kit@0123abc'"
    )
    noted(monkeypatch, {"url": "https://example.org/kit.whl", "archive_info": {}})
    assert install_command() == "pip install 'asmnet-kit @ https://example.org/kit.whl'"
