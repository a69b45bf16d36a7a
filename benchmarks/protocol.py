"""What a target is asked, what it can do, and what it must offer."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from asmnet_kit.base.errors import KitError, UsageError
from asmnet_kit.benchmarks.options import Option
from asmnet_kit.results.results import fell_back

if TYPE_CHECKING:  # at run time it would bring OpenCV into the measured memory
    from asmnet_kit.face.predictor import Predictor


MODES = ("standard", "single-stream")
PATHS = ("model", "inputs", "outputs")  # of a request
LISTS = ("affinity", "input_shape")

# One run of the slowest model on the slowest board takes seconds, loading it some tens of seconds.
PATIENCE_S = 120.0

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
        options: by name, of those that the target declares in its ``abilities``.
        inputs: file of raw inputs (``asmnet_kit.tflite.tensorfile``), each of which the model that
            was measured runs once, after the timed runs; None for none.
        outputs: where the raw outputs of ``inputs`` go, in their order; None without inputs.
        accuracy: its accuracy on a data set is measured afterwards, by ``Target.predictor``.
        max_parity: how far the landmarks may be from those of this machine's CPU, pixels of the
            crop; of a model without landmarks each output, in the unit of its scale. None for what
            the output's scale and the target's arithmetic allow.
        adapter: of a landmark model that the kit did not make: a built-in one's name or a path;
            None for a model of the kit, or any that is only timed.
        input_shape: height and width of an input whose size the file leaves open; () where it does
            not. A target gets a copy of that size as its ``model``, and () here.
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
    accuracy: bool = False
    adapter: str | None = None
    input_shape: tuple[int, ...] = ()
    max_parity: float | None = None

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
            raise UsageError("expected --inputs and --outputs together, got one of them")

    def to_json(self) -> dict[str, Any]:
        content = asdict(self)
        paths = {name: content[name] and str(content[name]) for name in PATHS}
        return {**content, **paths, "options": dict(self.options)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Request":
        paths = {name: content[name] and Path(content[name]) for name in PATHS}
        lists = {name: tuple(content[name]) for name in LISTS}
        return cls(**{**content, **paths, **lists})


class TargetError(KitError):
    """The requested target did not run the model."""


class WrongNumbers(KitError):
    """What was measured cannot be right: outputs, times, or the file that they are of."""


class RemoteError(KitError):
    """The other machine, or the way to it, failed."""


class Unreachable(RemoteError):
    """The other machine is gone, did not answer in time, or the way to it broke: try again."""


@dataclass(frozen=True)
class Measurement:
    """What came out, in the shapes of the result file's keys of the same names.

    Attributes:
        target: without what the runner adds: ``requested``, ``accelerator`` and ``options``.
        machine: facts of the machine the model ran on.
        sustained: the curve of a sustained run, or None.
        output_check: the outputs of timed runs beside the CPU's; None where they were not compared.
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
    output_check: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Abilities:
    """What a target can do, and what the kit must know of it; a request of more is refused.

    Attributes:
        accelerator: what it measures is no CPU: when ``actual`` says that a CPU ran the model, the
            measurement failed.
        uses_threads: it computes on CPU threads, whose number matters (``--threads``).
        has_devices: there may be several of it (``--device``), each of which is measured.
        takes_affinity: its process can be held to CPUs (``--affinity``).
        has_profiler: it can tell the time of each operator (``--profile``).
        has_xnnpack: it runs XNNPACK's kernels and can do without (``--no-xnnpack``).
        rounds_differently: its arithmetic is not the CPU's: outputs that are the CPU's to the last
            bit are warned of.
        elsewhere: it is on another machine. Several devices are then measured side by side, and
            nothing need be heard of it during the runs.
        options: of its own, which the user gives by a flag or by ``--option NAME=VALUE``.
        patience_s: seconds. Its worker is taken to hang when it has told no progress for so long;
            where the target is ``elsewhere``, for so long beside the runs.
        inputs_patience_s: seconds more, for running a file of inputs without telling progress.
        crash_hint: what to look at when its worker dies: a whole sentence, for the user.
    """

    accelerator: bool = True
    uses_threads: bool = False
    has_devices: bool = False
    takes_affinity: bool = False
    has_profiler: bool = False
    has_xnnpack: bool = False
    rounds_differently: bool = False
    elsewhere: bool = False
    options: tuple[Option, ...] = ()
    patience_s: float = PATIENCE_S
    inputs_patience_s: float = 0.0
    crash_hint: str = ""


class Target(Protocol):
    """A place to measure models on. ``measure`` and ``predictor`` run in a process of their own.

    A target may have ``refuse(request)``, too: it raises UsageError for a request of what the
    target has no way to do and ``abilities`` cannot say, before anything is measured
    (``refuse_request`` calls it); one that runs no ``inputs`` must have it. It may have
    ``check(request)``, too, a ``benchmarks.checking.check.Check``: what it can tell of a model
    without a device, for ``asmnet-kit check``. A target with devices may have these, each of which
    is asked of no more than a request's ``device`` (``benchmarks.devices`` calls them):
    ``takes_device(name)``, whether a device may be called so; ``machine_of(request)``, which
    machine it is, so that what shares one takes turns ("" is this machine);
    ``temperature(request)``, degrees Celsius or None; ``look(request)``, what was found there. The
    last three raise RemoteError where the device does not answer.
    """

    @property
    def name(self) -> str: ...

    @property
    def abilities(self) -> Abilities: ...

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
        """The model as a predictor that runs on this target, for measuring its accuracy.

        It may have ``crops_per_call``, the most that it predicts at once, and ``parity()``, a
        result's ``parity`` over all that it predicted (``targets/remote_predictor.py`` has both).
        """
        ...


def refuse_fallback(target: Target, request: Request, actual: str) -> None:
    """A model that a CPU ran in place of an accelerator is a failure.

    Args:
        actual: what ran it.

    Raises:
        TargetError: it did.
    """
    ran = {"requested": request.target, "actual": actual}
    if fell_back({**ran, "accelerator": target.abilities.accelerator}):
        raise TargetError(
            f"{request.model}: {request.target} was asked for, {actual} ran the model; "
            f"asmnet-kit doctor says what is missing"
        )
