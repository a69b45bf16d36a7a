"""Asks ai-edge-litert's own library, by its C interface, what its Python package does not tell.

The interface is no public promise: its shape is that of the versions in ``KNOWN_VERSIONS``, every
call is checked, and each question is a module that runs in a process of its own (``python -m
asmnet_kit.benchmarks.<module> MODEL``), so that another version costs a message and not the
benchmark.
"""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from asmnet_kit.base.errors import KitError, MissingDependency
from asmnet_kit.tflite.reader import read_graph

PACKAGE = "ai-edge-litert"
KNOWN_VERSIONS = ("2.3.",)  # beginnings
LIBRARY = "libLiteRt.so"


class LibraryError(KitError):
    """No answer; the message says why."""


class LiteRt:
    """The library's C functions, each call of which is checked.

    Attributes:
        folder: where the package's libraries lie.
    """

    def __init__(self) -> None:
        spec = find_spec("ai_edge_litert")
        if spec is None or spec.origin is None:
            raise MissingDependency(f"{PACKAGE} is not installed: pip install {PACKAGE}")
        self.folder = Path(spec.origin).parent
        self._library = self.load(LIBRARY)

    def load(self, name: str) -> ctypes.CDLL:
        """Load a library of the package, to be found by its name from then on."""
        try:
            return ctypes.CDLL(str(self.folder / name), mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise LibraryError(f"{name} cannot be loaded: {error}") from error

    def call(self, name: str, *arguments: Any) -> None:
        try:
            function = getattr(self._library, name)
        except AttributeError as error:
            raise LibraryError(
                f"{PACKAGE} {installed_version()} has no {name}; it is known of "
                f"{', '.join(v + 'x' for v in KNOWN_VERSIONS)}"
            ) from error
        function.restype = ctypes.c_int
        status = function(*arguments)
        if status:
            raise LibraryError(
                f"{name} of {PACKAGE} {installed_version()} failed with status {status}"
            )

    def handle(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """Call a function whose last argument returns a handle."""
        made = ctypes.c_void_p()
        self.call(name, *arguments, ctypes.byref(made))
        return made


def ask(module: str, model: Path, *arguments: str, timeout_s: float) -> Any:
    """What ``module`` answers for a model, in a process of its own.

    Args:
        module: whose ``main`` calls ``answer``.
        arguments: of the question, beside the model.

    Raises:
        LibraryError: no answer is to be had here; the message says why.
    """
    what = f"the library of {PACKAGE} {installed_version()}"
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, str(model), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LibraryError(f"{what} did not end within {timeout_s:.0f} s") from error
    for line in done.stdout.decode(errors="replace").splitlines():
        if line.startswith('{"error"'):
            raise LibraryError(str(json.loads(line)["error"]))
        if line.startswith('{"answer"'):
            return json.loads(line)["answer"]
    how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    raise LibraryError(f"{what} ended with {how} and no result")


def answer(question: Callable[..., Any]) -> None:
    """Print what ``question(model, *arguments)`` of ``sys.argv`` says, for ``ask``; then end."""
    model, arguments = Path(sys.argv[1]), sys.argv[2:]
    try:
        refuse_unknown_version()
        read_graph(model)  # what is damaged would crash the library
        line = json.dumps({"answer": question(model, *arguments)})
    except KitError as error:
        line = json.dumps({"error": str(error)})
    print(line, flush=True)
    # The library's own clean-up at the end of a process is not safe after profiling.
    os._exit(0)


def installed_version() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "(not installed)"


def refuse_unknown_version() -> None:
    """
    Raises:
        LibraryError: the installed version is none of those whose interface is known.
    """
    found = installed_version()
    if not found.startswith(KNOWN_VERSIONS):
        raise LibraryError(
            f"this needs {PACKAGE} {' or '.join(v + 'x' for v in KNOWN_VERSIONS)}, "
            f"got {found}: the library's interface may differ"
        )
