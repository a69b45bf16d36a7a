"""Another Linux board over ssh: copy the model, run asmnet-kit there, fetch its result."""

import os
import re
import shlex
import shutil
from dataclasses import dataclass, replace

from asmnet_kit.base.errors import UsageError
from asmnet_kit.benchmarks.protocol import (
    OnProgress,
    Request,
    cpu_list,
    option_words,
    protocol_words,
    refuse_cpu_options,
)
from asmnet_kit.benchmarks.targets.edgetpu import (
    COMPILED_OPTION,
    compiled_for_board,
    refuse_compiled,
)
from asmnet_kit.benchmarks.targets.remote import (
    INPUTS_S,
    Answer,
    RemoteError,
    RemoteTarget,
    SentModel,
    run_tool,
    tail,
)
from asmnet_kit.results.results import NO_ACCELERATOR
from asmnet_kit.tflite.tensorfile import SUFFIX

PROGRAM = "ssh"
ENVIRONMENT = "ASMNET_KIT_SSH"
# No password prompts: nobody sits there. A board that does not answer should not take minutes.
SSH_OPTIONS = ("-o", "BatchMode=yes", "-o", "ConnectTimeout=15")
HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:-]*")  # never an option
REMOTE_COMMAND = "asmnet-kit"
EDGETPU = "edgetpu"  # the board's own target
# Folder of a measurement on the board: the model, and
RESULTS, INPUTS, OUTPUTS = "out", f"inputs{SUFFIX}", f"outputs{SUFFIX}"
COMPILED = "edgetpu-of-"  # before the model's own name: no other file is called so

COMMAND_TIMEOUT_S = 60.0
COPY_TIMEOUT_S = 300.0
START_S = 180.0  # imports and loading on a slow card, the profile and the stages
EXIT_SSH_FAILED = 255
EXIT_NOT_FOUND = 127


@dataclass(frozen=True)
class LinuxTarget(RemoteTarget):
    """``--target linux`` (the board's CPU), ``linux:gpu`` and ``linux:edgetpu``."""

    remote_target: str

    def problem(self, request: Request | None = None) -> str | None:
        if _ssh() is None:
            return f"{PROGRAM} is not on the PATH; sudo apt-get install openssh-client"
        return None

    def refuse(self, request: Request) -> None:
        """As ``refuse_request`` asks.

        Raises:
            UsageError: no board is named, an option of the CPU's kernels for another target, or a
                compiled model that is not of this one.
        """
        _check_host(request.device)
        if self.remote_target != NO_ACCELERATOR:
            refuse_cpu_options(request)
        if self.remote_target == EDGETPU:
            refuse_compiled(request)

    def run_there(self, request: Request, model: SentModel, on_progress: OnProgress) -> Answer:
        board = Board.of(request.device)
        compiled = None
        if self.remote_target == EDGETPU:
            on_progress(0.0, "compile")
            compiled = compiled_for_board(request)
        on_progress(0.0, f"copy to {board.host}")
        folder = board.make_folder()
        try:
            board.write(f"{folder}/{model.name}", model.content, what="copy the model")
            if compiled is not None:
                path = f"{folder}/{COMPILED}{model.name}"
                board.write(path, compiled, what="copy the compiled model")
                request = replace(request, options={**request.options, COMPILED_OPTION: path})
            if request.inputs is not None:
                inputs = request.inputs.read_bytes()
                board.write(f"{folder}/{INPUTS}", inputs, what="copy the inputs")
            on_progress(0.1, f"runs on {board.host}")
            board.benchmark(request, folder=folder, model=model.name, target=self.remote_target)
            return Answer(
                device=board.host,
                proof=f"measured on {board.host} by its own {REMOTE_COMMAND} over ssh",
                result=board.read_result(folder),
                outputs=board.read_outputs(folder) if request.inputs is not None else b"",
            )
        finally:
            board.remove(folder)


LINUX = LinuxTarget("linux", "cpu")
LINUX_GPU = LinuxTarget("linux:gpu", "gpu")
LINUX_EDGETPU = LinuxTarget("linux:edgetpu", EDGETPU)


@dataclass(frozen=True)
class Board:
    """Another machine; every method may raise ``RemoteError``."""

    ssh: str
    host: str

    @classmethod
    def of(cls, host: str) -> "Board":
        _check_host(host)
        ssh = _ssh()
        if ssh is None:
            raise RemoteError(f"{PROGRAM} is not on the PATH")
        return cls(ssh, host)

    def make_folder(self) -> str:
        out = self._run("make a folder", "mktemp -d /tmp/asmnet-kit.XXXXXXXX")
        folder = out.decode(errors="replace").strip()
        if not re.fullmatch(r"/tmp/asmnet-kit\.[A-Za-z0-9]{8}", folder):
            raise RemoteError(f"{self.host}: expected a folder's name, got {tail(out)!r}")
        return folder

    def write(self, path: str, content: bytes, *, what: str) -> None:
        self._run(what, f"cat > {shlex.quote(path)}", stdin=content, timeout_s=COPY_TIMEOUT_S)

    def benchmark(self, request: Request, *, folder: str, model: str, target: str) -> None:
        words = [REMOTE_COMMAND, "benchmark", f"{folder}/{model}", "--target", target]
        words += protocol_words(request, target)
        words += ["--max-seconds", f"{request.max_seconds:g}", "--out", f"{folder}/{RESULTS}"]
        words += option_words(request, [target])
        words += ["--affinity", cpu_list(request.affinity)] if request.affinity else []
        words += [] if request.xnnpack else ["--no-xnnpack"]
        words += ["--profile"] if request.profile else []
        if request.sustained_minutes:
            words += ["--sustained", f"{request.sustained_minutes:g}"]
        limit = START_S + request.max_seconds + 60 * request.sustained_minutes
        if request.inputs is not None:
            words += ["--inputs", f"{folder}/{INPUTS}", "--outputs", f"{folder}/{OUTPUTS}"]
            limit += INPUTS_S
        self._run("benchmark", " ".join(map(shlex.quote, words)), timeout_s=limit)

    def read_result(self, folder: str) -> bytes:
        return self._run("fetch the result", f"cat {shlex.quote(folder)}/{RESULTS}/*.json")

    def read_outputs(self, folder: str) -> bytes:
        command = f"cat {shlex.quote(folder)}/{OUTPUTS}"
        return self._run("fetch the outputs", command, timeout_s=COPY_TIMEOUT_S)

    def remove(self, folder: str) -> None:
        """Tidy up; what fails here is no failure of the measurement."""
        try:
            self._run("tidy up", f"rm -rf {shlex.quote(folder)}")
        except RemoteError:
            return

    def _run(
        self, what: str, command: str, *, stdin: bytes = b"", timeout_s: float = COMMAND_TIMEOUT_S
    ) -> bytes:
        out, error, code = run_tool(
            [self.ssh, *SSH_OPTIONS, self.host, command],
            timeout_s=timeout_s,
            stdin=stdin,
            what=f"{self.host}: {what}",
        )
        if code == EXIT_SSH_FAILED:
            raise RemoteError(f"{self.host}: no connection: {tail(error)}")
        if code == EXIT_NOT_FOUND:
            raise RemoteError(
                f"{self.host}: {what}: {tail(error)}; install it there: pip install asmnet-kit, "
                f"and see that a shell without a terminal finds {REMOTE_COMMAND}"
            )
        if code:
            raise RemoteError(f"{self.host}: {what} ended with {code}: {tail(out, error)}")
        return out


def _check_host(host: str) -> None:
    if not HOST.fullmatch(host):
        got = repr(host) if host else "none"
        raise UsageError(f"which board? expected --device user@host, got {got}")


def _ssh() -> str | None:
    return shutil.which(os.environ.get(ENVIRONMENT) or PROGRAM)
