"""Predicts which operators of a .tflite an accelerator would run, without the accelerator.

Each operator is judged by the rules of ``asmnet_kit.op_rules``. The Edge TPU compiler then keeps
one subgraph: the first that TensorFlow Lite's own partitioning finds. What would have mapped but
lies outside of it runs on the CPU, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asmnet_kit.benchmarks.edgetpu.estimate import Work, estimate_json, predicted_work
from asmnet_kit.benchmarks.edgetpu.executable import Compiled, read_compiled
from asmnet_kit.errors import UsageError
from asmnet_kit.graph import Graph, Op, read_graph
from asmnet_kit.op_rules import (
    COMPILED,
    GPU_MAPPED,
    LIMITATION,
    MAPPED,
    SECOND_SUBGRAPH,
    Ruling,
    edgetpu_hazard,
    edgetpu_model_ruling,
    edgetpu_ruling,
    gpu_ruling,
)

FULL, PARTIAL, NONE, REFUSED = "full", "partial", "none", "refused"
CHECK_TARGETS = ("edgetpu", "gpu")

UNFORESEEABLE = {
    "edgetpu": "a prediction from outside: activations too large for the Edge TPU and internal "
    "errors of the compiler cannot be foreseen",
    "gpu": "a prediction from the list of the TensorFlow Lite GPU delegate; LiteRT publishes none "
    "for its own. asmnet-kit benchmark --target gpu tells for sure",
}


@dataclass(frozen=True)
class OpVerdict:
    """What is expected of one operator; ``reason`` and ``cure`` are empty where it maps."""

    op: Op
    status: str
    reason: str
    cure: str

    @property
    def mapped(self) -> bool:
        return self.status in (MAPPED, GPU_MAPPED)


@dataclass(frozen=True)
class Check:
    """The outcome of a check.

    Attributes:
        verdict: ``full``, ``partial``, ``none`` (nothing maps) or ``refused``.
        refusal: why and what to do, where the verdict is ``refused``.
        first_blocking: the first operator that its own rules keep off the accelerator.
        estimate: latency on the accelerator, or None where nothing is known.
        compiled: what a compiled model holds, or None for one that is not.
    """

    model: str
    target: str
    verdict: str
    ops: tuple[OpVerdict, ...]
    refusal: Ruling | None
    first_blocking: OpVerdict | None
    estimate: dict[str, Any] | None
    compiled: Compiled | None
    notes: tuple[str, ...]

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
        }  # fmt: skip


def check_model(path: Path, *, target: str) -> Check:
    """Predict what ``target`` would run of a model.

    Args:
        target: ``edgetpu`` or ``gpu``.

    Raises:
        ModelError: the file is no .tflite model, is cut off or damaged.
        UsageError: another target.
    """
    graph = read_graph(path)
    if target == "edgetpu":
        return _check_edgetpu(path, graph)
    if target == "gpu":
        return _check_gpu(path, graph)
    raise UsageError(f"expected a target of {', '.join(CHECK_TARGETS)}, got {target!r}")


def _check_edgetpu(path: Path, graph: Graph) -> Check:
    compiled = None
    if any(op.name == COMPILED for op in graph.ops):
        compiled = read_compiled(path)
    refusal = edgetpu_model_ruling(graph)
    rulings = [edgetpu_ruling(op) for op in graph.ops]
    refusal = refusal or next((r for r in rulings if r and r.refuses_model), None)
    if refusal is not None:
        ops = tuple(
            _unmapped(op, r or _along(refusal)) for op, r in zip(graph.ops, rulings, strict=True)
        )
        first = next((v for v, r in zip(ops, rulings, strict=True) if r), None)
        return Check(
            str(path), "edgetpu", REFUSED, ops, refusal, first,
            _compiled_estimate(compiled), compiled, _notes("edgetpu", graph),
        )  # fmt: skip
    kept = first_subset(graph, [r is None for r in rulings])
    verdicts = []
    for op, ruling in zip(graph.ops, rulings, strict=True):
        if ruling is not None:
            verdicts.append(_unmapped(op, ruling))
        elif op.index in kept:
            hazard = edgetpu_hazard(op)
            verdicts.append(_unmapped(op, hazard) if hazard else OpVerdict(op, MAPPED, "", ""))
        else:
            verdicts.append(_unmapped(op, _second_subgraph(graph, rulings)))
    # A hazard keeps the compiler's own status but refuses the model: its outputs would be wrong.
    hazard = next((h for h in map(edgetpu_hazard, graph.ops) if h), None)
    mapped = [v.op for v in verdicts if v.mapped]
    return Check(
        model=str(path),
        target="edgetpu",
        verdict=REFUSED if hazard else _verdict(len(mapped), len(graph.ops)),
        ops=tuple(verdicts),
        refusal=hazard,
        first_blocking=_first_blocking(verdicts, rulings),
        estimate=_predicted_estimate(mapped, graph),
        compiled=None,
        notes=_notes("edgetpu", graph),
    )


def _check_gpu(path: Path, graph: Graph) -> Check:
    rulings = [gpu_ruling(op) for op in graph.ops]
    verdicts = [
        _unmapped(op, ruling) if ruling else OpVerdict(op, GPU_MAPPED, "", "")
        for op, ruling in zip(graph.ops, rulings, strict=True)
    ]
    return Check(
        model=str(path),
        target="gpu",
        verdict=_verdict(sum(v.mapped for v in verdicts), len(verdicts)),
        ops=tuple(verdicts),
        refusal=None,
        first_blocking=_first_blocking(verdicts, rulings),
        estimate=None,
        compiled=None,
        notes=_notes("gpu", graph),
    )


def first_subset(graph: Graph, supported: Sequence[bool]) -> set[int]:
    """Indices of the operators in the first subgraph of supported ones.

    TensorFlow Lite's partitioning: subsets of one kind, supported or not, take turns; each takes
    every operator of its kind whose inputs are there, again and again until none is left.
    """
    ready = {t.index for t in graph.inputs}
    ready |= {t.index for op in graph.ops for t in op.inputs if t.constant or t.variable}
    produced = {t.index for op in graph.ops for t in op.outputs}
    ready |= {t.index for op in graph.ops for t in op.inputs} - produced
    pending = list(graph.ops)
    while pending:
        kind: bool | None = None
        subset: set[int] = set()
        progress = True
        while progress:
            progress = False
            left = []
            for op in pending:
                takes = all(t.index in ready for t in op.inputs)
                if takes and kind is None:
                    kind = supported[op.index]
                if takes and supported[op.index] == kind:
                    subset.add(op.index)
                    ready |= {t.index for t in op.outputs}
                    progress = True
                else:
                    left.append(op)
            pending = left
        if kind or not subset:
            return subset
    return set()


def _unmapped(op: Op, ruling: Ruling) -> OpVerdict:
    return OpVerdict(op, ruling.status, ruling.reason, ruling.cure)


def _along(refusal: Ruling) -> Ruling:
    """For operators that would map in a model that is refused as a whole."""
    return Ruling(
        LIMITATION,
        f"nothing of the model maps: {refusal.reason}",
        refusal.cure,
    )


def _second_subgraph(graph: Graph, rulings: Sequence[Ruling | None]) -> Ruling:
    blocking = [op for op, r in zip(graph.ops, rulings, strict=True) if r]
    name = f"{blocking[0].name} (operator {blocking[0].index})" if blocking else "another operator"
    for op in blocking:
        # A leading QUANTIZE blocks nothing: the subgraph begins behind it.
        if op.name != "QUANTIZE":
            name = f"{op.name} (operator {op.index})"
            break
    return Ruling(
        SECOND_SUBGRAPH,
        f"it would map, but depends on {name}, which runs on the CPU",
        f"cure or move {name}; one Edge TPU subgraph is the limit",
    )


def _verdict(mapped: int, total: int) -> str:
    if mapped == 0:
        return NONE
    return FULL if mapped == total else PARTIAL


def _first_blocking(
    verdicts: Sequence[OpVerdict], rulings: Sequence[Ruling | None]
) -> OpVerdict | None:
    return next((v for v, r in zip(verdicts, rulings, strict=True) if r), None)


def _predicted_estimate(mapped: Sequence[Op], graph: Graph) -> dict[str, Any] | None:
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


def _notes(target: str, graph: Graph) -> tuple[str, ...]:
    notes = [UNFORESEEABLE[target]]
    if graph.subgraphs > 1:
        notes.append(
            f"the model has {graph.subgraphs} graphs (control flow); only the main one is checked"
        )
    return tuple(notes)
