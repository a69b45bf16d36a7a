"""A request as the words of a command line, for a result's ``command`` and for a board."""

from collections.abc import Sequence

from asmnet_kit.benchmarks.options import option_words
from asmnet_kit.benchmarks.protocol import Abilities, Request


def request_words(request: Request, abilities: Abilities) -> list[str]:
    """The options of ``asmnet-kit benchmark MODEL`` that ask for ``request``, ``--target`` first.

    Args:
        abilities: of the request's target.
    """
    words = ["--target", request.target]
    words += ["--threads", str(request.threads)] if abilities.uses_threads else []
    words += ["--warmup", str(request.warmup_runs)]
    if request.mode == "single-stream":  # it sets the other two
        words.append("--single-stream")
    else:
        words += ["--runs", str(request.runs), "--seconds", f"{request.min_seconds:g}"]
    if request.max_seconds != max(Request.max_seconds, request.min_seconds):
        words += ["--max-seconds", f"{request.max_seconds:g}"]
    words += ["--device", request.device] if request.device else []
    words += ["--affinity", cpu_list(request.affinity)] if request.affinity else []
    words += ["--profile"] if request.profile else []
    if request.sustained_minutes:
        words += ["--sustained", f"{request.sustained_minutes:g}"]
    words += [] if request.xnnpack else ["--no-xnnpack"]
    if request.max_parity is not None:
        words += ["--max-parity", f"{request.max_parity:g}"]
    words += option_words(request.options)
    if request.inputs is not None:
        words += ["--inputs", str(request.inputs), "--outputs", str(request.outputs)]
    return words


def cpu_list(cpus: Sequence[int]) -> str:
    """Numbers of CPUs as ``--affinity`` takes them: ``0,2``."""
    return ",".join(map(str, cpus))
