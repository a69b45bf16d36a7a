"""Phones over adb, with the benchmark activity of the sample app (contract: docs/android.md).

The app measures and writes the kit's own result format; this end pushes the model, starts the
activity without the screen being touched, and reads the result back.
"""

import time
import uuid
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
    ENVIRONMENT,
    PROGRAM,
    PUSH_TIMEOUT_S,
    SERIAL,
    Phone,
    adb_program,
)
from asmnet_kit.benchmarks.targets.remote import (
    INPUTS_S,
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
FILES = f"/sdcard/Android/data/{PACKAGE}/files"
MODELS, INPUTS, RESULTS = f"{FILES}/models", f"{FILES}/inputs", f"{FILES}/benchmarks"
NPU = "npu"
BINARY_TAKES = ("--no-xnnpack",)  # of what the app does not
INSTALL = "adb install -r build/android/asmnet-kit-demo.apk (make android builds it)"

START_S = 60.0  # from the start of the activity to the first run, the GPU's shaders included
POLL_S = 0.5
EMULATOR = "emulator-"
OTHERS_DEVICES = ("usb:", "pci:")  # names of Edge TPUs


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
        raise RemoteError(f"{phone.serial}: the app {PACKAGE} is not installed ({said}); {INSTALL}")


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

    def push(self, request: Request) -> None:
        self.phone.shell("mkdir", "-p", MODELS, what="make the models' folder")
        self.phone.send(request.model, self.model, what="push the model")
        if request.inputs is not None:
            self.phone.shell("mkdir", "-p", INPUTS, what="make the inputs' folder")
            self.phone.send(request.inputs, self.inputs, what="push the inputs")

    def start(self, request: Request, *, delegate: str) -> None:
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
        """Poll until the app has written the result or an error; the result's bytes."""
        serial = self.phone.serial
        runs_s = 2 * request.max_seconds  # the limit is one of the warm-up, too
        limit = START_S + runs_s + (0 if request.inputs is None else INPUTS_S)
        started = time.monotonic()
        while True:
            result = self.phone.read(self.result, what="read the result")
            if result is not None:
                return result
            failed = self.phone.read(self.error, what="read the result")
            if failed is not None:
                raise RemoteError(f"{serial}: the app failed: {tail(failed)}")
            elapsed = time.monotonic() - started
            if elapsed > limit:
                raise Unreachable(
                    f"{serial}: no result within {limit:.0f} s; keep the screen unlocked and "
                    f"look at: adb -s {serial} logcat -s asmnet-kit"
                )
            on_progress(min(0.99, elapsed / limit), f"runs on {serial}")
            time.sleep(POLL_S)

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
