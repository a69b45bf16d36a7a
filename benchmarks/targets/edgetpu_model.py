"""The file that an Edge TPU runs: MODEL as it is, as compiled elsewhere, or compiled now."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from asmnet_kit.base.errors import ModelError, UsageError
from asmnet_kit.base.files import temporary_folder
from asmnet_kit.benchmarks.edgetpu.compiler import (
    Compilation,
    CompilerMissing,
    compile_model,
    find_compiler,
)
from asmnet_kit.benchmarks.options import EDGETPU_COMPILER, EDGETPU_MODEL
from asmnet_kit.benchmarks.protocol import Request
from asmnet_kit.tflite.edgetpu_rules import COMPILED, edgetpu_hazard
from asmnet_kit.tflite.graph import Graph
from asmnet_kit.tflite.reader import read_graph


@dataclass(frozen=True)
class ReadyModel:
    """A compiled model.

    Attributes:
        path: of its file.
        source: the graph that it was compiled from; None where only the compiled file was given.
        compilation: what the compiler said, where it ran here.
    """

    path: Path
    source: Graph | None = None
    compilation: Compilation | None = None


@contextmanager
def compiled_model(request: Request) -> Iterator[ReadyModel]:
    """The request's model for the Edge TPU: as it is, as compiled elsewhere, or compiled now."""
    source = read_graph(request.model)
    if _holds_compiled(source):
        yield ReadyModel(request.model)
        return
    hazard = next((found for found in map(edgetpu_hazard, source.ops) if found), None)
    if hazard is not None:  # its outputs would be wrong without any error
        raise ModelError(f"{request.model}: {hazard.reason}; {hazard.cure}")
    if EDGETPU_MODEL.name in request.options:
        yield ReadyModel(Path(request.options[EDGETPU_MODEL.name]), source)
        return
    compiler = find_compiler(request.options.get(EDGETPU_COMPILER.name))
    with temporary_folder() as folder:
        compilation = compile_model(request.model, folder, compiler=compiler)
        yield ReadyModel(compilation.path, source, compilation)


def compiled_for_board(request: Request) -> bytes | None:
    """The compiled model that a board gets, whose own machine can rarely run the compiler.

    None where the model is compiled already, where the request names the board's compiler, and
    where this machine has none.

    Raises:
        ModelError: the compiler refused the model.
        UsageError: $EDGETPU_COMPILER names no program.
    """
    if EDGETPU_COMPILER.name in request.options or is_compiled(request.model):
        return None
    try:
        with compiled_model(request) as ready:
            return ready.path.read_bytes()
    except CompilerMissing:
        return None


def refuse_compiled(request: Request) -> None:
    """Refuse a file of ``--edgetpu-model`` that cannot be what MODEL was compiled to.

    Raises:
        UsageError: MODEL is compiled itself, a compiler is asked for too, the file is not compiled,
            or its inputs and outputs are others.
        ModelError: the file cannot be read.
    """
    told = request.options.get(EDGETPU_MODEL.name)
    if told is None:
        return
    if EDGETPU_COMPILER.name in request.options:
        raise UsageError(
            "--edgetpu-model is compiled already, --edgetpu-compiler compiles: leave one out"
        )
    if is_compiled(request.model):
        raise UsageError(
            f"{request.model} is compiled already: give the model that it was compiled from, or "
            f"leave --edgetpu-model out"
        )
    compiled, source = read_graph(Path(told)), read_graph(request.model)
    if not _holds_compiled(compiled):
        raise UsageError(f"{told}: expected what edgetpu_compiler made, got a model as it was")
    ends, expected = _ends(compiled), _ends(source)
    if ends != expected:
        raise UsageError(
            f"{told}: not compiled from {request.model}: expected inputs and outputs {expected}, "
            f"got {ends}"
        )


def _ends(graph: Graph) -> list[str]:
    """Types and shapes of a graph's inputs and outputs, in any order of either."""
    return [
        f"{tensor.type} {'x'.join(map(str, tensor.shape))}"
        for tensors in (graph.inputs, graph.outputs)
        for tensor in sorted(tensors, key=lambda tensor: (tensor.type, tensor.shape))
    ]


def needs_compiler(request: Request) -> bool:
    """Whether the request's model must be compiled first."""
    return EDGETPU_MODEL.name not in request.options and not is_compiled(request.model)


def is_compiled(path: Path) -> bool:
    """Whether a file is what edgetpu_compiler made; one that cannot be read is not."""
    try:
        return _holds_compiled(read_graph(path))
    except ModelError:
        return False  # measuring it says what is the matter


def _holds_compiled(graph: Graph) -> bool:
    return any(op.name == COMPILED for op in graph.ops)
