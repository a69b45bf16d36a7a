"""What targets on other machines have in common: running a tool, and a result that came from afar.

Whatever comes back is checked before it is believed: JSON, schema, the model's own hash, the run,
and the file of raw outputs where inputs were sent.
"""

import hashlib
import re
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from asmnet_kit.base.console import clean
from asmnet_kit.base.files import write_bytes
from asmnet_kit.benchmarks.protocol import (
    PATIENCE_S,
    Abilities,
    Measurement,
    OnProgress,
    RemoteError,
    Request,
    Unreachable,
)
from asmnet_kit.benchmarks.timing.kit_code import code_digest
from asmnet_kit.results.results import check_result, parse_json
from asmnet_kit.tflite.tensorfile import unpack_tensors

if TYPE_CHECKING:  # at run time it would bring OpenCV into the measured memory
    from asmnet_kit.face.predictor import Predictor

MAX_RESULT_BYTES = 50_000_000  # a million raw samples and all facts stay far below
TAIL_CHARACTERS = 300
COLDEST_C, HOTTEST_C = -40.0, 150.0  # of what works; sensors that are not there tell others
INPUTS_S = 900.0  # running a file of inputs, beside the timed runs
COPY_S = 300.0  # a model, or a file of tensors, over a slow link

# Beside the runs: copying the model and starting Python or an app there; then a file of inputs and
# one of outputs.
REMOTE_PATIENCE_S = PATIENCE_S + 2 * COPY_S
REMOTE_INPUTS_S = INPUTS_S + 2 * COPY_S


def run_tool(
    arguments: list[str], *, timeout_s: float, stdin: bytes = b"", what: str
) -> tuple[bytes, str, int]:
    """Run a program of this machine that talks to another.

    Args:
        what: is being done, for messages.

    Returns:
        Its stdout, its stderr as text and its exit code.

    Raises:
        RemoteError: it is missing.
        Unreachable: it did not end in time.
    """
    try:
        done = subprocess.run(
            arguments, input=stdin, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Unreachable(f"{what}: no end within {timeout_s:.0f} s") from error
    except OSError as error:
        raise RemoteError(f"{what}: {arguments[0]} cannot be run: {error.strerror}") from error
    return done.stdout, done.stderr.decode(errors="replace").strip(), done.returncode


def hottest(readings: Iterable[float]) -> float | None:
    """The highest of some temperatures, degrees Celsius; None where none of them can be one."""
    return max((one for one in readings if COLDEST_C < one < HOTTEST_C), default=None)


def tail(*texts: str | bytes) -> str:
    """The end of what a program said, on one line, without what would move a terminal's cursor."""
    joined = " ".join(t.decode(errors="replace") if isinstance(t, bytes) else t for t in texts)
    return str(clean(" ".join(joined.split())[-TAIL_CHARACTERS:])) or "nothing"


def checked_result(content: bytes, *, sha256: str, where: str) -> dict[str, Any]:
    """A result file's bytes as a result of the model that was sent.

    Raises:
        RemoteError: it is no result, or one of another model.
    """
    if len(content) > MAX_RESULT_BYTES:
        raise RemoteError(f"{where}: expected a result, got {len(content)} bytes")
    try:
        result = check_result(parse_json(content), name=f"the result of {where}")
    except ValueError as error:
        raise RemoteError(
            f"{where}: expected a benchmark result in JSON, got {tail(content[:TAIL_CHARACTERS])!r}"
        ) from error
    if result["model"]["sha256"] != sha256:
        raise RemoteError(f"{where}: the result is of another model than the one that was sent")
    return result


@dataclass(frozen=True)
class SentModel:
    """A model on its way to another machine: a name that every file system takes, and its bytes."""

    name: str
    content: bytes

    @classmethod
    def of(cls, request: Request) -> "SentModel":
        return cls(safe_name(request.model.name), request.model.read_bytes())


def safe_name(name: str) -> str:
    """A file's name of nothing but ASCII letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)


@dataclass(frozen=True)
class Answer:
    """What another machine gave, not yet believed.

    Attributes:
        device: which machine.
        proof: how it was measured, before the other machine's own evidence.
        result: bytes of its result file.
        outputs: bytes of the file of raw outputs; empty where no inputs were sent.
        run_id: what the result must call its run; None where nothing else can have written it.
    """

    device: str
    proof: str
    result: bytes
    outputs: bytes = b""
    run_id: str | None = None


@dataclass(frozen=True)
class RemoteTarget(ABC):
    """A target on another machine.

    Attributes:
        name: what ``--target`` takes: ``MACHINE`` or ``MACHINE:KIND``.
    """

    name: str
    abilities: Abilities

    @abstractmethod
    def problem(self, request: Request | None = None) -> str | None:
        """As ``Target`` has it."""

    @abstractmethod
    def run_there(self, request: Request, model: SentModel, on_progress: OnProgress) -> Answer:
        """Send the model and the inputs, measure there and fetch what comes of it.

        Raises:
            RemoteError: the other machine, or the way to it, failed.
        """

    def measure(self, request: Request, on_progress: OnProgress) -> Measurement:
        """As ``Target`` has it.

        Raises:
            RemoteError: the other machine failed, or what came is no result of this model.
            TensorFileError: what came is no file of outputs.
        """
        model = SentModel.of(request)
        answer = self.run_there(request, model, on_progress)
        sha256 = hashlib.sha256(model.content).hexdigest()
        result = checked_result(answer.result, sha256=sha256, where=answer.device)
        if answer.run_id not in (None, result.get("run_id")):
            raise RemoteError(f"{answer.device}: the result is of another run")
        if request.outputs is not None:
            unpack_tensors(answer.outputs, name=f"the outputs of {answer.device}")
            write_bytes(request.outputs, answer.outputs)
        return _measurement(result, answer, machine=self.name.partition(":")[0])

    def predictor(self, request: Request) -> "Predictor":
        """The model as a predictor each call of which is a measured, and so proven, run there."""
        from asmnet_kit.benchmarks.targets.remote_predictor import RemotePredictor

        return RemotePredictor(self, request)


def _measurement(result: dict[str, Any], answer: Answer, *, machine: str) -> Measurement:
    """A result from another machine as a measurement; the machine's facts are the other one's.

    Args:
        machine: what its targets are called by here: ``linux:gpu`` is a board's own ``gpu``.
    """
    target = dict(result["target"])
    target |= {"device": answer.device, "proof": [answer.proof, *target["proof"]]}
    for key in ("requested", "actual"):
        target[key] = f"{machine}:{target[key].removeprefix(f'{machine}:')}"
    return Measurement(
        target=target,
        machine=result["machine"],
        runtime=result["runtime"],
        protocol=result["protocol"],
        timings_ms=result["timings_ms"],
        memory=result["memory"],
        parity=result["parity"],
        profile=result["profile"],
        sustained=result.get("sustained"),
        output_check=result.get("output_check"),
        warnings=[*result["warnings"], *_other_code(result, answer)],
        notes=result.get("notes", []),
    )


def _other_code(result: dict[str, Any], answer: Answer) -> list[str]:
    """A warning where another commit of the kit measured; an app says of none."""
    theirs, ours = result.get("kit_code"), code_digest()
    if theirs in (None, ours):
        return []
    return [f"{answer.device} measured with other code of the kit ({theirs}, here {ours})"]
