"""An installed Chromium without a window, which opens one address and is gone after the block."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from asmnet_kit.base.errors import MissingDependency
from asmnet_kit.base.files import temporary_folder

ENVIRONMENT = "CHROMIUM"  # the program, in place of the first of PROGRAMS on the PATH
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW_TO_GET = f"sudo apt-get install chromium, or set ${ENVIRONMENT}"
ENDS_WITHIN_S = 10.0
GONE_WITHIN_S = 1.0  # its helpers; those that nobody reaps are never gone

# A profile of its own, no first-run pages, nothing fetched in the background.
ARGUMENTS = (
    "--headless",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--mute-audio",
)
AS_ROOT = "--no-sandbox"  # Chromium's sandbox refuses to start as root
WEBGPU = "--enable-unsafe-webgpu"  # SwiftShader, where there is no GPU


def program() -> str | None:
    """The Chromium of this machine, or None."""
    chosen = os.environ.get(ENVIRONMENT)
    found = (shutil.which(name) for name in ([chosen] if chosen else PROGRAMS))
    return next(filter(None, found), None)


@contextmanager
def opened(address: str, arguments: Sequence[str] = ()) -> Iterator[subprocess.Popen[bytes]]:
    """The browser's process, which shows ``address``.

    Raises:
        MissingDependency: there is no Chromium.
    """
    found = program()
    if found is None:
        raise MissingDependency(f"no Chromium is on the PATH: {HOW_TO_GET}")
    root = (AS_ROOT,) if getattr(os, "geteuid", lambda: 1)() == 0 else ()
    with temporary_folder() as profile:
        process = subprocess.Popen(
            [found, *ARGUMENTS, *root, *arguments, f"--user-data-dir={profile}", address],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # so that its helper processes can be ended with it
        )
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(ENDS_WITHIN_S)
    # Its storage and network processes outlive it for a moment, and write into the profile.
    last = time.monotonic() + GONE_WITHIN_S
    with suppress(ProcessLookupError, PermissionError):  # none is left
        while time.monotonic() < last:
            os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.01)
            process.poll()  # else it would count among them for ever
    process.wait()
