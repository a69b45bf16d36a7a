"""Another Linux board over ssh: copy the model, run asmnet-kit there, fetch its result."""

import os
import re
import shlex
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from asmnet_kit.base.errors import UsageError
from asmnet_kit.benchmarks.options import EDGETPU_MODEL
from asmnet_kit.benchmarks.protocol import (
    OnProgress,
    RemoteError,
    Request,
    Target,
    Unreachable,
)
from asmnet_kit.benchmarks.targets.cpu import CPU
from asmnet_kit.benchmarks.targets.edgetpu import EDGETPU
from asmnet_kit.benchmarks.targets.edgetpu_model import compiled_for_board, refuse_compiled
from asmnet_kit.benchmarks.targets.gpu import GPU
from asmnet_kit.benchmarks.targets.remote import (
    COPY_S,
    INPUTS_S,
    REMOTE_INPUTS_S,
    REMOTE_PATIENCE_S,
    Answer,
    RemoteTarget,
    SentModel,
    hottest,
    run_tool,
    tail,
)
from asmnet_kit.benchmarks.words import request_words
from asmnet_kit.tflite.tensorfile import SUFFIX

PROGRAM = "ssh"
ENVIRONMENT = "ASMNET_KIT_SSH"
# No password prompts: nobody sits there. A board that does not answer should not take minutes.
# One that is unplugged later is noticed after a minute, though nothing is said during the runs.
SSH_OPTIONS = (
    *("-o", "BatchMode=yes", "-o", "ConnectTimeout=15"),
    *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"),
)
HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:-]*")  # never an option
REMOTE_COMMAND = "asmnet-kit"
# Folder of a measurement on the board: the model, and
RESULTS, INPUTS, OUTPUTS = "out", f"inputs{SUFFIX}", f"outputs{SUFFIX}"
RUNNING = "pid"  # holds the number of the process that measures
# The same for all that share a machine, in containers, too, and another after each start.
BOOT_ID = "/proc/sys/kernel/random/boot_id"
THERMAL = "/sys/class/thermal/thermal_zone*/temp"  # thousandths of a degree
STOPS_WITHIN_S = 5
COMPILED = "edgetpu-of-"  # before the model's own name: no other file is called so

COMMAND_TIMEOUT_S = 60.0
START_S = 180.0  # imports and loading on a slow card, the profile and the stages
EXIT_SSH_FAILED = 255
EXIT_NOT_FOUND = 127


@dataclass(frozen=True)
class LinuxTarget(RemoteTarget):
    """``--target linux`` (the board's CPU), ``linux:gpu`` and ``linux:edgetpu``."""

    own: Target  # the board's

    def problem(self, request: Request | None = None) -> str | None:
        if _ssh() is None:
            return f"{PROGRAM} is not on the PATH; sudo apt-get install openssh-client"
        return None

    def refuse(self, request: Request) -> None:
        """As ``refuse_request`` asks.

        Raises:
            UsageError: no board is named, or a compiled model that is not of this one.
        """
        _check_host(request.device)
        if EDGETPU_MODEL.name in request.options:
            refuse_compiled(request)

    def run_there(self, request: Request, model: SentModel, on_progress: OnProgress) -> Answer:
        board = Board.of(request.device)
        compiled = None
        if EDGETPU_MODEL in self.abilities.options:
            on_progress(0.0, "compile")
            compiled = compiled_for_board(request)
        on_progress(0.0, f"copy to {board.host}")
        folder = board.make_folder()
        try:
            board.write(f"{folder}/{model.name}", model.content, what="copy the model")
            if compiled is not None:
                path = f"{folder}/{COMPILED}{model.name}"
                board.write(path, compiled, what="copy the compiled model")
                request = replace(request, options={**request.options, EDGETPU_MODEL.name: path})
            if request.inputs is not None:
                inputs = request.inputs.read_bytes()
                board.write(f"{folder}/{INPUTS}", inputs, what="copy the inputs")
            on_progress(0.1, f"runs on {board.host}")
            board.benchmark(request, folder=folder, model=model.name, target=self.own)
            return Answer(
                device=board.host,
                proof=f"measured on {board.host} by its own {REMOTE_COMMAND} over ssh",
                result=board.read_result(folder),
                outputs=board.read_outputs(folder) if request.inputs is not None else b"",
            )
        except BaseException:
            board.stop(folder)
            raise
        finally:
            board.remove(folder)

    def takes_device(self, name: str) -> bool:
        """As ``Target`` has it: beside phones a board is written user@host."""
        return "@" in name

    def machine_of(self, request: Request) -> str:
        """As ``Target`` has it: two names of one board, or of this machine, are one machine.

        Raises:
            RemoteError: it does not answer.
        """
        there = Board.of(request.device).boot_id()
        try:
            here = Path(BOOT_ID).read_text().strip()
        except OSError:
            here = ""
        return "" if there == here else f"board {there or request.device}"

    def temperature(self, request: Request) -> float | None:
        """As ``Target`` has it.

        Raises:
            RemoteError: it does not answer.
        """
        return Board.of(request.device).temperature()

    def look(self, request: Request) -> str:
        """As ``Target`` has it.

        Raises:
            RemoteError: it does not answer, or has no asmnet-kit.
        """
        return f"{request.device} over ssh: {Board.of(request.device).version()}"


def _on_board(name: str, own: Target) -> LinuxTarget:
    """A target on a board, which can do there what the kit's own can here."""
    return LinuxTarget(
        name,
        replace(
            own.abilities,
            has_devices=True,
            elsewhere=True,
            patience_s=REMOTE_PATIENCE_S,
            inputs_patience_s=REMOTE_INPUTS_S,
            crash_hint="",  # the worker is this machine's
        ),
        own,
    )


LINUX = _on_board("linux", CPU)
LINUX_GPU = _on_board("linux:gpu", GPU)
LINUX_EDGETPU = _on_board("linux:edgetpu", EDGETPU)


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
        # What login scripts print comes before it.
        *_, folder = out.decode(errors="replace").strip().splitlines() or [""]
        if not re.fullmatch(r"/tmp/asmnet-kit\.[A-Za-z0-9]{8}", folder.strip()):
            raise RemoteError(f"{self.host}: expected a folder's name, got {tail(out)!r}")
        if folder.strip() != out.decode(errors="replace").strip():
            raise RemoteError(
                f"{self.host}: its login scripts print to stdout ({tail(out)!r}), which would mix "
                "with results: let them print only for terminals (case $- in *i*) ... esac)"
            )
        return folder.strip()

    def write(self, path: str, content: bytes, *, what: str) -> None:
        self._run(what, f"cat > {shlex.quote(path)}", stdin=content, timeout_s=COPY_S)

    def benchmark(self, request: Request, *, folder: str, model: str, target: Target) -> None:
        """Run the board's own command.

        Args:
            target: the board's own, whose name its command takes.
        """
        there = replace(request, target=target.name, device="")
        limit = START_S + request.max_seconds + 60 * request.sustained_minutes
        if request.inputs is not None:
            there = replace(there, inputs=Path(folder, INPUTS), outputs=Path(folder, OUTPUTS))
            limit += INPUTS_S
        words = [REMOTE_COMMAND, "benchmark", f"{folder}/{model}"]
        words += [*request_words(there, target.abilities), "--out", f"{folder}/{RESULTS}"]
        command = " ".join(map(shlex.quote, words))
        note = f"echo $$ > {shlex.quote(folder)}/{RUNNING}"
        self._run("benchmark", f"{note}; exec {command}", timeout_s=limit)

    def read_result(self, folder: str) -> bytes:
        return self._run("fetch the result", f"cat {shlex.quote(folder)}/{RESULTS}/*.json")

    def read_outputs(self, folder: str) -> bytes:
        command = f"cat {shlex.quote(folder)}/{OUTPUTS}"
        return self._run("fetch the outputs", command, timeout_s=COPY_S)

    def boot_id(self) -> str:
        """What the board's kernel calls itself since it was started; "" where it tells nothing."""
        out = self._run("ask which machine it is", f"cat {BOOT_ID} || true")
        *_, said = out.decode(errors="replace").split() or [""]
        return said if re.fullmatch(r"[0-9a-f-]{36}", said) else ""

    def temperature(self) -> float | None:
        """Of its hottest part, degrees Celsius; None where it tells none."""
        out = self._run("read its temperature", f"cat {THERMAL} 2>/dev/null || true")
        words = out.decode(errors="replace").split()
        return hottest(int(word) / 1000 for word in words if re.fullmatch(r"-?\d{1,7}", word))

    def version(self) -> str:
        """What its own kit says it is."""
        return tail(self._run("ask for its version", f"{REMOTE_COMMAND} --version"))

    def stop(self, folder: str) -> None:
        """End its measurement, which outlives the connection; what fails here is no failure."""
        note = f"{shlex.quote(folder)}/{RUNNING}"
        waits = f'for i in $(seq {STOPS_WITHIN_S}); do kill -0 "$p" || break; sleep 1; done'
        with suppress(RemoteError):
            self._run("stop it", f'p=$(cat {note}) && kill -INT "$p" && {waits}; true')

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
            raise Unreachable(f"{self.host}: no connection: {tail(error)}")
        if code == EXIT_NOT_FOUND:
            raise RemoteError(
                f"{self.host}: {what}: {tail(error)}; install the kit there (from a checkout: "
                "pip wheel . --no-deps; copy the wheel and pip install it), and see that a shell "
                f"without a terminal finds {REMOTE_COMMAND}: sudo ln -s ENVIRONMENT/bin/"
                f"{REMOTE_COMMAND} /usr/local/bin/{REMOTE_COMMAND}"
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
