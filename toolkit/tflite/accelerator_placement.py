"""Where each operator of a model would run: on an accelerator or beside it, on the CPU.

Each operator is judged by ``edgetpu_rules`` or ``gpu_rules``. The Edge TPU
compiler then keeps one subgraph: the first that TensorFlow Lite's own partitioning finds. What
would have mapped but lies outside of it runs on the CPU, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from asmnet_kit.base.errors import UsageError
from asmnet_kit.tflite.edgetpu_rules import (
    edgetpu_hazard,
    edgetpu_model_ruling,
    edgetpu_ruling,
)
from asmnet_kit.tflite.gpu_rules import GPU_MAPPED, gpu_ruling
from asmnet_kit.tflite.graph import Graph, Op
from asmnet_kit.tflite.rulings import (
    LIMITATION,
    MAPPED,
    MAPPED_TO_BROWSER,
    MAPPED_TO_NPU,
    MAPPED_TO_TFLM,
    SECOND_SUBGRAPH,
    Ruling,
    open_size_ruling,
)

FULL, PARTIAL, NONE, REFUSED = "full", "partial", "none", "refused"
ACCELERATORS = ("edgetpu", "gpu")


@dataclass(frozen=True)
class OpVerdict:
    """What is expected of one operator; ``reason`` and ``cure`` are empty where it maps."""

    op: Op
    status: str
    reason: str
    cure: str

    @property
    def mapped(self) -> bool:
        return self.status in (
            MAPPED,
            GPU_MAPPED,
            MAPPED_TO_NPU,
            MAPPED_TO_TFLM,
            MAPPED_TO_BROWSER,
        )


@dataclass(frozen=True)
class Placement:
    """What is expected of each operator of a model on one accelerator.

    Attributes:
        verdict: ``full``, ``partial``, ``none`` (nothing maps) or ``refused``.
        refusal: why and what to do, where the verdict is ``refused``.
        first_blocking: the first operator that its own rules keep off the accelerator.
    """

    target: str
    verdict: str
    ops: tuple[OpVerdict, ...]
    refusal: Ruling | None
    first_blocking: OpVerdict | None

    @property
    def mapped(self) -> tuple[Op, ...]:
        """The operators that the accelerator would run."""
        return tuple(v.op for v in self.ops if v.mapped)


def place(graph: Graph, target: str) -> Placement:
    """Predict which operators of a model ``target`` would run.

    Args:
        target: ``edgetpu`` or ``gpu``.

    Raises:
        UsageError: another target.
    """
    if target == "edgetpu":
        return _place_on_edgetpu(graph)
    if target == "gpu":
        return _place_on_gpu(graph)
    raise UsageError(f"expected a target of {', '.join(ACCELERATORS)}, got {target!r}")


def _place_on_edgetpu(graph: Graph) -> Placement:
    refusal = open_size_ruling(graph) or edgetpu_model_ruling(graph)
    rulings = [edgetpu_ruling(op) for op in graph.ops]
    refusal = refusal or next((r for r in rulings if r and r.refuses_model), None)
    if refusal is not None:
        return _refused("edgetpu", graph, refusal, rulings)
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
    return Placement(
        target="edgetpu",
        verdict=REFUSED if hazard else verdict_of(sum(v.mapped for v in verdicts), len(verdicts)),
        ops=tuple(verdicts),
        refusal=hazard,
        first_blocking=_first_blocking(verdicts, rulings),
    )


def _place_on_gpu(graph: Graph) -> Placement:
    refusal = open_size_ruling(graph)
    rulings = [gpu_ruling(op) for op in graph.ops]
    if refusal is not None:
        return _refused("gpu", graph, refusal, rulings)
    verdicts = tuple(
        _unmapped(op, ruling) if ruling else OpVerdict(op, GPU_MAPPED, "", "")
        for op, ruling in zip(graph.ops, rulings, strict=True)
    )
    return Placement(
        target="gpu",
        verdict=verdict_of(sum(v.mapped for v in verdicts), len(verdicts)),
        ops=verdicts,
        refusal=None,
        first_blocking=_first_blocking(verdicts, rulings),
    )


def _refused(
    target: str, graph: Graph, refusal: Ruling, rulings: Sequence[Ruling | None]
) -> Placement:
    """Nothing of the model runs there; operators that would map say because of what."""
    ops = tuple(
        _unmapped(op, r or _along(refusal)) for op, r in zip(graph.ops, rulings, strict=True)
    )
    return Placement(target, REFUSED, ops, refusal, _first_blocking(ops, rulings))


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


def verdict_of(mapped: int, total: int) -> str:
    """``full``, ``partial`` or ``none``: what a model's mapped operators make of it."""
    if mapped == 0:
        return NONE
    return FULL if mapped == total else PARTIAL


def _first_blocking(
    verdicts: Sequence[OpVerdict], rulings: Sequence[Ruling | None]
) -> OpVerdict | None:
    return next((v for v, r in zip(verdicts, rulings, strict=True) if r), None)
