"""Runs a script that opens a stranger's file, and says in one line what became of it.

libhdf5 and TensorFlow trust what they read: a damaged file can crash them, or make them allocate
what it claims. In a process of its own that costs one message; what comes back is a plain file that
this package wrote.
"""

import os
import subprocess
from pathlib import Path

from asmnet_kit.base.errors import ModelError
from asmnet_kit.base.own_process import script_command
from asmnet_kit.training.foreign.refusing import REFUSED

PATIENCE_S = 600.0
SETTINGS = {
    # A file may name a compression filter, which libhdf5 would load from a folder of plug-ins.
    "HDF5_PLUGIN_PRELOAD": "::",
    "HDF5_USE_FILE_LOCKING": "FALSE",
    "CUDA_VISIBLE_DEVICES": "",  # nothing is trained here
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


def run_child(script: Path, model: Path, *arguments: str, what: str) -> None:
    """Run ``script`` on a model.

    Args:
        script: exits with ``REFUSED`` after printing a line that says why.
        model: whose path is the script's first argument, made absolute.
        arguments: its others.
        what: the kind of file, for messages: "an .h5 of Keras".

    Raises:
        ModelError: it refused the file, crashed or took longer than ``PATIENCE_S``.
    """
    command = script_command(script, str(model.absolute()), *arguments)
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_S,
            env={**os.environ, **SETTINGS},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(
            f"{model}: expected {what} that can be read, but it took longer than "
            f"{PATIENCE_S:.0f} seconds"
        ) from error
    if done.returncode == REFUSED:
        lines = done.stdout.decode(errors="replace").strip().splitlines()
        raise ModelError(f"{model}: {lines[-1] if lines else 'cannot be read'}")
    if done.returncode:
        ending = "crashes" if done.returncode < 0 else "fails in"
        raise ModelError(
            f"{model}: expected {what}, got a damaged file: it {ending} its reader "
            f"({_last_line(done.stderr)})"
        )


def _last_line(output: bytes) -> str:
    lines = output.decode(errors="replace").strip().splitlines()
    return " ".join(lines[-1].split())[:200] if lines else "without a word"
