"""What TensorFlow needs before it starts."""

import tempfile

import pytest

from asmnet_kit.base.errors import KitError
from asmnet_kit.training.environment import import_tensorflow


def test_without_a_folder_for_temporary_files_the_error_says_what_to_set(monkeypatch) -> None:
    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "gettempdir", nowhere)
    with pytest.raises(KitError, match="set TMPDIR to one that can be written"):
        import_tensorflow()
