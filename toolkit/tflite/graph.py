"""A .tflite file as one immutable ``Graph``: operators, tensors, options and what fills them.

``reader`` makes it; the metadata, the contract, the audit, the checks of accelerators and the
benchmarks all look at it, and at nothing else of the file.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asmnet_kit.base.errors import ModelError
from asmnet_kit.tflite.structure import OPEN

MAIN = 0  # the subgraph that runs; the others are bodies of control flow
BATCH_AXIS = 0
SIGNATURE = "serving_default"  # which converters write, and whose names the kit goes by
INTEGER_TYPES = {"int32": "<i4", "int64": "<i8", "int16": "<i2", "int8": "i1", "uint8": "u1"}


@dataclass(frozen=True)
class Tensor:
    """One tensor.

    Attributes:
        shape: with the batch; what the file gives, which is 1 for most open dimensions.
        shape_signature: the shape with -1 for each dimension that the file leaves open.
        type: for example ``int8``, ``float32``.
        constant: the file holds its values; ``data`` are their bytes.
        variable: state kept from run to run.
        sparse: ``data`` leaves zeros out.
        scales, zero_points: of the quantization, one or one for each channel; empty for real
            values.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    shape_signature: tuple[int, ...]
    type: str
    constant: bool
    variable: bool
    sparse: bool
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    data: memoryview = field(repr=False, compare=False)

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def open(self) -> bool:
        """The file leaves the size of a dimension to the program around the model."""
        return OPEN in self.shape_signature

    @property
    def unsized(self) -> bool:
        """A dimension other than the batch is open, and 1 stands there for want of a size."""
        axes = range(BATCH_AXIS + 1, len(self.shape))
        return any(self.shape_signature[axis] == OPEN and self.shape[axis] <= 1 for axis in axes)

    @property
    def shape_text(self) -> str:
        """The shape for messages; ``?`` stands for an open dimension, as in ``[?, 80, 80, 3]``."""
        return f"[{', '.join('?' if size == OPEN else str(size) for size in self.shape_signature)}]"

    @property
    def integers(self) -> NDArray[np.int64]:
        """The values of a small constant of whole numbers, flat; for example axes or paddings.

        Raises:
            ModelError: it holds no whole numbers.
        """
        if self.type not in INTEGER_TYPES or self.sparse:
            raise ModelError(
                f"tensor {self.index} ({self.name!r}): expected whole numbers of "
                f"{', '.join(INTEGER_TYPES)}, got {'sparse ' * self.sparse}{self.type}"
            )
        return np.frombuffer(self.data, INTEGER_TYPES[self.type]).astype(np.int64)


@dataclass(frozen=True)
class Op:
    """One operator.

    Attributes:
        name: of the builtin operator, or a custom operator's own code.
        custom: it is a custom operator; ``custom_options`` are its bytes.
        inputs: left-out optional ones are not listed.
        options: by the schema's names, for example ``strideW``; empty where there are none.
    """

    index: int
    name: str
    version: int
    custom: bool
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    options: Mapping[str, Any] = field(repr=False, compare=False)
    custom_options: bytes = field(repr=False, compare=False)

    @cached_property
    def activations(self) -> tuple[Tensor, ...]:
        """What flows through: inputs that are neither constant nor state, and the outputs."""
        flowing = [t for t in self.inputs if not (t.constant or t.variable)]
        return (*flowing, *self.outputs)


@dataclass(frozen=True)
class Signature:
    """Names for a subgraph's inputs and outputs: pairs of a name and a tensor's index."""

    key: str
    subgraph: int
    inputs: tuple[tuple[str, int], ...]
    outputs: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Graph:
    """The main graph, operators in the order of execution.

    Attributes:
        tensors: all of them, by index.
        subgraphs: how many graphs the model has; more than one means control flow.
        metadata: name of an entry -> its bytes.
    """

    ops: tuple[Op, ...]
    tensors: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    subgraphs: int
    signatures: tuple[Signature, ...]
    metadata: Mapping[str, bytes] = field(repr=False, compare=False)

    @property
    def signature(self) -> tuple[tuple[str, str], ...]:
        """(A tensor's own name, its name in the first signature); empty where there is none."""
        if not self.signatures or self.signatures[0].subgraph != MAIN:
            return ()
        first = self.signatures[0]
        return tuple((self.tensors[i].name, name) for name, i in (*first.inputs, *first.outputs))

    @property
    def used_tensors(self) -> tuple[Tensor, ...]:
        """Every tensor that an operator reads or writes, by index."""
        used = {t.index for op in self.ops for t in (*op.inputs, *op.outputs)}
        return tuple(self.tensors[index] for index in sorted(used))

    @property
    def parameter_bytes(self) -> int:
        """Bytes of constants that operators read, each counted once."""
        found = {t.index: len(t.data) for op in self.ops for t in op.inputs if t.constant}
        return sum(found.values())
