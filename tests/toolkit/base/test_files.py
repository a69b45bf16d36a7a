"""Files whole or not at all, and one process at a time in a folder, whatever ends the other."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asmnet_kit.base.errors import UsageError
from asmnet_kit.base.files import alone_in, is_unused, leftovers, replacing, write_text
from wording import BUSY

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
    with pytest.raises(UsageError, match=BUSY), alone_in(tmp_path):
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


def test_content_is_on_the_disk_before_it_has_its_name_and_the_name_before_the_call_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut may undo what was not flushed: a name without content would be half a file."""
    done: list[str] = []
    flush, rename = os.fsync, Path.replace

    def noting_fsync(descriptor: int) -> None:
        done.append(f"flush {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        flush(descriptor)

    def noting_rename(self: Path, target: Path) -> Path:
        done.append("rename")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(Path, "replace", noting_rename)
    write_text(tmp_path / "a.txt", "whole")
    assert done == [f"flush .a.{os.getpid()}.part.txt", "rename", f"flush {tmp_path.name}"]
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_many_small_files_need_not_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: pytest.fail("waited for the disk"))
    write_text(tmp_path / "a.txt", "whole", durable=False)
    assert (tmp_path / "a.txt").read_text() == "whole"


def test_a_failing_read_is_not_said_of_the_file_that_is_written(tmp_path: Path) -> None:
    """Reading a damaged disk fails with EIO, and without a file name."""
    with pytest.raises(OSError) as failed, replacing(tmp_path / "copy.bin"):
        raise OSError(errno.EIO, "Input/output error")
    assert failed.value.filename is None
    with pytest.raises(FileNotFoundError) as missing, replacing(tmp_path / "copy.bin"):
        (tmp_path / "original.bin").read_bytes()
    assert missing.value.filename == str(tmp_path / "original.bin")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_of_the_file_that_is_written(tmp_path: Path) -> None:
    with pytest.raises(OSError) as failed, replacing(tmp_path / "a.bin"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert failed.value.filename == str(tmp_path / "a.bin")


def test_half_a_file_of_a_killed_process_does_not_make_a_folder_used(tmp_path: Path) -> None:
    assert is_unused(tmp_path / "missing") and is_unused(tmp_path)
    (tmp_path / ".manifest.123.part.json").write_text("{")
    (tmp_path / ".faces.7.part").write_text("")
    assert is_unused(tmp_path) and len(leftovers(tmp_path)) == 2
    (tmp_path / ".hidden").write_text("of somebody else")
    assert not is_unused(tmp_path) and len(leftovers(tmp_path)) == 2
    assert not is_unused(tmp_path / ".hidden")  # a file


def test_a_text_keeps_the_bytes_of_names_that_are_no_utf_8(tmp_path: Path) -> None:
    """``data label`` lists pictures by their names, whatever those are."""
    name = os.fsdecode(b"caf\xe9.jpg")
    write_text(tmp_path / "faces.csv", f"{name},kept\n")
    assert (tmp_path / "faces.csv").read_bytes() == b"caf\xe9.jpg,kept\n"
