"""What a target is asked and what it must offer."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from asmnet_kit.base.errors import KitError, UsageError
from asmnet_kit.results.results import fell_back

if TYPE_CHECKING:  # at run time it would bring OpenCV into the measured memory
    from asmnet_kit.face.predictor import Predictor


# Targets for which CPU threads are not what counts; a phone's app has some for what its GPU leaves.
WITHOUT_THREADS = ("gpu", "edgetpu", "linux:gpu", "linux:edgetpu")
MODES = ("standard", "single-stream")
PATHS = ("model", "inputs", "outputs")  # of a request

# What a single kind of targets follows; the command line has each with dashes.
OPTIONS = {
    "gpu_precision": "gpu",
    "edgetpu_compiler": "edgetpu",
    "edgetpu_library": "edgetpu",
    "edgetpu_model": "edgetpu",
    "benchmark_model": "android",
    "runtime": "cpu",
}

# Called now and then while a model is measured: share done (0..1) and what is being done.
OnProgress = Callable[[float, str], None]


@dataclass(frozen=True)
class Request:
    """What to measure and how.

    Attributes:
        model: path of the .tflite file.
        target: name of the target.
        threads: of the kernels.
        warmup_runs: at least this many runs before the timed ones.
        runs: at least this many timed runs.
        min_seconds: timed runs go on at least this long.
        max_seconds: after this long the timed runs stop, whatever their number.
        xnnpack: let the CPU use the XNNPACK delegate.
        mode: ``standard`` or ``single-stream`` (MLPerf Mobile's: one query after the other).
        sustained_minutes: run on for this long after the timed runs; 0 for not at all.
        profile: measure the time of each operator, where the target can.
        device: which one of several: ``usb:0`` or ``pci:0`` (edgetpu), a serial number (android),
            ``user@host`` (linux); empty for the only one.
        affinity: numbers of the CPUs that the process is held to (cpu); empty for any.
        options: what a single target understands, by name.
        inputs: file of raw inputs (``asmnet_kit.tflite.tensorfile``), each of which the model that
            was measured runs once, after the timed runs; None for none.
        outputs: where the raw outputs of ``inputs`` go, in their order; None without inputs.
    """

    model: Path
    target: str = "cpu"
    threads: int = 1
    warmup_runs: int = 20
    runs: int = 200
    min_seconds: float = 2.0
    max_seconds: float = 300.0
    xnnpack: bool = True
    mode: str = "standard"
    sustained_minutes: float = 0.0
    profile: bool = False
    device: str = ""
    affinity: tuple[int, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    inputs: Path | None = None
    outputs: Path | None = None

    def __post_init__(self) -> None:
        if self.threads < 1 or self.runs < 1 or self.warmup_runs < 0:
            raise UsageError(
                f"expected threads >= 1, runs >= 1 and warmup >= 0, got {self.threads}, "
                f"{self.runs} and {self.warmup_runs}"
            )
        if self.mode not in MODES or self.sustained_minutes < 0:
            raise UsageError(
                f"expected a mode of {', '.join(MODES)} and minutes >= 0, got {self.mode!r} and "
                f"{self.sustained_minutes}"
            )
        if not 0 <= self.min_seconds <= self.max_seconds:
            raise UsageError(
                f"expected 0 <= seconds <= the limit of {self.max_seconds} s, "
                f"got {self.min_seconds} s"
            )
        if (self.inputs is None) != (self.outputs is None):
            raise UsageError("expected inputs and outputs together, got one of them")

    def to_json(self) -> dict[str, Any]:
        content = asdict(self)
        paths = {name: content[name] and str(content[name]) for name in PATHS}
        return {**content, **paths, "options": dict(self.options)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Request":
        paths = {name: content[name] and Path(content[name]) for name in PATHS}
        return cls(**{**content, **paths, "affinity": tuple(content["affinity"])})


class TargetError(KitError):
    """The requested target did not run the model."""


@dataclass(frozen=True)
class Measurement:
    """What came out, in the shapes of the result file's keys of the same names.

    Attributes:
        target: without ``requested``, which the runner adds.
        machine: facts of the machine the model ran on.
        sustained: the curve of a sustained run, or None.
        warnings: why the figures may not be trusted; ``notes``: what was not measured and why.
    """

    target: dict[str, Any]
    machine: dict[str, Any]
    runtime: dict[str, Any]
    protocol: dict[str, Any]
    timings_ms: dict[str, Any]
    memory: dict[str, Any]
    parity: dict[str, Any] | None = None
    profile: list[dict[str, Any]] | None = None
    sustained: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Target(Protocol):
    """A place to measure models on. ``measure`` runs in a process of its own.

    A target may have ``refuse(request)``, too: it raises UsageError for a request of what the
    target has no way to do, before anything is measured (``refuse_request`` calls it); one that
    runs no ``inputs`` must have it.
    """

    @property
    def name(self) -> str: ...

    def problem(self, request: Request | None = None) -> str | None:
        """Why it cannot work here and what to do about it, or None when it can.

        Args:
            request: what is to be measured, for what depends on the model or the device.
        """
        ...

    def measure(self, request: Request, on_progress: OnProgress) -> Measurement:
        """Measure a model.

        Raises:
            ModelError: the model cannot be loaded or run.
        """
        ...

    def predictor(self, request: Request) -> "Predictor":
        """The model as a predictor that runs on this target, for measuring its accuracy."""
        ...


def cpu_list(cpus: Sequence[int]) -> str:
    """Numbers of CPUs as ``--affinity`` takes them: ``0,2``."""
    return ",".join(map(str, cpus))


def protocol_words(request: Request, target: str) -> list[str]:
    """The options that ask for a request's threads, warm-up and number of runs.

    Args:
        target: of the command; a board's own name of it differs from the request's.
    """
    words = [] if target in WITHOUT_THREADS else ["--threads", str(request.threads)]
    words += ["--warmup", str(request.warmup_runs)]
    if request.mode == "single-stream":  # it sets the other two
        return [*words, "--single-stream"]
    return [*words, "--runs", str(request.runs), "--seconds", f"{request.min_seconds:g}"]


def option_words(request: Request, kinds: Sequence[str]) -> list[str]:
    """The options of ``request`` that targets of these kinds understand, for a command line."""
    words = []
    for name, kind in OPTIONS.items():
        if name in request.options and kind in kinds:
            words += [f"--{name.replace('_', '-')}", request.options[name]]
    return words


def refuse_cpu_options(request: Request) -> None:
    """Refuse what is about the CPU's kernels, for a target that runs none of them.

    Raises:
        UsageError: naming the options.
    """
    asked = {"--profile": request.profile, "--no-xnnpack": not request.xnnpack}
    given = [option for option, is_asked in asked.items() if is_asked]
    if given:
        raise UsageError(
            f"target {request.target}: it has no {' and '.join(given)}, which is about the CPU's "
            f"kernels: leave that out"
        )


def refuse_fallback(request: Request, actual: str) -> None:
    """A model that ran on another target than the requested one is a failure.

    Raises:
        TargetError: it did.
    """
    if fell_back(request.target, actual):
        raise TargetError(
            f"{request.model}: {request.target} was asked for, {actual} ran the model; "
            f"asmnet-kit doctor says what is missing"
        )
