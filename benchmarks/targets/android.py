"""Phones over adb, with the benchmark activity of the sample app (contract: docs/android.md).

The app measures and writes the kit's own result format; this end pushes the model, starts the
activity without the screen being touched, and reads the result back.

Files go to the phone through /data/local/tmp, where adb may always write and the app may read. The
app's own folder below /sdcard/Android/data is its own: some phones refuse adb to push there, and a
folder that adb makes before the app first runs belongs to the wrong user.
"""

import base64
import binascii
import math
import re
import shlex
import time
import uuid
import zlib
from contextlib import suppress
from dataclasses import dataclass

from asmnet_kit.base.errors import UsageError
from asmnet_kit.benchmarks.options import BENCHMARK_MODEL, GPU_PRECISION, NPU_LIBRARIES, Option
from asmnet_kit.benchmarks.protocol import (
    Abilities,
    Measurement,
    OnProgress,
    RemoteError,
    Request,
    Unreachable,
)
from asmnet_kit.benchmarks.targets.android_binary import measure_with_binary
from asmnet_kit.benchmarks.targets.phone import (
    COMMAND_TIMEOUT_S,
    ENVIRONMENT,
    PROGRAM,
    PUSH_TIMEOUT_S,
    SERIAL,
    Phone,
    adb_program,
)
from asmnet_kit.benchmarks.targets.remote import (
    INPUTS_S,
    MAX_RESULT_BYTES,
    REMOTE_INPUTS_S,
    REMOTE_PATIENCE_S,
    Answer,
    RemoteTarget,
    SentModel,
    tail,
)
from asmnet_kit.tflite.tensorfile import SUFFIX

PACKAGE = "org.asmnetkit.demo"
ACTIVITY = f"{PACKAGE}/.BenchmarkActivity"
PUSHED = "/data/local/tmp/asmnet-kit"  # Models.pushFolder of the app
RESULTS = f"/sdcard/Android/data/{PACKAGE}/files/benchmarks"
LONGEST_SECONDS = 3600.0  # of the app, as its BenchmarkRequest has it
NPU = "npu"
BINARY_TAKES = ("--no-xnnpack",)  # of what the app does not
INSTALL = "adb install -r build/android/asmnet-kit-demo.apk (make android builds it)"

START_S = 60.0  # from the start of the activity to the first run, the GPU's shaders included
EMULATOR = "emulator-"
OTHERS_DEVICES = ("usb:", "pci:")  # names of Edge TPUs
FRAME = re.compile(r"(\d{1,4})/(\d{1,4}) ([A-Za-z0-9+/=]+)\s*")  # of a result in the phone's log
WAIT_S = 20.0  # one command on the phone waits so long; in between this end tells the progress


@dataclass(frozen=True)
class AndroidTarget(RemoteTarget):
    """``--target android`` (CPU), ``android:gpu``, ``android:nnapi`` and ``android:npu``."""

    delegate: str

    def problem(self, request: Request | None = None) -> str | None:
        if adb_program() is None:
            return f"{PROGRAM} is not on the PATH; sudo apt-get install adb, or set ${ENVIRONMENT}"
        return None

    def refuse(self, request: Request) -> None:
        """Refuse what neither the app nor the program can do, as ``refuse_request`` asks.

        Raises:
            UsageError: naming the options and what to do.
        """
        with_program = BENCHMARK_MODEL.name in request.options
        asked = {
            "--sustained": request.sustained_minutes > 0,
            "--profile": request.profile,
            "--single-stream": request.mode == "single-stream",
        }
        if self.delegate == NPU and not with_program:
            raise UsageError(
                f"target {self.name}: the app has no NPU: give LiteRT's own program as "
                f"--benchmark-model PATH, and --npu-libraries DIR"
            )
        if not with_program:
            asked["--no-xnnpack"] = not request.xnnpack
            if request.max_seconds > LONGEST_SECONDS:
                raise UsageError(
                    f"target {self.name}: expected --max-seconds of at most {LONGEST_SECONDS:g}, "
                    f"which is what the app takes, got {request.max_seconds:g}"
                )
        else:
            asked["--inputs"] = request.inputs is not None
            asked["--data"] = request.accuracy
        given = [option for option, is_asked in asked.items() if is_asked]
        if not given:
            return
        who = BENCHMARK_MODEL.name if with_program else "the app on the phone"
        taken = [option for option in given if option in BINARY_TAKES]
        other = f"; --benchmark-model PATH takes {' and '.join(taken)}" if taken else ""
        raise UsageError(
            f"target {self.name}: {who} has no {', '.join(given)}: "
            f"leave {'it' if len(given) == 1 else 'them'} out{other}"
        )

    def measure(self, request: Request, on_progress: OnProgress) -> Measurement:
        self.refuse(request)
        if BENCHMARK_MODEL.name in request.options:
            phone = Phone.choose(request.device)
            return measure_with_binary(phone, request, self.delegate, on_progress)
        return super().measure(request, on_progress)

    def run_there(self, request: Request, model: SentModel, on_progress: OnProgress) -> Answer:
        phone = Phone.choose(request.device)
        require_app(phone)
        run = AppRun(phone, f"kit-{uuid.uuid4().hex[:16]}", model.name)
        on_progress(0.0, f"push to {phone.serial}")
        try:
            run.push(request)
            run.start(request, delegate=self.delegate)
            result = run.wait(request, on_progress)
            return Answer(
                device=phone.serial,
                proof=f"measured on {phone.serial} by {PACKAGE} over adb",
                result=result,
                outputs=run.read_outputs() if request.inputs is not None else b"",
                run_id=run.run_id,
            )
        except BaseException:
            run.stop()
            raise
        finally:
            run.remove()

    def takes_device(self, name: str) -> bool:
        """As ``Target`` has it: user@host is a board's, usb:0 an Edge TPU's."""
        return bool(SERIAL.fullmatch(name)) and not name.startswith(OTHERS_DEVICES)

    def machine_of(self, request: Request) -> str:
        """As ``Target`` has it; the emulator runs on this machine's CPU.

        Raises:
            RemoteError: there is no such phone.
        """
        phone = Phone.choose(request.device)
        return "" if phone.serial.startswith(EMULATOR) else f"phone {phone.hardware()}"

    def temperature(self, request: Request) -> float | None:
        """As ``Target`` has it.

        Raises:
            RemoteError: there is no such phone, or it is gone.
        """
        return Phone.choose(request.device).temperature()

    def look(self, request: Request) -> str:
        """As ``Target`` has it.

        Raises:
            RemoteError: there is no such phone, or it has no app.
        """
        phone = Phone.choose(request.device)
        if BENCHMARK_MODEL.name in request.options:
            return f"{phone.serial} over adb"
        require_app(phone)
        return f"{phone.serial} over adb, with the app"


def _abilities(*options: Option, accelerator: bool) -> Abilities:
    """Of phones: the app has CPU threads for what an accelerator leaves to the CPU."""
    return Abilities(
        accelerator=accelerator,
        uses_threads=True,
        has_devices=True,
        has_xnnpack=True,
        rounds_differently=GPU_PRECISION in options,
        elsewhere=True,
        options=(*options, BENCHMARK_MODEL),
        patience_s=REMOTE_PATIENCE_S,
        inputs_patience_s=REMOTE_INPUTS_S,
    )


ANDROID = AndroidTarget("android", _abilities(accelerator=False), "cpu")
ANDROID_GPU = AndroidTarget("android:gpu", _abilities(GPU_PRECISION, accelerator=True), "gpu")
ANDROID_NNAPI = AndroidTarget("android:nnapi", _abilities(accelerator=True), "nnapi")
ANDROID_NPU = AndroidTarget("android:npu", _abilities(NPU_LIBRARIES, accelerator=True), NPU)


def require_app(phone: Phone) -> None:
    """
    Raises:
        RemoteError: the app is not installed on the phone.
    """
    found, said = phone.has_app(PACKAGE)
    if not found:
        raise RemoteError(
            f"{phone.serial}: the app {PACKAGE} is not installed (pm path said {said}); {INSTALL}"
        )


def unframed(log: str, run_id: str) -> bytes | None:
    """A result that the app wrote into a log in pieces (LogFrames.kt); None without all of them."""
    pieces: dict[int, str] = {}
    count = 0
    for line in log.splitlines():
        piece = FRAME.fullmatch(line.partition(f"{run_id} result ")[2])
        if piece:
            pieces[int(piece[1])], count = piece[3], int(piece[2])
    if not count or set(pieces) != set(range(1, count + 1)):
        return None
    try:
        packed = base64.b64decode("".join(pieces[n] for n in range(1, count + 1)), validate=True)
        unpacking = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        content = unpacking.decompress(packed, MAX_RESULT_BYTES)
    except (binascii.Error, zlib.error):  # another line came between
        return None
    return content if unpacking.eof else None


@dataclass(frozen=True)
class AppRun:
    """One run of the app's benchmark activity, and the files that it reads and writes.

    Every method but ``remove`` may raise ``RemoteError``.
    """

    phone: Phone
    run_id: str
    model_name: str

    @property
    def model(self) -> str:
        return f"{PUSHED}/{self.model_name}"

    @property
    def inputs(self) -> str:
        return f"{PUSHED}/{self.run_id}{SUFFIX}"

    @property
    def result(self) -> str:
        return f"{RESULTS}/{self.run_id}.json"

    @property
    def error(self) -> str:
        return f"{RESULTS}/{self.run_id}.error.json"

    @property
    def outputs(self) -> str:
        return f"{RESULTS}/{self.run_id}{SUFFIX}"

    def push(self, request: Request) -> None:
        self._shell("mkdir", "-p", PUSHED, what="make a folder")
        self._shell("chmod", "755", PUSHED, what="let the app into the folder")
        self.phone.send(request.model, self.model, what="push the model")
        pushed = [self.model]
        if request.inputs is not None:
            self.phone.send(request.inputs, self.inputs, what="push the inputs")
            pushed.append(self.inputs)
        self._shell("chmod", "644", *pushed, what="let the app read the files")

    def _shell(self, *words: str, what: str) -> None:
        out, error, code = self.phone.shell(*words, what=what)
        if code:
            raise RemoteError(
                f"{self.phone.serial}: {what}: {tail(out, error)}; "
                f"try: adb -s {self.phone.serial} shell {' '.join(map(shlex.quote, words))}"
            )

    def start(self, request: Request, *, delegate: str) -> None:
        # An activity that starts on a dark screen may be stopped again, which ends its measurement.
        self.phone.shell("input", "keyevent", "KEYCODE_WAKEUP", what="wake the screen")
        words = ["am", "start", "-S", "-W", "-n", ACTIVITY]
        words += ["--es", "run_id", self.run_id, "--es", "model", self.model_name]
        words += ["--es", "delegate", delegate]
        words += ["--ei", "threads", str(request.threads)]
        words += ["--ei", "warmup", str(request.warmup_runs), "--ei", "runs", str(request.runs)]
        words += ["--ef", "seconds", f"{request.min_seconds:g}"]
        words += ["--ef", "max_seconds", f"{request.max_seconds:g}"]
        if GPU_PRECISION.name in request.options:
            words += ["--es", GPU_PRECISION.name, request.options[GPU_PRECISION.name]]
        if request.inputs is not None:
            words += ["--es", "inputs", self.inputs.rpartition("/")[2]]
        out, error, code = self.phone.shell(*words, what="start the benchmark")
        said = tail(out, error)
        if code or "Error" in said or "Exception" in said:
            raise RemoteError(f"{self.phone.serial}: the benchmark did not start: {said}")

    def wait(self, request: Request, on_progress: OnProgress) -> bytes:
        """Wait until the app has written the result or an error; the result's bytes.

        The phone itself waits, in one command: every question from here would start programs
        there, beside the runs that are timed.
        """
        serial = self.phone.serial
        runs_s = 2 * request.max_seconds  # the limit is one of the warm-up, too
        limit = START_S + runs_s + (0 if request.inputs is None else INPUTS_S)
        started = time.monotonic()
        quiet_s = request.min_seconds  # no result can come before
        while True:
            elapsed = time.monotonic() - started
            self._wait_there(min(quiet_s, WAIT_S), min(WAIT_S, max(limit - elapsed, 0)))
            quiet_s = max(quiet_s - WAIT_S, 0)
            result = self.phone.read(self.result, what="read the result")
            if result is not None:
                return result
            failed = self.phone.read(self.error, what="read the result")
            if failed is not None:
                raise RemoteError(f"{serial}: the app failed: {tail(failed)}")
            logged = self._logged_result()
            if logged is not None:
                return logged
            elapsed = time.monotonic() - started
            if elapsed > limit:
                raise Unreachable(
                    f"{serial}: no result within {limit:.0f} s; keep the screen unlocked and "
                    f"look at: adb -s {serial} logcat -s asmnet-kit{self._last_words()}"
                )
            on_progress(min(0.99, elapsed / limit), f"runs on {serial}")

    def _wait_there(self, quiet_s: float, most_s: float) -> None:
        """Sleep on the phone, then look once a second for a file, for ``most_s`` in all."""
        quiet, most = math.ceil(quiet_s), math.ceil(most_s)
        line = (
            f"sleep {quiet}; left={max(most - quiet, 0)}; "
            f"until [ -e {self.result} ] || [ -e {self.error} ] || [ $left -le 0 ]; "
            f"do sleep 1; left=$((left-1)); done"
        )
        self.phone.run_line(line, what="wait for the result", timeout_s=WAIT_S + COMMAND_TIMEOUT_S)

    def _logged_result(self) -> bytes | None:
        """The result from the phone's log, where the app puts it, too: some phones keep the folders
        of apps from adb."""
        out, _, _ = self.phone.shell("logcat", "-d", "-s", "asmnet-kit", what="read the log")
        return unframed(out.decode(errors="replace"), self.run_id)

    def _last_words(self) -> str:
        """What the app said of this run in the phone's log, in a message."""
        out, _, _ = self.phone.shell("logcat", "-d", "-s", "asmnet-kit", what="read the log")
        lines = [line for line in out.decode(errors="replace").splitlines() if self.run_id in line]
        return f" (it ends: {tail(lines[-1])})" if lines else ""

    def read_outputs(self) -> bytes:
        """The raw outputs; the app writes them before the result."""
        outputs = self.phone.read(self.outputs, what="read the outputs", timeout_s=PUSH_TIMEOUT_S)
        if outputs is None:
            raise RemoteError(
                f"{self.phone.serial}: the app measured and wrote no outputs: it is of a version "
                f"that takes no inputs; {INSTALL}"
            )
        return outputs

    def stop(self) -> None:
        """End the app, which may still be measuring; what fails here is no failure."""
        with suppress(RemoteError):
            self.phone.shell("am", "force-stop", PACKAGE, what="stop the app")

    def remove(self) -> None:
        """Tidy up; what fails here is no failure of the measurement."""
        self.phone.discard(self.model, self.inputs, self.result, self.error, self.outputs)
