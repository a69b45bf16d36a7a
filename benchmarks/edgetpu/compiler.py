"""Finds and runs Google's ``edgetpu_compiler``, and believes only what it left on the disk."""

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from asmnet_kit.base.errors import KitError, ModelError, UsageError
from asmnet_kit.base.files import temporary_folder, write_bytes
from asmnet_kit.benchmarks.checking.compiler_run import run_compiler
from asmnet_kit.benchmarks.checking.executable import Compiled, read_compiled
from asmnet_kit.benchmarks.edgetpu.log import CompilerLog, ModelLog, parse_log

PROGRAM = "edgetpu_compiler"
ENVIRONMENT = "EDGETPU_COMPILER"
IMAGE_ENVIRONMENT = "EDGETPU_COMPILER_IMAGE"
SUFFIX = "_edgetpu.tflite"
SHOW_TABLE = "-s"  # print the table of operators
TIMEOUT_S = 200.0  # the compiler stops itself after 180 s


class CompilerMissing(KitError):
    """There is no compiler on this machine."""


@dataclass(frozen=True)
class Compiler:
    """A way to run the compiler.

    Attributes:
        command: its first words.
        image: a docker image that holds it; the model's folder is mounted as ``/model``.
        found: how it was found, for messages.
    """

    command: tuple[str, ...]
    found: str
    image: str | None = None

    def arguments(self, folder: Path, model: str) -> list[str]:
        """The whole command line for a model of ``folder``; outputs go there, too."""
        if self.image is None:
            return [*self.command, SHOW_TABLE, "-o", str(folder), str(folder / model)]
        mount = ["-v", f"{folder}:/model", "-w", "/model", self.image]
        return [*self.command, "run", "--rm", *mount, PROGRAM, SHOW_TABLE, "-o", "/model", model]


@dataclass(frozen=True)
class Compilation:
    """A compiled model: its file, what the compiler said and what the file holds."""

    path: Path
    log: CompilerLog
    compiled: Compiled

    @property
    def model(self) -> ModelLog:
        return self.log.models[-1] if self.log.models else ModelLog()


def find_compiler(told: str | None = None) -> Compiler:
    """The compiler: as told, $EDGETPU_COMPILER, the PATH, then $EDGETPU_COMPILER_IMAGE in docker.

    Args:
        told: path or name of the program.

    Raises:
        CompilerMissing: there is none; the message says how to get it.
        UsageError: what was told is no program.
    """
    for where, name in (("as told", told), (f"${ENVIRONMENT}", os.environ.get(ENVIRONMENT))):
        if name:
            path = shutil.which(name)
            if path is None:
                raise UsageError(f"{name}: expected the program {PROGRAM} ({where}), found none")
            return Compiler((path,), where)
    path = shutil.which(PROGRAM)
    if path is not None:
        return Compiler((path,), "on the PATH")
    image, docker = os.environ.get(IMAGE_ENVIRONMENT), shutil.which("docker")
    if image and docker:
        return Compiler((docker,), f"docker image {image}", image)
    raise CompilerMissing(f"{PROGRAM} is not on this machine. {how_to_get()}")


def how_to_get() -> str:
    """How to come by the compiler here."""
    other = f"or set {IMAGE_ENVIRONMENT} to a docker image that has it"
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        return (
            "Install edgetpu-compiler from Coral's Debian packages "
            f"(coral.ai/docs/edgetpu/compiler), set {ENVIRONMENT} to its path, {other}"
        )
    return (
        f"It exists for x86-64 Linux only: compile there and give the {SUFFIX} file as "
        f"asmnet-kit benchmark MODEL --edgetpu-model FILE, {other}"
    )


def compile_model(
    model: Path, out: Path, *, compiler: Compiler, timeout_s: float = TIMEOUT_S
) -> Compilation:
    """Compile ``model`` and write ``out/<name>_edgetpu.tflite`` whole or not at all.

    Raises:
        ModelError: the compiler refused the model, failed, crashed, hung or left no usable file.
    """
    with temporary_folder() as folder:
        try:
            shutil.copyfile(model, folder / model.name)
        except OSError as error:
            raise ModelError(f"{model}: {error.strerror}") from error
        text, code = run_compiler(
            compiler.arguments(folder, model.name),
            program=PROGRAM,
            name=str(model),
            limit_s=timeout_s,
            missing=CompilerMissing,
        )
        log = parse_log(text)
        made = folder / f"{model.stem}{SUFFIX}"
        # Some versions end with 0 after a failure, some leave a stub of 1 KB: all must agree.
        if code != 0 or not log.succeeded or not made.is_file():
            raise ModelError(f"{model}: {_failure(log, code, text)}")
        compiled = read_compiled(made)
        target = out / made.name
        write_bytes(target, made.read_bytes())
    return Compilation(target, log, compiled)


def _failure(log: CompilerLog, code: int, text: str) -> str:
    how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    if log.failures:
        return f"{PROGRAM} refused the model: {log.reason}; asmnet-kit check says which operator"
    last = text.strip().splitlines()[-1:] or ["nothing"]
    return f"{PROGRAM} {how} without a compiled model; its last words: {last[0]}"
