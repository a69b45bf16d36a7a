"""Phones over adb, with the benchmark activity of the sample app (contract: docs/android.md).

The app measures and writes the kit's own result format; this end pushes the model, starts the
activity without the screen being touched, and reads the result back.
"""

import os
import re
import shlex
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from asmnet_kit.base.errors import UsageError
from asmnet_kit.benchmarks.protocol import Measurement, OnProgress, Request
from asmnet_kit.benchmarks.targets.android_binary import OPTION as BINARY_OPTION
from asmnet_kit.benchmarks.targets.android_binary import measure_with_binary
from asmnet_kit.benchmarks.targets.remote import (
    INPUTS_S,
    Answer,
    RemoteError,
    RemoteTarget,
    SentModel,
    run_tool,
    tail,
)
from asmnet_kit.tflite.tensorfile import SUFFIX

PROGRAM = "adb"
ENVIRONMENT = "ADB"
PACKAGE = "org.asmnetkit.demo"
ACTIVITY = f"{PACKAGE}/.BenchmarkActivity"
FILES = f"/sdcard/Android/data/{PACKAGE}/files"
MODELS, INPUTS, RESULTS = f"{FILES}/models", f"{FILES}/inputs", f"{FILES}/benchmarks"
GPU_PRECISION = "gpu_precision"
BINARY_TAKES = ("--no-xnnpack",)  # of what the app does not
INSTALL = "adb install -r build/android/asmnet-kit-demo.apk (make android builds it)"

COMMAND_TIMEOUT_S = 60.0
PUSH_TIMEOUT_S = 300.0
START_S = 60.0  # from the start of the activity to the first run, the GPU's shaders included
POLL_S = 0.5
SERIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
STATES = {
    "unauthorized": "allow USB debugging on its screen",
    "offline": "plug it in again, or: adb reconnect",
    "no permissions": "allow the user to use it (udev rules), then: adb kill-server",
}


@dataclass(frozen=True)
class AndroidTarget(RemoteTarget):
    """``--target android`` (CPU), ``android:gpu`` and ``android:nnapi``."""

    delegate: str

    def problem(self, request: Request | None = None) -> str | None:
        if _adb() is None:
            return f"{PROGRAM} is not on the PATH; sudo apt-get install adb, or set ${ENVIRONMENT}"
        return None

    def refuse(self, request: Request) -> None:
        """Refuse what neither the app nor the program can do, as ``refuse_request`` asks.

        Raises:
            UsageError: naming the options and what to do.
        """
        with_program = BINARY_OPTION in request.options
        asked = {
            "--sustained": request.sustained_minutes > 0,
            "--profile": request.profile,
            "--single-stream": request.mode == "single-stream",
        }
        if not with_program:
            asked["--no-xnnpack"] = not request.xnnpack
        else:
            asked["--inputs"] = request.inputs is not None
        given = [option for option, is_asked in asked.items() if is_asked]
        if not given:
            return
        who = BINARY_OPTION if with_program else "the app on the phone"
        taken = [option for option in given if option in BINARY_TAKES]
        other = f"; --benchmark-model PATH takes {' and '.join(taken)}" if taken else ""
        raise UsageError(
            f"target {self.name}: {who} has no {', '.join(given)}: "
            f"leave {'it' if len(given) == 1 else 'them'} out{other}"
        )

    def measure(self, request: Request, on_progress: OnProgress) -> Measurement:
        self.refuse(request)
        if BINARY_OPTION in request.options:
            phone = Phone.choose(request.device)
            return measure_with_binary(phone, request, self.delegate, on_progress)
        return super().measure(request, on_progress)

    def run_there(self, request: Request, model: SentModel, on_progress: OnProgress) -> Answer:
        phone = Phone.choose(request.device)
        phone.require_app()
        run = AppRun(f"kit-{uuid.uuid4().hex[:16]}", model.name)
        on_progress(0.0, f"push to {phone.serial}")
        try:
            phone.push(request, run)
            phone.start(request, run, delegate=self.delegate)
            result = phone.wait(request, run, on_progress)
            return Answer(
                device=phone.serial,
                proof=f"measured on {phone.serial} by {PACKAGE} over adb",
                result=result,
                outputs=phone.read_outputs(run) if request.inputs is not None else b"",
                run_id=run.run_id,
            )
        finally:
            phone.remove(run)


ANDROID = AndroidTarget("android", "cpu")
ANDROID_GPU = AndroidTarget("android:gpu", "gpu")
ANDROID_NNAPI = AndroidTarget("android:nnapi", "nnapi")


@dataclass(frozen=True)
class AppRun:
    """One run of the app's benchmark activity, and the files that it reads and writes."""

    run_id: str
    model_name: str

    @property
    def model(self) -> str:
        return f"{MODELS}/{self.model_name}"

    @property
    def inputs(self) -> str:
        return f"{INPUTS}/{self.run_id}{SUFFIX}"

    @property
    def result(self) -> str:
        return f"{RESULTS}/{self.run_id}.json"

    @property
    def error(self) -> str:
        return f"{RESULTS}/{self.run_id}.error.json"

    @property
    def outputs(self) -> str:
        return f"{RESULTS}/{self.run_id}{SUFFIX}"


@dataclass(frozen=True)
class Phone:
    """One phone; every method may raise ``RemoteError``."""

    adb: str
    serial: str

    @classmethod
    def choose(cls, serial: str) -> "Phone":
        """The phone of that serial number, or the only one."""
        adb = _adb()
        if adb is None:
            raise RemoteError(f"{PROGRAM} is not on the PATH")
        out, error, code = run_tool(
            [adb, "devices"], timeout_s=COMMAND_TIMEOUT_S, what="adb devices"
        )
        if code:
            raise RemoteError(f"adb devices failed: {tail(out, error)}")
        found = parse_devices(out.decode(errors="replace"))
        if serial and serial not in found:
            raise RemoteError(f"expected a phone {serial!r}, adb sees {', '.join(found) or 'none'}")
        ready = [name for name, state in found.items() if state == "device"]
        if not serial and len(ready) > 1:
            raise RemoteError(f"choose with --device one or more of {', '.join(ready)}")
        chosen = serial or next(iter(ready or found), "")
        if not chosen:
            raise RemoteError("adb sees no phone: plug one in and allow USB debugging")
        state = found[chosen]
        if state != "device":
            cure = next((c for s, c in STATES.items() if state.startswith(s)), "adb reconnect")
            raise RemoteError(f"the phone {chosen} is {state}: {cure}")
        return cls(adb, chosen)

    def require_app(self) -> None:
        out, error, _ = self._adb("shell", "pm", "path", PACKAGE, what="look for the app")
        if not out.strip().startswith(b"package:"):
            raise RemoteError(
                f"{self.serial}: the app {PACKAGE} is not installed ({tail(out, error)}); {INSTALL}"
            )

    def push(self, request: Request, run: AppRun) -> None:
        self.shell("mkdir", "-p", MODELS, what="make the models' folder")
        self.send(request.model, run.model, what="push the model")
        if request.inputs is not None:
            self.shell("mkdir", "-p", INPUTS, what="make the inputs' folder")
            self.send(request.inputs, run.inputs, what="push the inputs")

    def send(self, path: Path, there: str, *, what: str) -> None:
        """Copy a file to the phone."""
        out, error, code = self._adb(
            "push", str(path.absolute()), there, what=what, timeout_s=PUSH_TIMEOUT_S
        )
        if code:
            raise RemoteError(f"{self.serial}: {what}: it was not taken: {tail(out, error)}")

    def discard(self, folder: str) -> None:
        """Remove a folder; what fails here is no failure of the measurement."""
        try:
            self.shell("rm", "-rf", folder, what="tidy up")
        except RemoteError:
            return

    def start(self, request: Request, run: AppRun, *, delegate: str) -> None:
        words = ["am", "start", "-S", "-W", "-n", ACTIVITY]
        words += ["--es", "run_id", run.run_id, "--es", "model", run.model_name]
        words += ["--es", "delegate", delegate]
        words += ["--ei", "threads", str(request.threads)]
        words += ["--ei", "warmup", str(request.warmup_runs), "--ei", "runs", str(request.runs)]
        words += ["--ef", "seconds", f"{request.min_seconds:g}"]
        words += ["--ef", "max_seconds", f"{request.max_seconds:g}"]
        if delegate == "gpu" and GPU_PRECISION in request.options:
            words += ["--es", GPU_PRECISION, request.options[GPU_PRECISION]]
        if request.inputs is not None:
            words += ["--es", "inputs", run.inputs.rpartition("/")[2]]
        out, error, code = self.shell(*words, what="start the benchmark")
        said = tail(out, error)
        if code or "Error" in said or "Exception" in said:
            raise RemoteError(f"{self.serial}: the benchmark did not start: {said}")

    def wait(self, request: Request, run: AppRun, on_progress: OnProgress) -> bytes:
        """Poll until the app has written the result or an error; its bytes."""
        runs_s = 2 * request.max_seconds  # the limit is one of the warm-up, too
        limit = START_S + runs_s + (0 if request.inputs is None else INPUTS_S)
        started = time.monotonic()
        while True:
            result = self._read(run.result)
            if result is not None:
                return result
            failed = self._read(run.error)
            if failed is not None:
                raise RemoteError(f"{self.serial}: the app failed: {tail(failed)}")
            elapsed = time.monotonic() - started
            if elapsed > limit:
                raise RemoteError(
                    f"{self.serial}: no result within {limit:.0f} s; keep the screen unlocked and "
                    f"look at: adb -s {self.serial} logcat -s asmnet-kit"
                )
            on_progress(min(0.99, elapsed / limit), f"runs on {self.serial}")
            time.sleep(POLL_S)

    def read_outputs(self, run: AppRun) -> bytes:
        """The raw outputs; the app writes them before the result."""
        outputs = self._read(run.outputs, what="read the outputs", timeout_s=PUSH_TIMEOUT_S)
        if outputs is None:
            raise RemoteError(
                f"{self.serial}: the app measured and wrote no outputs: it is of a version that "
                f"takes no inputs; {INSTALL}"
            )
        return outputs

    def remove(self, run: AppRun) -> None:
        """Tidy up; what fails here is no failure of the measurement."""
        files = [run.model, run.inputs, run.result, run.error, run.outputs]
        try:
            self.shell("rm", "-f", *files, what="tidy up")
        except RemoteError:
            return

    def _read(
        self, path: str, *, what: str = "read the result", timeout_s: float = COMMAND_TIMEOUT_S
    ) -> bytes | None:
        """A file of the app's, or None while it is not there. It appears whole or not at all."""
        out, _, code = self._adb("exec-out", "cat", path, what=what, timeout_s=timeout_s)
        # Old versions of adb give 0 for a missing file and cat's complaint on stdout.
        return out if code == 0 and out.lstrip().startswith(b"{") else None

    def shell(self, *words: str, what: str) -> tuple[bytes, str, int]:
        """Run a program of the phone's: its stdout, its stderr and its exit code."""
        return self.run_line(" ".join(map(shlex.quote, words)), what=what)

    def run_line(
        self, line: str, *, what: str, timeout_s: float = COMMAND_TIMEOUT_S
    ) -> tuple[bytes, str, int]:
        """The same with a line for the phone's shell."""
        return self._adb("shell", line, what=what, timeout_s=timeout_s)

    def _adb(
        self, *words: str, what: str, timeout_s: float = COMMAND_TIMEOUT_S
    ) -> tuple[bytes, str, int]:
        arguments = [self.adb, "-s", self.serial, *words]
        return run_tool(arguments, timeout_s=timeout_s, what=f"{self.serial}: {what}")


def parse_devices(text: str) -> dict[str, str]:
    """``adb devices``: serial -> state. Lines of another form (the daemon's) are left out."""
    found = {}
    for line in text.splitlines():
        serial, tab, state = line.partition("\t")
        if tab and SERIAL.fullmatch(serial) and state.strip():
            found[serial] = state.strip()
    return found


def _adb() -> str | None:
    return shutil.which(os.environ.get(ENVIRONMENT) or PROGRAM)
