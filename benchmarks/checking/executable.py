"""Reads what the Edge TPU compiler put into a model: executables, memory, instructions, cycles.

The custom options of an ``edgetpu-custom-op`` hold a flatbuffer with the identifier ``DWN1``.
libedgetpu's ``executable.fbs`` (Apache-2.0) names its tables and fields; a field's number below is
its place in that file. Every access is bounds-checked, so damage is an error and not a crash.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
from flatbuffers import encode, number_types
from flatbuffers.table import Table

from asmnet_kit.base.errors import ModelError
from asmnet_kit.tflite.edgetpu_rules import COMPILED
from asmnet_kit.tflite.graph import Graph, Op
from asmnet_kit.tflite.reader import read_graph
from asmnet_kit.tflite.structure import DAMAGE

IDENTIFIER = b"DWN1"
KINDS = {0: "STAND_ALONE", 1: "PARAMETER_CACHING", 2: "EXECUTION_ONLY"}
MAX_PARTS = 100_000  # elements of a vector of tables; real models have tens


@dataclass(frozen=True)
class Executable:
    """One executable of a package.

    Attributes:
        kind: PARAMETER_CACHING runs once and loads weights, EXECUTION_ONLY at each inference,
            STAND_ALONE is both.
        parameter_bytes: weights it carries: cached ones, or streamed at each inference.
        instruction_bytes: of its instruction streams.
        input_bytes, output_bytes: of its layers, padding included.
        cycles: the compiler's own estimate, or None in builds that leave it out.
    """

    kind: str
    name: str
    parameter_bytes: int
    instruction_bytes: int
    input_bytes: int
    output_bytes: int
    scratch_bytes: int
    cycles: int | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Package:
    """What one ``edgetpu-custom-op`` holds."""

    compiler_version: str | None
    min_runtime_version: int
    chips: int
    executables: tuple[Executable, ...]


@dataclass(frozen=True)
class Compiled:
    """A compiled model.

    Attributes:
        packages: one for each Edge TPU subgraph.
        cpu_ops: names of the operators that were left on the CPU, in order.
    """

    packages: tuple[Package, ...]
    cpu_ops: tuple[str, ...]

    @property
    def cached_bytes(self) -> int:
        return self._sum("parameter_bytes", "PARAMETER_CACHING")

    @property
    def streamed_bytes(self) -> int:
        return self._sum("parameter_bytes", "EXECUTION_ONLY", "STAND_ALONE")

    @property
    def instruction_bytes(self) -> int:
        """Of one inference: without those that load the weights once."""
        return self._sum("instruction_bytes", "EXECUTION_ONLY", "STAND_ALONE")

    @property
    def cycles(self) -> int | None:
        known = [e.cycles for e in self._executables("EXECUTION_ONLY", "STAND_ALONE")]
        return sum(c or 0 for c in known) if any(known) else None

    def sizes(self) -> tuple[int, int]:
        """Bytes of inputs and outputs of one inference."""
        kinds = ("EXECUTION_ONLY", "STAND_ALONE")
        return self._sum("input_bytes", *kinds), self._sum("output_bytes", *kinds)

    def to_json(self) -> dict[str, Any]:
        return {
            "subgraphs": len(self.packages),
            "compiler_version": next((p.compiler_version for p in self.packages), None),
            "cached_parameter_bytes": self.cached_bytes,
            "streamed_parameter_bytes": self.streamed_bytes,
            "instruction_bytes": self.instruction_bytes,
            "cycles": self.cycles,
            "cpu_ops": list(self.cpu_ops),
            "executables": [
                {"subgraph": number, "kind": e.kind, "parameter_bytes": e.parameter_bytes,
                 "instruction_bytes": e.instruction_bytes, "input_bytes": e.input_bytes,
                 "output_bytes": e.output_bytes, "cycles": e.cycles}
                for number, package in enumerate(self.packages)
                for e in package.executables
            ],
        }  # fmt: skip

    def _executables(self, *kinds: str) -> list[Executable]:
        return [e for package in self.packages for e in package.executables if e.kind in kinds]

    def _sum(self, field: str, *kinds: str) -> int:
        return sum(getattr(e, field) for e in self._executables(*kinds))


def read_compiled(path: Path) -> Compiled:
    """Read a compiled ``_edgetpu.tflite``.

    Raises:
        ModelError: it is not a .tflite model, is not compiled for the Edge TPU, or is damaged.
    """
    return compiled_in(read_graph(path), name=str(path))


def compiled_in(graph: Graph, *, name: str) -> Compiled:
    """What the compiler put into a model that was read already.

    Args:
        name: of the file, for messages.

    Raises:
        ModelError: it is not compiled for the Edge TPU, or what the compiler left is damaged.
    """
    compiled = [op for op in graph.ops if op.name == COMPILED]
    if not compiled:
        raise ModelError(
            f"{name}: expected a model compiled for the Edge TPU, got one without any {COMPILED}; "
            f"compile it with edgetpu_compiler first"
        )
    return Compiled(
        packages=tuple(_package(op, name) for op in compiled),
        cpu_ops=tuple(op.name for op in graph.ops if op.name != COMPILED),
    )


def _package(op: Op, name: str) -> Package:
    content = op.custom_options
    start = content.find(IDENTIFIER) - 4  # the identifier follows the root offset
    if start < 0:
        raise ModelError(f"{name}: the {COMPILED} holds no {IDENTIFIER.decode()} package")
    try:
        return _read_package(content[start:])
    except DAMAGE as error:
        raise ModelError(
            f"{name}: the {COMPILED} is damaged ({type(error).__name__} while reading its "
            f"executables); compile the model again"
        ) from error


def _read_package(content: bytes) -> Package:
    root = _root(content)
    version = (_string(root, 4) or "").removeprefix("cl/") or None
    chips = _tables(root, 6)
    if chips:
        inner = [_read_package(_bytes(chip, 0)) for chip in chips]
        executables = tuple(e for package in inner for e in package.executables)
    else:
        multi = _root(_bytes(root, 1))
        executables = tuple(_executable(_root(text)) for text in _strings(multi, 0))
    return Package(version, _number(root, 0), max(len(chips), 1), executables)


def _executable(table: Table) -> Executable:
    inputs, outputs = _tables(table, 8), _tables(table, 9)
    kind = _number(table, 13, number_types.Int16Flags)
    if kind not in KINDS:
        raise ValueError(f"executable of kind {kind}")
    cycles = _number(table, 16, number_types.Int64Flags) or _number(table, 11)
    return Executable(
        kind=KINDS[kind],
        name=_string(table, 1) or "",
        parameter_bytes=_length(table, 6),
        instruction_bytes=sum(_length(stream, 0) for stream in _tables(table, 5)),
        input_bytes=sum(_layer_bytes(layer) for layer in inputs),
        output_bytes=sum(_layer_bytes(layer) for layer in outputs),
        scratch_bytes=_number(table, 4),
        cycles=cycles if cycles > 0 else None,
        inputs=tuple(_string(layer, 0) or "" for layer in inputs),
        outputs=tuple(_string(layer, 0) or "" for layer in outputs),
    )


def _layer_bytes(layer: Table) -> int:
    size = _number(layer, 1)
    times = _number(layer, 9, default=1)
    if size < 0 or times < 0:
        raise ValueError(f"a layer of {size} bytes, {times} times")
    return size * times


def _root(content: bytes) -> Table:
    offset = encode.Get(flatbuffers.packer.uoffset, content, 0)
    return Table(content, offset)


def _field(table: Table, number: int) -> int:
    """Where a field's value lies, or 0 when it has its default."""
    place = int(table.Offset(4 + 2 * number))
    return place + table.Pos if place else 0


def _number(
    table: Table, number: int, kind: Any = number_types.Int32Flags, default: int = 0
) -> int:
    place = _field(table, number)
    return int(table.Get(kind, place)) if place else default


def _vector(table: Table, number: int) -> tuple[int, int]:
    """Where a vector starts and its length, which must lie inside of the bytes."""
    if not _field(table, number):
        return 0, 0
    offset = int(table.Offset(4 + 2 * number))
    start, length = int(table.Vector(offset)), int(table.VectorLen(offset))
    if start + length > len(table.Bytes):
        raise IndexError(f"a vector of {length} elements ends outside of the file")
    return start, length


def _length(table: Table, number: int) -> int:
    return _vector(table, number)[1]


def _bytes(table: Table, number: int) -> bytes:
    start, length = _vector(table, number)
    return bytes(table.Bytes[start : start + length])


def _tables(table: Table, number: int) -> list[Table]:
    start, length = _vector(table, number)
    if length > MAX_PARTS:
        raise ValueError(f"{length} parts")
    return [Table(table.Bytes, table.Indirect(start + 4 * i)) for i in range(length)]


def _strings(table: Table, number: int) -> list[bytes]:
    start, length = _vector(table, number)
    if length > MAX_PARTS:
        raise ValueError(f"{length} parts")
    return [bytes(table.String(start + 4 * i)) for i in range(length)]


def _string(table: Table, number: int) -> str | None:
    place = _field(table, number)
    return bytes(table.String(place)).decode(errors="replace") if place else None
