"""One process at a time in a folder, whatever ends the other."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.files import alone_in

HOLDER = """
import sys
from pathlib import Path
from asmnet_kit.base.files import alone_in
with alone_in(Path(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that is in ``tmp_path`` until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        yield process
        process.kill()


def test_a_folder_is_free_again_after_its_process_was_killed(
    tmp_path: Path, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(UsageError, match="another process is writing there"), alone_in(tmp_path):
        pytest.fail("got in beside the other process")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with alone_in(tmp_path):
        assert list(tmp_path.iterdir()) == []  # the lock is no file


def test_a_folder_is_free_again_after_the_block(tmp_path: Path) -> None:
    for _ in range(2):
        with alone_in(tmp_path):
            pass


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), alone_in(tmp_path / "missing"):
        pass
