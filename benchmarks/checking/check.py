"""Predicts which operators of a .tflite an accelerator would run, without the accelerator.

``asmnet_kit.tflite.accelerator_placement`` judges the operators; here the estimate of the latency
and what a compiled model holds are added.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asmnet_kit.benchmarks.checking.estimate import Work, estimate_json, predicted_work
from asmnet_kit.benchmarks.checking.executable import Compiled, compiled_in
from asmnet_kit.tflite.accelerator_placement import OpVerdict, Placement, place
from asmnet_kit.tflite.edgetpu_rules import COMPILED
from asmnet_kit.tflite.graph import Graph
from asmnet_kit.tflite.reader import read_graph
from asmnet_kit.tflite.rulings import Ruling
from asmnet_kit.tflite.sizing import at_size

UNFORESEEABLE = {
    "edgetpu": "a prediction from outside: activations too large for the Edge TPU and internal "
    "errors of the compiler cannot be foreseen",
    "gpu": "a prediction from the list of the TensorFlow Lite GPU delegate; LiteRT publishes none "
    "for its own. asmnet-kit benchmark --target gpu tells for sure",
}

READ_FROM_FILE = "read from what the compiler left in the file; only the latency is an estimate"


@dataclass(frozen=True)
class Check:
    """The outcome of a check.

    Attributes:
        verdict: ``full``, ``partial``, ``none`` (nothing maps) or ``refused``.
        refusal: why and what to do, where the verdict is ``refused``.
        first_blocking: the first operator that its own rules keep off the accelerator.
        estimate: latency on the accelerator, or None where nothing is known.
        compiled: what a compiled model holds, or None for one that is not.
        input_shape: height and width that were given for an input of open size, or None.
        tool: what told this, where a program did: its ``name``, ``version`` and ``options``.
        memory_bytes: what the model takes there, by kind of memory; None where nothing is known.
        parity: how far the outputs are from the CPU's, where the target's arithmetic ran here.
        compiled_bytes: size of the file that a compiler made of the model.
    """

    model: str
    target: str
    verdict: str
    ops: tuple[OpVerdict, ...]
    refusal: Ruling | None = None
    first_blocking: OpVerdict | None = None
    estimate: dict[str, Any] | None = None
    compiled: Compiled | None = None
    notes: tuple[str, ...] = ()
    input_shape: tuple[int, int] | None = None
    tool: dict[str, Any] | None = None
    memory_bytes: dict[str, int] | None = None
    parity: dict[str, Any] | None = None
    compiled_bytes: int | None = None

    @property
    def mapped(self) -> int:
        return sum(v.mapped for v in self.ops)

    def grouped(self) -> list[dict[str, Any]]:
        """Operators of the same name, status and reason as one row, as in the compiler's table."""
        rows: dict[tuple[str, str, str], dict[str, Any]] = {}
        for v in self.ops:
            row = rows.setdefault(
                (v.op.name, v.status, v.reason),
                {"op": v.op.name, "count": 0, "status": v.status, "reason": v.reason,
                 "cure": v.cure, "indices": []},
            )  # fmt: skip
            row["count"] += 1
            row["indices"].append(v.op.index)
        return list(rows.values())

    def to_json(self) -> dict[str, Any]:
        first = self.first_blocking
        return {
            "model": self.model,
            "target": self.target,
            "verdict": self.verdict,
            "total": len(self.ops),
            "mapped": self.mapped,
            "refusal": self.refusal
            and {"reason": self.refusal.reason, "cure": self.refusal.cure},
            "first_blocking": first
            and {"index": first.op.index, "op": first.op.name, "status": first.status,
                 "reason": first.reason, "cure": first.cure},
            "ops": self.grouped(),
            "estimate": self.estimate,
            "compiled": self.compiled and self.compiled.to_json(),
            "notes": list(self.notes),
            "input_shape": self.input_shape and list(self.input_shape),
            "tool": self.tool,
            "memory_bytes": self.memory_bytes,
            "parity": self.parity,
            "compiled_bytes": self.compiled_bytes,
        }  # fmt: skip


def check_model(path: Path, *, target: str, input_shape: tuple[int, int] | None = None) -> Check:
    """Predict what ``target`` would run of a model.

    Args:
        target: ``edgetpu`` or ``gpu``.
        input_shape: height and width of an input whose size the file leaves open; None where it
            does not, or to see it as it is.

    Raises:
        ModelError: the file is not a .tflite model, is cut off or damaged.
        UsageError: another target, or the file does not leave the size of its input open.
    """
    with at_size(path, input_shape) as sized:
        graph = read_graph(sized)
    placement = place(graph, target)
    compiled, estimate = None, None
    if target == "edgetpu":
        if any(op.name == COMPILED for op in graph.ops):
            compiled = compiled_in(graph, name=str(path))
        estimate = (
            _compiled_estimate(compiled) if compiled else _predicted_estimate(placement, graph)
        )
    return Check(
        model=str(path),
        target=target,
        verdict=placement.verdict,
        ops=placement.ops,
        refusal=placement.refusal,
        first_blocking=placement.first_blocking,
        estimate=estimate,
        compiled=compiled,
        notes=_notes(target, graph, compiled=compiled is not None),
        input_shape=input_shape,
    )


def _predicted_estimate(placement: Placement, graph: Graph) -> dict[str, Any] | None:
    mapped = placement.mapped
    if not mapped:
        return None
    return estimate_json(predicted_work(mapped), cpu_ops=len(graph.ops) - len(mapped))


def _compiled_estimate(compiled: Compiled | None) -> dict[str, Any] | None:
    """From the compiler's own figures, where it left its cycles."""
    if compiled is None or compiled.cycles is None:
        return None
    inputs, outputs = compiled.sizes()
    work = Work(
        cycles=compiled.cycles,
        cycles_from="the compiler",
        instruction_bytes=compiled.instruction_bytes,
        input_bytes=inputs,
        output_bytes=outputs,
        streamed_bytes=compiled.streamed_bytes,
        cached_bytes=compiled.cached_bytes,
    )
    return estimate_json(work, cpu_ops=len(compiled.cpu_ops))


def _notes(target: str, graph: Graph, *, compiled: bool) -> tuple[str, ...]:
    notes = [READ_FROM_FILE if compiled else UNFORESEEABLE[target]]
    notes += [
        f"the input {t.name!r} has the open shape {t.shape_text}; checked as {list(t.shape)}"
        for t in graph.inputs
        if t.open
    ]
    if graph.subgraphs > 1:
        notes.append(
            f"the model has {graph.subgraphs} graphs (control flow); only the main one is checked"
        )
    return tuple(notes)
