"""Runs a compiler of another maker: it may hang, crash, or not be there at all."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from asmnet_kit.base.errors import KitError, MissingDependency, ModelError


def run_compiler(
    command: Sequence[str],
    *,
    program: str,
    name: str,
    limit_s: float,
    folder: Path | None = None,
    missing: type[KitError] = MissingDependency,
) -> tuple[str, int]:
    """What it said on both streams, and its exit code.

    Args:
        program, name: of the compiler and of the model's file, for messages.
        folder: where it runs.
        missing: the error of a command that cannot be run.

    Raises:
        ModelError: it did not end within ``limit_s`` seconds.
    """
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"{name}: {program} did not end within {limit_s:.0f} s and was stopped"
        ) from error
    except OSError as error:
        raise missing(f"{command[0]}: cannot be run: {error.strerror}") from error
    return done.stdout.decode(errors="replace"), done.returncode
