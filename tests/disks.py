"""Full disks, for tests: a small one of its own where mounting is allowed, else a limit."""

import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILLER = "filler"


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Writing beyond this fails with EFBIG, the way a full disk fails with ENOSPC."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def small_disk(folder: Path, size_bytes: int) -> Iterator[bool]:
    """Mount a tmpfs of this size at ``folder``; gives False, and a plain folder, where none may be.

    Who may mount is root, in a container or on a machine of their own.
    """
    folder.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    mounted = mount is not None and subprocess.run(command, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


@contextmanager
def full(disk: Path, room_bytes: int, *, mounted: bool) -> Iterator[str]:
    """Leave this much room on a ``small_disk``; gives what the system says of a write beyond it."""
    if not mounted:
        with largest_file(room_bytes):
            yield "File too large"
        return
    filler = disk / FILLER
    left = shutil.disk_usage(disk).free - room_bytes
    with filler.open("wb") as file:
        file.write(bytes(max(0, left)))
    try:
        yield "No space left on device"
    finally:
        filler.unlink()
