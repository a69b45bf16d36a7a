"""What targets on other machines have in common: running a tool, and a result that came from afar.

Whatever comes back is checked before it is believed: JSON, schema, the model's own hash.
"""

import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asmnet_kit.benchmarks.targets.protocol import Measurement, Request
from asmnet_kit.errors import KitError, ModelError
from asmnet_kit.results import check_result

MAX_RESULT_BYTES = 50_000_000  # a million raw samples and all facts stay far below
TAIL_CHARACTERS = 300


class RemoteError(KitError):
    """The other machine, or the way to it, failed."""


def run_tool(
    arguments: list[str], *, timeout_s: float, stdin: bytes = b"", what: str
) -> tuple[bytes, str, int]:
    """Run a program of this machine that talks to another.

    Args:
        what: is being done, for messages.

    Returns:
        Its stdout, its stderr as text and its exit code.

    Raises:
        RemoteError: it is missing, or did not end in time.
    """
    try:
        done = subprocess.run(
            arguments, input=stdin, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RemoteError(f"{what}: no end within {timeout_s:.0f} s") from error
    except OSError as error:
        raise RemoteError(f"{what}: {arguments[0]} cannot be run: {error.strerror}") from error
    return done.stdout, done.stderr.decode(errors="replace").strip(), done.returncode


def tail(*texts: str | bytes) -> str:
    """The end of what a program said, on one line."""
    joined = " ".join(t.decode(errors="replace") if isinstance(t, bytes) else t for t in texts)
    return " ".join(joined.split())[-TAIL_CHARACTERS:] or "nothing"


def checked_result(content: bytes, *, sha256: str, where: str) -> dict[str, Any]:
    """A result file's bytes as a result of the model that was sent.

    Raises:
        RemoteError: it is no result, or one of another model.
    """
    if len(content) > MAX_RESULT_BYTES:
        raise RemoteError(f"{where}: expected a result, got {len(content)} bytes")
    try:
        result = check_result(json.loads(content), name=f"the result of {where}")
    except (ValueError, RecursionError) as error:
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


def measure_there(
    request: Request, run: Callable[[SentModel], bytes], *, device: str, proof: str
) -> tuple[dict[str, Any], Measurement]:
    """Let another machine measure a model and believe what comes back only after checking it.

    Args:
        run: sends the model, starts the measurement and returns the bytes of its result file.
        proof: how it was measured, before the other machine's own evidence.

    Returns:
        The result as it came, and the measurement in it.

    Raises:
        RemoteError: the other machine failed, or what came is no result of this model.
    """
    model = SentModel.of(request)
    sha256 = hashlib.sha256(model.content).hexdigest()
    result = checked_result(run(model), sha256=sha256, where=device)
    return result, _measurement(result, device=device, proof=proof)


def _measurement(result: dict[str, Any], *, device: str, proof: str) -> Measurement:
    """A result from another machine as a measurement; the machine is the other one's."""
    target = dict(result["target"])
    target |= {"device": device, "proof": [proof, *target["proof"]]}
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
        warnings=result["warnings"],
        notes=result.get("notes", []),
    )


def no_accuracy(request: Request) -> ModelError:
    """Why ``--data`` does not work with a target on another machine."""
    return ModelError(
        f"{request.model}: target {request.target}: accuracy is not measured on other machines; "
        f"run asmnet-kit evaluate there"
    )
