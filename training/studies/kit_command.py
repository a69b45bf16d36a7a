"""Studies call the kit as a user does."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from asmnet_kit.base.errors import KitError


def kit(*words: str | Path, environment: Mapping[str, str] | None = None) -> str:
    """The output of a command of the kit.

    Args:
        environment: of its process; None for this one's.

    Raises:
        KitError: it failed.
    """
    command = [sys.executable, "-m", "asmnet_kit", *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=environment)
    if done.returncode:
        raise KitError(f"asmnet-kit {' '.join(map(str, words))}: exit code {done.returncode}")
    return done.stdout
