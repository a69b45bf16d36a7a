"""How TensorFlow starts: ``asmnet_kit.training`` sets this before any module of it imports it.

This file needs only the standard library, since ``--help`` passes through here too.
"""

import os
import tempfile

from asmnet_kit.base.errors import KitError, require
from asmnet_kit.base.silent_stderr import silent_stderr

SETTINGS = {
    # TensorFlow leaves oneDNN off on x86 without AVX-512; a training step is 1.6x faster with it.
    "TF_ENABLE_ONEDNN_OPTS": "1",
    # tensorflow-model-optimization works on tf_keras (Keras 2) alone.
    "TF_USE_LEGACY_KERAS": "1",
    # One operation after the other, each on all cores. Side by side, 5 of 40 gradients of asmnet
    # differed in their last bits on two busy cores, from layers on where several gradients meet and
    # are added; with this 0 of 100, at the same speed. Same seed, same weights needs it.
    "TF_NUM_INTEROP_THREADS": "1",
    # Errors only: the rest is about hardware that the user did not ask for.
    "TF_CPP_MIN_LOG_LEVEL": "2",
}


def apply_settings() -> None:
    """Set what the user has not set; a value in the user's environment wins."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)


def import_tensorflow() -> None:
    """Import TensorFlow without the notes that its C++ part prints before logging is set up.

    Raises:
        MissingDependency: TensorFlow or tf_keras is not installed.
        KitError: there is no folder for temporary files, which TensorFlow needs at its start.
    """
    apply_settings()
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise KitError(
            "TensorFlow needs a folder for temporary files: set TMPDIR to one that can be written"
        ) from error
    with silent_stderr():
        tensorflow = require("tensorflow", extra="train")
        require("tf_keras", extra="train")
        tensorflow.config.list_physical_devices()  # complains here, once, where there is no GPU
