"""The process that measures: reads a request on stdin, writes JSON lines to stdout.

One measurement, one process: its memory is its own, and a crash of the runtime harms nothing else.
Lines: ``{"progress": 0.5, "note": "runs"}``, then ``{"result": {...}}`` or
``{"error": "..."}``. Everything else on stdout is the runtime's chatter and is ignored.
"""

import hashlib
import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asmnet_kit.base.errors import KitError, MissingDependency
from asmnet_kit.benchmarks.protocol import Request, Unreachable, WrongNumbers
from asmnet_kit.benchmarks.targets.registry import checker, load_target

PIECE_BYTES = 1 << 16
# Errors that the parent tells from others, by the word on the line.
KINDS: dict[str, type[KitError]] = {
    "missing": MissingDependency,
    "unreachable": Unreachable,
}


def tell(line: dict[str, Any]) -> None:
    """One line for the parent; NaN is refused, since JSON has none."""
    print(json.dumps(line, allow_nan=False), flush=True)


def on_progress(done: float, note: str) -> None:
    tell({"progress": done, "note": note})


def size(content: dict[str, Any], copy: Path) -> dict[str, Any]:
    """Write a copy of a request's model with its input of ``input_shape``; the copy's SHA-256."""
    from asmnet_kit.tflite.sizing import sized_model

    request = Request.from_json(content)
    height, width = request.input_shape
    copy.write_bytes(sized_model(request.model, (height, width)))
    return {"sha256": _digest(copy)}


def measure(content: dict[str, Any]) -> dict[str, Any]:
    """The measurement of a request, as JSON."""
    request = Request.from_json(content)
    return asdict(load_target(request.target).measure(request, on_progress))


def check(content: dict[str, Any]) -> dict[str, Any]:
    """What a request's target says of a model without running it there, as JSON."""
    request = Request.from_json(content)
    found: dict[str, Any] = checker(request.target)(request).to_json()
    return found


def accuracy(content: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """``accuracy`` of a result through a request's very target, and ``parity`` where it has one."""
    from asmnet_kit.datasets.registry import load_to_measure
    from asmnet_kit.face.schemes import scheme_named
    from asmnet_kit.measure.evaluate import BATCH, evaluate

    request = Request.from_json(content)
    on_progress(0.0, "read data")
    predictor = load_target(request.target).predictor(request)
    scheme = None if data["scheme"] is None else scheme_named(data["scheme"])
    dataset, split = load_to_measure(
        Path(data["path"]),
        data["format"],
        model_scheme=predictor.scheme,
        split=data["split"],
        compared=scheme,
    )
    result = evaluate(
        predictor,
        dataset,
        scheme=scheme,
        boxes=data["boxes"],
        batch=getattr(predictor, "crops_per_call", BATCH),
        on_progress=lambda done, total: on_progress(done / max(total, 1), "faces"),
    )
    kernels = getattr(getattr(predictor, "runtime", None), "kernels", None)
    measured: dict[str, Any] = {"accuracy": {**result.to_json(), "split": split}}
    measured |= {"kernels": kernels}
    parity = getattr(predictor, "parity", None)
    return measured if parity is None else {**measured, "parity": parity()}


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """What a job asks for, of the very file that it names.

    Raises:
        WrongNumbers: the file is another one, or became another one meanwhile.
    """
    model, sha256 = Path(job["request"]["model"]), job.get("sha256")
    _refuse_another(model, sha256, "before it was opened")
    if "sized" in job:
        found = size(job["request"], Path(job["sized"]))
    elif job.get("check"):
        found = check(job["request"])
    elif job["data"] is None:
        found = measure(job["request"])
    else:
        found = accuracy(job["request"], job["data"])
    _refuse_another(model, sha256, "while it was measured")
    return found


def main() -> None:
    """Do what stdin asks; a domain error becomes a line, any other ends with a traceback.

    Ctrl-C reaches every process of a terminal: the parent alone answers it, and asks for the end by
    SIGTERM, after which what lies on another machine is removed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end)
    job = json.load(sys.stdin)
    try:
        tell({"result": answer(job)})
    except KitError as error:
        kind = next((name for name, kind in KINDS.items() if isinstance(error, kind)), "")
        tell({"error": str(error), "exit_code": error.exit_code, "kind": kind})


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _refuse_another(model: Path, sha256: str | None, when: str) -> None:
    if sha256 is not None and _digest(model) != sha256:
        raise WrongNumbers(
            f"{model}: the file was replaced {when}: its times, its outputs and its accuracy would "
            f"be of different models. Measure it again when nothing writes it"
        )


def _digest(model: Path) -> str | None:
    """Piece by piece: the whole file would count as memory of the model. None: it is gone."""
    digest = hashlib.sha256()
    try:
        with model.open("rb") as file:
            while piece := file.read(PIECE_BYTES):
                digest.update(piece)
    except OSError:
        return None
    return digest.hexdigest()


if __name__ == "__main__":
    main()
